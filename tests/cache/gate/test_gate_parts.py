"""What the gate reads in a question."""

from __future__ import annotations

import pytest

from freehold.cache.gate.dates import read_dates
from freehold.cache.gate.likeness import alike
from freehold.cache.gate.names import has_case
from freehold.cache.gate.numbers import read_numbers
from freehold.cache.gate.question import parse
from freehold.cache.gate.stems import stem
from freehold.cache.gate.units import read_units
from freehold.cache.gate.words import read_words


@pytest.mark.parametrize(
    "forms",
    [
        "install installing installed installs",
        "write writing wrote written writes",
        "care caring cared cares",
        "hop hopping hopped hops",
        "hope hoping hoped hopes",
        "study studies studied studying",
        "movie movies",
        "organise organize organised organizing",
        "colour color colours",
        "create creating created",
        "cancel cancelled canceled",
        "agree agreed agreeing",
        "box boxes",
        "woman women",
        "lie lying lied",
    ],
)
def test_inflections_share_a_stem(forms: str) -> None:
    """Protects the rules from missing a word in another form, or in British spelling."""
    assert len({stem(form) for form in forms.split()}) == 1


@pytest.mark.parametrize("words", ["care car", "plane plan", "hope hop", "news new", "teacher teach", "ring r"])
def test_other_words_have_other_stems(words: str) -> None:
    """Protects from taking two words for one."""
    assert len({stem(word) for word in words.split()}) == len(words.split())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Why doesn\u2019t it work?", "why does not it work"),
        ("whats up, dont ask", "what is up do not ask"),
        ("India's U.S. visa, B.Tech. and Ph.D", "india us visa btech and phd"),
        ("1,00,000 or 1,000", "100000 or 1000"),
        ("10² is 2½", "10 ^ 2 is 2 1/2"),
        ("R15, mp3 and DVDs", "r 15 mp 3 and dvd"),
        ("AB+ or O- (C#, C++)", "ab+ or o- c# c++"),
        ("\uff26\uff55\uff4c\uff4c width na\u00efve \ufb01le", "full width naive file"),
        ("n't", "not"),
    ],
)
def test_words(text: str, words: str) -> None:
    """Protects the reading of contractions, abbreviations, numbers and signs, in any Unicode form."""
    assert " ".join(word.text for word in read_words(text)) == words


def test_where_a_sentence_begins() -> None:
    """Protects names behind "Mr.": a capital there tells a name, one behind a full stop does not."""
    opening = [word.text for word in read_words("Who is Mr. Smith? Tell me. He knows: Yes") if word.opens]
    assert opening == ["who", "tell", "he", "yes"]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("twenty five", ["25"]),
        ("two hundred thousand", ["200000"]),
        ("$5m and 5m", ["5000000", "5"]),
        ("1.5 lakh, 10 K", ["150000", "10000"]),
        ("the third of ten", ["3", "10"]),
        ("level I, World War II, I", ["1", "2"]),
        ("a million million million million million", ["1000000000000000000", "1000000000000"]),
        ("first of all", []),
        ("2.0, 3.11, 1/2, 500/1000", ["2", "3.11", "1/2", "500", "1000"]),
        ("9" * 400, ["9" * 400]),
    ],
)
def test_numbers(text: str, numbers: list[str]) -> None:
    """Protects the one form of a number, and from numbers too large for arithmetic."""
    assert [word.text for word in read_numbers(read_words(text)) if word.text[-1].isdigit()] == numbers


def test_units_that_are_words_too() -> None:
    """Protects from taking "these days" and "a second chance" for units of time."""
    assert not read_units(read_words("Are second chances rare these days?"))
    assert read_units(read_words("3 days, in feet")) == {("time", "day"), ("behind 3", "day"), ("length", "foot")}
    assert read_units(read_words("5 pounds")) == {("mass", "pound"), ("money", "pound"), ("behind 5", "pound")}


def test_dates_that_are_words_too() -> None:
    """Protects from taking a verb for a month, and an adjective for a period."""
    assert not read_dates(read_words("May I march past the last house next to this one?"))
    assert read_dates(read_words("in may, next 5 years")) == {("month", "may"), ("period", "next")}


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("pakistan", "pakistani", True),
        ("france", "frances", True),
        ("kurosawa", "kurosowa", True),
        ("recieve", "receive", True),
        ("mangalore", "bangalore", False),
        ("austria", "australia", False),
        ("india", "indiana", False),
        ("iraq", "iran", False),
    ],
)
def test_likeness(one: str, other: str, same: bool) -> None:
    """Protects hits from a slip of the pen, and names from being taken for each other."""
    assert alike(one, other) is alike(other, one) is same


def test_case_that_says_nothing() -> None:
    """Protects questions typed without capitals, or with too many: no word of theirs is taken for a name."""
    assert not has_case(read_words("How To Learn The Piano In A Week?"))
    assert not has_case(read_words("HOW OLD IS ROME?"))
    assert not has_case(read_words("How do i learn Piano?"))
    assert has_case(read_words("Is an i5 from Intel fast?"))


def test_a_question_is_read_once() -> None:
    """Protects the speed: the same text gives the same object."""
    assert parse("Is Rome old?") is parse("Is Rome old?")
