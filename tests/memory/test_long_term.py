"""Long-term memory: mem0 on the embedded client, with the shipped embedding model."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from freehold import Context
from freehold.errors import SettingsError, StorageError
from freehold.inference import LlamaEmbeddings
from freehold.memory.edge_client import EdgeQdrantClient
from freehold.memory.long_term import LongTermMemory
from freehold.portal import run_sync
from tests.memory.extractors import KeepWhole
from tests.memory.test_isolation import files_with

ADA, BOB = Context(user_id="ada"), Context(user_id="bob")


@pytest.fixture
async def memory(client: EdgeQdrantClient, embedder: LlamaEmbeddings, tmp_path: Path) -> AsyncIterator[LongTermMemory]:
    """A memory that keeps first-person statements."""
    opened = LongTermMemory(client, embedder, None, tmp_path / "memory")
    yield opened
    opened.close()


@pytest.fixture
def verbatim(client: EdgeQdrantClient, embedder: LlamaEmbeddings, tmp_path: Path) -> Iterator[LongTermMemory]:
    """A memory that keeps whatever it is given."""
    opened = LongTermMemory(client, embedder, KeepWhole(), tmp_path / "memory")
    yield opened
    opened.close()


async def test_a_fact_is_found_by_a_question_in_other_words(memory: LongTermMemory) -> None:
    """What a user says in one thread is recalled for a question in another, the best fact first, with its cosine."""
    stored = await memory.add("My name is Ada, and I have a dog called Rex. What is the weather?", ADA)
    assert [fact["text"] for fact in stored] == ["My name is Ada", "I have a dog called Rex"]
    await memory.add("I work as a nurse.", ADA)
    found = await memory.search("Which pet do I own?", ADA, limit=2)
    assert found[0]["text"] == "I have a dog called Rex"
    assert 0.3 < found[0]["score"] < 1
    assert found[0]["created_at"].endswith("+00:00")


async def test_the_score_is_the_cosine(verbatim: LongTermMemory, embedder: LlamaEmbeddings) -> None:
    """Nodes hold the score against a threshold of cosine, so mem0's mixture of scores must not reach them."""
    await verbatim.add("The boiler is serviced in October", ADA)
    question = "when is the boiler serviced"
    rows = await embedder.embed(["The boiler is serviced in October", question])
    (found,) = await verbatim.search(question, ADA)
    assert found["score"] == pytest.approx(float(rows[0] @ rows[1]), abs=0.01)
    assert await verbatim.search(question, ADA, threshold=0.99) == []


@pytest.mark.parametrize("message", ["What is my name?", "Hello", "", "   ", "Explain the write-ahead log"])
async def test_messages_without_facts_store_nothing(memory: LongTermMemory, message: str) -> None:
    """Questions, greetings and requests do not fill the memory."""
    assert await memory.add(message, ADA) == []
    assert await memory.list(ADA) == []


async def test_a_fact_is_stored_once(memory: LongTermMemory) -> None:
    """Saying a thing again, in other case or spacing, leaves one memory; another user's is another memory."""
    assert len(await memory.add("I like tea.", ADA)) == 1
    for again in ("I like tea.", "i  like TEA", "I like tea! I like tea!"):
        assert await memory.add(again, ADA) == []
    assert len(await memory.add("I like tea.", BOB)) == 1
    assert len(await memory.list(ADA)) == 1


async def test_every_memory_is_listed_oldest_first(verbatim: LongTermMemory) -> None:
    """Listing does not stop at mem0's twenty."""
    texts = [f"fact number {index}" for index in range(75)]
    for text in texts:
        await verbatim.add(text, ADA)
    assert [memory["text"] for memory in await verbatim.list(ADA)] == texts


async def test_get_and_delete_by_id(verbatim: LongTermMemory) -> None:
    """One memory can be read and deleted; ids that are unknown or no ids at all are missing, not errors."""
    (kept,), (dropped,) = await verbatim.add("kept", ADA), await verbatim.add("dropped", ADA)
    assert await verbatim.get(dropped["id"], ADA) == dropped
    assert await verbatim.delete(dropped["id"], ADA)
    assert not await verbatim.delete(dropped["id"], ADA)
    assert await verbatim.get(dropped["id"], ADA) is None
    assert await verbatim.get("not an id", ADA) is None
    assert await verbatim.list(ADA) == [kept]


@pytest.mark.parametrize("moment", ["before the point", "after the point", "after the row"])
async def test_a_deletion_that_stops_half_way_leaves_no_text_in_the_history(
    verbatim: LongTermMemory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """With the point, the way to the history is gone, so the text goes first; what is still there can be deleted."""
    (stored,) = await verbatim.add("I collect xylophones", ADA)
    await verbatim.update(stored["id"], "I collect two xylophones", ADA)
    assert files_with(tmp_path / "memory", "xylophones")
    mem0 = verbatim._worker._mem0
    owner, name = (mem0.db, "add_history") if moment == "after the row" else (mem0.vector_store, "delete")
    real = getattr(owner, name)

    def stop(*given: Any, **named: Any) -> None:
        if moment != "before the point":
            real(*given, **named)
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(owner, name, stop)
        with pytest.raises(KeyboardInterrupt):
            await verbatim.delete(stored["id"], ADA)
    rows = mem0.db.connection.execute("SELECT old_memory, new_memory FROM history").fetchall()
    assert set(rows) == {(None, None)}
    assert await verbatim.delete(stored["id"], ADA) == (moment == "before the point")
    assert await verbatim.list(ADA) == []
    verbatim.close()
    assert files_with(tmp_path / "memory", "xylophones") == []


async def test_limits_are_checked(memory: LongTermMemory) -> None:
    """A limit or threshold that cannot be used is named in an error."""
    for limit, threshold in ((0, None), (5, 1.5), (5, -0.1)):
        with pytest.raises(SettingsError, match=f"limit={limit}"):
            await memory.search("tea", ADA, limit, threshold)
    assert await memory.search("  ", ADA) == []


async def test_concurrent_adds_lose_nothing(verbatim: LongTermMemory) -> None:
    """Eight threads with loops of their own, and tasks on one loop, all write at once: every write is there."""

    async def write(writer: int) -> None:
        await asyncio.gather(*(verbatim.add(f"writer {writer} fact {index}", ADA) for index in range(5)))

    with ThreadPoolExecutor(8) as pool:
        threads = [asyncio.get_running_loop().run_in_executor(pool, asyncio.run, write(writer)) for writer in range(8)]
        await asyncio.gather(write(8), *threads)
    assert len({memory["text"] for memory in await verbatim.list(ADA)}) == 45


async def test_concurrent_duplicates_are_stored_once(verbatim: LongTermMemory) -> None:
    """The check for duplicates and the write are one step."""
    stored = await asyncio.gather(*(verbatim.add("I like tea", ADA) for _ in range(8)))
    assert sum(map(len, stored)) == 1


async def test_reopening_finds_everything(embedder: LlamaEmbeddings, tmp_path: Path) -> None:
    """A memory outlives the process that wrote it."""
    for expected in ([], ["I like tea"]):
        client = EdgeQdrantClient(tmp_path / "qdrant")
        memory = LongTermMemory(client, embedder, None, tmp_path / "memory")
        assert [found["text"] for found in await memory.list(ADA)] == expected
        await memory.add("I like tea", ADA)
        memory.close()
        client.close()


async def test_a_closed_memory_says_so(memory: LongTermMemory) -> None:
    """Closing twice is harmless, and a later call names what is closed."""
    await memory.add("I like tea", ADA)
    memory.close()
    memory.close()
    with pytest.raises(StorageError, match="is closed"):
        await memory.search("tea", ADA)


async def test_a_failing_store_is_a_storage_error(
    client: EdgeQdrantClient, embedder: LlamaEmbeddings, tmp_path: Path
) -> None:
    """A folder that cannot be made is reported as ours, with its name, and not as SQLite's or mem0's."""
    (tmp_path / "memory").write_text("a file is in the way")
    memory = LongTermMemory(client, embedder, None, tmp_path / "memory")
    with pytest.raises(StorageError, match="memory failed"):
        await memory.add("I like tea", ADA)
    memory.close()


def test_synchronous_callers(memory: LongTermMemory) -> None:
    """The same bodies serve callers without an event loop."""
    run_sync(memory.add("I like tea", ADA))
    assert [found["text"] for found in run_sync(memory.search("tea", ADA))] == ["I like tea"]


def test_mem0_opens_without_network_or_home(tmp_path: Path) -> None:
    """mem0 tries no connection, writes nothing in the home directory, leaves no identifier, and loads late."""
    script = """
import asyncio, os, sys
attempts = []
sys.addaudithook(lambda name, args: attempts.append(args) if name in ("socket.getaddrinfo", "socket.connect") else None)
import numpy as np
from pathlib import Path
from freehold import Context
from freehold.memory.edge_client import EdgeQdrantClient
from freehold.memory.long_term import LongTermMemory
class Letters:
    dimension = 26
    async def embed(self, texts):
        return np.stack([np.bincount([ord(c) % 26 for c in text] or [0], minlength=26) + 0.0 for text in texts])
folder = Path(sys.argv[1])
client = EdgeQdrantClient(folder / "qdrant")
memory = LongTermMemory(client, Letters(), None, folder / "memory")
assert "mem0" not in sys.modules
async def use():
    await memory.add("I like tea", Context(user_id="ada"))
    assert await memory.search("tea on 2026-11-20", Context(user_id="ada"))
    assert await memory.forget(Context(user_id="ada")) == 1
asyncio.run(use())
memory.close()
client.close()
assert not attempts, attempts
assert "MEM0_DIR" not in os.environ
print(sorted(path.name for path in (folder / "memory").iterdir()))
"""
    home = tmp_path / "home"
    home.mkdir()
    environment = {"HOME": str(home), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["['history.db']"]
    assert list(home.iterdir()) == []


_names = st.sampled_from([("ada", "default"), ("bob", "default"), ("ada", "other")])
_texts = st.sampled_from([f"fact {letter}" for letter in "abcde"])
_actions = st.sampled_from([*["add"] * 5, *["delete"] * 3, *["steal"] * 2, "forget"])


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(operations=st.lists(st.tuples(_actions, _names, _texts), max_size=20), example=st.uuids())
def test_any_sequence_agrees_with_a_dictionary(
    verbatim: LongTermMemory, operations: list[tuple[str, tuple[str, str], str]], example: uuid.UUID
) -> None:
    """Whatever three users do, each sees exactly what a dictionary of their own would hold."""
    model: dict[Context, dict[str, str]] = {}

    async def play() -> None:
        for action, (name, tenant), text in operations:
            user = Context(user_id=f"{name}-{example}", tenant=tenant)
            mine = model.setdefault(user, {})
            others = [key for other, facts in model.items() if other != user for key in facts.values()]
            if action == "add":
                stored = await verbatim.add(text, user)
                assert [fact["text"] for fact in stored] == ([] if text in mine else [text])
                mine |= {fact["text"]: fact["id"] for fact in stored}
            elif action == "delete" and text in mine:
                assert await verbatim.delete(mine.pop(text), user)
            elif action == "forget":
                assert await verbatim.forget(user) == len(mine)
                mine.clear()
            elif action == "steal" and others:
                assert not await verbatim.delete(others[0], user)
        for user, mine in model.items():
            assert {fact["text"]: fact["id"] for fact in await verbatim.list(user)} == mine
            assert {fact["text"] for fact in await verbatim.search("fact", user, limit=10)} == set(mine)

    run_sync(play())
