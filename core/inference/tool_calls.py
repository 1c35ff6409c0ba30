"""Tools as LangChain gives them, and tool calls as it takes them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import InvalidToolCall, ToolCall, ToolCallChunk
from langchain_core.messages.tool import invalid_tool_call, tool_call, tool_call_chunk
from langchain_core.utils.function_calling import convert_to_openai_tool

from freehold.errors import UserError
from freehold.inference.tool_call_stream import CallPiece, ParsedCall

__all__ = ["ToolUse", "content_and_chunks", "parsed_calls", "tool_use"]

_NAME = re.compile(r"[a-zA-Z0-9_.-]{1,64}")


@dataclass(frozen=True)
class ToolUse:
    """What an answer may do with tools."""

    tools: tuple[dict[str, Any], ...] = ()
    """Functions as OpenAI describes them."""
    callable: tuple[dict[str, Any], ...] = ()
    """Those of them that may be called."""
    required: bool = False
    """At least one must be called, and the answer holds nothing else."""
    parallel: bool = True
    """Several may be called."""

    @property
    def shown(self) -> tuple[dict[str, Any], ...]:
        """Those that the prompt describes: all, or none where none may be called."""
        return self.tools if self.callable else ()


def _choice(choice: Any) -> str:
    """A tool choice of any usual form as "auto", "none", "required" or a tool's name."""
    if choice is None or choice is False:
        return "auto" if choice is None else "none"
    if choice is True or choice == "any":
        return "required"
    if isinstance(choice, Mapping):
        function = choice.get("function")
        if isinstance(function, Mapping) and isinstance(function.get("name"), str):
            return str(function["name"])
        return _choice(choice.get("name") or choice.get("type"))
    if isinstance(choice, str):
        return choice
    raise UserError(f'tool_choice={choice!r} cannot be used: give "auto", "required", "none" or the name of a tool.')


def tool_use(
    tools: Sequence[Any] | None, choice: Any = None, *, parallel: bool | None = None, strict: bool | None = None
) -> ToolUse:
    """Read tools and a tool choice in any form that LangChain takes.

    Args:
        tools: Functions, pydantic models, LangChain tools, or dictionaries.
        choice: "auto" (the default), "required" or "any", "none", a tool's name, or OpenAI's dictionary for one.
        parallel: Whether one answer may hold several calls; a named tool is called once.
        strict: As in OpenAI's description of a function.

    Raises:
        UserError: A tool or the choice cannot be used.

    Example:
        >>> def add(a: int, b: int) -> int:
        ...     "Adds two numbers."
        ...     return a + b
        >>> tool_use([add], "any").required
        True
    """
    chosen = _choice(choice)
    if not tools:
        if chosen not in ("auto", "none"):
            raise UserError(f"tool_choice={choice!r} asks for a tool, and none is given: give tools as well.")
        return ToolUse()
    described = tuple(_described(tool, strict) for tool in tools)
    names = [tool["function"]["name"] for tool in described]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(f"Two tools are called {', '.join(twice)}: give each its own name.")
    if chosen == "none":
        return ToolUse(described)
    if chosen in ("auto", "required"):
        return ToolUse(described, described, required=chosen == "required", parallel=parallel is not False)
    if chosen not in names:
        raise UserError(
            f'tool_choice={chosen!r} is no tool: give "auto", "required", "none" or one of {", ".join(names)}.'
        )
    named = tuple(tool for tool in described if tool["function"]["name"] == chosen)
    return ToolUse(described, named, required=True, parallel=False)


def _described(tool: Any, strict: bool | None) -> dict[str, Any]:
    try:
        form = convert_to_openai_tool(tool, strict=strict)
    except (ValueError, TypeError) as error:
        raise UserError(f"The tool {tool!r} cannot be described to a model: {error}") from error
    function = form.get("function")
    if not isinstance(function, Mapping):
        raise UserError(f"The tool {tool!r} is no function: a local model can call functions only.")
    name = function.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UserError(f"A tool cannot be called {name!r}: use up to 64 letters, digits, `_`, `-` or `.`.")
    return form


def content_and_chunks(pieces: Iterable[str | CallPiece]) -> tuple[str, list[ToolCallChunk]]:
    """Pieces of an answer as the content and the tool call chunks of a message chunk."""
    text: list[str] = []
    chunks: list[ToolCallChunk] = []
    for piece in pieces:
        if isinstance(piece, str):
            text.append(piece)
        elif chunks and chunks[-1]["index"] == piece.index:
            chunks[-1]["args"] = (chunks[-1]["args"] or "") + piece.arguments
        else:
            chunks.append(tool_call_chunk(name=piece.name, args=piece.arguments, id=piece.id, index=piece.index))
    return "".join(text), chunks


def parsed_calls(calls: Iterable[ParsedCall]) -> tuple[list[ToolCall], list[InvalidToolCall]]:
    """The calls of a whole answer; one that was cut off is invalid."""
    valid: list[ToolCall] = []
    invalid: list[InvalidToolCall] = []
    for call in calls:
        if call.complete:
            valid.append(tool_call(name=call.name, args=json.loads(call.arguments), id=call.id))
        else:
            invalid.append(
                invalid_tool_call(name=call.name, args=call.arguments, id=call.id, error="The answer was cut off.")
            )
    return valid, invalid
