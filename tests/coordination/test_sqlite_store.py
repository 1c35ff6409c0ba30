from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from freehold.coordination import SQLiteBoard, SQLiteFile, SQLiteLedger, SQLiteStore
from freehold.errors import StorageError
from freehold.portal import run_sync
from tests.coordination.conftest import Clock, files_with

WRITER = """
import sys
from freehold.coordination import SQLiteStore
from freehold.portal import run_sync
store = SQLiteStore(sys.argv[1])
number = 0
while True:
    run_sync(store.set(f"k{number}", b"v" * 1000, 60))
    print(number, flush=True)
    number += 1
"""


async def value(store: SQLiteStore, key: str) -> bytes | None:
    """The bytes under a key; this counts as a use."""
    found = await store.get(key)
    return None if found is None else found.value


async def test_uses_are_remembered_over_a_restart(tmp_path: Path) -> None:
    """Protects the order of eviction when the store is closed and opened again."""
    store = SQLiteStore(tmp_path / "answers.sqlite3", max_entries=2)
    await store.set("a", b"a", 60)
    await store.set("b", b"b", 60)
    await store.get("a")
    await store.close()
    store = SQLiteStore(tmp_path / "answers.sqlite3", max_entries=2)
    await store.set("c", b"c", 60)
    assert [await value(store, key) for key in "abc"] == [b"a", None, b"c"]
    await store.close()


async def test_a_lower_bound_is_kept_from_the_next_write_on(tmp_path: Path) -> None:
    """Protects the bound when the owner lowers it."""
    store = SQLiteStore(tmp_path / "answers.sqlite3")
    for number in range(20):
        await store.set(f"k{number}", b"v", 60)
    await store.close()
    store = SQLiteStore(tmp_path / "answers.sqlite3", max_entries=5)
    await store.set("new", b"v", 60)
    assert await store.count() == 5
    assert await value(store, "new") == b"v"
    await store.close()


async def test_expired_entries_leave_the_file(tmp_path: Path) -> None:
    """Protects the disk: a write takes expired rows out, and before that they are not returned."""
    clock = Clock()
    store = SQLiteStore(SQLiteFile(tmp_path / "answers.sqlite3", clock=clock))
    await store.set("a", b"1", 10, sources=["s"])
    await store.set("b", b"2", 100)
    clock.now += 10
    assert await store.get("a") is None
    assert await store.count() == 1
    await store.set("c", b"3", 10)
    await store.close()
    connection = sqlite3.connect(tmp_path / "answers.sqlite3")
    assert connection.execute("SELECT key FROM answers ORDER BY key").fetchall() == [(b"b",), (b"c",)]
    assert connection.execute("SELECT count(*) FROM answer_sources").fetchone() == (0,)
    connection.close()


def test_kill_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    """Protects cached answers from kill -9 in the middle of writing."""
    path = tmp_path / "answers.sqlite3"
    with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        last = -1
        for line in writer.stdout:
            last = int(line)
            if last >= 200:
                writer.kill()
                break
        last = max([last, *(int(line) for line in writer.stdout.read().splitlines() if line)])
    store = SQLiteStore(path)

    async def read() -> list[bytes | None]:
        found = [await value(store, f"k{number}") for number in range(last + 1)]
        await store.set("after", b"v", 60)
        await store.close()
        return found

    assert run_sync(read()) == [b"v" * 1000] * (last + 1)


async def test_two_stores_on_one_file_see_each_other(tmp_path: Path) -> None:
    """Protects a second process from a locked file, and the bound from two writers."""
    one, other = (SQLiteStore(tmp_path / "answers.sqlite3", max_entries=20) for _ in range(2))
    await asyncio.gather(*(store.set(f"k{number}", b"v", 60) for number in range(50) for store in (one, other)))
    await one.set("last", b"v", 60)
    assert await value(other, "last") == b"v"
    assert await other.count() <= 21
    await one.close()
    await other.close()


async def test_a_file_that_is_no_database_is_a_clear_error(tmp_path: Path) -> None:
    """Protects from a traceback of SQLite's: the message names the file and what to do, and a mended file works."""
    path = tmp_path / "answers.sqlite3"
    path.write_bytes(b"not a database" * 1000)
    store = SQLiteStore(path)
    with pytest.raises(StorageError, match=r"answers\.sqlite3 failed: file is not a database"):
        await store.get("a")
    path.unlink()
    await store.set("a", b"1", 60)
    assert await value(store, "a") == b"1"
    await store.close()


async def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    """Protects from an OSError where a file stands in the folder's place."""
    (tmp_path / "file").write_text("")
    store = SQLiteStore(tmp_path / "file" / "answers.sqlite3")
    with pytest.raises(StorageError, match="failed"):
        await store.set("a", b"1", 60)
    await store.close()


async def test_what_is_cleared_leaves_the_file_and_its_log(tmp_path: Path) -> None:
    """Protects who is forgotten: also what expired, was evicted or written over, while the store stays open."""
    store = SQLiteStore(tmp_path / "answers.sqlite3", max_entries=60)
    for number in range(100):
        await store.set(f"ada.{number % 70}", b"a quokka in the pantry " * 50, 60 if number % 2 else 1e-6)
        await store.set(f"bob.{number % 20}", b"nothing", 60)

    assert files_with(tmp_path, b"quokka")
    assert await store.clear("ada.") > 0
    assert files_with(tmp_path, b"quokka") == []
    assert await store.clear("ada.") == 0
    assert await value(store, "bob.7") == b"nothing"
    await store.close()


@pytest.mark.parametrize("version", [0, 1])
async def test_answers_of_an_earlier_version_go(tmp_path: Path, version: int) -> None:
    """Protects who is forgotten: their keys do not say whose they are, and no question finds them any more."""
    path = tmp_path / "answers.sqlite3"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE answers (key TEXT PRIMARY KEY, value BLOB, expires_at REAL, used_at INTEGER)")
    connection.execute("CREATE TABLE theirs (text TEXT)")
    connection.execute("INSERT INTO answers VALUES ('k', 'a quokka', 1e12, 0)")
    connection.execute("INSERT INTO theirs VALUES ('not ours to delete')")
    connection.execute(f"PRAGMA user_version={version}")
    connection.commit()
    connection.close()
    for left in (0, 1):
        store = SQLiteStore(path)
        assert await store.count() == left
        await store.close()
        assert b"quokka" not in path.read_bytes()
        assert b"not ours to delete" in path.read_bytes()
        store = SQLiteStore(path)
        await store.set("new", b"new", 60)
        await store.close()
    store = SQLiteStore(path)
    assert await store.clear() == 1
    await store.close()


async def test_a_reader_in_the_way_is_told(tmp_path: Path) -> None:
    """Protects from a promise that does not hold: while another program reads, the log cannot be emptied."""
    store = SQLiteStore(tmp_path / "answers.sqlite3")
    await store.set("ada.k", b"v", 60)
    other = sqlite3.connect(tmp_path / "answers.sqlite3")
    other.execute("BEGIN")
    other.execute("SELECT * FROM answers").fetchone()
    with pytest.raises(StorageError):
        await store.clear("ada.")
    other.close()
    assert await store.clear("ada.") == 0
    await store.close()


async def test_sources_lie_there_as_digests(tmp_path: Path) -> None:
    """Protects names of documents from whoever reads the file."""
    store = SQLiteStore(tmp_path / "answers.sqlite3")
    await store.set("a", b"1", 60, sources=["secret plan.md"])
    assert files_with(tmp_path, b"secret plan") == []
    await store.close()


async def test_what_is_deleted_is_overwritten(tmp_path: Path) -> None:
    """Protects what was deleted, expired or evicted from whoever reads the file, also before anything is cleared."""
    store = SQLiteStore(tmp_path / "answers.sqlite3")
    await store.set("a", b"a quokka in the pantry " * 50, 60)
    await store.set("b", b"1", 60)
    await store.close()
    store = SQLiteStore(tmp_path / "answers.sqlite3")
    await store.delete("a")
    await store.close()
    assert files_with(tmp_path, b"quokka") == []


async def test_a_hit_writes_nothing(tmp_path: Path) -> None:
    """Protects the disk, and hits from waiting for another process that writes."""
    store = SQLiteStore(tmp_path / "answers.sqlite3")
    await store.set("a", b"1", 60)
    other = sqlite3.connect(tmp_path / "answers.sqlite3")
    other.execute("BEGIN IMMEDIATE")
    for uses in range(100):
        found = await store.get("a")
        assert found is not None
        assert found.uses == uses
    other.close()
    await store.close()


def owners() -> set[threading.Thread]:
    """The threads that own a file in this process."""
    return {thread for thread in threading.enumerate() if thread.name.startswith("freehold-sqlite")}


async def test_one_file_for_all(tmp_path: Path) -> None:
    """Protects from leaks and from closing what another still uses, in any order; nothing opens before it is used."""
    file = SQLiteFile(tmp_path / "folder" / "shared.sqlite3")
    store, ledger, board = SQLiteStore(file), SQLiteLedger(file), SQLiteBoard(file)
    assert not file.path.parent.exists()
    before = owners()
    await store.set("a", b"1", 60)
    await ledger.add({"hits": 1})
    assert await board.lead("k", "t", 60) == "t"
    assert len(owners() - before) == 1
    await store.close()
    await store.close()
    with pytest.raises(StorageError, match="closed"):
        await store.get("a")
    assert await ledger.counts() == {"hits": 1}
    await ledger.close()
    await board.close()
    assert [path.name for path in file.path.parent.iterdir()] == ["shared.sqlite3"]
    again = SQLiteStore(file)
    assert await value(again, "a") == b"1"
    await again.close()


async def test_a_file_of_another_program_keeps_its_tables(tmp_path: Path) -> None:
    """Protects a database that was named by mistake: what is not ours is not touched, also when all is cleared."""
    with sqlite3.connect(tmp_path / "theirs.sqlite3") as connection:
        connection.execute("CREATE TABLE theirs (text TEXT)")
        connection.execute("INSERT INTO theirs VALUES ('x')")
    connection.close()
    store, ledger = (kind(tmp_path / "theirs.sqlite3") for kind in (SQLiteStore, SQLiteLedger))
    await store.clear()
    await ledger.clear()
    await store.close()
    await ledger.close()
    with sqlite3.connect(tmp_path / "theirs.sqlite3") as connection:
        assert connection.execute("SELECT text FROM theirs").fetchall() == [("x",)]
    connection.close()


async def test_what_is_erased_takes_flights_with_it(tmp_path: Path) -> None:
    """Protects who is forgotten: pieces of answers on the board go too, all but those of flights under way."""
    file = SQLiteFile(tmp_path / "shared.sqlite3")
    store, board = SQLiteStore(file), SQLiteBoard(file)
    for token, lease in (("over", 60), ("dead", 1e-6), ("alive", 60)):
        await board.lead(token, token, lease)
        await board.append(token, token, 0, [f"a quokka that is {token}"])
    await board.finish("over", "over", b"a quokka that landed", 60)
    await store.clear("ada.")
    assert files_with(tmp_path, b"quokka that is alive")
    assert files_with(tmp_path, b"quokka that is dead") == files_with(tmp_path, b"quokka that is over") == []
    assert files_with(tmp_path, b"quokka that landed") == []
    assert await board.follow("alive", "alive", "", 1) != ([], "")
    await store.close()
    await board.close()
