"""The chat model behaves as LangChain and LangGraph expect, on the shipped model."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Literal

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, ChatMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.messages.modifier import RemoveMessage
from langgraph.graph import END, START, MessagesState, StateGraph
from pydantic import BaseModel

from freehold.errors import UserError
from freehold.inference import ChatLlama, Engine
from freehold.inference.chat_messages import json_schema_of, to_chat

DEMO = Path(str(files("freehold.models"))) / "freehold-demo.Q8_0.gguf"
PASSAGES = """Answer from the context and cite it.
Context:
[1] The heron is a wading bird that eats fish.
[2] Rust is a systems language."""
MESSAGES = [SystemMessage(PASSAGES), HumanMessage("What does the heron eat?")]


class Answer(BaseModel):
    """An answer."""

    choice: Literal["yes", "no"]
    sure: bool


@pytest.fixture(scope="module")
def model() -> Iterator[ChatLlama]:
    """The shipped model as a chat model."""
    engine = Engine(DEMO)
    yield ChatLlama(engine=engine, max_tokens=64)
    engine.close()


async def test_four_ways_agree(model: ChatLlama) -> None:
    """invoke, ainvoke, stream and astream give one answer with one account of tokens."""
    answer = await model.ainvoke(MESSAGES)
    assert len(answer.text) > 8
    assert (await asyncio.to_thread(model.invoke, MESSAGES)).content == answer.content
    streamed: list[AIMessageChunk] = [chunk async for chunk in model.astream(MESSAGES)]
    whole = streamed[0]
    for chunk in streamed[1:]:
        whole += chunk
    assert len(streamed) > 3
    assert whole.content == answer.content
    assert whole.usage_metadata == answer.usage_metadata
    assert "".join(c.text for c in await asyncio.to_thread(lambda: list(model.stream(MESSAGES)))) == answer.content
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["total_tokens"] > answer.usage_metadata["output_tokens"] > 0
    for message in (answer, whole):
        assert message.response_metadata["model_name"] == "freehold-demo"
        assert message.response_metadata["finish_reason"] == "stop"
        assert message.response_metadata["tokens_per_second"] > 0
        assert message.response_metadata["seconds"] >= message.response_metadata["prefill_seconds"] > 0


def test_leaving_a_stream_early(model: ChatLlama) -> None:
    """A synchronous stream that is left gives the engine back."""
    stream = model.stream(MESSAGES)
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert model.invoke(MESSAGES).text


def graph_of(model: ChatLlama, *, asynchronous: bool) -> StateGraph[MessagesState]:
    """A graph of one node that invokes the model and knows nothing of streaming."""

    def answer(state: MessagesState) -> dict[str, list[AIMessage]]:
        return {"messages": [model.invoke(state["messages"])]}

    async def aanswer(state: MessagesState) -> dict[str, list[AIMessage]]:
        return {"messages": [await model.ainvoke(state["messages"])]}

    builder = StateGraph(MessagesState)
    builder.add_node("answer", aanswer if asynchronous else answer)
    builder.add_edge(START, "answer")
    builder.add_edge("answer", END)
    return builder


async def test_langgraph_streams_tokens(model: ChatLlama) -> None:
    """`stream_mode="messages"` shows tokens from a node that only invokes, each of them once."""
    state = {"messages": MESSAGES}
    answer = (await model.ainvoke(MESSAGES)).text
    parts = [m async for m, _ in graph_of(model, asynchronous=True).compile().astream(state, stream_mode="messages")]
    assert "".join(part.text for part in parts) == answer
    assert len(parts) > 3


def test_langgraph_streams_tokens_in_sync(model: ChatLlama) -> None:
    """The same through the synchronous interface."""
    state = {"messages": MESSAGES}
    parts = [m for m, _ in graph_of(model, asynchronous=False).compile().stream(state, stream_mode="messages")]
    assert "".join(part.text for part in parts) == model.invoke(MESSAGES).text
    assert len(parts) > 3


async def test_options(model: ChatLlama) -> None:
    """Options given to the call win over fields, and an unknown one is refused."""
    answer = await model.ainvoke(MESSAGES, max_tokens=3)
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["output_tokens"] == 3
    assert answer.response_metadata["finish_reason"] == "length"
    full = (await model.ainvoke(MESSAGES)).text
    middle = full[len(full) // 2 : len(full) // 2 + 3]
    before = full[: full.index(middle)]
    assert (await model.ainvoke(MESSAGES, stop=[middle])).text == before
    assert (await ChatLlama(engine=model.engine, stop=[middle]).ainvoke(MESSAGES)).text == before
    with pytest.raises(UserError, match="logprobs"):
        await model.ainvoke(MESSAGES, logprobs=True)


async def test_structured_output(model: ChatLlama) -> None:
    """A pydantic model and a JSON schema are kept to, with the raw message where it is asked for."""
    parsed = await model.with_structured_output(Answer).ainvoke(MESSAGES)
    assert isinstance(parsed, Answer)
    as_dict = await model.with_structured_output(Answer.model_json_schema()).ainvoke(MESSAGES)
    assert isinstance(as_dict, dict)
    assert as_dict == parsed.model_dump()
    both = await model.with_structured_output(Answer, include_raw=True).ainvoke(MESSAGES)
    assert isinstance(both, dict)
    assert both["parsed"] == parsed
    assert isinstance(both["raw"], AIMessage)
    cut = ChatLlama(engine=model.engine, max_tokens=2).with_structured_output(Answer, include_raw=True)
    outcome = await cut.ainvoke(MESSAGES)
    assert isinstance(outcome, dict)
    assert outcome["parsed"] is None
    assert outcome["parsing_error"] is not None


async def test_response_format(model: ChatLlama) -> None:
    """`bind(response_format=...)` forces JSON, in both usual forms."""
    schema = Answer.model_json_schema()
    first = await model.bind(response_format={"type": "json_object", "schema": schema}).ainvoke(MESSAGES)
    form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    second = await model.bind(response_format=form).ainvoke(MESSAGES)
    assert Answer.model_validate_json(first.text) == Answer.model_validate_json(second.text)
    assert json_schema_of({"type": "json_object"}) == {"type": "object"}
    assert json_schema_of({"type": "text"}) is None
    with pytest.raises(UserError, match="response_format"):
        await model.ainvoke(MESSAGES, response_format={"type": "yaml"})


def test_message_kinds() -> None:
    """Every kind of message has its role; lists of text are joined; what cannot be shown is refused."""
    chat = to_chat(
        [
            SystemMessage("s"),
            HumanMessage([{"type": "text", "text": "a"}, "b"]),
            AIMessageChunk(content="c"),
            AIMessage("d"),
            ToolMessage("e", tool_call_id="1"),
            ChatMessage("f", role="critic"),
        ]
    )
    assert [message["role"] for message in chat] == ["system", "user", "assistant", "assistant", "tool", "critic"]
    assert "".join(message["content"] for message in chat) == "sabcdef"
    with pytest.raises(UserError, match="image_url"):
        to_chat([HumanMessage([{"type": "image_url", "image_url": "x"}])])
    with pytest.raises(UserError, match="remove"):
        to_chat([RemoveMessage(id="1")])


def test_token_counts(model: ChatLlama) -> None:
    """Counting uses the model's own vocabulary and chat form; LangChain's default would download one."""
    assert model.get_num_tokens("<|im_end|>") == 1
    answer = model.invoke(MESSAGES)
    assert answer.usage_metadata is not None
    assert model.get_num_tokens_from_messages(list(MESSAGES)) == answer.usage_metadata["input_tokens"]
