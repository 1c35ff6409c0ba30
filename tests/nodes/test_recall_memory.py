"""The node `RecallMemory` and its budget of tokens."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.context import Context
from freehold.errors import SettingsError
from freehold.nodes import RecallMemory
from freehold.state import Memory

STATE = {"messages": [("user", "What do you know?")]}


class Shelf:
    """A memory that finds these texts, best first."""

    def __init__(self, *texts: str) -> None:
        self.memories = [
            Memory(id=str(place), text=text, score=1 - place / 100, created_at="") for place, text in enumerate(texts)
        ]

    async def search(
        self, query: str, context: Context, limit: int = 5, threshold: float | None = None
    ) -> list[Memory]:
        return self.memories[:limit]


def count_words(text: str) -> int:
    """A tokenizer whose counts can be seen."""
    return len(text.split())


def test_the_budget_is_filled_with_the_best() -> None:
    """What fits stays in its order, what does not is named, and a shorter memory takes the room that is left."""
    shelf = Shelf("one two three", "one two three four", "one two", "one")
    update = RecallMemory(shelf, token_budget=5, count_tokens=count_words)(STATE)
    assert [memory["id"] for memory in update["memories"]] == ["0", "2"]
    (decision,) = update["decisions"]
    assert decision["decision"] == "recalled"
    assert decision["details"] == {"tokens": 5, "token_budget": 5, "left_out": ["1", "3"]}
    assert "2 more did not fit 5 tokens" in decision["reason"]


def test_without_a_budget_nothing_is_counted() -> None:
    """A tokenizer may load a model; nobody pays for that who gave no budget."""

    def refuse(text: str) -> int:
        raise AssertionError(text)

    update = RecallMemory(Shelf("one", "two"), count_tokens=refuse)(STATE)
    assert len(update["memories"]) == 2
    assert "details" not in update["decisions"][0]


def test_a_budget_that_holds_nothing_says_so() -> None:
    """An empty prompt is not the same as an empty memory."""
    update = RecallMemory(Shelf("one two three"), token_budget=1, count_tokens=count_words)(STATE)
    assert update["memories"] == []
    assert update["decisions"][0]["decision"] == "nothing"
    assert update["decisions"][0]["reason"] == "None of 1 memories fits 1 tokens."


def test_a_tokenizer_that_is_down_costs_memories_only() -> None:
    """The run goes on without memories, and the decision is an error."""

    def broken(text: str) -> int:
        raise OSError("no model")

    update = RecallMemory(Shelf("one"), token_budget=5, count_tokens=broken)(STATE)
    assert update["memories"] == []
    assert update["decisions"][0]["decision"] == "error"


@pytest.mark.parametrize("budget", [0, -3])
def test_a_budget_below_one_is_refused(budget: int) -> None:
    """A budget that can hold nothing is a mistake, and is named."""
    with pytest.raises(SettingsError, match=f"token_budget={budget}"):
        RecallMemory(Shelf(), token_budget=budget)


@given(texts=st.lists(st.text("ab ", min_size=1, max_size=20), max_size=5), budget=st.integers(1, 12))
def test_a_budget_is_never_passed(texts: list[str], budget: int) -> None:
    """Whatever is found, what is kept fits, keeps its order, and leaves nothing out that would have fitted first."""
    shelf = Shelf(*texts)
    update = RecallMemory(shelf, token_budget=budget, count_tokens=count_words)(STATE)
    kept = update["memories"]
    taken = sum(count_words(memory["text"]) for memory in kept)
    assert taken <= budget
    assert kept == [memory for memory in shelf.memories if memory in kept]
    if texts:
        left_out = update["decisions"][0]["details"]["left_out"]
        assert len(left_out) + len(kept) == len(texts)
        assert all(
            taken + count_words(memory["text"]) > budget for memory in shelf.memories if memory["id"] in left_out
        )
