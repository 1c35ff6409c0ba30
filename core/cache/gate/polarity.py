"""Polarity: a question against its opposite, told by a negation or by an antonym; the two together cancel out."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from freehold.cache.gate.antonyms import graded, opposites
from freehold.cache.gate.direction import swap
from freehold.cache.gate.pair import Pair
from freehold.cache.gate.question import Question
from freehold.cache.gate.stems import stem
from freehold.cache.gate.word_sets import word_set

__all__ = ["negated_apart", "opposed"]

# They say in a word what a negation says: "can't say" and "hate to say" may ask the same.
_NEGATIVE = (
    "unable fail refuse avoid stop prevent hate lack forget miss unlikely impossible deny unaware quit dislike absent "
    "hard difficult rarely seldom few little unavailable unknown despite instead lose fear worse poorly bad against "
    "unlike keep ignore ban cease resist reject"
)
# How many content words may differ in all before the sentences are too unlike to be opposites.
_MOST_EXTRA_NEGATED = 1
_MOST_EXTRA_OPPOSED = 5  # the antonyms among them
_MOST_EXTRA_PARTICLES = 1  # "in" and "out" have many other uses
_DEGREES = word_set("more less most least better worse best worst fewer")
_LESS = word_set("less least fewer")


@cache
def _negative() -> frozenset[str]:
    return frozenset(map(stem, _NEGATIVE.split()))


def _has_negative(question: Question, places: Iterable[int]) -> bool:
    return any(question.stems[place] in _negative() for place in places)


def negated_apart(pair: Pair) -> str | None:
    """Find what one question negates and the other, much the same, affirms.

    Example:
        >>> from freehold.cache.gate.pair import pair
        >>> from freehold.cache.gate.question import parse
        >>> negated_apart(pair(parse("Why do birds fly?"), parse("Why don't birds fly?")))
        'birds'
    """
    ours, theirs = pair.ours, pair.theirs
    if ours.negations == theirs.negations or pair.extra > _MOST_EXTRA_NEGATED:
        return None
    if pair.extra and ours.types[:1] != theirs.types[:1]:
        return None
    if _has_negative(ours, pair.only_ours) or _has_negative(theirs, pair.only_theirs):
        return None
    for one, other in ((ours, theirs), (theirs, ours)):
        for word in sorted(one.negated - other.negated):
            # What stands twice may be negated once: "male and female, and not only male".
            if one.stems.count(word) == other.stems.count(word):
                return one.words[one.stems.index(word)].text
    return None


def opposed(pair: Pair) -> tuple[str, str, str] | None:
    """Find two opposite words that make the questions opposite.

    Returns:
        "comparison" or "antonym", and both words; None where there is none, or something else turns the sense again: a
        negation, "less", or things that have changed places.

    Example:
        >>> from freehold.cache.gate.pair import pair
        >>> from freehold.cache.gate.question import parse
        >>> opposed(pair(parse("Is tea cheaper than milk?"), parse("Is tea dearer than milk?")))
        ('comparison', 'cheaper', 'dearer')
        >>> opposed(pair(parse("Is tea cheaper than milk?"), parse("Is milk dearer than tea?"))) is None
        True
    """
    if pair.extra > _MOST_EXTRA_OPPOSED or pair.ours.negations != pair.theirs.negations:
        return None
    found = next(opposites(pair), None)
    if found is None:
        return None
    one, other = found
    if not (pair.ours.content[one] or pair.theirs.content[other]) and pair.extra > _MOST_EXTRA_PARTICLES:
        return None
    words = pair.ours.words[one].text, pair.theirs.words[other].text
    lessened = len(_LESS & pair.ours.vocabulary) != len(_LESS & pair.theirs.vocabulary)
    if (lessened and _LESS.isdisjoint(words)) or swap(pair, loosely=True) is not None:
        return None
    compares = not _DEGREES.isdisjoint(words) or (graded(pair.ours.stems[one]) and graded(pair.theirs.stems[other]))
    return "comparison" if compares else "antonym", *words
