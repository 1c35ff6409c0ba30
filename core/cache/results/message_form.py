"""What a message says, without what is random about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import LC_AUTO_PREFIX, BaseMessage

__all__ = ["MessageForms"]

# Ids, and what a provider says of a call: times, counts and the names of the call.
_LEFT_OUT = {"id", "type", "response_metadata", "usage_metadata", "tool_call_chunks", "chunk_position"}
_CALLED = {"id", "tool_call_id", "tool_use_id", "call_id"}


@dataclass(frozen=True)
class _Call:
    """Stands for the id of a tool call."""

    number: int


class MessageForms:
    """Writes messages for `canonical_json`: two messages that say the same have one form.

    Left out are the message's id, `response_metadata`, `usage_metadata`, and the ids that LangChain gave to blocks of
    content. The ids of tool calls are numbered in the order in which they come, so that a result still belongs to its
    call. All else counts: kind, content, name, tool calls, status, artifact, `additional_kwargs`.

    Use one object for one input: it counts the tool calls.

    Args:
        text: Changes the text of the user's messages, such as `normalise`; None leaves it as it is.

    Example:
        >>> from langchain_core.messages import HumanMessage
        >>> MessageForms()(HumanMessage("Hello", id="1")) == MessageForms()(HumanMessage("Hello", id="2"))
        True
    """

    def __init__(self, text: Callable[[str], str] | None = None) -> None:
        self._text = text
        self._calls: dict[str, int] = {}

    def __call__(self, value: Any) -> tuple[str, Any] | None:
        """The form of a message; None for anything else."""
        if isinstance(value, _Call):
            return "call", value.number
        if not isinstance(value, BaseMessage):
            return None
        kind = value.type.removesuffix("MessageChunk").lower()
        said = {name: part for name, part in value if name not in _LEFT_OUT and not _is_empty(part)}
        if kind == "remove":
            said["id"] = value.id
        for call in [*said.get("tool_calls", ()), *said.get("invalid_tool_calls", ())]:
            self._number(call.get("id"))
        self._number(said.get("tool_call_id"))
        if kind == "human" and self._text is not None:
            said["content"] = _spoken(said.get("content", ""), self._text)
        return "message", [kind, self._without_ids(said)]

    def _number(self, call_id: Any) -> None:
        if isinstance(call_id, str):
            self._calls.setdefault(call_id, len(self._calls))

    def _without_ids(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {
                key: _Call(self._calls[item]) if key in _CALLED and self._is_call(item) else self._without_ids(item)
                for key, item in value.items()
                if not (key == "id" and isinstance(item, str) and item.startswith(LC_AUTO_PREFIX))
            }
        if isinstance(value, list | tuple):
            return [self._without_ids(item) for item in value]
        return value

    def _is_call(self, item: Any) -> bool:
        return isinstance(item, str) and item in self._calls


def _is_empty(part: Any) -> bool:
    return part is None or (isinstance(part, list | dict) and not part)


def _spoken(content: Any, text: Callable[[str], str]) -> Any:
    """The content with its text changed, also where it comes in blocks."""
    if isinstance(content, str):
        return text(content)
    if isinstance(content, list):
        return [_spoken(block, text) for block in content]
    if isinstance(content, Mapping) and content.get("type") == "text" and isinstance(content.get("text"), str):
        return {**content, "text": text(content["text"])}
    return content
