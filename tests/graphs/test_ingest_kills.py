"""An ingest that is killed, and goes on."""

from __future__ import annotations

import asyncio
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from freehold.checkpoints import SqliteCheckpointer
from freehold.graphs import create_ingest
from freehold.inference import LlamaEmbeddings
from freehold.memory import Documents, EdgeQdrantClient

MODEL = Path(__file__).resolve().parents[2] / "core" / "models" / "all-minilm-l6-v2.Q8_0.gguf"


_RUN = """
import sys
from pathlib import Path
from freehold.checkpoints import SqliteCheckpointer
from freehold.graphs import create_ingest
from freehold.inference import LlamaEmbeddings
from freehold.memory import Documents, EdgeQdrantClient
home, model, resumed = Path(sys.argv[1]), sys.argv[2], sys.argv[3] == "resumed"
client, embeddings = EdgeQdrantClient(home / "qdrant"), LlamaEmbeddings(model)
documents, checkpointer = Documents(client, embeddings), SqliteCheckpointer(home / "checkpoints.sqlite")
graph = create_ingest(documents, checkpointer=checkpointer)
config = {"configurable": {"thread_id": "t"}}
given = None if resumed and graph.get_state(config).next else {"paths": [str(home / "files")]}
for event in graph.stream(given, config, stream_mode="custom"):
    print(event["event"], event.get("done", 0), flush=True)
for opened in (checkpointer, documents, client, embeddings):
    opened.close()
"""


def run_and_kill(home: Path, way: str, after: int | None) -> bool:
    """Run the graph in a process of its own, killed after so many events; whether it came to its end."""
    process = subprocess.Popen(
        [sys.executable, "-c", _RUN, str(home), str(MODEL), way], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process.stdout as events:
        for number, _ in enumerate(events, start=1):
            if number == after:
                process.send_signal(signal.SIGKILL)
                break
        events.read()
    code = process.wait()
    assert code in (0, -signal.SIGKILL)
    return code == 0


def stored_ids(home: Path, embedder: LlamaEmbeddings) -> set[str]:
    """The passages in a store, each of a document that is whole."""
    client = EdgeQdrantClient(home / "qdrant")
    documents = Documents(client, embedder)
    assert all(asyncio.run(documents.sources()).values())
    found = client.scroll("documents", limit=1_000)[0]
    assert len(found) == documents.count()
    documents.close()
    client.close()
    return {str(record.id) for record in found}


@pytest.mark.slow
@pytest.mark.parametrize("way", ["resumed", "anew"])
def test_kills_lose_and_double_nothing(tmp_path: Path, embedder: LlamaEmbeddings, way: str) -> None:
    """Killed again and again at random moments, a run ends with exactly what an undisturbed one stores."""
    files = tmp_path / "home" / "files"
    files.mkdir(parents=True)
    for number in range(24):
        notes = "".join(f"## Part {part}\n\nThe code of {number}.{part} is {number * part}.\n\n" for part in range(3))
        (files / f"{number:02}.md").write_text(f"# Note {number}\n\n{notes}")
    dice = random.Random(way)
    kills = 0
    while not run_and_kill(tmp_path / "home", way, dice.randint(1, 14) if kills < 4 else None):
        kills += 1
    assert kills >= 2
    killed = stored_ids(tmp_path / "home", embedder)
    shutil.rmtree(tmp_path / "home" / "qdrant")
    (tmp_path / "home" / "checkpoints.sqlite").unlink()
    assert run_and_kill(tmp_path / "home", "anew", None)
    assert killed == stored_ids(tmp_path / "home", embedder)
    assert len(killed) == 72


def test_a_lane_goes_on_where_it_was(tmp_path: Path, embedder: LlamaEmbeddings) -> None:
    """After kill -9 the lanes resume from their own checkpoints: files that were stored are not read again."""
    (tmp_path / "files").mkdir()
    for number in range(48):
        (tmp_path / "files" / f"{number:02}.md").write_text(f"The code of note {number} is {number * 7}.\n")
    assert not run_and_kill(tmp_path, "anew", 40)
    client = EdgeQdrantClient(tmp_path / "qdrant")
    documents = Documents(client, embedder)
    checkpointer = SqliteCheckpointer(tmp_path / "checkpoints.sqlite")
    graph, config = create_ingest(documents, checkpointer=checkpointer), {"configurable": {"thread_id": "t"}}
    assert graph.get_state(config).next in [("ingest_files",) * lanes for lanes in (1, 2, 3)]  # type: ignore[arg-type]
    events = list(graph.stream(None, config, stream_mode="custom"))  # type: ignore[call-overload]
    read = [event for event in events if event["event"] == "file"]
    assert 0 < len(read) < 48
    assert read[-1]["done"] == 48
    result = graph.get_state(config).values  # type: ignore[arg-type]
    assert len(result["ingested"]) == result["passages"] == documents.count() == 48
    assert len(graph.invoke({"paths": [str(tmp_path / "files")]}, config)["skipped"]) == 48  # type: ignore[call-overload]
    checkpointer.close()
    documents.close()
    client.close()
