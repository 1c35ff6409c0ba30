"""Negation: which words each question negates."""

from __future__ import annotations

from collections.abc import Sequence

from freehold.cache.gate.function_words import FUNCTION_WORDS
from freehold.cache.gate.word_sets import word_set
from freehold.cache.gate.words import Word

__all__ = ["NEGATORS", "read_negations"]

NEGATORS = word_set("not no never none nor neither nobody nothing nowhere without except excluding non hardly")
_REACH = 6  # words behind a negation in which its object is sought
_MERE = {"not": word_set("only just necessarily"), "no": word_set("matter doubt")}


def _negates(words: Sequence[Word], index: int) -> bool:
    """Whether the negator at this place makes another question of it."""
    word = words[index]
    before = words[index - 1] if index else None
    after = words[index + 1] if index + 1 < len(words) else None
    ends = after is None or after.opens
    if after is not None and after.text in _MERE.get(word.text, ()):
        return False
    if before is None:
        return True
    if before.text == "or" and (ends or (after is not None and after.text in FUNCTION_WORDS)):
        return False  # "or not"
    if before.text in {"why", "if"} and ends:
        return False
    # "Isn't it ...?" asks for the same as "Is it ...?".
    return not (word.text == "not" and not word.surface and before.opens)


def read_negations(words: Sequence[Word], stems: Sequence[str]) -> tuple[frozenset[str], int]:
    """Find what a question negates.

    Returns:
        The stems that stand next behind a negation, and how many words negate.

    Example:
        >>> from freehold.cache.gate.words import read_words
        >>> words = read_words("Why don't birds fly without wings?")
        >>> sorted(read_negations(words, [word.text for word in words])[0])
        ['birds', 'wings']
    """
    negated: set[str] = set()
    count = 0
    if NEGATORS.isdisjoint([word.text for word in words]):
        return frozenset(), 0
    for index, word in enumerate(words):
        if word.text not in NEGATORS or not _negates(words, index):
            continue
        count += 1
        found = stems[min(index + 1, len(words) - 1)]
        for place in range(index + 1, min(index + _REACH, len(words))):
            if words[place].opens:
                break
            if words[place].text not in FUNCTION_WORDS:
                found = stems[place]
                break
        negated.add(found)
    return frozenset(negated), count
