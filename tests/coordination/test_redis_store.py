"""The answer store in Redis, beyond the contract: what lies there, and what Redis does to it by itself."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest
import redis

from freehold.coordination import RedisBoard, RedisConnection, RedisStore
from freehold.coordination.text import digest
from freehold.errors import StorageError
from tests.coordination.conftest import PATIENT, RedisServer

INDEX = ("used", "uses", "ends", "sources", "citing")

WRITER = """
import sys
from freehold.coordination import RedisConnection, RedisStore
from freehold.portal import run_sync
store = RedisStore(RedisConnection(sys.argv[1], timeout_seconds=60.0), max_entries=10)
number = 0
while True:
    run_sync(store.set(f"k{number % 40}", b"v", 60, sources=[f"s{number % 3}"]))
    print(number, flush=True)
    number += 1
"""


@pytest.fixture
async def store(server: RedisServer) -> AsyncIterator[RedisStore]:
    """A store of at most three entries."""
    opened = RedisStore(RedisConnection(server.url, timeout_seconds=PATIENT), max_entries=3)
    yield opened
    await opened.close()


def index(client: redis.Redis) -> dict[str, list[bytes]]:
    """What each part of the index knows, without digests."""
    known: dict[str, list[bytes]] = {}
    for name in INDEX:
        key = f"freehold:answers:{name}"
        members = client.hkeys(key) if name == "sources" else client.zrange(key, 0, -1)
        known[name] = sorted(member[16:] if name == "citing" else member for member in members)
    return known


async def test_clear_leaves_other_keys_alone(server: RedisServer, client: redis.Redis) -> None:
    """Protects the rest of a shared Redis, also where the prefix reads like a pattern."""
    client.set("theirs", "1")
    client.set("f1:answer:k", "1")
    store = RedisStore(RedisConnection(server.url, prefix="f[1]*:", timeout_seconds=PATIENT))
    await store.set("k", b"1", 60)
    assert await store.clear() == 1
    assert client.mget("theirs", "f1:answer:k") == [b"1", b"1"]
    await store.close()


async def test_what_is_cleared_takes_flights_with_it(server: RedisServer, client: redis.Redis) -> None:
    """Protects who is forgotten: pieces of answers on the board go too, all but those of others and those under way."""
    connection = RedisConnection(server.url, timeout_seconds=PATIENT)
    store, board = RedisStore(connection), RedisBoard(connection)
    for key in ("ada.over", "ada.dead", "ada.alive", "bob.ada.over"):
        await board.lead(key, "t", 60)
        await board.append(key, "t", 0, ["a quokka"])
    for key in ("ada.over", "bob.ada.over"):
        await board.finish(key, "t", b"a quokka", 60)
    client.set("freehold:lease:ada.dead", "another")
    assert await store.clear("ada.") == 0
    assert {key.decode() for key in client.scan_iter("freehold:flight:*")} == {
        "freehold:flight:t:ada.alive",
        "freehold:flight:t:bob.ada.over",
    }
    await store.close()
    await board.close()


async def test_entries_carry_prefix_and_time(store: RedisStore, client: redis.Redis) -> None:
    """Protects the owner of the Redis: keys can be told apart, and none stays for ever."""
    await store.set("k", b"1", 60, sources=["s"])
    await store.set("l", b"1", 60)
    keys = {key.decode() for key in client.scan_iter()}
    assert keys == {"freehold:answer:k", "freehold:answer:l", *(f"freehold:answers:{name}" for name in INDEX)}
    assert 0 < client.pttl("freehold:answer:k") <= 60_000
    for name in INDEX:
        assert client.ttl(f"freehold:answers:{name}") > 29 * 24 * 3600
    await store.set("long", b"1", 90 * 24 * 3600)
    assert client.ttl("freehold:answers:used") > 89 * 24 * 3600


async def test_nothing_is_left_of_what_went(store: RedisStore, client: redis.Redis) -> None:
    """Protects the index from growing: deleted, evicted, written over or cleared, a key leaves every part of it."""
    for key in "abcde":
        await store.set(key, b"1", 60, sources=[key, "s"])
    assert index(client) == {
        **{name: [b"c", b"d", b"e"] for name in ("used", "uses", "ends", "sources")},
        "citing": [b"c", b"c", b"d", b"d", b"e", b"e"],
    }
    await store.set("c", b"1", 60)
    await store.delete("d", "never")
    left = index(client)
    assert (left["sources"], left["citing"], left["used"]) == ([b"e"], [b"e", b"e"], [b"c", b"e"])
    await store.clear()
    assert list(client.scan_iter()) == []


async def test_what_expired_leaves_the_index(store: RedisStore, client: redis.Redis) -> None:
    """Protects the index from names whose values Redis let go of: a read takes one out, a write all that are over."""
    for key in "ab":
        await store.set(key, b"1", 0.001, sources=["s"])
    await asyncio.sleep(0.01)
    assert index(client)["used"] == [b"a", b"b"]
    assert await store.get("a") is None
    assert index(client)["used"] == index(client)["sources"] == [b"b"]
    client.zadd("freehold:answers:ends", {"b": 1})  # as a minute later
    await store.set("c", b"1", 60)
    assert index(client)["used"] == index(client)["ends"] == [b"c"]
    assert index(client)["citing"] == []


async def test_what_redis_evicted_is_missing_and_nothing_else(store: RedisStore, client: redis.Redis) -> None:
    """Protects lookups and reports from a Redis that evicts by itself: values, and parts of the index."""
    for key in "abc":
        await store.set(key, key.encode(), 60, sources=["s"])
    client.delete("freehold:answer:a", "freehold:answers:used")
    assert (await store.count(), await store.citing("s")) == (2, ["b", "c"])
    assert await store.list() == []
    found = await store.get("b")
    assert found is not None
    assert (found.value, found.used_at) == (b"b", 0.0)
    assert [key for key, _ in await store.list()] == ["b"]
    assert (await store.get_many(["a", "b", "c"]))[0] is None
    assert await store.clear("c") == 1
    assert await store.clear() == 1
    assert list(client.scan_iter()) == []


async def test_a_full_redis_still_answers(store: RedisStore, client: redis.Redis) -> None:
    """Protects hits: what cannot be written (a use, a new value) does not take away what is there."""
    await store.set("a", b"1", 60)
    client.config_set("maxmemory", "1")
    with pytest.raises(StorageError, match="refused"):
        await store.set("b", b"2", 60)
    found = await store.get("a")
    assert found is not None
    assert found.value == b"1"
    await store.get_many(["a"])
    client.config_set("maxmemory", "0")
    assert await store.count() == 1


async def test_a_forgotten_prefix_leaves_no_name(store: RedisStore, client: redis.Redis) -> None:
    """Protects who is forgotten: their keys go from the index too, where the values went before."""
    await store.set("ada.1", b"1", 60, sources=["s"])
    await store.set("bob.1", b"1", 60, sources=["s"])
    client.delete("freehold:answer:ada.1", "freehold:answers:sources")
    assert await store.clear("ada.") == 0
    assert not [name for names in index(client).values() for name in names if name.startswith(b"ada.")]
    assert b"bob.1" in index(client)["used"]


async def test_sources_lie_there_as_digests(store: RedisStore, client: redis.Redis) -> None:
    """Protects names of documents from whoever looks into the Redis."""
    await store.set("a", b"1", 60, sources=["secret plan.md"])
    assert client.hget("freehold:answers:sources", "a") == digest("secret plan.md")
    assert client.zrange("freehold:answers:citing", 0, -1) == [digest("secret plan.md") + b"a"]


def test_kill_leaves_nothing_that_misleads(server: RedisServer, client: redis.Redis) -> None:
    """Protects the index from a process that is killed in the middle of writing: bounded, and every answer is found."""
    with subprocess.Popen([sys.executable, "-c", WRITER, server.url], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        for line in writer.stdout:
            if int(line) >= 150:
                writer.kill()
                break

    async def check() -> None:
        store = RedisStore(RedisConnection(server.url, timeout_seconds=PATIENT), max_entries=10)
        await store.set("last", b"v", 60)
        listed = [key for key, _ in await store.list()]
        assert await store.count() == len(listed) == 10
        cited = [await store.citing(f"s{number}") for number in range(3)]
        assert sorted(sum(cited, ["last"])) == sorted(listed)
        await store.close()

    asyncio.run(check())
