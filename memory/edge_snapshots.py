"""Snapshots of `EdgeQdrantClient`: a collection in one file, and back."""

from __future__ import annotations

import shutil
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from qdrant_client.http import models
from qdrant_edge import EdgeShard

from freehold.errors import StorageError
from freehold.memory.disk_space import ROOM_TO_WRITE, require_room
from freehold.memory.edge_archive import file_digest, read_manifest, unpack, write_archive
from freehold.memory.edge_base import SPARSE, VECTORS, EdgeBase, check_options
from freehold.memory.edge_shard import ShardFolder, engine_errors

__all__ = ["EdgeSnapshots"]

_FOLDER = ".snapshots"


class EdgeSnapshots(EdgeBase):
    """Snapshots are written, listed, restored and deleted."""

    def _snapshots(self, name: str) -> Path:
        return self.folder / _FOLDER / name

    def create_snapshot(
        self, collection_name: str, *unused: Any, to: str | Path | None = None, **options: Any
    ) -> models.SnapshotDescription:
        """Write a collection into one file, wholly or not at all; writes to it wait meanwhile.

        Args:
            collection_name: The collection.
            unused: Refused.
            to: The file to write, which must not exist; None is one of `list_snapshots`, in the client's folder.
            options: As qdrant-client has them.
        """
        check_options("create_snapshot", unused, options)
        shard = self._folder.shard(collection_name)
        if to is None:
            now = datetime.now(UTC).strftime("%Y-%m-%d-%H-%M-%S")
            target = self._snapshots(collection_name) / f"{collection_name}-{now}-{uuid.uuid4().hex[:8]}.snapshot"
            target.parent.mkdir(parents=True, exist_ok=True)
        else:
            target = Path(to).expanduser()
            if target.exists():
                raise StorageError(f"{target} exists already; give create_snapshot another file.")

        def write(opened: EdgeShard) -> None:
            opened.flush()
            live = shard.folder / "shard"
            data = sum(path.stat().st_blocks * 512 for path in live.rglob("*"))
            require_room(target.parent, "write the snapshot", ROOM_TO_WRITE + data)
            points = opened.info().points_count
            described = {"format": 1, "collection": shard.name, "points": points, "config": shard.description()}
            write_archive(live, described, target)

        shard.read("write a snapshot", write)
        return _describe(target, file_digest(target))

    def list_snapshots(self, collection_name: str, *unused: Any, **options: Any) -> list[models.SnapshotDescription]:
        """The snapshots of a collection in the client's folder, the oldest first."""
        check_options("list_snapshots", unused, options)
        self._folder.names()  # refuses where the client is closed
        return [_describe(path) for path in sorted(self._snapshots(collection_name).glob("*.snapshot"))]

    def delete_snapshot(self, collection_name: str, snapshot_name: str, *unused: Any, **options: Any) -> bool:
        """Delete a snapshot in the client's folder; False where there is none."""
        check_options("delete_snapshot", unused, options)
        self._folder.names()
        path = self._snapshots(collection_name) / snapshot_name
        if path.name != snapshot_name or not path.is_file():
            return False
        path.unlink()
        return True

    def recover_snapshot(
        self,
        collection_name: str,
        location: str | Path,
        api_key: str | None = None,
        checksum: str | None = None,
        *unused: Any,
        **options: Any,
    ) -> bool:
        """Put a snapshot in the place of a collection, or make a new one of it: wholly or not at all.

        Args:
            collection_name: The collection. Where there is one, its vectors must be those of the snapshot.
            location: Name of one of the collection's snapshots, or a file, as its path or as a `file://` URI.
            api_key: Refused: nothing is fetched.
            checksum: SHA-256 that the file must have.
            unused: Refused.
            options: As qdrant-client has them.

        Raises:
            StorageError: The file is missing, damaged, no snapshot, or one of other vectors. Nothing has changed then.
        """
        kept = {key: value for key, value in options.items() if key != "priority"}
        check_options("recover_snapshot", unused, {**kept, "api_key": api_key})
        path = self._located(collection_name, str(location))
        manifest = read_manifest(path)
        if checksum is not None and file_digest(path) != checksum.lower():
            raise StorageError(f"The snapshot {path} has another checksum than {checksum}; restore another one.")
        shard = self._folder.shard(collection_name) if collection_name in self._folder.names() else None
        if shard is not None:
            _check_same_vectors(shard, manifest, path)
        temporary = self.folder / f".new-{uuid.uuid4().hex}"  # swept when the folder is opened after a kill
        size = sum(length for told in manifest["files"].values() for _, length in told["extents"])
        require_room(self.folder, "restore the snapshot", ROOM_TO_WRITE + size)
        try:
            unpack(path, manifest, temporary / "shard")
            _try_out(temporary / "shard", manifest, path)
            if shard is None:
                self._folder.adopt(collection_name, temporary, manifest["config"])
            else:
                shard.replace(temporary / "shard")
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return True

    def _located(self, name: str, location: str) -> Path:
        parts = urlsplit(location)
        if parts.scheme in {"http", "https"}:
            raise NotImplementedError("EdgeQdrantClient.recover_snapshot fetches nothing; give the path of a file.")
        if parts.scheme == "file":
            return Path(unquote(parts.path))
        own = self._snapshots(name) / location
        return own if own.name == location and own.is_file() else Path(location).expanduser()


def _describe(path: Path, checksum: str | None = None) -> models.SnapshotDescription:
    about = path.stat()
    written = datetime.fromtimestamp(about.st_mtime, UTC).replace(tzinfo=None).isoformat(timespec="seconds")
    return models.SnapshotDescription(name=path.name, creation_time=written, size=about.st_size, checksum=checksum)


def _shape(described: dict[str, Any]) -> Any:
    """What two collections must share so that one can take the other's points."""
    vectors, sparse = VECTORS.validate_python(described["vectors"]), SPARSE.validate_python(described["sparse_vectors"])
    named = {"": vectors} if isinstance(vectors, models.VectorParams) else vectors or {}
    return (
        {name: (one.size, one.distance, one.multivector_config, one.datatype) for name, one in named.items()},
        {name: one.modifier or models.Modifier.NONE for name, one in (sparse or {}).items()},
    )


def _check_same_vectors(shard: ShardFolder, manifest: dict[str, Any], path: Path) -> None:
    ours, theirs = _shape(shard.description()), _shape(manifest["config"])
    if ours != theirs:
        raise StorageError(
            f"The snapshot {path} has other vectors than collection {shard.name!r}: {_said(theirs)}, "
            f"and not {_said(ours)}. Restore it under another name."
        )


def _said(shape: Any) -> str:
    dense = [f"{name!r} ({size}, {distance.value})" for name, (size, distance, _, _) in sorted(shape[0].items())]
    return ", ".join([*dense, *(f"{name!r} (sparse)" for name in sorted(shape[1]))]) or "none"


def _try_out(shard: Path, manifest: dict[str, Any], path: Path) -> None:
    """Open the shard once, so that what cannot be opened never takes the place of what can."""
    with engine_errors(f"open the snapshot {path}", str(manifest.get("collection"))):
        opened = EdgeShard.load(str(shard))
        found = opened.info().points_count
        opened.close()
    if found != manifest.get("points"):
        raise StorageError(f"The snapshot {path} has {found} points instead of {manifest.get('points')}.")
