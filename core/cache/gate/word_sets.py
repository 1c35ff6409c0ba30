"""Word sets: lists of words as they are written in the modules and data files of the gate."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files

__all__ = ["read_lines", "word_set"]


def word_set(words: str) -> frozenset[str]:
    """The words of a text.

    Example:
        >>> sorted(word_set("and or nor"))
        ['and', 'nor', 'or']
    """
    return frozenset(words.split())


def read_lines(name: str) -> Iterator[str]:
    """Read the lines of a data file beside this module, without its comments."""
    for line in (files(__package__) / name).read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            yield line
