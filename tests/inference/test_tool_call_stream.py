"""An answer is parted into text and tool calls, wherever its pieces are cut."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessageChunk

from freehold.inference.tool_call_stream import CallPiece, ToolCallStream
from freehold.inference.tool_calls import content_and_chunks, parsed_calls
from freehold.inference.tool_forms import FORMS, HERMES, LLAMA3, MISTRAL, ToolForm

MARKS = ["<tool_call>", "</tool_call>", "[TOOL_CALLS]", '{"name": "', "[ARGS]", '"}', "\\", "🙂", " \n"]
TEXTS = st.lists(st.one_of(st.sampled_from(MARKS), st.text(max_size=6)), max_size=6).map("".join)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=6,
)
CALLS = st.tuples(st.from_regex(r"[a-zA-Z0-9_]{1,9}", fullmatch=True), st.dictionaries(TEXTS, VALUES, max_size=3))


def written(form: ToolForm, text: str, calls: list[tuple[str, dict[str, Any]]]) -> str:
    """An answer as a model writes it."""
    if not calls:
        return text
    each = [
        f"{form.before_name}{name}{form.before_arguments}{json.dumps(arguments, ensure_ascii=False)}{form.after}"
        for name, arguments in calls
    ]
    return text + form.marker + form.opening + form.separator.join(each) + form.end


def read(form: ToolForm | None, pieces: list[str]) -> tuple[str, list[tuple[str, str, bool]], AIMessageChunk]:
    """What comes out: the text, each call's name, arguments and wholeness, and the chunks joined by LangChain."""
    stream = ToolCallStream(form)
    message = AIMessageChunk(content="")
    for piece in pieces:
        content, chunks = content_and_chunks(stream.push(piece))
        message += AIMessageChunk(content=content, tool_call_chunks=chunks)
    content, chunks = content_and_chunks(stream.finish())
    message += AIMessageChunk(content=content, tool_call_chunks=chunks, chunk_position="last")
    return str(message.content), [(call.name, call.arguments, call.complete) for call in stream.calls], message


@st.composite
def answers(draw: st.DrawFn) -> tuple[ToolForm, str, list[tuple[str, dict[str, Any]]], str, list[str]]:
    """A form, an answer's text and calls, the whole as written, and the same in pieces."""
    form = draw(st.sampled_from(FORMS))
    text = draw(TEXTS.filter(lambda text: form.marker not in text))
    calls = draw(st.lists(CALLS, max_size=3 if form.parallel else 1))
    if form.leading and calls:
        text = ""
    # A text whose end could begin the marker would be another text and the marker.
    if calls and (text + form.marker).index(form.marker) != len(text):
        text = ""
    whole = written(form, text, calls)
    cuts = sorted(draw(st.lists(st.integers(0, len(whole)), max_size=12)))
    return form, text, calls, whole, [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]


@given(answers())
def test_calls_are_read_back(answer: tuple[ToolForm, str, list[tuple[str, dict[str, Any]]], str, list[str]]) -> None:
    """Text and calls come out as they went in, however the answer is cut, and no marker is left in the text."""
    form, text, calls, whole, pieces = answer
    content, found, message = read(form, pieces)
    assert content == (text.rstrip() if calls else text)
    assert [(name, json.loads(arguments), whole) for name, arguments, whole in found] == [
        (*call, True) for call in calls
    ]
    assert read(form, [whole])[:2] == (content, found)
    assert [(call["name"], call["args"]) for call in message.tool_calls] == calls
    assert message.invalid_tool_calls == []
    ids = [call["id"] for call in message.tool_calls]
    assert len(set(ids)) == len(ids) == len(calls)


@given(answers(), st.data())
def test_a_cut_call_is_invalid(
    answer: tuple[ToolForm, str, list[tuple[str, dict[str, Any]]], str, list[str]], data: st.DataObject
) -> None:
    """An answer that ends anywhere yields its whole calls only: LangChain completes no half of a call's arguments."""
    form, text, calls, whole, _ = answer
    end = data.draw(st.integers(0, len(whole)))
    content, found, message = read(form, list(whole[:end]))
    assert (content, found) == read(form, [whole[:end]])[:2]
    complete = [call for call in found if call[2]]
    assert len(found) - len(complete) <= 1
    assert [(name, json.loads(arguments)) for name, arguments, _ in complete] == calls[: len(complete)]
    assert [(call["name"], call["args"]) for call in message.tool_calls] == calls[: len(complete)]
    assert [call["name"] for call in message.invalid_tool_calls] == [
        name for name, _, complete in found if not complete
    ]
    if calls and end >= len(text) + len(form.marker):
        assert content == text.rstrip()


def test_calls_stream() -> None:
    """A call's name comes before its arguments, and these come piece by piece, numbered."""
    stream = ToolCallStream(HERMES)
    text = written(HERMES, "Wait.\n", [("add", {"a": 1}), ("say", {"text": "</tool_call>"})])
    pieces = [piece for character in text for piece in stream.push(character)] + stream.finish()
    assert "".join(piece for piece in pieces if isinstance(piece, str)) == "Wait."
    found = [piece for piece in pieces if isinstance(piece, CallPiece)]
    assert [piece.name for piece in found if piece.name] == ["add", "say"]
    assert [piece.index for piece in found] == sorted(piece.index for piece in found)
    assert found[0] == CallPiece(0, "add", stream.calls[0].id)
    assert len([piece for piece in found if piece.index == 1]) == 2 + len('{"text": "</tool_call>"}') - 1
    assert stream.called
    assert parsed_calls(stream.calls)[0][1]["args"] == {"text": "</tool_call>"}


def test_what_is_held_back() -> None:
    """Only what may become a marker waits, and blanks before it; it comes when it turns out to be text."""
    stream = ToolCallStream(HERMES)
    assert stream.push("a <b") == ["a <b"]
    assert stream.push(" <tool_") == []
    assert stream.push("box>") == [" <tool_box>"]
    assert stream.push(" ") == []
    assert stream.finish() == [" "]
    assert not stream.called


@pytest.mark.parametrize("blank", ["", " "])
def test_a_blank_after_mistrals_marker(blank: str) -> None:
    """Mistral's models write a blank after the marker, or none."""
    stream = ToolCallStream(MISTRAL)
    stream.push(f'[TOOL_CALLS]{blank}[{{"name": "add", "arguments": {{}}}}]')
    assert [call.name for call in stream.calls] == ["add"]


def test_json_in_text_is_no_call() -> None:
    """A form whose calls begin an answer takes JSON that stands later as text; without a form everything is text."""
    text = 'As JSON: {"name": "add", "parameters": {}}'
    assert read(LLAMA3, list(text))[:2] == (text, [])
    call = LLAMA3.call("add", {})
    assert read(LLAMA3, list(call))[1] == [("add", "{}", True)]
    assert read(None, list(call))[:2] == (call, [])
