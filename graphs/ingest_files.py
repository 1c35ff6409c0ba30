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

__all__ = ["Comparison", "absolute", "compare", "content_digest", "deal", "stamp_of"]

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
    """Documents below the paths whose files are no more."""
    stamps: dict[str, str] = field(default_factory=dict)
    """New stamps of documents whose content is the same."""
    failed: list[Failure] = field(default_factory=list)


def absolute(paths: list[str]) -> list[Path]:
    """Absolute, so that a document has one name whatever folder a run starts in; links stay as they are."""
    return [Path(os.path.normpath(Path(path).expanduser().absolute())) for path in paths]


def content_digest(sha256: str, size: int) -> str:
    """What a document is stored under: its bytes, and the way in which they become passages."""
    return f"{sha256}-{CHUNKING}.{size}"


def stamp_of(status: os.stat_result) -> str:
    """Tells that a file was not written since: its size, inode and both times; empty where it changed just now.

    A copy that keeps the time of the change has another inode or another time of the inode's change, which nobody can
    set. This is the rule of git's index; see "Racy Git" in its documentation.
    """
    newest = max(status.st_mtime, status.st_ctime)
    if not 0 <= newest < time.time() - _SETTLED_SECONDS:
        return ""
    return f"{status.st_size}-{status.st_mtime_ns}-{status.st_ctime_ns}-{status.st_dev}-{status.st_ino}"


def compare(roots: list[Path], stored: Mapping[str, StoredDocument], size: int) -> Comparison:
    """Compare the files below the roots with what is stored.

    A file whose stamp is the stored one is not read. Of any other the SHA-256 tells whether it changed.

    Args:
        roots: Absolute paths.
        stored: What the store has.
        size: Tokens of a passage.

    Raises:
        DocumentError: A root does not exist.
    """
    result = Comparison()
    way = content_digest("", size)
    files = find_documents(roots)
    for path in files:
        source = str(path)
        if (told := source.encode("utf-8", "replace").decode()) != source:
            result.failed.append({"source": told, "reason": f"{told} cannot be read: its name is no UTF-8. Rename it."})
            continue
        known = stored.get(source, StoredDocument(""))
        length, stamp, digest = 0, "", ""
        try:
            with path.open("rb") as file:
                status = os.fstat(file.fileno())
                length, stamp = status.st_size, stamp_of(status)
                if known.digest.endswith(way) and not (stamp and stamp == known.stamp):
                    digest = content_digest(hashlib.file_digest(file, "sha256").hexdigest(), size)
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
    result.gone = [source for source in stored if source not in found and _below(source, roots)]
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


def _below(source: str, roots: list[Path]) -> bool:
    """Whether a stored document belongs to what this run looked at."""
    path = Path(source)
    return any(path == root or root in path.parents for root in roots)
