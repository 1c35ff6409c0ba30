"""The Qdrant collection behind a LangGraph store: reading, searching and writing items."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from langgraph.store.base import GetOp, Item, ListNamespacesOp, MatchCondition, SearchItem, SearchOp
from qdrant_client import models

from freehold.errors import StorageError
from freehold.memory.store_filters import matches, narrowing
from freehold.memory.store_items import (
    VECTORS,
    First,
    Key,
    Put,
    expiry,
    namespace_text,
    point_id,
    to_item,
    to_point,
    to_search_item,
)

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

    from freehold.memory.store_plan import Batch

__all__ = ["ItemCollection"]

_PAGE = 256
_STEP = 2**28
"""Items of one namespace. With 2**25 namespaces a position stays below 2**53, where a float still counts by ones."""

_INDEXES = {
    "namespace": models.PayloadSchemaType.KEYWORD,
    "prefixes": models.PayloadSchemaType.KEYWORD,
    "position": models.PayloadSchemaType.INTEGER,
    "expires_at": models.PayloadSchemaType.FLOAT,
}


class ItemCollection:
    """The items of one store. Reads may come from any thread; writes wait for each other.

    `InMemoryStore` gives items in the order of their namespaces, and within a namespace in that of their first
    storing. A point's `position` is the namespace's number times `_STEP`, plus the item's number in it, so that one
    ordered scroll gives that order.

    Args:
        client: Any Qdrant.
        name: Name of the collection, made where it is missing.
        dimension: Length of the vectors; None where nothing is found by meaning.
        omit_expired: Whether what has expired is left out before it is swept.

    Raises:
        StorageError: The collection was made with other vectors.
    """

    def __init__(self, client: QdrantClient, name: str, dimension: int | None, *, omit_expired: bool) -> None:
        self.name = name
        self._client = client
        self._omit_expired = omit_expired
        self._lock = threading.Lock()
        if not client.collection_exists(name):
            try:
                self._create(dimension)
            except Exception:
                if not client.collection_exists(name):  # else another owner of it was faster
                    raise
        described = client.get_collection(name)
        vectors: Any = described.config.params.vectors or {}
        size = vectors[VECTORS].size if isinstance(vectors, Mapping) and VECTORS in vectors else None
        if dimension is not None and size != dimension:
            held = f"vectors of {size} dimensions" if size else "no vectors"
            raise StorageError(
                f"The collection {name!r} holds {held} and the embedding model gives {dimension} dimensions. "
                "Use the index it was made with, or another collection."
            )
        for key, kind in _INDEXES.items():
            if key not in described.payload_schema:
                client.create_payload_index(name, key, kind)

    def _create(self, dimension: int | None) -> None:
        if dimension is None:
            # The embedded engine wants some vector in a collection's description; none is ever stored under it.
            self._client.create_collection(self.name, {}, sparse_vectors_config={"none": models.SparseVectorParams()})
            return
        comparator = models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM)
        texts = models.VectorParams(size=dimension, distance=models.Distance.COSINE, multivector_config=comparator)
        self._client.create_collection(self.name, {VECTORS: texts})

    # --- reading -----------------------------------------------------------------------------------------------------

    def get(self, ops: Sequence[GetOp]) -> list[Item | None]:
        """The items of these keys, in one request; None where there is none."""
        ids = [point_id((tuple(op.namespace), op.key)) for op in ops]
        if not ids:
            return []
        now = time.time()
        records = self._client.retrieve(self.name, list(dict.fromkeys(ids)), with_payload=True)
        found = {str(one.id): one.payload or {} for one in records}
        if self._omit_expired:
            found = {identity: payload for identity, payload in found.items() if payload["expires_at"] > now}
        wanted = {identity for identity, op in zip(ids, ops, strict=True) if op.refresh_ttl}
        self._refresh([payload for identity, payload in found.items() if identity in wanted])
        return [to_item(found[identity]) if identity in found else None for identity in ids]

    def search(self, op: SearchOp, vector: Sequence[float] | None) -> list[SearchItem]:
        """The items that a search asks for: with a vector, the nearest first, and behind them those without any."""
        if not op.limit:
            return []
        if vector is None:
            payloads = self._page(op, self._within(op), op.offset, op.limit)
            scores: list[float | None] = [None] * len(payloads)
        else:
            hits = self._nearest(op, vector)
            payloads, scores = [payload for _, payload in hits], [score for score, _ in hits]
            if len(payloads) < op.limit:
                bare = self._within(op, must_not=[models.HasVectorCondition(has_vector=VECTORS)])
                payloads += self._page(op, bare, 0, op.limit - len(payloads))
                scores += [None] * (len(payloads) - len(scores))
        if op.refresh_ttl:
            self._refresh(payloads)
        return [to_search_item(payload, score) for payload, score in zip(payloads, scores, strict=True)]

    def namespaces(self, op: ListNamespacesOp) -> list[tuple[str, ...]]:
        """The namespaces that hold items, sorted."""
        conditions = op.match_conditions or ()
        must = self._live()
        for condition in conditions:
            if condition.match_type == "prefix" and condition.path and "*" not in condition.path:
                must += _below(condition.path)
        counted = self._client.facet(
            self.name,
            "namespace",
            facet_filter=models.Filter(must=must) if must else None,
            limit=max(1, self._client.count(self.name).count),
            exact=True,
        )
        found: set[tuple[str, ...]] = {tuple(json.loads(str(hit.value))) for hit in counted.hits}
        kept = {one[: op.max_depth] for one in found if all(_fits(one, condition) for condition in conditions)}
        return sorted(kept)[op.offset : op.offset + op.limit]

    def _live(self) -> list[models.Condition]:
        if not self._omit_expired:
            return []
        return [models.FieldCondition(key="expires_at", range=models.Range(gt=time.time()))]

    def _within(self, op: SearchOp, must_not: Sequence[models.Condition] = ()) -> models.Filter:
        must = [*_below(op.namespace_prefix), *self._live(), *narrowing(op.filter or {})]
        return models.Filter(must=must or None, must_not=list(must_not) or None)

    def _page(self, op: SearchOp, within: models.Filter, offset: int, limit: int) -> list[dict[str, Any]]:
        """`limit` payloads behind the first `offset`, in their order."""
        found: list[dict[str, Any]] = []
        skipped = 0
        for payload in self._scroll(within, min(_PAGE, offset + limit)):
            if op.filter and not matches(json.loads(payload["item"])[2], op.filter):
                continue
            if skipped < offset:
                skipped += 1
                continue
            found.append(payload)
            if len(found) == limit:
                break
        return found

    def _scroll(self, within: models.Filter, page: int) -> Iterator[dict[str, Any]]:
        """Payloads in the order of their positions. Two processes on one server may have given a position twice."""
        start: int | None = None
        there: list[Any] = []  # the points at `start` that were given already
        while True:
            apart = [models.HasIdCondition(has_id=there)] if there else []
            chosen = models.Filter(must=within.must, must_not=[*_listed(within.must_not), *apart] or None)
            order = models.OrderBy(key="position", start_from=start)
            records, _ = self._client.scroll(self.name, chosen, limit=page, order_by=order, with_payload=True)
            for record in records:
                payload = record.payload or {}
                if payload["position"] != start:
                    start, there = payload["position"], []
                there.append(record.id)
                yield payload
            if len(records) < page:
                return
            page = _PAGE

    def _nearest(self, op: SearchOp, vector: Sequence[float]) -> list[tuple[float | None, dict[str, Any]]]:
        """Scores and payloads, best first; of equal scores the earlier item first, as a stable sort has it."""
        end = op.offset + op.limit
        within = self._within(op)
        wanted = end + 1
        while True:
            answer = self._client.query_points(
                self.name, [list(vector)], using=VECTORS, query_filter=within, limit=wanted, with_payload=True
            )
            hits = [(hit.score, hit.payload or {}) for hit in answer.points]
            complete = len(hits) < wanted
            lowest = hits[-1][0] if hits else 0.0
            if op.filter:
                hits = [hit for hit in hits if matches(json.loads(hit[1]["item"])[2], op.filter)]
            # Hits as low as the last one may have equals that were cut off.
            if complete or (len(hits) >= end and hits[end - 1][0] > lowest):
                ranked = sorted(hits, key=lambda hit: (-hit[0], hit[1]["position"]))
                return [(float(score), payload) for score, payload in ranked[op.offset : end]]
            wanted *= 4

    # --- writing -----------------------------------------------------------------------------------------------------

    def write(self, batch: Batch, vectors: Mapping[str, Sequence[float]]) -> None:
        """Store and delete what a batch puts: everything that it stores in one request.

        Args:
            batch: What is put.
            vectors: The vector of each text.
        """
        gone = [point_id(key) for key, put in batch.puts.items() if put is None]
        kept = {key: put for key, put in batch.puts.items() if put is not None}
        with self._lock:
            if kept:
                self._client.upsert(self.name, self._points(kept, vectors))
            if gone:
                self._client.delete(self.name, models.PointIdsList(points=list(gone)))

    def _points(self, puts: Mapping[Key, Put], vectors: Mapping[str, Sequence[float]]) -> list[models.PointStruct]:
        now = datetime.now(UTC)
        records = self._client.retrieve(
            self.name, [point_id(key) for key in puts], with_payload=["position", "created_at", "expires_at"]
        )
        before = {str(record.id): record.payload or {} for record in records}
        if self._omit_expired:
            before = {identity: one for identity, one in before.items() if one["expires_at"] > now.timestamp()}
        newest: dict[tuple[str, ...] | None, int] = {}
        points = []
        for key, put in puts.items():
            held = before.get(point_id(key))
            if held is None:
                first = First(self._next(key[0], newest), now.isoformat())
            else:
                first = First(held["position"], held["created_at"])
            points.append(to_point(key, put, first, vectors, now))
        return points

    def _next(self, namespace: tuple[str, ...], newest: dict[tuple[str, ...] | None, int]) -> int:
        """The position of a new item: behind the last one of its namespace, or of a namespace behind all others."""
        if namespace not in newest:
            newest[namespace] = self._last(models.Filter(must=[_is("namespace", namespace)]))
        if newest[namespace] < 0:
            if None not in newest:
                newest[None] = self._last(None)
            newest[None] = (newest[None] // _STEP + 1) * _STEP
            newest[namespace] = newest[None] - 1
        newest[namespace] += 1
        return newest[namespace]

    def _last(self, within: models.Filter | None) -> int:
        order = models.OrderBy(key="position", direction=models.Direction.DESC)
        records, _ = self._client.scroll(self.name, within, limit=1, order_by=order, with_payload=["position"])
        return int((records[0].payload or {})["position"]) if records else -1

    def _refresh(self, payloads: Sequence[Mapping[str, Any]]) -> None:
        """Let the time to live of these items begin anew."""
        by_ttl: dict[float, list[Any]] = {}
        for payload in payloads:
            if (ttl := payload.get("ttl")) is not None:
                namespace, key, _ = json.loads(payload["item"])
                by_ttl.setdefault(ttl, []).append(point_id((tuple(namespace), key)))
        for ttl, ids in by_ttl.items():
            # Only where it still has that time to live: another write may have come between.
            margin = abs(ttl) * 1e-9
            same = models.FieldCondition(key="ttl", range=models.Range(gte=ttl - margin, lte=ttl + margin))
            chosen = models.Filter(must=[models.HasIdCondition(has_id=ids), same])
            self._client.set_payload(self.name, {"expires_at": expiry(time.time(), ttl)}, chosen)

    def sweep(self) -> int:
        """Delete what has expired; says how many items that were."""
        expired = models.Filter(must=[models.FieldCondition(key="expires_at", range=models.Range(lte=time.time()))])
        with self._lock:
            found = self._client.count(self.name, expired, exact=True).count
            if found:
                self._client.delete(self.name, models.FilterSelector(filter=expired))
        return found


def _listed(conditions: Any) -> list[models.Condition]:
    return list(conditions or ())


def _is(key: str, namespace: Sequence[str]) -> models.Condition:
    return models.FieldCondition(key=key, match=models.MatchValue(value=namespace_text(namespace)))


def _below(prefix: Sequence[str]) -> list[models.Condition]:
    return [_is("prefixes", prefix)] if prefix else []


def _fits(namespace: Sequence[str], condition: MatchCondition) -> bool:
    path = condition.path
    if len(namespace) < len(path):
        return False
    part = namespace[: len(path)] if condition.match_type == "prefix" else namespace[len(namespace) - len(path) :]
    return all(wanted in ("*", label) for wanted, label in zip(path, part, strict=True))
