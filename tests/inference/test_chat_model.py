"""The chat model behaves as LangChain and LangGraph expect, on the shipped model."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, ChatMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.messages.modifier import RemoveMessage
from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, MessagesState, StateGraph
from pydantic import BaseModel

from freehold.errors import DeadlineError, UserError
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
    # Without drafts, which let several tokens of an answer that was given before come in one piece.
    yield ChatLlama(engine=engine, max_tokens=64, lookup=False)
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
    assert whole.usage_metadata is not None
    assert answer.usage_metadata is not None
    for count in ("input_tokens", "output_tokens", "total_tokens"):
        assert whole.usage_metadata[count] == answer.usage_metadata[count]  # type: ignore[literal-required]
    assert "".join(c.text for c in await asyncio.to_thread(lambda: list(model.stream(MESSAGES)))) == answer.content
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
    with pytest.raises(UserError, match="best_of"):
        await model.ainvoke(MESSAGES, best_of=2)


async def test_bias_and_penalties(model: ChatLlama) -> None:
    """A forbidden token does not come, and penalties change what is repeated; token ids may be text, as in JSON."""
    plain = await model.ainvoke(MESSAGES)
    first = model.get_token_ids(plain.text)[0]
    other = await model.ainvoke(MESSAGES, logit_bias={str(first): float("-inf")})
    assert model.get_token_ids(other.text)[0] != first
    assert (await ChatLlama(engine=model.engine, logit_bias={first: -1e9}, max_tokens=64).ainvoke(MESSAGES)).text != (
        plain.text
    )
    for penalty in ({"repeat_penalty": 20.0}, {"frequency_penalty": 20.0}, {"presence_penalty": 20.0}):
        assert (await model.ainvoke(MESSAGES, **penalty)).text != plain.text
    with pytest.raises(UserError, match="logit_bias"):
        await model.ainvoke(MESSAGES, logit_bias={"the": 1.0})


async def test_logprobs(model: ChatLlama) -> None:
    """Log-probabilities come in OpenAI's form, the same whole and streamed, and make up the text."""
    answer = await model.ainvoke(MESSAGES, logprobs=True, top_logprobs=2)
    content = answer.response_metadata["logprobs"]["content"]
    assert answer.usage_metadata is not None
    text = b"".join(bytes(entry["bytes"]) for entry in content).decode()
    assert text == answer.text
    assert len(content) in (answer.usage_metadata["output_tokens"], answer.usage_metadata["output_tokens"] + 1)
    for entry in content:
        assert entry["token"].encode() == bytes(entry["bytes"])
        assert math.isclose(entry["logprob"], entry["top_logprobs"][0]["logprob"], abs_tol=1e-5)
        assert len(entry["top_logprobs"]) == 2
        assert 0 >= entry["top_logprobs"][0]["logprob"] >= entry["top_logprobs"][1]["logprob"]
    whole = AIMessageChunk(content="")
    async for chunk in model.astream(MESSAGES, logprobs=True, top_logprobs=2):
        whole += chunk  # type: ignore[assignment]
    streamed = whole.response_metadata["logprobs"]["content"]
    assert [entry["token"] for entry in streamed] == [entry["token"] for entry in content]
    bare = await model.ainvoke(MESSAGES, logprobs=True)
    assert {len(entry["top_logprobs"]) for entry in bare.response_metadata["logprobs"]["content"]} == {0}
    assert "logprobs" not in (await model.ainvoke(MESSAGES)).response_metadata


async def test_timeout(model: ChatLlama) -> None:
    """LangChain's timeout bounds an answer."""
    with pytest.raises(DeadlineError):
        await model.ainvoke(MESSAGES, timeout=1e-6)
    assert (await model.ainvoke(MESSAGES, timeout=600, priority=1, lookup=True)).text


async def test_cached_tokens_are_reported(model: ChatLlama) -> None:
    """A prompt that was read before is counted as read from the cache."""
    await model.ainvoke(MESSAGES)
    again = await model.ainvoke(MESSAGES)
    assert again.usage_metadata is not None
    assert 0 < again.usage_metadata["input_token_details"]["cache_read"] < again.usage_metadata["input_tokens"]


async def test_threads_reach_the_engine(model: ChatLlama, monkeypatch: pytest.MonkeyPatch) -> None:
    """LangGraph's thread id names the conversation to the engine, through each of the four ways."""
    seen: list[str | None] = []
    requested = ChatLlama._request

    async def spy(self: ChatLlama, *arguments: Any) -> Any:
        request, stream = await requested(self, *arguments)
        seen.append(request.thread)
        return request, stream

    monkeypatch.setattr(ChatLlama, "_request", spy)
    state = {"messages": MESSAGES}
    config: RunnableConfig = {"configurable": {"thread_id": "t7"}}
    graph = graph_of(model, asynchronous=True).compile()
    await graph.ainvoke(state, config)
    _ = [part async for part in graph.astream(state, config, stream_mode="messages")]
    await asyncio.to_thread(graph_of(model, asynchronous=False).compile().invoke, state, config)
    await asyncio.to_thread(
        lambda: list(graph_of(model, asynchronous=False).compile().stream(state, config, stream_mode="messages"))
    )
    await model.ainvoke(MESSAGES)
    assert seen == ["t7"] * 4 + [None]


async def test_named_template(model: ChatLlama) -> None:
    """Another template can be named, for the model or for one call, and its end mark ends the answer."""
    plain = await model.ainvoke(MESSAGES)
    assert (await ChatLlama(engine=model.engine, chat_template="chatml", max_tokens=64).ainvoke(MESSAGES)).text == (
        plain.text
    )
    other = await model.ainvoke(MESSAGES, chat_template="gemma")
    assert other.usage_metadata != plain.usage_metadata
    # The grammar makes the model write gemma's end mark, which its vocabulary has not as a token.
    ended = await model.ainvoke(MESSAGES, chat_template="gemma", grammar='root ::= "It is.<end_of_turn>It is."')
    assert ended.text == "It is."
    with pytest.raises(UserError, match="'alpaca'"):
        await model.ainvoke(MESSAGES, chat_template="alpaca")


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
    for method in ("json_schema", "function_calling", "json_mode"):
        assert await model.with_structured_output(Answer, method=method).ainvoke(MESSAGES) == parsed
    with pytest.raises(UserError, match="method='xml'"):
        model.with_structured_output(Answer, method="xml")
    # The guide closes the object in time; where there is no room for any, it says so.
    tight = ChatLlama(engine=model.engine, max_tokens=24).with_structured_output(Answer)
    assert isinstance(await tight.ainvoke(MESSAGES), Answer)
    with pytest.raises(UserError, match="max_tokens=2"):
        await ChatLlama(engine=model.engine, max_tokens=2).with_structured_output(Answer).ainvoke(MESSAGES)


async def test_structured_output_is_not_cut_by_a_stop_string(model: ChatLlama) -> None:
    """An object ends where its grammar ends it: a stop string inside it does not cut it."""
    stopping = ChatLlama(engine=model.engine, stop=["choice"]).with_structured_output(Answer, include_raw=True)
    outcome = await stopping.ainvoke(MESSAGES)
    assert isinstance(outcome, dict)
    assert isinstance(outcome["parsed"], Answer)
    assert outcome["parsing_error"] is None
    assert "choice" in outcome["raw"].text


@pytest.mark.parametrize("option", [{"seed": 1.5}, {"top_k": 40.0}, {"max_tokens": 20.5}, {"stop": [1]}])
async def test_options_of_a_wrong_type(model: ChatLlama, option: dict[str, object]) -> None:
    """An option of a wrong type is refused by name, and nobody else's request hears of it."""
    with pytest.raises(UserError, match=next(iter(option))):
        await model.ainvoke(MESSAGES, **option)


async def test_a_cut_answer_says_so_also_with_tools(model: ChatLlama) -> None:
    """Text that `max_tokens` cut has the finish reason `length`, whether or not tools are bound."""
    tool = {"name": "clock", "description": "The time.", "parameters": {"type": "object", "properties": {}}}
    plain = await model.ainvoke(MESSAGES, max_tokens=2)
    bound = await model.bind_tools([tool], tool_choice="none").ainvoke(MESSAGES, max_tokens=2)
    assert plain.response_metadata["finish_reason"] == bound.response_metadata["finish_reason"] == "length"


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
            ToolMessage("e", tool_call_id="1", name="t"),
            ChatMessage("f", role="critic"),
            AIMessage(
                [{"type": "text", "text": "g"}, {"type": "tool_use", "id": "2", "name": "t", "input": {}}],
                tool_calls=[{"name": "t", "args": {"x": 1}, "id": "2"}],
                invalid_tool_calls=[{"name": "t", "args": '{"x"', "id": "3", "error": None}],
            ),
        ]
    )
    assert [message["role"] for message in chat] == [
        *("system", "user", "assistant", "assistant", "tool", "critic", "assistant")
    ]
    assert "".join(message["content"] for message in chat) == "sabcdefg"
    assert (chat[4]["tool_call_id"], chat[4]["name"]) == ("1", "t")
    call = {"id": "2", "type": "function", "function": {"name": "t", "arguments": {"x": 1}}}
    assert chat[6]["tool_calls"] == [call]
    assert "tool_calls" not in chat[3]
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
