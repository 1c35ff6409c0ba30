"""Direction: who does what to whom, what is turned into what, what is better than what."""

from __future__ import annotations

from freehold.cache.gate.function_words import FUNCTION_WORDS, LIGHT_WORDS
from freehold.cache.gate.pair import Pair
from freehold.cache.gate.question import Question
from freehold.cache.gate.word_sets import word_set

__all__ = ["reversed_roles", "swap"]

_MOST_EXTRA = 1  # content words that only one question has; more make another sentence of it
# Between these both sides are alike.
_COORDINATING = word_set("and or nor vs versus between both")
# Stems that make both sides alike anywhere: "the difference between A and B" is that between B and A.
_EVEN = word_set(
    "different differ difference similar similarity same equal compar compare comparison relat relation relationship "
    "connect connection distanc far near close away apart marry marriage combin mix merg meet date correlat synonym "
    "rhyme equivalent"
)
# A superlative moves freely: "the best phone is which" and "which phone is the best".
_GRADES = word_set("best worst good better most least top")
# The order of words says who does what in English; in a language with cases it need not.
_ENGLISH = word_set("the do does did is are was what how why who which can should would will could to of than from if")
_REACH = 4  # words behind "from" and "to" in which the place or thing is sought


def _frame(question: Question) -> list[str]:
    """The stems in order, without the words that may differ freely."""
    pairs = zip(question.words, question.stems, strict=True)
    return [stem for word, stem in pairs if word.text not in LIGHT_WORDS]


def _holds(frame: list[str], run: list[str]) -> bool:
    """Whether the stems stand in the frame one right behind the other."""
    starts = [start for start, stem in enumerate(frame) if stem == run[0]]
    return any(frame[start : start + len(run)] == run for start in starts)


def _exchanged(ours: list[str], theirs: list[str]) -> tuple[list[str], list[str], list[str]] | None:
    """Where two runs of one list have changed places in the other: the first, what is between, the second."""
    start, end = 0, len(ours)
    while start < end and ours[start] == theirs[start]:
        start += 1
    while end > start and ours[end - 1] == theirs[end - 1]:
        end -= 1
    one, other = ours[start:end], theirs[start:end]
    if not one or other[0] not in one:
        return None
    cut = one.index(other[0])
    second, rest = one[cut:], other[len(one) - cut :]
    if other[: len(second)] != second:
        return None
    for length in range(1, cut + 1):
        if rest[-length:] == one[:length] and rest[:-length] == one[length:cut]:
            return one[:length], one[length:cut], second
    return None


def _tells(first: list[str], middle: list[str], second: list[str]) -> bool:
    """Whether it makes another question that these two have changed places around what is between them."""
    if not middle or not _COORDINATING.isdisjoint(middle):
        return False
    moved = {*first, *second}
    return first[0] not in FUNCTION_WORDS and second[0] not in FUNCTION_WORDS and _GRADES.isdisjoint(moved)


def swap(pair: Pair, *, loosely: bool = False) -> tuple[str, str, list[str]] | None:
    """Find two things that change places around the same words.

    Args:
        pair: The questions.
        loosely: Whether other words may stand in between that only one question has.

    Returns:
        Both things and the stems between them; None where there is no swap, or it changes nothing.

    Example:
        >>> from freehold.cache.gate.pair import pair
        >>> from freehold.cache.gate.question import parse
        >>> swap(pair(parse("Do cats hate dogs?"), parse("Do dogs hate cats?")))
        ('cat', 'dog', ['hate'])
    """
    if pair.extra > _MOST_EXTRA and not loosely:
        return None
    if _ENGLISH.isdisjoint(pair.ours.vocabulary) or _ENGLISH.isdisjoint(pair.theirs.vocabulary):
        return None
    ours, theirs = _frame(pair.ours), _frame(pair.theirs)
    shared = pair.ours.vocabulary & pair.theirs.vocabulary
    one, other = [stem for stem in ours if stem in shared], [stem for stem in theirs if stem in shared]
    if one == other or sorted(one) != sorted(other) or not _EVEN.isdisjoint(one):
        return None
    if other < one:  # the same either way round, also where a word stands twice
        ours, theirs, one, other = theirs, ours, other, one
    found = _exchanged(one, other)
    if found is None or not _tells(*found):
        return None
    first, middle, second = found
    whole = _holds(ours, first + middle + second) and _holds(theirs, second + middle + first)
    return (" ".join(first), " ".join(second), middle) if whole or loosely else None


def _roles(question: Question) -> tuple[str, str] | None:
    """What stands behind "from" and what behind "to" or "into"; None where one of them is missing."""
    found = {"from": "", "to": ""}
    words, stems = question.words, question.stems
    for place, word in enumerate(words):
        if word.text not in {"from", "to", "into"}:
            continue
        role = "from" if word.text == "from" else "to"
        near = range(place + 1, min(place + _REACH, len(words)))
        thing = next((stems[at] for at in near if words[at].text not in FUNCTION_WORDS), "")
        found[role] = found[role] or thing
    return (found["from"], found["to"]) if all(found.values()) else None


def reversed_roles(pair: Pair) -> tuple[str, str] | None:
    """Find a way between two things that leads one way in ours and the other way in theirs.

    Example:
        >>> from freehold.cache.gate.pair import pair
        >>> from freehold.cache.gate.question import parse
        >>> reversed_roles(pair(parse("Trains from Rome to Milan?"), parse("Trains to Rome from Milan?")))
        ('rome', 'milan')
    """
    if "from" not in pair.ours.vocabulary or "from" not in pair.theirs.vocabulary:
        return None
    ours, theirs = _roles(pair.ours), _roles(pair.theirs)
    if ours is None or theirs is None or ours[0] == ours[1]:
        return None
    return ours if ours == theirs[::-1] else None
