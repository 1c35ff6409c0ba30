"""The suite that every answer store passes."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from freehold.coordination import (
    AnswerStore,
    EncryptedStore,
    MemoryStore,
    RedisConnection,
    RedisStore,
    SQLiteStore,
    StoredValue,
)
from freehold.errors import SettingsError, StorageError

OpenStore = Callable[..., AnswerStore]

KEY = bytes(range(32))


@pytest.fixture(params=["memory", "sqlite", "redis", "encrypted"])
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> OpenStore:
    """Opens the same store anew."""
    path = tmp_path / "folder" / "answers.sqlite3"
    if request.param == "memory":
        return MemoryStore
    if request.param == "sqlite":
        return lambda **options: SQLiteStore(path, **options)
    if request.param == "encrypted":
        return lambda **options: EncryptedStore(SQLiteStore(path, **options), KEY)
    connection: RedisConnection = request.getfixturevalue("connection")
    return lambda **options: RedisStore(connection, **options)


@pytest.fixture
async def store(open_store: OpenStore) -> AsyncIterator[AnswerStore]:
    """One store, closed after the test."""
    opened = open_store()
    yield opened
    await opened.close()


async def value(store: AnswerStore, key: str) -> bytes | None:
    """The bytes under a key; this counts as a use."""
    found = await store.get(key)
    return None if found is None else found.value


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
    assert [await value(store, key) for key in "abc"] == [b"2", bytes(range(256)) * 4096, b""]
    assert await store.count() == 3


async def test_keys_are_exact(store: AnswerStore) -> None:
    """Protects from patterns: a key with wildcards is that key and no other."""
    await store.set("k[1]*", b"1", 60)
    assert await store.get("k1") is None
    assert await value(store, "k[1]*") == b"1"
    assert await store.get("K[1]*") is None


async def test_delete_removes_one(store: AnswerStore) -> None:
    """Protects the other entries, and deleting what is not there."""
    await store.set("a", b"1", 60)
    await store.set("b", b"2", 60)
    await store.delete("a")
    await store.delete("a")
    assert await store.get("a") is None
    assert await value(store, "b") == b"2"


async def test_clear_says_how_many_went(store: AnswerStore) -> None:
    """Protects the number that the owner is told, beyond one batch too."""
    await asyncio.gather(*(store.set(f"k{number}", b"v", 60) for number in range(700)))
    assert await store.clear() == 700
    assert await store.count() == 0
    assert await store.clear() == 0
    await store.set("a", b"1", 60)
    assert await value(store, "a") == b"1"


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
    assert await value(store, "long") == b"2"


async def test_no_time_to_live_removes_the_key(store: AnswerStore) -> None:
    """Protects from an old value that outlives a new one that may not live."""
    await store.set("a", b"1", 60)
    await store.set("a", b"2", 0)
    assert await store.get("a") is None


async def test_entries_outlive_the_store_object(open_store: OpenStore) -> None:
    """Protects persistence: a store that is opened again has what was there; one in memory lets go of it."""
    first = open_store()
    await first.set("a", b"1", 60, sources=["s"])
    await first.get("a")
    await first.close()
    second = open_store()
    if isinstance(first, MemoryStore):
        assert await second.count() == 0
    else:
        assert (await second.citing("s"), (await second.get_many(["a"]))[0].uses) == (["a"], 1)
        assert await value(second, "a") == b"1"
    await second.close()


async def test_a_closed_store_says_so(open_store: OpenStore) -> None:
    """Protects from use after close; closing twice, and closing unused, is fine."""
    unused = open_store()
    await unused.close()
    store = open_store()
    await store.set("a", b"1", 60)
    await store.close()
    await store.close()
    calls = (
        store.get("a"),
        store.get_many(["a"]),
        store.set("a", b"1", 60),
        store.extend("a", 60),
        store.delete("a"),
        store.count(),
        store.clear(),
        store.list(),
        store.citing("s"),
    )
    for call in calls:
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
        return await value(store, f"k{number}")

    assert await asyncio.gather(*map(work, range(100))) == [str(number).encode() for number in range(100)]


async def test_several_loops_in_several_threads(store: AnswerStore) -> None:
    """Protects from state that is bound to one event loop: loops come and go, the store stays."""
    found: list[bytes | None] = []

    def run(name: str) -> None:
        async def work(number: int) -> bytes | None:
            await store.set(f"{name}{number}", b"v", 60)
            return await value(store, f"{name}{number}")

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
        assert await value(store, "b") == b"2"


async def test_what_is_known_of_a_value(store: AnswerStore) -> None:
    """Protects the evidence that decides what is kept and refreshed: uses before this one, the last use, the end."""
    begun = time.time()
    await store.set("a", b"1", 60)
    first, second = await store.get("a"), await store.get("a")
    assert first is not None
    assert second is not None
    assert (first.uses, second.uses) == (0, 1)
    assert begun - 0.001 <= first.used_at < second.used_at <= time.time() + 0.001
    assert begun + 59.9 <= first.expires_at <= time.time() + 60.1
    await store.set("a", b"2", 60)
    assert (await store.get_many(["a"]))[0].uses == 0


async def test_many_at_once_count_no_use(store: AnswerStore) -> None:
    """Protects looking around from changing what is looked at."""
    await store.set("a", b"1", 60)
    await store.set("b", b"2", 60)
    await store.get("a")
    await store.delete("b")
    for _ in range(3):
        found = await store.get_many(["b", "a", "a"])
        assert [None if one is None else (one.value, one.uses) for one in found] == [None, (b"1", 1), (b"1", 1)]
    assert await store.get_many([]) == []


async def test_extending_moves_the_end(store: AnswerStore) -> None:
    """Protects an answer that proved good, in both directions, and never makes one out of nothing."""
    await store.set("long", b"1", 60, sources=["s"])
    await store.set("short", b"2", 60)
    await store.set("gone", b"3", 60)
    await store.extend("long", 1000)
    await store.extend("short", 0.01)
    await store.extend("gone", 0)
    await store.extend("never", 60)
    await asyncio.sleep(0.02)
    assert [await value(store, key) for key in ("long", "short", "gone", "never")] == [b"1", None, None, None]
    assert (await store.citing("s"), await store.count()) == (["long"], 1)
    (kept,) = await store.get_many(["long"])
    assert kept is not None
    assert kept.expires_at > time.time() + 900


async def test_several_are_deleted_at_once(store: AnswerStore) -> None:
    """Protects what is deleted together, and a call that names nothing."""
    for key in "abc":
        await store.set(key, b"v", 60)
    await store.delete("a", "b", "never")
    await store.delete()
    assert await store.count() == 1


async def test_list_gives_pages_in_the_order_of_use(store: AnswerStore) -> None:
    """Protects reports: the most recently used first, no page has an entry of another, and looking is no use."""
    for number in range(5):
        await store.set(f"ada.{number}", str(number).encode(), 60)
    await store.set("bob.0", b"v", 60)
    await store.get("ada.1")
    await store.delete("ada.3")
    for _ in range(2):
        pages = [await store.list("ada.", limit=2, offset=offset) for offset in (0, 2, 4)]
        assert [[key for key, _ in page] for page in pages] == [["ada.1", "ada.4"], ["ada.2", "ada.0"], []]
    assert {found.uses for page in pages for _, found in page} == {0, 1}
    assert [key for key, _ in await store.list()] == ["ada.1", "bob.0", "ada.4", "ada.2", "ada.0"]
    assert all(isinstance(found, StoredValue) for _, found in await store.list())
    assert await store.list("nobody.") == []


async def test_a_list_is_longer_than_a_batch(store: AnswerStore) -> None:
    """Protects pages far behind, beyond what one call to the store gives."""
    await asyncio.gather(*(store.set(f"{number % 2}.{number}", b"v", 60) for number in range(1200)))
    keys = [key for key, _ in await store.list("1.", limit=1000)]
    assert sorted(keys) == sorted(f"1.{number}" for number in range(1, 1200, 2))
    assert [key for key, _ in await store.list("1.", limit=5, offset=590)] == keys[590:595]


async def test_citing_finds_what_relies_on_a_source(store: AnswerStore) -> None:
    """Protects answers from outliving a document: each is found by each of its sources, and by no others."""
    await store.set("a", b"1", 60, sources=["x.md", "y.md", "x.md"])
    await store.set("b", b"2", 60, sources=["x.md"])
    await store.set("c", b"3", 60)
    assert sorted(await store.citing("x.md")) == ["a", "b"]
    assert await store.citing("y.md") == ["a"]
    assert await store.citing("z.md") == []
    await store.set("a", b"4", 60, sources=["z.md"])
    assert [await store.citing(source) for source in ("x.md", "y.md", "z.md")] == [["b"], [], ["a"]]
    await store.delete("b")
    await store.set("b", b"5", 60)
    assert await store.citing("x.md") == []
    await store.clear()
    assert await store.citing("z.md") == []


async def test_citing_gives_what_can_still_be_read(store: AnswerStore) -> None:
    """Protects from names of answers that are over, and from missing one among many."""
    await asyncio.gather(*(store.set(f"k{number}", b"v", 60, sources=["s"]) for number in range(600)))
    await store.set("short", b"v", 0.01, sources=["s"])
    await asyncio.sleep(0.02)
    for _ in range(2):
        assert sorted(await store.citing("s")) == sorted(f"k{number}" for number in range(600))


async def test_any_text_is_a_key_and_a_source(store: AnswerStore) -> None:
    """Protects file names that are not UTF-8, and whatever else people type."""
    texts = ["\ud800", "a\0b", "", "\U0001f600", "caf\u00e9 \udcff.md", "x" * 1000]
    for text in texts:
        await store.set(text, text.encode("utf-8", "surrogatepass"), 60, sources=[text])
    for text in texts:
        assert await value(store, text) == text.encode("utf-8", "surrogatepass")
        assert await store.citing(text) == [text]
    assert sorted(key for key, _ in await store.list()) == sorted(texts)
    assert await store.clear("\ud800") == 1
    await store.delete(*texts)
    assert await store.count() == 0


async def test_the_least_recently_used_goes_first(open_store: OpenStore) -> None:
    """Protects the bound on entries, and what is in use from eviction."""
    store = open_store(max_entries=3)
    for key in "abc":
        await store.set(key, key.encode(), 60, sources=["s"])
    await store.get("a")
    await store.get_many(["b"])
    await store.list()
    await store.set("d", b"d", 60)
    assert [one and one.value for one in await store.get_many(list("abcd"))] == [b"a", None, b"c", b"d"]
    assert await store.count() == 3
    assert sorted(await store.citing("s")) == ["a", "c"]
    await store.close()


async def test_a_bound_below_one_is_refused(open_store: OpenStore) -> None:
    """Protects from a store that could hold nothing."""
    with pytest.raises(SettingsError, match="max_entries=0"):
        open_store(max_entries=0)
