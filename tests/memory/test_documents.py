"""Tests of memory/documents.py and memory/retriever.py: the shipped embedding model on edge shards."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qdrant_client import QdrantClient, models

from freehold.errors import DocumentError, StorageError
from freehold.inference import LlamaEmbeddings
from freehold.memory import Documents, EdgeQdrantClient, LoadedDocument, split
from freehold.memory.document_collection import noted
from freehold.state import Passage

ROOT = Path(__file__).resolve().parents[2]

BIRDS = """# Birds
## Heron
The grey heron eats fish and frogs at the edge of the pond.

## Owl
The barn owl hunts mice at night and sleeps through the day.
"""
TOOLS = """# Tools
The FH-4711 valve regulates the pressure of the boiler in the cellar.
"""


@pytest.fixture
def documents(client: QdrantClient, embedder: LlamaEmbeddings) -> Iterator[Documents]:
    """An empty store."""
    opened = Documents(client, embedder)
    yield opened
    opened.close()


def passages(source: str, text: str, digest: str = "1") -> list[Passage]:
    """The passages of a Markdown text."""
    return split(LoadedDocument(source, text, None, "markdown", digest))


def passage(number: int, text: str) -> Passage:
    """One passage of this text."""
    return {
        "id": "",
        "text": text,
        "source": "birds.md",
        "heading": "",
        "page": None,
        "start": number,
        "end": number + len(text),
        "score": 0.0,
    }


async def fill(documents: Documents) -> None:
    """Two documents, three passages."""
    await documents.upsert("birds.md", "1", passages("birds.md", BIRDS))
    await documents.upsert("tools.md", "1", passages("tools.md", TOOLS))


async def test_changed_documents_are_replaced(documents: Documents) -> None:
    """A document read again leaves no duplicate and nothing of its earlier content."""
    await fill(documents)
    await fill(documents)
    assert documents.count() == 3
    await documents.upsert("birds.md", "2", passages("birds.md", "# Birds\nThe stork walks.", "2"))
    assert documents.count() == 2
    assert await documents.sources() == {"birds.md": "2", "tools.md": "1"}
    await documents.remove("birds.md")
    await documents.remove("never.md")
    assert await documents.sources() == {"tools.md": "1"}


async def test_version_follows_the_content(client: EdgeQdrantClient, embedder: LlamaEmbeddings) -> None:
    """The version changes with every document and comes back with the same content: caches key on it."""
    documents = Documents(client, embedder)
    empty = documents.version()
    await fill(documents)
    full = documents.version()
    await documents.upsert("tools.md", "2", passages("tools.md", TOOLS, "2"))
    changed = documents.version()
    assert len({empty, full, changed}) == 3
    assert Documents(client, embedder).version() == changed
    await documents.upsert("tools.md", "1", passages("tools.md", TOOLS))
    assert documents.version() == full


async def test_cut_short_is_read_again(documents: Documents, embedder: LlamaEmbeddings) -> None:
    """A document of which a kill left only a part has no digest, so that the next run reads it again."""
    await fill(documents)
    client = documents._client
    one = client.scroll("documents", models.Filter(must=[]), limit=1)[0][0]
    assert one.payload is not None
    client.delete("documents", [one.id])
    cut = {**one.payload, **noted("new.md", "1", 2, "")}
    client.upsert("documents", [models.PointStruct(id=99, vector={"dense": [1.0] * 384}, payload=cut)])
    reopened = Documents(client, embedder)
    assert (await reopened.sources())["new.md"] == ""
    await reopened.upsert("new.md", "1", passages("new.md", TOOLS))
    assert (await reopened.sources())["new.md"] == "1"


async def test_any_qdrant_will_do(embedder: LlamaEmbeddings) -> None:
    """The same code runs on qdrant-client itself, as it would on a server."""
    client = QdrantClient(":memory:")
    client.create_payload_index = lambda *_, **__: None  # type: ignore[method-assign, assignment] - local mode only warns
    documents = Documents(client, embedder)
    await fill(documents)
    assert (await documents.search("What does the heron eat?", limit=1))[0]["heading"] == "Birds > Heron"
    documents.close()
    client.close()


async def test_mistakes_are_named(documents: Documents, client: EdgeQdrantClient, embedder: LlamaEmbeddings) -> None:
    """No passages, or a collection of another model, is an error with a message and no silent loss."""
    with pytest.raises(DocumentError, match=r"empty\.md"):
        await documents.upsert("empty.md", "1", [])
    client.create_collection("other", {"dense": models.VectorParams(size=3, distance=models.Distance.COSINE)})
    with pytest.raises(StorageError, match="3 dimensions"):
        Documents(client, embedder, "other")


async def test_a_failed_write_is_read_again_and_changes_the_version(
    documents: Documents, client: EdgeQdrantClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a document never counts as whole: caches must not trust the old version, and the next write cleans up."""
    before, real, calls = documents.version(), client.upsert, 0

    def full(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise StorageError("No space left on device")
        return real(*arguments, **options)

    old = [passage(number, f"old text number {number}") for number in range(258)]
    monkeypatch.setattr(client, "upsert", full)
    with pytest.raises(StorageError, match="No space"):
        await documents.upsert("birds.md", "1", old)
    monkeypatch.undo()
    assert documents.count() == 256
    assert documents.version() != before
    assert await documents.sources() == {"birds.md": ""}
    await documents.upsert("birds.md", "2", [passage(0, "new text")])
    assert documents.count() == 1
    assert [found["text"] for found in await documents.search("old text")] == ["new text"]
    assert await documents.sources() == {"birds.md": "2"}


async def test_a_failed_removal_changes_the_version(
    documents: Documents, client: EdgeQdrantClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A removal that may have happened is not taken for one that did not."""
    await fill(documents)
    before = documents.version()

    def lost(*_: Any, **__: Any) -> None:
        raise StorageError("timed out")

    monkeypatch.setattr(client, "delete", lost)
    with pytest.raises(StorageError, match="timed out"):
        await documents.remove("birds.md")
    assert documents.version() != before
    assert await documents.sources() == {"birds.md": "", "tools.md": "1"}


async def test_closed_documents_say_so(client: EdgeQdrantClient, embedder: LlamaEmbeddings) -> None:
    """Every method that needs the store gives Freehold's own error after close; closing twice is closing once."""
    documents = Documents(client, embedder)
    await fill(documents)
    documents.close()
    documents.close()
    for call in (
        lambda: documents.search("heron"),
        lambda: documents.upsert("a.md", "1", passages("a.md", BIRDS)),
        lambda: documents.remove("birds.md"),
        documents.sources,
    ):
        with pytest.raises(StorageError, match="closed"):
            await call()
    with pytest.raises(StorageError, match="closed"):
        documents.count()
    assert documents.version()


async def test_an_earlier_collection_opens_and_is_searched(client: EdgeQdrantClient, embedder: LlamaEmbeddings) -> None:
    """A collection made before sections, metadata and stamps were stored still answers, and gets the new indexes."""
    client.create_collection(
        "documents",
        {"dense": models.VectorParams(size=384, distance=models.Distance.COSINE)},
        sparse_vectors_config={"bm25": models.SparseVectorParams(modifier=models.Modifier.IDF)},
    )
    old: dict[str, Any] = {
        "text": "The heron eats fish.",
        "source": "old.md",
        "heading": "",
        "page": None,
        "start": 0,
        "end": 20,
        "digest": "1",
        "total": 1,
    }
    vector = (await embedder.embed([old["text"]]))[0].tolist()
    client.upsert("documents", [models.PointStruct(id=1, vector={"dense": vector}, payload=old)])
    documents = Documents(client, embedder)
    assert (await documents.search("What does the heron eat?"))[0]["source"] == "old.md"
    assert await documents.sources() == {"old.md": "1"}
    await fill(documents)
    assert set(await Documents(client, embedder).sources()) > {"old.md"}, "with some of either version"
    assert set(client.get_collection("documents").payload_schema) >= {"source", "section", "index", "metadata.format"}
    documents.close()


async def test_a_search_passes_between_the_parts_of_a_long_document(documents: Documents) -> None:
    """While a long document is written, a search does not wait for all of it."""
    await fill(documents)
    count = 2_560
    many = [passage(number, f"Bird number {number} sits on branch {number % 7}.") for number in range(count)]
    vectors = np.random.default_rng(0).normal(size=(count, 384)).astype(np.float32)
    writing = asyncio.create_task(documents.upsert("long.md", "1", many, vectors=vectors))
    await asyncio.sleep(0)
    found = await documents.search("What does the owl hunt?", limit=1, within=["birds.md"])
    assert found[0]["heading"] == "Birds > Owl"
    assert not writing.done()
    assert (await documents.sources())["long.md"] == ""
    assert await writing == count
    assert (await documents.sources())["long.md"] == "1"


async def test_two_writers_of_a_document_leave_one_of_them(documents: Documents) -> None:
    """Whoever began last wins whole: no passage of the other stays, and none is missing."""
    for _ in range(5):
        texts = [[passage(number, f"{name} {number}") for number in range(300)] for name in ("first", "second")]
        vectors = np.ones((300, 384), dtype=np.float32)
        await asyncio.gather(
            documents.upsert("a.md", "1", texts[0], vectors=vectors),
            documents.upsert("a.md", "2", texts[1], vectors=vectors),
        )
        assert documents.count() == 300
        assert (await documents.sources())["a.md"] in ("1", "2")
    reopened = Documents(documents._client, documents._embedder)
    assert await reopened.sources() == await documents.sources()
    reopened.close()


async def test_a_document_removed_while_it_is_written_is_gone(documents: Documents) -> None:
    """The removal began last and wins: nothing stays, and the writer says that it stored nothing."""
    many = [passage(number, f"Bird number {number}") for number in range(2_000)]
    vectors = np.ones((2_000, 384), dtype=np.float32)
    writing = asyncio.create_task(documents.upsert("a.md", "1", many, vectors=vectors))
    while documents.count() == 0:  # noqa: ASYNC110 - a store tells nobody
        await asyncio.sleep(0.001)
    await documents.remove("a.md")
    assert not writing.done()
    assert await writing == 0
    assert documents.count() == 0
    assert await documents.sources() == {}


async def test_a_writer_that_ends_early_leaves_nothing_behind(
    documents: Documents, client: EdgeQdrantClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cancelled or failed, a writer is forgotten: a long run does not gather them."""
    many = [passage(number, f"Bird number {number}") for number in range(2_000)]
    vectors = np.ones((2_000, 384), dtype=np.float32)
    writing = asyncio.create_task(documents.upsert("a.md", "1", many, vectors=vectors))
    while documents.count() == 0:  # noqa: ASYNC110 - a store tells nobody
        await asyncio.sleep(0.001)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert await documents.sources() == {"a.md": ""}

    def full(*_: Any, **__: Any) -> None:
        raise StorageError("No space left on device")

    for name in ("upsert", "delete"):
        monkeypatch.setattr(client, name, full)
    for call in (documents.upsert("b.md", "1", many, vectors=vectors), documents.remove("c.md")):
        with pytest.raises(StorageError, match="No space"):
            await call
    await documents.sources()
    assert documents._writing == {}


async def test_stamps_are_kept_with_documents(documents: Documents, embedder: LlamaEmbeddings) -> None:
    """A stamp outlives the process and can be renewed without writing the passages again."""
    await documents.upsert("birds.md", "1", passages("birds.md", BIRDS), stamp="old")
    version = documents.version()
    await documents.restamp({"birds.md": "new", "never.md": "x"})
    assert documents.version() == version
    reopened = Documents(documents._client, embedder)
    assert (await reopened.stored())["birds.md"].stamp == "new"
    assert reopened.version() == version
    reopened.close()
