"""Which files an ingest has to read: what is there, against what is stored."""

from __future__ import annotations

import hashlib
import heapq
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from freehold.graphs.ingest_state import Failure
from freehold.memory import find_documents
from freehold.memory.chunking import CHUNKING
from freehold.memory.document_table import StoredDocument

__all__ = ["Comparison", "absolute", "compare", "content_digest", "deal", "is_gone", "stamp_of"]

_SETTLED_SECONDS = 2.0
"""A file that changed later than this before it was looked at may change again at the same time of the file system's
clock, whose ticks are two seconds on FAT: its stamp says nothing yet."""


@dataclass
class Comparison:
    """What is to be done."""

    pending: list[str] = field(default_factory=list)
    """Files that are new or changed."""
    sizes: list[int] = field(default_factory=list)
    """Bytes of each of these."""
    unchanged: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    """Documents at or below the paths whose files are no more."""
    stamps: dict[str, str] = field(default_factory=dict)
    """New stamps of documents whose content is the same."""
    failed: list[Failure] = field(default_factory=list)
    """Files and folders that cannot be read."""


def absolute(paths: list[str]) -> list[Path]:
    """Absolute, so that a document has one name whatever folder a run starts in; links stay as they are."""
    return [Path(os.path.normpath(Path(path).expanduser().absolute())) for path in paths]


def content_digest(sha256: str, size: int, model: str = "") -> str:
    """What a document is stored under: its bytes, and the way in which they become passages and vectors.

    Args:
        sha256: Of the bytes.
        size: Tokens of a passage.
        model: Names the embedding model; empty where it has no name.
    """
    return f"{sha256}-{CHUNKING}.{size}" + (f".{model}" if model else "")


def is_gone(source: str | Path) -> bool:
    """Whether a file is no more; False where it cannot be told, as below a folder without rights."""
    try:
        os.lstat(source)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (OSError, ValueError):  # a name that no file can have was given by somebody else than an ingest
        return False
    return False


def stamp_of(status: os.stat_result) -> str:
    """Tells that a file was not written since: its size, inode and both times; empty where it changed just now.

    A copy that keeps the time of the change has another inode or another time of the inode's change, which nobody can
    set. This is the rule of git's index; see "Racy Git" in its documentation.
    """
    newest = max(status.st_mtime, status.st_ctime)
    if not 0 <= newest < time.time() - _SETTLED_SECONDS:
        return ""
    return f"{status.st_size}-{status.st_mtime_ns}-{status.st_ctime_ns}-{status.st_dev}-{status.st_ino}"


def compare(roots: list[Path], stored: Mapping[str, StoredDocument], size: int, model: str = "") -> Comparison:
    """Compare the files below the roots with what is stored.

    A file whose stamp is the stored one is not read. Of any other the SHA-256 tells whether it changed. A document that
    was not found, since it is hidden or its folder cannot be listed, is gone only where its file is.

    Args:
        roots: Absolute paths.
        stored: What the store has.
        size: Tokens of a passage.
        model: Names the embedding model, as in `content_digest`.

    Raises:
        DocumentError: A root does not exist, and nothing is stored of it.
    """
    result = Comparison()

    def unlisted(error: OSError) -> None:
        folder = _told(str(error.filename))
        reason = f"{folder} cannot be read: {error.strerror or error}. What is stored of it stays."
        result.failed.append({"source": folder, "reason": reason})

    way = content_digest("", size, model)
    there = [root for root in roots if not (is_gone(root) and any(_below(source, [root]) for source in stored))]
    files = find_documents(there, onerror=unlisted)
    for path in files:
        source = str(path)
        if (told := _told(source)) != source:
            result.failed.append({"source": told, "reason": f"{told} cannot be read: its name is no UTF-8. Rename it."})
            continue
        known = stored.get(source, StoredDocument(""))
        length, stamp, digest = 0, "", ""
        try:
            with path.open("rb") as file:
                status = os.fstat(file.fileno())
                length, stamp = status.st_size, stamp_of(status)
                if known.digest.endswith(way) and not (stamp and stamp == known.stamp):
                    digest = content_digest(hashlib.file_digest(file, "sha256").hexdigest(), size, model)
        except OSError:  # `load` says why
            known = StoredDocument("")
        if known.digest.endswith(way) and digest in ("", known.digest):
            result.unchanged.append(source)
            if digest and stamp:
                result.stamps[source] = stamp
        else:
            result.pending.append(source)
            result.sizes.append(length)
    found = {str(path) for path in files}
    result.gone = [source for source in stored if source not in found and _below(source, roots) and is_gone(source)]
    return result


def deal(files: list[str], sizes: list[int], lanes: int) -> list[list[str]]:
    """Deal files out so that the lanes end at about the same time.

    The largest goes first, to the lane that has least (Graham's rule); a lane then reads in the order of names.
    """
    heap = [(0, lane) for lane in range(lanes)]
    hands: list[list[str]] = [[] for _ in range(lanes)]
    for size, source in sorted(zip(sizes, files, strict=True), key=lambda entry: (-entry[0], entry[1])):
        weight, lane = heapq.heappop(heap)
        hands[lane].append(source)
        heapq.heappush(heap, (weight + size + 1_000, lane))  # opening a file takes about as long as 1,000 bytes of it
    return [sorted(hand) for hand in hands if hand]


def _told(name: str) -> str:
    """A file's name as UTF-8 can hold it."""
    return name.encode("utf-8", "replace").decode("utf-8")


def _below(source: str, roots: list[Path]) -> bool:
    """Whether a stored document belongs to what this run looked at."""
    path = Path(source)
    return any(path == root or root in path.parents for root in roots)
