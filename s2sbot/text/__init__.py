"""Text without torch and without SQL: cues, dialogues, exchanges, and the protocols of readers and tokenizers."""

from .cleaning import clean_line, split_speakers, strip_markup
from .corpus import Corpus, CorpusReport, DocumentExchanges, Skipped, open_corpus, read_corpus
from .dialogue import MARKS, Cue, Dialogue, Exchange, Item, Lost, Origin, PairReader, Reader, Turn
from .documents import Document
from .encoding import decode_text
from .pairing import cues_to_dialogues, dialogue_to_exchanges
from .tokenizer import BOS, EOS, PAD, RESERVED, SEP, UNK, Tokenizer, default_vocab_size, encode_source

__all__ = [
    "BOS",
    "EOS",
    "MARKS",
    "PAD",
    "RESERVED",
    "SEP",
    "UNK",
    "Corpus",
    "CorpusReport",
    "Cue",
    "Dialogue",
    "Document",
    "DocumentExchanges",
    "Exchange",
    "Item",
    "Lost",
    "Origin",
    "PairReader",
    "Reader",
    "Skipped",
    "Tokenizer",
    "Turn",
    "clean_line",
    "cues_to_dialogues",
    "decode_text",
    "default_vocab_size",
    "dialogue_to_exchanges",
    "encode_source",
    "open_corpus",
    "read_corpus",
    "split_speakers",
    "strip_markup",
]
