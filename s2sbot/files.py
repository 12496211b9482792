"""Bytes go in, and either the whole new file is on the disk or the old one still is."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import secrets
import shutil
import signal
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .errors import DiskError, S2SBotError

__all__ = [
    "folder_hash",
    "full_disk_explained",
    "kill_point",
    "make_own_folder",
    "make_private_folder",
    "read_json",
    "refuse_existing",
    "refuse_full_disk",
    "remove_temporaries",
    "sync_file",
    "sync_folder",
    "write_atomically",
    "write_file",
    "write_json",
]

_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}\.tmp")


def kill_point(name: str) -> None:
    """Do nothing, but for a test that has `$S2SBOT_KILL_POINT` name this place: end as by `kill -9`.

    With `NAME:3` the third time that the process comes by.
    """
    wanted, _, count = os.environ.get("S2SBOT_KILL_POINT", "").partition(":")
    if wanted != name:
        return
    if int(count or 1) <= 1:
        os.kill(os.getpid(), signal.SIGKILL)
    os.environ["S2SBOT_KILL_POINT"] = f"{name}:{int(count) - 1}"


def sync_file(path: Path) -> None:
    """Make what was written into a file durable."""
    with path.open("rb+") as stream:
        os.fsync(stream.fileno())


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable; a no-op where folders cannot be opened (Windows) or synced (some FUSE)."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def make_private_folder(folder: Path) -> Path:
    """Create `folder` and its parents, readable by its owner alone (0700), and return it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def make_own_folder(folder: Path) -> None:
    """Create `folder` and its parents where it is not there, and refuse a link in its place.

    Raises:
        DiskError: where it is a link, which would lead what is written and deleted in it elsewhere.
    """
    if folder.is_symlink():
        raise DiskError(f"cannot write {folder}: a link stands where a folder must be", "put the folder itself there")
    folder.mkdir(parents=True, exist_ok=True)


@contextmanager
def full_disk_explained(target: Path) -> Iterator[None]:
    """Turn "no space left" and "not allowed" into an error that names the folder.

    Raises:
        DiskError: where the disk is full, a quota is used up, or the place cannot be written.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            free = shutil.disk_usage(_existing(target)).free
            raise DiskError(
                f"no space left on the disk while writing {target} ({free / 2**20:.0f} MiB free)",
                "free some space; what was there before is untouched",
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise DiskError(
                f"cannot write {target}: {error.strerror}", "choose a folder that you may write to"
            ) from error
        raise DiskError(f"cannot write {target}: {error.strerror or error}", "choose another place") from error


def refuse_full_disk(target: Path, needed: int, what: str) -> None:
    """Raise where so many bytes would not fit, before any of them is written.

    Raises:
        DiskError: with what is needed, and what is free.
    """
    free = shutil.disk_usage(_existing(target)).free
    if free < needed:
        raise DiskError(
            f"no space left on the disk for {what} in {target}: {needed / 2**20:,.1f} MiB are needed,"
            f" {free / 2**20:,.1f} are free",
            "free some space; what was there before is untouched",
        )


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
            kill_point("write.begun")
            sync_file(temporary)
            kill_point("write.synced")
            temporary.replace(path)
            kill_point("write.renamed")
            sync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


def write_file(path: Path, chunks: Iterable[bytes | memoryview]) -> str:
    """Write a new file in a folder that has not got its name yet, durable when this returns; return its SHA-256."""
    hashed = hashlib.sha256()
    with path.open("xb") as stream:
        for chunk in chunks:
            hashed.update(chunk)
            stream.write(chunk)
        stream.flush()
        os.fsync(stream.fileno())
    return hashed.hexdigest()


def remove_temporaries(folder: Path) -> None:
    """Remove what `write_atomically` has left in a folder where a process was killed."""
    for path in folder.glob(".*.tmp"):
        if _TEMPORARY.fullmatch(path.name) and path.is_file():
            path.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented UTF-8 JSON, atomically."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_atomically(path, text.encode())


def folder_hash(folder: Path) -> str:
    """Return the SHA-256 of the names and contents of all files below a folder."""
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            name = path.relative_to(folder).as_posix().encode()
            found.update(hashlib.sha256(name).digest() + hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()


def read_json(path: Path, *, limit: int = 4 * 2**20) -> Any:
    """Read a JSON file of at most `limit` bytes.

    Raises:
        ValueError: where it is no file, is too large, is no UTF-8 JSON, or is nested too deep.
        OSError: where it cannot be read.
    """
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise ValueError("no regular file")
    if found.st_size > limit:
        raise ValueError(f"larger than {limit} bytes")
    try:
        return json.loads(path.read_bytes())
    except RecursionError as error:
        raise ValueError("nested too deep") from error
