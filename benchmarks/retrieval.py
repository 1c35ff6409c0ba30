"""Search quality on a collection with relevance judgements: by meaning, by words, both by RRF, and `search`."""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import math
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.report import Bar, main

if TYPE_CHECKING:
    from freehold.memory import Documents
    from freehold.state import Passage

TOP = 10
"""Passages that are judged."""
DEEP = 200
"""Passages that hold the first hundred of both single rankings."""
BAR = 0.035
"""What search shall gain in nDCG@10 over the better of meaning and words."""
QUICK = (40, 160)
"""Queries and documents of a quick run: little to confuse, so that nothing is left to gain, and there is no bar."""
TOGETHER = 64
"""Documents that are stored at the same time."""


@dataclass(frozen=True)
class Collection:
    """Documents, queries, and for each query the documents that answer it, in BEIR's form."""

    documents: Mapping[str, tuple[str, str]]
    """Title and text by id."""
    queries: Mapping[str, str]
    judgements: Mapping[str, Mapping[str, int]]
    """Grade by document, by query; only queries that have any."""


def read(folder: Path, *, quick: bool) -> Collection:
    """Read `corpus.jsonl`, `queries.jsonl` and `qrels.tsv` (or BEIR's `qrels/test.tsv`)."""
    lines = (json.loads(line) for line in (folder / "corpus.jsonl").read_text("utf-8").splitlines())
    documents = {row["_id"]: (row.get("title") or "", row["text"]) for row in lines}
    lines = (json.loads(line) for line in (folder / "queries.jsonl").read_text("utf-8").splitlines())
    texts = {row["_id"]: row["text"] for row in lines}
    judged = folder / "qrels.tsv" if (folder / "qrels.tsv").exists() else folder / "qrels" / "test.tsv"
    judgements: dict[str, dict[str, int]] = {}
    with judged.open(encoding="utf-8", newline="") as file:
        for query, document, grade in list(csv.reader(file, delimiter="\t"))[1:]:
            if int(grade) > 0 and query in texts and document in documents:
                judgements.setdefault(query, {})[document] = int(grade)
    if quick:
        chooser = random.Random(0)
        judgements = {query: judgements[query] for query in chooser.sample(sorted(judgements), QUICK[0])}
        kept = {document for grades in judgements.values() for document in grades}
        kept |= set(chooser.sample(sorted(set(documents) - kept), max(0, QUICK[1] - len(kept))))
        documents = {document: documents[document] for document in documents if document in kept}
    return Collection(documents, {query: texts[query] for query in judgements}, judgements)


def ndcg(ranking: Sequence[str], grades: Mapping[str, int]) -> float:
    """Normalised discounted cumulative gain of the first ten, as trec_eval counts it: the gain is the grade."""
    gained = sum(grades.get(document, 0) / math.log2(place + 2) for place, document in enumerate(ranking[:TOP]))
    best = sorted(grades.values(), reverse=True)[:TOP]
    return gained / sum(grade / math.log2(place + 2) for place, grade in enumerate(best))


def recall(ranking: Sequence[str], grades: Mapping[str, int]) -> float:
    """Share of the relevant documents that stand among the first ten."""
    return len(set(ranking[:TOP]) & set(grades)) / len(grades)


async def store(documents: Documents, collection: Collection) -> None:
    """Put each document in as one passage, its title as the heading."""

    async def put(identity: str) -> None:
        title, text = collection.documents[identity]
        passage: Passage = {
            "id": "",
            "text": text,
            "source": identity,
            "heading": title,
            "page": None,
            "start": 0,
            "end": len(text),
            "score": 0.0,
        }
        await documents.upsert(identity, "1", [passage])

    names = list(collection.documents)
    for start in range(0, len(names), TOGETHER):
        await asyncio.gather(*(put(name) for name in names[start : start + TOGETHER]))


async def rankings(documents: Documents, queries: Mapping[str, str]) -> tuple[dict[str, dict[str, list[str]]], float]:
    """The first ten documents by way of searching, by query; and the median milliseconds of `search` after embedding.

    One deep `explain` tells both single rankings: whatever they hold among their first ten is among what is fused.
    """
    found: dict[str, dict[str, list[str]]] = {name: {} for name in ("dense", "bm25", "rrf", "search")}
    spent: list[float] = []
    for query, text in queries.items():
        hits = await documents.explain(text, DEEP)
        by_meaning = sorted((hit for hit in hits if hit.dense_rank), key=lambda hit: hit.dense_rank or 0)
        by_words = sorted((hit for hit in hits if hit.bm25_rank), key=lambda hit: hit.bm25_rank or 0)
        found["dense"][query] = [hit.passage["source"] for hit in by_meaning[:TOP]]
        found["bm25"][query] = [hit.passage["source"] for hit in by_words[:TOP]]
        found["rrf"][query] = [one["source"] for one in await documents.search(text, TOP, fusion="rrf")]
        started = time.perf_counter()
        passages = await documents.search(text, TOP)
        spent.append((time.perf_counter() - started) * 1000)
        found["search"][query] = [passage["source"] for passage in passages]
    return found, statistics.median(spent)


def judged(
    found: Mapping[str, Mapping[str, list[str]]], collection: Collection, milliseconds: float, bar: float | None
) -> list[Bar]:
    """The figures: means over the queries."""

    def mean(name: str, measure: Callable[[Sequence[str], Mapping[str, int]], float]) -> float:
        return statistics.mean(measure(found[name][query], grades) for query, grades in collection.judgements.items())

    gains = {name: mean(name, ndcg) for name in found}
    told = {"dense": "dense", "bm25": "BM25", "rrf": "plain RRF (k = 60)", "search": "search"}
    gain = gains["search"] - max(gains["dense"], gains["bm25"])
    return [
        Bar("search, nDCG@10 over the better of dense and BM25", round(gain, 4), "", bar, "more"),
        *(Bar(f"{told[name]}, nDCG@10", round(gains[name], 4), "") for name in found),
        *(Bar(f"{told[name]}, recall@10", round(mean(name, recall), 4), "") for name in found),
        Bar("one search, the query's vector known, p50", round(milliseconds, 2), "ms"),
        Bar("queries", len(collection.judgements), ""),
        Bar("documents", len(collection.documents), ""),
    ]


def run(options: argparse.Namespace) -> list[Bar]:
    """Embed the collection, search it, judge."""
    from freehold.inference import LlamaEmbeddings
    from freehold.memory import Documents, EdgeQdrantClient
    from freehold.models import EMBEDDING_MODEL, model_path

    if options.data is None:
        raise SystemExit("Give the folder that holds retrieval/: --data FOLDER.")
    collection = read(options.data / "retrieval", quick=options.quick)
    with tempfile.TemporaryDirectory() as folder:
        client = EdgeQdrantClient(folder)
        embeddings = LlamaEmbeddings(model_path(EMBEDDING_MODEL))
        documents = Documents(client, embeddings)
        try:
            asyncio.run(store(documents, collection))
            found, milliseconds = asyncio.run(rankings(documents, collection.queries))
        finally:
            documents.close()
            embeddings.close()
            client.close()
    return judged(found, collection, milliseconds, None if options.quick else BAR)


if __name__ == "__main__":
    main("retrieval", run, description=__doc__ or "")
