"""Qdrant in the process: the interface of `QdrantClient` on qdrant-edge shards."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import qdrant_edge as edge
from qdrant_client import QdrantClient
from qdrant_client.http import models

from freehold.memory.edge_base import SPARSE, VECTORS, check_options
from freehold.memory.edge_config import collection_config
from freehold.memory.edge_indexes import from_index, to_index
from freehold.memory.edge_reading import EdgeReading
from freehold.memory.edge_shard import engine_errors
from freehold.memory.edge_snapshots import EdgeSnapshots
from freehold.memory.edge_writing import EdgeWriting

__all__ = ["EdgeQdrantClient"]

_DONE = models.UpdateResult(operation_id=0, status=models.UpdateStatus.COMPLETED)
# Settings of a cluster, and of an optimiser that has its own here.
_ENGINES_OWN = {
    "on_disk_payload",
    "optimizers_config",
    "replication_factor",
    "shard_number",
    "wal_config",
    "write_consistency_factor",
}


class EdgeQdrantClient(EdgeReading, EdgeWriting, EdgeSnapshots):
    """A `QdrantClient` whose collections are qdrant-edge shards in a folder, owned by this object alone.

    Methods take and give qdrant-client's own models. Those that are not written here raise `NotImplementedError` with
    their name. Safe to use from several threads. What a call has acknowledged outlasts kill -9 (write-ahead log);
    `flush`, which also runs every few seconds in the background, makes it outlast a power cut.

    Args:
        folder: Folder of the collections, made where it is missing.
        optimize_after: Points written to a collection before its HNSW index is built in the background. Below that
            every search is exact and takes about a millisecond (20,000 points of 384 dimensions).
        flush_every: Seconds between background flushes.

    Raises:
        WorkspaceLockedError: Another client, in this process or another, owns the folder.
        StorageError: The engine or the disk failed, a collection or a point's id is unknown, a vector or a filter is
            malformed, or the client is closed.

    Example:
        >>> import tempfile
        >>> client = EdgeQdrantClient(tempfile.mkdtemp())
        >>> client.create_collection("notes", models.VectorParams(size=2, distance=models.Distance.COSINE))
        True
        >>> _ = client.upsert("notes", [models.PointStruct(id=1, vector=[1.0, 0.0], payload={"text": "hello"})])
        >>> client.query_points("notes", [1.0, 0.1]).points[0].payload
        {'text': 'hello'}
        >>> client.close()
    """

    # --- collections -------------------------------------------------------------------------------------------------

    def get_collections(self, **options: Any) -> models.CollectionsResponse:
        """Names of the collections."""
        check_options("get_collections", (), options)
        names = self._folder.names()
        return models.CollectionsResponse(collections=[models.CollectionDescription(name=name) for name in names])

    def collection_exists(self, collection_name: str, **options: Any) -> bool:
        """Whether there is such a collection."""
        check_options("collection_exists", (), options)
        return collection_name in self._folder.names()

    def create_collection(
        self,
        collection_name: str,
        vectors_config: models.VectorParams | Mapping[str, models.VectorParams] | None = None,
        sparse_vectors_config: Mapping[str, models.SparseVectorParams] | None = None,
        *unused: Any,
        hnsw_config: models.HnswConfigDiff | None = None,
        **options: Any,
    ) -> bool:
        """Create a collection, wholly or not at all; the optimiser's and a cluster's settings are its own."""
        kept = {key: value for key, value in options.items() if key not in _ENGINES_OWN}
        check_options("create_collection", unused, kept)
        with engine_errors("read the configuration", collection_name):
            config = collection_config(vectors_config, sparse_vectors_config, hnsw_config)
        description = {
            "format": 1,
            "vectors": VECTORS.dump_python(vectors_config, mode="json", exclude_none=True),
            "sparse_vectors": SPARSE.dump_python(sparse_vectors_config, mode="json", exclude_none=True),
        }
        self._folder.create(collection_name, config, description)
        return True

    def delete_collection(self, collection_name: str, *unused: Any, **options: Any) -> bool:
        """Delete a collection, not its snapshots; False where there is none."""
        check_options("delete_collection", unused, options)
        return self._folder.delete(collection_name)

    def get_collection(self, collection_name: str, **options: Any) -> models.CollectionInfo:
        """Size, vectors and payload indexes of a collection."""
        check_options("get_collection", (), options)
        shard = self._folder.shard(collection_name)
        described, info = shard.description(), shard.read("look", lambda opened: opened.info())
        return models.CollectionInfo(
            status=models.CollectionStatus.GREEN,
            optimizer_status=models.OptimizersStatusOneOf.OK,
            points_count=info.points_count,
            indexed_vectors_count=info.indexed_vectors_count,
            segments_count=info.segments_count,
            config=models.CollectionConfig(
                params=models.CollectionParams(
                    vectors=VECTORS.validate_python(described["vectors"]),
                    sparse_vectors=SPARSE.validate_python(described["sparse_vectors"]),
                ),
                hnsw_config=models.HnswConfig(m=16, ef_construct=100, full_scan_threshold=10_000),
                optimizer_config=models.OptimizersConfig(
                    default_segment_number=0, flush_interval_sec=round(self._folder.flush_every)
                ),
                wal_config=models.WalConfig(wal_capacity_mb=32, wal_segments_ahead=0),
            ),
            payload_schema={key: from_index(index) for key, index in info.payload_schema.items()},
        )

    def create_payload_index(
        self,
        collection_name: str,
        field_name: str,
        field_schema: Any = None,
        field_type: Any = None,
        *unused: Any,
        **options: Any,
    ) -> models.UpdateResult:
        """Index a payload key: filters on it become fast, and results can be ordered, counted or searched by it."""
        check_options("create_payload_index", unused, options)
        with engine_errors("read the index", collection_name):
            schema = to_index(field_schema if field_schema is not None else field_type)
            operation = edge.UpdateOperation.create_field_index(field_name, schema)
        self._folder.writable(collection_name).update("index", operation)
        return _DONE

    def delete_payload_index(
        self, collection_name: str, field_name: str, *unused: Any, **options: Any
    ) -> models.UpdateResult:
        """Delete the index of a payload key, and keep the key."""
        check_options("delete_payload_index", unused, options)
        with engine_errors("read the index", collection_name):
            operation = edge.UpdateOperation.delete_field_index(field_name)
        self._folder.writable(collection_name).update("delete the index", operation)
        return _DONE

    # --- upkeep ------------------------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Put everything written so far on the disk, safe against a power cut."""
        self._folder.flush()

    def optimize(self, collection_name: str) -> None:
        """Build the collection's HNSW index now; reads and writes go on meanwhile."""
        self._folder.shard(collection_name).optimize()

    def close(self, *unused: Any, **options: Any) -> None:
        """Flush and close every collection and let go of the folder; a second call does nothing."""
        check_options("close", unused, options)
        if hasattr(self, "_folder"):  # it has none where the constructor failed, and `__del__` still calls this
            self._folder.close()


def _refuse(name: str) -> Callable[..., Any]:
    def refuse(self: EdgeQdrantClient, *unused: Any, **options: Any) -> Any:
        raise NotImplementedError(
            f"EdgeQdrantClient does not implement {name}; use the methods it defines, or a Qdrant server."
        )

    refuse.__name__ = name
    return refuse


# What is inherited would reach for a connection that this client does not have; `migrate` uses public calls alone.
for _name in dir(QdrantClient):
    _inherited = getattr(QdrantClient, _name)
    if (
        not _name.startswith("_")
        and _name != "migrate"
        and callable(_inherited)
        and getattr(EdgeQdrantClient, _name) is _inherited
    ):
        setattr(EdgeQdrantClient, _name, _refuse(_name))
