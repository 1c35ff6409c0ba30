"""Additions: one question is the other one, limited to a place, a name or a year."""

from __future__ import annotations

from freehold.cache.gate.numbers import is_number
from freehold.cache.gate.pair import Pair
from freehold.cache.gate.question import Question

__all__ = ["added_limit"]

_BEFORE_NAMES = frozenset(["in", "at", "near", "for"])
_BEFORE_NUMBERS = frozenset(["in", "at", "of"])
_YEAR_DIGITS = 4
# "In English" is where the question was asked in English anyway.
_UNDERSTOOD = frozenset(["england"])


def _limit(question: Question, only: tuple[int, ...]) -> str | None:
    content = [place for place in only if question.content[place]]
    if not content or content[0] == 0:
        return None
    start, end = content[0], content[-1]
    if end - start + 1 != len(content):
        return None
    before = question.words[start - 1].text
    if len(content) == 1 and is_number(question.words[start].text):
        number = question.words[start].text
        allowed = number != "1" and before in _BEFORE_NUMBERS and (before != "of" or len(number) == _YEAR_DIGITS)
    else:
        named = before in _BEFORE_NAMES and question.stems[start] not in _UNDERSTOOD
        allowed = named and tuple(content) in question.names
    if not allowed:
        return None
    return " ".join([before, *(question.words[place].surface for place in content)])


def added_limit(pair: Pair) -> str | None:
    """Find the one phrase that only one of two otherwise equal questions has, such as "in Jaipur" or "in 2014".

    Example:
        >>> from freehold.cache.gate.pair import pair
        >>> from freehold.cache.gate.question import parse
        >>> added_limit(pair(parse("How do I find a tutor?"), parse("How do I find a tutor in Jaipur?")))
        'in Jaipur'
    """
    ours = [place for place in pair.only_ours if pair.ours.content[place]]
    theirs = [place for place in pair.only_theirs if pair.theirs.content[place]]
    if ours and not theirs:
        return _limit(pair.ours, pair.only_ours)
    if theirs and not ours:
        return _limit(pair.theirs, pair.only_theirs)
    return None
