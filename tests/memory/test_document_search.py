"""Tests of memory/document_search.py and memory/retriever.py: the shipped embedding model on edge shards."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from langchain_core.retrievers import BaseRetriever
from qdrant_client import QdrantClient, models

from freehold.errors import InferenceError, UserError
from freehold.inference import LlamaEmbeddings
from freehold.memory import DocumentRetriever, Documents, LoadedDocument, split
from freehold.state import Passage

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


async def fill(documents: Documents) -> None:
    """Two documents, three passages, with metadata of their own."""
    for source, text, metadata in (
        ("birds.md", BIRDS, {"format": "markdown", "modified": "2026-02-01T00:00:00Z", "tags": ["nature", "pond"]}),
        ("tools.md", TOOLS, {"format": "html", "modified": "2025-02-01T00:00:00Z", "tags": ["house"], "level": 3}),
    ):
        passages = split(LoadedDocument(source, text, None, "markdown", "1"))
        for passage in passages:
            passage["metadata"] = metadata
        await documents.upsert(source, "1", passages)


def sentences(source: str, texts: Sequence[str], sections: Sequence[int]) -> list[Passage]:
    """Passages of a document of these sentences, a blank between them."""
    found: list[Passage] = []
    start = 0
    for index, (text, section) in enumerate(zip(texts, sections, strict=True)):
        found.append(
            {
                "id": "",
                "text": text,
                "source": source,
                "heading": f"Part {section}",
                "page": section + 1,
                "start": start,
                "end": start + len(text),
                "score": 0.0,
                "index": index,
                "section": section,
                "metadata": {"format": "text"},
            }
        )
        start += len(text) + 1
    return found


class CountWords:
    """A reranker of a user's own: the share of a passage's words that are the given one."""

    def __init__(self, word: str, error: Exception | None = None) -> None:
        self.word, self.error = word, error
        self.read: list[tuple[str, str]] = []

    async def ascore(self, text_pairs: Sequence[tuple[str, str]]) -> list[float]:
        if self.error:
            raise self.error
        self.read += text_pairs
        return [text.split().count(self.word) / len(text.split()) for _, text in text_pairs]


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


def test_retriever_serves_both_kinds_of_caller(documents: Documents) -> None:
    """The retriever gives LangChain documents with every key of a passage, the same to `invoke` and `ainvoke`."""
    asyncio.run(fill(documents))
    retriever = DocumentRetriever(documents=documents, limit=2)
    assert isinstance(retriever, BaseRetriever)
    found = retriever.invoke("What does the heron eat?")
    assert found == asyncio.run(retriever.ainvoke("What does the heron eat?"))
    assert found[0].page_content.startswith("The grey heron")
    assert set(found[0].metadata) == set(Passage.__annotations__) - {"text", "rerank_score"}


async def test_many_searches_on_one_loop(documents: Documents) -> None:
    """A hundred concurrent searches all come back right."""
    await fill(documents)
    found = await asyncio.gather(*(documents.search(f"heron {number}", limit=1) for number in range(100)))
    assert all(one[0]["heading"] == "Birds > Heron" for one in found)


async def test_half_a_surrogate_pair_is_searched(documents: Documents) -> None:
    """A broken emoji in a question finds what the rest of the question finds."""
    await fill(documents)
    assert (await documents.search("What does the heron eat? \ud83d", limit=1))[0]["heading"] == "Birds > Heron"


@pytest.mark.parametrize(
    ("where", "sources"),
    [
        ({"format": "markdown"}, {"birds.md"}),
        ({"metadata.format": ["html", "pdf"]}, {"tools.md"}),
        ({"modified": {"gte": "2026-01-01"}}, {"birds.md"}),
        ({"tags": ["house", "garden"]}, {"tools.md"}),
        ({"tags": {"not": "pond"}}, {"tools.md"}),
        ({"level": {"gt": 2, "lte": 3}}, {"tools.md"}),
        ({"source": "birds.md", "heading": "Birds > Owl"}, {"birds.md"}),
        ({"format": "markdown", "level": 3}, set()),
        (
            models.Filter(must_not=[models.FieldCondition(key="metadata.level", range=models.Range(gte=1))]),
            {"birds.md"},
        ),
        ([{"format": "html"}, {"level": 3}], {"tools.md"}),
        ({}, {"birds.md", "tools.md"}),
    ],
)
async def test_filters(documents: Documents, where: Any, sources: set[str]) -> None:
    """Only passages that meet every condition are found, by meaning or by words, however well others answer."""
    await fill(documents)
    found = await documents.search("What does the heron eat near the FH-4711 valve?", limit=10, where=where)
    assert {passage["source"] for passage in found} == sources


async def test_a_filter_and_sources_hold_together(documents: Documents) -> None:
    """`within` and `where` narrow together, and a filter that cannot be used is told before anything is searched."""
    await fill(documents)
    assert await documents.search("heron", within=["tools.md"], where={"format": "markdown"}) == []
    with pytest.raises(UserError, match="'format'"):
        await documents.search("heron", where={"format": {"like": "m%"}})
    for options in ({"diversity": 1.5}, {"parents": -1}, {"fusion": "sum"}):
        with pytest.raises(UserError, match="cannot be used"):
            await documents.search("heron", **options)  # type: ignore[arg-type]


async def test_every_stage_is_told(documents: Documents, embedder: LlamaEmbeddings) -> None:
    """A hit carries rank and score by meaning, by words and fused; one that no word finds has none by words."""
    await fill(documents)
    hits = await documents.explain("What does the heron eat?", limit=3)
    assert [hit.fused_rank for hit in hits] == [1, 2, 3]
    assert [hit.fused_score for hit in hits] == sorted((hit.fused_score for hit in hits), reverse=True)
    assert hits[0].passage["heading"] == "Birds > Heron"
    assert (hits[0].dense_rank, hits[0].bm25_rank, hits[0].rerank_score) == (1, 1, None)
    assert hits[0].fused_score == pytest.approx(1.0)
    assert hits[0].bm25_score is not None
    assert hits[0].bm25_score > 0
    assert {hit.dense_score for hit in hits} == {hit.passage["score"] for hit in hits}
    tools = next(hit for hit in hits if hit.passage["source"] == "tools.md")
    assert (tools.bm25_rank, tools.bm25_score) == (None, None)
    ranks = await documents.explain("What does the heron eat?", limit=3, fusion="rrf")
    assert ranks[0].fused_score == pytest.approx(2 / 61)


async def test_passages_keep_what_they_were_stored_with(documents: Documents) -> None:
    """Index, section and metadata come back; passages that an earlier version stored without them are found as well."""
    await fill(documents)
    found = (await documents.search("What does the owl hunt?", limit=1))[0]
    assert found["metadata"]["tags"] == ["nature", "pond"]
    assert found["index"] == 1
    old: Passage = {
        "id": "",
        "text": "The kingfisher dives for fish.",
        "source": "old.md",
        "heading": "",
        "page": None,
        "start": 0,
        "end": 30,
        "score": 0.0,
    }
    await documents.upsert("old.md", "1", [old])
    found = (await documents.search("kingfisher", limit=1, parents=500))[0]
    assert found["text"] == old["text"]
    assert "section" not in found


async def test_diversity_finds_what_repetitions_hide(documents: Documents) -> None:
    """Three documents that say the same fill the first places; with diversity one of them is enough."""
    for number in range(3):
        text = f"The heron eats fish and frogs, says book {number}."
        await documents.upsert(f"book{number}.md", "1", sentences(f"book{number}.md", [text], [0]))
    await documents.upsert("zoo.md", "1", sentences("zoo.md", ["In the zoo herons are fed chicks at noon."], [0]))
    plain = await documents.search("What does the heron eat?", limit=2)
    assert {passage["source"] for passage in plain} <= {"book0.md", "book1.md", "book2.md"}
    varied = await documents.search("What does the heron eat?", limit=2, diversity=0.5)
    assert varied[0] == plain[0]
    assert varied[1]["source"] == "zoo.md"


async def test_parents_are_read_with_their_section(documents: Documents) -> None:
    """A find comes with its section and not with the next one, once; what the filter leaves out stays out."""
    texts = ["The heron stands in the pond.", "It eats fish and frogs.", "It flies slowly.", "The owl hunts at night."]
    stored = sentences("birds.txt", texts, [0, 0, 0, 1])
    await documents.upsert("birds.txt", "1", stored)
    whole = "\n".join(texts)
    found = await documents.search("What does the heron eat?", limit=3, parents=1000)
    assert len(found) == 2
    assert found[0]["text"] == "\n".join(texts[:3])
    assert (found[0]["start"], found[0]["end"]) == (0, stored[2]["end"])
    assert found[1]["text"] == whole[found[1]["start"] : found[1]["end"]] == texts[3]
    only = await documents.search("heron", limit=3, parents=1000, where={"index": {"gte": 1}, "section": 0})
    assert [passage["text"] for passage in only] == ["\n".join(texts[1:3])]


async def test_parents_keep_every_find_of_a_long_document(
    documents: Documents, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Finds far apart in one long section stay, and only what stands near them is read."""
    count, herons = 2_400, {10, 1200, 2390}
    texts = [f"Row {number} is about {'herons' if number in herons else 'owls'}." for number in range(count)]
    vectors = np.tile((await documents._embedder.embed(["herons"]))[0], (count, 1))
    vectors[[number not in herons for number in range(count)]] *= -1
    await documents.upsert("rows.csv", "1", sentences("rows.csv", texts, [0] * count), vectors=vectors)
    read: list[int] = []
    real = documents._client.scroll

    def counted(*arguments: Any, **options: Any) -> Any:
        records = real(*arguments, **options)
        read.append(len(records[0]))
        return records

    monkeypatch.setattr(documents._client, "scroll", counted)
    found = await documents.search("herons", limit=3, parents=80)
    assert {passage["index"] for passage in found} == herons
    assert all("herons" in passage["text"] and "owls" in passage["text"] for passage in found)
    assert sum(read) <= 6 * 101


async def test_parents_leave_what_was_removed_meanwhile(documents: Documents, monkeypatch: pytest.MonkeyPatch) -> None:
    """A passage whose neighbours are gone since it was found is given as it was found."""
    await fill(documents)
    monkeypatch.setattr(documents._client, "scroll", lambda *_, **__: ([], None))
    found = await documents.search("What does the heron eat?", limit=2, parents=1000)
    assert found == await documents.search("What does the heron eat?", limit=2)


async def test_a_reranker_orders_anew(documents: Documents) -> None:
    """It reads the query with each candidate and its heading, and its score is kept beside the cosine."""
    await fill(documents)
    plain = await documents.search("What does the heron eat?", limit=3)
    reranker = CountWords("owl")
    found = await documents.search("What does the heron eat?", limit=1, reranker=reranker)
    assert found[0]["heading"] == "Birds > Owl"
    assert found[0]["rerank_score"] == pytest.approx(1 / 15, abs=1e-5)
    assert found[0]["score"] == next(one["score"] for one in plain if one["id"] == found[0]["id"])
    assert len(reranker.read) == 3
    assert all(query == "What does the heron eat?" and "\n" in text for query, text in reranker.read)


async def test_a_reranker_that_fails_costs_its_order_only(
    documents: Documents, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever it raises, the passages stay as they were found, and the log says so; the caller's mistake is told."""
    await fill(documents)
    plain = await documents.search("What does the heron eat?")
    for error in (InferenceError("out of memory"), TimeoutError("no answer"), ZeroDivisionError("by zero")):
        broken = CountWords("owl", error)
        assert await documents.search("What does the heron eat?", reranker=broken) == plain
        assert f"{type(error).__name__}: {error}" in caplog.text
    with pytest.raises(UserError, match="not found"):
        await documents.search("heron", reranker=CountWords("owl", UserError("model.gguf is not found")))
    assert await documents.search("heron", where={"format": "pdf"}, reranker=broken) == []


class Saying:
    """A reranker of a user's own that gives these scores, whatever it reads."""

    def __init__(self, *scores: Any) -> None:
        self.scores = scores

    async def ascore(self, text_pairs: Sequence[tuple[str, str]]) -> list[float]:
        return list(self.scores)


@pytest.mark.parametrize("scores", [(), (0.1, 0.2), (0.1, 0.2, 0.3, 0.4), (0.1, float("nan"), 0.2), (None, 0.1, 0.2)])
async def test_scores_that_cannot_be_used_cost_the_rerankers_order(
    documents: Documents, scores: Sequence[Any], caplog: pytest.LogCaptureFixture
) -> None:
    """Too few, too many, and what is no finite number: the passages stay as they were found."""
    await fill(documents)
    plain = await documents.search("What does the heron eat?")
    assert await documents.search("What does the heron eat?", reranker=Saying(*scores)) == plain
    assert "could not be reranked" in caplog.text


async def test_every_stage_leaves_its_rank(documents: Documents) -> None:
    """A reranker's place and that by diversity stand in the hit; a stage that was not asked for has none."""
    await fill(documents)
    hits = await documents.explain("heron", limit=3, reranker=Saying(0.1, 0.9, 0.5), diversity=0.1)
    assert sorted((hit.fused_rank, hit.rerank_rank) for hit in hits) == [(1, 3), (2, 1), (3, 2)]
    assert [hit.diversity_rank for hit in hits] == [1, 2, 3]
    plain = (await documents.explain("heron", limit=1))[0]
    assert (plain.rerank_rank, plain.diversity_rank) == (None, None)


async def test_fusing_beats_each_ranking_alone(documents: Documents, embedder: LlamaEmbeddings) -> None:
    """Of two questions one is answered by meaning alone and one by words alone; fused, both are."""
    await fill(documents)
    for question, heading in (("Which animal feeds on amphibians?", "Birds > Heron"), ("fh-4711", "Tools")):
        assert (await documents.search(question, limit=1))[0]["heading"] == heading
    by_meaning = (await documents.explain("Which animal feeds on amphibians?", limit=3))[0]
    assert by_meaning.bm25_rank is None


def test_options_of_a_call_go_before_the_retrievers(documents: Documents) -> None:
    """`invoke` takes every option anew; its `where` narrows the retriever's own, and an unknown option is told."""
    asyncio.run(fill(documents))
    retriever = DocumentRetriever(documents=documents, limit=3, where={"format": "markdown"})
    assert len(retriever.invoke("heron valve")) == 2
    assert len(retriever.invoke("heron valve", limit=1)) == 1
    assert [one.metadata["heading"] for one in retriever.invoke("heron", where={"heading": "Birds > Owl"})] == [
        "Birds > Owl"
    ]
    assert retriever.invoke("heron valve", where={"format": "html"}) == []
    assert retriever.invoke("heron", reranker=CountWords("owl"))[0].metadata["rerank_score"] > 0
    with pytest.raises(UserError, match="filter"):
        retriever.invoke("heron", filter={"format": "html"})


async def test_one_search_is_two_calls_of_the_store(documents: Documents, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both rankings are one batch and only what is kept is read: a server is asked twice, not for each candidate."""
    await fill(documents)
    calls: list[str] = []
    for name in ("query_batch_points", "retrieve", "query_points", "scroll"):
        real = getattr(documents._client, name)

        def counted(*arguments: Any, _name: str = name, _real: Any = real, **options: Any) -> Any:
            calls.append(_name)
            return _real(*arguments, **options)

        monkeypatch.setattr(documents._client, name, counted)
    await documents.search("What does the heron eat?", limit=2)
    assert calls == ["query_batch_points", "retrieve"]
