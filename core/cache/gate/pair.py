"""Two questions side by side: which words each has and the other lacks."""

from __future__ import annotations

from dataclasses import dataclass

from freehold.cache.gate.question import Question

__all__ = ["Pair", "pair"]


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """Two questions, and where they part."""

    ours: Question
    theirs: Question
    only_ours: tuple[int, ...]
    """Places of the words of ours whose stem theirs lacks."""
    only_theirs: tuple[int, ...]
    extra: int
    """How many content words are among them."""

    def flipped(self) -> Pair:
        """The same two questions, the other one first."""
        return Pair(self.theirs, self.ours, self.only_theirs, self.only_ours, self.extra)


def pair(ours: Question, theirs: Question) -> Pair:
    """Lay two questions side by side.

    Example:
        >>> from freehold.cache.gate.question import parse
        >>> pair(parse("Is Rome old?"), parse("Is Rome young?")).extra
        2
    """
    one, other = ours.vocabulary, theirs.vocabulary
    only_ours = tuple([place for place, stem in enumerate(ours.stems) if stem not in other])
    only_theirs = tuple([place for place, stem in enumerate(theirs.stems) if stem not in one])
    extra = sum([ours.content[place] for place in only_ours]) + sum([theirs.content[place] for place in only_theirs])
    return Pair(ours, theirs, only_ours, only_theirs, extra)
