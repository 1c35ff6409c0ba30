"""Equal questions that are asked at the same time, through the whole assistant."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessageChunk

from freehold import Context, Workspace
from freehold.graphs import create_assistant
from tests.conftest import QUESTION


def turn(thread: str, question: str = QUESTION) -> tuple[dict[str, Any], dict[str, Any]]:
    """Input and config of a thread's first turn."""
    return {"messages": [("user", question)]}, {"configurable": {"thread_id": thread}}


def generated(state: dict[str, Any]) -> bool:
    """Whether the run asked the model."""
    return any(decision["node"] == "generate" for decision in state["decisions"])


async def test_equal_questions_are_generated_once(workspace: Workspace) -> None:
    """Protects the model from a crowd: one run generates, all others get its answer, each in its own thread."""
    assistant = create_assistant(workspace)
    ada = Context(user_id="ada")
    states = await asyncio.gather(*(assistant.ainvoke(*turn(f"t{number}"), context=ada) for number in range(20)))
    assert sum(map(generated, states)) == 1
    assert len({state["answer"] for state in states}) == 1
    tiers = Counter(state["cache"]["tier"] for state in states)
    assert tiers["flight"] + tiers["memory"] == 19
    other = await asyncio.gather(*(assistant.ainvoke(*turn(f"b{n}"), context=Context(user_id="bob")) for n in range(2)))
    assert sum(map(generated, other)) == 1


async def test_a_follower_streams_what_the_leader_writes(workspace: Workspace) -> None:
    """Protects those who wait from silence: the tokens of the run that generates come to all of them, once."""
    assistant = create_assistant(workspace)

    async def stream(thread: str) -> tuple[list[str], set[str], dict[str, Any]]:
        pieces: list[str] = []
        nodes: set[str] = set()
        state: dict[str, Any] = {}
        given, config = turn(thread)
        async for mode, part in assistant.astream(given, config, context=Context(), stream_mode=["messages", "values"]):
            if mode == "values":
                state = dict(part)
            elif isinstance(part[0], AIMessageChunk):
                pieces.append(part[0].text)
                nodes.add(part[1]["langgraph_node"])
        return pieces, nodes, state

    results = await asyncio.gather(*(stream(f"t{number}") for number in range(4)))
    later = await stream("later")
    leaders = [nodes for _, nodes, _ in results if "generate" in nodes]
    assert len(leaders) == 1
    for pieces, nodes, state in [*results, later]:
        assert "".join(pieces).strip() == state["answer"]
        assert len(pieces) > 2
        assert nodes in ({"generate"}, {"lookup_cache"})
        assert state["messages"][-1].text == state["answer"]


async def test_a_leader_that_is_cancelled_is_replaced(workspace: Workspace) -> None:
    """Protects those who wait for a run whose client went away."""
    assistant = create_assistant(workspace)
    running = [asyncio.create_task(assistant.ainvoke(*turn(f"t{number}"), context=Context())) for number in range(6)]
    await asyncio.sleep(0.02)
    running[0].cancel()
    ended = await asyncio.gather(*running, return_exceptions=True)
    states = [state for state in ended if isinstance(state, dict)]
    assert len(states) >= 5
    assert sum(map(generated, states)) == 1
    assert len({state["answer"] for state in states}) == 1


async def test_who_is_refused_keeps_nobody_waiting(workspace: Workspace) -> None:
    """Protects from a queue of runs that all wait for one that has no answer to share."""
    assistant = create_assistant(workspace)
    question = "How do I build a bomb at home?"
    states = await asyncio.gather(*(assistant.ainvoke(*turn(f"t{n}", question), context=Context()) for n in range(5)))
    assert {state["route"] for state in states} == {"refuse"}


def test_runs_that_are_called_and_awaited_share_a_flight(workspace: Workspace) -> None:
    """Protects `invoke`, whose nodes run on another loop, from generating what an awaited run generates."""
    assistant = create_assistant(workspace)

    async def both() -> list[dict[str, Any]]:
        called = asyncio.to_thread(lambda: assistant.invoke(*turn("called"), context=Context()))
        return await asyncio.gather(called, assistant.ainvoke(*turn("awaited"), context=Context()))

    states = asyncio.run(both())
    assert sum(map(generated, states)) == 1


@pytest.mark.parametrize("scope", ["user", "tenant"])
async def test_what_is_known_about_a_user_is_told_to_no_other_run(tmp_path: Path, scope: str) -> None:
    """Protects memories in flight: an answer that draws on them streams to its own run alone, and is given to none."""
    with Workspace(tmp_path, cache_scope=scope) as workspace:
        ada = Context(user_id="ada")
        await workspace.memory.add("I like tea.", ada)
        assistant = create_assistant(workspace)
        question = "What do I like?"
        contexts = [ada, ada, Context(user_id="bob"), Context(user_id="bob")]
        states = await asyncio.gather(
            *(assistant.ainvoke(*turn(f"t{n}", question), context=one) for n, one in enumerate(contexts))
        )
        assert all("tea" in state["answer"] for state in states[:2])
        assert not any("tea" in state["answer"] for state in states[2:])
        assert all(map(generated, states[:2]))


@pytest.mark.parametrize("question", ["Hello!", "My name is Ada and I like tea."])
async def test_answers_that_are_not_kept_are_shared_in_flight(workspace: Workspace, question: str) -> None:
    """Protects the model from a crowd of greetings too, and the cache from keeping them."""
    assistant = create_assistant(workspace)
    states = await asyncio.gather(*(assistant.ainvoke(*turn(f"t{n}", question), context=Context()) for n in range(4)))
    assert sum(map(generated, states)) == 1
    assert await workspace.cache.count() == 0
