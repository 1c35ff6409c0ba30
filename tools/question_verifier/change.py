"""What a change of a question is, and how a piece of a text is replaced."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

from .lexicon import Lexicon

__all__ = ["Change", "exchanged", "put"]

Change = Callable[[str, Lexicon, random.Random], str | None]
"""Takes a question, words and a source of chance; gives the changed question, or None where it does not apply."""


def put(text: str, found: re.Match[str], words: str) -> str:
    """The text with the match replaced."""
    return text[: found.start()] + words + text[found.end() :]


def exchanged(text: str, first: tuple[int, int], second: tuple[int, int]) -> str:
    """The text with the contents of two spans exchanged, the first of which comes first."""
    (a, b), (c, d) = first, second
    return text[:a] + text[c:d] + text[b:c] + text[a:b] + text[d:]
