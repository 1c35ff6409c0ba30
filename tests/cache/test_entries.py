"""What the owner of a cache sees of an entry."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.cache import CachedAnswer, Situation
from freehold.cache.entries import Entry, short_id
from freehold.coordination import MemoryStore

ANSWER = CachedAnswer("What?", "That.", tokens=7)


async def test_an_entry_of_what_a_store_gave() -> None:
    """Protects what is listed: the key, the answer, its uses and its times."""
    store = MemoryStore(clock=lambda: 1_000_000.0)
    await store.set("o.1", ANSWER.encode(), 600.0)
    await store.get("o.1")
    ((key, stored),) = await store.list()
    entry = Entry.of(key, stored, ANSWER)
    assert (entry.key, entry.answer, entry.uses, entry.expires_at) == ("o.1", ANSWER, 1, 1_000_600.0)
    assert entry.used_at == pytest.approx(1_000_000.0, abs=1)
    assert (entry.comparisons, entry.same) == (0, 0)


@given(st.text(), st.text())
def test_the_id_is_the_beginning_of_a_keys_digest(question: str, user: str) -> None:
    """Protects what people type: the owner's part of the key, which all of a user's answers share, is left out."""
    key = Situation(model="m", user_id=user).key(question)
    assert len(short_id(key)) == 12
    assert key.partition(".")[2].startswith(short_id(key))
    assert Entry(key, ANSWER, 0, 0.0, 0.0).id == short_id(key)


@pytest.mark.parametrize(
    ("key", "name"), [("", ""), ("abc", "abc"), ("a.b", "b"), ("a.b.0123456789abcdef", "0123456789ab")]
)
def test_any_key_has_an_id(key: str, name: str) -> None:
    """Protects a listing from keys of another making."""
    assert short_id(key) == name
