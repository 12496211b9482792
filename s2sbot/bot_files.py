"""The files of a stranger's bot folder go in; bytes, plain values and places of tensors come out, all within limits."""

from __future__ import annotations

import json
import math
import os
import stat
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

__all__ = [
    "DTYPES",
    "LARGEST_WEIGHTS",
    "TensorPlace",
    "check_files",
    "check_folder",
    "open_regular",
    "parse_json",
    "read_header",
    "read_regular",
    "tensor_place",
]

LARGEST_HEADER: Final = 2**20
LARGEST_WEIGHTS: Final = 8 * 2**30
MOST_TENSORS: Final = 4_096
MOST_DIMENSIONS: Final = 8
MOST_FILES: Final = 64
"""In a tokenizer's folder."""
LARGEST_FILES: Final = 64 * 2**20
"""All files of a tokenizer together."""
DEEPEST: Final = 12
"""Lists and objects inside each other."""
LONGEST_KEY: Final = 200
LONGEST_TEXT: Final = 10_000
LONGEST_NUMBER: Final = 24
"""Digits, sign and exponent of a number; reading a longer one takes time by the square of its length."""
DTYPES: Final[Mapping[str, tuple[str, int]]] = {
    "F64": ("float64", 8), "F32": ("float32", 4), "F16": ("float16", 2), "BF16": ("bfloat16", 2),
    "I64": ("int64", 8), "I32": ("int32", 4), "I16": ("int16", 2), "I8": ("int8", 1),
    "U64": ("uint64", 8), "U32": ("uint32", 4), "U16": ("uint16", 2), "U8": ("uint8", 1), "BOOL": ("bool", 1),
}  # fmt: skip
"""Types of safetensors, as torch names them, and the bytes of one number."""
_KINDS: Final = (
    (stat.S_ISLNK, "a link"), (stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"),
)  # fmt: skip
# a pipe is not waited for, and a link that took the file's place a moment ago is not followed
_FLAGS: Final = os.O_RDONLY | sum(
    getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_NOCTTY", "O_BINARY")
)


@dataclass(frozen=True, slots=True)
class TensorPlace:
    """Where a tensor lies: its bytes are those from `begin` to `end` behind the header."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int

    @property
    def numbers(self) -> int:
        """Return how many numbers it has."""
        return math.prod(self.shape)


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading; nothing else is opened, and no link is followed.

    Raises:
        ValueError: where it is a link, a folder, a pipe or a device.
        OSError: where it cannot be opened.
    """
    _require_regular(path.lstat().st_mode)
    stream = os.fdopen(os.open(path, _FLAGS), "rb")
    try:
        _require_regular(os.fstat(stream.fileno()).st_mode)
    except ValueError:
        stream.close()
        raise
    return stream


def _require_regular(mode: int) -> None:
    if not stat.S_ISREG(mode):
        raise ValueError(f"{_kind(mode)} stands where a file must be")


def _kind(mode: int) -> str:
    return next((name for is_one, name in _KINDS if is_one(mode)), "a device")


def read_regular(path: Path, limit: int) -> bytes:
    """Read a regular file of at most `limit` bytes; raises as `open_regular` does, and where it is larger."""
    with open_regular(path) as stream:
        # the size is asked for too: a file of holes is refused without reading them
        if os.fstat(stream.fileno()).st_size > limit or len(data := stream.read(limit + 1)) > limit:
            raise ValueError(f"larger than {limit} bytes")
        return data


def check_folder(folder: Path) -> bool:
    """Tell whether there is a folder, and refuse a link or anything else in its place.

    Raises:
        ValueError: where it is no folder.
        OSError: where it cannot be looked at.
    """
    try:
        mode = folder.lstat().st_mode
    except FileNotFoundError:
        return False
    if not stat.S_ISDIR(mode):
        raise ValueError(f"{_kind(mode) if not stat.S_ISREG(mode) else 'a file'} stands where a folder must be")
    return True


def check_files(folder: Path) -> None:
    """Refuse a folder that holds anything but a few regular files of bounded size; one that is not there is well.

    Raises:
        ValueError: where it is no folder, or something in it is no file, or there is too much.
        OSError: where it cannot be looked into.
    """
    if not check_folder(folder):
        return
    total = 0
    with os.scandir(folder) as entries:
        for number, entry in enumerate(entries):
            if number == MOST_FILES:
                raise ValueError(f"more than {MOST_FILES} files")
            found = entry.stat(follow_symlinks=False)
            if not stat.S_ISREG(found.st_mode):
                raise ValueError(f"{_kind(found.st_mode)} stands where a file must be: {entry.name!r}")
            total += found.st_size
            if total > LARGEST_FILES:
                raise ValueError(f"larger than {LARGEST_FILES} bytes: {entry.name!r}")


def parse_json(data: bytes) -> Any:
    """Read UTF-8 JSON as its grammar has it: no key twice, no NaN, no number or text or nesting beyond all measure.

    Raises:
        ValueError: where it is otherwise.
    """
    try:
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_object,
            parse_int=_whole,
            parse_float=_finite,
            parse_constant=_finite,
        )
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    _check_values(value)
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands in it twice")
    return found


def _whole(text: str) -> int:
    if len(text) > LONGEST_NUMBER or not -(2**63) <= (number := int(text)) < 2**63:
        raise ValueError("a number that is too large")
    return number


def _finite(text: str) -> float:
    if len(text) > 2 * LONGEST_NUMBER or not math.isfinite(number := float(text)):
        raise ValueError("a number that is none, or too large")
    return number


def _check_values(value: Any) -> None:
    pending = [(value, 0)]
    while pending:
        value, depth = pending.pop()
        if isinstance(value, str):
            _check_text(value, LONGEST_TEXT)
            continue
        if not isinstance(value, dict | list):
            continue
        if depth == DEEPEST:
            raise ValueError("nested too deep")
        if isinstance(value, dict):
            for key in value:
                _check_text(key, LONGEST_KEY)
            value = value.values()
        pending += [(inner, depth + 1) for inner in value]


def _check_text(text: str, most: int) -> None:
    if len(text) > most:
        raise ValueError(f"a text of more than {most} characters")
    text.encode()  # half a surrogate pair has no UTF-8


def read_header(stream: BinaryIO) -> dict[str, TensorPlace]:
    """Read the header of a safetensors file, and leave the stream at the first byte behind it.

    Every tensor has a known type and as many bytes as its shape needs, and together they cover the rest of the file
    without a hole and without sharing a byte, so that nothing else can be in it.

    Raises:
        ValueError: where it is otherwise.
        OSError: where it cannot be read.
    """
    size = os.fstat(stream.fileno()).st_size
    head = stream.read(8)
    length = struct.unpack("<Q", head)[0] if len(head) == 8 else 2**64
    if length > size - 8 or length < 2:
        raise ValueError("is cut short or no safetensors file")
    if length > LARGEST_HEADER:
        raise ValueError(f"has a header of more than {LARGEST_HEADER} bytes, or is no safetensors file")
    if size > LARGEST_WEIGHTS:
        raise ValueError(f"is larger than {LARGEST_WEIGHTS} bytes")
    try:
        places = _places(parse_json(stream.read(length)))
    except ValueError as error:
        raise ValueError(f"has a damaged header: {error}") from error
    end = 0
    for place in sorted(places.values(), key=lambda place: (place.begin, place.end)):
        if place.begin != end:
            raise ValueError("has a hole between its tensors, or two in one place")
        end = place.end
    if end != size - 8 - length:
        raise ValueError("is cut short, or has more in it than its tensors")
    return places


def _places(header: Any) -> dict[str, TensorPlace]:
    if not isinstance(header, dict):
        raise ValueError("no object")
    metadata = header.pop("__metadata__", {})
    if not (isinstance(metadata, dict) and all(isinstance(value, str) for value in metadata.values())):
        raise ValueError("__metadata__ must be texts by name")
    if not 0 < len(header) <= MOST_TENSORS:
        raise ValueError(f"{len(header)} tensors")
    return {_tensor_name(name): tensor_place(name, entry) for name, entry in header.items()}


def _tensor_name(name: str) -> str:
    if not (name and name.isprintable()):
        raise ValueError(f"{name!r} is no name of a tensor")
    return name


def tensor_place(name: str, entry: Any) -> TensorPlace:
    """Return where the tensor of an entry of a header lies.

    Raises:
        ValueError: where its type is unknown, or its place and its shape contradict each other.
    """
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"{name!r} must have a dtype, a shape and data_offsets, and nothing else")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise ValueError(f"{name!r} has no type that is known")
    if not (_are_sizes(shape) and len(shape) <= MOST_DIMENSIONS):
        raise ValueError(f"{name!r} has no shape")
    if not (_are_sizes(offsets) and len(offsets) == 2):
        raise ValueError(f"{name!r} has no place")
    place = TensorPlace(dtype, tuple(shape), *offsets)
    bytes_each = DTYPES[dtype][1]
    if place.end - place.begin != place.numbers * bytes_each or place.begin % bytes_each:
        raise ValueError(f"{name!r} has another number of bytes than its shape")
    return place


def _are_sizes(value: Any) -> bool:
    return isinstance(value, list) and all(type(number) is int and number >= 0 for number in value)
