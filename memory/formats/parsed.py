"""What a format's reader gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from freehold.errors import FreeholdError

__all__ = ["FormatError", "Parsed"]


class FormatError(FreeholdError):
    """A file that cannot be read as what its name says; `load` puts the file's name before the reason."""


@dataclass(frozen=True)
class Parsed:
    """A file's text and what it says of itself."""

    text: str
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """Plain JSON: `title`, `tags`, `columns`, ..."""
    pages: tuple[tuple[int, int], ...] | None = None
    """(number from 1, offset of its first character) of each page."""
    lines: tuple[tuple[int, int], ...] | None = None
    """(line in the file from 1, offset in the text) of each record, where the text's lines are not the file's."""
