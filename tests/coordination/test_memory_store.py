"""The answer store in memory, beyond the contract: its bounds."""

from __future__ import annotations

import pytest

from freehold.coordination import MemoryStore
from freehold.errors import SettingsError
from tests.coordination.conftest import Clock


async def test_bytes_are_bounded() -> None:
    """Protects memory: large values push the least recently used out, however few they are."""
    store = MemoryStore(max_bytes=10_000)
    for key in "abc":
        await store.set(key, bytes(2_500), 60)
    await store.get("a")
    await store.set("d", bytes(2_500), 60)
    assert [found is not None for found in await store.get_many(list("abcd"))] == [True, False, True, True]
    await store.set("e", bytes(6_000), 60)
    assert [key for key, _ in await store.list()] == ["e", "d"]


async def test_a_value_beyond_the_bound_is_not_kept() -> None:
    """Protects everything else from one value that would push it all out, and readers from its old value."""
    store = MemoryStore(max_bytes=10_000)
    await store.set("a", b"1", 60)
    await store.set("b", b"2", 60)
    await store.set("a", bytes(10_000), 60)
    assert [key for key, _ in await store.list()] == ["b"]


async def test_what_is_over_takes_no_room() -> None:
    """Protects live entries: what has expired goes before any of them."""
    clock = Clock()
    store = MemoryStore(max_entries=3, clock=clock)
    await store.set("a", b"1", 100)
    for key in "bc":
        await store.set(key, b"1", 10)
    await store.extend("a", 200)
    clock.now += 150
    for key in "de":
        await store.set(key, b"1", 60)
    assert [key for key, _ in await store.list()] == ["e", "d", "a"]


async def test_one_key_set_for_ever_does_not_grow() -> None:
    """Protects memory from what is known about ends that are no longer true."""
    store = MemoryStore()
    for number in range(10_000):
        await store.set(f"k{number % 5}", b"1", 1_000_000 + number)
        await store.extend(f"k{number % 3}", 2_000_000 + number)
    assert len(store._ends) < 200
    assert await store.count() == 5


def test_a_bound_on_bytes_below_one_is_refused() -> None:
    """Protects from a store that could hold nothing."""
    with pytest.raises(SettingsError, match="max_bytes=0"):
        MemoryStore(max_bytes=0)
