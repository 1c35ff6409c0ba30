"""Ids of messages in what a node was given and in what it gave."""

from __future__ import annotations

import re
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from langchain_core.messages import LC_AUTO_PREFIX, BaseMessage, RemoveMessage
from pydantic import BaseModel

__all__ = ["message_ids", "rename_messages"]

_UUID = re.compile(r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}", re.IGNORECASE)


def message_ids(value: Any) -> list[str | None]:
    """The ids of the messages in a value, in an order that does not depend on how it was built.

    Example:
        >>> from langchain_core.messages import AIMessage
        >>> message_ids({"b": [AIMessage("", id="2")], "a": AIMessage("", id="1")})
        ['1', '2']
    """
    return [message.id for message in _messages(value)]


def rename_messages(value: Any, new: Mapping[str, str | None], models: Collection[str]) -> None:
    """Give the messages in a value the ids that they have in this run.

    Two answers must not have one id: in one thread, the second would take the place of the first.

    Args:
        value: What a node gave in an earlier run; it is changed.
        new: Ids of this run by those of the earlier one: of the input's messages, and of what was said again.
        models: Ids that models gave. These, and those that look drawn by chance, are drawn anew; a node's own stay.
    """
    drawn: dict[str, str] = {}
    for message in _messages(value):
        old = message.id
        if old is None:
            continue
        if old in new:
            message.id = new[old]
        elif not isinstance(message, RemoveMessage) and (
            old in models or old.startswith(LC_AUTO_PREFIX) or _UUID.search(old)
        ):
            message.id = drawn.setdefault(old, str(uuid.uuid4()))


def _messages(value: Any) -> Iterator[BaseMessage]:
    if isinstance(value, BaseMessage):
        yield value
    elif isinstance(value, Mapping):
        for key in sorted(value, key=str):
            yield from _messages(value[key])
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        for item in value:
            yield from _messages(item)
    elif isinstance(value, BaseModel):
        yield from _messages(dict(value))
    elif is_dataclass(value) and not isinstance(value, type):
        yield from _messages({field.name: getattr(value, field.name, None) for field in fields(value)})
