"""Reading documents: the ingest graph beside the bare embedder on the same passages, and a run with nothing to do."""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks.report import Bar, main

ROOT = Path(__file__).resolve().parent.parent


def _texts(data: Path | None) -> Iterator[tuple[str, str]]:
    """Titles and texts: abstracts from the data, or the paragraphs of the project's own pages, over and over."""
    if data is not None:
        with (data / "retrieval" / "corpus.jsonl").open(encoding="utf-8") as lines:
            for line in lines:
                row = json.loads(line)
                yield row["title"], row["text"]
    pages = sorted((ROOT / "docs").glob("*.md"))
    for turn in range(1_000):
        for page in pages:
            for number, part in enumerate(page.read_text(encoding="utf-8").split("\n## ")):
                yield f"{page.stem} {turn} {number}", f"Edition {turn}. {part}"


def _write(texts: Iterator[tuple[str, str]], folder: Path, files: int) -> None:
    """Four texts a file, each under a heading, in turn as Markdown, text, HTML, CSV and JSON Lines."""
    folder.mkdir()
    for number in range(files):
        four = list(islice(texts, 4))
        name = f"{number:04}"
        if number % 5 == 1:
            (folder / f"{name}.txt").write_text("\n\n".join(text for _, text in four))
        elif number % 5 == 2:
            (folder / f"{name}.html").write_text("".join(f"<h2>{title}</h2><p>{text}</p>" for title, text in four))
        elif number % 5 == 3:
            (folder / f"{name}.jsonl").write_text(
                "\n".join(json.dumps({"title": title, "text": text}) for title, text in four)
            )
        else:
            (folder / f"{name}.md").write_text("\n\n".join(f"## {title}\n\n{text}" for title, text in four))


def _stored(client: Any) -> list[str]:
    """What was embedded, as the store has it."""
    records = client.scroll("documents", limit=100_000, with_payload=["heading", "text"])[0]
    payloads = [record.payload for record in records]
    return [f"{one['heading']}\n{one['text']}" if one["heading"] else one["text"] for one in payloads]


def _round(embedder: Any, folder: Path, home: Path) -> tuple[int, float, float, float]:
    """Passages; their number per second through the graph, and through the embedder alone; seconds of a second run."""
    from freehold.checkpoints import SqliteCheckpointer
    from freehold.graphs import create_ingest
    from freehold.memory import Documents, EdgeQdrantClient

    client = EdgeQdrantClient(home / "qdrant")
    documents, checkpointer = Documents(client, embedder), SqliteCheckpointer(home / "checkpoints.sqlite")
    graph, given = create_ingest(documents, checkpointer=checkpointer), {"paths": [str(folder)]}
    try:
        started = time.perf_counter()
        result = graph.invoke(given, {"configurable": {"thread_id": "first"}})  # type: ignore[call-overload]
        graph_seconds = time.perf_counter() - started
        assert not result["failed"], result["failed"]
        texts = _stored(client)
        assert len(texts) == result["passages"]
        started = time.perf_counter()
        asyncio.run(embedder.embed(texts))
        bare_seconds = time.perf_counter() - started
        started = time.perf_counter()
        again = graph.invoke(given, {"configurable": {"thread_id": "second"}})  # type: ignore[call-overload]
        assert not again["ingested"]
        return len(texts), len(texts) / graph_seconds, len(texts) / bare_seconds, time.perf_counter() - started
    finally:
        checkpointer.close()
        documents.close()
        client.close()


def run(options: argparse.Namespace) -> list[Bar]:
    """Rounds on other files each time; the graph and the embedder take turns, so a busy machine is busy for both."""
    from freehold.inference import LlamaEmbeddings
    from freehold.models import EMBEDDING_MODEL, model_path

    rounds, files = (3, 10) if options.quick else (7, 60)
    embedder = LlamaEmbeddings(model_path(EMBEDDING_MODEL), cache_size=0)  # nothing is embedded once for both
    texts = _texts(options.data)
    measured = []
    try:
        asyncio.run(embedder.embed(["The weights load before anything is measured."]))
        embedder.count_tokens("So does the vocabulary.")
        with tempfile.TemporaryDirectory() as base:
            for number in range(rounds):
                home = Path(base) / f"home{number}"
                home.mkdir()
                folder = Path(base) / f"files{number}"
                _write(texts, folder, files)
                measured.append(_round(embedder, folder, home))
    finally:
        embedder.close()
    passages, graph, bare, again = zip(*measured, strict=True)
    ratio = statistics.median(ours / theirs for ours, theirs in zip(graph, bare, strict=True))
    return [
        Bar("ingest: passages per second against the bare embedder's", ratio, "x", 0.9, "more"),
        Bar("passages in a round", statistics.median(passages), "passages"),
        Bar("through the graph", statistics.median(graph), "passages/s"),
        Bar("through the embedder alone", statistics.median(bare), "passages/s"),
        Bar("a run over the same files, unchanged", statistics.median(again) * 1000, "ms"),
    ]


if __name__ == "__main__":
    main("ingest", run, description=__doc__ or "")
