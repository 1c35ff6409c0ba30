"""The encrypted store, beyond the contract: what others can read, and what it refuses to read."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.coordination import EncryptedStore, MemoryStore, SQLiteStore
from freehold.errors import SettingsError
from freehold.portal import run_sync
from tests.coordination.conftest import files_with

KEY = bytes(range(32))


async def test_nobody_else_can_read_it(tmp_path: Path) -> None:
    """Protects answers from whoever reads the file; the same value twice does not look the same."""
    store = EncryptedStore(SQLiteStore(tmp_path / "answers.sqlite3"), KEY)
    for key in "ab":
        await store.set(key, b"a quokka in the pantry", 60)
    await store.close()
    assert files_with(tmp_path, b"quokka") == []
    inner = SQLiteStore(tmp_path / "answers.sqlite3")
    one, other = await inner.get_many(["a", "b"])
    assert one is not None
    assert other is not None
    assert one.value[13:] != other.value[13:]
    await inner.close()


@pytest.mark.parametrize("how", ["another key", "another name", "another version", "shortened", "a bit", "foreign", ""])
async def test_what_cannot_be_read_is_missing(how: str) -> None:
    """Protects runs from errors, and users from an answer that was moved to a question or changed."""
    inner = MemoryStore()
    store = EncryptedStore(inner, KEY)
    await store.set("a", b"1", 60, sources=["s"])
    await store.set("good", b"2", 60)
    found = await inner.get("a")
    assert found is not None
    kept = found.value
    damaged = {
        "another key": kept,
        "another name": kept,
        "another version": b"\x02" + kept[1:],
        "shortened": kept[:5],
        "a bit": kept[:-1] + bytes([kept[-1] ^ 1]),
        "foreign": b"\x01plain text that somebody put there",
        "": b"",
    }[how]
    name = "b" if how == "another name" else "a"
    await inner.set(name, damaged, 60)
    if how == "another key":
        store = EncryptedStore(inner, os.urandom(32))
        await store.set("good", b"2", 60)
    assert await store.get(name) is None
    assert [one and one.value for one in await store.get_many([name, "good"])] == [None, b"2"]
    assert name not in [key for key, _ in await store.list()]
    assert await store.clear(name) == 1
    await store.set(name, b"3", 60)
    again = await store.get(name)
    assert again is not None
    assert again.value == b"3"


async def test_pages_pass_over_what_cannot_be_read() -> None:
    """Protects reports: a page is full as long as there is something to show, however much between cannot be read."""
    inner = MemoryStore()
    old, store = EncryptedStore(inner, os.urandom(32)), EncryptedStore(inner, KEY)
    for number in range(500):
        await (store if number % 100 == 0 else old).set(f"k{number}", b"1", 60)
    assert [key for key, _ in await store.list(limit=2)] == ["k400", "k300"]
    assert [key for key, _ in await store.list(limit=10, offset=3)] == ["k100", "k0"]


@pytest.mark.parametrize(
    "key",
    [KEY, base64.b64encode(KEY).decode(), base64.urlsafe_b64encode(KEY).decode() + "\n"],
    ids=["bytes", "base64", "urlsafe"],
)
async def test_a_key_is_bytes_or_base64(key: bytes | str) -> None:
    """Protects owners who keep the key in a file or in the environment: each form is the same key."""
    inner = MemoryStore()
    await EncryptedStore(inner, KEY).set("a", b"1", 60)
    found = await EncryptedStore(inner, key).get("a")
    assert found is not None
    assert found.value == b"1"


@pytest.mark.parametrize(
    "key", [b"", bytes(31), bytes(33), "", "short", "not base64!" * 4, base64.b64encode(bytes(16)).decode()]
)
def test_a_key_that_cannot_be_used_is_refused(key: bytes | str) -> None:
    """Protects from weak keys, at once and without showing them."""
    with pytest.raises(SettingsError, match="encryption key") as caught:
        EncryptedStore(MemoryStore(), key)
    assert not key or str(key) not in str(caught.value)


@given(key=st.text(max_size=20), value=st.binary(max_size=100), junk=st.binary(max_size=100))
def test_any_value_comes_back_and_any_junk_is_missing(key: str, value: bytes, junk: bytes) -> None:
    """Protects values of every kind, and lookups from whatever else lies under a key."""

    async def run() -> None:
        inner = MemoryStore()
        store = EncryptedStore(inner, KEY)
        await store.set(key, value, 60)
        found = await store.get(key)
        assert found is not None
        assert found.value == value
        await inner.set(key, junk, 60)
        assert await store.get(key) is None

    run_sync(run())
