"""Which passages an answer cites."""

from __future__ import annotations

import re
from collections.abc import Sequence

from freehold.state import Citation, Passage

__all__ = ["cited"]

_MARKER = re.compile(r"\[(\d{1,3}(?:\s*,\s*\d{1,3})*)\]")


def cited(answer: str, passages: Sequence[Passage]) -> list[Citation]:
    """The passages behind the answer's markers `[n]` or `[n, m]`, in the order of their first mention.

    A number without a passage is left out: it cites nothing.

    Example:
        >>> cited("No such thing [7].", [])
        []
    """
    numbers = [int(number) for group in _MARKER.findall(answer) for number in group.split(",")]
    return [
        {
            "number": number,
            "source": passage["source"],
            "passage": passage["id"],
            "heading": passage["heading"],
            "page": passage["page"],
            "start": passage["start"],
            "end": passage["end"],
            "text": passage["text"],
        }
        for number in dict.fromkeys(numbers)
        if 1 <= number <= len(passages)
        for passage in [passages[number - 1]]
    ]
