"""A value in its one form: what is equal gives equal text, and what differs gives different text."""

from __future__ import annotations

import base64
import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any, TypeAlias
from uuid import UUID

from pydantic import BaseModel

from freehold.errors import CacheKeyError

__all__ = ["Special", "canonical_json"]

Special: TypeAlias = "Callable[[Any], tuple[str, Any] | None]"
"""Takes an object; gives a name for its kind and what to write of it, or None where it is nothing special."""

# The only key of what JSON has no form for; keys of the caller's that begin so are doubled, so that none can pretend.
_MARK = "$"
_DEEPEST = 100
_MOST_BITS = 4_096  # of a number in digits: Python refuses to write much longer ones
_SIMPLE = (datetime, date, time, timedelta, Decimal, UUID, PurePath, complex)


def canonical_json(
    value: Any, name: str, *, text: Callable[[str], str] | None = None, special: Special | None = None
) -> str:
    """Write a value as JSON in one form only, as RFC 8785 does for what JSON itself can hold.

    Keys are sorted. Numbers that are equal are one (1 and 1.0), and so are lists and tuples; True is not 1. Beyond JSON
    there are bytes, sets, enumerations, dates and times, decimals, UUIDs, paths, dictionaries with any keys,
    dataclasses and pydantic models, each marked as what it is.

    Args:
        value: What to write.
        name: What to call the value in an error.
        text: Changes every text, such as `normalise`; None leaves them as they are.
        special: How to write objects of other kinds.

    Raises:
        CacheKeyError: Something in it has no form that is the same in every run, or it holds itself.

    Example:
        >>> canonical_json({"b": [1.0, True], "a": (2,)}, "input")
        '{"a":[2],"b":[1,true]}'
        >>> canonical_json({"loader": object()}, "input")
        Traceback (most recent call last):
        freehold.errors.CacheKeyError: input['loader'] is of the class builtins.object, which has no stable form ...
    """
    return _sortable(_Writer(text, special).form(value, name, 0))


class _Writer:
    def __init__(self, text: Callable[[str], str] | None, special: Special | None) -> None:
        self._text = text
        self._special = special

    def form(self, value: Any, at: str, depth: int) -> Any:  # noqa: PLR0911 - one line per kind
        """Plain JSON values that stand for the value."""
        if depth > _DEEPEST:
            raise CacheKeyError(at[:200], "is nested too deep, or holds itself")
        if self._special is not None and (found := self._special(value)) is not None:
            kind, content = found
            return self._marked(kind, self.form(content, at, depth + 1))
        if isinstance(value, Enum):
            return self._marked("enum", [_class(value), value.name])
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return str(value) if self._text is None else self._text(value)
        if isinstance(value, int | float):
            return self._number(value)
        if isinstance(value, list | tuple):
            return [self.form(item, f"{at}[{index}]", depth + 1) for index, item in enumerate(value)]
        if isinstance(value, Mapping):
            return self._mapping(value, at, depth)
        if isinstance(value, bytes | bytearray | memoryview):
            return self._marked("bytes", base64.b64encode(bytes(value)).decode())
        if isinstance(value, AbstractSet):
            return self._marked("set", sorted((self.form(item, at, depth + 1) for item in value), key=_sortable))
        if isinstance(value, _SIMPLE):
            return self._marked(type(value).__name__, repr(value) if isinstance(value, timedelta) else str(value))
        return self._object(value, at, depth)

    def _number(self, value: float) -> Any:
        if isinstance(value, float):
            if not math.isfinite(value):
                return self._marked("number", str(float(value)))
            if not value.is_integer():
                return float(value)
            value = int(value)
        return int(value) if int(value).bit_length() <= _MOST_BITS else self._marked("number", hex(value))

    def _mapping(self, value: Mapping[Any, Any], at: str, depth: int) -> Any:
        if all(isinstance(key, str) and not isinstance(key, Enum) for key in value):
            # In the order of the keys, because `special` may count what it sees.
            written = {
                self._key(key): self.form(value[key], f"{at}[{key!r}]", depth + 1) for key in sorted(value, key=str)
            }
            if len(written) == len(value):
                return written
        keys = sorted(
            ((self.form(key, f"{at}: a key", depth + 1), key) for key in value), key=lambda k: _sortable(k[0])
        )
        pairs = [[form, self.form(value[key], f"{at}[{key!r}]", depth + 1)] for form, key in keys]
        return self._marked("map", sorted(pairs, key=_sortable))

    def _key(self, key: str) -> str:
        written = str(key) if self._text is None else self._text(key)
        return _MARK + written if written.startswith(_MARK) else written

    def _object(self, value: Any, at: str, depth: int) -> Any:
        fields: dict[str, Any]
        if isinstance(value, BaseModel):
            fields = {**dict(value), **(value.__pydantic_private__ or {})}
        elif dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = {field.name: getattr(value, field.name, None) for field in dataclasses.fields(value)}
        else:
            raise CacheKeyError(at, f"is of the class {_class(value)}, which has no stable form")
        content = {name: self.form(fields[name], f"{at}.{name}", depth + 1) for name in sorted(fields)}
        return self._marked("object", [_class(value), content])

    @staticmethod
    def _marked(kind: str, content: Any) -> dict[str, Any]:
        return {_MARK: [kind, content]}


def _class(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _sortable(form: Any) -> str:
    return json.dumps(form, sort_keys=True, separators=(",", ":"))
