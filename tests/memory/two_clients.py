"""Two Qdrant clients that get the same calls: what `test_edge_differential.py` runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from qdrant_client import QdrantClient, models

from freehold.errors import StorageError
from freehold.memory import EdgeQdrantClient
from tests.memory.qdrant_strategies import (
    FIELDS,
    FILTERS,
    IDS,
    INDEXES,
    NEAREST,
    PAYLOADS,
    POINTS,
    SMALL_PAYLOADS,
    SOME_VECTORS,
    A,
    assert_same_point,
    assert_same_ranking,
)

NAME = "things"
MAYBE = st.none() | FILTERS


class TwoClients(RuleBasedStateMachine):
    """Every rule makes one call to both clients; every answer, and all that is stored, must agree."""

    compared: ClassVar[int] = 0
    """How many calls were compared."""
    ours: ClassVar[EdgeQdrantClient]
    reference: ClassVar[QdrantClient]

    @initialize(points=POINTS)
    def start(self, points: list[models.PointStruct]) -> None:
        """Both begin with the same points and no index."""
        self.indexed: set[str] = set()
        self.snapshot: tuple[str, list[Any]] | None = None
        self.both(lambda client: client.delete(NAME, models.Filter(must=[])))
        for key in self.ours.get_collection(NAME).payload_schema:
            self.ours.delete_payload_index(NAME, key)
        self.both(lambda client: client.upsert(NAME, points))

    def both(self, call: Callable[[QdrantClient], Any]) -> tuple[Any, Any]:
        """The same call to both clients."""
        type(self).compared += 1
        return call(self.ours), call(self.reference)

    def stored(self, client: QdrantClient) -> list[Any]:
        """All points, in the order of their ids."""
        return client.scroll(NAME, limit=100, with_vectors=True)[0]

    def known(self, ids: list[Any]) -> bool:
        """Whether all points are there; where one is not, our client changes none, and a server the others."""
        if {one.id for one in self.reference.retrieve(NAME, ids)} == set(ids):
            return True
        before = self.stored(self.ours)
        for call in (
            lambda: self.ours.set_payload(NAME, {"size": 9}, ids),
            lambda: self.ours.clear_payload(NAME, ids),
            lambda: self.ours.delete_vectors(NAME, ["a"], ids),
            lambda: self.ours.update_vectors(NAME, [models.PointVectors(id=i, vector={"b": [1.0, 1.0]}) for i in ids]),
        ):
            with pytest.raises(StorageError, match="There is no point"):
                call()
        assert self.stored(self.ours) == before
        return False

    @invariant()
    def same_points(self) -> None:
        """Both store the same."""
        ours, reference = self.both(self.stored)
        assert [one.id for one in ours] == [one.id for one in reference]
        for one, other in zip(ours, reference, strict=True):
            assert_same_point(one, other)

    # --- writing -----------------------------------------------------------------------------------------------------

    @rule(points=POINTS, mode=st.none() | st.sampled_from(list(models.UpdateMode)), chosen=MAYBE)
    def upsert(self, points: list[models.PointStruct], mode: models.UpdateMode | None, chosen: Any) -> None:
        """Insert and replace, also under a condition."""
        self.both(lambda client: client.upsert(NAME, points, update_mode=mode, update_filter=chosen))

    @rule(points=POINTS)
    def upload(self, points: list[models.PointStruct]) -> None:
        """Points in batches, and as columns."""
        self.both(lambda client: client.upload_points(NAME, iter(points), batch_size=2))
        columns = models.Batch(
            ids=[one.id for one in points],
            vectors={"a": [one.vector["a"] for one in points]},
            payloads=[one.payload for one in points],
        )
        self.both(lambda client: client.upsert(NAME, columns))

    @rule(ids=st.lists(IDS, min_size=1, max_size=3))
    def delete(self, ids: list[Any]) -> None:
        """Delete by id; unknown ids are no error."""
        self.both(lambda client: client.delete(NAME, ids))

    @rule(chosen=FILTERS)
    def delete_by_filter(self, chosen: models.Filter) -> None:
        """Delete by filter."""
        self.both(lambda client: client.delete(NAME, models.FilterSelector(filter=chosen)))

    @rule(
        payload=SMALL_PAYLOADS,
        to=FILTERS | st.lists(IDS, min_size=1, max_size=2),
        key=st.none() | st.sampled_from(["deep", "deep.x", "new", "items[0]", "items[]"]),
    )
    def set_payload(self, payload: dict[str, Any], to: Any, key: str | None) -> None:
        """Set payload keys, at the top and inside."""
        if isinstance(to, models.Filter) or self.known(to):
            self.both(lambda client: client.set_payload(NAME, payload, to, key=key))

    @rule(payload=PAYLOADS, to=FILTERS | st.lists(IDS, min_size=1, max_size=2))
    def overwrite_payload(self, payload: dict[str, Any], to: Any) -> None:
        """Replace the payload."""
        if isinstance(to, models.Filter) or self.known(to):
            self.both(lambda client: client.overwrite_payload(NAME, payload, to))

    @rule(
        keys=st.lists(st.sampled_from([*FIELDS, "deep.x.y", "items[].k", "items[0]"]), min_size=1, max_size=2),
        to=FILTERS | st.lists(IDS, min_size=1, max_size=2),
    )
    def delete_payload(self, keys: list[str], to: Any) -> None:
        """Delete payload keys."""
        if isinstance(to, models.Filter) or self.known(to):
            self.both(lambda client: client.delete_payload(NAME, keys, to))

    @rule(to=FILTERS | st.lists(IDS, min_size=1, max_size=2))
    def clear_payload(self, to: Any) -> None:
        """Empty the payload."""
        if isinstance(to, models.Filter) or self.known(to):
            self.both(lambda client: client.clear_payload(NAME, to))

    @rule(vectors=st.dictionaries(IDS, SOME_VECTORS, min_size=1, max_size=3), chosen=st.none() | FILTERS)
    def update_vectors(self, vectors: dict[Any, Any], chosen: Any) -> None:
        """Replace vectors."""
        points = [models.PointVectors(id=identity, vector=one) for identity, one in vectors.items()]
        if self.known(list(vectors)):
            self.both(lambda client: client.update_vectors(NAME, points, update_filter=chosen))

    @rule(
        names=st.lists(st.sampled_from(["b", "m", "s", "i"]), min_size=1, max_size=2),
        to=FILTERS | st.lists(IDS, min_size=1, max_size=2),
    )
    def delete_vectors(self, names: list[str], to: Any) -> None:
        """Delete vectors."""
        if isinstance(to, models.Filter) or self.known(to):
            self.both(lambda client: client.delete_vectors(NAME, names, to))

    @rule(points=POINTS, payload=SMALL_PAYLOADS, chosen=FILTERS)
    def batch(self, points: list[models.PointStruct], payload: dict[str, Any], chosen: models.Filter) -> None:
        """Several writes in one call."""
        ids: list[Any] = [one.id for one in points]
        operations = [
            models.UpsertOperation(upsert=models.PointsList(points=points)),
            models.SetPayloadOperation(set_payload=models.SetPayload(payload=payload, points=ids)),
            models.DeletePayloadOperation(delete_payload=models.DeletePayload(keys=["colour"], filter=chosen)),
            models.OverwritePayloadOperation(overwrite_payload=models.SetPayload(payload=payload, points=ids[:1])),
            models.UpdateVectorsOperation(
                update_vectors=models.UpdateVectors(points=[models.PointVectors(id=ids[0], vector={"b": [2.0, 1.0]})])
            ),
            models.DeleteVectorsOperation(delete_vectors=models.DeleteVectors(points=ids[:1], vector=["m"])),
            models.ClearPayloadOperation(clear_payload=models.FilterSelector(filter=chosen)),
            models.DeleteOperation(delete=models.PointIdsList(points=ids[-1:])),
        ]
        ours, reference = self.both(lambda client: client.batch_update_points(NAME, operations))
        assert len(ours) == len(reference)

    @rule(points=POINTS, place=st.integers(0, 6))
    def one_bad_point(self, points: list[models.PointStruct], place: int) -> None:
        """One bad point among good ones: nothing of them is stored."""
        bad = models.PointStruct(id=77, vector={"a": [1.0, 2.0]})
        given = [*points[:place], bad, *points[place:]]
        with pytest.raises(StorageError, match="'a' has another size"):
            self.ours.upsert(NAME, given)
        with pytest.raises(ValueError, match="expected dim"):
            self.reference.upsert(NAME, given)

    # --- indexes -----------------------------------------------------------------------------------------------------

    @rule(key=st.sampled_from(list(INDEXES)))
    def index(self, key: str) -> None:
        """An index changes how a filter is answered, and not what."""
        if key not in self.indexed:
            self.ours.create_payload_index(NAME, key, INDEXES[key])
            self.indexed.add(key)

    @precondition(lambda self: self.indexed)
    @rule(data=st.data())
    def drop_index(self, data: st.DataObject) -> None:
        """Nor does its end."""
        key = data.draw(st.sampled_from(sorted(self.indexed)))
        self.ours.delete_payload_index(NAME, key)
        self.indexed.remove(key)
        assert key not in self.ours.get_collection(NAME).payload_schema

    # --- reading -----------------------------------------------------------------------------------------------------

    @rule(chosen=MAYBE)
    def count(self, chosen: Any) -> None:
        """As many points."""
        ours, reference = self.both(lambda client: client.count(NAME, chosen).count)
        assert ours == reference

    @rule(
        ids=st.lists(IDS, max_size=4, unique=True),
        payload=st.sampled_from([True, False, ["size", "deep.x"]]),
        names=st.sampled_from([True, False, ["a"], ["s", "m"]]),
    )
    def retrieve(self, ids: list[Any], payload: Any, names: Any) -> None:
        """Points by id, with some of their payload and vectors."""
        ours, reference = self.both(lambda client: client.retrieve(NAME, ids, with_payload=payload, with_vectors=names))
        assert len(ours) == len(reference)
        for one, other in zip(ours, reference, strict=True):
            assert_same_point(one, other)

    @rule(limit=st.integers(1, 4), chosen=MAYBE)
    def pages(self, limit: int, chosen: Any) -> None:
        """All pages, and the id each next one begins with."""
        offset: Any = None
        while True:
            ours, reference = self.both(lambda client: client.scroll(NAME, chosen, limit=limit, offset=offset))  # noqa: B023 - called at once
            assert [one.id for one in ours[0]] == [one.id for one in reference[0]]
            assert ours[1] == reference[1]
            offset = ours[1]
            if offset is None:
                return

    @rule(
        key=st.sampled_from(["size", "price", "when"]),
        direction=st.sampled_from(list(models.Direction)),
        start=st.none() | st.sampled_from([-1, 1]),
        chosen=MAYBE,
    )
    def ordered(self, key: str, direction: models.Direction, start: Any, chosen: Any) -> None:
        """Points in the order of a payload key, from a value on."""
        self.index(key)
        order = models.OrderBy(key=key, direction=direction, start_from=None if key == "when" else start)
        ours, reference = self.both(lambda client: client.scroll(NAME, chosen, limit=100, order_by=order))
        assert ours[1] is reference[1] is None
        assert [one.order_value for one in ours[0]] == [one.order_value for one in reference[0]]
        assert {(str(one.id), one.order_value) for one in ours[0]} == {
            (str(one.id), one.order_value) for one in reference[0]
        }

    @rule(key=st.sampled_from(["colour", "size", "flag", "who", "items[].k"]), chosen=MAYBE)
    def facet(self, key: str, chosen: Any) -> None:
        """As many points of each value."""
        self.index(key)
        ours, reference = self.both(lambda client: client.facet(NAME, key, chosen, limit=100, exact=True).hits)
        counted = [{(one.value, one.count) for one in hits} for hits in (ours, reference)]
        assert counted[0] == counted[1], counted

    # --- queries -----------------------------------------------------------------------------------------------------

    def same_ranking(self, call: Callable[[QdrantClient], Any], offset: int | None = None) -> None:
        """The same points of the same scores."""
        ours, reference = self.both(call)
        assert_same_ranking(ours.points, reference.points, offset=offset)

    @rule(nearest=NEAREST, chosen=MAYBE, limit=st.sampled_from([1, 3, 100]), offset=st.sampled_from([None, 2]))
    def nearest(self, nearest: tuple[str, Any], chosen: Any, limit: int, offset: int | None) -> None:
        """Nearest points to a dense, sparse or multi-vector."""
        using, vector = nearest
        self.same_ranking(
            lambda client: client.query_points(
                NAME, vector, using=using, query_filter=chosen, limit=limit, offset=offset
            ),
            offset,
        )

    @rule(nearest=st.lists(NEAREST, min_size=1, max_size=3), chosen=MAYBE)
    def several(self, nearest: list[tuple[str, Any]], chosen: Any) -> None:
        """Several queries in one call."""
        requests = [
            models.QueryRequest(query=vector, using=using, filter=chosen, limit=100, with_payload=True)
            for using, vector in nearest
        ]
        ours, reference = self.both(lambda client: client.query_batch_points(NAME, requests))
        for one, other in zip(ours, reference, strict=True):
            assert_same_ranking(one.points, other.points)

    @rule(
        legs=st.lists(NEAREST, min_size=2, max_size=2),
        fusion=st.sampled_from(
            [
                models.FusionQuery(fusion=models.Fusion.DBSF),
                models.FormulaQuery(
                    formula=models.SumExpression(sum=["$score", models.MultExpression(mult=[0.5, "price"])]),
                    defaults={"price": 1.0},
                ),
                [1.0, 2.0, 3.0],
            ]
        ),
        inner=MAYBE,
        outer=MAYBE,
    )
    def fused(self, legs: list[tuple[str, Any]], fusion: Any, inner: Any, outer: Any) -> None:
        """Two prefetches whose scores are fused, put into a formula, or ranked again by a vector."""
        prefetch = [models.Prefetch(query=vector, using=name, filter=inner, limit=100) for name, vector in legs]
        if inner and outer and inner.min_should and outer.min_should:
            return  # a server counts the conditions of both together; here both must hold
        using = "a" if isinstance(fusion, list) else None
        self.same_ranking(
            lambda client: client.query_points(
                NAME, fusion, using=using, prefetch=prefetch, query_filter=outer, limit=100
            )
        )

    @rule(nearest=NEAREST, k=st.none() | st.integers(1, 60), weights=st.none() | st.just([3.0, 1.0]))
    def rank_fused(self, nearest: tuple[str, Any], k: int | None, weights: Any) -> None:
        """Reciprocal ranks; both legs in an order without ties, else the ranks are the client's to choose."""
        using, vector = nearest
        prefetch = [
            models.Prefetch(query=vector, using=using, limit=1),
            models.Prefetch(query=[1.0, 2.0, 3.0], using="a", limit=1),
        ]
        found = [self.ours.query_points(NAME, one.query, using=one.using, limit=2).points for one in prefetch]
        if all(len(hits) < 2 or hits[0].score != hits[1].score for hits in found):
            query = models.RrfQuery(rrf=models.Rrf(k=k, weights=weights))
            self.same_ranking(lambda client: client.query_points(NAME, query, prefetch=prefetch, limit=100))

    @rule(
        ids=st.lists(IDS, min_size=1, max_size=3, unique=True),
        vector=A,
        strategy=st.none() | st.sampled_from(list(models.RecommendStrategy)),
        chosen=MAYBE,
    )
    def like_these(self, ids: list[Any], vector: list[float], strategy: Any, chosen: Any) -> None:
        """Recommendation, discovery and context from ids and vectors; the points named are not among the answers."""
        if not self.known(ids):
            return
        first, rest = ids[0], ids[1:]
        recommend = models.RecommendInput(positive=[first, vector], negative=rest, strategy=strategy)
        pair = models.ContextPair(positive=[11.5, -3.25, 0.5], negative=first)  # as no point: rounding would decide
        for query in (
            first,
            models.RecommendQuery(recommend=recommend),
            models.DiscoverQuery(discover=models.DiscoverInput(target=vector, context=[pair])),
            models.ContextQuery(context=pair),
        ):
            self.same_ranking(
                lambda client, query=query: client.query_points(NAME, query, using="a", query_filter=chosen, limit=100)
            )

    @rule(key=st.sampled_from(["colour", "size"]), vector=A, chosen=MAYBE, limit=st.integers(1, 3))
    def groups(self, key: str, vector: list[float], chosen: Any, limit: int) -> None:
        """Groups of the nearest points that share a value."""
        ours, reference = self.both(
            lambda client: (
                client.query_points_groups(
                    NAME, key, vector, using="a", query_filter=chosen, limit=100, group_size=limit
                ).groups
            )
        )
        assert {one.id for one in ours} == {one.id for one in reference}, (ours, reference)
        expected = {one.id: one.hits for one in reference}
        for group in ours:
            assert_same_ranking(group.hits, expected[group.id])
            assert all(hit.payload == self.ours.retrieve(NAME, [hit.id])[0].payload for hit in group.hits)

    # --- snapshots ---------------------------------------------------------------------------------------------------

    @rule()
    def take_snapshot(self) -> None:
        """The collection goes into a file."""
        if self.snapshot is not None:
            self.ours.delete_snapshot(NAME, self.snapshot[0])
        self.snapshot = self.ours.create_snapshot(NAME).name, self.stored(self.reference)

    @precondition(lambda self: self.snapshot)
    @rule()
    def restore_snapshot(self) -> None:
        """And comes back as it was."""
        assert self.snapshot is not None
        (name, points), self.snapshot = self.snapshot, None
        self.ours.recover_snapshot(NAME, name)
        self.indexed = set(self.ours.get_collection(NAME).payload_schema)
        self.reference.delete(NAME, models.Filter(must=[]))
        if points:
            self.reference.upsert(
                NAME, [models.PointStruct(id=one.id, vector=one.vector, payload=one.payload) for one in points]
            )
