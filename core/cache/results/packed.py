"""Values as bytes with a version in front, so that what another version wrote is ignored and not crashed on."""

from __future__ import annotations

import logging
from functools import cache
from typing import Any

from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

__all__ = ["pack", "serializer", "unpack"]

_log = logging.getLogger(__name__)

# A change in what lies in these bytes must change it. No JSON and no msgpack begins so.
_VERSION = b"\xf1fh1:"


@cache
def serializer() -> JsonPlusSerializer:
    """What makes bytes of results; one for all."""
    return JsonPlusSerializer()


def pack(serde: SerializerProtocol, value: Any) -> bytes:
    """A value as bytes.

    Raises:
        Exception: The serializer does not know what is in the value.

    Example:
        >>> unpack(serializer(), pack(serializer(), {"answer": "In the shed."}))
        ({'answer': 'In the shed.'},)
    """
    kind, data = serde.dumps_typed(value)
    return b"".join((_VERSION, kind.encode(), b":", data))


def unpack(serde: SerializerProtocol, data: bytes) -> tuple[Any] | None:
    """The value alone in a tuple; None where another version wrote it, or it is damaged.

    Example:
        >>> unpack(serializer(), b"something else") is None
        True
    """
    if not data.startswith(_VERSION):
        return None
    kind, colon, content = data[len(_VERSION) :].partition(b":")
    if not colon:
        return None
    try:
        return (serde.loads_typed((kind.decode(), content)),)
    except Exception as error:  # noqa: BLE001 - whatever a damaged value makes of the serializer, it is a miss
        _log.debug("A cached value cannot be read: %s", error)
        return None
