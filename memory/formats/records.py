"""JSON Lines and JSON: every record as lines of `name: value`, a blank line between records."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from freehold.memory.formats.parsed import FormatError, Parsed
from freehold.memory.formats.tables import records_text

__all__ = ["parse_json", "parse_json_lines"]

_DEEPEST = 20


def parse_json_lines(text: str) -> Parsed:
    """One record a line; a line that is no JSON is an error that names it."""
    body, lines = records_text(_numbered(text))
    return Parsed(body, lines=lines)


def _numbered(text: str) -> Iterator[tuple[int, dict[str, str] | str]]:
    for number, line in enumerate(text.split("\n"), start=1):  # JSON may hold the other ends of a line in its texts
        if line.strip():
            try:
                value = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise FormatError(f"line {number} is no JSON: {error}.") from error
            yield number, _record(value)


def parse_json(text: str) -> Parsed:
    """The records of a list, or the one record that the file is."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"it is no JSON: {error}.") from error
    values = value if isinstance(value, list) else [value]
    body, _ = records_text((0, _record(item)) for item in values)  # the parser does not tell their lines
    return Parsed(body)


def _record(value: Any) -> dict[str, str] | str:
    if isinstance(value, dict):
        return dict(_flat("", value, _DEEPEST))
    return _clean(_text(value))


def _flat(path: str, value: Any, depth: int) -> Iterator[tuple[str, str]]:
    """Every value under its path, `author.name`; a list of plain values is one value."""
    if isinstance(value, dict) and depth:
        for key, below in value.items():
            yield from _flat(f"{path}.{key}" if path else key, below, depth - 1)
    elif isinstance(value, list) and depth and any(isinstance(item, dict | list) for item in value):
        for place, item in enumerate(value, start=1):
            yield from _flat(f"{path}.{place}", item, depth - 1)
    else:
        yield _clean(path), _clean(_text(value))


def _text(value: Any) -> str:
    match value:
        case None:
            return ""
        case str():
            return value
        case list() if not any(isinstance(item, dict | list) for item in value):
            return ", ".join(map(_text, value))
        case _:
            return json.dumps(value, ensure_ascii=False)


def _clean(text: str) -> str:
    """Without the halves of surrogate pairs and the zeros that JSON may hold and UTF-8 may not."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")
