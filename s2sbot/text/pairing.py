"""The cues of one file go in, dialogues come out, and of those the exchanges that a model learns from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from .cleaning import clean_line, split_speakers
from .dialogue import Cue, Dialogue, Exchange, Origin, Turn

__all__ = ["cues_to_dialogues", "dialogue_to_exchanges", "previous_exchanges"]

LONGEST_CUE = 20.0
"""Seconds that a cue counts as shown at most; a watermark of an hour holds no scene together."""
JOIN_GAP = 2.0
"""Seconds within which a sentence, or one known speaker, may go on from cue to cue."""
LONGEST_JOINED = 240
"""Characters beyond which a turn takes in no further cue."""
_SENTENCE_ENDS = (".", "!", "?", "…", '."', '!"', '?"', ".”", "!”", "?”", "。", "！", "？", "♪")


def cues_to_dialogues(cues: Iterable[Cue], file: str, *, scene_gap: float) -> Iterator[Dialogue]:
    """Cut the cues of one file into dialogues, wherever there is no cue for more than `scene_gap` seconds.

    Cues are sorted by time and repeated ones dropped; a cue with dashes holds several speakers; a sentence that runs
    over several cues becomes one turn, and so do neighbouring cues of the same named speaker.
    """
    turns: list[Turn] = []
    end = 0.0
    for cue in _sorted_once(cues):
        if turns and cue.start - end > scene_gap:
            yield Dialogue(tuple(turns), Origin(file, seconds=turns[0].start))
            turns = []
        gap = cue.start - end
        for number, part in enumerate(split_speakers(cue.text)):
            text = clean_line(part)
            if not text:
                continue
            turn = Turn(text, cue.speaker, cue.start)
            if turns and number == 0 and gap <= JOIN_GAP and _goes_on(turns[-1], turn):
                turns[-1] = Turn(f"{turns[-1].text} {text}", turns[-1].speaker, turns[-1].start)
            else:
                turns.append(turn)
        end = max(end, min(cue.end, cue.start + LONGEST_CUE))
    if turns:
        yield Dialogue(tuple(turns), Origin(file, seconds=turns[0].start))


def _sorted_once(cues: Iterable[Cue]) -> Iterator[Cue]:
    """Yield cues by time, without those that say again what is still on the screen."""
    shown: dict[str, float] = {}
    for cue in sorted(cues, key=lambda cue: (cue.start, cue.end)):
        if cue.text in shown and shown[cue.text] >= cue.start - 0.1:
            shown[cue.text] = max(shown[cue.text], cue.end)
            continue
        shown = {text: until for text, until in shown.items() if until >= cue.start - 0.1}
        shown[cue.text] = cue.end
        yield cue


def _goes_on(last: Turn, turn: Turn) -> bool:
    """Tell whether `turn` goes on with what `last` says."""
    if len(last.text) + len(turn.text) > LONGEST_JOINED:
        return False
    if last.speaker and turn.speaker:
        return last.speaker == turn.speaker
    return not last.text.endswith(_SENTENCE_ENDS) and (turn.text[0].islower() or last.text.endswith(","))


def dialogue_to_exchanges(dialogue: Dialogue, *, context_turns: int, number: int | None = None) -> Iterator[Exchange]:
    """Yield every turn with the one that answers it, and up to `context_turns` turns from before.

    Args:
        number: that of the dialogue in its file.
    """
    turns = dialogue.turns
    for index in range(len(turns) - 1):
        context = tuple(turn.text for turn in turns[max(0, index - context_turns) : index])
        start = turns[index].start
        origin = dialogue.origin if start is None else Origin(dialogue.origin.file, seconds=start)
        yield Exchange(turns[index].text, turns[index + 1].text, context, origin, number, index)


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
