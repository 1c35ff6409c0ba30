"""Calls of memory/edge_client.py that the differential test leaves out, and what is refused before it is written."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from qdrant_client import models

from freehold.errors import StorageError
from freehold.memory import EdgeQdrantClient

NAME = "things"
VECTORS = {
    "a": models.VectorParams(size=2, distance=models.Distance.COSINE),
    "m": models.VectorParams(
        size=2,
        distance=models.Distance.DOT,
        multivector_config=models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM),
    ),
}
SPARSE = {"s": models.SparseVectorParams(modifier=models.Modifier.IDF)}


@pytest.fixture(autouse=True)
def filled(client: EdgeQdrantClient) -> None:
    """Three points with texts."""
    client.create_collection(NAME, VECTORS, sparse_vectors_config=SPARSE)
    texts = ["the heron eats fish", "fish and fish again", "a quiet night"]
    client.upsert(
        NAME,
        [
            models.PointStruct(id=n, vector={"a": [1.0, n / 4]}, payload={"text": text, "n": n, "group": n % 2})
            for n, text in enumerate(texts)
        ],
    )


def ids(answer: models.QueryResponse) -> list[Any]:
    """Ids of the points, in order."""
    return [one.id for one in answer.points]


# --- what is refused -------------------------------------------------------------------------------------------------


def sparse(indices: list[int], values: list[float]) -> models.SparseVector:
    """A sparse vector, however malformed."""
    return models.SparseVector.model_construct(indices=indices, values=values)


@pytest.mark.parametrize(
    ("vector", "says"),
    [
        ({"a": [1.0]}, "'a' has another size: expected dim: 2, got 1"),
        ({"b": [1.0, 2.0]}, "no vector 'b'; the collection has 'a', 'm', 's'"),
        ([1.0, 2.0], "no vector ''"),
        ({"a": [[1.0, 2.0]]}, "'a' is dense, and a multi one was given"),
        ({"m": [1.0, 2.0]}, "'m' is multi, and a dense one was given"),
        ({"m": [[1.0, 2.0], [1.0]]}, "'m' has another size"),
        ({"s": [1.0]}, "'s' is sparse, and a dense one was given"),
        ({"a": sparse([1], [1.0])}, "'a' is dense, and a sparse one was given"),
        ({"s": sparse([1, 2], [1.0])}, "2 indices and 1 values"),
        ({"s": sparse([1, 1], [1.0, 2.0])}, "names an index twice"),
        ({"s": sparse([-1], [1.0])}, "from 0 to 4294967295"),
        ({"s": sparse([1], [math.nan])}, "NaN or infinity"),
        ({"m": [[1.0, 2.0], [math.inf, 0.0]]}, "NaN or infinity"),
        ({"a": [1e38, 1e38]}, "NaN or infinity"),
        ({"a": ["x", 1.0]}, "made of numbers"),
    ],
)
def test_a_bad_vector_is_named_and_nothing_written(client: EdgeQdrantClient, vector: Any, says: str) -> None:
    """A bad vector among good ones is named; the engine would keep the points before it, or never open again."""
    good = [models.PointStruct(id=n, vector={"a": [1.0, 1.0]}) for n in (10, 12)]
    bad = models.PointStruct.model_construct(id=11, vector=vector, payload=None)
    with pytest.raises(StorageError, match=says):
        client.upsert(NAME, [good[0], bad, good[1]])
    with pytest.raises(StorageError, match=says):
        client.update_vectors(
            NAME,
            [
                models.PointVectors(id=0, vector={"a": [5.0, 1.0]}),
                models.PointVectors.model_construct(id=1, vector=vector),
            ],
        )
    operations: list[Any] = [
        models.ClearPayloadOperation(clear_payload=models.PointIdsList(points=[0])),
        models.UpsertOperation.model_construct(
            upsert=models.PointsList.model_construct(points=[bad], update_filter=None, update_mode=None)
        ),
    ]
    with pytest.raises(StorageError, match=says):
        client.batch_update_points(NAME, operations)
    client.close()
    reopened = EdgeQdrantClient(client.folder)
    assert reopened.count(NAME).count == 3
    assert reopened.retrieve(NAME, [0], with_vectors=True)[0].vector == {"a": [1.0, 0.0]}
    assert reopened.retrieve(NAME, [0])[0].payload == {"text": "the heron eats fish", "n": 0, "group": 0}
    reopened.close()


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda c: c.count(NAME, _where("a[", match=models.MatchValue(value=1))), r"invalid JSON path a\["),
        (lambda c: c.count(NAME, _where("n")), "'n' asks for nothing"),
        (
            lambda c: c.count(NAME, models.Filter(min_should=models.MinShould(conditions=[], min_count=0))),
            "min_count is 0",
        ),
        (lambda c: c.count(NAME, _where("p", geo_radius=_radius(500.0))), "GeoPoint"),
        (lambda c: c.query_points(NAME, [1.0], using="a"), "expected dim: 2, got 1"),
        (lambda c: c.query_points(NAME, sparse([1, 2], [1.0]), using="s"), "2 indices and 1 values"),
        (lambda c: c.query_points(NAME, [1.0, 1.0], using="a", limit=0), "limit is 0"),
        (lambda c: c.query_points(NAME, models.FusionQuery(fusion=models.Fusion.RRF)), "without prefetches"),
        (lambda c: c.query_points(NAME, models.RecommendQuery(recommend=models.RecommendInput())), "positive example"),
        (lambda c: c.query_points(NAME, models.TextQuery(text="fish")), "`using`"),
        (lambda c: c.query_points(NAME, _formula("absent"), prefetch=models.Prefetch(limit=3)), "have a default"),
        (lambda c: c.scroll(NAME, limit=0), "limit is 0"),
        (lambda c: c.scroll(NAME, order_by="n", offset=1), "index|Offset"),
        (lambda c: c.facet(NAME, "n"), "index"),
        (
            lambda c: c.create_payload_index(NAME, "n", "word"),
            "'word' is no kind of payload index; give one of keyword",
        ),
        (lambda c: c.set_payload(NAME, {"x": 1}, [0, 77]), "no point 77"),
        (lambda c: c.delete_vectors(NAME, ["b"], [0]), "no vector 'b'"),
        (lambda c: c.delete(NAME, None), "names no points"),
        (lambda c: c.upsert(NAME, [models.PointStruct(id=2**64, vector={})]), "cannot be a point id"),
        (lambda c: c.set_payload(NAME, {"x": math.nan}, [0]), "payload"),
    ],
)
def test_a_mistake_is_named(client: EdgeQdrantClient, call: Any, says: str) -> None:
    """Each mistake says what it is, whichever layer finds it, and nothing has changed."""
    before = client.scroll(NAME, with_vectors=True)
    with pytest.raises(StorageError, match=says):
        call(client)
    assert client.scroll(NAME, with_vectors=True) == before


def _where(key: str, **condition: Any) -> models.Filter:
    return models.Filter(must=[models.FieldCondition(key=key, **condition)])


def _radius(longitude: float) -> models.GeoRadius:
    return models.GeoRadius(center=models.GeoPoint(lon=longitude, lat=0.0), radius=1.0)


def _formula(variable: str) -> models.FormulaQuery:
    return models.FormulaQuery(formula=models.SumExpression(sum=["$score", variable]))


# --- queries ---------------------------------------------------------------------------------------------------------


def test_text_is_ranked_by_bm25(client: EdgeQdrantClient) -> None:
    """A text index with scoring ranks by BM25, and matches phrases where it was told to."""
    params = models.TextIndexParams(
        type=models.TextIndexType.TEXT,
        tokenizer=models.TokenizerType.WORD,
        lowercase=True,
        phrase_matching=True,
        scoring=True,
        stopwords=models.StopwordsSet(languages=[models.Language.ENGLISH], custom=["again"]),
    )
    client.create_payload_index(NAME, "text", params)
    assert ids(client.query_points(NAME, models.TextQuery(text="Fish heron"), using="text")) == [0, 1]
    assert client.count(NAME, _where("text", match=models.MatchPhrase(phrase="quiet night"))).count == 1
    assert client.get_collection(NAME).payload_schema["text"].params == params


def test_formulas(client: EdgeQdrantClient) -> None:
    """Every kind of expression of a formula is taken, and gives the number it names."""
    prefetch = models.Prefetch(query=[1.0, 0.0], using="a", limit=3)
    two = models.PowExpression(pow=models.PowParams(base=2.0, exponent=1.0))
    halved = models.DecayParamsExpression(x=1.0, scale=1.0, midpoint=0.5)
    same: list[Any] = [
        models.SqrtExpression(sqrt=4.0),
        models.AbsExpression(abs=models.NegExpression(neg=2.0)),
        models.DivExpression(div=models.DivParams(left=4.0, right=two)),
        models.MaxExpression(max=[1.0, 2.0]),
        models.MinExpression(min=[3.0, 2.0]),
        models.MultExpression(mult=[2.0, models.ExpExpression(exp=0.0)]),
        models.Log10Expression(log10=100.0),
        models.SumExpression(sum=[2.0, models.LnExpression(ln=1.0), models.AcoshExpression(acosh=1.0)]),
        models.MultExpression(
            mult=[
                4.0,
                models.LinDecayExpression(lin_decay=halved),
            ]
        ),
        models.SumExpression(sum=[1.0, models.HasIdCondition(has_id=[0, 1, 2])]),
    ]
    for expression in same:
        answer = client.query_points(NAME, models.FormulaQuery(formula=expression), prefetch=prefetch)
        assert [round(one.score, 4) for one in answer.points] == [2.0, 2.0, 2.0], expression
    ranked = client.query_points(NAME, _formula("n"), prefetch=prefetch)
    assert ids(ranked) == [2, 1, 0]


def test_vectors_of_another_collection(client: EdgeQdrantClient) -> None:
    """`lookup_from` takes the vector from elsewhere, and then excludes nobody here."""
    client.create_collection("other", VECTORS["a"])
    client.upsert("other", [models.PointStruct(id=0, vector=[1.0, 0.5])])
    there = models.LookupLocation(collection="other", vector="")
    client.create_collection("named", VECTORS)
    client.upsert("named", [models.PointStruct(id=0, vector={"a": [1.0, 0.5]})])
    assert ids(client.query_points(NAME, 0, using="a")) == [1, 2]
    named = models.LookupLocation(collection="named", vector="a")
    assert ids(client.query_points(NAME, 0, using="a", lookup_from=named, limit=1)) == [2]
    with pytest.raises(StorageError, match="no vector 'a' in 'other'"):
        client.query_points(NAME, 0, using="a", lookup_from=there)


def test_groups_look_up_their_points(client: EdgeQdrantClient) -> None:
    """A group brings the point of another collection that has its value as id."""
    client.create_collection("kinds", VECTORS["a"])
    client.upsert("kinds", [models.PointStruct(id=1, vector=[1.0, 0.0], payload={"kind": "odd"})])
    groups = client.query_points_groups(
        NAME, "group", [1.0, 0.0], using="a", with_lookup="kinds", with_payload=["n"], group_size=1
    ).groups
    assert [(one.id, one.hits[0].payload, one.lookup and one.lookup.payload) for one in groups] == [
        (0, {"n": 0}, None),
        (1, {"n": 1}, {"kind": "odd"}),
    ]


def test_groups_fill_from_far_down(client: EdgeQdrantClient) -> None:
    """A group whose points come last is found all the same."""
    near = [models.PointStruct(id=n, vector={"a": [1.0, 0.0]}, payload={"kind": "near"}) for n in range(100, 400)]
    far = [models.PointStruct(id=n, vector={"a": [-1.0, 0.1]}, payload={"kind": "far"}) for n in (400, 401)]
    client.upsert(NAME, near + far)
    groups = client.query_points_groups(NAME, "kind", [1.0, 0.0], using="a", limit=2, group_size=2).groups
    assert [(one.id, len(one.hits)) for one in groups] == [("near", 2), ("far", 2)]


def test_min_should_counts_beside_ids(client: EdgeQdrantClient) -> None:
    """Too few of the conditions hold: no point passes, also where ids are asked for; the engine alone lets it."""
    ids_only: list[Any] = [models.HasIdCondition(has_id=[0, 1])]
    both = models.MinShould(conditions=ids_only, min_count=2)
    assert client.count(NAME, models.Filter(must=ids_only)).count == 2
    assert client.count(NAME, models.Filter(must=ids_only, min_should=both)).count == 0


# --- writing ---------------------------------------------------------------------------------------------------------


def test_uploads_from_columns(client: EdgeQdrantClient) -> None:
    """Columns become points: arrays or lists, with ids made where none are given, from endless iterators too."""
    vectors = np.array([[1.0, float(n)] for n in range(130)], dtype=np.float32)
    client.upload_collection(NAME, {"a": vectors}, payload=({"row": n} for n in itertools.count()), ids=range(10, 140))
    assert client.count(NAME).count == 133
    assert client.retrieve(NAME, [139])[0].payload == {"row": 129}
    client.upload_collection(NAME, {"a": [[1.0, 1.0]]}, parallel=4)
    assert client.count(NAME).count == 134


@pytest.mark.parametrize("schema", list(models.PayloadSchemaType))
def test_every_kind_of_index(client: EdgeQdrantClient, schema: models.PayloadSchemaType) -> None:
    """Each kind is made by its name and by its parameters, described as it was made, and deleted."""
    client.create_payload_index(NAME, "key", schema)
    assert client.get_collection(NAME).payload_schema["key"].data_type == schema
    params = getattr(models, f"{schema.value.capitalize()}IndexParams")(type=schema.value, on_disk=True)
    if isinstance(params, models.TextIndexParams):
        params.tokenizer = models.TokenizerType.WORD  # the engine's default, which it names
    client.create_payload_index(NAME, "key", params)
    assert client.get_collection(NAME).payload_schema["key"].params == params
    client.delete_payload_index(NAME, "key")
    assert client.get_collection(NAME).payload_schema == {}
