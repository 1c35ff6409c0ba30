"""Tests of graphs/ingest.py: real files, the shipped embedding model, edge shards, SQLite checkpoints."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver

from freehold.errors import DocumentError, StorageError, UserError
from freehold.graphs import create_ingest
from freehold.inference import LlamaEmbeddings
from freehold.memory import Documents, EdgeQdrantClient
from tests.graphs.conftest import names


async def test_reads_a_folder_and_skips_what_is_broken(store: Documents, folder: Path) -> None:
    """A folder is read whole; the broken file is named with its reason and does not stop the rest."""
    result = await create_ingest(store).ainvoke({"paths": [str(folder)]})
    assert names(result["ingested"]) == ["heron.md", "owl.txt", "swift.html"]
    assert [(Path(one["source"]).name, "damaged" in one["reason"]) for one in result["failed"]] == [
        ("broken.pdf", True)
    ]
    assert result["passages"] == store.count() == 4
    nodes = [one["node"] for one in result["decisions"]]
    assert list(dict.fromkeys(nodes)) == ["find_files", "upsert", "remove_deleted"]
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

    all_events = asyncio.run(stream()) if asynchronous else list(graph.stream(given, stream_mode="custom"))
    assert all_events[0] == {"event": "found", "total": 4, "skipped": 0, "gone": 0}
    assert sum(event["passages"] for event in all_events if event["event"] == "embedded") == 4
    events = [event for event in all_events if event["event"] == "file"]
    assert [event["source"] for event in events if event["reason"]] == [str(folder / "broken.pdf")]
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


class Named:
    """The shipped embedding model under another name."""

    def __init__(self, embedder: LlamaEmbeddings, model_id: str) -> None:
        self.dimension, self.embed, self.model_id = embedder.dimension, embedder.embed, model_id


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_lane_of_many_files_ends(store: Documents, tmp_path: Path, asynchronous: bool) -> None:
    """However many files there are, no limit on a graph's steps ends the run."""
    (tmp_path / "many").mkdir()
    for number in range(300):
        (tmp_path / "many" / f"{number}.txt").write_text("The same note.")  # embedded once
    graph, given = create_ingest(store), {"paths": [str(tmp_path / "many")]}
    result = asyncio.run(graph.ainvoke(given)) if asynchronous else graph.invoke(given)
    assert len(result["ingested"]) == store.count() == 300


def test_a_bad_key_ends_one_file_at_most(store: Documents, folder: Path) -> None:
    """Front matter that UTF-8 cannot hold does not end the run."""
    (folder / "odd.md").write_text('---\n"\\uD800": "\\uDC00"\ntitle: "\\uD800"\n---\nAn odd note.\n')
    result = create_ingest(store).invoke({"paths": [str(folder)]})
    assert "odd.md" in names(result["ingested"])
    found = asyncio.run(store.search("An odd note.", limit=1))[0]
    assert found.get("metadata", {})["title"] == "?"


def test_another_model_reads_every_file_again(
    client: EdgeQdrantClient, embedder: LlamaEmbeddings, folder: Path
) -> None:
    """Vectors of two models of the same dimension never stand side by side, and the same model reads nothing again."""
    read = []
    for name in ("a", "b", "b"):
        opened = Documents(client, Named(embedder, name))
        read.append(len(create_ingest(opened).invoke({"paths": [str(folder)]})["ingested"]))
        assert opened.count() == 4
        opened.close()
    assert read == [3, 3, 0]


def test_passages_that_the_model_would_cut_are_refused(
    store: Documents, client: EdgeQdrantClient, embedder: LlamaEmbeddings
) -> None:
    """What the embedding model does not read cannot be found; a model that does not tell its length takes any."""
    create_ingest(store, passage_size=255)
    with pytest.raises(UserError, match=r"passage_size=256 .* reads 512 tokens .* Give 255 at most"):
        create_ingest(store, passage_size=256)
    silent = Documents(client, Named(embedder, "a"))
    create_ingest(silent, passage_size=1_000)
    silent.close()


def test_one_thread_serves_many_runs(store: Documents, folder: Path) -> None:
    """A second run on the same thread reports itself only, not the run before."""
    graph, config = create_ingest(store, checkpointer=InMemorySaver()), {"configurable": {"thread_id": "t"}}
    graph.invoke({"paths": [str(folder)]}, config)  # type: ignore[call-overload]
    result = graph.invoke({"paths": [str(folder)]}, config)  # type: ignore[call-overload]
    assert result["ingested"] == []
    assert len(result["skipped"]) == 3
    assert result["passages"] == 0


@pytest.fixture
def settled(folder: Path) -> Path:
    """The documents, last changed an hour ago as far as they can say."""
    for path in folder.rglob("*.*"):
        os.utime(path, (path.stat().st_mtime - 3600,) * 2)
    time.sleep(2.1)  # nobody can set the time of the inode's change
    return folder


def test_settled_files_are_not_read_again(store: Documents, settled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that tell by size, inode and times that they are the same are not even read; any other is looked into."""
    graph = create_ingest(store)
    graph.invoke({"paths": [str(settled)]})
    hashed = []
    digest = hashlib.file_digest
    monkeypatch.setattr(hashlib, "file_digest", lambda file, name: (hashed.append(file.name), digest(file, name))[1])
    assert len(graph.invoke({"paths": [str(settled)]})["skipped"]) == 3
    assert hashed == []
    status = (settled / "owl.txt").stat()
    (settled / "owl.txt").write_text("The owl hunts rats at night.")  # as long as before
    os.utime(settled / "owl.txt", ns=(status.st_atime_ns, status.st_mtime_ns))
    (settled / "heron.md").touch()
    result = graph.invoke({"paths": [str(settled)]})
    assert names(result["ingested"]) == ["owl.txt"]
    assert names(result["skipped"]) == ["heron.md", "swift.html"]
    assert names(hashed) == ["heron.md", "owl.txt"]


def test_a_new_stamp_is_kept(store: Documents, settled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that was touched and not changed is hashed once, not in every later run."""
    graph = create_ingest(store)
    graph.invoke({"paths": [str(settled)]})
    os.utime(settled / "owl.txt", (1_000_000_000, 1_000_000_000))
    time.sleep(2.1)
    version = store.version()
    assert len(graph.invoke({"paths": [str(settled)]})["skipped"]) == 3
    monkeypatch.setattr(hashlib, "file_digest", lambda *_: pytest.fail("hashed again"))
    assert len(graph.invoke({"paths": [str(settled)]})["skipped"]) == 3
    assert store.version() == version


def test_another_size_reads_every_file_again(store: Documents, folder: Path) -> None:
    """Passages of two sizes never stand side by side: another size is another content."""
    create_ingest(store).invoke({"paths": [str(folder)]})
    result = create_ingest(store, passage_size=4).invoke({"paths": [str(folder)]})
    assert len(result["ingested"]) == 3
    assert store.count() == result["passages"] > 4
    with pytest.raises(UserError, match="passage_size=0"):
        create_ingest(store, passage_size=0)


def test_every_bad_file_has_its_reason(store: Documents, tmp_path: Path) -> None:
    """Files that cannot be read are named with their reasons, whatever they hold and however they are named."""
    made = tmp_path / "bad"
    made.mkdir()
    (made / "good.csv").write_text("name,food\nheron,fish,much\nowl\n")
    (made / "junk.md").write_bytes(b"\x00\x01")
    (made / "rows.jsonl").write_text('{"a": 1}\n{"a": \n')
    (made / "gone.txt").symlink_to(tmp_path / "nowhere")
    (made / "word.docx").write_bytes(b"PK")
    (made / os.fsdecode(b"caf\xe9.txt")).write_text("Coffee.")
    result = create_ingest(store, checkpointer=InMemorySaver()).invoke(
        {"paths": [str(made)]}, {"configurable": {"thread_id": "t"}}
    )
    assert names(result["ingested"]) == ["good.csv"]
    reasons = {Path(one["source"]).name: one["reason"] for one in result["failed"]}
    assert "binary" in reasons.pop("junk.md")
    assert "line 2 is no JSON" in reasons.pop("rows.jsonl")
    assert "No such file" in reasons.pop("gone.txt")
    assert "damaged" in reasons.pop("word.docx")
    assert "name is no UTF-8" in reasons.pop("caf?.txt")
    assert reasons == {}


async def test_passages_say_where_they_stand(store: Documents, folder: Path) -> None:
    """What is stored of a passage opens its place and can be filtered: file, section, line, format, age."""
    await create_ingest(store).ainvoke({"paths": [str(folder / "heron.md")]})
    records = store._client.scroll("documents", limit=10, with_payload=True)[0]
    payloads = sorted((record.payload or {} for record in records), key=lambda payload: payload["index"])
    text = (folder / "heron.md").read_text()
    assert [text[payload["start"] : payload["end"]] for payload in payloads] == [one["text"] for one in payloads]
    assert [(one["heading"], one["section"], one["metadata"]["line"]) for one in payloads] == [
        ("Heron", 0, 2),
        ("Heron > Nest", 1, 5),
    ]
    assert {one["metadata"]["format"] for one in payloads} == {"markdown"}
    assert all(one["metadata"]["modified"].startswith("20") for one in payloads)


async def test_no_text_is_checkpointed(store: Documents, folder: Path) -> None:
    """Checkpoints hold paths and counts: texts and vectors are large, and stay out of the database."""
    saver = InMemorySaver()
    await create_ingest(store, checkpointer=saver).ainvoke(
        {"paths": [str(folder)]}, {"configurable": {"thread_id": "t"}}
    )
    held = repr([dict(saver.storage), dict(saver.writes), saver.blobs])
    assert "heron.md" in held
    assert "hunts mice" not in held
    lanes = {space for space in saver.storage["t"] if space}
    assert len(lanes) == 3
    assert all(len(saver.storage["t"][space]) >= 5 for space in lanes)  # its input, and each of its four nodes


async def test_a_failed_run_goes_on_in_the_same_process(
    store: Documents, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the store failed, the run resumes: what was in hand is loaded again, and nothing is missing or double."""
    graph, config = create_ingest(store, checkpointer=InMemorySaver()), {"configurable": {"thread_id": "t"}}
    upsert, calls = store.upsert, 0

    async def fails_once(*args: Any, **options: Any) -> int:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise StorageError("The disk is full.")
        return await upsert(*args, **options)

    monkeypatch.setattr(store, "upsert", fails_once)
    with pytest.raises(StorageError, match="disk is full"):
        await graph.ainvoke({"paths": [str(folder)]}, config)  # type: ignore[call-overload]
    events = [event async for event in graph.astream(None, config, stream_mode="custom")]  # type: ignore[call-overload]
    result = graph.get_state(config).values  # type: ignore[arg-type]
    assert names(result["ingested"]) == ["heron.md", "owl.txt", "swift.html"]
    assert len(result["failed"]) == 1
    assert result["passages"] == store.count() == 4
    assert [event["done"] for event in events if event["event"] == "file"][-1] == 4


async def test_two_runs_and_a_search_at_once(store: Documents, folder: Path) -> None:
    """Two runs over the same files and searches beside them end well, and the loop is never blocked for long."""
    for number in range(12):
        (folder / f"{number}.md").write_text(f"# Note {number}\n\nThe code of note {number} is {number * 7}.\n")
    graph, longest = create_ingest(store), 0.0

    async def watch() -> None:
        nonlocal longest
        while True:
            started = time.perf_counter()
            await asyncio.sleep(0.01)
            longest = max(longest, time.perf_counter() - started)

    async def search() -> None:
        for _ in range(5):
            await store.search("What is the code of note 7?")
            await asyncio.sleep(0.02)

    watcher = asyncio.create_task(watch())
    given = {"paths": [str(folder)]}
    first, second, _ = await asyncio.gather(graph.ainvoke(given), graph.ainvoke(given), search())
    watcher.cancel()
    assert len(first["failed"]) == len(second["failed"]) == 1
    assert store.count() == 16
    assert all((await store.sources()).values())
    assert (await store.search("What is the code of note 7?", limit=1))[0]["text"].endswith("is 49.")
    assert longest < 0.5  # a busy machine is slow too; a blocked loop would stand still for the whole run
