"""A question as the rules of the gate see it: read once, compared often."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache

from freehold.cache.gate.aliases import write_aliases
from freehold.cache.gate.dates import read_dates
from freehold.cache.gate.function_words import FUNCTION_WORDS
from freehold.cache.gate.names import has_case, read_names
from freehold.cache.gate.negation import read_negations
from freehold.cache.gate.numbers import OPERATORS, is_number, read_numbers
from freehold.cache.gate.question_types import read_types
from freehold.cache.gate.stems import stem
from freehold.cache.gate.units import read_units
from freehold.cache.gate.words import Word, read_words

__all__ = ["Question", "parse"]

_MOST_QUESTIONS = 4096


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """The parts of a question that the rules compare."""

    words: tuple[Word, ...]
    """In order; numbers in digits, names that have several forms in one."""
    stems: tuple[str, ...]
    """One per word."""
    vocabulary: frozenset[str]
    """All stems."""
    content: tuple[bool, ...]
    """For each word, whether it carries meaning of its own."""
    subject: tuple[str, ...]
    """The stems of the content words, in order."""
    cased: bool
    """Whether capital letters tell names."""
    names: tuple[tuple[int, ...], ...]
    """For each name the places of its words."""
    numbers: Counter[str]
    operators: Counter[str]
    """Signs of arithmetic, where there are numbers."""
    units: frozenset[tuple[str, str]]
    dates: frozenset[tuple[str, str]]
    negated: frozenset[str]
    """Stems behind a negation."""
    negations: int
    types: tuple[str, ...]
    """What is asked for."""


@lru_cache(maxsize=_MOST_QUESTIONS)
def parse(text: str) -> Question:
    """Read a question; the same text is read once.

    Example:
        >>> parse("How tall is the Eiffel Tower?").names
        ((4, 5),)
    """
    words = tuple(write_aliases(read_numbers(read_words(text))))
    stems = tuple([stem(word.text) for word in words])
    cased = has_case(words)
    content = tuple([word.text not in FUNCTION_WORDS and word.text[0].isalnum() for word in words])
    numbers = Counter([word.text for word in words if is_number(word.text)])
    negated, negations = read_negations(words, stems)
    return Question(
        words=words,
        stems=stems,
        vocabulary=frozenset(stems),
        content=content,
        subject=tuple([word for word, counts in zip(stems, content, strict=True) if counts]),
        cased=cased,
        names=read_names(words, cased),
        numbers=numbers,
        operators=Counter([word.text for word in words if word.text in OPERATORS] if numbers else []),
        units=read_units(words),
        dates=read_dates(words),
        negated=negated,
        negations=negations,
        types=read_types(words),
    )
