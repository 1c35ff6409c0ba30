"""Units: in what a question counts, weighs and pays."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from functools import cache

from freehold.cache.gate.rivals import rivals
from freehold.cache.gate.word_sets import read_lines, word_set
from freehold.cache.gate.words import Word

__all__ = ["read_units", "unit_objection"]

_COUNTING = word_set("\u00b0 per many few several couple")


@cache
def _spellings() -> dict[str, tuple[tuple[tuple[str, str], ...], bool]]:
    """Each spelling with its dimensions and units, and whether it counts behind a number only."""
    found: dict[str, tuple[tuple[tuple[str, str], ...], bool]] = {}
    for line in read_lines("units.txt"):
        name, _, spellings = line.partition(": ")
        dimension, unit = name.split()
        for spelling in spellings.split():
            text = spelling.rstrip("#")
            before, _ = found.get(text, ((), False))
            found[text] = (*before, (dimension, unit)), spelling.endswith("#")
    return found


def read_units(words: Sequence[Word]) -> frozenset[tuple[str, str]]:
    """Find the units, each as its dimension and its name, and again by the number that counts it: it counts one thing.

    Example:
        >>> from freehold.cache.gate.words import read_words
        >>> sorted(read_units(read_words("Is 5 kg more than $3?")))
        [('behind 5', 'kilogram'), ('mass', 'kilogram'), ('money', 'dollar')]
    """
    spellings = _spellings()
    found: set[tuple[str, str]] = set()
    if spellings.keys().isdisjoint([word.text for word in words]):
        return frozenset()
    for index, word in enumerate(words):
        entry = spellings.get(word.text)
        if entry is None:
            continue
        units, counted = entry
        before = words[index - 1].text if index else " "
        if not counted or before[-1].isdigit() or before in _COUNTING:
            found.update(units)
            if before[-1].isdigit():
                found.update((f"behind {before}", unit) for _, unit in units)
    return frozenset(found)


def unit_objection(ours: AbstractSet[tuple[str, str]], theirs: AbstractSet[tuple[str, str]]) -> str | None:
    """Say which units differ where each question has one, of the same dimension or number, that the other lacks.

    Example:
        >>> unit_objection({("length", "mile")}, {("length", "kilometre")})
        'The units differ: mile against kilometre.'
    """
    found = rivals(ours, theirs)
    return found and f"The units differ: {found[0]} against {found[1]}."
