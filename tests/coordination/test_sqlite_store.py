from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freehold.coordination import SQLiteStore
from freehold.errors import SettingsError, StorageError
from freehold.portal import run_sync

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


async def test_the_least_recently_used_goes_first(tmp_path: Path) -> None:
    """Protects the bound on entries, and what is in use from eviction."""
    store = SQLiteStore(tmp_path / "answers.sqlite3", max_entries=3)
    for key in "abc":
        await store.set(key, key.encode(), 60)
    assert await store.get("a") == b"a"
    await store.set("d", b"d", 60)
    assert [await store.get(key) for key in "abcd"] == [b"a", None, b"c", b"d"]
    await store.close()


async def test_uses_are_remembered_over_a_restart(tmp_path: Path) -> None:
    """Protects the order of eviction when the store is closed and opened again."""
    store = SQLiteStore(tmp_path / "answers.sqlite3", max_entries=2)
    await store.set("a", b"a", 60)
    await store.set("b", b"b", 60)
    await store.get("a")
    await store.close()
    store = SQLiteStore(tmp_path / "answers.sqlite3", max_entries=2)
    await store.set("c", b"c", 60)
    assert [await store.get(key) for key in "abc"] == [b"a", None, b"c"]
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
    assert await store.get("new") == b"v"
    await store.close()


async def test_expired_entries_leave_the_file(tmp_path: Path) -> None:
    """Protects the disk: a write takes expired rows out, and before that they are not returned."""
    now = 1_000_000.0
    store = SQLiteStore(tmp_path / "answers.sqlite3", clock=lambda: now)
    await store.set("a", b"1", 10)
    await store.set("b", b"2", 100)
    now += 10
    assert await store.get("a") is None
    assert await store.count() == 1
    await store.set("c", b"3", 10)
    await store.close()
    connection = sqlite3.connect(tmp_path / "answers.sqlite3")
    assert connection.execute("SELECT key FROM answers ORDER BY key").fetchall() == [("b",), ("c",)]
    connection.close()


Operation = tuple[str, str, int]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["get", "set", "delete", "tick"]), st.sampled_from("abcdef"), st.integers(1, 5)),
        max_size=40,
    )
)
def test_the_store_behaves_like_its_model(
    tmp_path_factory: pytest.TempPathFactory, operations: list[Operation]
) -> None:
    """Protects get, set, delete, expiry and eviction in any order, against a dictionary that does the same."""
    now = 0.0
    store = SQLiteStore(tmp_path_factory.mktemp("store") / "answers.sqlite3", max_entries=3, clock=lambda: now)
    model: dict[str, tuple[bytes, float]] = {}  # in order of use

    async def run() -> None:
        nonlocal now
        for step, (name, key, number) in enumerate(operations):
            if name == "tick":
                now += number
            elif name == "delete":
                await store.delete(key)
                model.pop(key, None)
            elif name == "set":
                value = str(step).encode()
                await store.set(key, value, number)
                for old in [old for old, (_, end) in model.items() if end <= now or old == key]:
                    del model[old]
                model[key] = (value, now + number)
                while len(model) > 3:
                    del model[next(iter(model))]
            else:
                kept = model.get(key)
                alive = kept is not None and kept[1] > now
                assert await store.get(key) == (kept[0] if kept and alive else None)
                if kept and alive:
                    model[key] = model.pop(key)
            assert await store.count() == sum(end > now for _, end in model.values())
        await store.close()

    run_sync(run())


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
        found = [await store.get(f"k{number}") for number in range(last + 1)]
        await store.set("after", b"v", 60)
        await store.close()
        return found

    assert run_sync(read()) == [b"v" * 1000] * (last + 1)


async def test_two_stores_on_one_file_see_each_other(tmp_path: Path) -> None:
    """Protects a second process from a locked file, and the bound from two writers."""
    one, other = (SQLiteStore(tmp_path / "answers.sqlite3", max_entries=20) for _ in range(2))
    await asyncio.gather(*(store.set(f"k{number}", b"v", 60) for number in range(50) for store in (one, other)))
    await one.set("last", b"v", 60)
    assert await other.get("last") == b"v"
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
    assert await store.get("a") == b"1"
    await store.close()


async def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    """Protects from an OSError where a file stands in the folder's place."""
    (tmp_path / "file").write_text("")
    store = SQLiteStore(tmp_path / "file" / "answers.sqlite3")
    with pytest.raises(StorageError, match="failed"):
        await store.set("a", b"1", 60)
    await store.close()


def test_a_bound_below_one_is_refused(tmp_path: Path) -> None:
    """Protects from a cache that could hold nothing."""
    with pytest.raises(SettingsError, match="max_entries=0"):
        SQLiteStore(tmp_path / "answers.sqlite3", max_entries=0)


async def test_what_is_cleared_leaves_the_file_and_its_log(tmp_path: Path) -> None:
    """Protects who is forgotten: also what expired, was evicted or written over, while the store stays open."""
    store = SQLiteStore(tmp_path / "answers.sqlite3", max_entries=60)
    for number in range(100):
        await store.set(f"ada.{number % 70}", b"a quokka in the pantry " * 50, 60 if number % 2 else 1e-6)
        await store.set(f"bob.{number % 20}", b"nothing", 60)

    def files() -> list[str]:
        return [path.name for path in tmp_path.iterdir() if b"quokka" in path.read_bytes()]

    assert files()
    assert await store.clear("ada.") > 0
    assert files() == []
    assert await store.clear("ada.") == 0
    assert await store.get("bob.7") == b"nothing"
    await store.close()


async def test_answers_of_an_earlier_version_go(tmp_path: Path) -> None:
    """Protects who is forgotten: their keys do not say whose they are, and no question finds them any more."""
    store = SQLiteStore(tmp_path / "answers.sqlite3")
    await store.set("k", b"old", 60)
    await store.close()
    with sqlite3.connect(tmp_path / "answers.sqlite3") as connection:
        connection.execute("PRAGMA user_version=0")
    connection.close()
    for _ in range(2):
        store = SQLiteStore(tmp_path / "answers.sqlite3")
        assert await store.count() == 0
        await store.close()
        assert b"old" not in (tmp_path / "answers.sqlite3").read_bytes()
        store = SQLiteStore(tmp_path / "answers.sqlite3")
        await store.set("new", b"new", 60)
        await store.close()
        store = SQLiteStore(tmp_path / "answers.sqlite3")
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
