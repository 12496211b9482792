"""Every rule that a corpus is cleaned by: its name, what it does, and whether it is on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from ..errors import SettingsError
from ..settings import DataSettings, nearest

__all__ = ["RULES", "Rule", "Rules"]


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. It drops or changes what its count counts: cues, lines, exchanges."""

    does: Literal["drops", "changes"]
    what: str
    text: str


RULES: Final[Mapping[str, Rule]] = {
    "comments": Rule("drops", "cues", "comments, which ASS marks as such"),
    "drawings": Rule("drops", "cues", "vector drawings (ASS {\\p1})"),
    "karaoke": Rule("drops", "cues", "karaoke, syllable by syllable, and the effects made of it"),
    "signs": Rule(
        "drops",
        "cues",
        "signs: text with a place of its own (ASS \\pos, \\move, \\clip) unless its style hardly ever has one, styles"
        " named for signs, titles, notes or maps, and styles of which most cues have such a place",
    ),
    "songs": Rule("drops", "cues", "songs: a music sign, # at both ends, styles named for songs and lyrics"),
    "credits": Rule("drops", "cues", "advertising and credits: who made the subtitles, addresses of web sites"),
    "bilingual": Rule(
        "changes", "cues", "where most cues say everything in two scripts, the lines of one are kept: see data.language"
    ),
    "order": Rule(
        "changes", "cues", "cues are sorted by time, unless hardly any is out of order, and that by seconds alone"
    ),
    "repeated": Rule(
        "drops", "cues", "a cue, or a line that has rolled up, which says again what was on the screen until just now"
    ),
    "mojibake": Rule("changes", "lines", "letters that were read in a wrong encoding, where that is certain (ftfy)"),
    "notes": Rule("changes", "lines", "notes for the hearing-impaired, in brackets, are taken off"),
    "labels": Rule(
        "changes", "lines", "a speaker's name before a colon is taken off and kept as the speaker: JOHN:, Professor:"
    ),
    "unpunctuated": Rule(
        "drops", "cues", "all of a file whose sentences have no ends (more than 40 words a stop), as live captions"
    ),
    "dashes": Rule("changes", "cues", "a cue in which dashes, or >>, begin the lines of two speakers is cut"),
    "sentences": Rule("changes", "cues", "a sentence that runs over several cues becomes one turn"),
    "speakers": Rule(
        "changes", "turns", "what one named speaker says in succession becomes one turn; nobody answers himself"
    ),
    "fragments": Rule(
        "drops", "turns", "a turn that begins inside a sentence or ends in a comma; the dialogue is cut there"
    ),
    "scenes": Rule("changes", "dialogues", "a dialogue ends where no cue is shown for data.scene_gap seconds"),
    "length": Rule("drops", "exchanges", "a side longer than data.max_characters, or without a letter"),
    "ratio": Rule("drops", "exchanges", "a translation more than data.max_ratio times as long as its other side"),
    "letters": Rule(
        "drops", "exchanges", "a side with more digits and signs than letters, or with a letter that could not be read"
    ),
    "echo": Rule("drops", "exchanges", "a target that only repeats its source"),
    "language": Rule("drops", "exchanges", "what is not in data.language, where that is given (needs py3langid)"),
    "duplicates": Rule("drops", "exchanges", "an exchange that, but for case and punctuation, was there before"),
    "near-duplicates": Rule(
        "drops",
        "exchanges",
        "one to learn from that is like an earlier one, or one held out, by data.near_duplicates, where given"
        " (needs rensa)",
    ),
    "overlap": Rule("drops", "exchanges", "an exchange to learn from that stands in validation or test too"),
    "replies": Rule("drops", "exchanges", "one reply oftener than data.reply_cap allows"),
}
"""In the order in which they are applied."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Which rules are on, and the numbers that they go by: the table `data`, as far as it is about text."""

    off: frozenset[str] = frozenset()
    scene_gap: float = 10.0
    context_turns: int = 0
    max_characters: int = 400
    max_ratio: float = 4.0
    languages: tuple[str, ...] = ()
    near_duplicates: float = 0.0

    @classmethod
    def of(cls, settings: DataSettings) -> Rules:
        """Read them from the table `data`.

        Raises:
            SettingsError: for a rule that does not exist; names the nearest.
        """
        off = frozenset(name for name in settings.without.replace(" ", "").split(",") if name)
        for name in sorted(off - RULES.keys()):
            raise SettingsError(f"data.without: there is no rule {name!r}", nearest(name, RULES))
        return cls(
            off=off,
            scene_gap=settings.scene_gap,
            context_turns=settings.context_turns,
            max_characters=settings.max_characters,
            max_ratio=settings.max_ratio,
            languages=tuple(settings.language.split("-")) if settings.language and "language" not in off else (),
            near_duplicates=0.0 if "near-duplicates" in off else settings.near_duplicates,
        )

    def __contains__(self, name: str) -> bool:
        assert name in RULES, name
        return name not in self.off
