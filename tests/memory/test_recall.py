"""The order in which memories are recalled, with the shipped embedding model."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold import Context
from freehold.errors import SettingsError
from freehold.inference import LlamaEmbeddings
from freehold.memory.edge_client import EdgeQdrantClient
from freehold.memory.long_term import LongTermMemory
from freehold.memory.recall import Ranking
from freehold.memory.vocabulary import Vocabulary, words
from tests.memory.extractors import KeepWhole

ADA, BOB = Context(user_id="ada"), Context(user_id="bob")
Open = Callable[..., LongTermMemory]


@pytest.fixture
async def opened(client: EdgeQdrantClient, embedder: LlamaEmbeddings, tmp_path: Path) -> AsyncIterator[Open]:
    """Opens memories that keep whatever they are given, with a ranking."""
    memories: list[LongTermMemory] = []

    def make(ranking: Ranking | None = None) -> LongTermMemory:
        memories.append(LongTermMemory(client, embedder, KeepWhole(), tmp_path / "memory", ranking=ranking))
        return memories[-1]

    yield make
    for memory in memories:
        memory.close()


def said(*texts: str, session: str | None = None, days_ago: float = 1.0, **more: Any) -> list[dict[str, Any]]:
    """Entries for `restore`, a second apart."""
    began = datetime.now(UTC) - timedelta(days=days_ago)
    return [
        {"text": text, "session_id": session, "created_at": (began + timedelta(seconds=place)).isoformat(), **more}
        for place, text in enumerate(texts)
    ]


async def found(memory: LongTermMemory, question: str, context: Context = ADA, limit: int = 3) -> list[str]:
    """The texts that a question recalls."""
    return [one["text"] for one in await memory.search(question, context, limit)]


class Blind:
    """An embedder to which all texts mean the same."""

    dimension = 4

    async def embed(self, texts: list[str]) -> np.ndarray[Any, Any]:
        return np.full((len(texts), 4), 0.5, np.float32)


async def test_words_are_found_where_meaning_is_none(client: EdgeQdrantClient, tmp_path: Path) -> None:
    """Names and numbers mean little to an embedding model; the memory with the rarest of the words comes first."""
    memory = LongTermMemory(client, Blind(), KeepWhole(), tmp_path / "memory")
    texts = [f"My ticket number {number} is for the train" for number in range(30)]
    await memory.restore(said("My ticket ZP-9902 is gone", *texts), ADA)
    assert (await found(memory, "Where is my train ticket ZP-9902?"))[0] == "My ticket ZP-9902 is gone"
    memory.close()


async def test_an_answer_is_found_by_its_question(opened: Open) -> None:
    """A turn that shares no word with what is asked is recalled for the question that it answers."""
    memory = opened()
    filler = [f"The weather on day {number} was mild" for number in range(12)]
    talk = "What did you name the new puppy?", "Biscuit, after my grandmother's favourite treat"
    await memory.restore(said(*filler[:6], *talk, *filler[6:], session="s1"), ADA)
    assert set(await found(memory, "How is the puppy called?", limit=2)) == set(talk)


async def test_an_answer_in_another_session_is_no_neighbour(opened: Open) -> None:
    """What was said in one session lends nothing to what was said next in another."""
    memory = opened(Ranking(recency=0))
    await memory.restore(said("What did you name the new puppy?", session="s1"), ADA)
    await memory.restore(said("Biscuit, after my grandmother", session="s2"), ADA)
    await memory.restore(said("Marble, after my grandfather", session="s1"), ADA)
    assert (await found(memory, "How is the puppy called?"))[:2] == [
        "What did you name the new puppy?",
        "Marble, after my grandfather",
    ]


async def test_of_two_alike_the_newer_comes_first(opened: Open) -> None:
    """Recency decides where meaning and words do not; with no weight on it, the order is that of the ids."""
    alone = {"before": 0.0, "after": 0.0}
    memory, without = opened(Ranking(**alone)), opened(Ranking(**alone, recency=0.0))
    here = Context(user_id="ada", session_id="now")
    facts = "I live in Porto", "I have a dog", "I play the oboe", "I am a nurse", "I drive a van"
    await memory.restore(said(*facts, session="now", scope="session", days_ago=200), ADA)
    await memory.restore(said(*facts, days_ago=2), ADA)
    for fact in facts:
        first, second = await memory.search(fact, here, limit=2)
        assert first["text"] == second["text"] == fact
        assert first["created_at"] > second["created_at"]
        by_id = await without.search(fact, here, limit=2)
        assert [one["id"] for one in by_id] == sorted([first["id"], second["id"]])


async def test_recency_does_not_drown_meaning(opened: Open) -> None:
    """A memory of this moment does not push an old one away that answers the question."""
    memory = opened()
    await memory.restore(said("My sister's birthday is on the third of May", days_ago=900), ADA)
    for text in ("The gate squeaks", "I ate an apple", "The bus was late"):
        await memory.add(text, ADA)
    assert (await found(memory, "When was my sister born?"))[0].startswith("My sister")


async def test_a_name_that_stands_in_every_memory_says_nothing(opened: Open, embedder: LlamaEmbeddings) -> None:
    """Where most memories name one person, the rest of the question decides; the score is of the whole question."""
    memory = opened()
    lines = [f"Melanie: {text}" for text in ("How are you?", "Melanie is my name", "Yes, Melanie here")]
    lines += [f"Melanie: It was day {number} of the holiday" for number in range(24)]
    wanted = "Melanie: We put up the tent by the lake and slept under the stars"
    await memory.restore(said(*lines, wanted), ADA)
    question = "Who is Melanie camping with?"
    best = (await memory.search(question, ADA))[0]
    rows = await embedder.embed([question, wanted])
    assert best["text"] == wanted
    assert best["score"] == pytest.approx(float(rows[0] @ rows[1]), abs=0.01)


async def test_others_words_do_not_change_the_order(opened: Open) -> None:
    """A word is as rare as it is for its user: what another user stores can neither help nor be guessed."""
    memory = opened()
    texts = "I sail on Sundays", "My boat is called Heron", "I paint my boat in spring", "Heron leaks a little"
    await memory.restore(said(*texts), ADA)
    before = [await memory.search(asked, ADA) for asked in ("Is the boat Heron mine?", "when do I sail")]
    await memory.restore(said(*(f"Heron number {number} of the boat" for number in range(40))), BOB)
    assert [await memory.search(asked, ADA) for asked in ("Is the boat Heron mine?", "when do I sail")] == before


async def test_a_forged_link_crosses_no_border(opened: Open, client: EdgeQdrantClient) -> None:
    """A memory of another user, or one that has expired, is no neighbour, whatever its payload says."""
    memory = opened()
    (asked,) = await memory.restore(said("What did you name the new puppy?", session="s1"), ADA)
    (foreign,) = await memory.restore(said("Biscuit is Bob's secret", session="s1"), BOB)
    (gone,) = await memory.restore(said("Biscuit it was", session="s1"), ADA)
    client.set_payload("memories", {"follows": asked["id"]}, [foreign["id"], gone["id"]])
    client.set_payload("memories", {"follows": foreign["id"]}, [asked["id"]])
    client.set_payload("memories", {"expires_at": 1.0}, [gone["id"]])
    assert await found(memory, "How is the puppy called?", limit=10) == ["What did you name the new puppy?"]


async def test_another_sessions_secret_is_no_neighbour(opened: Open) -> None:
    """What only its own session sees is not recalled beside a memory that every session sees."""
    memory = opened()
    await memory.restore(said("What did you name the new puppy?", session="s1"), ADA)
    here = Context(user_id="ada", session_id="s1")
    await memory.add("Biscuit, but tell nobody", here, scope="session")
    assert "Biscuit, but tell nobody" in await found(memory, "How is the puppy called?", here)
    elsewhere = Context(user_id="ada", session_id="s2")
    assert await found(memory, "How is the puppy called?", elsewhere) == ["What did you name the new puppy?"]


async def test_expired_memories_take_nobodys_place(opened: Open, client: EdgeQdrantClient) -> None:
    """However many of the nearest have expired, those that have not are found behind them."""
    memory = opened(Ranking(candidates=3))
    past = await memory.restore(said(*(f"The boiler broke in year {number}" for number in range(30))), ADA)
    client.set_payload("memories", {"expires_at": 1.0}, [one["id"] for one in past])
    await memory.restore(said("I keep bees"), ADA)
    assert await found(memory, "When did the boiler break?", limit=1) == ["I keep bees"]


async def test_links_outlive_the_process(client: EdgeQdrantClient, embedder: LlamaEmbeddings, tmp_path: Path) -> None:
    """A session that goes on after a restart goes on where it stopped, and older entries are put before newer ones."""
    here = Context(user_id="ada", session_id="s1")
    ids = []
    for text in ("first", "second", "third"):
        memory = LongTermMemory(client, embedder, KeepWhole(), tmp_path / "memory")
        ids += [one["id"] for one in await memory.add(f"the {text} thing", here)]
        if text == "third":
            (old,) = await memory.restore(said("the oldest thing", session="s1", days_ago=9), ADA)
        memory.close()
    points = client.retrieve("memories", [*ids, old["id"]])
    links = {point.id: (point.payload or {}).get("follows") for point in points}
    assert links == {ids[0]: None, ids[1]: ids[0], ids[2]: ids[1], old["id"]: None}


@pytest.mark.parametrize("value", [{"words": -1.0}, {"after": -0.1}, {"half_life_days": 0.0}, {"candidates": 0}])
def test_rankings_are_checked(value: dict[str, Any]) -> None:
    """A weight that would turn the order round is refused by name."""
    with pytest.raises(SettingsError, match=next(iter(value))):
        Ranking(**value)


def test_a_word_weighs_less_the_more_memories_hold_it() -> None:
    """What stands in every memory weighs next to nothing, what stands in none weighs most."""
    (boat,), (tea,), (rome,) = words("boat"), words("tea"), words("Rome")
    rarity = Vocabulary(100, {boat: 100, tea: 10}).rarity("boat tea Rome")
    assert rarity[boat] < 0.01 < rarity[tea] < rarity[rome] == 1


@given(query=st.text(max_size=60), common=st.sets(st.sampled_from(["boat", "tea", "Ada", "camping"])))
def test_a_question_never_loses_all_its_words(query: str, common: set[str]) -> None:
    """Common words go, the others stay in their order, weights lie in 0 to 1, and some question is always left."""
    query = f"{query} where Ada's boat is".encode("utf-8", "replace").decode()
    size = 100
    counts = {number: size // 2 for word in common for number in words(word)}
    known = Vocabulary(size, counts)
    left = known.distinctive(query)
    assert left == query or (words(left) and not set(words(left)) & set(counts))
    assert set(words(query)) - set(counts) <= set(words(left))
    assert all(0 <= weight <= 1 for weight in known.rarity(query).values())
    assert Vocabulary(3, counts).distinctive(query) == query
