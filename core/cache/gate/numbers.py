"""Numbers: digits, number words, ordinals, Roman numerals and magnitudes in one form."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from freehold.cache.gate.word_sets import word_set
from freehold.cache.gate.words import Word

__all__ = ["OPERATORS", "is_number", "number_objection", "read_numbers"]

OPERATORS = frozenset("+*=^<>\u00d7\u00f7")
"""Signs of arithmetic, where a question holds numbers."""

_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
# "First" and "second" hardly ever number anything: "which should I learn first", "wait a second".
_VAGUE = {"1": "first", "2": "second"}
_ORDINALS = "third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth"
_SPELLED = {
    **{word: number for number, word in enumerate(_ONES.split())},
    **{word: 10 * number for number, word in enumerate(_TENS.split(), start=2)},
    **{word: number for number, word in enumerate(_ORDINALS.split(), start=3)},
    "twentieth": 20,
    "dozen": 12,
}
_MAGNITUDES = {
    "hundred": 100,
    "thousand": 1000,
    "million": 10**6,
    "billion": 10**9,
    "trillion": 10**12,
    **dict.fromkeys(["lakh", "lakhs", "lac", "lacs"], 10**5),
    **dict.fromkeys(["crore", "crores"], 10**7),
}
_SUFFIXES = {"k": 1000, "mn": 10**6, "bn": 10**9, "cr": 10**7}
_MONEY_SUFFIXES = _SUFFIXES | {"m": 10**6, "b": 10**9, "l": 10**5}  # "100m" may be metres, "$100m" is not
_CURRENCIES = frozenset("$\u20ac\u00a3\u00a5\u20b9\u20bd\u20a9")
_MOST_MAGNITUDES = 3
_NUMERALS = "I II III IV V VI VII VIII IX X XI XII XIII XIV XV XVI XVII XVIII XIX XX XXI"
_ROMAN = {numeral: number for number, numeral in enumerate(_NUMERALS.split(), start=1)}
# Behind these a single letter is a numeral too.
_NUMBERED = word_set("level part phase type class grade chapter volume tier world war act group stage book season")
_PERIODS = word_set("second minute hour day week month year")  # before these "one" is a number
_MOST_DIGITS = 15
_SHORT_PART = 2  # digits of the parts of a fraction or of a day and month


def is_number(text: str) -> bool:
    """Whether a word, as `read_numbers` writes it, is a number.

    Example:
        >>> is_number("3.11"), is_number("three")
        (True, False)
    """
    return text[-1] in "0123456789"


def _plain(digits: str) -> str:
    """The form that all spellings of a number share: "2.0" is "2"; "2.50" stays, it may be a version."""
    whole, point, fraction = digits.partition(".")
    if point and fraction and not fraction.strip("0") and whole.lstrip("-").isdigit():
        return whole
    return digits


def _value(digits: str) -> float | None:
    if len(digits) <= _MOST_DIGITS and digits.lstrip("-").replace(".", "", 1).isdigit():
        return float(digits)
    return None


def _written(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)


@dataclass(slots=True)
class _Reader:
    """Reads the words from left to right; what was read is in `read`."""

    words: Sequence[Word]
    read: list[Word]
    place: int = 0

    def text(self) -> str:
        """The word at the current place; empty behind the last."""
        return self.words[self.place].text if self.place < len(self.words) else ""

    def spelled(self, word: Word) -> float | None:
        """The value of a word that spells a number; takes the ones behind the tens with it."""
        text, after = word.text, self.text()
        if text in {"one", "a"}:
            counts = after in _MAGNITUDES or (text == "one" and after in _PERIODS)
            return 1 if counts else None
        if text in _SPELLED:
            value = _SPELLED[text]
            if value >= 20 and 0 < _SPELLED.get(after, 0) < 10:
                value += _SPELLED[after]
                self.place += 1
            return value
        if text in _MAGNITUDES and text[-1] != "s":
            self.place -= 1
            return 1
        if word.surface in _ROMAN and (len(text) > 1 or (self.read and self.read[-1].text in _NUMBERED)):
            return _ROMAN[word.surface]
        return None

    def scaled(self, value: float, *, digits: bool) -> float:
        """The value times the magnitudes that follow: "million", or the "k" of "30k"."""
        suffixes = _MONEY_SUFFIXES if self.read and self.read[-1].text in _CURRENCIES else _SUFFIXES
        for turn in range(_MOST_MAGNITUDES):
            text = self.text()
            if text in _MAGNITUDES:
                value *= _MAGNITUDES[text]
            elif digits and not turn and text in suffixes and (text == "k" or self.words[self.place].glued):
                value *= suffixes[text]
            else:
                break
            self.place += 1
        return value


def _split(words: Sequence[Word]) -> list[Word]:
    """The words with "500/1000" as two numbers; "1/2" and "9/11" stay."""
    split: list[Word] = []
    for word in words:
        parts = word.text.split("/") if "/" in word.text else []
        if max(map(len, parts), default=0) > _SHORT_PART:
            split += [word._replace(text=part) for part in parts]
        else:
            split.append(word)
    return split


def read_numbers(words: Sequence[Word]) -> list[Word]:
    """Write every number among the words in digits.

    Example:
        >>> from freehold.cache.gate.words import read_words
        >>> [word.text for word in read_numbers(read_words("Two hundred, 3rd, World War II, 30k, 1.5 million"))]
        ['200', '3', 'world', 'war', '2', '30000', '1500000']
    """
    if not any(
        is_number(word.text) or word.text in _SPELLED or word.text in _MAGNITUDES or word.surface in _ROMAN
        for word in words
    ):
        return list(words)
    words = _split(words)
    reader = _Reader(words, [])
    while reader.place < len(words):
        word = words[reader.place]
        reader.place += 1
        digits = is_number(word.text)
        if digits:
            word = word._replace(text=_plain(word.text))
            if reader.text() in {"st", "nd", "rd", "th"} and words[reader.place].glued:
                reader.place += 1
                reader.read.append(word._replace(text=_VAGUE.get(word.text, word.text)))
                continue
        value = _value(word.text) if digits else reader.spelled(word)
        if value is not None:
            start = reader.place
            scaled = reader.scaled(value, digits=digits)
            if not digits or reader.place > start:
                word = word._replace(text=_written(scaled))
        reader.read.append(word)
    return reader.read


def number_objection(
    ours: Counter[str], theirs: Counter[str], our_operators: Counter[str], their_operators: Counter[str]
) -> str | None:
    """Say which numbers differ where each question has one that the other lacks.

    A number that only one question has is no objection: "in 2016" is understood as often as not. In arithmetic it is,
    and so are other operators.

    Args:
        ours: The numbers of one question, each with how often it occurs.
        theirs: Those of the other.
        our_operators: The signs of arithmetic of one question.
        their_operators: Those of the other.

    Example:
        >>> number_objection(Counter(["1998"]), Counter(["2002"]), Counter(), Counter())
        'The numbers differ: 1998 against 2002.'
        >>> number_objection(Counter(["1998"]), Counter(), Counter(), Counter()) is None
        True
    """
    reckoned = bool(our_operators and their_operators)
    if ours != theirs:
        only = ours - theirs, theirs - ours
        if (only[0] and only[1]) or reckoned:
            named = [", ".join(sorted(numbers.elements())) or "none" for numbers in only]
            return f"The numbers differ: {named[0]} against {named[1]}."
    if reckoned and our_operators != their_operators:
        one, other = our_operators - their_operators, their_operators - our_operators
        if one and other:
            return f"The operators differ: {' '.join(sorted(one))} against {' '.join(sorted(other))}."
    return None
