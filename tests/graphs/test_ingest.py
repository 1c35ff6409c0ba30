"""Tests of graphs/ingest.py: real files, the shipped embedding model, edge shards, SQLite checkpoints."""

from __future__ import annotations

import asyncio
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver

from freehold.checkpoints import SqliteCheckpointer
from freehold.errors import DocumentError
from freehold.graphs import create_ingest
from freehold.inference import LlamaEmbeddings
from freehold.memory import Documents, EdgeQdrantClient

MODEL = Path(__file__).resolve().parents[2] / "core" / "models" / "all-minilm-l6-v2.Q8_0.gguf"


@pytest.fixture
def store(client: EdgeQdrantClient, embedder: LlamaEmbeddings) -> Iterator[Documents]:
    """An empty store."""
    opened = Documents(client, embedder)
    yield opened
    opened.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three documents and a broken one."""
    made = tmp_path / "library"
    (made / "deep").mkdir(parents=True)
    (made / "heron.md").write_text("# Heron\nThe heron eats fish.\n\n## Nest\nIt nests in trees.\n")
    (made / "owl.txt").write_text("The owl hunts mice at night.")
    (made / "deep" / "swift.html").write_text("<h1>Swift</h1><p>The swift sleeps in the air.</p>")
    (made / "broken.pdf").write_bytes(b"%PDF-1.4 nothing")
    return made


def names(sources: list[str]) -> list[str]:
    """File names of the sources, sorted."""
    return sorted(Path(source).name for source in sources)


async def test_reads_a_folder_and_skips_what_is_broken(store: Documents, folder: Path) -> None:
    """A folder is read whole; the broken file is named with its reason and does not stop the rest."""
    result = await create_ingest(store).ainvoke({"paths": [str(folder)]})
    assert names(result["ingested"]) == ["heron.md", "owl.txt", "swift.html"]
    assert [(Path(one["source"]).name, "damaged" in one["reason"]) for one in result["failed"]] == [
        ("broken.pdf", True)
    ]
    assert result["passages"] == store.count() == 4
    assert result["pending"] == []
    assert [one["node"] for one in result["decisions"]] == ["find_files", "read_files", "remove_deleted"]
    assert (await store.search("Which bird sleeps while it flies?", limit=1))[0]["source"] == str(
        folder / "deep/swift.html"
    )


def test_second_run_does_only_what_changed(store: Documents, folder: Path) -> None:
    """Unchanged files are skipped, changed ones replaced, deleted ones removed, and other folders' documents stay."""
    graph = create_ingest(store)
    (folder.parent / "other.md").write_text("Another folder's document.")
    graph.invoke({"paths": [str(folder), str(folder.parent / "other.md")]})
    (folder / "owl.txt").write_text("The owl hunts voles.")
    (folder / "heron.md").unlink()
    (folder / "new.md").write_text("A new one.")
    result = graph.invoke({"paths": [str(folder)]})
    assert names(result["ingested"]) == ["new.md", "owl.txt"]
    assert names(result["skipped"]) == ["swift.html"]
    assert names(result["removed"]) == ["heron.md"]
    assert names(list(asyncio.run(store.sources()))) == ["new.md", "other.md", "owl.txt", "swift.html"]
    assert store.count() == 4


def test_relative_paths_name_the_same_document(store: Documents, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A document has one name whatever folder the run starts in, so it is never stored twice."""
    graph = create_ingest(store)
    graph.invoke({"paths": [str(folder)]})
    monkeypatch.chdir(folder)
    result = graph.invoke({"paths": ["deep/../deep", "owl.txt"]})
    assert names(result["skipped"]) == ["owl.txt", "swift.html"]
    assert result["removed"] == result["ingested"] == []


@pytest.mark.parametrize("asynchronous", [False, True])
def test_progress_counts_every_file(store: Documents, folder: Path, asynchronous: bool) -> None:
    """Each file is one event with counts that only grow: the progress bar is drawn from them."""
    graph, given = create_ingest(store), {"paths": [str(folder)]}

    async def stream() -> list[Any]:
        return [event async for event in graph.astream(given, stream_mode="custom")]

    events = asyncio.run(stream()) if asynchronous else list(graph.stream(given, stream_mode="custom"))
    assert [(event["done"], event["total"]) for event in events] == [(n, 4) for n in range(1, 5)]
    assert sorted(event["passages"] for event in events) == [event["passages"] for event in events]
    assert events[-1]["passages"] == 4
    assert names([event["source"] for event in events]) == ["broken.pdf", "heron.md", "owl.txt", "swift.html"]


def test_wrong_paths_are_named(store: Documents, tmp_path: Path) -> None:
    """A missing path, or none, is the user's mistake and says so; nothing is removed because of it."""
    with pytest.raises(DocumentError, match="nowhere"):
        create_ingest(store).invoke({"paths": [str(tmp_path / "nowhere")]})
    with pytest.raises(DocumentError, match="No paths"):
        create_ingest(store).invoke({"paths": []})


def test_one_thread_serves_many_runs(store: Documents, folder: Path) -> None:
    """A second run on the same thread reports itself only, not the run before."""
    graph, config = create_ingest(store, checkpointer=InMemorySaver()), {"configurable": {"thread_id": "t"}}
    graph.invoke({"paths": [str(folder)]}, config)  # type: ignore[call-overload]
    result = graph.invoke({"paths": [str(folder)]}, config)  # type: ignore[call-overload]
    assert result["ingested"] == []
    assert len(result["skipped"]) == 3
    assert result["passages"] == 0


_KILLED = """
import os, signal, sys
from pathlib import Path
from freehold.checkpoints import SqliteCheckpointer
from freehold.graphs import create_ingest
from freehold.inference import LlamaEmbeddings
from freehold.memory import Documents, EdgeQdrantClient
home, model = Path(sys.argv[1]), sys.argv[2]
graph = create_ingest(Documents(EdgeQdrantClient(home / "qdrant"), LlamaEmbeddings(model)),
                      checkpointer=SqliteCheckpointer(home / "checkpoints.sqlite"))
config = {"configurable": {"thread_id": "t"}}
for event in graph.stream({"paths": [str(home / "files")]}, config, stream_mode="custom", durability="sync"):
    if event["done"] == 13:
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_goes_on_after_a_kill(tmp_path: Path, embedder: LlamaEmbeddings) -> None:
    """After kill -9 in the second batch the run resumes there, from the checkpoint, and stores nothing twice."""
    (tmp_path / "files").mkdir()
    for number in range(20):
        (tmp_path / "files" / f"{number:02}.md").write_text(
            f"# Note {number}\nThe code of note {number} is {number * 7}.\n"
        )
    done = subprocess.run([sys.executable, "-c", _KILLED, str(tmp_path), str(MODEL)], check=False)
    assert done.returncode == -signal.SIGKILL
    shutil.rmtree(tmp_path / "files" / "__pycache__", ignore_errors=True)
    client = EdgeQdrantClient(tmp_path / "qdrant")
    documents = Documents(client, embedder)
    checkpointer = SqliteCheckpointer(tmp_path / "checkpoints.sqlite")
    graph, config = create_ingest(documents, checkpointer=checkpointer), {"configurable": {"thread_id": "t"}}
    assert 8 <= documents.count() < 20
    steps = [next(iter(step)) for step in graph.stream(None, config, stream_mode="updates")]  # type: ignore[call-overload]
    assert steps == ["read_files", "read_files", "remove_deleted"]
    result = graph.get_state(config).values  # type: ignore[arg-type]
    assert len(result["ingested"]) == documents.count() == 20
    assert len(graph.invoke({"paths": [str(tmp_path / "files")]}, config)["skipped"]) == 20  # type: ignore[call-overload]
    checkpointer.close()
    documents.close()
    client.close()
