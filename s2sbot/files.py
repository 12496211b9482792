"""Bytes go in, and either the whole new file is on the disk or the old one still is."""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .errors import S2SBotError

__all__ = [
    "full_disk_explained",
    "make_private_folder",
    "read_json",
    "refuse_existing",
    "sync_file",
    "sync_folder",
    "write_atomically",
    "write_json",
]


def sync_file(path: Path) -> None:
    """Make what was written into a file durable."""
    with path.open("rb+") as stream:
        os.fsync(stream.fileno())


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable; a no-op where folders cannot be opened (Windows)."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_private_folder(folder: Path) -> Path:
    """Create `folder` and its parents, readable by its owner alone (0700), and return it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


@contextmanager
def full_disk_explained(target: Path) -> Iterator[None]:
    """Turn "no space left" and "not allowed" into an error that names the folder.

    Raises:
        S2SBotError: where the disk is full, a quota is used up, or the place cannot be written.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            free = shutil.disk_usage(_existing(target)).free
            raise S2SBotError(
                f"no space left on the disk while writing {target} ({free / 2**20:.0f} MiB free)",
                "free some space; what was there before is untouched",
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise S2SBotError(
                f"cannot write {target}: {error.strerror}", "choose a folder that you may write to"
            ) from error
        raise S2SBotError(f"cannot write {target}: {error.strerror or error}", "choose another place") from error


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path


def refuse_existing(path: Path) -> None:
    """Raise where a file that a user has named for a result could take the place of another one.

    Raises:
        S2SBotError: where anything has that name, be it a file, a link, a pipe or a device.
    """
    try:
        mode = path.lstat().st_mode
    except OSError:
        return  # what is wrong with the place is said when it is written
    if stat.S_ISREG(mode):
        raise S2SBotError(f"{path} is there already", "give another name, or delete it")
    raise S2SBotError(f"{path} is there already, and is no regular file", "give another name, or - for standard output")


def write_atomically(path: Path, write: bytes | Callable[[Path], None]) -> None:
    """Replace `path` by new content in one rename, durable when this returns.

    `write` is the content, or a function that writes it to the temporary path it is given.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    with full_disk_explained(path):
        try:
            if isinstance(write, bytes):
                temporary.write_bytes(write)
            else:
                write(temporary)
            sync_file(temporary)
            temporary.replace(path)
            sync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented UTF-8 JSON, atomically."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_atomically(path, text.encode())


def read_json(path: Path, *, limit: int = 4 * 2**20) -> Any:
    """Read a JSON file of at most `limit` bytes.

    Raises:
        ValueError: where it is too large, is no UTF-8 JSON, or is nested too deep.
        OSError: where it cannot be read.
    """
    if path.stat().st_size > limit:
        raise ValueError(f"larger than {limit} bytes")
    try:
        return json.loads(path.read_bytes())
    except RecursionError as error:
        raise ValueError("nested too deep") from error
