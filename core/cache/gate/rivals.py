"""Rivals: members of one category of which only one can be meant, such as two months or two units of length."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

__all__ = ["rivals"]


def rivals(ours: AbstractSet[tuple[str, str]], theirs: AbstractSet[tuple[str, str]]) -> tuple[str, str] | None:
    """Find a member of a category on each side that the other side lacks; None where there is no such pair.

    Args:
        ours: Categories and members of one question.
        theirs: Those of the other.

    Example:
        >>> rivals({("month", "may")}, {("month", "june"), ("day", "monday")})
        ('may', 'june')
    """
    if not ours or not theirs:
        return None
    for category, member in sorted(ours - theirs):
        for counterpart, rival in sorted(theirs - ours):
            if category == counterpart:
                return member, rival
    return None
