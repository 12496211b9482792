"""Text without torch and without SQL: cues, dialogues, exchanges, and the protocols of readers and tokenizers."""

from .cleaning import clean_line, split_speakers, strip_markup
from .corpus import Corpus, open_corpus
from .dialogue import MARKS, Cue, Dialogue, Exchange, Item, Lost, Origin, PairReader, Reader, Turn
from .documents import Document, Skipped
from .encoding import decode_text, text_lines
from .json_stream import first_character, json_elements
from .pairing import cues_to_dialogues, dialogue_to_exchanges
from .reading import CorpusReport, DocumentExchanges, DocumentReport, read_corpus
from .rules import RULES, Rules
from .subtitles import SubtitleReader, read_whole
from .tokenizer import (
    BOS,
    EOS,
    PAD,
    RESERVED,
    SEP,
    UNK,
    SamplingTokenizer,
    Tokenizer,
    default_vocab_size,
    encode_source,
)

__all__ = [
    "BOS",
    "EOS",
    "MARKS",
    "PAD",
    "RESERVED",
    "RULES",
    "SEP",
    "UNK",
    "Corpus",
    "CorpusReport",
    "Cue",
    "Dialogue",
    "Document",
    "DocumentExchanges",
    "DocumentReport",
    "Exchange",
    "Item",
    "Lost",
    "Origin",
    "PairReader",
    "Reader",
    "Rules",
    "SamplingTokenizer",
    "Skipped",
    "SubtitleReader",
    "Tokenizer",
    "Turn",
    "clean_line",
    "cues_to_dialogues",
    "decode_text",
    "default_vocab_size",
    "dialogue_to_exchanges",
    "encode_source",
    "first_character",
    "json_elements",
    "open_corpus",
    "read_corpus",
    "read_whole",
    "split_speakers",
    "strip_markup",
    "text_lines",
]
