"""Tests of memory/documents.py and memory/retriever.py: the shipped embedding model on edge shards."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.retrievers import BaseRetriever
from qdrant_client import QdrantClient, models

from freehold.errors import DocumentError, StorageError
from freehold.inference import LlamaEmbeddings
from freehold.memory import DocumentRetriever, Documents, EdgeQdrantClient, LoadedDocument, split
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


async def test_finds_by_meaning_and_by_word(documents: Documents) -> None:
    """A question in other words finds its passage, and so does a part number that no embedding knows."""
    await fill(documents)
    by_meaning = await documents.search("Which animal feeds on amphibians?", limit=1)
    assert by_meaning[0]["heading"] == "Birds > Heron"
    by_word = await documents.search("fh-4711", limit=1)
    assert by_word[0]["source"] == "tools.md"
    assert by_word[0]["text"] == TOOLS[by_word[0]["start"] : by_word[0]["end"]]


async def test_scores_are_cosines(documents: Documents, embedder: LlamaEmbeddings) -> None:
    """The score is the cosine whatever the rank, so that one threshold serves every question."""
    await fill(documents)
    for passage in await documents.search("What does the owl hunt?", limit=3):
        vectors = await embedder.embed(["What does the owl hunt?", f"{passage['heading']}\n{passage['text']}"])
        assert passage["score"] == pytest.approx(float(vectors[0] @ vectors[1]), abs=1e-3)
    unrelated = await documents.search("the of and", limit=1)
    assert unrelated == [] or unrelated[0]["score"] < 0.5


async def test_search_within_sources_and_limits(documents: Documents) -> None:
    """A search can be kept to some documents, and an empty question finds nothing."""
    await fill(documents)
    found = await documents.search("What does the heron eat?", limit=10, within=["tools.md"])
    assert {passage["source"] for passage in found} == {"tools.md"}
    assert await documents.search("   ") == []
    assert await documents.search("heron", limit=0) == []
    assert len(await documents.search("heron", limit=2)) == 2


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
    client.upsert(
        "documents",
        [
            models.PointStruct(
                id=99, vector={"dense": [1.0] * 384}, payload={**one.payload, "source": "new.md", "total": 2}
            )
        ],
    )
    reopened = Documents(client, embedder)
    assert (await reopened.sources())["new.md"] == ""
    await reopened.upsert("new.md", "1", passages("new.md", TOOLS))
    assert (await reopened.sources())["new.md"] == "1"


def test_retriever_serves_both_kinds_of_caller(documents: Documents) -> None:
    """The retriever gives LangChain documents with every key of a passage, the same to `invoke` and `ainvoke`."""
    asyncio.run(fill(documents))
    retriever = DocumentRetriever(documents=documents, limit=2)
    assert isinstance(retriever, BaseRetriever)
    found = retriever.invoke("What does the heron eat?")
    assert found == asyncio.run(retriever.ainvoke("What does the heron eat?"))
    assert found[0].page_content.startswith("The grey heron")
    assert set(found[0].metadata) == set(Passage.__annotations__) - {"text"}


async def test_many_searches_on_one_loop(documents: Documents) -> None:
    """A hundred concurrent searches all come back right."""
    await fill(documents)
    found = await asyncio.gather(*(documents.search(f"heron {number}", limit=1) for number in range(100)))
    assert all(one[0]["heading"] == "Birds > Heron" for one in found)


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


class Served(QdrantClient):
    """qdrant-client's own store in the place of a server; it notes which threads read documents, and can be down."""

    def __init__(self) -> None:
        super().__init__(":memory:")
        self.readers: list[str] = []
        self.down = False

    def create_payload_index(self, *_: Any, **__: Any) -> Any:
        """Local mode only warns here."""

    def scroll(self, *arguments: Any, **options: Any) -> Any:
        self.readers.append(threading.current_thread().name)
        if self.down:
            raise ConnectionError("the server is down")
        return super().scroll(*arguments, **options)


def read_out(documents: Documents) -> None:
    """Wait for what the documents' thread was given."""
    documents._executor.submit(lambda: None).result()


async def test_the_version_never_asks_a_server_on_the_callers_thread(
    embedder: LlamaEmbeddings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What other processes write comes into the version from the background; a server that is down is only logged."""
    monkeypatch.setattr("freehold.memory.documents._REFRESH_SECONDS", 0.0)
    server = Served()
    documents, elsewhere = Documents(server, embedder), Documents(server, embedder)
    empty = documents.version()
    read_out(documents)
    await elsewhere.upsert("birds.md", "1", passages("birds.md", BIRDS))
    read_out(elsewhere)
    server.readers.clear()
    assert documents.version() == empty
    read_out(documents)
    assert documents.version() == elsewhere.version() != empty
    read_out(documents)
    read_out(elsewhere)
    assert server.readers
    assert all(name.startswith("freehold-documents") for name in server.readers)
    # A search refreshes as well, when it is done.
    await elsewhere.remove("birds.md")
    server.readers.clear()
    await documents.search("What does the heron eat?")
    read_out(documents)
    assert server.readers
    server.down = True
    assert documents.version() == empty
    read_out(documents)
    assert "the server is down" in caplog.text
    assert documents.version() == empty
    read_out(documents)
    documents.close()
    elsewhere.close()
    server.close()


async def test_a_server_is_read_at_most_every_ten_seconds(embedder: LlamaEmbeddings) -> None:
    """Searches and versions right after another do not read all passages each time; the list of documents does."""
    server = Served()
    documents = Documents(server, embedder)
    server.readers.clear()
    await fill(documents)
    for _ in range(3):
        await documents.search("heron")
        documents.version()
    read_out(documents)
    assert server.readers == []
    assert await documents.sources() == {"birds.md": "1", "tools.md": "1"}
    assert len(server.readers) == 1
    documents.close()
    server.close()


async def test_half_a_surrogate_pair_is_searched(documents: Documents) -> None:
    """A broken emoji in a question finds what the rest of the question finds."""
    await fill(documents)
    assert (await documents.search("What does the heron eat? \ud83d", limit=1))[0]["heading"] == "Birds > Heron"


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
