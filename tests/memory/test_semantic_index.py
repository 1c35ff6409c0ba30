from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from qdrant_client import models

from freehold.coordination.sealing import Seal
from freehold.errors import SettingsError, StorageError
from freehold.inference import LlamaEmbeddings
from freehold.memory.edge_client import EdgeQdrantClient
from freehold.memory.semantic_index import SemanticIndex
from freehold.models import EMBEDDING_MODEL, model_path
from freehold.portal import run_sync

QUESTION = "How do I reset my password?"
PARAPHRASE = "How can I reset my password?"


@pytest.fixture
async def index(client: EdgeQdrantClient, embedder: LlamaEmbeddings) -> AsyncIterator[SemanticIndex]:
    """An empty index."""
    index = SemanticIndex(client, embedder)
    yield index
    await index.close()


async def test_finds_the_nearest_first(index: SemanticIndex, embedder: LlamaEmbeddings) -> None:
    """Protects the order and the score, which is the cosine similarity."""
    assert await index.nearest(QUESTION, "s") == []
    await index.add("port", "Which port does the server listen on?", "s")
    await index.add("password", QUESTION, "s")
    one, other = await embedder.embed([QUESTION, PARAPHRASE])
    found = await index.nearest(PARAPHRASE, "s", limit=5)
    assert (found[0].key, found[0].question) == ("password", QUESTION)
    assert found[0].similarity == pytest.approx(float(np.dot(one, other)), abs=1e-3)
    assert found[1].similarity < found[0].similarity
    assert len(await index.nearest(PARAPHRASE, "s")) == 1


async def test_scopes_do_not_see_each_other(index: SemanticIndex) -> None:
    """Protects isolation: a question of another user is never a candidate."""
    await index.add("k1", QUESTION, "ada")
    await index.add("k2", QUESTION, "bob")
    assert [near.key for near in await index.nearest(QUESTION, "ada", limit=5)] == ["k1"]
    assert [near.key for near in await index.nearest(QUESTION, "bob", limit=5)] == ["k2"]
    assert await index.nearest(QUESTION, "a", limit=5) == []


async def test_a_key_holds_one_question(index: SemanticIndex) -> None:
    """Protects from duplicates: adding a key again replaces its question."""
    await index.add("k", "Which port does the server listen on?", "s")
    await index.add("k", QUESTION, "s")
    assert [(near.key, near.question) for near in await index.nearest(QUESTION, "s", limit=5)] == [("k", QUESTION)]


async def test_remove_and_clear_forget(index: SemanticIndex) -> None:
    """Protects the owner's wish to forget, also what is not there, and use afterwards."""
    await index.clear()
    await index.add("k1", QUESTION, "s")
    await index.add("k2", PARAPHRASE, "s")
    await index.remove("k1")
    await index.remove("never added")
    assert [near.key for near in await index.nearest(QUESTION, "s", limit=5)] == ["k2"]
    await index.clear()
    assert await index.nearest(QUESTION, "s") == []
    await index.add("k1", QUESTION, "s")
    assert [near.key for near in await index.nearest(QUESTION, "s")] == ["k1"]


async def test_sealed_questions_are_read_with_their_key_only(
    client: EdgeQdrantClient, embedder: LlamaEmbeddings, tmp_path: Path
) -> None:
    """Protects questions from whoever reads the disk, and lookups from what another key, or none, wrote."""
    one, other = (SemanticIndex(client, embedder, seal=Seal(bytes([number]) * 32)) for number in (1, 2))
    plain = SemanticIndex(client, embedder)
    await one.add("k", QUESTION, "s")
    client.flush()
    assert files_with(tmp_path, QUESTION) == set()
    assert [near.question for near in await one.nearest(QUESTION, "s")] == [QUESTION]
    assert await other.nearest(QUESTION, "s") == []
    await plain.add("p", PARAPHRASE, "s")
    assert [near.key for near in await one.nearest(PARAPHRASE, "s", limit=5)] == ["k"]
    for index in (one, other, plain):
        await index.close()


async def test_a_question_lives_as_long_as_it_is_told(index: SemanticIndex) -> None:
    """Protects answers whose time was extended from losing their questions, and others from getting one."""
    await index.add("k1", QUESTION, "s", ttl_seconds=60)
    await index.extend("k1", 1e-9)
    assert await index.nearest(QUESTION, "s") == []
    await index.extend("never added", 60)
    assert await index.nearest(QUESTION, "s") == []


async def test_a_question_is_embedded_once(client: EdgeQdrantClient) -> None:
    """Protects lookups from embedding a question once more when its answer is kept."""
    embedder = LlamaEmbeddings(model_path(EMBEDDING_MODEL))
    index = SemanticIndex(client, embedder)
    await index.nearest(QUESTION, "s")
    embedder.close()  # it computes nothing any more
    await index.add("k", QUESTION, "s")
    assert [near.key for near in await index.nearest(QUESTION, "s")] == ["k"]
    await index.close()


def test_questions_outlive_the_client(tmp_path: Path, embedder: LlamaEmbeddings) -> None:
    """Protects persistence, with a new client and on another event loop."""
    for turn in range(2):
        client = EdgeQdrantClient(tmp_path / "qdrant")
        index = SemanticIndex(client, embedder)
        if turn == 0:
            asyncio.run(index.add("k", QUESTION, "s"))
        assert [near.key for near in run_sync(index.nearest(PARAPHRASE, "s"))] == ["k"]
        run_sync(index.close())
        client.close()


class Short:
    """Another encoder, with vectors of another length."""

    dimension = 4

    async def embed(self, texts: list[str]) -> np.ndarray:
        return np.full((len(texts), 4), 0.5, dtype=np.float32)


async def test_another_vector_length_starts_anew(index: SemanticIndex, client: EdgeQdrantClient) -> None:
    """Protects a workspace whose embedding model was changed: old vectors are dropped, not compared."""
    await index.add("k", QUESTION, "s")
    other = SemanticIndex(client, Short())
    assert await other.nearest(QUESTION, "s") == []
    await other.add("k", QUESTION, "s")
    assert len(await other.nearest("anything", "s")) == 1
    await other.close()


async def test_a_closed_index_and_a_closed_client_say_so(client: EdgeQdrantClient, embedder: LlamaEmbeddings) -> None:
    """Protects callers from errors that are not Freehold's; closing twice is closing once."""
    index = SemanticIndex(client, embedder)
    await index.add("k", QUESTION, "s")
    client.close()
    with pytest.raises(StorageError):
        await index.nearest(QUESTION, "s")
    await index.close()
    await index.close()
    with pytest.raises(StorageError, match="closed"):
        await index.nearest(QUESTION, "s")


async def test_many_at_once(index: SemanticIndex) -> None:
    """Protects concurrency: a hundred additions and searches on one loop."""
    await asyncio.gather(*(index.add(f"k{number}", f"Question number {number}", "s") for number in range(100)))
    found = await asyncio.gather(*(index.nearest(f"Question number {number}", "s") for number in range(100)))
    assert [hits[0].question for hits in found] == [f"Question number {number}" for number in range(100)]


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.text(), st.tuples(st.text(), st.sampled_from("abc")), max_size=5))
def test_any_text_is_a_key_and_a_question(
    tmp_path: Path, client: EdgeQdrantClient, embedder: LlamaEmbeddings, entries: dict[str, tuple[str, str]]
) -> None:
    """Protects odd keys and questions: every entry is found in its scope and in no other."""
    index = SemanticIndex(client, embedder)

    async def run() -> None:
        await index.clear()
        for key, (question, scope) in entries.items():
            await index.add(key, question, scope)
        for scope in "abc":
            found = await index.nearest("anything", scope, limit=20)
            assert sorted(near.key for near in found) == sorted(k for k, (_, s) in entries.items() if s == scope)
        await index.close()

    run_sync(run())


async def test_questions_go_when_their_answers_do(index: SemanticIndex, client: EdgeQdrantClient) -> None:
    """Protects users: a question past its time is not found, and the next addition of any scope removes it."""
    await index.add("lasting", QUESTION, "s", ttl_seconds=3600)
    await index.add("endless", QUESTION, "s")
    await index.add("passing", QUESTION, "s", ttl_seconds=1e-6)
    assert {near.key for near in await index.nearest(QUESTION, "s", limit=5)} == {"lasting", "endless"}
    assert client.count("cache").count == 3
    await index.add("other", PARAPHRASE, "another scope", ttl_seconds=3600)
    kept = {record.payload["key"] for record in client.scroll("cache")[0] if record.payload}
    assert kept == {"lasting", "endless", "other"}


async def test_opening_removes_what_is_past_its_time(
    index: SemanticIndex, client: EdgeQdrantClient, embedder: LlamaEmbeddings
) -> None:
    """Protects users whose assistant is started again later: it need not wait for the next answer."""
    await index.add("passing", QUESTION, "s", ttl_seconds=1e-6)
    await index.add("lasting", QUESTION, "s", ttl_seconds=3600)
    await index.add("passing", QUESTION, "s", ttl_seconds=1e-6)
    assert client.count("cache").count == 2
    later = SemanticIndex(client, embedder)
    assert len(await later.nearest(QUESTION, "s", limit=5)) == 1
    assert client.count("cache").count == 1
    await later.close()


async def test_questions_of_an_earlier_version_go(client: EdgeQdrantClient, embedder: LlamaEmbeddings) -> None:
    """Protects from questions without a time, which would stay for ever."""
    client.create_collection("cache", models.VectorParams(size=embedder.dimension, distance=models.Distance.COSINE))
    client.create_payload_index("cache", "scope", models.PayloadSchemaType.KEYWORD)
    old = {"key": "old", "question": QUESTION, "scope": "s"}
    client.upsert("cache", [models.PointStruct(id=1, vector=[1.0] * embedder.dimension, payload=old)])
    index = SemanticIndex(client, embedder)
    assert await index.nearest(QUESTION, "s") == []
    assert client.count("cache").count == 0
    await index.add("k", QUESTION, "s", ttl_seconds=60)
    assert [near.key for near in await index.nearest(QUESTION, "s")] == ["k"]
    await index.close()


async def test_no_more_questions_than_allowed(client: EdgeQdrantClient, embedder: LlamaEmbeddings) -> None:
    """Protects the disk: above the limit the questions that would go soonest go, never the one just added."""
    index = SemanticIndex(client, embedder, max_questions=5)
    for number in (3, 1, 4, 2, 7, 6, 5, 0):
        await index.add(f"k{number}", f"Question number {number}", f"scope {number}", ttl_seconds=1000 + 100 * number)
        assert client.count("cache").count <= 5
    kept = {record.payload["key"] for record in client.scroll("cache")[0] if record.payload}
    assert kept == {"k4", "k5", "k6", "k7", "k0"}
    await index.close()
    with pytest.raises(SettingsError, match="max_questions=0"):
        SemanticIndex(client, embedder, max_questions=0)


def files_with(folder: Path, text: str) -> set[str]:
    """Names of the files that hold a text."""
    return {path.name for path in folder.rglob("*") if path.is_file() and text.encode() in path.read_bytes()}


async def test_forgetting_an_owner(client: EdgeQdrantClient, embedder: LlamaEmbeddings, tmp_path: Path) -> None:
    """Protects who is forgotten, down to the bytes, and everyone else; the collection keeps its indexes."""
    index = SemanticIndex(client, embedder)
    for owner in ("ada", "bob", ""):
        await index.add(f"{owner}.k", f"{QUESTION} {owner or 'nobody'}", "s", owner=owner)
    before = client.get_collection("cache")
    client.flush()

    assert files_with(tmp_path, f"{QUESTION} ada")
    await index.forget("ada")
    client.flush()
    assert files_with(tmp_path, f"{QUESTION} ada") == set()
    assert files_with(tmp_path, f"{QUESTION} bob")
    assert {near.key for near in await index.nearest(QUESTION, "s", limit=5)} == {"bob.k", ".k"}
    after = client.get_collection("cache")
    assert (after.payload_schema.keys(), after.config.params) == (before.payload_schema.keys(), before.config.params)
    await index.forget("nobody known")
    assert client.count("cache").count == 2
    assert [found.name for found in client.get_collections().collections] == ["cache"]
    await index.close()


async def test_questions_that_name_no_owner_are_forgotten_with_anyone(
    client: EdgeQdrantClient, index: SemanticIndex
) -> None:
    """Protects who is forgotten from an earlier version, which kept their questions without their name."""
    await index.add("k", QUESTION, "s", owner="bob")
    old = {"key": "old", "question": PARAPHRASE, "scope": "s", "expires_at": 1e10}
    client.upsert("cache", [models.PointStruct(id=1, vector=[1.0] * 384, payload=old)])
    await index.forget("ada")
    assert [near.key for near in await index.nearest(QUESTION, "s", limit=5)] == ["k"]


@pytest.mark.parametrize("survivors", range(1, 9))
async def test_an_interrupted_rewrite_costs_no_question(
    client: EdgeQdrantClient,
    embedder: LlamaEmbeddings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    survivors: int,
) -> None:
    """Protects everyone else, whichever step fails: the next opening has their questions, the next call finishes."""
    index = SemanticIndex(client, embedder)
    await index.add("a", "a quokka in the pantry", "s", owner="ada")
    await index.add("b", QUESTION, "s", owner="bob")
    steps = 0

    def failing(name: str) -> None:
        real = getattr(EdgeQdrantClient, name)

        def step(*args: object, **kwargs: object) -> object:
            nonlocal steps
            steps += 1
            if steps > survivors:
                raise OSError("the disk is gone")
            return real(*args, **kwargs)

        monkeypatch.setattr(EdgeQdrantClient, name, step)

    for name in ("create_collection", "upsert", "flush", "delete_collection"):
        failing(name)
    with pytest.raises(StorageError):
        await index.forget("ada")
    monkeypatch.undo()
    await index.close()
    later = SemanticIndex(client, embedder)
    assert [near.key for near in await later.nearest(QUESTION, "s")] == ["b"]
    await later.forget("ada")
    assert [near.key for near in await later.nearest(QUESTION, "s", limit=5)] == ["b"]
    assert [found.name for found in client.get_collections().collections] == ["cache"]
    client.flush()
    assert files_with(tmp_path, "quokka") == set()
    assert not {path for path in files_with(tmp_path, "") if path.endswith(".rewritten")}
    await later.close()
