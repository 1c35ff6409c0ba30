"""Plain text and Markdown: the encoding is guessed, front matter becomes metadata."""

from __future__ import annotations

import re
from datetime import date
from typing import Any

from freehold.memory.formats.parsed import FormatError, Parsed

__all__ = ["FRONT_MATTER", "decode", "parse_markdown"]

FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?)^(?:---|\.\.\.)[ \t]*$\n?", re.DOTALL | re.MULTILINE)
"""YAML between two lines of dashes, at the very beginning."""

_LONGEST_MATTER = 16_384
_LONGEST_VALUE = 500


def decode(data: bytes) -> str:
    r"""UTF-8, UTF-16 or UTF-32 with its mark, or the encoding that fits the text best; line ends are `\n`."""
    return _decoded(data).replace("\r\n", "\n").replace("\r", "\n")


def _decoded(data: bytes) -> str:
    for mark, encoding in ((b"\xff\xfe\0\0", "utf-32"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if data.startswith(mark):
            return data.decode(encoding, "replace")
    if b"\x00" in data:
        raise FormatError("it holds binary data, not text.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        from charset_normalizer import from_bytes

        best = from_bytes(data).best()
        if best is None:
            raise FormatError("its encoding is unknown. Save it as UTF-8.") from None
        return str(best)


def parse_markdown(text: str) -> Parsed:
    """The text as it is, with the plain values of its front matter as metadata."""
    matter = FRONT_MATTER.match(text)
    return Parsed(text, _front_matter(matter[1]) if matter and matter.end() <= _LONGEST_MATTER else {})


def _front_matter(text: str) -> dict[str, Any]:
    """Keys whose values are texts, numbers, dates, or lists of these; what is nested is left out."""
    import yaml

    try:
        found = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):  # a rule of dashes at the beginning, a date that is none
        return {}
    if not isinstance(found, dict):
        return {}
    values = {key: _plain(value) for key, value in found.items() if isinstance(key, str) and "." not in key}
    return {key: value for key, value in values.items() if value is not None}


def _plain(value: Any) -> Any:
    match value:
        case date():  # and datetime
            return value.isoformat()
        case bool() | int():
            return value if -(2**63) <= value < 2**63 else None
        case float():
            return value if abs(value) < float("inf") else None
        case str():
            return value if len(value) <= _LONGEST_VALUE else None
        case list() if all(isinstance(item, str | int | float | date) for item in value):
            return [plain for item in value if (plain := _plain(item)) is not None]
        case _:
            return None
