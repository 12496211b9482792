"""The metrics `bleu`, `chrf`, `distinct-1` and `distinct-2`: what a bot says of held-out lines becomes a number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from s2sbot import Metric, hookimpl


class Bleu:
    """BLEU (Papineni et al. 2002) as sacreBLEU computes it of plain text, 0 to 100."""

    higher_is_better = True

    def score(self, outputs: Sequence[str], targets: Sequence[str], sources: Sequence[str]) -> float:
        """Return BLEU of the whole corpus."""
        import sacrebleu

        return float(sacrebleu.BLEU().corpus_score(outputs, [targets]).score)


class Chrf:
    """The chrF2 score (Popović 2015) as sacreBLEU computes it, 0 to 100."""

    higher_is_better = True

    def score(self, outputs: Sequence[str], targets: Sequence[str], sources: Sequence[str]) -> float:
        """Return chrF2 of the whole corpus."""
        import sacrebleu

        return float(sacrebleu.CHRF().corpus_score(outputs, [targets]).score)


class Distinct1:
    """Distinct words, by white space, as a share of all words that are said (Li et al. 2016, section 5.1)."""

    higher_is_better = True
    size = 1

    def score(self, outputs: Sequence[str], targets: Sequence[str], sources: Sequence[str]) -> float:
        """Return the distinct n-grams as a share of all words, 0 to 1; 0 where nothing is said."""
        words = [output.split() for output in outputs]
        found = {tuple(line[begin : begin + self.size]) for line in words for begin in range(len(line) - self.size + 1)}
        return len(found) / max(1, sum(map(len, words)))


class Distinct2(Distinct1):
    """Distinct pairs of words, scaled by the number of words."""

    size = 2


@hookimpl
def register_metrics() -> Mapping[str, type[Metric]]:
    """Offer the metrics by name."""
    return {"bleu": Bleu, "chrf": Chrf, "distinct-1": Distinct1, "distinct-2": Distinct2}
