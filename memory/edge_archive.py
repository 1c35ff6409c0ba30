"""The file of a snapshot: a tar with the bytes of a shard's files, a manifest of what they must be, and its digest.

Most of a shard's files are holes. The tar has only what lies between them, and the manifest the places.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any

from freehold.errors import StorageError
from freehold.memory.edge_shard import sync_folder

__all__ = ["file_digest", "read_manifest", "unpack", "write_archive"]

_MANIFEST, _DIGEST = "manifest.json", "manifest.sha256"
_PIECE = 2**20


def _extents(descriptor: int, size: int) -> Iterator[tuple[int, int]]:
    """Where a file has data: start and length of each run."""
    position = 0
    while position < size:
        try:
            start = os.lseek(descriptor, position, os.SEEK_DATA)
        except OSError:  # nothing but a hole is left
            return
        position = os.lseek(descriptor, start, os.SEEK_HOLE)
        yield start, position - start


class _Runs(io.RawIOBase):
    """The runs of a file, one after another, with their digest."""

    def __init__(self, file: IO[bytes], extents: list[tuple[int, int]]) -> None:
        self._file, self._left, self.digest = file, [list(one) for one in extents], hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        found = bytearray()
        while self._left and (size < 0 or len(found) < size):
            start, length = self._left[0]
            self._file.seek(start)
            piece = self._file.read(length if size < 0 else min(length, size - len(found)))
            if not piece:
                break
            found += piece
            self._left[0] = [start + len(piece), length - len(piece)]
            if not self._left[0][1]:
                self._left.pop(0)
        self.digest.update(found)
        return bytes(found)


def _add(tar: tarfile.TarFile, name: str, source: Any, size: int) -> None:
    member = tarfile.TarInfo(name)
    member.size = size
    tar.addfile(member, source)


def write_archive(shard: Path, described: dict[str, Any], target: Path) -> None:
    """Write a shard that is not written to meanwhile into a file: all of it or nothing.

    Args:
        shard: Folder of the shard.
        described: What the manifest says besides the files.
        target: The file, whose folder exists.
    """
    temporary = target.with_name(f".{target.name}.part")
    files: dict[str, dict[str, Any]] = {}
    try:
        with temporary.open("wb") as written:
            with tarfile.open(fileobj=written, mode="w") as tar:
                for path in sorted(one for one in shard.rglob("*") if one.is_file()):
                    with path.open("rb") as file:
                        size = os.fstat(file.fileno()).st_size
                        extents = list(_extents(file.fileno(), size))
                        runs, name = _Runs(file, extents), path.relative_to(shard).as_posix()
                        _add(tar, name, runs, sum(length for _, length in extents))
                        files[name] = {"size": size, "extents": extents, "sha256": runs.digest.hexdigest()}
                manifest = json.dumps({**described, "files": files}).encode()
                _add(tar, _MANIFEST, io.BytesIO(manifest), len(manifest))
                digest = hashlib.sha256(manifest).hexdigest().encode()
                _add(tar, _DIGEST, io.BytesIO(digest), len(digest))
            written.flush()
            os.fsync(written.fileno())
        temporary.replace(target)
        sync_folder(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


def file_digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _damaged(path: Path, reason: object) -> StorageError:
    return StorageError(f"The snapshot {path} is damaged or none of Freehold's: {reason}. Restore another one.")


def read_manifest(path: Path) -> dict[str, Any]:
    """What a snapshot says of itself.

    Raises:
        StorageError: There is no such file, or it is damaged or no snapshot.
    """
    try:
        with tarfile.open(path, "r:") as tar:
            written, digest = (_read(tar, name) for name in (_MANIFEST, _DIGEST))
        if hashlib.sha256(written).hexdigest().encode() != digest:
            raise _damaged(path, "its manifest has other bytes than it was written with")
        manifest: dict[str, Any] = json.loads(written)
    except FileNotFoundError as error:
        raise StorageError(f"There is no snapshot {path}; list_snapshots names those of a collection.") from error
    except (OSError, tarfile.TarError, KeyError, ValueError) as error:
        raise _damaged(path, error) from error
    if manifest["format"] != 1:
        raise _damaged(path, f"its format is {manifest['format']}, and this Freehold reads 1")
    return manifest


def _read(tar: tarfile.TarFile, name: str) -> bytes:
    member = tar.extractfile(name)
    return b"" if member is None else member.read()


def unpack(path: Path, manifest: dict[str, Any], shard: Path) -> None:
    """Put the files of a snapshot into a folder, safe against a power cut, each held against the manifest.

    Raises:
        StorageError: A file is missing or has other bytes.
    """
    try:
        with tarfile.open(path, "r:") as tar:
            for name, told in manifest["files"].items():
                place = PurePosixPath(name)
                if place.is_absolute() or ".." in place.parts or place.as_posix() != name:
                    raise _damaged(path, f"{name!r} lies outside of it")
                source = tar.extractfile(name)
                if source is None:
                    raise _damaged(path, f"{name!r} is missing")
                _restore(source, told, shard / place)
    except (OSError, tarfile.TarError, KeyError, TypeError, ValueError) as error:
        raise _damaged(path, error) from error


def _restore(source: IO[bytes], told: dict[str, Any], target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with target.open("wb") as file:
        file.truncate(told["size"])
        for start, length in told["extents"]:
            file.seek(start)
            left = length
            while left and (piece := source.read(min(left, _PIECE))):
                digest.update(piece)
                file.write(piece)
                left -= len(piece)
        file.flush()
        os.fsync(file.fileno())
    if digest.hexdigest() != told["sha256"] or target.stat().st_size != told["size"]:
        raise ValueError(f"{target.name} has other bytes than its manifest says")
