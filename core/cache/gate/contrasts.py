"""Contrasts: words of one kind that stand for different things, such as two colours, sports or kinships."""

from __future__ import annotations

from functools import cache

from freehold.cache.gate.aliases import write_aliases
from freehold.cache.gate.pair import Pair
from freehold.cache.gate.stems import stem
from freehold.cache.gate.word_sets import read_lines
from freehold.cache.gate.words import read_words

__all__ = ["contrast_objection"]

_MOST_EXTRA = 5  # content words in which the questions may differ, these two among them


@cache
def _index() -> dict[str, frozenset[str]]:
    """For each stem the kinds that it belongs to."""
    found: dict[str, set[str]] = {}
    for line in read_lines("contrasts.txt"):
        kind, _, words = line.partition(": ")
        for word in write_aliases(read_words(words)):  # as questions are read
            found.setdefault(stem(word.text), set()).add(kind)
    return {word: frozenset(kinds) for word, kinds in found.items()}


def contrast_objection(pair: Pair) -> str | None:
    """Say which two words of one kind differ where each question has one that the other lacks.

    Example:
        >>> from freehold.cache.gate.pair import pair
        >>> from freehold.cache.gate.question import parse
        >>> contrast_objection(pair(parse("Can dogs eat apples?"), parse("Can cats eat apples?")))
        'They are about different things: dogs against cats.'
    """
    if not (pair.only_ours and pair.only_theirs) or pair.extra > _MOST_EXTRA:
        return None
    index = _index()
    ours = [(place, index[pair.ours.stems[place]]) for place in pair.only_ours if pair.ours.stems[place] in index]
    if not ours:
        return None
    for place in pair.only_theirs:
        kinds = index.get(pair.theirs.stems[place])
        if kinds is None:
            continue
        for counterpart, others in ours:
            if not kinds.isdisjoint(others):
                one, other = pair.ours.words[counterpart].text, pair.theirs.words[place].text
                return f"They are about different things: {one} against {other}."
    return None
