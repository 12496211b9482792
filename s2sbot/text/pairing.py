"""The cues of one file go in, dialogues come out, and of those the exchanges that a model learns from."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, replace
from itertools import pairwise

from .cleaning import (
    one_line,
    recurring_labels,
    split_labels,
    split_speakers,
    take_label,
    without_notes,
)
from .dialogue import Cue, Dialogue, Exchange, Origin, Turn
from .mojibake import repair
from .rules import Rules
from .speech import SENTENCE_GAP, close_notes, spoken_cues

__all__ = ["clean_dialogue", "cues_to_dialogues", "dialogue_to_exchanges", "previous_exchanges"]

LONGEST_CUE = 20.0
"""Seconds that a cue counts as shown at most; a watermark of an hour holds no scene together."""
JOIN_GAP = 2.0
"""Seconds within which one known speaker, or a sentence that has no end yet, may go on from cue to cue."""
AT_ONCE = 0.2
"""Seconds within which a cue comes at once after the one before."""
BESIDE = 0.3
"""Seconds that a cue must be shown beside the one before to be said by another."""
LONGEST_TURN = 240
"""Characters beyond which a turn takes in no whole sentence more."""
LONGEST_SENTENCE = 1_000
"""Characters beyond which a sentence goes on no more."""
SENTENCES_FROM = 120
"""Characters from which a turn that goes on is cut where its last sentence begins, as in a lecture."""


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
    if "notes" in rules:
        close_notes(spoken, counts)
    writing = _Writing.of(spoken, rules)
    if writing.endless and "unpunctuated" in rules:
        counts["unpunctuated"] += len(spoken)
        return
    turns: list[Turn] = []
    begins: list[tuple[int, float | None]] = []  # of the last turn: where what was said in each cue begins, and when
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
        if "labels" in rules:
            parts = [said for part in parts for said in split_labels(part, writing.labels)]
        for number, part in enumerate(parts):
            turn = _turn(part, cue, writing, rules, counts)
            if turn is None:
                continue
            rule = writing.goes_on(turns[-1], turn, gap, rules) if turns and not (number or opened) else None
            if rule is None:
                turns.append(turn)
                begins = [(0, turn.start)]
                continue
            counts[rule] += 1
            if rule == "sentences" and (cut := _last_sentence(turns[-1].text)):
                turns[-1:], begins = _cut(turns[-1], cut, begins)
            last = turns[-1]
            begins.append((len(last.text) + 1, turn.start))
            turns[-1] = replace(last, text=f"{last.text} {turn.text}")
        end = max(end, min(cue.end, cue.start + LONGEST_CUE))
    yield from writing.whole(turns, file, rules, counts)


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
    rolling  whether a cue often stays while the next one comes, so that it says nothing of who speaks
    """

    labels: Set[str]
    cased: bool
    stopped: bool
    telling: bool
    endless: bool
    rolling: bool

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
            rolling=telling and 10 * sum(two.start < one.end - BESIDE for one, two in pairwise(cues)) > len(cues),
        )

    def goes_on(self, last: Turn, turn: Turn, gap: float, rules: Rules) -> str | None:
        """Return the rule by which `turn` goes on with what `last` says, or None where it does not.

        Of 8,381 neighbouring cues with known speakers in a real series, a half has one speaker. All 710 are of one in
        which the first has no end and the second begins with a small letter, or the first ends in a comma; of those in
        which the first ends in dots, 79 in 100 within a second, but 56 where the second comes at once.
        """
        length = len(last.text) + len(turn.text)
        if gap > SENTENCE_GAP or length > LONGEST_SENTENCE or (gap < -BESIDE and not self.rolling):
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


def _last_sentence(text: str) -> int:
    """Return where the last sentence of a turn begins that is long enough to be cut there, or 0."""
    if len(text) < SENTENCES_FROM:
        return 0
    ends = [found.end() for found in _SENTENCE.finditer(text)]
    return next((end for end in reversed(ends) if not _ABBREVIATION.search(text[:end].rstrip()[-6:])), 0)


def _cut(
    turn: Turn, place: int, begins: list[tuple[int, float | None]]
) -> tuple[list[Turn], list[tuple[int, float | None]]]:
    """Cut a turn in two, and return with them where each cue of the second one begins, and when."""
    first = max(number for number, (begin, _) in enumerate(begins) if begin <= place)
    rest = [(max(0, begin - place), start) for begin, start in begins[first:]]
    done = replace(turn, text=turn.text[:place].rstrip())
    return [done, replace(turn, text=turn.text[place:], start=rest[0][1])], rest


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
