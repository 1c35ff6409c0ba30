"""The writing calls of `EdgeQdrantClient`.

What can be wrong with a call is found before the first byte is written: the engine itself would store the points before
a bad one, and raise then.
"""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import qdrant_edge as edge
from qdrant_client.http import models

from freehold.errors import StorageError
from freehold.memory.edge_base import EdgeBase, check_options
from freehold.memory.edge_filters import to_filter
from freehold.memory.edge_models import PointId, to_id, to_payload
from freehold.memory.edge_shard import ShardFolder, engine_errors
from freehold.memory.edge_vectors import VectorSchema

__all__ = ["EdgeWriting"]

_DONE = models.UpdateResult(operation_id=0, status=models.UpdateStatus.COMPLETED)
# Options of an upload over a network, to which there is nothing to say here.
_OF_A_NETWORK = {"parallel", "method", "max_retries"}

_PAGE = 1000

Write = Callable[[ShardFolder], None]
"""A write that was read and found right, and is still to be done."""


def _to_points(schema: VectorSchema, points: Any) -> list[edge.Point]:
    """Points from a list of them, or from a batch of columns."""
    if not isinstance(points, models.Batch):
        return [edge.Point(to_id(one.id), schema.to_vectors(one.vector), to_payload(one.payload)) for one in points]
    payloads = points.payloads or [{}] * len(points.ids)
    vectors: list[Any] = list(points.vectors)
    if isinstance(points.vectors, dict):
        rows = zip(*points.vectors.values(), strict=True)
        vectors = [dict(zip(points.vectors, row, strict=True)) for row in rows]
    columns = zip(points.ids, vectors, payloads, strict=True)
    return [edge.Point(to_id(one), schema.to_vectors(vector), to_payload(payload)) for one, vector, payload in columns]


def _to_selection(selector: Any) -> tuple[list[PointId] | None, Any]:
    """The ids, or else the filter, that a points selector names."""
    if isinstance(selector, models.FilterSelector):
        selector = selector.filter
    if isinstance(selector, models.Filter):
        return None, to_filter(selector)
    if selector is None:
        raise StorageError("The call names no points: give ids or a filter.")
    ids = selector.points if isinstance(selector, models.PointIdsList) else selector
    if isinstance(ids, (str, int, uuid.UUID)):
        ids = [ids]
    return [to_id(one) for one in ids], None


def _replayable(ids: list[PointId] | None, chosen: Any) -> Any:
    """The selection as a filter, so that the engine can repeat the operation after a kill.

    Killed while it flushes, the engine has later deletions on the disk before earlier changes. It then repeats its log,
    and an operation that names a deleted point by its id is given up as a whole: the other points' changes, which were
    acknowledged, are lost. A filter that lets these ids through simply does not find the deleted one.
    """
    return chosen if ids is None else edge.Filter(must=[edge.HasIdCondition(set(ids))])


def _require(shard: ShardFolder, ids: Sequence[PointId] | None) -> None:
    """Refuse a change to points that are not there; a server makes the others' changes, and refuses then."""
    if not ids:
        return
    found = shard.read("look the points up", lambda opened: opened.retrieve(list(ids), False, False))
    known = {str(one.id) for one in found}
    missing = next((one for one in ids if str(one) not in known), None)
    if missing is not None:
        raise StorageError(f"There is no point {missing!r} in collection {shard.name!r}; nothing was written.")


def _empty(shard: ShardFolder, vector: str, chosen: Any) -> None:
    """Empty a sparse vector of the points that are chosen, before it is deleted.

    The engine leaves the entries of a deleted sparse vector in its index, and counts them to the next one that the same
    point is given. Those of an empty one are gone.
    """
    held = edge.Filter(must=[chosen, edge.HasVectorCondition(vector)])
    offset: Any = None
    while True:
        request = edge.ScrollRequest(offset=offset, limit=_PAGE, filter=held, with_payload=False, with_vector=False)
        records, offset = shard.read("look the vectors up", lambda opened: opened.scroll(request))  # noqa: B023
        for record in records:
            empty = edge.PointVectors(record.id, {vector: edge.SparseVector([], [])})
            shard.update("delete the vectors", edge.UpdateOperation.update_vectors([empty], None))
        if offset is None:
            return


class EdgeWriting(EdgeBase):
    """Points, vectors and payloads come and go."""

    def _write(self, name: str, *writes: Write) -> models.UpdateResult:
        shard = self._folder.writable(name)
        # The collection's lock is held from the first look to the last write.
        shard.read("write", lambda _opened: [write(shard) for write in writes])
        return _DONE

    # --- points ------------------------------------------------------------------------------------------------------

    def upsert(
        self,
        collection_name: str,
        points: Any,
        *unused: Any,
        update_filter: Any = None,
        update_mode: Any = None,
        **options: Any,
    ) -> models.UpdateResult:
        """Insert points, or replace those whose id exists; where one of them is wrong, none is written."""
        check_options("upsert", unused, options)
        return self._write(collection_name, self._upsert(collection_name, points, update_filter, update_mode))

    def _upsert(self, name: str, points: Any, update_filter: Any, update_mode: Any) -> Write:
        schema = self._schema(self._folder.shard(name))
        with engine_errors("read the points", name):
            translated = _to_points(schema, points)
            mode = update_mode and getattr(edge.UpdateMode, "".join(map(str.capitalize, update_mode.value.split("_"))))
            operation = edge.UpdateOperation.upsert_points(translated, to_filter(update_filter), mode)
        if not translated:
            return lambda _shard: None
        return lambda shard: shard.update("upsert", operation, len(translated))

    def upload_points(
        self,
        collection_name: str,
        points: Iterable[models.PointStruct],
        batch_size: int = 64,
        *unused: Any,
        update_filter: Any = None,
        update_mode: Any = None,
        **options: Any,
    ) -> None:
        """Insert as many points as there are, batch by batch; each batch is written wholly or not at all."""
        check_options("upload_points", unused, {k: v for k, v in options.items() if k not in _OF_A_NETWORK})
        rest = iter(points)
        while batch := list(itertools.islice(rest, batch_size)):
            self.upsert(collection_name, batch, update_filter=update_filter, update_mode=update_mode)

    def upload_collection(
        self,
        collection_name: str,
        vectors: Any,
        payload: Iterable[dict[str, Any]] | None = None,
        ids: Iterable[Any] | None = None,
        batch_size: int = 64,
        *unused: Any,
        **options: Any,
    ) -> None:
        """Insert points given as columns: vectors, or a mapping of names to them; ids are made where none are given."""
        check_options("upload_collection", unused, {k: v for k, v in options.items() if k not in _OF_A_NETWORK})
        rows: Iterable[Any] = vectors
        if isinstance(vectors, Mapping):
            rows = (dict(zip(vectors, row, strict=True)) for row in zip(*vectors.values(), strict=True))
        columns = zip(
            rows,
            itertools.repeat(None) if payload is None else payload,
            (str(uuid.uuid4()) for _ in itertools.count()) if ids is None else ids,
            strict=False,  # as the client has it: the shortest column ends it
        )
        self.upload_points(
            collection_name,
            (models.PointStruct.model_construct(id=one, vector=row, payload=held) for row, held, one in columns),
            batch_size,
        )

    def delete(self, collection_name: str, points_selector: Any, *unused: Any, **options: Any) -> models.UpdateResult:
        """Delete points by their ids or by a filter; ids that are not there are no error."""
        check_options("delete", unused, options)
        return self._write(collection_name, self._delete(collection_name, points_selector))

    def _delete(self, name: str, selector: Any) -> Write:
        make = edge.UpdateOperation
        with engine_errors("read the selection", name):
            ids, chosen = _to_selection(selector)
            operation = make.delete_points(ids) if ids is not None else make.delete_points_by_filter(chosen)
        return lambda shard: shard.update("delete", operation, deletes=True)

    # --- vectors -----------------------------------------------------------------------------------------------------

    def update_vectors(
        self,
        collection_name: str,
        points: Sequence[models.PointVectors],
        *unused: Any,
        update_filter: Any = None,
        **options: Any,
    ) -> models.UpdateResult:
        """Replace these vectors, and keep the others and the payload."""
        check_options("update_vectors", unused, options)
        return self._write(collection_name, self._update_vectors(collection_name, points, update_filter))

    def _update_vectors(self, name: str, points: Sequence[models.PointVectors], update_filter: Any) -> Write:
        schema = self._schema(self._folder.shard(name))
        with engine_errors("read the vectors", name):
            ids = [to_id(one.id) for one in points]
            chosen = to_filter(update_filter)
            # One by one, as there is no form of it with a filter instead of ids: see `_replayable`.
            operations = [
                edge.UpdateOperation.update_vectors(
                    [edge.PointVectors(identity, schema.to_vectors(one.vector))], chosen
                )
                for identity, one in zip(ids, points, strict=True)
            ]

        def write(shard: ShardFolder) -> None:
            _require(shard, ids)
            for operation in operations:
                shard.update("update the vectors", operation, 1)

        return write

    def delete_vectors(
        self, collection_name: str, vectors: Sequence[str], points: Any, *unused: Any, **options: Any
    ) -> models.UpdateResult:
        """Delete the vectors of these names, and keep the points."""
        check_options("delete_vectors", unused, options)
        return self._write(collection_name, self._delete_vectors(collection_name, vectors, points))

    def _delete_vectors(self, name: str, vectors: Sequence[str], selector: Any) -> Write:
        schema = self._schema(self._folder.shard(name))
        for one in vectors:
            schema.check_name(one)

        def empty(shard: ShardFolder, chosen: Any) -> None:
            for one in filter(schema.is_sparse, vectors):
                _empty(shard, one, chosen)

        return self._change(
            name,
            "delete the vectors",
            selector,
            lambda chosen: edge.UpdateOperation.delete_vectors_by_filter(chosen, list(vectors)),
            before=empty,
        )

    # --- payloads ----------------------------------------------------------------------------------------------------

    def _change(
        self,
        name: str,
        action: str,
        selector: Any,
        make: Callable[[Any], edge.UpdateOperation],
        before: Callable[[ShardFolder, Any], None] = lambda _shard, _chosen: None,
    ) -> Write:
        """A change to points that must be there, and what is to be done to them before."""
        with engine_errors(action, name):
            ids, selected = _to_selection(selector)
            chosen = _replayable(ids, selected)
            operation = make(chosen)

        def write(shard: ShardFolder) -> None:
            _require(shard, ids)
            before(shard, chosen)
            shard.update(action, operation)

        return write

    def set_payload(
        self,
        collection_name: str,
        payload: dict[str, Any],
        points: Any,
        key: str | None = None,
        *unused: Any,
        **options: Any,
    ) -> models.UpdateResult:
        """Set these payload keys, inside `key` where one is given, and keep the others."""
        check_options("set_payload", unused, options)
        return self._write(collection_name, self._set_payload(collection_name, payload, points, key))

    def _set_payload(self, name: str, payload: dict[str, Any], selector: Any, key: str | None) -> Write:
        values, make = to_payload(payload), edge.UpdateOperation
        return self._change(
            name, "set the payload", selector, lambda chosen: make.set_payload_by_filter(chosen, values, key)
        )

    def overwrite_payload(
        self, collection_name: str, payload: dict[str, Any], points: Any, *unused: Any, **options: Any
    ) -> models.UpdateResult:
        """Put this payload in the place of what there is."""
        check_options("overwrite_payload", unused, options)
        return self._write(collection_name, self._overwrite_payload(collection_name, payload, points))

    def _overwrite_payload(self, name: str, payload: dict[str, Any], selector: Any) -> Write:
        values, make = to_payload(payload), edge.UpdateOperation
        return self._change(
            name, "overwrite the payload", selector, lambda chosen: make.overwrite_payload_by_filter(chosen, values)
        )

    def delete_payload(
        self, collection_name: str, keys: Sequence[str], points: Any, *unused: Any, **options: Any
    ) -> models.UpdateResult:
        """Delete these payload keys, and keep the others."""
        check_options("delete_payload", unused, options)
        return self._write(collection_name, self._delete_payload(collection_name, keys, points))

    def _delete_payload(self, name: str, keys: Sequence[str], selector: Any) -> Write:
        make = edge.UpdateOperation
        return self._change(
            name, "delete payload keys", selector, lambda chosen: make.delete_payload_by_filter(chosen, list(keys))
        )

    def clear_payload(
        self, collection_name: str, points_selector: Any, *unused: Any, **options: Any
    ) -> models.UpdateResult:
        """Delete the whole payload, and keep the points."""
        check_options("clear_payload", unused, options)
        return self._write(collection_name, self._clear_payload(collection_name, points_selector))

    def _clear_payload(self, name: str, selector: Any) -> Write:
        return self._change(name, "clear the payload", selector, edge.UpdateOperation.clear_payload_by_filter)

    # --- several at once ---------------------------------------------------------------------------------------------

    def batch_update_points(
        self, collection_name: str, update_operations: Sequence[Any], *unused: Any, **options: Any
    ) -> list[models.UpdateResult]:
        """Several writes in their order; where one of them is malformed, none is done."""
        check_options("batch_update_points", unused, options)
        writes = [self._batched(collection_name, operation) for operation in update_operations]
        self._write(collection_name, *writes)
        return [_DONE] * len(writes)

    def _batched(self, name: str, operation: Any) -> Write:  # noqa: PLR0911 - a table in all but name
        def chosen(one: Any) -> Any:
            return one.filter if one.points is None else one.points

        if isinstance(operation, models.UpsertOperation):
            given = operation.upsert
            points = given.batch if isinstance(given, models.PointsBatch) else given.points
            return self._upsert(name, points, given.update_filter, given.update_mode)
        if isinstance(operation, models.DeleteOperation):
            return self._delete(name, operation.delete)
        if isinstance(operation, models.SetPayloadOperation):
            one = operation.set_payload
            return self._set_payload(name, one.payload, chosen(one), one.key)
        if isinstance(operation, models.OverwritePayloadOperation):
            one = operation.overwrite_payload
            return self._overwrite_payload(name, one.payload, chosen(one))
        if isinstance(operation, models.DeletePayloadOperation):
            keys = operation.delete_payload.keys
            return self._delete_payload(name, keys, chosen(operation.delete_payload))
        if isinstance(operation, models.ClearPayloadOperation):
            return self._clear_payload(name, operation.clear_payload)
        if isinstance(operation, models.UpdateVectorsOperation):
            return self._update_vectors(name, operation.update_vectors.points, operation.update_vectors.update_filter)
        if isinstance(operation, models.DeleteVectorsOperation):
            return self._delete_vectors(name, operation.delete_vectors.vector, chosen(operation.delete_vectors))
        raise NotImplementedError(f"EdgeQdrantClient does not translate {type(operation).__name__}.")
