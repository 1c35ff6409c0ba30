"""Large files: digested and copied piece by piece, so that somebody can watch."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

from freehold.errors import ModelFileError, StorageError

__all__ = ["LEFTOVERS", "Progress", "copy_file", "digest", "write_atomically"]

Progress = Callable[[int, int], None]
"""Called with the bytes that are done and the bytes in all."""

LEFTOVERS = ".adding-*"
"""Unfinished copies that a killed process left behind."""

_PIECE = 4 * 2**20


def _pieces(path: Path, target: IO[bytes] | None, progress: Progress | None) -> str:
    """Read a file whole, write it to the target where there is one, and give its SHA-256."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        total, done = os.fstat(file.fileno()).st_size, 0
        while piece := file.read(_PIECE):
            found.update(piece)
            if target is not None:
                target.write(piece)
            done += len(piece)
            if progress is not None:
                progress(done, max(total, done))
    return found.hexdigest()


def digest(path: Path, progress: Progress | None = None) -> str:
    """SHA-256 of a file in hexadecimal, read anew from the disk.

    Raises:
        ModelFileError: The file is missing or cannot be read.
    """
    try:
        return _pieces(path, None, progress)
    except OSError as error:
        raise ModelFileError(f"The model file {path} cannot be read: {error.strerror or error}.") from error


def copy_file(source: Path, target: Path, sha256: str | None, progress: Progress | None = None) -> str:
    """Copy a file and give its SHA-256; the target is there whole or not at all.

    Raises:
        ModelFileError: The copy has another SHA-256 than the one given, or the source cannot be read.
        StorageError: The disk is full, or the folder cannot be written to.
    """
    free, size = shutil.disk_usage(target.parent).free, source.stat().st_size
    if size > free:
        raise StorageError(
            f"{source.name} has {size / 1e9:.2f} GB and {target.parent} has room for {free / 1e9:.2f} GB. Make room, "
            "or leave the file where it is and add it without --copy."
        )
    handle, name = tempfile.mkstemp(prefix=LEFTOVERS.rstrip("*"), dir=target.parent)
    unfinished = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            found = _pieces(source, file, progress)
            file.flush()
            os.fsync(file.fileno())
        if sha256 is not None and found != sha256:
            raise ModelFileError(told_mismatch(source, sha256, found))
        unfinished.replace(target)
    except OSError as error:
        raise StorageError(f"{source} cannot be copied to {target}: {error.strerror or error}.") from error
    finally:
        unfinished.unlink(missing_ok=True)
    return found


def told_mismatch(path: Path, wanted: str, found: str) -> str:
    """What to say of a file whose SHA-256 is not the one that was given."""
    return f"{path} has the SHA-256 {found}, not {wanted}: it is another file, or a damaged one. Get it again."


def write_atomically(path: Path, text: str) -> None:
    """Write a small file so that a reader sees the old text or the new one, also after a crash.

    Raises:
        StorageError: The disk is full, or the folder cannot be written to.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with unfinished.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror or error}.") from error
    finally:
        unfinished.unlink(missing_ok=True)
