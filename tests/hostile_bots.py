"""A seed and a number go in, a bot folder made to do harm comes out: the same one every time.

    python tests/hostile_bots.py serve [torch] < jobs

opens such folders, each in a process of its own that an audit hook of the interpreter watches (PEP 578), and tells of
each what became of it.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import math
import os
import pickle
import resource
import selectors
import shutil
import signal
import socket
import stat
import struct
import sys
import time
import typing
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

__all__ = ["FAMILIES", "Bench", "Family", "Hostile", "hostile_bot", "model_proto", "piece", "right_bots", "watched"]

HUGE = 100 * 2**30
PATIENCE = 10.0
"""Seconds of the clock after which a folder hangs."""
LINES = ["Hello, is it you?", "No, it is not me.", "Where are we going?", "Across the water, as ever.", "Good night!"]


@dataclass(frozen=True, slots=True)
class Hostile:
    """A folder that does harm where it can.

    file   what an error must name
    late   True where it is seen only when the model is built, and torch is there
    tame   True where it may be a right bot, as one whose file was changed by chance
    """

    number: int
    family: str
    folder: Path
    file: str
    late: bool
    tame: bool


@dataclass(frozen=True, slots=True)
class Family:
    """A way to make a right bot hostile; `base` is the tokenizer of the bot, or "" for any."""

    make: Callable[[Bench], None]
    base: str = ""
    file: str = ""
    late: bool = False
    tame: bool = False


@dataclass(slots=True)
class Bench:
    """A copy of a right bot, and what may be done to it; `outside` is a folder that nothing may touch."""

    folder: Path
    outside: Path
    random: Random
    description: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self.description = json.loads((self.folder / "bot.json").read_text("utf-8"))

    @property
    def weights(self) -> Path:
        return self.folder / str(self.description["weights"])

    @property
    def table(self) -> Path:
        """Return the tokenizer's file, or one of the two."""
        return self.random.choice(sorted(path for path in (self.folder / "tokenizer").rglob("*") if path.is_file()))

    def describe(self, **changes: Any) -> None:
        self.description.update(changes)
        (self.folder / "bot.json").write_text(json.dumps(self.description), "utf-8")

    def text(self, old: str, new: str) -> None:
        """Change the text of the description itself, to what no JSON writer writes."""
        text = json.dumps(self.description)
        assert old in text
        (self.folder / "bot.json").write_text(text.replace(old, new, 1), "utf-8", errors="surrogatepass")

    def tensors(self) -> tuple[dict[str, Any], bytes]:
        data = self.weights.read_bytes()
        (length,) = struct.unpack_from("<Q", data)
        return json.loads(data[8 : 8 + length]), data[8 + length :]

    def header(self, header: Any, data: bytes | None = None) -> None:
        raw = header if isinstance(header, bytes) else json.dumps(header).encode()
        self.weights.write_bytes(struct.pack("<Q", len(raw)) + raw + (self.tensors()[1] if data is None else data))

    def entry(self, **changes: Any) -> None:
        """Change what the header says of one tensor."""
        header, data = self.tensors()
        name = self.random.choice(sorted(header))
        self.header({**header, name: {**header[name], **changes}}, data)

    def gadget(self) -> Any:
        """Return an object that runs something when it is unpickled."""
        ran = self.outside / "ran"
        ways = (
            (os.system, (f"touch {ran}",)),
            (exec, (f"open({str(ran)!r}, 'w')",)),
            (eval, (f"__import__('os').mkdir({str(ran)!r})",)),
            (open, (str(ran), "w")),
            (socket.create_connection, (("127.0.0.1", 9),)),
            (os.kill, (os.getpid(), signal.SIGTERM)),
        )
        return _Gadget(*self.random.choice(ways))

    def replace(self, path: Path, kind: str) -> None:
        """Put something that is no file, or not one of the folder's, in a file's place."""
        name = path.relative_to(self.folder)
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
        if kind == "pipe":
            os.mkfifo(path)
        elif kind == "folder":
            path.mkdir()
        elif kind == "socket":
            # its path is too long for an address elsewhere than in its own folder
            here = Path.cwd()
            os.chdir(path.parent)
            with socket.socket(socket.AF_UNIX) as server:
                server.bind(path.name)
            os.chdir(here)
        elif kind == "holes":
            with path.open("wb") as stream:
                stream.truncate(HUGE)
        else:
            target = {"right": self.outside / "right" / name, "loop": path, "nowhere": self.outside / "nowhere"}
            path.symlink_to(target.get(kind, Path(kind)))


class _Gadget:
    def __init__(self, function: Any, arguments: tuple[Any, ...]) -> None:
        self._reduced = function, arguments

    def __reduce__(self) -> Any:
        return self._reduced


NO_FILES = ("pipe", "folder", "socket", "holes", "loop", "nowhere", "/etc/passwd", "/dev/zero", "/dev/tty", "right")


# The weights


def _pickled(bench: Bench) -> None:
    bench.weights.write_bytes(pickle.dumps(bench.gadget(), bench.random.randrange(6)))


def _torch_file(bench: Bench) -> None:
    with zipfile.ZipFile(bench.weights, "w") as archive:
        archive.writestr(zipfile.ZipInfo("archive/data.pkl"), pickle.dumps(bench.gadget(), 2))
        archive.writestr(zipfile.ZipInfo("archive/version"), "3\n")


def _polyglot(bench: Bench) -> None:
    """Right tensors, and behind them an archive or a pickle."""
    right = bench.weights.read_bytes()
    _torch_file(bench)
    tail = bench.random.choice([bench.weights.read_bytes(), pickle.dumps(bench.gadget())])
    bench.weights.write_bytes(right + tail)


def _pickled_header(bench: Bench) -> None:
    bench.header(pickle.dumps(bench.gadget()))


def _noise(bench: Bench) -> None:
    size = bench.random.choice([0, 1, 7, 8, 9, 64, 5_000])
    bench.weights.write_bytes(bench.random.randbytes(size))


def _header_size(bench: Bench) -> None:
    data = bench.weights.read_bytes()
    size = bench.random.choice([2**64 - 1, 2**63, 2**31, 100_000_000, len(data) - 7, len(data) - 8, len(data), 0, 1])
    bench.weights.write_bytes(struct.pack("<Q", size) + data[8:])


def _cut(bench: Bench) -> None:
    data = bench.weights.read_bytes()
    bench.weights.write_bytes(data[: bench.random.randrange(len(data))])


def _longer(bench: Bench) -> None:
    bench.weights.write_bytes(bench.weights.read_bytes() + bytes(bench.random.choice([1, 4, 2**16])))


def _offsets(bench: Bench) -> None:
    header, data = bench.tensors()
    name = bench.random.choice([name for name, place in sorted(header.items()) if place["data_offsets"][0] > 0])
    begin, end = header[name]["data_offsets"]
    wrong = [
        [0, end - begin], [begin + 4, end + 4], [begin, end + 4], [begin - 4, end], [end, begin], [-4, end], [begin],
        [begin, end, end], [begin, 2**64], [begin, 2**63 - 1], [float(begin), float(end)], [True, end],
        [str(begin), str(end)], [[begin], [end]], {"begin": begin, "end": end}, None, begin, [10**30, 10**30 + 4],
    ]  # fmt: skip
    bench.header({**header, name: {**header[name], "data_offsets": bench.random.choice(wrong)}}, data)


def _overlap(bench: Bench) -> None:
    """Two tensors of one shape in one place, and a hole where the second one was."""
    header, data = bench.tensors()
    one, other = bench.random.sample(sorted(header), 2)
    header[other] = dict(header[one])
    bench.header(header, data)


def _shape(bench: Bench) -> None:
    wrong = [
        [-1], [-1, -1], [2**63], [2**32, 2**32], [2**62, 4], [0], [], [1] * 1_000, [1.0], ["4"], [True], None, 4, {},
        [[4]], [10**400], [2**31] * 8, [10**9],
    ]  # fmt: skip
    bench.entry(shape=bench.random.choice(wrong))


def _dtype(bench: Bench) -> None:
    bench.entry(
        dtype=bench.random.choice(["F4", "f32", "", "OBJECT", "F32\0", 4, None, ["F32"], {}, "I" * 5_000, "F64"])
    )


def _entry(bench: Bench) -> None:
    wrong = [None, [], "F32", 1, {}, {"dtype": "F32"}, {"dtype": "F32", "shape": [], "data_offsets": [0, 4], "code": 1}]
    header, data = bench.tensors()
    bench.header({**header, bench.random.choice(sorted(header)): bench.random.choice(wrong)}, data)


def _names(bench: Bench) -> None:
    header, data = bench.tensors()
    name = bench.random.choice(sorted(header))
    new = bench.random.choice(["", "a\0b", "x" * 100_000, "\x1b[2J", "a\nb", "\u202e", "\ud800"])
    bench.header({new if key == name else key: value for key, value in header.items()}, data)


def _twice(bench: Bench) -> None:
    header, data = bench.tensors()
    raw = json.dumps(header)
    name = bench.random.choice(sorted(header))
    bench.header(f'{raw[:-1]}, "{name}": {json.dumps(header[name])}}}'.encode(), data)


def _metadata(bench: Bench) -> None:
    header, data = bench.tensors()
    wrong = [[], "x", 1, None, {"a": 1}, {"a": {"b": "c"}}, {"a": None}, {"a": "x" * 500_000}, {"k" * 5_000: ""}]
    bench.header({"__metadata__": bench.random.choice(wrong), **header}, data)


def _many(bench: Bench) -> None:
    count = bench.random.choice([5_000, 9_000, 100_000])
    bench.header({f"t{i}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(count)}, b"")


def _header_text(bench: Bench) -> None:
    raw = json.dumps(bench.tensors()[0])
    wrong = [
        b"[" * 900_000, b"{" * 900_000, b'{"a":' * 180_000, b"[]", b"1", b"{}", b"null", b'""', b"  ",
        b"{" + b'"a":{},' * 100_000 + b'"b":{}}', b"[" + b"{}," * 300_000 + b"{}]", b'{"a":' + b"9" * 900_000 + b"}",
        b'{"a":NaN}', b'{"a":-Infinity}', b'{"a":1e999}', b"\xef\xbb\xbf" + raw.encode(), raw.encode("utf-16"),
        raw.encode("utf-32"), raw.encode()[:-1], raw.encode() + b"x", b"\xff" + raw.encode(), b"'" + raw.encode(),
    ]  # fmt: skip
    bench.header(bench.random.choice(wrong))


def _weights_of_holes(bench: Bench) -> None:
    """A right header over a hundred gigabytes that are on no disk."""
    raw = json.dumps({"a": {"dtype": "F32", "shape": [HUGE // 4], "data_offsets": [0, HUGE]}}).encode()
    bench.weights.write_bytes(struct.pack("<Q", len(raw)) + raw)
    os.truncate(bench.weights, 8 + len(raw) + HUGE)


def _no_weights(bench: Bench) -> None:
    bench.replace(bench.weights, bench.random.choice(NO_FILES))


def _missing_weights(bench: Bench) -> None:
    bench.weights.unlink()


# The description


def _bytes_of_description(bench: Bench) -> None:
    raw = json.dumps(bench.description).encode()
    wrong = [
        b"", b"\0" * 5_000, b"[" * 1_000_000, b'{"a":' * 150_000, b"[" + b"{}," * 330_000 + b"{}]", b"[]", b"null",
        b"7",
        b"\xef\xbb\xbf" + raw, raw.decode().encode("utf-16"), raw.decode().encode("utf-32"), raw[:-1], raw + raw,
        raw.replace(b"chat", b"ch\xffat"), raw.replace(b"translate", b"tr\xed\xa0\x80"), b"\x1f\x8b" + raw,
        b'"' + b"a" * 1_040_000 + b'"', b'{"' + b"a" * 1_000_000 + b'": 1}', raw + b" " * 2**21,
        pickle.dumps(bench.gadget()), pickle.dumps(bench.gadget(), 0), b"9" * 1_000_000, b"-" * 1_000_000,
    ]  # fmt: skip
    if "chat" not in bench.description["kind"]:
        wrong[13] = b"\xff"
    else:
        wrong[14] = b"\xfe"
    (bench.folder / "bot.json").write_bytes(bench.random.choice(wrong))


def _no_description(bench: Bench) -> None:
    bench.replace(bench.folder / "bot.json", bench.random.choice(NO_FILES))


def _numbers(bench: Bench) -> None:
    old = f'"source_vocab": {bench.description["source_vocab"]}'
    new = bench.random.choice(
        ["NaN", "Infinity", "-Infinity", "1e999", "-1e400", "9" * 4_000, "1" + "0" * 900_000, "1e5", "true", '"8"',
         "-1", "0", "15", "10000001", "9223372036854775808", "0x10", "1_000", "1.0", "null", "[17]"]
    )  # fmt: skip
    bench.text(old, f'"source_vocab": {new}')


def _keys_twice(bench: Bench) -> None:
    key = bench.random.choice(["weights", "model", "format", "config", "uuid"])
    bench.text("{", f'{{"{key}": {json.dumps(bench.description[key])}, ')


def _types(bench: Bench) -> None:
    key = bench.random.choice(sorted(bench.description))
    own = bench.description[key]
    wrong = [None, True, 7, -1.5, "x\0y", "", [], {}, ["a"], {"a": 1}, [[]], {"__class__": "os.system"}]
    other = [value for value in wrong if type(value) is not type(own)]
    bench.describe(**{key: bench.random.choice(other)})


def _missing_key(bench: Bench) -> None:
    del bench.description[bench.random.choice(sorted(bench.description))]
    bench.describe()


def _unknown_key(bench: Bench) -> None:
    name = bench.random.choice(
        ["auto_map", "__class__", "architectures", "import", "x" * 300, "tokenizer_path", "\x1b]0;"]
    )
    bench.describe(**{name: bench.random.choice(["os.system", {"AutoModel": "evil.Evil"}, [], 1])})


PATHS = (
    "../right/{weights}", "/etc/passwd", "..", ".", "", "weights-0123456789abcdef.safetensors\0", "{weights}/../x",
    "weights-0123456789abcdef.safetensors\n", "weights-0123456789ABCDEF.safetensors", "tokenizer/{weights}",
    "{outside}/right/{weights}", "file://{outside}/right/{weights}", "http://127.0.0.1:9/{weights}", "~/x", "CON",
    "weights-0123456789abcdef.pt", "\\\\server\\share", "{weights}::$DATA", "weights-*.safetensors", "bot.json",
)  # fmt: skip


def _weights_elsewhere(bench: Bench) -> None:
    path = bench.random.choice(PATHS).format(weights=bench.weights.name, outside=bench.outside)
    bench.describe(weights=path)


def _plugin_names(bench: Bench) -> None:
    key = bench.random.choice(["model", "tokenizer"])
    names = [
        "../evil",
        "os:system",
        "s2sbot_words:Words",
        "",
        ".",
        "a/b",
        "\0",
        "__import__('os').system('x')",
        "x" * 101,
    ]
    bench.describe(**{key: bench.random.choice(names)})


def _unknown_tokenizer(bench: Bench) -> None:
    bench.describe(tokenizer=bench.random.choice(["os.system", "pickle", "torch", "evil", "Words", "builtins.eval"]))


def _values(bench: Bench) -> None:
    wrong: list[dict[str, Any]] = [
        {"kind": "oracle"}, {"kind": "chat\0"}, {"uuid": ""}, {"uuid": "x" * 10_000}, {"uuid": "\ud800"},
        {"uuid": "'; DROP TABLE messages; --"}, {"languages": ["\x1b[2J", "\u202e"]}, {"languages": ["x" * 9_000,
        "en"]},
        {"languages": [1, 2]}, {"corpora": ["x"]}, {"corpora": [[]]}, {"corpora": [{"exchanges": "x"}]},
        {"metrics": {"valid_perplexity": [1]}}, {"versions": {"s2sbot": 1}},
        {"versions": {"s2sbot": "\ud800"}}, {"decode": {"method": "x" * 9_000}}, {"decode": {"beam_size": 10**9}},
        {"decode": {"max_length": 10**9}}, {"decode": {"beam": 1}}, {"decode": {"temperature": 0}},
        {"decode": {"x" * 190: 1}}, {"data": {"context_turns": 10**6}}, {"data": {"max_length": 10**9}},
        {"data": {"max_length": "48"}}, {"data": {"evil": 1}}, {"metrics": {"a": "x" * 100_000}},
        {"metrics": {"x" * 9_000: 1}}, {"source_vocab": 10**9}, {"target_vocab": 2**62},
        {"corpora": [{"a": [[[[[[[[[[[[[1]]]]]]]]]]]]]}]}, {"config": {"a": {"b": "\udfff"}}},
    ]  # fmt: skip
    bench.describe(**bench.random.choice(wrong))


def _other_vocabulary(bench: Bench) -> None:
    key = bench.random.choice(["source_vocab", "target_vocab"])
    new = bench.random.choice([bench.description[key] + 1, bench.description[key] - 1, 17, 10_000_000])
    bench.describe(**{key: new if new != bench.description[key] else new + 1})


# The tokenizer


def _no_tokenizer_file(bench: Bench) -> None:
    bench.replace(bench.table, bench.random.choice(NO_FILES))


def _no_tokenizer_folder(bench: Bench) -> None:
    folders = [bench.folder / "tokenizer", bench.table.parent]
    bench.replace(bench.random.choice(folders), bench.random.choice([kind for kind in NO_FILES if kind != "folder"]))


def _file_as_tokenizer_folder(bench: Bench) -> None:
    bench.replace(bench.folder / "tokenizer", "folder")
    (bench.folder / "tokenizer").rmdir()
    (bench.folder / "tokenizer").write_bytes(pickle.dumps(bench.gadget()))


def _missing_table(bench: Bench) -> None:
    bench.table.unlink()


def _beside_the_table(bench: Bench) -> None:
    """Things in the tokenizer's folder that no tokenizer wrote."""
    place = bench.table.parent
    way = bench.random.randrange(4)
    if way == 0:
        (place / "more").symlink_to(bench.outside / "right")
    elif way == 1:
        os.mkfifo(place / "more")
    elif way == 2:
        for number in range(200):
            (place / f"{number}.json").write_text("[]")
    else:
        (place / "more").write_bytes(b"")
        os.truncate(place / "more", HUGE)


def _table_text(bench: Bench) -> None:
    right = bench.table.read_bytes()
    big = bench.random.choice([50_000, 900_000])
    wrong = [
        b"", b"null", b"[1, 2]", b'{"a": 1}', b"[" * 1_000_000, b"[" + b"{}," * big + b"{}]", b'["a", "a"]', b'[""]',
        b'["\\ud800"]', b'"\\udfff"', b"[NaN]", b"[" + b"0," * big + b"0]", b'["' + b"x" * 20_000_000 + b'"]', b'""',
        b'["' + b"x" * 11_000 + b'"]', b'"' + b"ab" * big + b'"', right[:-1], right + right, b"\xff" + right,
        right.decode().encode("utf-16"), b"\xef\xbb\xbf" + right, pickle.dumps(bench.gadget()), b"9" * 1_000_000,
        b"[" + b"," * big + b"]", b'"' + b"\\" * big, b"[" + b'"ab",' * (8 * 2**20 // 5) + b'"ab"]', b"1e999",
        b'["a" "b"]',
    ]  # fmt: skip
    bench.table.write_bytes(bench.random.choice(wrong))


# SentencePiece


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def _field(number: int, value: bytes | int) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def piece(text: bytes, score: float = -3.0, kind: int = 1) -> bytes:
    """Return a piece of a SentencePiece model as its message has it."""
    inner = _field(1, text) + b"\x15" + struct.pack("<f", score)
    return _field(1, inner + (_field(3, kind) if kind != 1 else b""))


def _numbered(count: int) -> bytes:
    """Return as many pieces, written at once."""
    score = b"\x15" + struct.pack("<f", -3.0)
    return b"".join(b"\x0a\x0e\x0a\x07p%06d" % number + score for number in range(count))


def _charsmap(units: list[int], forms: bytes) -> bytes:
    return struct.pack("<I", 4 * len(units)) + struct.pack(f"<{len(units)}I", *units) + forms


RESERVED = ["<pad>", "<unk>", "<s>", "</s>", "<sep>", *(f"<reserved{index}>" for index in range(5, 16))]
TRAINING = {35: 0, 40: 1, 41: 2, 42: 3, 43: 0}


def model_proto(
    *,
    names: list[str] = RESERVED,
    pieces: bytes = b"",
    training: dict[int, bytes | int] | None = None,
    charsmap: bytes | None = None,
    normalisation: bytes = b"",
    tail: bytes = b"",
) -> bytes:
    """Return a SentencePiece model of a dozen letters, with parts of it changed."""
    first = b"".join(piece(name.encode(), 0.0, 2 if name == "<unk>" else 3) for name in names)
    letters = b"".join(piece(letter.encode(), -2.0) for letter in "\u2581ehlostawr,.")
    spec = b"".join(_field(number, value) for number, value in {**TRAINING, **(training or {})}.items())
    rules = _field(1, b"nmt_nfkc") + (b"" if charsmap is None else _field(2, charsmap)) + normalisation
    return first + letters + pieces + _field(2, spec) + _field(3, rules) + tail


def _pieces(bench: Bench) -> None:
    wrong = [
        piece(b"a" * 100_001), piece(b"ab" * 500_000), piece(b"x" * 121), piece(b""), piece(b"e"), piece(b"<s>"),
        piece(b"a\0b"), piece(b"\xff\xfe"), piece(b"\xed\xa0\x80"), piece(b"q", math.nan), piece(b"q", math.inf),
        piece(b"q", -math.inf), piece(b"q", 3e38), piece(b"q", -3e38), piece(b"q", kind=99), piece(b"q", kind=2),
        piece(b"q", kind=3), piece(b"q", kind=4), piece(b"q", kind=5), piece(b"<0x41>", kind=6), _field(1, b""),
        _field(1, b"\x0a\x7f"), b"\x0a", b"\x0a\x7f", b"\x0a\x05\x0a", _field(1, b"\x0b" * 100), b"\x0b" * 50_000,
        _numbered(400_000), piece(b"p") * 50_000,
        b"".join(piece(b"<0x%02X>" % byte, 0.0, 6) for byte in range(256)), _field(1, _field(3, 1) + _field(1, b"q")),
    ]  # fmt: skip
    bench.table.write_bytes(model_proto(pieces=bench.random.choice(wrong)))


def _reserved(bench: Bench) -> None:
    names = bench.random.choice(
        [[], RESERVED[:1], RESERVED[:-1], RESERVED[::-1], [*RESERVED[:4], *RESERVED[5:], "<x>"]]
    )
    bench.table.write_bytes(model_proto(names=names))


def _specs(bench: Bench) -> None:
    minus = 2**64 - 1
    wrong: list[dict[str, Any]] = [
        {"training": {3: 2}}, {"training": {3: 3}}, {"training": {3: 4}}, {"training": {3: 99}}, {"training": {35: 1}},
        {"training": {24: 1}}, {"training": {40: 5}}, {"training": {41: minus}}, {"training": {43: 2**31 - 1}},
        {"training": {42: 2**63}}, {"training": {44: b"q" * 2**20}}, {"training": {1: b"/etc/passwd" * 9_000}},
        {"normalisation": _field(6, b"/etc/passwd")}, {"normalisation": _field(2, b"") + _field(2, b"")},
        {"normalisation": _field(9, b"x" * 3 * 2**20)}, {"tail": _field(2, _field(3, 2))}, {"tail": _field(3, b"")},
        {"tail": _field(4, _field(1, _field(1, b"Hello") + _field(2, b"x")))}, {"tail": _field(5, _field(2,
        b"\xff" * 99))},
        {"tail": _field(200, b"x")}, {"tail": b"\xff" * 12}, {"tail": b"\x0b" * 100_000},
        {"tail": _varint(3 << 3 | 2) + b"\x7f"},
        {"training": {3: b"\x01"}},
    ]  # fmt: skip
    bench.table.write_bytes(model_proto(**bench.random.choice(wrong)))


def _normalisation(bench: Bench) -> None:
    """Maps that lead out of themselves, or make long texts of short ones."""
    leaf, far = 0x80000000, 0x1FFFFF << 10 | 0x200
    step = list(range(256))
    wrong = [
        b"\x01", struct.pack("<I", 2**31) + bytes(100), struct.pack("<I", 0) + bytes(100), struct.pack("<I",
        7) + bytes(8),
        _charsmap([0xFFFFFFFF] * 256, b"\0"), _charsmap([far] * 256, b"\0"), _charsmap([leaf | 9] * 256, b"\0"),
        _charsmap([0x100] * 256, b"\0"), _charsmap([0] * 256, b"x"), _charsmap([0] * 256, b"\xff\0"),
        _charsmap([0] * 256, b""),
        _charsmap([0] * 256, b"x" * 1_000_000 + b"\0"), _charsmap([0] * 255, b"\0"), _charsmap([leaf] * 512, b"\0"),
        _charsmap([unit | far for unit in step], b"\0"), _charsmap([bench.random.getrandbits(32) for _ in range(512)],
        b"a\0"),
        bytes(5 * 2**20),
    ]  # fmt: skip
    bench.table.write_bytes(model_proto(charsmap=bench.random.choice(wrong)))


def _model_bytes(bench: Bench) -> None:
    right = bench.table.read_bytes()
    wrong = [
        b"", right[: bench.random.randrange(len(right))], bench.random.randbytes(5_000), right + right, b"\0" * 100_000,
        pickle.dumps(bench.gadget()), right[1:], b"\xff" * 100_000, right + b"\0", b"\x0a\x00" * 1_000_000,
        bytes(17 * 2**20),
    ]  # fmt: skip
    bench.table.write_bytes(bench.random.choice(wrong))


# What only the model can know


def _knobs(bench: Bench) -> None:
    size = bench.random.choice([10**5, 10**6, 10**9, 2**31, 2**62, 10**18])
    wrong = [
        {"hidden_size": size}, {"embedding_size": size}, {"hidden_size": size, "embedding_size": size},
        {"hidden_size": size, "initialisation": "orthogonal"}, {"depth": [1, 16], "hidden_size": size}, {"depth": 16},
        {"hidden_size": 2 * bench.description["config"]["hidden_size"]}, {"tie_output": False}, {"cell": "gru"},
        {"depth": [1, 10**9]}, {"depth": 0}, {"hidden_size": -4}, {"hidden_size": "16"}, {"hidden_size": 16.5},
        {"evil": 1},
        {"cell": "os.system"}, {"cell": ["lstm"]}, {"dropout": 1e200}, {"depth": [[[]]]}, {"initialisation": {}},
    ]  # fmt: skip
    bench.describe(config={**bench.description["config"], **bench.random.choice(wrong)})


def _other_tensors(bench: Bench) -> None:
    header, data = bench.tensors()
    name = bench.random.choice(sorted(header))
    entry = header.pop(name)
    begin, end = entry["data_offsets"]
    way = bench.random.randrange(5)
    if way == 0:
        header["evil" if bench.random.random() < 0.5 else f"{name}.x"] = entry
    elif way == 1:
        header[name] = {**entry, "shape": [1, *entry["shape"]]}
    elif way == 2:
        header[name] = {**entry, "shape": [math.prod(entry["shape"])] * 1 + [1]}
    elif way == 3:
        header[name] = {**entry, "dtype": "U8", "shape": [end - begin]}
    else:
        header = {
            **header,
            name: entry,
            "extra": {"dtype": "F32", "shape": [4], "data_offsets": [len(data), len(data) + 16]},
        }
        data += bytes(16)
    bench.header(header, data)


def _no_numbers(bench: Bench) -> None:
    header, data = bench.tensors()
    changed = bytearray(data)
    begin, end = bench.random.choice([place["data_offsets"] for place in header.values()])
    at = bench.random.randrange(begin, end, 4)
    changed[at : at + 4] = struct.pack("<f", bench.random.choice([math.nan, math.inf, -math.inf]))
    bench.header(header, bytes(changed))


def _unknown_model(bench: Bench) -> None:
    bench.describe(model=bench.random.choice(["os.system", "evil", "torch.nn.Module", "Attention", "transformer"]))


# Chance


def _changed(path: Path, random: Random) -> None:
    data = bytearray(path.read_bytes())
    for _ in range(random.choice([1, 1, 3, 20])):
        at = random.randrange(len(data)) if random.random() < 0.5 else random.randrange(min(len(data), 400))
        data[at : at + random.choice([0, 1, 1, 1])] = random.randbytes(random.choice([0, 1, 1, 1]))
    path.write_bytes(bytes(data))


def _changed_weights(bench: Bench) -> None:
    _changed(bench.weights, bench.random)


def _changed_description(bench: Bench) -> None:
    _changed(bench.folder / "bot.json", bench.random)


def _changed_table(bench: Bench) -> None:
    _changed(bench.table, bench.random)


JSON, WEIGHTS = "bot.json", ".safetensors"
FAMILIES: dict[str, Family] = {
    "pickle as weights": Family(_pickled, file=WEIGHTS),
    "torch file as weights": Family(_torch_file, file=WEIGHTS),
    "archive or pickle behind the weights": Family(_polyglot, file=WEIGHTS),
    "pickle as header": Family(_pickled_header, file=WEIGHTS),
    "noise as weights": Family(_noise, file=WEIGHTS),
    "size of the header": Family(_header_size, file=WEIGHTS),
    "weights cut short": Family(_cut, file=WEIGHTS),
    "weights with more behind them": Family(_longer, file=WEIGHTS),
    "place of a tensor": Family(_offsets, file=WEIGHTS),
    "two tensors in one place": Family(_overlap, file=WEIGHTS),
    "shape of a tensor": Family(_shape, file=WEIGHTS),
    "type of a tensor": Family(_dtype, file=WEIGHTS),
    "entry of a tensor": Family(_entry, file=WEIGHTS),
    "name of a tensor": Family(_names, file=WEIGHTS),
    "tensor named twice": Family(_twice, file=WEIGHTS),
    "metadata": Family(_metadata, file=WEIGHTS),
    "thousands of tensors": Family(_many, file=WEIGHTS),
    "text of the header": Family(_header_text, file=WEIGHTS),
    "weights of holes": Family(_weights_of_holes, file=WEIGHTS),
    "weights that are no file": Family(_no_weights, file=WEIGHTS),
    "missing weights": Family(_missing_weights, file=WEIGHTS),
    "text of the description": Family(_bytes_of_description, file=JSON),
    "description that is no file": Family(_no_description, file=JSON),
    "numbers of the description": Family(_numbers, file=JSON),
    "keys twice": Family(_keys_twice, file=JSON),
    "types of the description": Family(_types, file=JSON),
    "missing key": Family(_missing_key, file=JSON),
    "unknown key": Family(_unknown_key, file=JSON),
    "weights elsewhere": Family(_weights_elsewhere, file=JSON),
    "names of plugins": Family(_plugin_names, file=JSON),
    "unknown tokenizer": Family(_unknown_tokenizer),
    "values of the description": Family(_values, file=JSON),
    "vocabulary of another size": Family(_other_vocabulary),
    "tokenizer's file that is no file": Family(_no_tokenizer_file, base="words", file="tokenizer"),
    "model of pieces that is no file": Family(_no_tokenizer_file, base="sentencepiece", file="tokenizer"),
    "tokenizer's folder elsewhere": Family(_no_tokenizer_folder, base="characters", file="tokenizer"),
    "file as the tokenizer's folder": Family(_file_as_tokenizer_folder, file="tokenizer"),
    "missing table": Family(_missing_table, base="characters", file="tokenizer"),
    "beside the table": Family(_beside_the_table, base="words", file="tokenizer"),
    "table of words": Family(_table_text, base="words", file="words.json"),
    "table of characters": Family(_table_text, base="characters", file="characters.json"),
    "pieces": Family(_pieces, base="sentencepiece", file="sentencepiece.model"),
    "more pieces": Family(_pieces, base="sentencepiece", file="sentencepiece.model"),
    "reserved pieces": Family(_reserved, base="sentencepiece", file="sentencepiece.model"),
    "parts of the model of pieces": Family(_specs, base="sentencepiece", file="sentencepiece.model"),
    "map of the normalisation": Family(_normalisation, base="sentencepiece", file="sentencepiece.model"),
    "bytes of the model of pieces": Family(_model_bytes, base="sentencepiece", file="sentencepiece.model"),
    "knobs of the model": Family(_knobs, late=True),
    "other tensors": Family(_other_tensors, late=True),
    "no numbers": Family(_no_numbers, late=True),
    "unknown model": Family(_unknown_model, late=True),
    "weights changed by chance": Family(_changed_weights, late=True, tame=True),
    "description changed by chance": Family(_changed_description, late=True, tame=True),
    "table changed by chance": Family(_changed_table, base="words", late=True, tame=True),
    "model of pieces changed by chance": Family(_changed_table, base="sentencepiece", late=True, tame=True),
}


def right_bots(folder: Path) -> dict[str, Path]:
    """Make a right bot of every tokenizer, whose weights nobody trained."""
    import torch

    import s2sbot
    from s2sbot.bot import BotDescription, save_tokenizers, save_weights, write_description
    from s2sbot.nn.encoder_decoder import model_tensors
    from s2sbot.plugins import Plugins

    plugins = Plugins()
    bots = {}
    names = {"words": "attention", "sentencepiece": "simple", "characters": "peek", "bytes": "stateful-broadcast"}
    for name, model in names.items():
        bot = folder / f"{name}.bot"
        bot.mkdir(parents=True)
        shared = name != "characters"
        source = plugins.tokenizer(name).train(iter(LINES), None)
        target = source if shared else plugins.tokenizer(name).train(iter(LINES[::-1][:3]), None)
        save_tokenizers(bot, source, target)
        kind, config = plugins.model(model), {"embedding_size": 8, "hidden_size": 16, "dropout": 0.0}
        with torch.random.fork_rng():
            torch.manual_seed(1)
            made = kind(kind.Config(**config), len(source), len(target))
        write_description(
            bot,
            BotDescription(
                uuid="8f7a2c1e-0000-4000-8000-000000000000", kind="chat" if shared else "translate", model=model,
                config=config, source_vocab=len(source), target_vocab=len(target), mind=False, tokenizer=name,
                shared=shared, data={}, languages=() if shared else ("en", "fr"), decode={"max_length": 8},
                weights=save_weights(bot, model_tensors(made)), versions={"s2sbot": s2sbot.__version__},
            ),
        )  # fmt: skip
        bots[name] = bot
    return bots


def hostile_bot(number: int, seed: int, right: dict[str, Path], folder: Path, outside: Path) -> Hostile:
    """Make the hostile folder of a number; every family comes before one comes again."""
    name = sorted(FAMILIES)[number % len(FAMILIES)]
    family = FAMILIES[name]
    random = Random(f"{seed}:{number}")
    base = family.base or random.choice(sorted(right.keys() - {"bytes"}))
    place = folder / f"{number:05}.bot"
    shutil.copytree(right[base], place)
    family.make(Bench(place, outside / base, random))
    return Hostile(number, name, place, family.file, family.late, family.tame)


# Opening them


_FORBIDDEN = (
    "socket.", "subprocess.", "shutil.", "tempfile.", "urllib.", "ctypes.", "pickle.", "os.system", "os.exec",
    "os.fork",
    "os.posix_spawn", "os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate",
    "os.chmod", "os.chown", "os.utime", "os.kill", "os.putenv", "signal.", "code.__new__",
)  # fmt: skip


class _Watch:
    """Writes down what is done that must not be; what is read must be the folder's, or the program's own."""

    def __init__(self, folder: Path) -> None:
        own = {sys.prefix, sys.base_prefix, str(Path(__file__).parents[1]), str(Path(os.__file__).parent)}
        self._roots = (*{f"{os.path.realpath(root)}{os.sep}" for root in own}, "/proc/", "/sys/")
        self._folder = os.path.realpath(folder)
        self.breaches: list[str] = []
        self._busy = False
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._busy:
            return
        self._busy = True
        try:
            if self._is_wrong(event, arguments):
                self.breaches.append(f"{event} {str(arguments)[:150]}")
        finally:
            self._busy = False

    def _is_wrong(self, event: str, arguments: tuple[Any, ...]) -> bool:
        if event == "open":
            path, mode, flags = arguments
            writes = bool(isinstance(mode, str) and set(mode) & set("wax+")) or bool(flags & (os.O_WRONLY | os.O_RDWR))
            return writes or not (isinstance(path, int) or self._is_own(os.fsdecode(path)))
        if event in ("os.listdir", "os.scandir"):
            return not (isinstance(arguments[0], int) or self._is_own(os.fsdecode(arguments[0] or ".")))
        if event == "exec":
            name = arguments[0].co_filename
            # typing reads annotations of the program's own settings; any other text that is run is wrong
            if name == "<string>":
                return sys._getframe(2).f_code.co_filename != typing.__file__
            return not (name.startswith("<frozen") or self._is_own(name))
        return event.startswith(_FORBIDDEN)

    def _is_own(self, path: str) -> bool:
        real = os.path.realpath(path)
        return f"{real}{os.sep}".startswith((f"{self._folder}{os.sep}", *self._roots))


def _opened(folder: Path, entry: str) -> dict[str, Any]:
    """Open a folder as a user would, and tell what came of it."""
    import s2sbot
    from s2sbot.cli import main

    told: dict[str, Any] = {}
    if entry == "load":
        try:
            bot = s2sbot.load(folder, device="cpu")
            told["said"] = bot.reply("Hello.").text if bot.description.kind == "chat" else bot.translate(["Hello."])[0]
        except s2sbot.S2SBotError as error:
            told["error"], told["hint"] = error.message, error.hint
        return told
    words = {"chat": ["chat", str(folder), "--no-store", "--ask", "Hello."], "translate": ["translate", str(folder)]}
    said, wrong = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(wrong):
        try:
            main(words[entry])
        except SystemExit as end:
            told["exit"] = end.code
    lines = wrong.getvalue().partition("Error: ")[2]
    told["error"], _, told["hint"] = lines.strip().partition("\nHint: ")
    return told


def _child(folder: Path, entry: str, pipe: int) -> None:
    watch = _Watch(folder)
    begin = time.process_time()
    try:
        told = _opened(folder, entry)
    except BaseException as error:
        told = {"fault": f"{type(error).__name__}: {str(error)[:300]}"}
    told["seconds"] = time.process_time() - begin
    told["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    told["torch"] = "torch" in sys.modules
    told["breaches"] = watch.breaches
    answer = json.dumps(told).encode()
    while answer:
        answer = answer[os.write(pipe, answer) :]


def _answered(folder: Path, entry: str) -> dict[str, Any]:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            _child(folder, entry, writing)
        finally:
            os._exit(0)
    os.close(writing)
    parts = []
    with selectors.DefaultSelector() as ready:
        ready.register(reading, selectors.EVENT_READ)
        end = time.monotonic() + PATIENCE
        while ready.select(max(0.0, end - time.monotonic())):
            part = os.read(reading, 2**16)
            if not part:
                break
            parts.append(part)
        else:
            os.kill(child, signal.SIGKILL)
            parts = [b'{"fault": "hangs"}']
    os.close(reading)
    _, status = os.waitpid(child, 0)
    return json.loads(b"".join(parts) or b'{"fault": "its process ended: %d"}' % status)


def serve(torch_first: bool) -> None:
    """Answer every line of the input, a folder and how it is opened, with a line of what became of it."""
    from s2sbot.plugins import Plugins

    # what is loaded before is not loaded again in every process, and not under its watch
    for module in ("s2sbot.cli.chat", "s2sbot.cli.translate", "s2sbot.engine"):
        importlib.import_module(module)
    plugins = Plugins()
    for name in ("words", "characters", "sentencepiece", "bytes"):
        plugins.tokenizer(name)
    if torch_first:
        import torch

        torch.set_num_threads(1)
        plugins.model("attention")
    for line in sys.stdin:
        job = json.loads(line)
        sys.stdout.write(json.dumps(_answered(Path(job["folder"]), job["entry"])) + "\n")
        sys.stdout.flush()


@contextlib.contextmanager
def watched(folder: Path) -> Iterator[list[str]]:
    """Collect what is done to any file below a folder, by whom ever and from whatever language (Linux: inotify)."""
    import ctypes

    library = ctypes.CDLL(None, use_errno=True)
    descriptor = library.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    assert descriptor >= 0
    found: list[str] = []
    folders = [folder, *(path for path in folder.rglob("*") if stat.S_ISDIR(path.lstat().st_mode))]
    for path in folders:
        assert library.inotify_add_watch(descriptor, os.fsencode(path), 0xFFF) >= 0
    try:
        yield found
        with contextlib.suppress(BlockingIOError):
            while data := os.read(descriptor, 2**16):
                at = 0
                while at < len(data):
                    _, mask, _, length = struct.unpack_from("iIII", data, at)
                    name = data[at + 16 : at + 16 + length].rstrip(b"\0").decode()
                    found.append(f"{mask:#x} {name}")
                    at += 16 + length
    finally:
        os.close(descriptor)


if __name__ == "__main__":
    serve("torch" in sys.argv)
