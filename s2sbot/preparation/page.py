"""A data card as plain values goes in, the same as a page of Markdown comes out."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..tables import tables_to_toml
from ..text.rules import RULES

__all__ = ["page"]

NAMED = 20
"""Refused files, causes of lost pieces, and replies on the page at most; `card.json` has more."""
COLUMNS = 6
"""Sources that have a column of their own."""
LONGEST_SHOWN = 300

Card = Mapping[str, Any]


def page(card: Card) -> str:
    """Return the page of a card.

    What strangers wrote stands in code alone, where Markdown knows no HTML and no links.
    """
    parts = (_head, _sources, _refused, _rules, _by_source, _lost, _contents, _replies, _samples, _again)
    return "\n".join(line for part in parts for line in part(card))


def _head(card: Card) -> Iterator[str]:
    kind = "a translator" if card["kind"] == "translate" else "a chat bot"
    languages = " to ".join(map(_code, card["languages"])) or "not said"
    train, valid, test = (card["splits"][side]["exchanges"] for side in ("train", "valid", "test"))
    yield from ("# Data card", "")
    yield f"A corpus to train {kind} on, prepared by s2sbot {card['s2sbot']}; languages: {languages}."
    yield f"{train:,} exchanges to learn from, {valid:,} to validate on, {test:,} to test on."
    yield from ("", "The same for programs is `card.json`; `docs/corpora.md` of s2sbot says what every key means.", "")


def _sources(card: Card) -> Iterator[str]:
    yield from ("## Sources", "")
    use = "training" if any(source["validation"] for source in card["sources"]) else "all"
    head = ("source", "for", "files read", "refused", "cues", "dialogues", "exchanges", "licence", "SHA-256")
    yield from _table(
        head,
        (
            (
                _code(source["name"]),
                "validation" if source["validation"] else use,
                *(f"{source[name]:,}" for name in ("read", "refused", "cues", "dialogues", "exchanges")),
                _code(source["licence"]) if source["licence"] else "not said",
                _code(source["sha256"]),
            )
            for source in card["sources"]
        ),
    )
    yield "The hash is that of names and contents of all files read. Cues and dialogues are those of all files, also of"
    yield "refused ones."
    readers = {name: 0 for source in card["sources"] for name in source["readers"]}
    for source in card["sources"]:
        for name, count in source["readers"].items():
            readers[name] += count
    yield "Files by reader: " + ", ".join(f"{_code(name)} {count:,}" for name, count in sorted(readers.items())) + "."
    yield ""


def _refused(card: Card) -> Iterator[str]:
    total = sum(source["refused"] for source in card["sources"])
    if not total:
        return
    yield from (f"### Refused files: {total:,}", "")
    named = [f"{file['name']}: {file['cause']}" for source in card["sources"] for file in source["refused_files"]]
    yield from _block(named[:NAMED])
    if total > NAMED:
        yield from (f"and {total - min(NAMED, len(named)):,} more; `documents.jsonl` has a line for every file.", "")


def _rules(card: Card) -> Iterator[str]:
    yield from ("## What the rules did", "", "![What every rule dropped, from cues to exchanges](rules.svg)", "")
    yield "In the order in which they are applied. The last column is what is left, where a rule drops something."
    if not all(_met(rule, card) for rule in card["rules"]):
        yield "Rules about what this corpus has none of are left out."
    yield ""
    head = ("rule", "what it does", "before", "dropped", "changed", "after")
    yield from _table(
        head,
        (
            (
                f"`{rule['name']}`" + ("" if rule["on"] else " (off)"),
                f"{'drops' if rule['does'] == 'drops' else 'changes'} {rule['what']}: "
                + _plain(RULES[rule["name"]].text),
                "" if rule["before"] is None else f"{rule['before']:,}",
                f"{rule['count']:,}" if rule["does"] == "drops" else "",
                f"{rule['count']:,}" if rule["does"] == "changes" else "",
                "" if rule["after"] is None else f"{rule['after']:,}",
            )
            for rule in card["rules"]
            if _met(rule, card)
        ),
    )
    counts = card["counts"]
    made_of = f"{counts['dialogues']:,} dialogues and {counts['pairs']:,} pairs"
    yield f"{counts['exchanges']:,} exchanges were cut from {made_of}."
    yield f"{counts['too_long']:,} more were left out as longer than {card['settings']['max_length']} tokens a side,"
    yield f"so that {counts['packed']:,} are packed."
    yield ""


def _met(rule: Card, card: Card) -> bool:
    """Tell whether there was anything that a rule could have met: a corpus of pairs has no cues and no turns."""
    cues, dialogues = card["counts"]["cues"], card["counts"]["dialogues"]
    there = {"cues": cues, "lines": cues + dialogues, "turns": dialogues, "dialogues": dialogues}
    return bool(rule["count"] or there.get(rule["what"], True))


def _by_source(card: Card) -> Iterator[str]:
    sources = card["sources"]
    if len(sources) < 2:
        return
    shown = sources[:COLUMNS]
    yield from ("### By source", "")
    if len(sources) > COLUMNS:
        yield from (f"The first {COLUMNS} of {len(sources)}; `card.json` has all.", "")
    yield from _table(
        ("rule", *(_code(source["name"]) for source in shown)),
        (
            (f"`{rule['name']}`", *(f"{source['rules'][rule['name']]:,}" for source in shown))
            for rule in card["rules"]
            if _met(rule, card)
        ),
    )


def _lost(card: Card) -> Iterator[str]:
    lost: dict[str, int] = {}
    for source in card["sources"]:
        for cause, count in source["lost"].items():
            lost[cause] = lost.get(cause, 0) + count
    if not lost:
        return
    yield from (f"## Pieces that could not be read: {sum(lost.values()):,}", "")
    ordered = sorted(lost.items(), key=lambda each: (-each[1], each[0]))
    yield from _block(f"{count:,}  {cause}" for cause, count in ordered[:NAMED])
    if len(ordered) > NAMED:
        yield from (f"and {len(ordered) - NAMED:,} more causes; `card.json` has all.", "")


def _contents(card: Card) -> Iterator[str]:
    yield from ("## What is in it", "")
    yield from _table(
        ("", "exchanges", "source tokens", "target tokens", "target words"),
        (
            (name, *(f"{split[key]:,}" for key in ("exchanges", "source_tokens", "target_tokens", "words")))
            for name, split in card["splits"].items()
        ),
    )
    vocabulary, history, share = card["vocabulary"], card["history"], card["distinct"]
    sizes = vocabulary["sizes"]
    train = max(1, card["splits"]["train"]["exchanges"])
    ids = f"{sizes[0]:,} token ids" if vocabulary["shared"] else f"{sizes[0]:,} and {sizes[1]:,} token ids"
    yield f"- Vocabulary: {ids}, made by the tokenizer {_code(vocabulary['tokenizer'])}; the end of a line is a token."
    if card["kind"] == "chat":
        yield (
            f"- Of the exchanges to learn from, {history['with_context'] / train:.1%} have turns from before them in"
            f" their source, and {history['after_another'] / train:.1%} go on from another one of their dialogue."
        )
    yield (
        f"- distinct-1 {share['distinct_1']:.4f}, distinct-2 {share['distinct_2']:.4f} (Li et al. 2016), on"
        f" {share['replies']:,} {_answers(card)}, words in small letters."
    )
    yield from ("", "![How many targets have how many words](lengths.svg)", "")
    yield from _table(("words", "targets", "share"), _ranges(card["words_a_target"]))


RANGES = ((1, 1), (2, 3), (4, 7), (8, 15), (16, 31), (32, 63), (64, None))


def _ranges(words: Mapping[str, int]) -> Iterator[tuple[str, ...]]:
    total = max(1, sum(words.values()))
    for first, last in RANGES:
        count = sum(
            number for length, number in words.items() if first <= int(length) and (last is None or int(length) <= last)
        )
        yield (_range(first, last), f"{count:,}", f"{count / total:.1%}")


def _range(first: int, last: int | None) -> str:
    return f"{first} or more" if last is None else str(first) if first == last else f"{first} to {last}"


def _replies(card: Card) -> Iterator[str]:
    often = [reply for reply in card["frequent_replies"] if reply["before"] > 1]
    if not often:
        return
    yield from (f"## Most frequent {_answers(card)} to learn from", "")
    cap = card["reply_cap"]
    yield "They are told apart without case and punctuation. " + (
        "There is no cap on them." if cap is None else f"The rule `replies` lets one occur {cap:,} times at most."
    )
    yield ""
    yield from _table(
        ("translation" if card["kind"] == "translate" else "reply", "before", "after"),
        ((_code(reply["reply"]), f"{reply['before']:,}", f"{reply['after']:,}") for reply in often[:NAMED]),
    )


def _answers(card: Card) -> str:
    return "translations" if card["kind"] == "translate" else "replies"


def _samples(card: Card) -> Iterator[str]:
    yield from ("## Samples", "", "Chosen by their hashes from what is learnt from.", "")
    for sample in card["samples"]:
        seconds = sample.get("seconds")
        place = _clock(seconds) if seconds is not None else f"line {sample['line']}" if "line" in sample else ""
        lines = [sample["file"] + (f", {place}" if place else "")]
        lines += [f"    {turn}" for turn in sample.get("context", ())]
        yield from _block([*lines, f"  > {sample['source']}", f"  < {sample['target']}"])


def _again(card: Card) -> Iterator[str]:
    yield from ("## Settings", "")
    yield from _block(tables_to_toml({"data": card["settings"]}).rstrip().split("\n"), "toml", longest=None)
    yield from ("## To make it again", "")
    yield from _block([card["command"]], "sh", longest=None)


def _clock(seconds: float) -> str:
    sign, whole = "-" if seconds < 0 else "", int(abs(seconds))
    minutes = f"{whole // 60 % 60:02}:{whole % 60:02}"
    return f"{sign}{whole // 3600}:{minutes}"


_KEPT = "\u200c\u200d"
"""Signs without a width that words and emoji are made with."""


def _visible(text: str, longest: int | None = LONGEST_SHOWN) -> str:
    """Return text with line ends as blanks, and what cannot be seen or turns lines around written as `\\u202e`."""
    text = re.sub(r"[\t\n\v\f\r\x1c-\x1e\x85\u2028\u2029]", " ", text)
    shown = "".join(
        f"\\u{ord(char):04x}" if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co") and char not in _KEPT else char
        for char in text
    )
    return shown if longest is None or len(shown) <= longest else f"{shown[:longest]}…"


def _code(text: str) -> str:
    """Return a code span that holds in a table too."""
    # a backslash before a bar would take the escape's place, and the bar would end the cell
    shown = _visible(text).replace("\\|", "\\¦").replace("|", "\\|")
    fence = _fence(shown, 1)
    pad = " " if shown.startswith(("`", " ")) or shown.endswith(("`", " ")) or not shown else ""
    return f"{fence}{pad}{shown}{pad}{fence}"


def _block(lines: Iterable[str], language: str = "text", *, longest: int | None = LONGEST_SHOWN) -> Iterator[str]:
    shown = [_visible(line, longest) for line in lines]
    fence = _fence("\n".join(shown), 3)
    yield from (f"{fence}{language}", *shown, fence, "")


def _fence(text: str, least: int) -> str:
    """Return more backticks than stand together in a text."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    return "`" * max(least, longest + 1)


def _plain(text: str) -> str:
    """Return a text of our own with what Markdown would read written as it is."""
    return re.sub(r"([\\`*_\[\]<>#|])", r"\\\1", text)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{' --- |' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""
