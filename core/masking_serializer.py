"""The serializer that masks personal data in user messages before a checkpoint is written."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from langchain_core.messages import ChatMessage, HumanMessage
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from pydantic import BaseModel

__all__ = ["MaskingSerializer"]

_HOLDERS = frozenset({"messages", "__start__", "channel_values"})


class MaskingSerializer(JsonPlusSerializer):
    """Mask the text of user messages on its way into a checkpoint.

    LangGraph stores a run's input before its first node runs, so a node alone cannot keep personal data off the disk.
    Works with any checkpointer: pass it as `serde`. A message that is a bare string it can only tell where it stands in
    the input; `SqliteCheckpointer` also masks it as it is written to the channel `messages`.

    Args:
        mask: Gives the masked form of a text; the masked form of a masked text must be itself.
    """

    def __init__(self, mask: Callable[[str], str]) -> None:
        super().__init__()
        self._mask = lru_cache(maxsize=1024)(mask)

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        """Serialize with user messages masked."""
        return super().dumps_typed(self.masked(obj))

    def masked(self, value: Any) -> Any:  # noqa: PLR0911 - one case for each form that a message has
        """The value with user messages masked, wherever LangGraph's checkpoints hold them."""
        match value:
            case HumanMessage() | ChatMessage(role="user" | "human"):
                changed = {"content": self._content(value.content), "name": value.name and self._mask(value.name)}
                return value.model_copy(update=changed)
            case {"role": "user" | "human", "content": content} | {"type": "user" | "human", "content": content}:
                return {**value, "content": self._content(content)}
            case {"lc": 1, "kwargs": {"content": content, **rest}}:
                return {**value, "kwargs": {**rest, "content": self._content(content)}}
            case dict() if not _HOLDERS.isdisjoint(value):
                return {name: self._held(name, held) for name, held in value.items()}
            case BaseModel() if "messages" in type(value).model_fields:
                return value.model_copy(update={"messages": self._held("messages", value.messages)})  # type: ignore[attr-defined]
            case ("user" | "human" as role, content):
                return (role, self._content(content))
            case list() | tuple():
                return [self.masked(item) for item in value]
            case _:
                return value

    def _held(self, name: str, value: Any) -> Any:
        """What stands under a key: a message, or messages, may be bare strings there."""
        if name != "messages":
            return self.masked(value) if name in _HOLDERS else value
        if isinstance(value, str):
            return self._mask(value)
        if isinstance(value, list):
            return [self._mask(item) if isinstance(item, str) else self.masked(item) for item in value]
        return self.masked(value)

    def _content(self, content: Any) -> Any:
        if isinstance(content, str):
            return self._mask(content)
        if not isinstance(content, list):
            return content
        return [
            {**part, "text": self._mask(part["text"])}
            if isinstance(part, dict) and isinstance(part.get("text"), str)
            else self._mask(part)
            if isinstance(part, str)
            else part
            for part in content
        ]
