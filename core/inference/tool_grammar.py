"""The grammar under which a model's tool calls can be read, whatever the model."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from freehold.inference.guide_forms import guided_schema
from freehold.inference.tool_calls import ToolUse
from freehold.inference.tool_forms import MARKERS, ToolForm

__all__ = ["text_grammar", "tool_grammar"]

TokenOf = Callable[[str], int | None]
"""The one token that a text makes in the model's vocabulary, or None where it makes several."""

_MARKER = re.compile("|".join(map(re.escape, MARKERS)))

_MOST_CALLS = 16
"""Calls in one answer: a weak model would go on calling until its tokens are spent."""


def _arguments(function: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of a call's arguments."""
    return {"type": "object", "properties": {}, **(function.get("parameters") or {})}


def _leading_call(tool: Mapping[str, Any]) -> dict[str, Any]:
    """A call in Llama's form as a JSON schema."""
    function = tool["function"]
    arguments = _arguments(function)
    shared = {name: arguments.pop(name) for name in ("$defs", "definitions") if name in arguments}
    properties = {"name": {"const": function["name"]}, "parameters": arguments}
    call = {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}
    return call | shared


def _json(schema: Mapping[str, Any]) -> str:
    return "%json " + json.dumps(guided_schema(schema))


def _fixed(text: str, token_of: TokenOf) -> str:
    """A fixed text. Where a marker in it is a token of its own, it may be written as that token or letter by letter."""
    parts = []
    place = 0
    for match in _MARKER.finditer(text):
        token = token_of(match[0])
        if token is not None:
            parts += [json.dumps(text[place : match.start()]), f"({json.dumps(match[0])} | <[{token}]>)"]
            place = match.end()
    parts.append(json.dumps(text[place:]))
    return " ".join(part for part in parts if part != '""')


def tool_grammar(form: ToolForm, use: ToolUse, token_of: TokenOf, *, schema: Mapping[str, Any] | None = None) -> str:
    """A grammar in llguidance's Lark form: text, or text and calls; calls alone where one is required.

    Args:
        form: How the model writes calls.
        use: Which tools may be called, and whether one must.
        token_of: Looks a marker up in the model's vocabulary.
        schema: Instead of free text, JSON of this schema.
    """
    calls = []
    for tool in use.callable:
        function = tool["function"]
        arguments = _arguments(function)
        begin = _fixed(form.before_name + function["name"] + form.before_arguments, token_of)
        calls.append(f"({begin} {_json(arguments)} {_fixed(form.after, token_of)})")
    rules = ["%llguidance {}", f"call: {' | '.join(calls)}"]
    body = "call"
    if use.parallel and form.parallel:
        body += f" ({_fixed(form.separator, token_of)} call){{0,{_MOST_CALLS - 1}}}"
    # Some of Mistral's models write a blank between the marker and the bracket.
    opening = f'" "? {_fixed(form.opening, token_of)}' if form.opening else ""
    rules.append(f"calls: {opening} {body} {_fixed(form.end, token_of)}")
    if use.required or form.leading or schema is not None:
        head = _fixed(form.marker, token_of)
    else:
        # Lazy: the marker ends the text as soon as it is whole. Its own token is no text, and so ends it as well.
        token = token_of(form.marker)
        head = "head"
        rules += [
            "head: marked" + ("" if token is None else f" | TEXT <[{token}]>"),
            f"marked[lazy]: TEXT {json.dumps(form.marker)}",
        ]
    if use.required:
        rules.append(f"start: {head} calls")
    elif schema is not None and form.leading:
        # Both begin with a brace: only what is JSON Schema throughout may share its beginning with JSON Schema.
        objects = " | ".join(_json(part) for part in (schema, *map(_leading_call, use.callable)))
        rules = [rules[0], f"start: {objects}"]
    elif schema is not None:
        rules += [f"start: object | {head} calls", f"object: {_json(schema)}"]
    else:
        text = r"/([^{\s](.|\n)*)?/" if form.leading else r"/(.|\n)*/"
        thought = "" if form.leading else _thought(token_of)
        rules += [f"start: {thought}(TEXT | {head} calls)", f"TEXT: {text}"]
    return "\n".join(rules) + "\n"


def text_grammar(form: ToolForm, token_of: TokenOf) -> str | None:
    """A grammar for text in which no call begins; None where the form has no marker that text could not hold."""
    if form.leading:
        return None
    without = f"/(?s:.*)/ & ~/(?s:.*){re.escape(form.marker)}(?s:.*)/"
    return f"%llguidance {{}}\nstart: {_thought(token_of)}TEXT\nTEXT: {without}\n"


def _thought(token_of: TokenOf) -> str:
    """What a model may think before it answers, where its vocabulary has tokens for that: a grammar's text has none."""
    begin, end = token_of("<think>"), token_of("</think>")
    return "" if begin is None or end is None else f"(<[{begin}]>? TEXT <[{end}]>)? "
