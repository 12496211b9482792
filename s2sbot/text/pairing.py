"""The cues of one file go in, dialogues come out, and of those the exchanges that a model learns from."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, replace
from itertools import pairwise

from .cleaning import is_credit, is_sung, one_line, recurring_labels, split_speakers, take_label, without_notes
from .dialogue import Cue, Dialogue, Exchange, Origin, Turn
from .encoding import repair
from .rules import Rules
from .scripts import one_script

__all__ = ["clean_dialogue", "cues_to_dialogues", "dialogue_to_exchanges", "previous_exchanges", "spoken_cues"]

LONGEST_CUE = 20.0
"""Seconds that a cue counts as shown at most; a watermark of an hour holds no scene together."""
JOIN_GAP = 2.0
"""Seconds within which one known speaker, or a sentence that has no end yet, may go on from cue to cue."""
SENTENCE_GAP = 5.0
"""Seconds within which what begins with a small letter may."""
AT_ONCE = 0.2
"""Seconds within which a cue comes at once after the one before."""
SAME_TIME = 0.1
"""Seconds after its end in which a cue is still on the screen."""
MISTAKEN = 10.0
"""Seconds up to which a time that goes back is taken for a mistake, where hardly any does."""
LONGEST_TURN = 240
"""Characters beyond which a turn takes in no whole sentence more."""
LONGEST_SENTENCE = 1_000
"""Characters beyond which a sentence goes on no more."""
SENTENCES_FROM = 120
"""Characters from which a turn that goes on is cut where its last sentence begins, as in a lecture."""

_SIGN_STYLE = re.compile(
    r"sign|caption|(?<!sub)title|note|warning|\bmap\b|logo|typeset|chapter|insert|end roll", re.IGNORECASE
)
_SONG_STYLE = re.compile(
    r"lyric|karaoke|song|^(?:op|ed)[ _-]?(?:\d*|romaji|kanji|eng\w*|jap\w*)$|opening|ending|musical", re.I
)
_CREDIT_STYLE = re.compile(r"credit|staff", re.IGNORECASE)
_STYLES = (("songs", _SONG_STYLE), ("credits", _CREDIT_STYLE), ("signs", _SIGN_STYLE))
_MARKS = {"comment": "comments", "drawing": "drawings", "karaoke": "karaoke"}


def cues_to_dialogues(
    cues: Iterable[Cue], file: str, *, rules: Rules | None = None, counts: Counter[str] | None = None
) -> Iterator[Dialogue]:
    """Cut the cues of one file into dialogues of turns.

    Args:
        rules: those that are on; by default all are.
        counts: takes in, for every rule, how much it has dropped or changed.
    """
    rules = rules or Rules()
    counts = Counter() if counts is None else counts
    spoken = list(spoken_cues(cues, rules=rules, counts=counts))
    writing = _Writing.of(spoken, rules)
    if writing.endless and "unpunctuated" in rules:
        counts["unpunctuated"] += len(spoken)
        return
    turns: list[Turn] = []
    end = 0.0
    for cue in spoken:
        gap = cue.start - end
        if turns and gap > rules.scene_gap and "scenes" in rules:
            counts["scenes"] += 1
            yield from writing.whole(turns, file, rules, counts)
            turns = []
        parts = split_speakers(cue.text) if "dashes" in rules else [cue.text]
        opened = len(parts) > 0 and not cue.text.startswith(parts[0])  # a dash before the first part
        counts["dashes"] += len(parts) > 1
        for number, part in enumerate(parts):
            turn = _turn(part, cue, writing, rules, counts)
            if turn is None:
                continue
            rule = writing.goes_on(turns[-1], turn, gap, rules) if turns and not (number or opened) else None
            if rule is None:
                turns.append(turn)
                continue
            counts[rule] += 1
            done, rest = _cut(turns[-1]) if rule == "sentences" else (None, turns[-1])
            turns[-1:] = [*([done] if done else []), Turn(f"{rest.text} {turn.text}", rest.speaker, rest.start)]
        end = max(end, min(cue.end, cue.start + LONGEST_CUE))
    yield from writing.whole(turns, file, rules, counts)


def spoken_cues(
    cues: Iterable[Cue], *, rules: Rules | None = None, counts: Counter[str] | None = None
) -> Iterator[Cue]:
    """Yield the cues that somebody speaks, by time; arguments as in `cues_to_dialogues`."""
    rules = rules or Rules()
    counts = Counter() if counts is None else counts
    cues = list(cues)
    styles = _styles_dropped(cues) if any(cue.style or cue.mark for cue in cues) else {}
    spoken = []
    for cue in cues:
        rule = _MARKS.get(cue.mark or "") or styles.get((cue.style, cue.mark == "positioned"))
        if rule is None or rule not in rules:
            if is_sung(cue.text) and "songs" in rules:
                rule = "songs"
            elif is_credit(cue.text) and "credits" in rules:
                rule = "credits"
            else:
                spoken.append(cue)
                continue
        counts[rule] += 1
    if "bilingual" in rules:
        spoken, twofold = one_script(spoken, rules.languages)
        counts["bilingual"] += twofold
    if "order" in rules and not _in_order(spoken):
        before = spoken
        spoken = sorted(spoken, key=_time)
        counts["order"] += sum(one is not other for one, other in zip(before, spoken, strict=True))
    return _once(spoken, counts) if "repeated" in rules else iter(spoken)


def _in_order(cues: Sequence[Cue]) -> bool:
    """Tell whether cues stand in order, but for a few times that are mistaken by seconds: then the file is right."""
    back = [one.start - other.start for one, other in pairwise(cues) if one.start > other.start]
    return 50 * len(back) <= len(cues) and max(back, default=0.0) < MISTAKEN


def _time(cue: Cue) -> tuple[float, float]:
    return cue.start, cue.end


MOVED = 0.03
"""Share of the cues of a style up to which those with a place of their own are speech that was moved out of the way."""


def _styles_dropped(cues: Sequence[Cue]) -> dict[tuple[str | None, bool], str]:
    """Return by which rule the cues of a style are dropped: (style, with a place of their own) -> rule.

    Where most cues of a style have places, all are signs; where hardly any has, those too are speech. The style of
    most cues without a place is that of speech, whatever it is called.
    """
    events = Counter(cue.style for cue in cues if cue.mark != "comment")
    placed = Counter(cue.style for cue in cues if cue.mark in ("positioned", "drawing"))
    [(main, _)] = Counter(cue.style for cue in cues if cue.mark is None).most_common(1) or [(None, 0)]
    dropped: dict[tuple[str | None, bool], str] = {}
    for style, count in events.items():
        named = next((rule for rule, pattern in _STYLES if style and style != main and pattern.search(style)), None)
        if named or 2 * placed[style] > count:
            dropped[style, False] = dropped[style, True] = named or "signs"
        elif placed[style] > MOVED * count:
            dropped[style, True] = "signs"
    return dropped


MANY_SHOWN = 64
"""Cues that are remembered, beside twice as many as are shown at once, before those that ended are forgotten."""


def _once(cues: Iterable[Cue], counts: Counter[str]) -> Iterator[Cue]:
    """Yield cues without those, and without those first lines, that say again what is still on the screen."""
    shown: dict[str, float] = {}
    most = MANY_SHOWN
    last_line, last_end = "", 0.0
    for cue in cues:
        now = cue.start - SAME_TIME
        if shown.get(cue.text, now - 1) >= now:
            shown[cue.text] = max(shown[cue.text], cue.end)
            last_end = max(last_end, cue.end)
            counts["repeated"] += 1
            continue
        if len(shown) > most:
            shown = {text: until for text, until in shown.items() if until >= now}
            most = MANY_SHOWN + 2 * len(shown)
        shown[cue.text] = cue.end
        first, more, rest = cue.text.partition("\n")
        rolled = more and first == last_line and last_end >= now
        last_line, last_end = cue.text.rpartition("\n")[2], cue.end
        if rolled:
            counts["repeated"] += 1
            cue = replace(cue, text=rest)
        yield cue


def _turn(part: str, cue: Cue, writing: _Writing, rules: Rules, counts: Counter[str]) -> Turn | None:
    """Return what is said in one part of a cue, or None where nothing is."""
    text, speaker = part, cue.speaker
    if "mojibake" in rules and not text.isascii():
        text = repair(text)
        counts["mojibake"] += text != part
    if "notes" in rules:
        said = without_notes(text)
        counts["notes"] += said != text
        text = said
    text = one_line(text)
    if "labels" in rules:
        text, label = take_label(text, writing.labels)
        if label is not None:
            counts["labels"] += 1
            speaker = label
    return Turn(text, speaker, cue.start) if text[:1].isalnum() or any(map(str.isalnum, text)) else None


_QUOTES = "\"'”’»)"
_OPENING = "\"'“‘«(.…-–— "
_STOPS = ".!?。！？‽؟।"
_ELLIPSES = ("...", "…")


WORDS_A_STOP = 40
"""Running words a stop from which a file does not mark the ends of its sentences."""
TELLING = 50
"""Cues from which a file tells how it is written."""
_ABBREVIATION = re.compile(
    r"\b(?:[A-Z]|Mr|Mrs|Ms|Dr|Prof|St|Mt|vs|Jr|Sr|Gen|Col|Capt|Lt|Sgt|Maj|Rev|Hon|e\.g|i\.e|z\.B|bzw|Mme|Mlle)\.$"
)


@dataclass(frozen=True, slots=True)
class _Writing:
    """How a file is written.

    labels   names that stand before colons
    cased    whether sentences begin in capitals
    stopped  whether they end in a stop
    telling  whether the file is long enough to tell
    endless  whether they do not, though it is, and in a script that has stops
    """

    labels: Set[str]
    cased: bool
    stopped: bool
    telling: bool
    endless: bool

    @classmethod
    def of(cls, cues: Sequence[Cue], rules: Rules) -> _Writing:
        texts = [cue.text for cue in cues]
        whole = "\n".join(texts)
        words = len(whole.split())
        stops = sum(whole.count(sign) for sign in _STOPS + "…")
        spaced = 2 * words > 5 * len(texts)  # not so Chinese and Japanese
        stopped = WORDS_A_STOP * stops >= words if spaced else 5 * stops >= len(texts)
        telling = len(texts) >= TELLING
        capitals = sum(text.lstrip("-–—‐> ")[:1].isupper() for text in texts)
        return cls(
            recurring_labels(texts) if "labels" in rules else frozenset(),
            cased=10 * capitals >= 3 * len(texts),
            stopped=stopped,
            telling=telling,
            endless=spaced and not stopped and telling and whole.lower() != whole.upper(),
        )

    def goes_on(self, last: Turn, turn: Turn, gap: float, rules: Rules) -> str | None:
        """Return the rule by which `turn` goes on with what `last` says, or None where it does not.

        Of 8,381 neighbouring cues with known speakers in a real series, a half has one speaker. All 710 are of one in
        which the first has no end and the second begins with a small letter, or the first ends in a comma; of those in
        which the first ends in dots, 79 in 100 within a second, but 56 where the second comes at once.
        """
        length = len(last.text) + len(turn.text)
        if gap > SENTENCE_GAP or length > LONGEST_SENTENCE:
            return None
        if last.speaker and turn.speaker and "speakers" in rules:
            one = last.speaker == turn.speaker and (
                (gap <= JOIN_GAP and length <= LONGEST_TURN) or self._open(last, turn, gap)
            )
            return "speakers" if one else None
        return "sentences" if "sentences" in rules and self._open(last, turn, gap) else None

    def _open(self, last: Turn, turn: Turn, gap: float) -> bool:
        """Tell whether the sentence that `last` ends with goes on in `turn`."""
        text = last.text.rstrip(_QUOTES)
        if text.endswith(_ELLIPSES):
            return self._small(turn) or (
                AT_ONCE <= gap <= 1.0
                and len(last.text) + len(turn.text) <= LONGEST_TURN
                and not turn.text.endswith("?")
            )
        if text[-1:] in _STOPS:
            return text[-1:] == "." and _ABBREVIATION.search(text[-6:]) is not None
        small = self._small(turn)
        if text[-1:] in "-–—" or gap > JOIN_GAP:
            return small
        return small or self.stopped or text[-1:] in ",;、，"

    def _small(self, turn: Turn) -> bool:
        """Tell whether a turn begins inside a sentence."""
        return self.cased and turn.text.lstrip(_OPENING)[:1].islower()

    def whole(self, turns: Sequence[Turn], file: str, rules: Rules, counts: Counter[str]) -> Iterator[Dialogue]:
        """Yield a dialogue of turns, cut where one of them is but a part of a sentence."""
        begin = 0
        cut = "fragments" in rules and self.telling and self.cased
        for place, turn in enumerate(turns):
            if cut and (self._small(turn) or turn.text.endswith(",")):
                counts["fragments"] += 1
                if place > begin:
                    yield Dialogue(tuple(turns[begin:place]), Origin(file, seconds=turns[begin].start))
                begin = place + 1
        if begin < len(turns):
            yield Dialogue(tuple(turns[begin:]), Origin(file, seconds=turns[begin].start))


_SENTENCE = re.compile(r"(?<=[.!?…。！？])[\"'”’»)]*\s+(?=\S)")


def _cut(turn: Turn) -> tuple[Turn | None, Turn]:
    """Cut a turn that goes on where its last sentence begins, if it is long enough already."""
    if len(turn.text) < SENTENCES_FROM:
        return None, turn
    ends = [found.end() for found in _SENTENCE.finditer(turn.text)]
    for end in reversed(ends):
        done = turn.text[:end].rstrip()
        if not _ABBREVIATION.search(done[-6:]):
            return replace(turn, text=done), replace(turn, text=turn.text[end:])
    return None, turn


def clean_dialogue(dialogue: Dialogue, *, rules: Rules, counts: Counter[str]) -> Dialogue:
    """Return a dialogue that was written as one, its turns on one line each and those of one speaker joined."""
    said: list[tuple[Turn, list[str]]] = []
    for turn in dialogue.turns:
        text = turn.text
        if "mojibake" in rules and not text.isascii():
            text = repair(text)  # first, for it needs the invisible characters, and may bring new ends of lines
            counts["mojibake"] += text != turn.text
        text = one_line(text)
        if not text:
            continue
        if said and turn.speaker and turn.speaker == said[-1][0].speaker and "speakers" in rules:
            counts["speakers"] += 1
            said[-1][1].append(text)
        else:
            said.append((turn, [text]))
    return replace(dialogue, turns=tuple(Turn(" ".join(texts), turn.speaker, turn.start) for turn, texts in said))


def dialogue_to_exchanges(
    dialogue: Dialogue, *, rules: Rules, counts: Counter[str] | None = None, number: int | None = None
) -> Iterator[Exchange]:
    """Yield every turn with the one that answers it, and up to `rules.context_turns` turns from before.

    Args:
        counts: takes in what the rule `speakers` drops, where one speaker would answer himself.
        number: that of the dialogue in its file.
    """
    turns, most = dialogue.turns, rules.context_turns
    for index, (turn, answer) in enumerate(pairwise(turns)):
        if turn.speaker and turn.speaker == answer.speaker and "speakers" in rules:
            if counts is not None:
                counts["speakers"] += 1
            continue
        context = tuple([turn.text for turn in turns[max(0, index - most) : index]]) if most else ()
        origin = (
            dialogue.origin if turn.start is None else Origin(dialogue.origin.file, dialogue.origin.line, turn.start)
        )
        yield Exchange(turn.text, answer.text, context, origin, number, index)


def previous_exchanges(exchanges: Sequence[Exchange]) -> list[int]:
    """Return for each exchange the index of the one that comes before it where two people talk, or -1.

    One says a turn and the other answers it, so the exchange before begins two turns earlier. Exchanges stand in the
    order of their files; one that was left out between them is a break.
    """
    previous = []
    dialogue: tuple[str, int | None] | None = None
    seen: dict[int, int] = {}
    last = -1
    for index, exchange in enumerate(exchanges):
        # two files of one name may follow each other, and turns of one dialogue only ever go on
        if (exchange.origin.file, exchange.dialogue) != dialogue or exchange.turn <= last:
            dialogue, seen = (exchange.origin.file, exchange.dialogue), {}
        last = exchange.turn
        previous.append(-1 if exchange.dialogue is None else seen.get(exchange.turn - 2, -1))
        seen[exchange.turn] = index
    return previous
