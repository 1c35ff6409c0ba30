"""Soft signals: how much two questions have in common, for a calibration that learned what to make of it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from freehold.cache.gate.likeness import alike, slipped
from freehold.cache.gate.pair import Pair
from freehold.cache.gate.question import Question

__all__ = ["order", "same_words", "unmatched"]

_MOST = 24  # words that are tried as slips of each other


def order(pair: Pair) -> float:
    """Share of the shared content words that stand in the same order in both questions; 1 where they share none.

    Example:
        >>> from freehold.cache.gate.pair import pair
        >>> from freehold.cache.gate.question import parse
        >>> order(pair(parse("Do cats hate dogs?"), parse("Do dogs hate cats?")))
        0.3333333333333333
    """
    places: dict[str, int] = {}
    for place, stem in enumerate(pair.theirs.subject):
        places.setdefault(stem, place)
    shared = [places[stem] for stem in dict.fromkeys(pair.ours.subject) if stem in places]
    rising: list[int] = []  # the longest rising subsequence, by patience sorting
    for place in shared:
        at = bisect_left(rising, place)
        rising[at : at + 1] = [place]
    return len(rising) / len(shared) if shared else 1.0


def same_words(pair: Pair) -> bool:
    """Whether the questions agree word for word, but for slips of the pen.

    Example:
        >>> from freehold.cache.gate.pair import pair
        >>> from freehold.cache.gate.question import parse
        >>> same_words(pair(parse("Is Kurosawa a great director?"), parse("is kurosowa a great director")))
        True
    """
    ours, theirs = _spoken(pair.ours), _spoken(pair.theirs)
    return len(ours) == len(theirs) and all(
        one == other or slipped(one, other) for one, other in zip(ours, theirs, strict=True)
    )


def unmatched(pair: Pair) -> tuple[int, int]:
    """How many content words of ours theirs lacks, and the other way round; slips and forms of a word do not count.

    Example:
        >>> from freehold.cache.gate.pair import pair
        >>> from freehold.cache.gate.question import parse
        >>> unmatched(pair(parse("Is Kurosawa a great director?"), parse("Is Kurosowa great?")))
        (1, 0)
    """
    ours = _stems(pair.ours, pair.only_ours)
    theirs = _stems(pair.theirs, pair.only_theirs)
    if not (ours and theirs):
        return len(ours), len(theirs)
    ours_left = [one for one in ours[:_MOST] if not any(alike(one, other) for other in theirs[:_MOST])]
    theirs_left = [other for other in theirs[:_MOST] if not any(alike(one, other) for one in ours[:_MOST])]
    return len(ours_left) + len(ours[_MOST:]), len(theirs_left) + len(theirs[_MOST:])


def _spoken(question: Question) -> list[str]:
    return [word.text for word in question.words if word.text[0].isalnum()]


def _stems(question: Question, places: Sequence[int]) -> list[str]:
    return list(dict.fromkeys([question.stems[place] for place in places if question.content[place]]))
