"""An answer that was written before, streamed as a model would stream it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.caches import InMemoryCache
from langchain_core.globals import set_llm_cache
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.runnables import RunnableLambda
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.graph.state import CompiledStateGraph

from freehold.nodes.replay import Replay, words
from freehold.portal import run_sync

ANSWER = "The gauge is behind\n the lower front panel. [1]"
PIECES = ["The ", "gauge ", "is ", "behind\n ", "the ", "lower ", "front ", "panel. ", "[1]"]
HELLO = {"messages": [("user", "Hello")]}


async def each(*pieces: str) -> AsyncIterator[str]:
    """The pieces, one after the other, as another run may write them."""
    for piece in pieces:
        await asyncio.sleep(0)
        yield piece


async def say(_: MessagesState) -> dict[str, Any]:
    """A node that gives a cached answer."""
    return {"messages": [await Replay(each(*PIECES), model_name="demo", cached=True).ainvoke("")]}


def graph_of(asynchronous: bool = True) -> CompiledStateGraph[Any, Any, Any, Any]:
    """A graph with that node, which is called `lookup_cache`."""
    graph = StateGraph(MessagesState)
    graph.add_node("lookup_cache", say if asynchronous else RunnableLambda(lambda state: run_sync(say(state))))
    graph.add_edge(START, "lookup_cache")
    graph.add_edge("lookup_cache", END)
    return graph.compile()


# --- the words --------------------------------------------------------------------------------------------------------


def test_the_pieces_of_an_answer() -> None:
    """Protects how a cached answer looks while it comes: word by word, with the space behind each."""
    assert words(ANSWER) == PIECES
    assert words("  two words ") == ["  two ", "words "]


@given(st.text())
def test_nothing_is_lost_or_added(text: str) -> None:
    """Protects the answer: its pieces together are the answer, white space and odd characters too."""
    pieces = words(text)
    assert "".join(pieces) == text
    assert all(pieces) or text == ""
    assert len(pieces) >= 1


# --- the model --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [ANSWER, "", " ", "One"])
async def test_it_says_what_it_is_given(text: str) -> None:
    """Protects an answer as a whole, with what is known of it."""
    message = await Replay(each(*words(text)), model_name="demo", cached=True).ainvoke("Where is the gauge?")
    assert type(message) is AIMessage
    assert message.content == message.text == text
    assert message.response_metadata["cached"] is True
    assert message.response_metadata["model_name"] == "demo"


async def test_it_streams_as_the_pieces_come() -> None:
    """Protects the first word from waiting for the last: each piece is out before the next one is there."""
    said: list[str] = []
    order: list[str] = []

    async def written() -> AsyncIterator[str]:
        for piece in PIECES:
            order.append(f"written {piece}")
            yield piece

    whole: AIMessageChunk | None = None
    async for chunk in Replay(written(), cached=True).astream([HumanMessage("Where?")]):
        if chunk.text:
            said.append(str(chunk.text))
            order.append(f"said {chunk.text}")
        whole = chunk if whole is None else whole + chunk  # type: ignore[assignment]
    assert said == PIECES
    assert order == [step for piece in PIECES for step in (f"written {piece}", f"said {piece}")]
    assert whole is not None
    assert whole.text == ANSWER
    assert whole.response_metadata["cached"] is True


async def test_pieces_that_fail_are_heard() -> None:
    """Protects a run that follows another: where the pieces end in an error, it does not end in silence."""

    async def broken() -> AsyncIterator[str]:
        yield "The "
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        await Replay(broken()).ainvoke("")
    with pytest.raises(OSError, match="gone"):
        _ = [chunk async for chunk in Replay(broken()).astream("")]


@pytest.mark.parametrize("method", ["invoke", "stream"])
def test_it_cannot_be_waited_for(method: str) -> None:
    """Protects from a call that would block the loop on which the pieces come, with a word on what to do."""
    with pytest.raises(NotImplementedError, match=r"use `ainvoke` or `astream`"):
        list(getattr(Replay(each("one")), method)(""))


async def test_no_cache_of_langchains_remembers_it() -> None:
    """Protects one answer from being said for another where a program has set LangChain's own cache."""
    set_llm_cache(InMemoryCache())
    try:
        texts = [(await Replay(each(text)).ainvoke("Where?")).text for text in ("one", "two")]
    finally:
        set_llm_cache(None)
    assert texts == ["one", "two"]


# --- in a graph -------------------------------------------------------------------------------------------------------


async def test_a_graph_streams_it_once_under_the_nodes_name() -> None:
    """Protects clients of `stream_mode="messages"`: they see the words once, from the node that answered."""
    parts: list[tuple[Any, dict[str, Any]]] = [
        part async for part in graph_of().astream(HELLO, stream_mode="messages")
    ]  # fmt: skip
    assert [message.text for message, _ in parts if message.text] == PIECES
    assert {metadata["langgraph_node"] for _, metadata in parts} == {"lookup_cache"}
    assert len({message.id for message, _ in parts}) == 1
    assert all(isinstance(message, AIMessageChunk) for message, _ in parts)


def test_a_synchronous_graph_streams_it_too() -> None:
    """Protects `stream`, whose nodes run on the background loop."""
    parts: Iterator[Any] = graph_of(asynchronous=False).stream(HELLO, stream_mode="messages")
    assert [message.text for message, _ in parts if message.text] == PIECES


async def test_words_and_state_are_one_message() -> None:
    """Protects clients that put both together: what was streamed has the id that the state's message has."""
    streamed, states = set(), []
    async for mode, part in graph_of().astream(HELLO, stream_mode=["messages", "values"]):
        if mode == "messages":
            streamed.add(part[0].id)
        else:
            states.append(part)
    assert streamed == {states[-1]["messages"][-1].id}
    assert states[-1]["messages"][-1].text == ANSWER


@pytest.mark.parametrize("mode", ["values", "updates"])
async def test_without_a_stream_of_messages_it_comes_whole(mode: str) -> None:
    """Protects everybody else: the state holds one whole message with what is known of it."""
    (*_, last) = [part async for part in graph_of().astream(HELLO, stream_mode=mode)]  # type: ignore[call-overload]
    message = (last["lookup_cache"] if mode == "updates" else last)["messages"][-1]
    assert type(message) is AIMessage
    assert (message.text, message.response_metadata["model_name"]) == (ANSWER, "demo")
    invoked = await graph_of().ainvoke(HELLO)
    assert invoked["messages"][-1].text == ANSWER
    assert graph_of(asynchronous=False).invoke(HELLO)["messages"][-1].text == ANSWER


async def test_events_tell_each_word_once() -> None:
    """Protects clients of LangChain's events, and tracers: it looks like any model."""
    events = [event async for event in graph_of().astream_events(HELLO, version="v2")]
    of_model = [event for event in events if event["event"].startswith("on_chat_model")]
    assert [event["event"] for event in of_model[:1] + of_model[-1:]] == ["on_chat_model_start", "on_chat_model_end"]
    said = [event["data"]["chunk"].text for event in of_model[1:-1]]  # type: ignore[typeddict-item]
    assert [text for text in said if text] == PIECES
    assert {event["metadata"]["langgraph_node"] for event in of_model} == {"lookup_cache"}


@pytest.mark.parametrize("streams", [False, True])
async def test_a_cancelled_run_stops_listening(streams: bool) -> None:
    """Protects the run that writes the answer: whoever listened and was cancelled leaves, and takes nothing more."""
    listening, arrived, left = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def written() -> AsyncIterator[str]:
        try:
            yield "The "
            listening.set()
            await asyncio.sleep(3600)
            yield "gauge"
        finally:
            left.set()

    async def answer(_: MessagesState) -> dict[str, Any]:
        return {"messages": [await Replay(written()).ainvoke("")]}

    graph = StateGraph(MessagesState)
    graph.add_node("lookup_cache", answer)
    graph.add_edge(START, "lookup_cache")
    graph.add_edge("lookup_cache", END)
    compiled = graph.compile()
    heard: list[str] = []

    async def run() -> None:
        async for message, _ in compiled.astream(HELLO, stream_mode="messages"):
            heard.append(message.text)
            arrived.set()

    running = asyncio.ensure_future(run() if streams else compiled.ainvoke(HELLO))
    await (arrived if streams else listening).wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await left.wait()
    assert heard == ["The "] * streams
