"""The readers `convai2`, `chitchat`, `chatterbot` and `dailydialog`: sets of dialogues as they are published."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain, groupby
from typing import Any, BinaryIO, Final

import yaml

from s2sbot import (
    Dialogue,
    Lost,
    Origin,
    PairReader,
    Reader,
    Turn,
    decode_text,
    hookimpl,
    json_elements,
    text_lines,
)

SNIFFED: Final = 16 * 2**10
"""Bytes that say what a file is."""
SAMPLE: Final = 2**20
"""Characters of the first lines that say whether a file is tokenised."""
LARGEST_YAML: Final = 2**20
"""Bytes of a file of YAML, which is read at once; the largest published one has 97,407."""
DEEPEST: Final = 32
_MARKS: Final = "ï»¿ÿþ"
"""The bytes of byte order marks as letters of Latin-1."""


def _plain(text: str) -> str:
    """Return `text` on one line, halves of surrogate pairs as question marks."""
    return " ".join(text.encode("utf-8", "replace").decode().split())


def _read_elements(
    stream: BinaryIO, name: str, convert: Callable[[object, Origin], Dialogue]
) -> Iterator[Dialogue | Lost]:
    """Yield what `convert` makes of every element of a file of JSON; what it raises ValueError for is lost."""
    number = 0
    try:
        for number, (_, value) in enumerate(json_elements(stream), 1):
            try:
                yield convert(value, Origin(name, line=number))
            except ValueError as error:
                yield Lost(str(error), number)
    except ValueError as error:
        if not number:
            raise
        yield Lost(str(error), number + 1)
    if not number:
        raise ValueError("no dialogues in it")


def _field(value: object, *names: str) -> Any:
    """Return the first of these fields that an object of JSON has; None where it has none, or is none."""
    return next((value[name] for name in names if name in value), None) if isinstance(value, dict) else None


def _listed(value: object, *names: str) -> list[Any]:
    found = _field(value, *names)
    if not isinstance(found, list):
        raise ValueError(f"no list of {names[0]}")
    return found


def _dialogue(turns: Iterable[Turn], origin: Origin, group: str | None = None) -> Dialogue:
    said = tuple(turn for turn in turns if turn.text)
    if not said:
        raise ValueError("no turns")
    return Dialogue(said, origin, group)


def _said(value: object) -> str:
    """Return the text of a message on one line."""
    text = _field(value, "text")
    if not isinstance(text, str):
        raise ValueError("a turn without text")
    return _plain(text)


def _speaker(value: object, *names: str) -> str | None:
    name = _field(value, *names)
    return (_plain(name) or None) if isinstance(name, str) else None


def _head_text(head: bytes) -> str:
    """Return the beginning of a file with what is ASCII in it as it stands, which is all that is looked for."""
    return head[:SNIFFED].replace(b"\0", b"").decode("latin-1").lstrip(_MARKS)


_LIST: Final = re.compile(r"\s*\[\s*\{")
_THREAD: Final = re.compile(r'"(?:dialog|thread)"\s*:\s*\[\s*\{')
_SENDER: Final = re.compile(r'"(?:sender|userId)"\s*:')


class ConvAI2:
    """Reads the lists of dialogues between people and bots of the ConvAI competitions, of 2017 and of 2018.

    Personas, the passage talked about and marks are not said by anyone. Dialogues of one person, where the file says
    who it was, are of one group.
    """

    def sniff(self, head: bytes, name: str) -> float:
        """Look for a list of objects with a thread of messages that have senders."""
        text = _head_text(head)
        return 0.95 if _LIST.match(text) and _THREAD.search(text) and _SENDER.search(text) else 0.0

    def read(self, stream: BinaryIO, name: str) -> Iterator[Dialogue | Lost]:
        """Yield every dialogue, those of one turn too."""
        return _read_elements(stream, name, _convai2_dialogue)


def _convai2_dialogue(value: object, origin: Origin) -> Dialogue:
    people = (_field(value, "participant1_id"), _field(value, "participant2_id"))
    person = next((one for one in people if _field(one, "class") in ("User", "Human")), None)
    messages = _listed(value, "dialog", "thread")
    turns = (Turn(_said(one), _speaker(one, "sender", "userId", "sender_class", "class")) for one in messages)
    return _dialogue(turns, origin, _speaker(person, "user_id"))


_BY_ID: Final = re.compile(r'\s*\{\s*"[^"]{1,80}"\s*:\s*\{')
_GROUPS: Final = re.compile(r'"messages"\s*:\s*\[\s*\[\s*\{\s*"')


class ChitChat:
    """Reads the BYU chit-chat set: conversations by id, in each the messages in groups of one sender.

    A group is a turn; its messages stand one after another in it. `start` counts from the conversation's first message.
    """

    def sniff(self, head: bytes, name: str) -> float:
        """Look for an object of objects with groups of messages."""
        text = _head_text(head)
        return 0.95 if _BY_ID.match(text) and _GROUPS.search(text) else 0.0

    def read(self, stream: BinaryIO, name: str) -> Iterator[Dialogue | Lost]:
        """Yield every conversation."""
        return _read_elements(stream, name, _chitchat_dialogue)


def _chitchat_dialogue(value: object, origin: Origin) -> Dialogue:
    begin: float | None = None
    turns = []
    for group in _listed(value, "messages"):
        messages = group if isinstance(group, list) else [group]
        for sender, run in groupby(messages, key=lambda message: _speaker(message, "sender")):
            said = list(run)
            moment = _moment(_field(said[0], "timestamp"))
            begin = moment if begin is None else begin
            start = None if moment is None or begin is None else moment - begin
            turns.append(Turn(" ".join(filter(None, map(_said, said))), sender, start))
    return _dialogue(turns, origin)


def _moment(value: object) -> float | None:
    """Return a date and time, as `2018-05-02T19:38:15Z`, in seconds; None where it is none."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
        return None if moment is None else moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()
    except (ValueError, OverflowError):
        return None


_CONVERSATIONS: Final = re.compile(r"(?:^|[\r\n])conversations[ \t]*:[ \t]*(?:#[^\r\n]*)?(?:[\r\n]|$)")
_CATEGORIES: Final = re.compile(r"(?:^|[\r\n])categories[ \t]*:")


class ChatterBot:
    """Reads ChatterBot's YAML: conversations as lists of what is said in turn.

    The parser's events are looked at, and nothing is ever built of them: an alias cannot grow, a tag has no say, and
    `yes` and `42` are the text that stands there.

    A list is a dialogue of successive turns, as ChatterBot documents it and trains on it. In some published files
    (emotion, emociones, IA, psicologia) a list of more than two is a question with several answers; nothing in them
    says so.
    """

    def sniff(self, head: bytes, name: str) -> float:
        """Look for the keys `conversations` and `categories` at the beginning of lines."""
        text = _head_text(head)
        if "conversations" not in text or not _CONVERSATIONS.search(text):
            return 0.0
        return 0.95 if _CATEGORIES.search(text) else 0.6

    def read(self, stream: BinaryIO, name: str) -> Iterator[Dialogue | Lost]:
        """Yield every conversation below every key but `categories`."""
        found = False
        try:
            data = stream.read(LARGEST_YAML + 1)
            if len(data) > LARGEST_YAML:
                raise ValueError(f"larger than {LARGEST_YAML >> 20} MiB, which no file of this kind is")
            for line, turns in _conversations(decode_text(data)[0]):
                found = True
                yield Lost(turns, line) if isinstance(turns, str) else Dialogue(turns, Origin(name, line=line))
        except yaml.YAMLError as error:
            cause = f"no YAML from here on: {getattr(error, 'problem', None) or 'a character that has no place in it'}"
            if not found:
                raise ValueError(cause) from error
            place = getattr(error, "problem_mark", None)
            yield Lost(cause, place.line + 1 if place else None)
        if not found:
            raise ValueError("no conversations in it")


_Node = tuple[int, "str | list[_Node] | None"]
"""A line from 1, and the text or list that begins there; None for what is neither."""


def _conversations(text: str) -> Iterator[tuple[int, tuple[Turn, ...] | str]]:
    """Yield the line and the turns of every conversation, or why there are none."""
    events = yaml.parse(text, Loader=getattr(yaml, "CBaseLoader", yaml.BaseLoader))
    top = next((event for event in events if isinstance(event, yaml.NodeEvent)), None)
    if not isinstance(top, yaml.MappingStartEvent):
        return
    for event in events:
        if isinstance(event, yaml.MappingEndEvent):
            return
        _, key = _node(events, event)
        value = next(events)
        if key == "categories" or not isinstance(value, yaml.SequenceStartEvent):
            _node(events, value)
            continue
        for child in events:
            if isinstance(child, yaml.SequenceEndEvent):
                break
            yield from _dialogues(_node(events, child))


def _node(events: Iterator[yaml.Event], event: yaml.Event, depth: int = 0) -> _Node:
    """Return what begins with `event`, and take the rest of it from `events`."""
    if depth > DEEPEST:
        raise ValueError(f"YAML nested more than {DEEPEST} deep")
    line = event.start_mark.line + 1 if event.start_mark else 1
    if isinstance(event, yaml.ScalarEvent):
        return line, event.value
    if not isinstance(event, yaml.CollectionStartEvent):
        return line, None
    nodes: list[_Node] = []
    for child in events:
        if isinstance(child, yaml.CollectionEndEvent):
            break
        nodes.append(_node(events, child, depth + 1))
    if isinstance(event, yaml.SequenceStartEvent):
        return line, nodes
    pair = [text for _, text in nodes if isinstance(text, str)]
    # a text with a colon in it and without quotes, as in `- Note: I do not know`
    return line, ": ".join(pair) if len(pair) == len(nodes) == 2 else None


def _dialogues(node: _Node) -> Iterator[tuple[int, tuple[Turn, ...] | str]]:
    """Yield the conversation that a node is, or those that its lists are where it holds nothing but lists."""
    line, content = node
    if isinstance(content, list) and content and all(isinstance(inner, list) for _, inner in content):
        for child in content:
            yield from _dialogues(child)
        return
    texts = list(_texts(node))
    turns = tuple(Turn(said) for said in map(_plain, filter(None, texts)) if said)
    yield line, "an alias or a mapping among the turns" if None in texts else turns or "no turns"


def _texts(node: _Node) -> Iterator[str | None]:
    _, content = node
    if isinstance(content, list):
        for child in content:
            yield from _texts(child)
    else:
        yield content


_END: Final = "__eou__"
_CLOSING: Final = frozenset([".", ",", "?", "!", ";", ":", "...", "..", "…", ")", "]", "”"])
_OPENING: Final = frozenset(["(", "[", "“"])
_SHORT: Final = frozenset(["s", "m", "d", "ll", "re", "ve"])
_FREE: Final = re.compile(r"(?<=\s)[.,](?=\s)")
_TIED: Final = re.compile(r"(?<=\w)[.,](?=\s)")


def is_tokenised(lines: Iterable[str]) -> bool:
    """Tell whether more full stops and commas stand free than follow a word."""
    return sum(len(_FREE.findall(line)) - len(_TIED.findall(line)) for line in lines) > 0


def detokenise(text: str) -> str:
    """Take out the spaces that surely were put in; nothing else changes.

    - none before a free `. , ? ! ; : ... ) ] ”`, unless digits stand on both sides of it (`8 : 30`, `1 , 2`)
    - none after a free `( [ “`, and none between `$` and digits
    - none around a free apostrophe between a word and `s m d ll re ve`, between `n` and `t`, and in o'clock and ma'am;
      none before `'s` and `n't`

    Straight quotes, dashes, `%`, `/` and `&` stay as they are: which side they belong to is a guess.
    """
    tokens = text.split()
    glued = [_is_glued(tokens, place) for place in range(1, len(tokens))]
    return "".join(tokens[:1] + [word if tie else f" {word}" for tie, word in zip(glued, tokens[1:], strict=True)])


def _is_glued(tokens: Sequence[str], place: int) -> bool:
    """Tell whether no space belongs between the token at `place` and the one before it."""
    before, token = tokens[place - 1], tokens[place]
    after = tokens[place + 1] if place + 1 < len(tokens) else ""
    if token in _CLOSING:
        return before not in _OPENING and not (before[-1].isdigit() and after[:1].isdigit())
    if before == "$":
        return token[0].isdigit() and not (place > 1 and tokens[place - 2][-1].isdigit())
    if before in _OPENING or token in ("'", "’"):
        return before in _OPENING or _is_short(before, after)
    if before in ("'", "’"):
        return place > 1 and _is_short(tokens[place - 2], token)
    return before[-1].isalpha() and (
        (token[0] in "'’" and token[1:].lower() in _SHORT) or token.lower() in ("n't", "n’t")
    )


def _is_short(word: str, ending: str) -> bool:
    word, ending = word.lower(), ending.lower()
    if (word, ending) in (("o", "clock"), ("ma", "am")):
        return True
    return word[-1].isalpha() and (ending in _SHORT or (ending == "t" and word.endswith("n")))


class DailyDialog:
    """Reads a dialogue a line, with `__eou__` after each turn; columns of labels behind a tab are passed over."""

    def sniff(self, head: bytes, name: str) -> float:
        """Look for the mark in most lines."""
        text = _head_text(head)
        if _END not in text:
            return 0.0
        lines = [line for line in re.split(r"[\r\n]+", text) if line.strip()]
        return 0.95 if sum(_END in line for line in lines) >= 0.8 * len(lines) else 0.0

    def read(self, stream: BinaryIO, name: str) -> Iterator[Dialogue | Lost]:
        """Yield a dialogue for every line, with its punctuation put back where the file is tokenised."""
        lines = text_lines(stream)
        first = list(_first(lines))
        mend = detokenise if is_tokenised(line for line in first if isinstance(line, str)) else _plain
        for number, line in enumerate(chain(first, lines), 1):
            if isinstance(line, Lost):
                yield line
                continue
            said = line.partition("\t")[0]
            turns = tuple(Turn(text) for text in map(mend, said.split(_END)) if text)
            if _END in said and turns:
                yield Dialogue(turns, Origin(name, line=number))
            elif line.strip():
                yield Lost(f"no {_END}" if _END not in said else "no turns", number)


def _first(lines: Iterable[str | Lost]) -> Iterator[str | Lost]:
    """Yield lines up to the one that makes them a sample."""
    size = 0
    for line in lines:
        yield line
        size += len(line) if isinstance(line, str) else 0
        if size > SAMPLE:
            return


@hookimpl
def register_readers() -> Mapping[str, type[Reader] | type[PairReader]]:
    """Offer `convai2`, `chitchat`, `chatterbot` and `dailydialog`."""
    return {"convai2": ConvAI2, "chitchat": ChitChat, "chatterbot": ChatterBot, "dailydialog": DailyDialog}
