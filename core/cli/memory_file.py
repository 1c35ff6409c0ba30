"""The file of `freehold memory export`: JSON Lines, a header first, then a memory a line."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from freehold.errors import UserError

__all__ = ["Line", "lines", "read", "write"]

_FORMAT, _VERSION = "freehold-memories", 1


class Line(NamedTuple):
    """A memory, and where it stands in its file."""

    number: int
    entry: dict[str, Any]


def lines(entries: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The file's lines, each with its end."""
    header = {"format": _FORMAT, "version": _VERSION, "exported_at": datetime.now(UTC).isoformat(timespec="seconds")}
    for value in ({**header, "memories": len(entries)}, *entries):
        yield json.dumps(value, ensure_ascii=False) + "\n"


def write(path: Path, entries: Sequence[Mapping[str, Any]], *, force: bool) -> None:
    """Write the file, wholly or not at all, so that only its owner can read it.

    Raises:
        UserError: There is a file already, or it cannot be written.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        if path.exists() and not force:
            raise UserError(f"{path} is there already; choose another name, or replace it with --force.")
        try:
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.writelines(lines(entries))
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}. Choose another place.") from error


def read(data: bytes, name: str) -> list[Line]:
    """Check the form of a file, line by line; what an entry says is checked by `LongTermMemory.restore`.

    Args:
        data: The file's content.
        name: What messages call it.

    Raises:
        UserError: A line cannot be used; the message gives its number and the reason.
    """
    found: list[Line] = []
    values = _values(data, name)
    number, header = next(values, (1, None))
    if not isinstance(header, dict) or header.get("format") != _FORMAT:
        raise _refused(name, number, f'a file of memories begins with {{"format": "{_FORMAT}", "version": {_VERSION}}}')
    version = header.get("version")
    if type(version) is not int or version != _VERSION:
        raise _refused(name, number, f"version={version!r} is not {_VERSION}, the one that this Freehold reads")
    for number, value in values:
        if not isinstance(value, dict):
            raise _refused(name, number, f"it is a {type(value).__name__} and not an object")
        found.append(Line(number, value))
    promised = header.get("memories", len(found))
    if promised != len(found):
        raise UserError(
            f"{name} should hold {promised!r} memories and holds {len(found)}: it was cut, or edited without its "
            "header's `memories`. Nothing was imported."
        )
    return found


def _values(data: bytes, name: str) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            text = line.decode("utf-8")
            yield number, json.loads(text)
        except UnicodeDecodeError as error:
            raise _refused(name, number, f"byte {error.start + 1} is not UTF-8") from error
        except json.JSONDecodeError as error:
            raise _refused(name, number, f"it is no JSON ({error.msg} at character {error.colno})") from error
        except (ValueError, RecursionError) as error:  # a number of thousands of digits, or brackets without end
            raise _refused(name, number, "it is JSON that no memory has") from error


def _refused(name: str, number: int, reason: str) -> UserError:
    return UserError(f"{name}, line {number}: {reason}. Nothing was imported.")
