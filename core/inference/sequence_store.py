"""Keys and values of conversations on disk, so that a resumed one is not read by the model again."""

from __future__ import annotations

import logging
import os
import re
import secrets
import struct
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from freehold.errors import StorageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["SavedSequence", "SequenceStore"]

logger = logging.getLogger(__name__)

_VERSION = 1
_HEADER = struct.Struct("<8sIIQ32s")
"""Magic, version, number of tokens, bytes of state, checksum of everything else."""

_MAGIC = b"FREEHOLD"
_TOKEN = np.dtype("<i4")
_NAME = re.compile(r"[0-9a-f]{32}-[0-9a-f]{32}\.sequence")
_TEMPORARY = re.compile(r"[0-9a-f]{32}-[0-9a-f]{32}\.([0-9a-f]{16})\.part")

_PROCESS = secrets.token_hex(8)
"""Marks this process's unfinished files; those of others were left behind: a workspace has one owner at a time."""

_disk = threading.Lock()
"""Held where files come and go: the stores of several models share a folder, and its bound."""


@dataclass(frozen=True, slots=True, eq=False)
class SavedSequence:
    """A sequence on disk, as `SequenceStore.longest` found it."""

    path: Path
    tokens: NDArray[np.int32]
    """What the saved keys and values stand for."""
    common: int
    """How many of its first tokens are those that were asked for."""


class SequenceStore:
    """States of sequences in a folder of bounded size, one per thread and model, least recently used first out.

    It is a cache: what cannot be written is logged and not saved, what is damaged or gone is not found. The name of a
    thread stands nowhere but as a digest in the file's name. Files can be read by their owner only. Safe in any thread,
    and beside stores of other models in the same folder.

    Args:
        folder: Made where it does not exist.
        max_bytes: Of all files together, those of other models too; what is above it is deleted at once.
        model_id: Whatever a state depends on: the model's file, llama.cpp's version, the layout of its cache.
    """

    def __init__(self, folder: Path, max_bytes: int, model_id: str) -> None:
        self._folder, self._max_bytes = folder, max_bytes
        self._model = blake2b(f"{_VERSION} {model_id}".encode(), digest_size=16).hexdigest()
        self._lock = threading.Lock()
        self._index: dict[Path, NDArray[np.int32]] = {}
        self._used = 0
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with _disk:
                for path in folder.glob("*.part"):
                    if (match := _TEMPORARY.fullmatch(path.name)) and match[1] != _PROCESS:
                        path.unlink(missing_ok=True)
                self._evict(max_bytes)
                self._used = max((used for used, _, _ in self._files()), default=0)
                for path in folder.glob(f"*-{self._model}.sequence"):
                    self._learn(path)
        except OSError as error:
            logger.warning("saved sequences cannot be used: %s", error)

    def __len__(self) -> int:
        """Sequences of this model."""
        return len(self._index)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(size for _, _, size in self._files())

    def save(self, thread: str, tokens: Sequence[int] | NDArray[np.int32], state: bytes | memoryview) -> bool:
        """Keep a thread's state, in place of its earlier one, and evict others until it fits.

        Args:
            thread: The conversation.
            tokens: What the state stands for, from the first position on.
            state: As llama.cpp gives it.

        Returns:
            False where nothing was saved: the state is larger than the bound, or cannot be written.
        """
        row, view = np.array(tokens, dtype=_TOKEN), memoryview(state)
        path = self._path(thread)
        part = path.with_suffix(f".{_PROCESS}.part")
        length = _HEADER.size + row.nbytes + view.nbytes
        if length > self._max_bytes or not len(row):
            return False
        fields = (_MAGIC, _VERSION, len(row), view.nbytes)
        header = _HEADER.pack(*fields, _checksum(_HEADER.pack(*fields, b""), row, view))
        with _disk:
            try:
                self._evict(self._max_bytes - length, path)
                with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                    file.writelines((header, row.data, view))
                self._touch(part)
                part.replace(path)
            except OSError as error:
                logger.warning("a sequence of %d tokens was not saved: %s", len(row), error)
                self._discard(part)
                return False
            with self._lock:
                self._index[path] = row
        return True

    def longest(self, tokens: Sequence[int] | NDArray[np.int32]) -> SavedSequence | None:
        """The saved sequence that begins with most of these tokens, the shorter of two; None where none begins so.

        It may be gone by the time it is loaded; then this does not find it again.
        """
        wanted = np.asarray(tokens, dtype=_TOKEN)
        with self._lock:
            entries = sorted(self._index.items(), key=lambda entry: len(entry[1]))
        best: SavedSequence | None = None
        common = 0
        for path, row in entries:
            length = min(len(row), len(wanted))
            if length <= common or row[common] != wanted[common]:
                continue  # it cannot be better than the best
            differs = row[:length] != wanted[:length]
            where = int(differs.argmax())
            shared = where if differs[where] else length
            if shared > common:
                common = shared
                best = SavedSequence(path, row, shared)
        return best

    def load(self, saved: SavedSequence) -> bytes | None:
        """The state, checked to the last byte, which counts as used now; None where it is gone or damaged."""
        try:
            with saved.path.open("rb") as file:
                header, row, length = _read_head(file)
                state = _read(file, length)
        except (OSError, ValueError) as error:
            self._drop(saved.path, error)
            return None
        if header[-32:] != _checksum(header[:-32] + bytes(32), row, state):
            self._drop(saved.path, ValueError("its checksum is wrong"))
            return None
        if not np.array_equal(row, saved.tokens):  # the thread went on since
            with self._lock:
                if self._index.get(saved.path) is saved.tokens:  # in another store of this model
                    self._index[saved.path] = row
            return None
        try:
            self._touch(saved.path)
        except OSError:
            logger.debug("a saved sequence was evicted while it was read")
        return state

    def erase(self, thread: str) -> int:
        """Delete what is saved of a thread, for any model; returns the number of files.

        Raises:
            StorageError: A file cannot be deleted.
        """
        return self._delete(f"{self._digest(thread)}-")

    def keep(self, threads: Iterable[str]) -> int:
        """Delete what is saved of every other thread, for any model; returns the number of files.

        Raises:
            StorageError: A file cannot be deleted.
        """
        kept = {self._digest(thread) for thread in threads}
        others = {path.name.partition("-")[0] for _, path, _ in self._files()} - kept
        return sum(self._delete(f"{name}-") for name in sorted(others))

    def clear(self) -> int:
        """Delete everything, for any model; returns the number of files.

        Raises:
            StorageError: A file cannot be deleted.
        """
        return self._delete("")

    def _delete(self, prefix: str) -> int:
        with _disk, self._lock:
            self._index = {path: row for path, row in self._index.items() if not path.name.startswith(prefix)}
            try:
                paths = [path for _, path, _ in self._files() if path.name.startswith(prefix)]
                for path in paths:
                    path.unlink(missing_ok=True)
            except OSError as error:
                raise StorageError(
                    f"Saved sequences cannot be deleted: {error}. Delete the files in {self._folder} yourself."
                ) from error
        return len(paths)

    @staticmethod
    def _digest(thread: str) -> str:
        return blake2b(thread.encode("utf-8", "surrogatepass"), digest_size=16, person=b"freehold-thread").hexdigest()

    def _path(self, thread: str) -> Path:
        return self._folder / f"{self._digest(thread)}-{self._model}.sequence"

    def _files(self) -> list[tuple[int, Path, int]]:
        """Time of use, path and size of every file of every model, the least recently used first."""
        files = []
        for path in self._folder.iterdir() if self._folder.exists() else ():
            if _NAME.fullmatch(path.name):
                with suppress(FileNotFoundError):  # it went since
                    status = path.stat()
                    files.append((status.st_mtime_ns, path, status.st_size))
        return sorted(files)

    def _evict(self, most: int, kept: Path | None = None) -> None:
        """Delete the least recently used files until the others beside `kept` take `most` bytes."""
        files = [file for file in self._files() if file[1] != kept]
        total = sum(size for _, _, size in files)
        for _, path, size in files:
            if total <= most:
                break
            path.unlink(missing_ok=True)
            total -= size
            with self._lock:
                self._index.pop(path, None)

    def _touch(self, path: Path) -> None:
        """Mark a file as the most recently used one, also where two uses share a tick of the clock."""
        with self._lock:
            self._used = max(time.time_ns(), self._used + 1)
            os.utime(path, ns=(self._used, self._used))

    def _learn(self, path: Path) -> None:
        """Take a file's tokens into the index; one that cannot be read is deleted."""
        try:
            with path.open("rb") as file:
                self._index[path] = _read_head(file)[1]
        except (OSError, ValueError) as error:
            self._drop(path, error)

    def _drop(self, path: Path, error: Exception) -> None:
        """Forget a file that is damaged or gone, and delete it."""
        if not isinstance(error, FileNotFoundError):
            logger.warning("a saved sequence cannot be used and is deleted: %s", error)
        with self._lock:
            self._index.pop(path, None)
        self._discard(path)

    @staticmethod
    def _discard(path: Path) -> None:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            logger.warning("%s cannot be deleted: %s", path, error)


def _checksum(header: bytes, row: NDArray[np.int32], state: bytes | memoryview) -> bytes:
    """Of the header, its place for the checksum zero, and what follows it."""
    digest = blake2b(header, digest_size=32)
    digest.update(row.data)
    digest.update(state)
    return digest.digest()


def _read(file: BinaryIO, length: int) -> bytes:
    data = file.read(length)
    if len(data) != length:
        raise ValueError("it ends early")
    return data


def _read_head(file: BinaryIO) -> tuple[bytes, NDArray[np.int32], int]:
    """The header as it stands, the tokens, and the bytes of state that follow.

    Raises:
        ValueError: The file cannot be whole.
    """
    header = _read(file, _HEADER.size)
    magic, version, count, length, _ = _HEADER.unpack(header)
    if magic != _MAGIC or version != _VERSION:
        raise ValueError("it does not begin as a saved sequence")
    if os.fstat(file.fileno()).st_size != _HEADER.size + count * _TOKEN.itemsize + length:
        raise ValueError("it is not as long as it says")
    return header, np.frombuffer(_read(file, count * _TOKEN.itemsize), dtype=_TOKEN), length
