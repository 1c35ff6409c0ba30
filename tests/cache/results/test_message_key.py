"""Keys of nodes' inputs for LangGraph's cache."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, AIMessageChunk, AnyMessage, HumanMessage, RemoveMessage, ToolMessage
from pydantic import BaseModel

from freehold.cache.results.message_key import MessageKey, chat_policy, message_key
from freehold.errors import CacheKeyError, SettingsError

TEXT = st.text(max_size=3)


def turns(*texts: str, first: str = "x") -> list[AnyMessage]:
    """A conversation in which everything that is drawn by chance is drawn anew."""
    call = uuid.uuid4().hex
    metadata = {"id": uuid.uuid4().hex, "created": uuid.uuid4().int}
    usage: Any = {"input_tokens": uuid.uuid4().int % 100, "output_tokens": 1, "total_tokens": 1}
    messages: list[AnyMessage] = [
        HumanMessage(first, id=uuid.uuid4().hex),
        AIMessage(
            [{"type": "text", "text": "Let me look.", "id": f"lc_{uuid.uuid4()}"}, {"type": "tool_use", "id": call}],
            id=f"lc_run--{uuid.uuid4()}",
            response_metadata=metadata,
            usage_metadata=usage,
            tool_calls=[{"name": "look", "args": {"where": "shed"}, "id": call}],
            additional_kwargs={"tool_calls": [{"id": call, "function": {"name": "look"}}]},
        ),
        ToolMessage("A key.", tool_call_id=call, id=uuid.uuid4().hex),
    ]
    return [*messages, *(HumanMessage(text, id=uuid.uuid4().hex) for text in texts)]


@given(st.lists(TEXT, max_size=3), st.lists(TEXT, max_size=3))
def test_what_was_said_is_the_key_and_nothing_drawn_by_chance(one: list[str], other: list[str]) -> None:
    """A repeated conversation hits, and one that differs in a single character does not."""
    assert (message_key({"messages": turns(*one)}) == message_key({"messages": turns(*other)})) == (one == other)


@pytest.mark.parametrize(
    "other",
    [
        AIMessage("Yes.", tool_calls=[{"name": "look", "args": {"where": "attic"}, "id": "1"}]),
        AIMessage("Yes.", tool_calls=[{"name": "see", "args": {"where": "shed"}, "id": "1"}]),
        AIMessage("Yes.", name="bob"),
        AIMessage("No."),
        HumanMessage("Yes."),
        AIMessage("Yes.", additional_kwargs={"intent": "greet"}),
        AIMessage([{"type": "image", "source_type": "id", "id": "file-1"}]),
        AIMessage([{"type": "image", "source_type": "id", "id": "file-2"}]),
        ToolMessage("Yes.", tool_call_id="1"),
        ToolMessage("Yes.", tool_call_id="1", status="error"),
        ToolMessage("Yes.", tool_call_id="1", artifact=[1]),
        RemoveMessage("1"),
        RemoveMessage("2"),
    ],
)
def test_everything_else_about_a_message_counts(other: AnyMessage) -> None:
    """Kind, name, calls, files, status and artifact change what a node does with a message."""
    messages: list[AnyMessage] = [
        AIMessage("Yes.", tool_calls=[{"name": "look", "args": {"where": "shed"}, "id": "1"}]),
        AIMessage("Yes."),
    ]
    keys = {message_key([message]) for message in messages}
    if other != messages[1]:
        assert message_key([other]) not in keys


def test_files_and_removals_are_told_apart() -> None:
    """The id of a file is what the message says, and so is that of the message to remove."""
    pictures = [AIMessage([{"type": "image", "id": f"file-{number}"}]) for number in range(2)]
    assert message_key(pictures[0]) != message_key(pictures[1])
    assert message_key(RemoveMessage("1")) != message_key(RemoveMessage("2"))


def test_a_result_belongs_to_its_call() -> None:
    """Ids of calls are numbered and not dropped: swapping two results changes what was said."""
    calls: Any = [{"name": "look", "args": {}, "id": "a"}, {"name": "look", "args": {}, "id": "b"}]
    straight = [AIMessage("", tool_calls=calls), ToolMessage("1", tool_call_id="a"), ToolMessage("2", tool_call_id="b")]
    crossed = [AIMessage("", tool_calls=calls), ToolMessage("1", tool_call_id="b"), ToolMessage("2", tool_call_id="a")]
    assert message_key(straight) != message_key(crossed)


def test_a_message_in_chunks_is_the_message() -> None:
    """A node may hand on what it streamed."""
    assert message_key([AIMessageChunk(content="Yes.")]) == message_key([AIMessage("Yes.")])


def test_user_text_is_normalised_only_where_asked() -> None:
    """Case can matter; whoever asks for it has the same form as the response cache, for the user's words alone."""
    spoken = [HumanMessage("Where is it?"), HumanMessage([{"type": "text", "text": "Where is it?"}])]
    shouted = [HumanMessage(" WHERE  is it"), HumanMessage([{"type": "text", "text": " WHERE  is it"}])]
    assert message_key(spoken) != message_key(shouted)
    assert MessageKey(normalise=True)(spoken) == MessageKey(normalise=True)(shouted)
    assert MessageKey(normalise=True)([AIMessage("Yes.")]) != MessageKey(normalise=True)([AIMessage("YES")])


@dataclass
class State:
    messages: list[AnyMessage]
    turn: int = 0


class Model(BaseModel):
    messages: list[AnyMessage]
    turn: int = 0


@pytest.mark.parametrize("kind", [dict, State, Model])
def test_only_the_named_keys_count(kind: Any) -> None:
    """A counter or a clock in the state need not make every input new, however the state is declared."""
    key = MessageKey(("messages",))
    assert key(kind(messages=turns("x"), turn=1)) == key(kind(messages=turns("x"), turn=2))
    assert key(kind(messages=turns("x"))) != key(kind(messages=turns("y")))
    assert message_key(kind(messages=turns("x"), turn=1)) != message_key(kind(messages=turns("x"), turn=2))


def test_tasks_of_the_functional_api_have_several_arguments() -> None:
    """LangGraph gives `key_func` whatever the task was called with."""
    assert message_key(1, unit="C") == message_key(1, unit="C") != message_key(1, unit="F")
    assert message_key([1], 2) != message_key([1, 2])


def test_mistakes_are_said_by_name() -> None:
    """Inputs that cannot be told apart must not collide silently."""
    with pytest.raises(CacheKeyError, match=r"input\['loader'\]"):
        message_key({"messages": turns(), "loader": object()})
    with pytest.raises(CacheKeyError, match="none of"):
        MessageKey(("messages",))(turns())
    with pytest.raises(CacheKeyError, match="none of"):
        MessageKey("mesages")({"messages": turns()})
    with pytest.raises(SettingsError, match="same key"):
        chat_policy(keys=[])
    assert chat_policy(60, keys="messages").key_func.keys == ("messages",)
