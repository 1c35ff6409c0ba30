"""One collection on disk: a qdrant-edge shard with its configuration, its lock and its upkeep."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from qdrant_edge import EdgeConfig, EdgeShard, UpdateOperation

from freehold.errors import StorageError
from freehold.memory.disk_space import ROOM_TO_DELETE, ROOM_TO_OPEN, ROOM_TO_WRITE, require_room
from freehold.memory.edge_optimizer import copy_shard, optimize_copy

__all__ = ["ShardFolder", "engine_errors", "sync_folder", "sync_tree"]

T = TypeVar("T")

_log = logging.getLogger(__name__)


@contextlib.contextmanager
def engine_errors(action: str, collection: str) -> Iterator[None]:
    """Turn whatever the engine raises into a `StorageError` that names the action and the collection."""
    try:
        yield
    except (StorageError, NotImplementedError):
        raise
    except BaseException as error:
        # A panic in the engine is no `Exception`; pyo3 does not export its class.
        if isinstance(error, Exception) or type(error).__name__ == "PanicException":
            raise StorageError(f"Could not {action} in collection {collection!r}: {error}") from error
        raise


def sync_folder(folder: Path) -> None:
    """Make a rename inside `folder` outlast a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Make a folder with all that is in it outlast a power cut, whoever wrote it, also through a mapping."""
    inside = list(folder.rglob("*"))
    for path in (one for one in inside if one.is_file()):
        with path.open("rb") as file:
            os.fsync(file.fileno())
    for path in (one for one in [folder, *inside] if one.is_dir()):
        sync_folder(path)


class ShardFolder:
    """A collection's folder: `config.json` beside `shard/`; the shard opens on first use.

    Every call takes the collection's one lock, at no cost: the engine holds the interpreter's lock while it works.

    Args:
        folder: Folder of the collection, which exists.

    Raises:
        StorageError: The engine or the disk failed, or the collection was closed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = folder.name
        self._lock = threading.RLock()
        self._optimizing = threading.Lock()  # taken before the other one, never behind it
        self._shard: EdgeShard | None = None
        self._closed = False
        self._journal: list[UpdateOperation] | None = None
        self._dirty = False
        self.unindexed = 0
        """Points written since the last optimisation, those of earlier openings too; 0 until the shard is open."""
        self._indexing = 0  # those that an optimisation under way sees
        self._counted = False
        self._replacements = 0

    @classmethod
    def create(cls, folder: Path, config: EdgeConfig, description: dict[str, Any]) -> ShardFolder:
        """Make the collection whole in a temporary folder, then rename it: a crash leaves all of it or nothing."""
        temporary = folder.parent / f".new-{uuid.uuid4().hex}"
        require_room(folder.parent, f"create the collection {folder.name!r}", ROOM_TO_WRITE)
        try:
            with engine_errors("create the shard", folder.name):
                shard_path = temporary / "shard"
                shard_path.mkdir(parents=True)
                shard = EdgeShard.create(str(shard_path), config)
                shard.flush()
                shard.close()
            return cls.adopt(folder, temporary, description)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)  # where it has not become the collection

    @classmethod
    def adopt(cls, folder: Path, made: Path, description: dict[str, Any]) -> ShardFolder:
        """Make a collection of a folder that has its shard already; a crash leaves all of it or nothing."""
        with engine_errors("create the shard", folder.name):
            (made / "config.json").write_text(json.dumps(description, indent=1), encoding="utf-8")
            sync_tree(made)
            made.rename(folder)
            sync_folder(folder.parent)
        return cls(folder)

    def description(self) -> dict[str, Any]:
        """What `create` was given as description."""
        with engine_errors("read config.json", self.name):
            found: dict[str, Any] = json.loads((self.folder / "config.json").read_text(encoding="utf-8"))
            return found

    def _open(self) -> EdgeShard:
        if self._closed:
            raise StorageError(f"Collection {self.name!r} is closed; open its folder again with EdgeQdrantClient.")
        if self._shard is None:
            live, old = self.folder / "shard", self.folder / "shard.old"
            with engine_errors("open the shard", self.name):
                require_room(self.folder, f"open the collection {self.name!r}", ROOM_TO_OPEN)
                if old.exists() and not live.exists():  # killed between the two renames of `optimize`
                    old.rename(live)
                for leftover in (old, *self.folder.glob("shard.new*")):
                    shutil.rmtree(leftover, ignore_errors=True)
                self._shard = EdgeShard.load(str(live))
                if not self._counted:
                    self.unindexed, self._counted = self._recall(self._shard), True
        return self._shard

    def _recall(self, shard: EdgeShard) -> int:
        """Points that an earlier opening left without an index; all of them where it did not say.

        The engine's own count of indexed vectors does not tell: it has the sparse ones in it, which always are, and
        not the dense ones of segments too small for a graph.
        """
        try:
            return int((self.folder / "unindexed").read_text(encoding="ascii"))
        except (FileNotFoundError, ValueError):
            return int(shard.info().points_count)

    def _remember(self) -> None:
        """Keep the count for the next opening; what a kill makes of it costs an optimisation, or delays one."""
        (self.folder / "unindexed").write_text(str(self.unindexed + self._indexing), encoding="ascii")

    def read(self, action: str, call: Callable[[EdgeShard], T]) -> T:
        """Run a call that changes nothing."""
        with self._lock, engine_errors(action, self.name):
            return call(self._open())

    def update(self, action: str, operation: UpdateOperation, points: int = 0, *, deletes: bool = False) -> None:
        """Apply an operation; once this returns, kill -9 does not undo it.

        Args:
            action: A verb phrase for messages.
            operation: What is done.
            points: How many points are written.
            deletes: Points go: they keep their room until an optimisation, so they count towards the next one, and
                they may go when the disk is too full for writing.
        """
        with self._lock, engine_errors(action, self.name):
            require_room(self.folder, action, ROOM_TO_DELETE if deletes else ROOM_TO_WRITE)
            shard = self._open()
            before = shard.info().points_count if deletes else 0
            shard.update(operation)
            if self._journal is not None:
                self._journal.append(operation)
            self._dirty = True
            self.unindexed += points + (before - shard.info().points_count if deletes else 0)

    def flush(self) -> None:
        """Put everything written so far on the disk, safe against a power cut."""
        with self._lock:
            if self._dirty and self._shard is not None:
                with engine_errors("flush", self.name):
                    self._shard.flush()
                    self._remember()
                self._dirty = False

    def optimize(self, stop: threading.Event | None = None) -> None:
        """Build the HNSW index beside the live shard, in another process, and swap it in.

        Reads and writes go on while it is built; they wait for the copy before, and for the swap behind it, to which
        belongs that what was written meanwhile is applied again to the new shard.

        Where one is under way, it is waited for, and another follows only for what was written meanwhile.

        Args:
            stop: Gives up, leaving the shard as it is, when this is set.
        """
        waited = not self._optimizing.acquire(blocking=False)
        if waited:
            self._optimizing.acquire()
        try:
            if not waited or self.unindexed:
                self._optimize(stop)
        finally:
            self._optimizing.release()

    def _optimize(self, stop: threading.Event | None) -> None:
        # A name of its own: where an owner was killed, its optimiser still works on the copy that it was given.
        new = self.folder / f"shard.new-{uuid.uuid4().hex}"
        with self._lock, engine_errors("copy the shard", self.name):
            shard = self._open()
            shard.flush()
            self._journal, self._indexing, self.unindexed = [], self.unindexed, 0
            replacements = self._replacements
            try:
                live = self.folder / "shard"
                # The copy, and the segments that are written anew in it.
                require_room(self.folder, "build the index", ROOM_TO_WRITE + 2 * _bytes_on_disk(live))
                copy_shard(live, new)
            except BaseException:
                self._stop_indexing()
                shutil.rmtree(new, ignore_errors=True)
                raise
        try:
            try:
                with engine_errors("optimise", self.name):
                    finished = optimize_copy(new, stop)
                    if finished:
                        sync_tree(new)  # here, so that nobody waits for the disk; what follows is little
            except StorageError:
                if self._replacements == replacements:
                    raise
                finished = False  # the copy went when another shard took this one's place
            with self._lock, engine_errors("swap the optimised shard in", self.name):
                if finished and not self._closed and self._replacements == replacements:
                    self._swap(new)
                    self._indexing = 0
                    self._remember()
        finally:
            with self._lock:
                self._stop_indexing()
            shutil.rmtree(new, ignore_errors=True)

    def _stop_indexing(self) -> None:
        self._journal = None
        self.unindexed, self._indexing = self.unindexed + self._indexing, 0

    def _swap(self, new: Path) -> None:
        """Apply what was written meanwhile to the new shard, and put it in the place of the old one."""
        fresh = EdgeShard.load(str(new))
        for operation in self._journal or ():
            fresh.update(operation)
        fresh.flush()
        fresh.close()
        sync_tree(new)  # the old shard was on the disk, and goes
        self._put_in_place(new)

    def _put_in_place(self, new: Path) -> None:
        if self._shard is not None:
            self._shard.close()
            self._shard = None
        live, old = self.folder / "shard", self.folder / "shard.old"
        live.rename(old)
        new.rename(live)
        sync_folder(self.folder)
        self._open()

    def replace(self, fresh: Path) -> None:
        """Put another shard in the place of this one, wholly or not at all; an index being built is given up."""
        with self._lock, engine_errors("replace the shard", self.name):
            sync_tree(fresh)
            self._open()  # mends what a kill left, and refuses where the collection is closed
            self._replacements += 1
            self._put_in_place(fresh)
            self.unindexed = int(self._open().info().points_count)
            self._remember()

    def close(self) -> None:
        """Flush and close; a second call does nothing."""
        with self._lock:
            self._closed = True
            if self._shard is not None:
                shard, self._shard = self._shard, None
                with engine_errors("close the shard", self.name):
                    try:
                        shard.flush()
                        self._remember()
                    finally:
                        shard.close()

    def remove(self) -> Path:
        """Close the collection and put it out of sight with one rename.

        Returns:
            Where it is now, for the caller to delete; what a kill leaves there is swept at the next opening.
        """
        with self._lock:
            self._closed = True
            with engine_errors("delete the collection", self.name):
                if self._shard is not None:
                    self._shard.close()
                    self._shard = None
                trash = self.folder.parent / f".deleted-{uuid.uuid4().hex}"
                self.folder.rename(trash)
                sync_folder(trash.parent)
        return trash


def _bytes_on_disk(folder: Path) -> int:
    """What the files take, without their holes."""
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())
