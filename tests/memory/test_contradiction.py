"""Which facts make others untrue: measured on pairs, and what becomes of the old one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold import Context
from freehold.inference import LlamaEmbeddings
from freehold.memory.admission import Admission
from freehold.memory.attributes import attribute
from freehold.memory.contradiction import contradicts
from freehold.memory.edge_client import EdgeQdrantClient
from freehold.memory.long_term import LongTermMemory
from tests.memory.extractors import KeepWhole
from tests.memory.fact_pairs import BOTH_TRUE, CONTRADICTIONS

ADA = Context(user_id="ada")


@pytest.fixture
def memory(client: EdgeQdrantClient, embedder: LlamaEmbeddings, tmp_path: Path) -> Iterator[LongTermMemory]:
    """A memory that keeps whatever it is given."""
    opened = LongTermMemory(client, embedder, KeepWhole(), tmp_path / "memory")
    yield opened
    opened.close()


@pytest.mark.parametrize(("old", "new"), BOTH_TRUE)
def test_facts_that_can_both_be_true_stay(old: str, new: str) -> None:
    """Losing a fact is worse than keeping one too many: none of these pairs may count as a contradiction."""
    assert not contradicts(new, old)


def test_contradictions_are_seen() -> None:
    """At least 95 in 100 of the pairs that cannot both be true are recognised, in either direction of time."""
    seen = [contradicts(new, old) for old, new in CONTRADICTIONS]
    assert len(CONTRADICTIONS) >= 60
    assert sum(seen) / len(seen) >= 0.95


def test_most_contradictions_hold_both_ways() -> None:
    """Which of two facts came first hardly matters: whoever moves back contradicts the move."""
    back = [contradicts(old, new) for old, new in CONTRADICTIONS]
    assert sum(back) / len(back) >= 0.85


@given(st.text(max_size=200), st.text(max_size=200))
def test_any_two_texts_can_be_compared(one: str, other: str) -> None:
    """No text breaks the rules, and nothing contradicts itself."""
    assert contradicts(one, other) in (True, False)
    assert not contradicts(one, one)
    assert attribute(one) == attribute(one)


@given(st.sampled_from(["I live in {}", "My name is {}", "My favourite colour is {}"]), st.data())
def test_another_value_supersedes_and_the_same_does_not(form: str, data: st.DataObject) -> None:
    """For whatever value: an attribute that has one at a time is replaced by another value, never by its own."""
    places = st.sampled_from(["Porto", "Lisbon", "Oslo", "Green", "Blue", "Eva"])
    old, new = data.draw(places), data.draw(places)
    assert contradicts(form.format(new), form.format(old)) == (old != new)


async def test_the_new_fact_takes_the_old_ones_place(memory: LongTermMemory) -> None:
    """Only the new fact is found, under the old id, and the history has both."""
    (old,) = await memory.add("I live in Porto", ADA)
    done = await memory.remember("I just moved to Lisbon", ADA)
    assert [fact["id"] for fact in done.stored] == [old["id"]]
    assert done.superseded == ["I live in Porto"]
    assert [found["text"] for found in await memory.list(ADA)] == ["I just moved to Lisbon"]
    (found,) = await memory.search("Where do I live?", ADA)
    assert found["text"] == "I just moved to Lisbon"
    assert found["updated_at"] > found["created_at"] == old["created_at"]
    history = await memory.history(old["id"], ADA)
    assert [(row["old"], row["new"], row["event"]) for row in history] == [
        (None, "I live in Porto", "ADD"),
        ("I live in Porto", "I just moved to Lisbon", "UPDATE"),
    ]
    assert history[0]["at"] < history[1]["at"]


async def test_moving_there_and_back(memory: LongTermMemory) -> None:
    """The newest fact holds, however often it changes."""
    for place in ("Porto", "Lisbon", "Porto", "Oslo", "Porto"):
        await memory.add(f"I live in {place}", ADA)
    (only,) = await memory.list(ADA)
    assert only["text"] == "I live in Porto"
    assert len(await memory.history(only["id"], ADA)) == 5


async def test_an_attribute_is_found_in_other_words_among_many(memory: LongTermMemory) -> None:
    """Facts that no embedding would bring together still meet, by their attribute."""
    await memory.add("My name is Ada", ADA)
    await memory.restore([{"text": f"Call number {index} was about the boiler"} for index in range(40)], ADA)
    done = await memory.remember("Please call me Bea", ADA)
    assert done.superseded == ["My name is Ada"]


async def test_one_fact_may_supersede_several(memory: LongTermMemory) -> None:
    """Whatever it makes untrue is gone, not the first of it only."""
    keeping = Admission(supersede=False)
    client, embedder = memory._worker._client, memory._embedder
    both = LongTermMemory(client, embedder, KeepWhole(), memory._folder, admission=keeping)
    for fact in ("I like tea", "I love black tea", "I like trains"):
        await both.add(fact, ADA)
    assert len(await both.list(ADA)) == 3
    both.close()
    done = await memory.remember("I don't like tea any more", ADA)
    assert set(done.superseded) == {"I like tea", "I love black tea"}
    assert {found["text"] for found in await memory.list(ADA)} == {"I don't like tea any more", "I like trains"}


async def test_a_memory_that_supersedes_has_its_own_end(memory: LongTermMemory) -> None:
    """The old fact's expiry does not end the new one, and the other way round."""
    (old,) = await memory.add("I live in Porto", ADA, ttl_seconds=3600)
    assert "expires_at" in old
    (new,) = await memory.add("I live in Oslo", ADA)
    assert "expires_at" not in new
    (again,) = await memory.add("I live in Faro", ADA, ttl_seconds=3600)
    assert "expires_at" in again


async def test_what_is_true_for_a_while_does_not_end_what_lasts(memory: LongTermMemory) -> None:
    """The lasting fact is there when the passing one is gone; told again, it ends the passing one at once."""
    await memory.add("I live in Porto", ADA)
    done = await memory.remember("I live in Faro", ADA, ttl_seconds=3600)
    assert done.superseded == []
    assert {found["text"] for found in await memory.list(ADA)} == {"I live in Porto", "I live in Faro"}
    done = await memory.remember("I live in Oslo", ADA, ttl_seconds=7200)
    assert done.superseded == ["I live in Faro"]
    done = await memory.remember("I live in Porto", ADA)
    assert (dict(done.refused), done.superseded) == ({"duplicate": 1}, ["I live in Oslo"])
    (home,) = await memory.list(ADA)
    assert home["text"] == "I live in Porto"
    assert "expires_at" not in home
