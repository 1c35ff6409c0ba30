"""Building a shard's HNSW index beside the live shard: a copy, and another process that works on it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

from freehold.errors import StorageError

__all__ = ["copy_shard", "optimize_copy"]

# `optimize()` holds the interpreter's lock from beginning to end (18 s for 20,000 vectors), so it gets its own process.
_OPTIMIZE = (
    "import os, sys, qdrant_edge\n"
    "os.nice(10)\n"
    "shard = qdrant_edge.EdgeShard.load(sys.argv[1])\n"
    "shard.optimize()\n"
    "shard.flush()\n"
    "shard.close()\n"
)


def copy_shard(source: Path, target: Path) -> None:
    """Copy a shard with its log, holes as holes: a plain copy of its files would take five times the room.

    Without its log a shard numbers operations anew, and then silently drops writes to points that it holds.
    """
    shutil.copytree(source, target, copy_function=_copy_sparse)


def _copy_sparse(source: str, target: str) -> None:
    with Path(source).open("rb") as read, Path(target).open("wb") as write:
        size = os.fstat(read.fileno()).st_size
        write.truncate(size)
        position = 0
        while position < size:
            try:
                start = os.lseek(read.fileno(), position, os.SEEK_DATA)
            except OSError:  # nothing but a hole is left
                break
            position = os.lseek(read.fileno(), start, os.SEEK_HOLE)
            read.seek(start)
            write.seek(start)
            left = position - start
            while left and (piece := read.read(min(left, 2**20))):
                write.write(piece)
                left -= len(piece)


def optimize_copy(path: Path, stop: threading.Event | None) -> bool:
    """Optimise the shard at `path` in another process; False where it was told to stop.

    Raises:
        StorageError: The process failed.
    """
    command = [sys.executable, "-c", _OPTIMIZE, str(path)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as child:  # noqa: S603
        while True:
            try:
                _, errors = child.communicate(timeout=0.1)
            except subprocess.TimeoutExpired:
                if stop is None or not stop.is_set():
                    continue
                child.kill()
                return False
            if child.returncode != 0:
                raise StorageError(f"The optimiser ended with {child.returncode}: {errors.strip()[-500:]}")
            return True
