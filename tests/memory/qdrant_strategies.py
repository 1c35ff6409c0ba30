"""Hypothesis strategies for points, payloads and filters, and comparisons of what two Qdrant clients answer.

Parts are taken from pools made beforehand, one draw each: a run makes thousands of points and filters.
"""

from __future__ import annotations

import math
import random
import uuid
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any, TypeVar

from hypothesis import strategies as st
from qdrant_client import models

VECTORS = {
    "a": models.VectorParams(size=3, distance=models.Distance.COSINE),
    "b": models.VectorParams(size=2, distance=models.Distance.DOT),
    "e": models.VectorParams(size=2, distance=models.Distance.EUCLID),
    "m": models.VectorParams(
        size=2,
        distance=models.Distance.DOT,
        multivector_config=models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM),
    ),
}
SPARSE = {"s": models.SparseVectorParams(), "i": models.SparseVectorParams(modifier=models.Modifier.IDF)}
_RANDOM = random.Random(7)
T = TypeVar("T")


def one_of_pool(pool: Sequence[T]) -> st.SearchStrategy[T]:
    """One of the pool; unlike `sampled_from` it can be shown in a line."""
    return st.integers(0, len(pool) - 1).map(pool.__getitem__)


# --- points ----------------------------------------------------------------------------------------------------------

_NUMBERS = [float(n) for n in range(-9, 10)]


def _dense(size: int) -> list[float]:
    """Never all zeros: cosine knows no direction of that."""
    return [_RANDOM.choice(_NUMBERS) for _ in range(size - 1)] + [_RANDOM.choice(_NUMBERS) or 1.0]


def _sparse() -> models.SparseVector:
    indices = _RANDOM.sample(range(6), _RANDOM.randint(1, 4))
    return models.SparseVector(indices=indices, values=[float(_RANDOM.randint(1, 9)) for _ in indices])


def _multi() -> list[list[float]]:
    return [_dense(2) for _ in range(_RANDOM.randint(1, 3))]


IDS: st.SearchStrategy[Any] = one_of_pool([*range(6), *(str(uuid.UUID(int=n * 7919)) for n in range(6, 12))])
A = one_of_pool([_dense(3) for _ in range(40)])
_POOLS: dict[str, st.SearchStrategy[Any]] = {
    "b": one_of_pool([_dense(2) for _ in range(30)]),
    "e": one_of_pool([_dense(2) for _ in range(30)]),
    "m": one_of_pool([_multi() for _ in range(30)]),
    "s": one_of_pool([_sparse() for _ in range(30)]),
    "i": one_of_pool([_sparse() for _ in range(30)]),
}
# Not "i": the engine counts deleted points in its inverse document frequencies until it is optimised.
NEAREST: st.SearchStrategy[tuple[str, Any]] = st.sampled_from(["a", "b", "e", "m", "s"]).flatmap(
    lambda name: st.tuples(st.just(name), {"a": A, **_POOLS}[name])
)
POINT_VECTORS = st.fixed_dictionaries({"a": A}, optional=_POOLS)
SOME_VECTORS = st.fixed_dictionaries({}, optional={"a": A, **_POOLS}).filter(bool)

_WORDS = ["red", "Red", "green", "größe", "東京", "naïve", "", "e1f2"]
_TEXTS = ["The red fox", "a green naïve fox jumps", "red, red wine", "Größe zählt", "東京 tower", "fox the red"]
PLACES = [
    {"lon": 13.4, "lat": 52.5},
    {"lon": -0.1, "lat": 51.5},
    {"lon": 179.5, "lat": -16.5},
    {"lon": -179.5, "lat": -16.6},
    {"lon": 37.6, "lat": 55.7},
]
_TIMES = [
    "2024-01-01T00:00:00Z",
    "2024-01-01T01:00:00+01:00",
    "2024-05-06",
    "2024-05-06T07:08:09.123456Z",
    "2025-12-31T23:59:59-08:00",
]
_NESTED = [
    {},
    *({"k": word, "n": number} for word in _WORDS[:4] for number in range(3)),
    {"k": "red"},
    {"n": 1, "t": ["red", "größe"]},
    {"t": []},
]
POOL_OF_FIELDS: dict[str, list[Any]] = {
    "colour": [*_WORDS, None, [], ["red", "green"], ["Red", None], [None], ["größe", "größe"]],
    "size": [*range(-3, 4), None, [], [1, 2], [-3, 3], [0, None]],
    "price": [-1.5, 0.0, 0.5, 2.25, 2.5, -2, 1],
    "flag": [True, False],
    "when": [*_TIMES, [], _TIMES[1:3]],
    "place": [*PLACES, [], PLACES[:2], PLACES[2:4], {"lon": "x"}],
    "text": _TEXTS,
    "items": [[], *_NESTED, *([one, other] for one, other in zip(_NESTED, _NESTED[5:], strict=False))],
    "deep": [{"x": {"y": 0}}, {"x": {"y": 2}}, {"x": {"y": None}}, {"x": {}}],
    "who": [str(uuid.UUID(int=n)) for n in (3, 5)],
}
FIELDS = {key: one_of_pool(pool) for key, pool in POOL_OF_FIELDS.items()}
PAYLOADS = st.fixed_dictionaries({}, optional=FIELDS)
SMALL_PAYLOADS = st.sampled_from(sorted(FIELDS)).flatmap(lambda key: st.fixed_dictionaries({key: FIELDS[key]}))
POINTS = st.lists(
    st.builds(lambda i, v, p: models.PointStruct(id=i, vector=v, payload=p), IDS, POINT_VECTORS, PAYLOADS),
    min_size=1,
    max_size=5,
    unique_by=lambda point: point.id,
)

# --- filters ---------------------------------------------------------------------------------------------------------

_KEYED = ["colour", "size", "price", "flag", "when", "place", "text", "items", "items[].k", "deep.x.y", "who", "absent"]
_MOMENTS = [
    datetime(2024, 1, 1, tzinfo=UTC),
    datetime(2024, 5, 6, 7, 8, 9, 123456, tzinfo=UTC),
    datetime(2024, 1, 1, 1, tzinfo=timezone(timedelta(hours=1))),
    datetime(2024, 5, 6),  # noqa: DTZ001 - a naive one is UTC
    date(2025, 1, 1),
]
_BOUNDS = [("gt",), ("gte",), ("lt",), ("lte",), ("gte", "lte"), ("gt", "lte")]
_BOXES = [(-10.0, 60.0, 20.0, 50.0), (170.0, -10.0, -170.0, -20.0), (0.0, 53.0, 40.0, 52.0)]


def _ring(west: float, south: float, east: float, north: float) -> models.GeoLineString:
    corners = [(west, south), (east, south), (east, north), (west, north), (west, south)]
    return models.GeoLineString(points=[models.GeoPoint(lon=lon, lat=lat) for lon, lat in corners])


def _matches() -> list[tuple[str, Any]]:
    texts = ["red", "fox RED", "größe", "xyz"]
    keyed = ["colour", "items[].k", "items[].t", "items[0].k", "text"]
    lists: list[list[str]] = [[], ["red"], ["red", "größe"], ["", "東京"]]
    numbers: list[list[int]] = [[], [1], [-3, 0, 3]]
    return [
        *((key, models.MatchValue(value=word)) for key in keyed for word in _WORDS),
        *((key, models.MatchValue(value=n)) for key in ("size", "deep.x.y", "items[].n", "price") for n in (-1, 0, 2)),
        *(("flag", models.MatchValue(value=yes)) for yes in (True, False)),
        *(("who", models.MatchValue(value=str(uuid.UUID(int=n)))) for n in (3, 4)),
        *((key, models.MatchAny(any=some)) for key in keyed for some in lists),
        *((key, models.MatchExcept(**{"except": some})) for key in keyed for some in lists),
        *(("size", models.MatchAny(any=some)) for some in numbers),
        *(("size", models.MatchExcept(**{"except": some})) for some in numbers),
        *((key, models.MatchText(text=text)) for key in ("text", "colour") for text in texts),
        *(("text", models.MatchTextAny(text_any=text)) for text in ("wine tower", "nope", "FOX")),
        *(("text", models.MatchPhrase(phrase=text)) for text in ("red fox", "fox red", "the red")),
        *((key, models.MatchPrefix(prefix=text)) for key in ("colour", "text") for text in ("re", "R", "東")),
        *((key, models.MatchSubstring(substring=text)) for key in ("colour", "text") for text in ("ee", "ö", "ed")),
    ]


def _fields() -> list[models.FieldCondition]:
    condition = models.FieldCondition
    berlin = models.GeoPoint(**PLACES[0])
    boxes = [
        models.GeoBoundingBox(top_left=models.GeoPoint(lon=w, lat=n), bottom_right=models.GeoPoint(lon=e, lat=s))
        for w, n, e, s in _BOXES
    ]
    exterior = _ring(-10.0, 40.0, 60.0, 65.0)
    polygons = [
        models.GeoPolygon(exterior=exterior),
        models.GeoPolygon(exterior=exterior, interiors=[_ring(10.0, 50.0, 20.0, 55.0)]),
    ]
    return [
        *(condition(key=key, match=match) for key, match in _matches()),
        *(
            condition(key=key, range=models.Range(**dict.fromkeys(bounds, value)))
            for key in ("size", "price", "items[].n", "colour")
            for bounds in _BOUNDS
            for value in (-1.0, 0.5, 2.25)
        ),
        *(
            condition(key="when", range=models.DatetimeRange(**dict.fromkeys(bounds, moment)))
            for bounds in _BOUNDS
            for moment in _MOMENTS
        ),
        *(
            condition(key="place", geo_radius=models.GeoRadius(center=berlin, radius=radius))
            for radius in (100.0, 1_000_000.0, 1_700_000.0)
        ),
        *(condition(key="place", geo_bounding_box=box) for box in boxes),
        *(condition(key="place", geo_polygon=polygon) for polygon in polygons),
        *(
            condition(key=key, values_count=models.ValuesCount(**dict.fromkeys(bounds, number)))
            for key in ("colour", "size", "items", "absent")
            for bounds in _BOUNDS
            for number in range(3)
        ),
        *(condition(key=key, is_empty=yes) for key in _KEYED for yes in (True, False)),
        *(condition(key=key, is_null=yes) for key in _KEYED for yes in (True, False)),
    ]


def _nested(key: str, word: str, number: int) -> models.NestedCondition:
    chosen = models.Filter(
        must=[models.FieldCondition(key="k", match=models.MatchValue(value=word))],
        must_not=[models.FieldCondition(key="n", range=models.Range(gte=number))],
    )
    return models.NestedCondition(nested=models.Nested(key=key, filter=chosen))


def _others() -> list[Any]:
    return [
        *(models.IsEmptyCondition(is_empty=models.PayloadField(key=key)) for key in _KEYED),
        *(models.IsNullCondition(is_null=models.PayloadField(key=key)) for key in _KEYED),
        *(models.HasVectorCondition(has_vector=name) for name in [*VECTORS, *SPARSE]),
        *(models.SliceCondition(slice=models.Slice(total=3, index=n)) for n in range(3)),
        *(_nested(key, word, number) for key in ("items", "items[]") for word in _WORDS[:3] for number in (1, 2)),
    ]


_FIELDS, _OTHERS = _fields(), _others()
CONDITIONS: list[Any] = [*_FIELDS, *_OTHERS]
_FIELD, _OTHER = one_of_pool(_FIELDS), one_of_pool(_OTHERS)
_HAS_ID = st.lists(IDS, max_size=3).map(lambda ids: models.HasIdCondition(has_id=ids))


@st.composite
def _filters(draw: st.DrawFn, depth: int = 0) -> models.Filter:
    def condition() -> Any:
        kind = draw(st.integers(0, 8))
        if kind == 0 and depth < 2:
            return draw(_filters(depth + 1))
        return draw(_HAS_ID if kind == 1 else _OTHER if kind == 2 else _FIELD)

    clauses: dict[str, Any] = {}
    for clause in draw(st.lists(st.sampled_from(["must", "should", "must_not", "min_should"]), max_size=2)):
        conditions = [condition() for _ in range(draw(st.integers(0, 2)))]
        if clause == "min_should":
            clauses[clause] = models.MinShould(conditions=conditions, min_count=draw(st.integers(1, 2)))
        else:
            clauses[clause] = conditions[0] if len(conditions) == 1 and draw(st.booleans()) else conditions
    return models.Filter(**clauses)


FILTERS = _filters()

# --- comparing -------------------------------------------------------------------------------------------------------


def near(one: float, other: float) -> bool:
    """The same but for single precision."""
    return math.isclose(one, other, rel_tol=2e-4, abs_tol=2e-4)


def assert_same_ranking(ours: list[Any], reference: list[Any], *, offset: int | None = None) -> None:
    """The same scores in the same order.

    Points of one score may come in any order, and any of them may be cut off: behind the last, and before an offset.
    """
    assert len(ours) == len(reference)
    assert all(near(one.score, other.score) for one, other in zip(ours, reference, strict=True)), (ours, reference)
    start = 0
    for stop in range(1, len(ours) + 1):
        if stop < len(ours) and near(reference[stop].score, reference[stop - 1].score):
            continue
        if stop < len(ours) and (start or not offset):  # else the score's points may be others
            assert {one.id for one in ours[start:stop]} == {one.id for one in reference[start:stop]}
        start = stop


def assert_same_point(one: Any, other: Any) -> None:
    """The same id, payload and vectors."""
    assert (one.id, one.payload) == (other.id, other.payload)
    ours, reference = one.vector or {}, other.vector or {}
    assert set(ours) == set(reference), (one, other)
    for name, vector in ours.items():
        flat, expected = _flat(vector), _flat(reference[name])
        assert len(flat) == len(expected)
        assert all(map(near, flat, expected)), (name, one, other)


def _flat(vector: Any) -> list[float]:
    if isinstance(vector, models.SparseVector):
        pairs = sorted(zip(vector.indices, vector.values, strict=True))
        return [number for pair in pairs for number in pair]
    return [number for one in vector for number in (one if isinstance(one, list) else [one])]


INDEXES = {
    "colour": "keyword",
    "size": "integer",
    "price": "float",
    "flag": "bool",
    "when": "datetime",
    "place": "geo",
    "who": "uuid",
    "items[].k": "keyword",
    "deep.x.y": "integer",
}
