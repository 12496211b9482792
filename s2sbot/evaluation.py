"""A bot and a corpus go in, perplexity and, for a translator, BLEU and chrF come out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .engine import Bot
from .errors import CorpusError
from .nn.scoring import Score, evaluate
from .plugins import Plugins
from .text.corpus import open_corpus
from .text.dialogue import Exchange
from .text.packed import Packed
from .text.pairing import previous_exchanges
from .text.reading import CorpusReport, read_corpus
from .text.rules import Rules
from .text.tokenizer import encode_source

__all__ = ["Evaluation", "evaluate_bot"]

BATCH_TOKENS = 8_000


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How well a bot foresees a corpus.

    perplexity       a token, EOS included; comparable only between bots with one tokenizer
    word_perplexity  the same log-likelihood shared among words (by white space) and line ends: comparable between all
    bleu, chrf       as sacreBLEU computes them, with its `signatures`; None for a bot that talks
    """

    exchanges: int
    tokens: int
    words: int
    perplexity: float
    word_perplexity: float
    bleu: float | None = None
    chrf: float | None = None
    signatures: tuple[str, ...] = ()


def evaluate_bot(
    bot: Bot, path: Path, *, source: str | None = None, target: str | None = None, plugins: Plugins | None = None
) -> Evaluation:
    """Score a bot on every exchange of a corpus; nothing is left out for its length.

    Raises:
        CorpusError: where the corpus cannot be read, or has other languages than the bot.
    """
    description = bot.description
    if description.kind == "translate" and source is None and target is None:
        source, target = description.languages
    corpus = open_corpus(path, source=source, target=target)
    if description.kind == "translate" and corpus.languages != description.languages:
        raise CorpusError(
            f"{path} holds {'-'.join(corpus.languages) or 'no two languages'}, the bot translates"
            f" {'-'.join(description.languages)}",
            "give the corpus that fits, or its languages with --source and --target",
        )
    report, data = CorpusReport(), description.data_settings
    documents = read_corpus(
        corpus,
        (plugins or Plugins()).readers(),
        report=report,
        rules=Rules.of(data),
    )
    exchanges = [exchange for document in documents for exchange in document.exchanges]
    packed = Packed.pack(
        (
            (
                encode_source(bot.source_tokenizer, exchange.source, exchange.context, most=data.max_length),
                bot.target_tokenizer.encode(exchange.target),
            )
            for exchange in exchanges
        ),
        previous_exchanges(exchanges) if description.mind else None,
    )
    score = evaluate(bot.model, packed, batch_tokens=BATCH_TOKENS)
    words = sum(len(exchange.target.split()) + 1 for exchange in exchanges)
    bleu, chrf, signatures = _translated(bot, exchanges) if description.kind == "translate" else (None, None, ())
    return Evaluation(
        len(exchanges),
        score.tokens,
        words,
        score.perplexity,
        Score(score.nats, words).perplexity,
        bleu,
        chrf,
        signatures,
    )


def _translated(bot: Bot, exchanges: list[Exchange]) -> tuple[float, float, tuple[str, ...]]:
    import sacrebleu

    found = bot.translate(exchange.source for exchange in exchanges)
    truth = [[exchange.target for exchange in exchanges]]
    bleu, chrf = sacrebleu.BLEU(), sacrebleu.CHRF()
    scores = bleu.corpus_score(found, truth).score, chrf.corpus_score(found, truth).score
    return *scores, (f"BLEU|{bleu.get_signature()}", f"chrF2|{chrf.get_signature()}")
