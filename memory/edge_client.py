"""Qdrant in the process: the interface of `QdrantClient` on qdrant-edge shards."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import qdrant_edge as edge
from pydantic import TypeAdapter
from qdrant_client import QdrantClient
from qdrant_client.http import models

from freehold.errors import StorageError
from freehold.memory import edge_models as translate
from freehold.memory.edge_folder import EdgeFolder
from freehold.memory.edge_shard import engine_errors

__all__ = ["EdgeQdrantClient"]

_DONE = models.UpdateResult(operation_id=0, status=models.UpdateStatus.COMPLETED)
_VECTORS: TypeAdapter[Any] = TypeAdapter(dict[str, models.VectorParams] | models.VectorParams | None)
_SPARSE: TypeAdapter[Any] = TypeAdapter(dict[str, models.SparseVectorParams] | None)
# Options of a cluster: one process has one replica, and every write is done when the call returns.
_WITHOUT_MEANING = {"consistency", "grpc_grace", "ordering", "shard_key_selector", "timeout", "wait"}
_ENGINES_OWN = {"on_disk_payload", "optimizers_config", "replication_factor", "shard_number", "wal_config"}


def _check(method: str, unused: tuple[Any, ...], options: Mapping[str, Any]) -> None:
    """Refuse an option that would change the answer and is not translated; a silent one would be a wrong answer."""
    if unused:
        raise NotImplementedError(f"EdgeQdrantClient.{method} takes its further options by keyword, not {unused!r}.")
    for name, value in options.items():
        if value is not None and name not in _WITHOUT_MEANING:
            raise NotImplementedError(f"EdgeQdrantClient.{method} does not take {name}={value!r}.")


class EdgeQdrantClient(QdrantClient):
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
        StorageError: The engine or the disk failed, a collection or a point's id is unknown, or the client is closed.

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

    def __init__(self, folder: str | Path, *, optimize_after: int = 20_000, flush_every: float = 5.0) -> None:
        # `QdrantClient.__init__` is not called: it would open a connection or a second store.
        self._folder = EdgeFolder(Path(folder).expanduser(), optimize_after, flush_every)

    @property
    def folder(self) -> Path:
        """Folder of the collections."""
        return self._folder.path

    # --- collections -------------------------------------------------------------------------------------------------

    def get_collections(self, **options: Any) -> models.CollectionsResponse:
        """Names of the collections."""
        _check("get_collections", (), options)
        names = self._folder.names()
        return models.CollectionsResponse(collections=[models.CollectionDescription(name=name) for name in names])

    def collection_exists(self, collection_name: str, **options: Any) -> bool:
        """Whether there is such a collection."""
        _check("collection_exists", (), options)
        return collection_name in self._folder.names()

    def create_collection(
        self,
        collection_name: str,
        vectors_config: models.VectorParams | Mapping[str, models.VectorParams] | None = None,
        sparse_vectors_config: Mapping[str, models.SparseVectorParams] | None = None,
        *unused: Any,
        **options: Any,
    ) -> bool:
        """Create a collection, wholly or not at all; the optimiser's and a cluster's settings are its own."""
        kept = {key: value for key, value in options.items() if key not in _ENGINES_OWN}
        _check("create_collection", unused, kept)
        config = translate.collection_config(vectors_config, sparse_vectors_config)
        description = {
            "format": 1,
            "vectors": _VECTORS.dump_python(vectors_config, mode="json", exclude_none=True),
            "sparse_vectors": _SPARSE.dump_python(sparse_vectors_config, mode="json", exclude_none=True),
        }
        self._folder.create(collection_name, config, description)
        return True

    def delete_collection(self, collection_name: str, *unused: Any, **options: Any) -> bool:
        """Delete a collection; False where there is none."""
        _check("delete_collection", unused, options)
        return self._folder.delete(collection_name)

    def get_collection(self, collection_name: str, **options: Any) -> models.CollectionInfo:
        """Size, vectors and payload indexes of a collection."""
        _check("get_collection", (), options)
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
                    vectors=_VECTORS.validate_python(described["vectors"]),
                    sparse_vectors=_SPARSE.validate_python(described["sparse_vectors"]),
                ),
                hnsw_config=models.HnswConfig(m=16, ef_construct=100, full_scan_threshold=10_000),
                optimizer_config=models.OptimizersConfig(
                    default_segment_number=0, flush_interval_sec=round(self._folder.flush_every)
                ),
            ),
            payload_schema={
                key: models.PayloadIndexInfo(
                    data_type=models.PayloadSchemaType(str(index.data_type).rpartition(".")[2].lower()),
                    points=index.points,
                )
                for key, index in info.payload_schema.items()
            },
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
        """Index a payload key: filters on it become fast, and results can be ordered by it."""
        _check("create_payload_index", unused, options)
        schema = translate.index_schema(field_schema if field_schema is not None else field_type)
        return self._update(collection_name, "index", edge.UpdateOperation.create_field_index(field_name, schema))

    # --- writing -----------------------------------------------------------------------------------------------------

    def _update(self, name: str, action: str, operation: edge.UpdateOperation, points: int = 0) -> models.UpdateResult:
        self._folder.writable(name).update(action, operation, points)
        return _DONE

    def upsert(
        self,
        collection_name: str,
        points: Any,
        *unused: Any,
        update_filter: Any = None,
        update_mode: Any = None,
        **options: Any,
    ) -> models.UpdateResult:
        """Insert points, or replace those whose id exists."""
        _check("upsert", unused, options)
        with engine_errors("read the points", collection_name):
            translated = translate.to_points(points)
            mode = update_mode and getattr(edge.UpdateMode, "".join(map(str.capitalize, update_mode.value.split("_"))))
            operation = edge.UpdateOperation.upsert_points(translated, translate.to_filter(update_filter), mode)
        return self._update(collection_name, "upsert", operation, len(translated)) if translated else _DONE

    def delete(self, collection_name: str, points_selector: Any, *unused: Any, **options: Any) -> models.UpdateResult:
        """Delete points by their ids or by a filter."""
        _check("delete", unused, options)
        ids, chosen = translate.to_selection(points_selector)
        make = edge.UpdateOperation
        operation = make.delete_points(ids) if ids is not None else make.delete_points_by_filter(chosen)
        return self._update(collection_name, "delete", operation)

    def set_payload(
        self,
        collection_name: str,
        payload: dict[str, Any],
        points: Any,
        key: str | None = None,
        *unused: Any,
        **options: Any,
    ) -> models.UpdateResult:
        """Set these payload keys and keep the others."""
        _check("set_payload", unused, options)
        ids, chosen = translate.to_selection(points)
        values, make = translate.to_payload(payload), edge.UpdateOperation
        with engine_errors("read the payload", collection_name):
            operation = (
                make.set_payload(ids, values, key)
                if ids is not None
                else make.set_payload_by_filter(chosen, values, key)
            )
        return self._update(collection_name, "set the payload", operation)

    def update_vectors(
        self,
        collection_name: str,
        points: Sequence[models.PointVectors],
        *unused: Any,
        update_filter: Any = None,
        **options: Any,
    ) -> models.UpdateResult:
        """Replace vectors and keep the payload."""
        _check("update_vectors", unused, options)
        vectors = [edge.PointVectors(translate.to_id(one.id), translate.to_vector(one.vector)) for one in points]
        operation = edge.UpdateOperation.update_vectors(vectors, translate.to_filter(update_filter))
        return self._update(collection_name, "update the vectors", operation, len(vectors))

    # --- reading -----------------------------------------------------------------------------------------------------

    def _request(self, name: str, request: models.QueryRequest) -> edge.QueryRequest:
        query, chosen = request.query, request.filter
        nearest = query.nearest if isinstance(query, models.NearestQuery) else query
        if isinstance(nearest, (int, str, uuid.UUID)):  # "like this point, without it"
            vector = self._vector_of(name, nearest, request.using)
            query = query.model_copy(update={"nearest": vector}) if isinstance(query, models.NearestQuery) else vector
            others = models.Filter(must_not=[models.HasIdCondition(has_id=[nearest])])
            chosen = others if chosen is None else models.Filter(must=[chosen, others])
        if request.lookup_from is not None or request.shard_key is not None:
            raise NotImplementedError("EdgeQdrantClient does not take lookup_from or shard_key.")
        prefetches = translate.to_prefetches(request.prefetch)
        return edge.QueryRequest(
            10 if request.limit is None else request.limit,
            offset=request.offset,
            query=translate.to_query(query, request.using),
            prefetches=prefetches or None,
            with_vector=request.with_vector or False,
            with_payload=translate.to_selector(request.with_payload),
            filter=translate.to_filter(chosen),
            score_threshold=request.score_threshold,
            params=translate.to_params(request.params),
        )

    def _vector_of(self, name: str, identity: Any, using: str | None) -> Any:
        found = self.retrieve(name, [identity], with_payload=False, with_vectors=True)
        if not found:
            raise StorageError(
                f"Point {identity!r} not found in collection {name!r}; query with a vector or a known id."
            )
        held: Any = found[0].vector
        vector = (held if isinstance(held, dict) else {"": held}).get(using or "")
        if vector is None:
            raise StorageError(f"Point {identity!r} has no vector {using or ''!r} in {name!r}; name one that it has.")
        return vector

    def query_points(  # noqa: PLR0913, PLR0917 - qdrant-client's signature
        self,
        collection_name: str,
        query: Any = None,
        using: str | None = None,
        prefetch: Any = None,
        query_filter: models.Filter | None = None,
        search_params: models.SearchParams | None = None,
        limit: int = 10,
        offset: int | None = None,
        with_payload: Any = True,
        with_vectors: Any = False,
        score_threshold: float | None = None,
        *unused: Any,
        **options: Any,
    ) -> models.QueryResponse:
        """Nearest points, a fusion of prefetches, or points by id where there is no query."""
        _check("query_points", unused, options)
        request = models.QueryRequest.model_construct(
            query=query,
            using=using,
            prefetch=prefetch,
            filter=query_filter,
            params=search_params,
            limit=limit,
            offset=offset,
            with_payload=with_payload,
            with_vector=with_vectors,
            score_threshold=score_threshold,
        )
        return self.query_batch_points(collection_name, [request])[0]

    def query_batch_points(
        self, collection_name: str, requests: Sequence[models.QueryRequest], *unused: Any, **options: Any
    ) -> list[models.QueryResponse]:
        """Several queries in one pass over the collection; answers come in the order of the requests."""
        _check("query_batch_points", unused, options)
        shard = self._folder.shard(collection_name)
        with engine_errors("read the query", collection_name):
            translated = [self._request(collection_name, request) for request in requests]
        if len(translated) == 1:
            answers = [shard.read("query", lambda opened: opened.query(translated[0]))]
        else:
            answers = shard.read("query", lambda opened: opened.query_batch(edge.QueryBatchRequest(translated)))
        return [
            models.QueryResponse.model_construct(points=[translate.from_scored(hit) for hit in hits])
            for hits in answers
        ]

    def retrieve(
        self,
        collection_name: str,
        ids: Sequence[Any],
        with_payload: Any = True,
        with_vectors: Any = False,
        *unused: Any,
        **options: Any,
    ) -> list[models.Record]:
        """Points by their ids; unknown ids are left out."""
        _check("retrieve", unused, options)
        wanted, selector = [translate.to_id(one) for one in ids], translate.to_selector(with_payload)
        shard = self._folder.shard(collection_name)
        found = shard.read("retrieve", lambda opened: opened.retrieve(wanted, selector, with_vectors))
        return [translate.from_record(record) for record in found]

    def scroll(  # noqa: PLR0913, PLR0917 - qdrant-client's signature
        self,
        collection_name: str,
        scroll_filter: models.Filter | None = None,
        limit: int = 10,
        order_by: Any = None,
        offset: Any = None,
        with_payload: Any = True,
        with_vectors: Any = False,
        *unused: Any,
        **options: Any,
    ) -> tuple[list[models.Record], int | str | None]:
        """A page of points in the order of their ids, and the id that the next page starts with, or None."""
        _check("scroll", unused, options)
        request = edge.ScrollRequest(
            offset=None if offset is None else translate.to_id(offset),
            limit=limit,
            filter=translate.to_filter(scroll_filter),
            with_payload=translate.to_selector(with_payload),
            with_vector=with_vectors,
            order_by=translate.to_order(order_by),
        )
        records, following = self._folder.shard(collection_name).read("scroll", lambda opened: opened.scroll(request))
        return [translate.from_record(record) for record in records], translate.from_id(following)

    def count(
        self,
        collection_name: str,
        count_filter: models.Filter | None = None,
        exact: bool = True,
        *unused: Any,
        **options: Any,
    ) -> models.CountResult:
        """How many points the filter lets through."""
        _check("count", unused, options)
        request = edge.CountRequest(exact=exact, filter=translate.to_filter(count_filter))
        return models.CountResult(
            count=self._folder.shard(collection_name).read("count", lambda opened: opened.count(request))
        )

    # --- upkeep ------------------------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Put everything written so far on the disk, safe against a power cut."""
        self._folder.flush()

    def optimize(self, collection_name: str) -> None:
        """Build the collection's HNSW index now; reads and writes go on meanwhile."""
        self._folder.shard(collection_name).optimize()

    def close(self, *unused: Any, **options: Any) -> None:
        """Flush and close every collection and let go of the folder; a second call does nothing."""
        _check("close", unused, options)
        if hasattr(self, "_folder"):  # it has none where the constructor failed, and `__del__` still calls this
            self._folder.close()


def _refuse(name: str) -> Callable[..., Any]:
    def refuse(self: EdgeQdrantClient, *unused: Any, **options: Any) -> Any:
        raise NotImplementedError(
            f"EdgeQdrantClient does not implement {name}; use the methods it defines, or a Qdrant server."
        )

    refuse.__name__ = name
    return refuse


# What is inherited would reach for a connection that this client does not have.
for _name in dir(QdrantClient):
    if not _name.startswith("_") and _name not in vars(EdgeQdrantClient) and callable(getattr(QdrantClient, _name)):
        setattr(EdgeQdrantClient, _name, _refuse(_name))
