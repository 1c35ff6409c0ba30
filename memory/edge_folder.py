"""The folder of all collections: its owner's lock, its shards, and their upkeep in the background."""

from __future__ import annotations

import contextlib
import logging
import re
import shutil
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

from qdrant_edge import EdgeConfig

from freehold.errors import StorageError
from freehold.folder_lock import FolderLock
from freehold.memory.edge_shard import ShardFolder

__all__ = ["EdgeFolder"]

_log = logging.getLogger(__name__)

_RETRY_SECONDS = 300.0
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,127}")


class EdgeFolder:
    """A folder with one sub-folder per collection, owned by this object alone.

    Args:
        path: The folder, made where it is missing.
        optimize_after: Points written to a collection before its index is built in the background.
        flush_every: Seconds between background flushes.

    Raises:
        WorkspaceLockedError: Another owner, in this process or another, has the folder.
        WorkspaceError: The folder cannot be made or written to.
        StorageError: The engine or the disk failed, a collection is unknown, or the folder is closed.
    """

    def __init__(self, path: Path, optimize_after: int, flush_every: float) -> None:
        self.path = path
        self.optimize_after = optimize_after
        self.flush_every = flush_every
        self._shards: dict[str, ShardFolder] = {}
        self._not_before: dict[str, float] = {}  # when a collection may be optimised again after a failure
        self._guard = threading.RLock()
        self._stop = threading.Event()
        self._upkeep: threading.Thread | None = None
        self._lock: FolderLock | None = FolderLock(path)
        try:
            for entry in sorted(path.iterdir()):
                if entry.name.startswith((".new-", ".deleted-")):  # a create or a delete that was killed half way
                    shutil.rmtree(entry, ignore_errors=True)
                elif (entry / "config.json").is_file():
                    self._shards[entry.name] = ShardFolder(entry)
            for part in path.glob(".snapshots/*/.*.part"):  # a snapshot that was killed half way
                part.unlink(missing_ok=True)
        except OSError as error:
            self.close()
            raise StorageError(f"Could not open the vector store {path}: {error}") from error

    def _check_open(self) -> None:
        if self._lock is None:
            raise StorageError(f"The vector store {self.path} is closed; open it again with EdgeQdrantClient.")

    def names(self) -> list[str]:
        """Names of the collections, sorted."""
        with self._guard:
            self._check_open()
            return sorted(self._shards)

    def shard(self, name: str) -> ShardFolder:
        """The collection of that name."""
        with self._guard:
            self._check_open()
            if name not in self._shards:
                raise StorageError(f"Collection {name!r} not found in {self.path}; create it first.")
            return self._shards[name]

    def writable(self, name: str) -> ShardFolder:
        """The collection of that name, with the upkeep under way."""
        with self._guard:
            shard = self.shard(name)
            if self._upkeep is None:
                arguments = (weakref.ref(self), self._stop, self.flush_every)
                self._upkeep = threading.Thread(target=_keep_up, args=arguments, name="freehold-edge", daemon=True)
                self._upkeep.start()
            return shard

    def create(self, name: str, config: EdgeConfig, description: dict[str, Any]) -> None:
        """Create a collection, wholly or not at all."""
        self._add(name, lambda folder: ShardFolder.create(folder, config, description))

    def adopt(self, name: str, made: Path, description: dict[str, Any]) -> None:
        """Make a collection of a folder with a shard that lies in this one, wholly or not at all."""
        self._add(name, lambda folder: ShardFolder.adopt(folder, made, description))

    def _add(self, name: str, make: Callable[[Path], ShardFolder]) -> None:
        if not _NAME.fullmatch(name):
            raise StorageError(f"Collection {name!r} cannot be created: use letters, digits and ._- (at most 128).")
        with self._guard:
            self._check_open()
            if name in self._shards:
                raise StorageError(f"Collection {name!r} exists already in {self.path}.")
            self._shards[name] = make(self.path / name)

    def delete(self, name: str) -> bool:
        """Delete a collection; False where there is none."""
        with self._guard:
            self._check_open()
            if name not in self._shards:
                return False
            trash = self._shards[name].remove()
            del self._shards[name]  # not before: who creates it anew finds its folder gone
        shutil.rmtree(trash, ignore_errors=True)
        return True

    def flush(self) -> None:
        """Put everything written so far on the disk, safe against a power cut: every collection, though one fails."""
        with self._guard:
            shards = list(self._shards.values())
        with contextlib.ExitStack() as stack:
            for shard in shards:
                stack.callback(shard.flush)

    def keep_up(self) -> None:
        """Flush every collection, and optimise those that have grown enough; a failure is logged and tried again."""
        with self._guard:
            shards = list(self._shards.values())
        for shard in shards:
            try:
                shard.flush()
                if shard.unindexed >= self.optimize_after and time.monotonic() >= self._not_before.get(shard.name, 0):
                    shard.optimize(self._stop)
            except StorageError:
                # Each try copies the shard, so the next one waits.
                self._not_before[shard.name] = time.monotonic() + _RETRY_SECONDS
                _log.exception("Upkeep of collection %s failed; it is tried again later.", shard.name)

    def close(self) -> None:
        """Flush and close every collection and let go of the folder; a second call does nothing.

        Each is closed also where another fails to; the last failure is raised when all are closed.
        """
        with self._guard:
            lock, self._lock = self._lock, None
        if lock is None:
            return
        self._stop.set()
        if self._upkeep is not None and self._upkeep is not threading.current_thread():
            self._upkeep.join()
        with contextlib.ExitStack() as stack:
            stack.callback(lock.close)
            for shard in self._shards.values():
                stack.callback(shard.close)


def _keep_up(reference: weakref.ref[EdgeFolder], stop: threading.Event, seconds: float) -> None:
    """Body of the background thread; it does not keep the folder alive while it sleeps."""
    while not stop.wait(seconds):
        folder = reference()
        if folder is None:
            return
        folder.keep_up()
        del folder
