"""What a cached node streams: the same as without a cache, once, in its order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel, FakeListChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import RunnableConfig
from langgraph.cache.memory import InMemoryCache
from langgraph.config import get_stream_writer
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import CachePolicy

from freehold import Context
from freehold.cache.results.message_key import chat_policy
from freehold.coordination import MemoryStore
from freehold.nodes import cached
from freehold.nodes.cached_subgraph import CachedSubgraph

ASKED: Any = {"messages": [("user", "Where?")]}
PIECES = ["In ", "the ", "shed."]


class Speaker(BaseChatModel):
    """A model that streams given pieces, and waits before the second one where a test holds it."""

    pieces: Sequence[str] = PIECES
    calls: bool = False
    gate: Any = None

    @property
    def _llm_type(self) -> str:
        return "speaker"

    def _chunks(self) -> Iterator[ChatGenerationChunk]:
        for piece in self.pieces:
            yield ChatGenerationChunk(message=AIMessageChunk(content=piece))
        if self.calls:
            for name, args in (("look", ""), (None, '{"where": '), (None, '"attic"}')):
                call: Any = {"name": name, "args": args, "id": "call-1" if name else None, "index": 0}
                yield ChatGenerationChunk(message=AIMessageChunk(content="", tool_call_chunks=[call]))

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        message = AIMessage("".join(self.pieces))
        if self.calls:
            message.tool_calls = [{"name": "look", "args": {"where": "attic"}, "id": "call-1"}]
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _stream(self, messages: list[BaseMessage], *_: Any, **__: Any) -> Iterator[ChatGenerationChunk]:
        yield from self._chunks()

    async def _astream(self, messages: list[BaseMessage], *_: Any, **__: Any) -> AsyncIterator[ChatGenerationChunk]:
        for number, chunk in enumerate(self._chunks()):
            if number == 1 and self.gate is not None:
                await self.gate.wait()
            yield chunk


class Chat:
    """A node that asks a model between two custom events."""

    def __init__(self, model: BaseChatModel | None = None) -> None:
        self.model = model or Speaker()
        self.ran = 0

    async def ainvoke(self, state: MessagesState) -> dict[str, Any]:
        """Asynchronous."""
        self.ran += 1
        write = get_stream_writer()
        write({"step": "asking"})
        answer = await self.model.ainvoke(state["messages"])
        write({"step": "answered", "by": b"speaker"})
        return {"messages": [answer]}

    def invoke(self, state: MessagesState) -> dict[str, Any]:
        """Synchronous."""
        self.ran += 1
        write = get_stream_writer()
        write({"step": "asking"})
        answer = self.model.invoke(state["messages"])
        write({"step": "answered", "by": b"speaker"})
        return {"messages": [answer]}


def graph_of(node: Any, **options: Any) -> Any:
    """A graph with that one node, `chat`."""
    graph = StateGraph(MessagesState, context_schema=Context).add_node("chat", node, **options)
    return graph.add_edge(START, "chat").compile(cache=InMemoryCache() if options else None)


def wrap(node: Any, **options: Any) -> CachedSubgraph:
    """The node, cached in a store of its own."""
    return cached(node, store=MemoryStore(), name="chat", **options)


def said(parts: list[Any]) -> list[Any]:
    """What somebody who streams sees, without what is drawn by chance and without empty pieces."""
    seen: list[Any] = []
    for *_, mode, part in parts:
        if mode == "messages":
            message, metadata = part
            assert metadata["langgraph_node"] == "chat"
            if message.content or getattr(message, "tool_call_chunks", None):
                calls = [(call["name"], call["args"]) for call in getattr(message, "tool_call_chunks", ())]
                seen.append((message.content, *calls))
        else:
            seen.append(part if mode == "custom" else part["chat"]["messages"][-1].text)
    return seen


MODES = ["custom", "messages", "updates"]
WHOLE = [{"step": "asking"}, *((piece,) for piece in PIECES), {"step": "answered", "by": b"speaker"}, "In the shed."]


async def streamed(graph: Any, **options: Any) -> list[Any]:
    """All that a run streams."""
    return [part async for part in graph.astream(ASKED, stream_mode=MODES, **options)]


async def test_a_hit_streams_what_the_run_streamed() -> None:
    """Events and tokens come once, in their order, from this node, with the cache empty, full, or not there."""
    chat = Chat()
    assert said(await streamed(graph_of(chat.ainvoke))) == WHOLE
    graph = graph_of(wrap(chat.ainvoke))
    for _ in range(3):
        parts = await streamed(graph)
        assert said(parts) == WHOLE
        ids = {message.id for mode, (message, *_) in ((m, p) for m, p in parts if m == "messages") if mode}
        assert ids == {parts[-1][1]["chat"]["messages"][-1].id}
    assert chat.ran == 2


def test_a_synchronous_stream_is_the_same() -> None:
    """`stream` has it like `astream`."""
    chat = Chat()
    graph = graph_of(wrap(chat.invoke))
    for _ in range(3):
        assert said(list(graph.stream(ASKED, stream_mode=MODES))) == WHOLE
    assert chat.ran == 1


async def test_langgraphs_own_cache_loses_it() -> None:
    """Why this is more than a `CachePolicy`: LangGraph's issue 6265. When this fails, LangGraph has mended it."""
    graph = graph_of(Chat().ainvoke, cache_policy=CachePolicy(key_func=chat_policy().key_func))
    assert said(await streamed(graph)) == WHOLE
    assert said(await streamed(graph)) == ["In the shed."]


async def test_events_name_the_same_runs() -> None:
    """`astream_events` tells of the model under its own name, whether it ran or not."""
    graph = graph_of(wrap(Chat().ainvoke))

    async def told() -> list[tuple[str, str]]:
        found = []
        async for event in graph.astream_events(ASKED, version="v2"):
            chunk = event["data"].get("chunk")
            if not isinstance(chunk, AIMessageChunk) or chunk.content:
                found.append((event["event"], event["name"]))
        return found

    first = await told()
    assert first.count(("on_chat_model_stream", "Speaker")) == 3
    assert await told() == first


async def test_followers_hear_it_while_it_is_said() -> None:
    """Who waits for another run reads along, from the beginning, and does not wait for its end."""
    gate = asyncio.Event()
    chat = Chat(Speaker(gate=gate))
    graph = graph_of(wrap(chat.ainvoke))
    first: list[asyncio.Event] = [asyncio.Event() for _ in range(3)]

    async def follow(heard: asyncio.Event) -> list[Any]:
        parts = []
        async for part in graph.astream(ASKED, stream_mode=MODES):
            parts.append(part)
            if len(parts) == 2:
                heard.set()
        return parts

    running = [asyncio.create_task(follow(heard)) for heard in first]
    await asyncio.gather(*(heard.wait() for heard in first))
    assert not any(run.done() for run in running)
    gate.set()
    found = await asyncio.gather(*running)
    assert [said(parts) for parts in found] == [WHOLE] * 3
    assert len({parts[-1][1]["chat"]["messages"][-1].id for parts in found}) == 3
    assert chat.ran == 1


async def test_what_did_not_stream_comes_in_words() -> None:
    """Where nobody streamed the first run, whoever streams a hit still sees an answer being written."""
    graph = graph_of(wrap(Chat().ainvoke))
    await graph.ainvoke(ASKED)
    assert said(await streamed(graph)) == WHOLE


@pytest.mark.parametrize("streams", [True, False])
async def test_tool_calls_come_again(streams: bool) -> None:
    """An agent's calls stream in pieces of their own, and add up to the call."""
    graph = graph_of(wrap(Chat(Speaker(calls=True)).ainvoke))
    if streams:
        first = said(await streamed(graph))
        assert ("", ("look", "")) in first
    else:
        await graph.ainvoke(ASKED)
    parts = await streamed(graph)
    whole: Any = None
    for mode, part in parts:
        if mode == "messages":
            whole = part[0] if whole is None else whole + part[0]
    assert whole.text == "In the shed."
    assert [(call["name"], call["args"]) for call in whole.tool_calls] == [("look", {"where": "attic"})]
    assert parts[-1][1]["chat"]["messages"][-1].tool_calls == whole.tool_calls
    if streams:
        assert said(parts) == first


async def test_what_a_subgraph_says_comes_from_inside_of_it() -> None:
    """Who reads one graph only is not shown its subgraphs on a hit either; who reads all sees where it was said."""

    def places(parts: list[Any]) -> list[Any]:
        return [(len(ns), meta["langgraph_node"], m.content) for ns, mode, (m, meta) in parts if mode and m.content]

    async def read(graph: Any, **options: Any) -> list[Any]:
        return [part async for part in graph.astream(ASKED, stream_mode=["messages"], **options)]

    def build(wrapped: bool) -> Any:
        inner = StateGraph(MessagesState).add_node("inside", Chat().ainvoke).add_edge(START, "inside").compile()
        return graph_of(wrap(inner) if wrapped else inner)

    plain, graph = build(wrapped=False), build(wrapped=True)
    expected = places(await read(plain, subgraphs=True))
    assert (1, "inside", "In ") in expected
    for _ in range(2):
        assert places(await read(graph, subgraphs=True)) == expected
    alone = [(meta["langgraph_node"], m.content) for _, (m, meta) in await read(plain) if m.content]
    for _ in range(2):
        assert [(meta["langgraph_node"], m.content) for _, (m, meta) in await read(graph) if m.content] == alone


async def test_a_model_that_is_not_to_stream_does_not_on_a_hit() -> None:
    """What a grader thinks is nobody's answer: the tag `nostream` holds on a hit, too."""

    async def node(state: MessagesState) -> dict[str, Any]:
        await FakeListChatModel(responses=["irrelevant"]).with_config(tags=["nostream"]).ainvoke("Is it?")
        return {"messages": [await Speaker().ainvoke(state["messages"])]}

    graph = graph_of(wrap(node))
    for _ in range(2):
        assert said(await streamed(graph)) == [*((piece,) for piece in PIECES), "In the shed."]
        events = [event async for event in graph.astream_events(ASKED, version="v2")]
        assert [event["name"] for event in events if event["event"] == "on_chat_model_end"] == [
            "FakeListChatModel",
            "Speaker",
        ]


async def test_tags_of_a_model_come_again_and_tags_of_a_run_do_not() -> None:
    """Clients filter by a model's tags; a run's own tags may name its user."""

    async def node(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await Speaker(tags=["answer"]).ainvoke(state["messages"])]}

    graph = graph_of(wrap(node))
    for tag in ("ada", "bob"):
        config: RunnableConfig = {"tags": [tag]}
        parts = await streamed(graph, config=config)
        assert {frozenset(part[1]["tags"]) for mode, part in parts if mode == "messages"} == {
            frozenset(("answer", tag))
        }


async def test_events_between_tokens_stay_between_them() -> None:
    """A node that comments on its model's words as they come does so on a hit too."""

    async def node(state: MessagesState) -> dict[str, Any]:
        whole: Any = None
        async for chunk in Speaker().astream(state["messages"]):
            whole = chunk if whole is None else whole + chunk
            if chunk.content:
                get_stream_writer()(len(whole.text))
        return {"messages": [AIMessage(whole.text, id=whole.id)]}

    graph = graph_of(wrap(node))
    for _ in range(3):
        assert said(await streamed(graph)) == [("In ",), 3, ("the ",), 7, ("shed.",), 12, "In the shed."]


async def test_two_models_at_once_stay_apart() -> None:
    """Their pieces are woven into each other, and each belongs to its own message."""

    async def node(state: MessagesState) -> dict[str, Any]:
        models = (Speaker(pieces=["a1", "a2", "a3"]), Speaker(pieces=["b1", "b2", "b3"]))
        return {"messages": await asyncio.gather(*(model.ainvoke(state["messages"]) for model in models))}

    graph = graph_of(wrap(node))
    for _ in range(2):
        texts: dict[str, str] = {}
        parts = await streamed(graph)
        for mode, part in parts:
            if mode == "messages":
                texts[part[0].id] = texts.get(part[0].id, "") + part[0].text
        assert sorted(texts.values()) == ["a1a2a3", "b1b2b3"]
        assert {message.id for message in parts[-1][1]["chat"]["messages"]} == set(texts)


async def test_a_model_that_fails_and_is_replaced_is_no_riddle() -> None:
    """A node may catch a model's error; what was said before it comes again, and the result is kept."""

    class Broken(Speaker):
        async def _astream(self, messages: list[BaseMessage], *_: Any, **__: Any) -> AsyncIterator[ChatGenerationChunk]:
            yield ChatGenerationChunk(message=AIMessageChunk(content="Hm"))
            raise RuntimeError("out of memory")

    async def node(state: MessagesState) -> dict[str, Any]:
        try:
            return {"messages": [await Broken().ainvoke(state["messages"])]}
        except RuntimeError:
            return {"messages": [await Speaker().ainvoke(state["messages"])]}

    graph = graph_of(wrap(node))
    first = said(await streamed(graph))
    assert first == [("Hm",), *((piece,) for piece in PIECES), "In the shed."]
    assert said(await streamed(graph)) == first


async def test_an_event_that_cannot_be_kept_keeps_the_result_out() -> None:
    """A hit without its events would be a quieter node: better none."""
    ran = 0

    async def node(state: MessagesState) -> dict[str, Any]:
        nonlocal ran
        ran += 1
        get_stream_writer()(object())
        return {"messages": [AIMessage("Yes.")]}

    graph = graph_of(wrap(node))
    assert len([part for part in await streamed(graph) if part[0] == "custom"]) == 1
    assert len([part for part in await streamed(graph) if part[0] == "custom"]) == 1
    assert ran == 2


async def test_without_replay_only_the_result_is_kept() -> None:
    """Whoever has a node that streams much and needs none of it again says so."""
    graph = graph_of(wrap(Chat().ainvoke, replay=False))
    assert said(await streamed(graph)) == WHOLE
    assert said(await streamed(graph)) == [("In the shed.",), "In the shed."]


async def test_a_follower_that_goes_away_in_the_midst_disturbs_nobody() -> None:
    """A closed browser tab ends one stream and not the one that it was reading along with."""
    gate = asyncio.Event()
    graph = graph_of(wrap(Chat(Speaker(gate=gate)).ainvoke))
    leading = asyncio.create_task(streamed(graph))
    await asyncio.sleep(0.05)
    async for part in graph.astream(ASKED, stream_mode="messages"):
        assert part[0].content == "In "
        break
    gate.set()
    assert said(await leading) == WHOLE


async def test_who_takes_over_streams_anew() -> None:
    """The words of a run that was cancelled stand as a message of their own; the answer is whole."""
    gate = asyncio.Event()
    chat = Chat(Speaker(gate=gate))
    graph = graph_of(wrap(chat.ainvoke))
    leading, following = asyncio.create_task(streamed(graph)), asyncio.create_task(streamed(graph))
    await asyncio.sleep(0.1)
    leading.cancel()
    await asyncio.sleep(0.05)
    gate.set()
    assert said(await following) == [{"step": "asking"}, ("In ",), *WHOLE]
    assert chat.ran == 2


async def test_a_model_that_was_followed_in_vain_comes_to_its_end() -> None:
    """Whoever takes over ends the message that it was reading along: a client sees no model that never stops."""
    gate = asyncio.Event()
    graph = graph_of(wrap(Chat(Speaker(gate=gate)).ainvoke))

    async def watch() -> list[str]:
        return [event["event"] async for event in graph.astream_events(ASKED, version="v2")]

    leading, watching = asyncio.create_task(streamed(graph)), asyncio.create_task(watch())
    await asyncio.sleep(0.1)
    leading.cancel()
    await asyncio.sleep(0.05)
    gate.set()
    events = await watching
    assert events.count("on_chat_model_start") == events.count("on_chat_model_end") == 2
