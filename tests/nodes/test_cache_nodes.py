"""The nodes `LookupCache` and `StoreCache` on a real response cache."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langgraph.runtime import Runtime

from freehold.context import Context
from freehold.coordination import ResponseCache, Situation, SQLiteStore
from freehold.nodes import LookupCache, StoreCache

QUESTION = "Where is the key?"


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[ResponseCache]:
    """A cache with the exact tier only."""
    opened = ResponseCache(SQLiteStore(tmp_path / "cache.sqlite"), None)
    yield opened
    opened.close()


def lookup(cache: ResponseCache, documents: str = "v1") -> LookupCache:
    """The node, over documents of a version."""
    return LookupCache(cache, lambda _: Situation(model="m", documents=documents))


def runtime(user: str = "ada") -> Runtime[Context]:
    """A run of a user."""
    return Runtime(context=Context(user_id=user))


def answered(on: ResponseCache, /, **changes: Any) -> dict[str, Any]:
    """The state behind a generated answer to the question."""
    state: dict[str, Any] = {"messages": [("user", QUESTION)], "question": QUESTION}
    state.update(lookup(on)(state, runtime()))
    passage = {"id": "p", "source": "notes.md", "text": "x", "heading": "", "page": None, "start": 0, "end": 1}
    state.update(
        answer="In the shed [1].",
        citations=[{"number": 1, **passage}],
        passages=[passage],
        route="documents",
        messages=[("user", QUESTION), AIMessage("In the shed [1].", response_metadata={"model_name": "m"})],
    )
    state.update(changes)
    return state


def test_a_stored_answer_comes_back_whole(cache: ResponseCache) -> None:
    """Answer, citations and route come back, and the thread gets the answer as a message."""
    assert StoreCache(cache)(answered(cache))["decisions"][0]["decision"] == "stored"
    update = lookup(cache)({"messages": [("user", "  where is the KEY ")]}, runtime())
    assert update["cache"]["outcome"] == "hit"
    assert update["cache"]["tier"] == "exact"
    assert update["answer"] == update["messages"][0].text == "In the shed [1]."
    assert update["citations"][0]["source"] == "notes.md"
    assert update["route"] == "documents"


def test_other_users_documents_and_turns_miss(cache: ResponseCache) -> None:
    """The situation comes from the run context, the documents and the thread, never from the message."""
    StoreCache(cache)(answered(cache))
    question = {"messages": [("user", QUESTION)]}
    assert lookup(cache)(question, runtime("bob"))["cache"]["outcome"] == "miss"
    assert lookup(cache, "v2")(question, runtime())["cache"]["outcome"] == "miss"
    later = {"messages": [("user", "Which shed?"), ("assistant", "The green one."), ("user", QUESTION)]}
    assert lookup(cache)(later, runtime())["cache"]["outcome"] == "miss"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"memories": [{"id": "m"}]}, "known about the user"),
        ({"route": "direct"}, "direct"),
        ({"passages": []}, "No passage"),
        ({"cache": {"outcome": "hit", "situation": None}}, "not open"),
        ({"cache": None}, "not asked"),
        ({"messages": [AIMessage("cut", response_metadata={"finish_reason": "length"})]}, "not complete"),
    ],
)
def test_what_must_not_be_kept_is_skipped(cache: ResponseCache, changes: dict[str, Any], reason: str) -> None:
    """Personal, unfounded and unfinished answers never enter the cache, and the decision says why."""
    decision = StoreCache(cache)(answered(cache, **changes))["decisions"][0]
    assert decision["decision"] == "skipped"
    assert reason in decision["reason"]


def test_personal_data_is_not_looked_up(cache: ResponseCache) -> None:
    """A message that had to be masked leaves no trace in the cache."""
    state = {"messages": [("user", QUESTION)], "verdicts": [{"surface": "input", "decision": "mask"}]}
    assert lookup(cache)(state, runtime())["cache"]["outcome"] == "skipped"


def test_a_cache_that_is_down_is_a_miss(tmp_path: Path) -> None:
    """The run goes on, and the decision says what happened."""
    cache = ResponseCache(SQLiteStore(tmp_path / "cache.sqlite"), None)
    state = answered(cache)
    cache.close()
    assert lookup(cache)({"messages": [("user", QUESTION)]}, runtime())["cache"]["outcome"] == "error"
    assert StoreCache(cache)(state)["decisions"][0]["decision"] == "error"


async def test_awaited_and_called_give_the_same(cache: ResponseCache) -> None:
    """`invoke` and `ainvoke` share one body."""
    node, state = lookup(cache), {"messages": [("user", QUESTION)]}
    awaited = await node.ainvoke(state)
    assert awaited["cache"] == node.invoke(state)["cache"]
