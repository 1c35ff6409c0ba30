"""Tests of memory/documents.py and memory/retriever.py: the shipped embedding model on edge shards."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

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
