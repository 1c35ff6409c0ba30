"""Any model calls tools in a form that can be read, with arguments that keep to the schema."""

from __future__ import annotations

import json
import struct
import warnings
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, AnyMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from llguidance import LLMatcher
from llguidance.llamacpp import lltokenizer_from_vocab
from pydantic import BaseModel

from freehold.errors import UserError
from freehold.inference import ChatLlama, Engine
from freehold.inference.llama_model import LlamaModel
from freehold.inference.tool_calls import tool_use
from freehold.inference.tool_forms import FORMS, HERMES, LLAMA3, ToolForm
from freehold.inference.tool_grammar import text_grammar, tool_grammar

DEMO = Path(str(files("freehold.models"))) / "freehold-demo.Q8_0.gguf"
MARKS = ("<tool_call>", "</tool_call>", "[TOOL_CALLS]", "[ARGS]", "<think>", "</think>")
QUESTION = [HumanMessage("Is it warm in Kyiv?")]


@tool
def weather(city: str, unit: Literal["C", "F"]) -> str:
    """Tells the weather."""
    return f"21 degrees {unit}"


@tool
def clock() -> str:
    """Tells the time."""
    return "noon"


class Add(BaseModel):
    """Adds two numbers."""

    a: int
    b: int = 1


def with_marks(target: Path, kind: int) -> Path:
    """The shipped model with the markers as tokens of its vocabulary: 3 are control tokens, 4 are the user's own."""
    data = bytearray(DEMO.read_bytes())
    count = struct.unpack_from("<Q", data, data.index(b"tokenizer.ggml.tokens") + 21 + 8)[0]
    place = data.index(b"tokenizer.ggml.tokens") + 21 + 16
    types = data.index(b"tokenizer.ggml.token_type") + 25 + 16
    spans = []
    for _ in range(count):
        length = struct.unpack_from("<Q", data, place)[0]
        spans.append((place + 8, length))
        place += 8 + length
    taken: set[int] = set()
    for mark in MARKS:
        token = next(i for i in range(count - 1, 0, -1) if spans[i][1] == len(mark) and i not in taken)
        taken.add(token)
        data[spans[token][0] : spans[token][0] + len(mark)] = mark.encode()
        struct.pack_into("<i", data, types + 4 * token, kind)
    target.write_bytes(data)
    return target


@pytest.fixture(scope="module")
def model() -> Iterator[ChatLlama]:
    """The shipped model, whose vocabulary and template know nothing of tools."""
    engine = Engine(DEMO)
    yield ChatLlama(engine=engine, max_tokens=200)
    engine.close()


@pytest.fixture(scope="module", params=[3, 4], ids=["control", "user"])
def marked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChatLlama]:
    """The same with markers that are tokens: control tokens, as Mistral has them, or ones that print, as Qwen has."""
    engine = Engine(with_marks(tmp_path_factory.mktemp("models") / "marked.gguf", request.param))
    yield ChatLlama(engine=engine, max_tokens=200)
    engine.close()


@pytest.mark.parametrize("form", [weather, Add, clock.func, {"title": "f", "description": "d", "properties": {}}])
def test_forms_of_tools(form: Any) -> None:
    """Tools come as LangChain tools, pydantic models, functions and dictionaries."""
    described = tool_use([form]).shown[0]
    assert described["type"] == "function"
    assert described["function"]["description"]
    assert tool_use([described]).shown == (described,)


@pytest.mark.parametrize(
    ("choice", "required", "callable_"),
    [
        (None, False, 2),
        ("auto", False, 2),
        ("none", False, 0),
        (False, False, 0),
        ("any", True, 2),
        ("required", True, 2),
        (True, True, 2),
        ("clock", True, 1),
        ({"type": "function", "function": {"name": "clock"}}, True, 1),
        ({"type": "tool", "name": "clock"}, True, 1),
        ({"type": "any"}, True, 2),
    ],
)
def test_choices(choice: Any, required: bool, callable_: int) -> None:
    """Every usual form of a tool choice is understood."""
    use = tool_use([weather, clock], choice)
    assert (use.required, len(use.callable)) == (required, callable_)


def test_refusals(model: ChatLlama) -> None:
    """What cannot be used is refused when it is bound, with the name of what is wrong."""
    with pytest.raises(UserError, match=r"'sing' is no tool.*weather, clock"):
        model.bind_tools([weather, clock], tool_choice="sing")
    with pytest.raises(UserError, match="Two tools are called clock"):
        model.bind_tools([clock, clock])
    with pytest.raises(UserError, match="none is given"):
        model.bind_tools([], tool_choice="any")
    with pytest.raises(UserError, match="tool_choice=3"):
        model.bind_tools([clock], tool_choice=3)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="'a b'"):
        model.bind_tools([{"type": "function", "function": {"name": "a b", "description": ""}}])
    with pytest.raises(UserError, match="can call functions only"):
        model.bind_tools([{"type": "web_search"}])
    with pytest.raises(UserError, match="cannot be described"):
        model.bind_tools([{"nonsense": 1}])
    with pytest.raises(UserError, match="not both"):
        model.bind_tools([clock]).invoke(QUESTION, grammar='root ::= "a"')


@pytest.fixture(scope="module", params=[None, 3, 4], ids=["letters", "control", "user"])
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaModel]:
    """A model whose vocabulary has no markers, has them as control tokens, or as tokens that print."""
    path = DEMO if request.param is None else with_marks(tmp_path_factory.mktemp("models") / "m.gguf", request.param)
    opened = LlamaModel(path)
    yield opened
    opened.close()


@pytest.mark.parametrize("form", FORMS, ids=[form.name for form in FORMS])
def test_grammar(loaded: LlamaModel, form: ToolForm) -> None:
    """The grammar takes each choice's calls, in the markers' own tokens or letter by letter, and nothing else."""

    def token_of(text: str) -> int | None:
        tokens = loaded.tokenize(text, special=True)
        return tokens[0] if len(tokens) == 1 else None

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # llguidance calls llama.cpp by an old name
        tokenizer = lltokenizer_from_vocab(loaded.vocab)

    def fits(grammar: str, text: str, *, special: bool = True) -> bool:
        matcher = LLMatcher(tokenizer, grammar)
        assert not matcher.is_error(), matcher.get_error()
        tokens = loaded.tokenize(text, special=special)
        return bool(matcher.try_consume_tokens(tokens) == len(tokens) and matcher.is_accepting())

    call, empty = form.call("weather", {"city": "Lviv", "unit": "C"}), form.call("clock", {})
    two = form.begin("clock") + "{}" + form.after + form.separator + form.before_name + "weather"
    two += form.before_arguments + '{"city": "Lviv", "unit": "C"}' + form.after + form.end
    wrong = [form.call("weather", {"city": "Lviv"}), form.call("weather", {"city": "Lviv", "unit": "K"})]
    wrong += [form.call("clock", {"zone": 1}), form.call("stop", {}), call[:-1], call + "!"]
    use = {choice: tool_use([weather, clock], choice) for choice in ("auto", "required", "clock")}
    grammars = {choice: tool_grammar(form, use[choice], token_of) for choice in use}
    single = tool_grammar(form, tool_use([weather, clock], "any", parallel=False), token_of)
    for special in (True, False):
        for choice, grammar in grammars.items():
            assert fits(grammar, empty, special=special)
            assert fits(grammar, call, special=special) == (choice != "clock")
            assert fits(grammar, two, special=special) == (choice != "clock" and form.parallel)
            assert fits(grammar, "It is.", special=special) == (choice == "auto")
            assert not any(fits(grammar, text, special=special) for text in wrong)
        assert fits(grammars["auto"], "I look. " + call, special=special) or form.leading
        assert fits(single, call, special=special)
        assert not fits(single, two, special=special)
    schema = {"type": "object", "properties": {"warm": {"type": "boolean"}}, "required": ["warm"]}
    answered = tool_grammar(form, use["auto"], token_of, schema=schema)
    assert fits(answered, '{"warm": true}')
    assert fits(answered, call)
    assert not fits(answered, "It is.")
    if form.leading:
        assert text_grammar(form, token_of) is None
        return
    none = text_grammar(form, token_of)
    assert none is not None
    assert fits(none, "It is.")
    assert not fits(none, call)
    assert not fits(none, call, special=False)
    if token_of("<think>") is not None:
        assert fits(grammars["auto"], "<think>Where?</think>" + call)
        assert fits(none, "Where?</think>It is.")


async def test_four_ways(model: ChatLlama) -> None:
    """invoke, ainvoke, stream and astream give the same call; its arguments stream, and nothing of it is content."""
    # Without drafts, which let several tokens of an answer that was given before come in one piece.
    bound = model.bind_tools([weather, clock], tool_choice="weather", lookup=False)
    answer = await bound.ainvoke(QUESTION)
    assert answer.content == ""
    assert answer.response_metadata["finish_reason"] == "tool_calls"
    assert [call["name"] for call in answer.tool_calls] == ["weather"]
    arguments = answer.tool_calls[0]["args"]
    assert weather.invoke(arguments).startswith("21 degrees")
    assert bound.invoke(QUESTION).tool_calls[0]["args"] == arguments
    for chunks in ([chunk async for chunk in bound.astream(QUESTION)], list(bound.stream(QUESTION))):
        pieces = [piece for chunk in chunks for piece in chunk.tool_call_chunks]  # type: ignore[attr-defined]
        assert pieces[0]["name"] == "weather"
        assert pieces[0]["id"]
        assert len([piece for piece in pieces if piece["args"]]) > 3
        assert {piece["index"] for piece in pieces} == {0}
        assert json.loads("".join(piece["args"] for piece in pieces)) == arguments
        whole = AIMessageChunk(content="")
        for chunk in chunks:
            whole += chunk  # type: ignore[assignment]
        assert whole.content == ""
        assert [call["args"] for call in whole.tool_calls] == [arguments]
        assert whole.response_metadata["finish_reason"] == "tool_calls"


async def test_auto(model: ChatLlama, marked: ChatLlama) -> None:
    """Under auto a model speaks freely; once it writes the marker's token, what follows is a call."""
    plain = await model.bind_tools([weather, clock]).ainvoke(QUESTION)
    assert plain.content
    assert plain.tool_calls == []
    token = marked.get_token_ids(HERMES.marker)
    assert len(token) == 1
    assert marked.get_num_tokens(LLAMA3.marker) > 1
    bound = marked.bind_tools([weather, clock], logit_bias={token[0]: 50.0})
    answer = await bound.ainvoke(QUESTION)
    assert answer.content == ""
    assert answer.tool_calls
    assert {call["name"] for call in answer.tool_calls} <= {"weather", "clock"}


async def test_none(marked: ChatLlama) -> None:
    """Under none no call begins, however much the model wants to, and no marker comes into the text."""
    token = marked.get_token_ids(HERMES.marker)[0]
    bound = marked.bind_tools([weather], tool_choice="none", logit_bias={token: 50.0})
    answer = await bound.ainvoke(QUESTION)
    assert answer.content
    assert HERMES.marker not in answer.text
    assert answer.tool_calls == []


async def test_a_call_that_is_cut(model: ChatLlama) -> None:
    """A call for which there are too few tokens never becomes a call with half of its arguments."""
    for limit in (4, 24, 34):
        bound = model.bind_tools([weather], tool_choice="any", max_tokens=limit)
        answer = await bound.ainvoke(QUESTION)
        streamed = AIMessageChunk(content="")
        async for chunk in bound.astream(QUESTION):
            streamed += chunk  # type: ignore[assignment]
        for message in (answer, streamed):
            assert message.content == ""
            assert all(weather.invoke(call["args"]) for call in message.tool_calls)
            if not message.tool_calls:
                assert message.response_metadata["finish_reason"] == "length"


async def test_stop_strings_cut_no_call(model: ChatLlama) -> None:
    """Where a call is required, a stop string that its form or its arguments hold does not end it."""
    bound = model.bind_tools([weather], tool_choice="weather")
    answer = await bound.ainvoke(QUESTION, stop=["\n", '"'])
    assert [call["args"] for call in answer.tool_calls] == [
        call["args"] for call in (await bound.ainvoke(QUESTION)).tool_calls
    ]
    assert answer.tool_calls


def test_counting_tools(model: ChatLlama) -> None:
    """Tools count as the prompt shows them."""
    answer = model.bind_tools([weather, clock]).invoke(QUESTION)
    assert answer.usage_metadata is not None
    counted = model.get_num_tokens_from_messages(list(QUESTION), [weather, clock])
    assert counted == answer.usage_metadata["input_tokens"]
    assert counted > model.get_num_tokens_from_messages(list(QUESTION))


async def test_agent(model: ChatLlama) -> None:
    """An agent's loop runs: the model must call, LangGraph's ToolNode runs the call, and the model answers with it."""

    async def agent(state: MessagesState) -> dict[str, list[AnyMessage]]:
        called = any(isinstance(message, ToolMessage) for message in state["messages"])
        choice = "none" if called else "weather"
        bound = model.bind_tools([weather, clock], tool_choice=choice)
        return {"messages": [await bound.ainvoke(state["messages"])]}

    builder = StateGraph(MessagesState)
    builder.add_node("agent", agent)
    builder.add_node("tools", ToolNode([weather, clock]))
    builder.add_edge(START, "agent")
    builder.add_conditional_edges("agent", tools_condition)
    builder.add_edge("tools", "agent")
    graph = builder.compile()
    state = {"messages": [SystemMessage("Be brief."), *QUESTION]}
    messages = (await graph.ainvoke(state))["messages"]
    assert [message.type for message in messages] == ["system", "human", "ai", "tool", "ai"]
    assert isinstance(messages[3], ToolMessage)
    assert isinstance(messages[2], AIMessage)
    assert messages[3].status == "success"
    assert messages[3].content.startswith("21 degrees")
    assert messages[3].tool_call_id == messages[2].tool_calls[0]["id"]
    assert messages[4].content
    # The same while LangGraph streams, where every invocation becomes a stream.
    calls = [part async for part, _ in graph.astream(state, stream_mode="messages") if getattr(part, "tool_calls", [])]
    assert calls


async def test_tools_beside_structured_output(model: ChatLlama) -> None:
    """With a response format, an answer is a call or JSON of the schema, never free text."""
    bound = model.bind_tools([clock], response_format={"type": "json_object", "schema": Add.model_json_schema()})
    answer = await bound.ainvoke(QUESTION)
    if not answer.tool_calls:
        Add.model_validate_json(answer.text)
    assert bool(answer.content) != bool(answer.tool_calls)
