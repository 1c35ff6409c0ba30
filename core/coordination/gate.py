"""The gate before a semantic hit: it refuses look-alikes that an encoder scores as the same question."""

from __future__ import annotations

import re
from collections import Counter

from freehold.coordination.situation import normalise

__all__ = ["refusal"]

# The sign counts where it cannot be a hyphen or a range: "-5" and "5" differ, "2010-2015" holds no negative number.
_NUMBER = re.compile(r"(?<![\w)\]-])-?\d+(?:[.:/]\d+)*|\d+(?:[.:/]\d+)*")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
# People leave the apostrophe out; "cant" and "wont" as words of their own cost a miss at worst.
_NEGATION = re.compile(
    r"\b(?:not|no|never|none|nor|neither|nobody|nothing|nowhere|cannot|without|except|excluding|non"
    r"|(?:do|does|did|is|are|was|were|has|have|had|ca|could|wo|would|should|must|need|ai|sha|might)n'?t)\b"
)


def _numbers(text: str) -> Counter[str]:
    return Counter(_NUMBER.findall(_THOUSANDS.sub("", text)))


def _fold(text: str) -> str:
    return normalise(text).replace("\u2019", "'").replace("\u2212", "-")


def refusal(question: str, candidate: str) -> str | None:
    """Say why the candidate's answer may not serve the question, or None where nothing speaks against it.

    Two things are compared that sentence encoders barely see: the numbers, each as often as it occurs, and how many
    words negate. The gate is symmetric, and it never allows what the similarity threshold refused.

    Args:
        question: What was asked now.
        candidate: What was asked when the answer was stored.

    Returns:
        One sentence, or None.

    Example:
        >>> refusal("Who won in 1998?", "Who won in 2002?")
        'The numbers differ: 1998 against 2002.'
        >>> refusal("How do I enable it?", "How can I enable it?") is None
        True
    """
    asked, stored = _fold(question), _fold(candidate)
    ours, theirs = _numbers(asked), _numbers(stored)
    if ours != theirs:
        names = [", ".join(sorted(difference.elements())) or "none" for difference in (ours - theirs, theirs - ours)]
        return f"The numbers differ: {names[0]} against {names[1]}."
    negations = [len(_NEGATION.findall(text)) for text in (asked, stored)]
    if negations[0] != negations[1]:
        return f"The negations differ: {negations[0]} against {negations[1]}."
    return None
