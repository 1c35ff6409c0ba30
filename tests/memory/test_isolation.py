"""Attacks on the walls between users, and on what is left of them after they are forgotten."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from qdrant_client import models

from freehold import Context
from freehold.errors import ScopeError
from freehold.inference import LlamaEmbeddings
from freehold.memory.edge_client import EdgeQdrantClient
from freehold.memory.long_term import LongTermMemory
from tests.memory.extractors import KeepWhole

ADA, BOB = Context(user_id="ada"), Context(user_id="bob")
SECRET = "The marzipan is hidden behind the aquarium"


@pytest.fixture
def memory(client: EdgeQdrantClient, embedder: LlamaEmbeddings, tmp_path: Path) -> Iterator[LongTermMemory]:
    """A memory that keeps whatever it is given."""
    opened = LongTermMemory(client, embedder, KeepWhole(), tmp_path / "memory")
    yield opened
    opened.close()


def files_with(folder: Path, text: str) -> list[str]:
    """Files under a folder whose bytes hold the text."""
    return [str(path) for path in folder.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]


def files_named(folder: Path, pattern: str) -> list[Path]:
    """Files under a folder whose names fit."""
    return list(folder.rglob(pattern))


@pytest.mark.parametrize("wild", ["*", "", " ", "ada*", "a/b", "ada bob", "../ada", "ada\n", '{"ne": "x"}'])
def test_ids_that_a_store_could_misread_are_refused(wild: str) -> None:
    """mem0 answers the user `*` with everyone's memories; such a context cannot be made."""
    for key in ("user_id", "tenant", "agent_id", "session_id"):
        with pytest.raises(ScopeError):
            Context(**{key: wild})  # type: ignore[arg-type]


async def test_nobody_sees_another_users_memories(memory: LongTermMemory) -> None:
    """Search and list stay inside the user, even for the other's own words."""
    await memory.add(SECRET, ADA)
    assert await memory.search(SECRET, BOB) == []
    assert await memory.list(BOB) == []


async def test_by_id_calls_ask_whose_it_is(memory: LongTermMemory) -> None:
    """Knowing an id is not enough to read or delete what it names: mem0's own by-id calls are not scoped."""
    (stored,) = await memory.add(SECRET, ADA)
    for other in (BOB, Context(user_id="ada", tenant="elsewhere"), Context(user_id="bob", agent_id="helper")):
        assert await memory.get(stored["id"], other) is None
        assert not await memory.delete(stored["id"], other)
    assert await memory.get(stored["id"], ADA) == stored


async def test_tenants_do_not_share_a_user(memory: LongTermMemory) -> None:
    """The same user id in two tenants is two people, and ids cannot be composed into one another."""
    await memory.add(SECRET, Context(user_id="b", tenant="a"))
    for other in (Context(user_id="b"), Context(user_id="a", tenant="b"), Context(user_id="a-b"), Context(user_id="a")):
        assert await memory.list(other) == []
        assert await memory.search(SECRET, other) == []
        assert await memory.forget(other) == 0
    assert len(await memory.list(Context(user_id="b", tenant="a"))) == 1


COOK, CLERK = (Context(user_id="ada", agent_id=agent) for agent in ("cook", "clerk"))
MONDAY, TUESDAY = (Context(user_id="ada", session_id=session) for session in ("monday", "tuesday"))


async def test_each_scope_is_seen_where_it_should_be(memory: LongTermMemory) -> None:
    """Every run sees the user's memories; those of a session or an agent are seen there and nowhere else."""
    await memory.add("Likes soup", COOK)
    await memory.add("Salts it twice", COOK, scope="agent")
    await memory.add("Plans a party", MONDAY, scope="session")
    both = Context(user_id="ada", agent_id="cook", session_id="monday")
    expected = {
        ADA: {"Likes soup"},
        COOK: {"Likes soup", "Salts it twice"},
        CLERK: {"Likes soup"},
        MONDAY: {"Likes soup", "Plans a party"},
        TUESDAY: {"Likes soup"},
        both: {"Likes soup", "Salts it twice", "Plans a party"},
        Context(user_id="bob", agent_id="cook", session_id="monday"): set(),
    }
    for context, texts in expected.items():
        assert {found["text"] for found in await memory.list(context)} == texts
        assert {found["text"] for found in await memory.search("soup, salt, party", context)} == texts
    assert len(await memory.list(ADA, everything=True)) == 3
    assert await memory.list(BOB, everything=True) == []
    assert await memory.forget(COOK) == 3
    assert await memory.list(both) == []


async def test_a_memory_of_another_session_cannot_be_reached_by_its_id(memory: LongTermMemory) -> None:
    """By-id calls hold to the scope and not to the user alone."""
    (stored,) = await memory.add("Plans a party", MONDAY, scope="session")
    assert (stored["scope"], stored["session_id"]) == ("session", "monday")
    for other in (ADA, TUESDAY, COOK):
        assert await memory.get(stored["id"], other) is None
        assert await memory.update(stored["id"], "Plans nothing", other) is None
        assert await memory.history(stored["id"], other) == []
        assert not await memory.delete(stored["id"], other)
    assert await memory.get(stored["id"], MONDAY) == stored


async def test_a_scope_needs_its_id(memory: LongTermMemory) -> None:
    """What belongs to a session cannot be stored without one: it would be seen by all, or by none."""
    for scope in ("session", "agent", "everyone"):
        with pytest.raises(ScopeError, match=scope):
            await memory.add(SECRET, ADA, scope=scope)  # type: ignore[arg-type]
    assert await memory.list(ADA, everything=True) == []


async def test_what_was_stored_before_there_were_scopes_is_found(embedder: LlamaEmbeddings, tmp_path: Path) -> None:
    """A collection of an earlier version keeps its users and agents."""
    client = EdgeQdrantClient(tmp_path / "qdrant")
    vectors = await embedder.embed(["Likes soup", "Salts it"])
    client.create_collection(
        "memories",
        vectors_config=models.VectorParams(size=embedder.dimension, distance=models.Distance.COSINE),
        sparse_vectors_config={"bm25": models.SparseVectorParams(modifier=models.Modifier.IDF)},
    )
    common = {"user_id": "default/ada", "created_at": "2026-01-01T00:00:00+00:00"}
    payloads: list[dict[str, str]] = [{"data": "Likes soup"}, {"data": "Salts it", "agent_id": "cook"}]
    points = [
        models.PointStruct(id=str(uuid.uuid4()), vector={"": vector.tolist()}, payload={**common, **payload})
        for vector, payload in zip(vectors, payloads, strict=True)
    ]
    client.upsert("memories", points=points)
    memory = LongTermMemory(client, embedder, KeepWhole(), tmp_path / "memory")
    assert [found["text"] for found in await memory.list(ADA)] == ["Likes soup"]
    assert {found["text"] for found in await memory.search("salt", COOK)} == {"Likes soup", "Salts it"}
    assert {found["scope"] for found in await memory.list(COOK)} == {"user", "agent"}
    memory.close()
    client.close()


@pytest.mark.parametrize("query", ['{"user_id": "*"}', "* OR 1=1", "user_id:bob", "'; DROP TABLE history; --"])
async def test_queries_are_only_text(memory: LongTermMemory, query: str) -> None:
    """Operators in a question are words: they reach neither the filters nor SQL."""
    await memory.add(SECRET, ADA)
    await memory.add("Bob likes tea", BOB)
    assert {found["text"] for found in await memory.search(query, BOB)} <= {"Bob likes tea"}
    assert await memory.list(ADA) != []


async def test_forgetting_leaves_no_byte(memory: LongTermMemory, client: EdgeQdrantClient, tmp_path: Path) -> None:
    """After forget a user's words are in no file, deleted ones included, and everybody else's memory is whole."""
    (dropped,) = await memory.add("The xylophone was a present", ADA)
    await memory.delete(dropped["id"], ADA)
    await memory.add(SECRET, ADA)
    await memory.add(f"{SECRET}, says the cook", COOK, scope="agent")
    await memory.add("Bob likes tangerines", BOB)
    client.flush()
    assert files_with(tmp_path, SECRET)
    assert await memory.forget(ADA) == 2
    client.flush()
    for text in (SECRET, "xylophone", "default/ada"):
        assert files_with(tmp_path, text) == []
    assert [found["text"] for found in await memory.list(BOB)] == ["Bob likes tangerines"]
    (found,) = await memory.search("Which fruit does Bob like?", BOB)
    assert found["score"] > 0.4
    assert await memory.forget(ADA) == 0
    await memory.add("I am back", ADA)
    assert len(await memory.list(ADA)) == 1


async def test_forgetting_erases_what_mem0_itself_would_write(memory: LongTermMemory, tmp_path: Path) -> None:
    """Rows that mem0 keeps of messages go too: this user's in any scope, nobody's whose id merely begins alike."""
    await memory.add("hello", ADA)
    scopes = {
        "agent_id=x&user_id=default/ada": False,
        "user_id=default/ada": False,
        "user_id=default/ada&run_id=r": False,
        "user_id=default/adam": True,
        "agent_id=user_id=default/ada": True,
    }
    with sqlite3.connect(tmp_path / "memory" / "history.db") as database:
        for number, scope in enumerate(scopes):
            database.execute(
                "INSERT INTO messages (id, session_scope, content) VALUES (?, ?, 'x')", (str(number), scope)
            )
    database.close()
    await memory.forget(ADA)
    database = sqlite3.connect(tmp_path / "memory" / "history.db")
    left = {row[0] for row in database.execute("SELECT session_scope FROM messages")}
    assert left == {scope for scope, kept in scopes.items() if kept}
    assert database.execute("SELECT count(*) FROM history").fetchone() == (0,)
    database.close()


_KILLED_WHILE_STORING = """
import os, signal, sys
from pathlib import Path
from freehold import Context
from freehold.inference import LlamaEmbeddings
from freehold.memory import EdgeQdrantClient, LongTermMemory
from freehold.models import EMBEDDING_MODEL, model_path
from freehold.portal import run_sync
from tests.memory.extractors import KeepWhole

folder = Path(sys.argv[1])
client = EdgeQdrantClient(folder / "qdrant")
memory = LongTermMemory(client, LlamaEmbeddings(model_path(EMBEDDING_MODEL)), KeepWhole(), folder / "memory")
ada = Context(user_id="ada")
run_sync(memory.list(ada))
memory._worker._mem0.db.add_history = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
run_sync(memory.add(sys.argv[2], ada))
"""


def kill_while_storing(folder: Path) -> None:
    """Leave Ada's memory as a process does that is killed between mem0's vector and its history row."""
    command = [sys.executable, "-c", _KILLED_WHILE_STORING, str(folder), SECRET]
    child = subprocess.run(command, cwd=Path(__file__).resolve().parents[2], check=False)
    assert child.returncode == -signal.SIGKILL


async def test_a_memory_without_history_is_forgotten(embedder: LlamaEmbeddings, tmp_path: Path) -> None:
    """A process killed between mem0's vector and its history row leaves a memory that forget finds nonetheless."""
    kill_while_storing(tmp_path)
    client = EdgeQdrantClient(tmp_path / "qdrant")
    memory = LongTermMemory(client, embedder, KeepWhole(), tmp_path / "memory")
    assert [found["text"] for found in await memory.list(ADA)] == [SECRET]
    assert await memory.forget(ADA) == 1
    assert await memory.list(ADA) == []
    memory.close()
    client.close()
    assert files_with(tmp_path, SECRET) == []


async def test_forgetting_completes_what_left_no_trace(
    memory: LongTermMemory, client: EdgeQdrantClient, tmp_path: Path
) -> None:
    """Bytes of deleted points go though neither a point nor a row names their owner any more."""
    await memory.add(SECRET, ADA)
    with sqlite3.connect(tmp_path / "memory" / "history.db") as database:
        database.execute("DELETE FROM history")
    database.close()
    (row,) = client.scroll("memories")[0]
    client.delete("memories", [row.id])
    client.flush()
    assert files_with(tmp_path / "qdrant", SECRET)
    assert await memory.forget(ADA) == 0
    client.flush()
    assert files_with(tmp_path, SECRET) == []


@pytest.mark.parametrize("survivors", [2, 5, 6, 8])
async def test_an_interrupted_rewrite_is_finished_at_the_next_opening(
    embedder: LlamaEmbeddings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, survivors: int
) -> None:
    """Erasing one user never costs another a memory, whichever step of the rewrite fails.

    The steps: clear, make, fill and flush the spare; clear, make, fill and flush the collection; clear the spare.
    """
    client = EdgeQdrantClient(tmp_path / "qdrant")
    memory = LongTermMemory(client, embedder, KeepWhole(), tmp_path / "memory")
    await memory.add(SECRET, ADA)
    for index in range(3):
        await memory.add(f"Bob's fact {index}", BOB)
    steps = 0

    def failing(name: str) -> None:
        real = getattr(EdgeQdrantClient, name)

        def step(*args: object, **kwargs: object) -> object:
            nonlocal steps
            steps += 1
            if steps > survivors:
                raise KeyboardInterrupt
            return real(*args, **kwargs)

        monkeypatch.setattr(EdgeQdrantClient, name, step)

    for name in ("create_collection", "upsert", "flush", "delete_collection"):
        failing(name)
    with pytest.raises(KeyboardInterrupt):
        await memory.forget(ADA)
    monkeypatch.undo()
    assert len(await memory.list(BOB)) == 3
    assert await memory.forget(ADA) == 0
    assert files_with(tmp_path, SECRET) == []
    assert len(await memory.search("fact", BOB)) == 3
    assert not client.collection_exists("memories_rewritten")
    assert files_named(tmp_path, "*.rewritten") == []
    memory.close()
    client.close()


async def test_the_duplicate_check_survives_a_rewrite(memory: LongTermMemory, client: EdgeQdrantClient) -> None:
    """The new collection has the indexes and vectors of the old: duplicates are still seen, keywords still found."""
    await memory.add("Bob likes tangerines", BOB)
    await memory.add(SECRET, ADA)
    before = client.get_collection("memories")
    await memory.forget(ADA)
    after = client.get_collection("memories")
    assert set(after.payload_schema) == set(before.payload_schema) >= {"user_id", "audience", "fingerprint"}
    assert after.config.params == before.config.params
    assert await memory.add("Bob likes tangerines", BOB) == []
    (row,) = client.scroll("memories", with_vectors=True)[0]
    assert isinstance(row.vector, dict)
    assert set(row.vector) == {"", "bm25"}
