"""The store at 100,000 passages: a filtered query, opening it, memory, beside qdrant-client's own local mode.

Both hold the same passages, in the collection that `Documents` makes: a dense vector of 384 numbers, a BM25 vector, and
the payload. The vectors are drawn at random around 1,000 centres, so no model is in the figures. Each store is measured
in a process of its own, and Freehold's is opened anew for it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import re
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from benchmarks.report import Bar, main
from freehold.memory import Documents, EdgeQdrantClient
from freehold.state import Passage

__all__ = ["run"]

DIMENSION = 384
CENTRES = 1_000
IN_A_DOCUMENT = 100
FORMATS = ("markdown", "text", "html", "pdf", "docx", "csv", "jsonl", "code", "rst", "odt")
_WORDS = ("lamp", "lantern", "harbour", "ledger", "valley", "pump", "mirror", "cable", "copper", "bridge", "river")


@dataclass(frozen=True)
class Size:
    """How much is stored and asked."""

    passages: int
    queries: int
    baseline_queries: int
    data: Path | None


class RandomEmbedder:
    """Gives each text the same random vector near one of the centres; those made beforehand, in no time to speak of.

    Args:
        prepared: Texts whose vectors are made now.
    """

    dimension = DIMENSION

    def __init__(self, prepared: Sequence[str] = ()) -> None:
        self._prepared: dict[str, NDArray[np.float32]] = {}
        self._centres = np.random.default_rng(0).normal(size=(CENTRES, DIMENSION)).astype(np.float32)
        if prepared:
            self._prepared = dict(zip(prepared, self.vectors(prepared), strict=True))

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One row of length 1 for each text."""
        rows = []
        for text in texts:
            generator = np.random.default_rng(abs(hash_of(text)))
            rows.append(self._centres[generator.integers(CENTRES)] + generator.normal(size=DIMENSION) * 0.7)
        found = np.array(rows, dtype=np.float32)
        return found / np.linalg.norm(found, axis=1, keepdims=True)

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The same, as `Documents` asks for it."""
        if all(text in self._prepared for text in texts):
            return np.array([self._prepared[text] for text in texts])
        return self.vectors(texts)


def hash_of(text: str) -> int:
    """The same in every process, as `hash` is not."""
    return int.from_bytes(text.encode()[:64].ljust(8, b"\0"), "big") % 2**63


def texts(size: Size) -> list[str]:
    """Sentences of the abstracts where there are data, else of random words; each begins with its number."""
    if size.data is None:
        generator = np.random.default_rng(1)
        sentences = [" ".join(generator.choice(_WORDS, 30)) for _ in range(5_000)]
    else:
        lines = (size.data / "retrieval" / "corpus.jsonl").read_text("utf-8").splitlines()
        abstracts = (str(json.loads(line)["text"]) for line in lines)
        sentences = [
            sentence for text in abstracts for sentence in re.split(r"(?<=[.!?])\s+", text) if len(sentence) > 40
        ]
    return [f"{number}: {sentences[number % len(sentences)]}" for number in range(size.passages)]


def documents_of(all_texts: Sequence[str]) -> Iterable[tuple[str, list[Passage]]]:
    """The texts as documents of a hundred passages each."""
    for start in range(0, len(all_texts), IN_A_DOCUMENT):
        number = start // IN_A_DOCUMENT
        metadata = {
            "format": FORMATS[number % len(FORMATS)],
            "modified": f"2026-01-{1 + number % 28:02}T00:00:00+00:00",
        }
        yield (
            f"document-{number}.md",
            [
                {
                    "id": "",
                    "text": text,
                    "source": f"document-{number}.md",
                    "heading": "",
                    "page": None,
                    "start": index * 400,
                    "end": index * 400 + len(text),
                    "score": 0.0,
                    "index": index,
                    "section": index // 10,
                    "metadata": metadata,
                }
                for index, text in enumerate(all_texts[start : start + IN_A_DOCUMENT])
            ],
        )


def filters(number: int, size: Size) -> dict[str, Any]:
    """In turn a tenth of the passages, and a hundredth (or one document)."""
    if number % 2:
        return {"format": FORMATS[number % len(FORMATS)]}
    documents = size.passages // IN_A_DOCUMENT
    return {"source": [f"document-{(number * 7 + step) % documents}.md" for step in range(max(1, documents // 100))]}


def questions(size: Size, count: int) -> list[str]:
    """Five words of a stored text each."""
    held = texts(size)
    return [" ".join(held[number * 97 % size.passages].split()[1:6]) for number in range(count)]


def fill(folder: Path, size: Size) -> dict[str, float]:
    """Store everything as `Documents` does, and build the index."""
    all_texts = texts(size)
    client = EdgeQdrantClient(folder)
    documents = Documents(client, RandomEmbedder())
    vectors = documents_of(all_texts)

    async def store() -> None:
        for source, passages in vectors:
            await documents.upsert(source, "digest", passages)

    started = time.perf_counter()
    asyncio.run(store())
    stored = time.perf_counter()
    client.optimize(documents.collection)
    optimised = time.perf_counter()
    documents.close()
    client.close()
    return {"insert": size.passages / (stored - started), "optimise": optimised - stored}


def measured(calls: Iterable[Callable[[], Any]]) -> list[float]:
    """Milliseconds of each call."""
    found = []
    for call in calls:
        started = time.perf_counter()
        call()
        found.append(1000 * (time.perf_counter() - started))
    return found


def ask_edge(folder: Path, size: Size, asked: Sequence[str]) -> dict[str, Any]:
    """Open the store in this fresh process, and ask."""
    from freehold.memory.search_filter import to_filter

    process = psutil.Process()
    embedder = RandomEmbedder(asked)
    started = time.perf_counter()
    client = EdgeQdrantClient(folder)
    documents = Documents(client, embedder)
    assert documents.count() == size.passages
    opened = time.perf_counter() - started
    at_opening = process.memory_info().rss / 2**20

    async def search() -> list[float]:
        found = []
        for number, question in enumerate(asked):
            begun = time.perf_counter()
            passages = await documents.search(question, 4, where=filters(number, size))
            found.append(1000 * (time.perf_counter() - begun))
            assert passages
        return found

    asyncio.run(search())  # what is mapped comes into memory once
    hybrid = asyncio.run(search())
    rows = embedder.vectors(asked).tolist()
    chosen = [to_filter([filters(number, size)]) for number in range(size.queries)]
    dense = measured(
        lambda row=row, chosen_=chosen_: client.query_points(
            "documents", row, using="dense", query_filter=chosen_, limit=10
        )
        for row, chosen_ in zip(rows, chosen, strict=True)
    )
    plain = measured(lambda row=row: client.query_points("documents", row, using="dense", limit=10) for row in rows)
    memory = process.memory_info().rss / 2**20
    documents.close()
    client.close()
    return {
        "open": opened,
        "hybrid": hybrid,
        "dense": dense,
        "plain": plain,
        "memory": memory,
        "at_opening": at_opening,
    }


def ask_local(folder: Path, size: Size, asked: Sequence[str]) -> dict[str, Any]:
    """The same points in qdrant-client's local mode, and the same questions."""
    import warnings

    from qdrant_client import QdrantClient, models

    from freehold.memory.search_filter import to_filter

    edge = EdgeQdrantClient(folder)
    parameters = edge.get_collection("documents").config.params
    warnings.simplefilter("ignore")  # it advises against so many points
    # In memory-backed files where there are any: on a disk it takes an hour to fill.
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as place:
        client = QdrantClient(path=place)
        client.create_collection("documents", parameters.vectors, sparse_vectors_config=parameters.sparse_vectors)
        offset = None
        while True:
            page, offset = edge.scroll("documents", limit=1000, offset=offset, with_payload=True, with_vectors=True)
            client.upsert(
                "documents", [models.PointStruct(id=one.id, vector=one.vector, payload=one.payload) for one in page]
            )
            if offset is None:
                break
        from qdrant_edge import Bm25

        bm25 = Bm25()
        asked = asked[: size.baseline_queries]
        rows = RandomEmbedder().vectors(asked).tolist()
        chosen = [to_filter([filters(number, size)]) for number in range(size.baseline_queries)]

        def hybrid(text: str, row: list[float], filter_: Any) -> None:
            words = bm25.embed_query(text)
            sparse = models.SparseVector(indices=words.indices, values=words.values)
            for query, using in ((row, "dense"), (sparse, "bm25")):
                client.query_points("documents", query, using=using, query_filter=filter_, limit=100)

        dense = measured(
            lambda row=row, filter_=filter_: client.query_points(
                "documents", row, using="dense", query_filter=filter_, limit=10
            )
            for row, filter_ in zip(rows, chosen, strict=True)
        )
        both = measured(
            lambda text=text, row=row, filter_=filter_: hybrid(text, row, filter_)
            for text, row, filter_ in zip(asked, rows, chosen, strict=True)
        )
        client.close()
    edge.close()
    return {"dense": dense, "hybrid": both}


def p95(values: Sequence[float]) -> float:
    """The 95th percentile."""
    return float(np.percentile(values, 95))


def _alone(work: Callable[..., Any], *arguments: Any) -> Any:
    """In a fresh process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(work, *arguments).result()


def run(options: argparse.Namespace) -> list[Bar]:
    """Fill, ask, compare."""
    size = Size(5_000, 200, 10, options.data) if options.quick else Size(100_000, 400, 10, options.data)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "store"
        asked = questions(size, size.queries)
        filled = _alone(fill, folder, size)
        disk = sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file()) / 2**20
        found = [_alone(ask_edge, folder, size, asked) for _ in range(3)]
        local = _alone(ask_local, folder, size, asked)
    edge = {name: statistics.median(p95(one[name]) for one in found) for name in ("hybrid", "dense", "plain")}
    middle = {name: statistics.median(statistics.median(one[name]) for one in found) for name in ("hybrid", "dense")}
    opened, memory, at_opening = (
        statistics.median(one[name] for one in found) for name in ("open", "memory", "at_opening")
    )
    count = f"{size.passages:,} passages"
    return [
        Bar(f"{count}: `Documents.search` with a filter, without embedding, p95", edge["hybrid"], "ms", 5),
        Bar("the same, p50", middle["hybrid"], "ms"),
        Bar("dense query with a filter, p95", edge["dense"], "ms", 5),
        Bar("dense query without a filter, p95", edge["plain"], "ms"),
        Bar(
            "local mode's p95 as a multiple: dense with a filter", p95(local["dense"]) / edge["dense"], "x", 50, "more"
        ),
        Bar(
            "local mode's p95 as a multiple: hybrid with a filter",
            p95(local["hybrid"]) / edge["hybrid"],
            "x",
            50,
            "more",
        ),
        Bar("local mode: dense with a filter, p95", p95(local["dense"]), "ms"),
        Bar("open the store and the documents, in a fresh process", opened, "s", 1),
        Bar("resident memory when it is open", at_opening, "MB", 450),
        Bar("resident memory after the queries, every vector mapped", memory, "MB", 450),
        Bar("passages stored per second, without embedding", filled["insert"], "1/s"),
        Bar("building the index, in the background", filled["optimise"], "s"),
        Bar("on the disk", disk, "MB"),
    ]


if __name__ == "__main__":
    main("storage", run, description="The store at 100,000 passages.")
