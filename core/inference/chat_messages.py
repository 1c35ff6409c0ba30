"""LangChain's messages and options in the form that chat templates and grammars take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ChatMessage, ToolMessage

from freehold.errors import UserError

__all__ = ["json_schema_of", "to_chat"]

_CALLS = frozenset({"tool_call", "tool_call_chunk", "tool_use"})
"""Blocks of content that repeat what `AIMessage.tool_calls` holds."""

_ROLES = {"system": "system", "human": "user", "ai": "assistant", "tool": "tool", "function": "tool"}


def _text(content: str | list[Any]) -> str:
    """The text of a message's content; a list of text blocks is joined."""
    if isinstance(content, str):
        return content
    parts = []
    for block in content:
        if isinstance(block, str):
            parts.append(block)
        elif isinstance(block, Mapping) and block.get("type") == "text" and isinstance(block.get("text"), str):
            parts.append(block["text"])
        elif not (isinstance(block, Mapping) and block.get("type") in _CALLS):
            kind = block.get("type") if isinstance(block, Mapping) else type(block).__name__
            raise UserError(
                f"The local model takes text only, and a message holds a block of type {kind!r}: leave it out."
            )
    return "".join(parts)


def to_chat(messages: Sequence[BaseMessage]) -> list[dict[str, Any]]:
    """The messages as `role` and `content`, with `tool_calls`, `tool_call_id` and `name`, as chat templates want them.

    A call that was cut off is left out: no tool ran for it.

    Raises:
        UserError: A message holds something else than text, or is of an unknown kind.

    Example:
        >>> from langchain_core.messages import HumanMessage
        >>> to_chat([HumanMessage("Hello")])
        [{'role': 'user', 'content': 'Hello'}]
    """
    chat = []
    for message in messages:
        kind = message.type.removesuffix("MessageChunk").lower()
        role = message.role if isinstance(message, ChatMessage) else _ROLES.get(kind)
        if role is None:
            raise UserError(f"A message of type {message.type!r} cannot be shown to a model: leave it out.")
        entry: dict[str, Any] = {"role": role, "content": _text(message.content)}
        if isinstance(message, AIMessage) and message.tool_calls:
            entry["tool_calls"] = [
                {"id": call["id"], "type": "function", "function": {"name": call["name"], "arguments": call["args"]}}
                for call in message.tool_calls
            ]
        elif isinstance(message, ToolMessage):
            entry["tool_call_id"] = message.tool_call_id
        if role == "tool" and message.name:
            entry["name"] = message.name
        chat.append(entry)
    return chat


def json_schema_of(response_format: Any) -> Mapping[str, Any] | None:
    """The JSON schema that a `response_format` asks for, or None for free text.

    Both usual forms are read: `{"type": "json_object", "schema": {...}}`, where the schema may be left out, and
    `{"type": "json_schema", "json_schema": {"schema": {...}}}`.

    Raises:
        UserError: The form is not one of these.
    """
    if response_format is None:
        return None
    if isinstance(response_format, Mapping):
        kind = response_format.get("type")
        if kind == "text":
            return None
        schema: Any = None
        if kind == "json_object":
            schema = response_format.get("schema") or {"type": "object"}
        elif kind == "json_schema":
            outer = response_format.get("json_schema")
            schema = outer.get("schema") if isinstance(outer, Mapping) else None
        if isinstance(schema, Mapping):
            return schema
    raise UserError(
        f"response_format={response_format!r} cannot be used: give "
        '{"type": "json_object", "schema": {...}} or {"type": "json_schema", "json_schema": {"schema": {...}}}.'
    )
