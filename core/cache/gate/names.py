"""Names: people, places, products, letters and words of other scripts, told by how they are written."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import zip_longest

from freehold.cache.gate.dates import CALENDAR
from freehold.cache.gate.function_words import FUNCTION_WORDS
from freehold.cache.gate.word_sets import word_set
from freehold.cache.gate.words import Word

__all__ = ["has_case", "read_names"]

# They are typed with a capital and are no names: "President Obama" is "Obama".
_TITLES = word_set(
    "mr mrs ms dr prof sir president pm prime minister chief ceo king queen lord professor doctor shri sri rs inr "
    "usd eur gb mb tb kg km cm mm mph govt government best good top"
)
_LONGEST_TITLE = 4  # words
_FIRST_PICTOGRAM = "\u2190"
_LATIN = re.compile(r"[a-z\u00c0-\u024f]")
# Single letters that stand for a word, a unit or a variable; in small letters they name nothing.
_LETTERS = frozenset("aiu")
_SMALL_LETTERS = frozenset("aiunrstdmxyckgvwlhpjqz")


def has_case(words: Sequence[Word]) -> bool:
    """Whether capital letters say anything: not in a question all in small or all in capital letters, or a headline.

    Example:
        >>> from freehold.cache.gate.words import read_words
        >>> [has_case(read_words(text)) for text in ("Is Rome old?", "is rome old", "How To Get To Rome")]
        [True, False, False]
    """
    small = headline = capital = 0
    for word, after in zip_longest(words, words[1:]):
        surface = word.surface
        if not surface[:1].isalpha():
            continue
        if surface == "i" and not (after and after.glued):  # "i5" is no pronoun
            return False
        if surface[0].islower():
            small += 1
        elif not word.opens and surface != "I":
            capital += 1
            headline += word.text in FUNCTION_WORDS
        else:
            capital += 1
    return bool(small and capital) and (headline <= 1 or headline < small / 3)


def _is_name(word: Word, cased: bool) -> bool:
    text, surface = word.text, word.surface
    if len(text) == 1:
        return text not in _LETTERS if surface.isupper() and cased else text not in _SMALL_LETTERS
    if text[-1] in "+#-":
        return True
    if not cased or text in FUNCTION_WORDS or text in CALENDAR or text in _TITLES:
        return False
    if surface[0].isupper() and not word.opens:
        return True
    return surface[1:].lower() != surface[1:]


def _titles(words: Sequence[Word]) -> set[int]:
    """Places of the words in short quotations: titles and words that are asked about, not whole sentences."""
    titles: set[int] = set()
    run: list[int] = []
    for place, word in enumerate(words):
        if word.quoted:
            run.append(place)
            if place + 1 < len(words) and words[place + 1].quoted:
                continue
        if len(run) <= _LONGEST_TITLE:
            titles.update([quoted for quoted in run if words[quoted].text not in FUNCTION_WORDS])
        run = []
    return titles


def read_names(words: Sequence[Word], cased: bool) -> tuple[tuple[int, ...], ...]:
    """Find the names, by their capital letters, and those that need none.

    Letters such as those of "vitamin B" and "C++" need none, nor do titles in quotation marks and words of another
    script in a question in Latin letters.

    Args:
        words: The question's words.
        cased: Whether its capital letters say anything; see `has_case`.

    Returns:
        For each name the places of its words.

    Example:
        >>> from freehold.cache.gate.words import read_words
        >>> read_names(read_words("How far is New York from Rome?"), cased=True)
        ((3, 4), (6,))
    """
    titles = _titles(words) if any(word.quoted for word in words) else ()
    foreign = sum([1 for word in words if not word.text.isascii() and not _LATIN.match(word.text)])
    latin = foreign * 2 <= len(words)
    names: list[tuple[int, ...]] = []
    run: list[int] = []
    for place, word in enumerate(words):
        first = word.text[:1]
        if not word.surface or first.isdigit() or (first.isascii() and not first.isalpha()):
            named = False
        elif first.isascii() or _LATIN.match(first):
            named = place in titles or _is_name(word, cased)
        else:
            named = latin and (first.isalpha() or first >= _FIRST_PICTOGRAM)
        if named and not (run and word.opens):
            run.append(place)
        else:
            if run:
                names.append(tuple(run))
            run = [place] if named else []
    if run:
        names.append(tuple(run))
    return tuple(names)
