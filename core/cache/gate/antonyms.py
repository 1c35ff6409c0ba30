"""Antonyms: opposite words, in any inflection, and words that a part of them makes opposite."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, lru_cache

from freehold.cache.gate.function_words import FUNCTION_WORDS
from freehold.cache.gate.pair import Pair
from freehold.cache.gate.question import Question
from freehold.cache.gate.stems import stem
from freehold.cache.gate.word_sets import read_lines

__all__ = ["graded", "opposites"]

_NEGATIVE = ("un", "non")
_STARTS = (("over", "under"), ("pre", "post"), ("hyper", "hypo"), ("inter", "intra"), ("up", "down"), ("in", "out"))
_OPPOSITE_STARTS = (*_STARTS, *(pair[::-1] for pair in _STARTS))
_OPPOSITE_ENDS = (("ful", "less"), ("less", "ful"))
_SHORTEST = 3  # letters that such a part leaves: "unit" is not the opposite of "it"


@cache
def _index() -> dict[str, frozenset[str]]:
    """For each stem those of its antonyms."""
    found: dict[str, set[str]] = {}
    for line in read_lines("antonyms.txt"):
        first, *others = map(stem, line.split())
        for other in others:
            found.setdefault(first, set()).add(other)
            found.setdefault(other, set()).add(first)
    return {word: frozenset(antonyms) for word, antonyms in found.items()}


@lru_cache(maxsize=16384)
def _bases(word: str) -> frozenset[str]:
    """The stem itself and, of a comparative or superlative, the known words it may be made of: "bigger" of "big"."""
    bases = {word}
    for ending in ("er", "est"):
        root = word.removesuffix(ending)
        if root == word or len(root) < _SHORTEST:
            continue
        candidates = [root, root + "e"]
        if root[-1] == root[-2]:
            candidates.append(root[:-1])
        elif root[-1] == "i":
            candidates.append(root[:-1] + "y")
        bases.update(base for base in map(stem, candidates) if base in _index() and base not in FUNCTION_WORDS)
    return frozenset(bases)


@lru_cache(maxsize=16384)
def _antonyms(word: str) -> frozenset[str]:
    return frozenset[str]().union(*(_index().get(base, ()) for base in _bases(word)))


def graded(word: str) -> bool:
    """Whether a stem is the comparative or superlative of a word that has an opposite."""
    return len(_bases(word)) > 1


def _built_apart(one: str, other: str) -> bool:
    """Whether a negative prefix makes one word the other, or they begin or end in opposite ways."""
    if len(one) > len(other):
        one, other = other, one
    if len(one) < _SHORTEST:
        return False
    if other.endswith(one):
        return other[: -len(one)] in _NEGATIVE
    if one[-_SHORTEST:] == other[-_SHORTEST:]:
        return any(one.startswith(a) and other == b + one[len(a) :] for a, b in _OPPOSITE_STARTS)
    if one[:_SHORTEST] == other[:_SHORTEST]:
        return any(one.endswith(a) and other == one[: -len(a)] + b for a, b in _OPPOSITE_ENDS)
    return False


def _asks_for_both(question: Question, word: str) -> bool:
    """Whether a question has the opposite of its own word too: "bigger or smaller", "advantages and disadvantages"."""
    antonyms = _antonyms(word)
    return bool(antonyms) and any(not antonyms.isdisjoint(_bases(stem)) for stem in question.vocabulary)


def opposites(pair: Pair) -> Iterator[tuple[int, int]]:
    """Find the words of which each question has one and the other question the opposite.

    Yields:
        The places of both, in ours and in theirs.

    Example:
        >>> from freehold.cache.gate.pair import pair
        >>> from freehold.cache.gate.question import parse
        >>> list(opposites(pair(parse("How is it enabled?"), parse("How do I disable it?"))))
        [(3, 3)]
    """
    if not (pair.only_ours and pair.only_theirs):
        return
    for place in pair.only_ours:
        word, text = pair.ours.stems[place], pair.ours.words[place].text
        antonyms = _antonyms(word)
        for counterpart in pair.only_theirs:
            other, other_text = pair.theirs.stems[counterpart], pair.theirs.words[counterpart].text
            apart = bool(antonyms) and not antonyms.isdisjoint(_bases(other))
            apart = apart or _built_apart(word, other) or _built_apart(text, other_text)
            if apart and not (_asks_for_both(pair.ours, word) or _asks_for_both(pair.theirs, other)):
                yield place, counterpart
