"""Plain text and Markdown: the encoding is guessed, front matter becomes metadata."""

from __future__ import annotations

import re
from datetime import date
from typing import Any

from freehold.memory.formats.parsed import FormatError, Parsed

__all__ = ["decode", "front_matter", "parse_markdown"]

_BETWEEN_DASHES = re.compile(r"\A---[ \t]*\n(.*?)^(?:---|\.\.\.)[ \t]*$\n?", re.DOTALL | re.MULTILINE)
_LONGEST_MATTER = 16_384
_LONGEST_VALUE = 500
# That of UTF-32 before that of UTF-16, which it begins with.
_MARKS = {b"\xff\xfe\0\0": "utf-32", b"\0\0\xfe\xff": "utf-32", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}


def decode(data: bytes) -> str:
    r"""UTF-8, UTF-16 or UTF-32 with its mark, or the encoding that fits the text best; line ends are `\n`."""
    return _decoded(data).replace("\r\n", "\n").replace("\r", "\n")


def _decoded(data: bytes) -> str:
    for mark, encoding in _MARKS.items():
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
    return Parsed(text, front_matter(text)[0])


def front_matter(text: str) -> tuple[dict[str, Any], int]:
    """The plain values of a Markdown file's front matter, and the offset behind it: 0 where there is none.

    It is a mapping in YAML between two lines of dashes, at the very beginning. Anything else between two such lines is
    text between two rules. Values are texts, numbers, dates, or lists of these; what is nested is left out.
    """
    matter = _BETWEEN_DASHES.match(text[: _LONGEST_MATTER + 1])
    if matter is None or matter.end() > _LONGEST_MATTER:
        return {}, 0
    try:
        found = _read_yaml(matter[1]) if matter[1].strip() else {}
    except Exception:  # noqa: BLE001 - `!!bool maybe` is a KeyError, a date that is none a ValueError, and so on
        return {}, 0
    if not isinstance(found, dict):
        return {}, 0
    values = {key: _plain(value) for key, value in found.items() if isinstance(key, str) and "." not in key}
    return {key: value for key, value in values.items() if value is not None}, matter.end()


def _read_yaml(text: str) -> Any:
    import yaml

    class Loader(yaml.SafeLoader):  # type: ignore[misc]
        def flatten_mapping(self, node: Any) -> None:
            """Leave merge keys as they are: each line of them may double a mapping, and few would fill the memory."""

    Loader.add_constructor("tag:yaml.org,2002:merge", Loader.construct_yaml_str)
    return yaml.load(text, Loader)  # noqa: S506 - it is a safe loader


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
