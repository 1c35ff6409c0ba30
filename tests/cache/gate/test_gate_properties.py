"""What holds for the gate on any text."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from types import FrameType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freehold.cache.gate import compare, refusal
from freehold.cache.gate.question import parse

_PIECES = (
    "what is the best way to learn piano in Rome Paris New York not don't without 2 two 3.11 million $5 kg miles from "
    "to than better worse older US America C++ C# AB+ O- May next year before after un happy unhappy enable disabled I "
    'i II World War "hello" 无语 😀 naïve café ½ ² e.g. U.S.A. 1,000 men women and or , . ? ! - \' " \x00 \ud800'
)
WORDS = _PIECES.split(" ")
QUESTIONS = st.lists(st.sampled_from(WORDS), max_size=14).map(" ".join) | st.text(max_size=60)
PLAIN = st.lists(st.sampled_from([word for word in WORDS if word.isalnum()]), max_size=12).map(" ".join)


@settings(deadline=None)
@given(QUESTIONS, QUESTIONS)
def test_the_comparison_is_symmetric_and_never_fails(one: str, other: str) -> None:
    """Protects the cache from a gate that raises, or whose judgement depends on which question came first."""
    found, back = compare(one, other), compare(other, one)
    assert replace(found, reason=None) == replace(back, reason=None)
    assert 0 <= found.order <= 1


SAID = {
    *(f"The {what} differ" for what in ("numbers", "operators", "units", "dates", "names")),
    *("They are about different things", "They ask for different things", "They are opposites"),
    *(
        "They have changed places",
        "The direction differs",
        "Only one of them is negated",
        "Only one of them is limited",
    ),
}


@settings(deadline=None)
@given(QUESTIONS, QUESTIONS)
def test_a_reason_quotes_behind_its_colon(one: str, other: str) -> None:
    """Protects users of a shared cache: what is in front of the colon, which all of them may read, quotes nobody."""
    reason = refusal(one, other)
    assert reason is None or reason.partition(": ")[0] in SAID


@settings(deadline=None)
@given(QUESTIONS)
def test_a_question_never_refuses_itself(question: str) -> None:
    """Protects repeats: white space, closing punctuation and canonical Unicode form change nothing."""
    for repeat in (
        question,
        f"  {question} ",
        f"{question}?",
        unicodedata.normalize("NFD", question),
        unicodedata.normalize("NFC", question),
    ):
        assert refusal(question, repeat) is None


@settings(deadline=None)
@given(PLAIN)
def test_case_alone_is_no_objection(question: str) -> None:
    """Protects people who type in small letters, in capitals, or like a headline."""
    for repeat in (question.lower(), question.upper(), question.title(), question.capitalize()):
        assert refusal(question, repeat) is None


def steps(one: str, other: str) -> int:
    """Lines of Python that a comparison runs, each turn of a loop counted: the same on any machine."""
    counted = 0

    def count(_frame: FrameType, event: str, _argument: object) -> Any:
        nonlocal counted
        counted += event == "line"
        return count

    parse.cache_clear()
    before = sys.gettrace()
    sys.settrace(count)
    try:
        compare(one, other)
    finally:
        sys.settrace(before)
    return counted


@pytest.mark.parametrize(
    "texts",
    [
        lambda size: ("Alpha beta from Rome to 5 kg, " * size, "Gamma beta from 6 miles to Oslo, " * size),
        lambda size: tuple(" ".join(f"{letter}{index}x" for index in range(4 * size)) for letter in "NM"),
        lambda size: ("Rome " * 4 * size + "hate " + "Oslo " * size, "Oslo " * size + "hate " + "Rome " * 4 * size),
        lambda size: ("x'" * 8 * size, "y'" * 8 * size),
        lambda size: ("1," * 8 * size, "2," * 8 * size),
        lambda size: ("million " * 4 * size, "billion " * 4 * size),
    ],
    ids=["mixed", "names", "swapped", "apostrophes", "commas", "magnitudes"],
)
def test_long_texts_cost_their_length(texts: Callable[[int], tuple[str, str]]) -> None:
    """Protects the event loop: the work grows with the length, and not with its square, whatever the text."""
    steps(*texts(1))  # what is read once only
    assert 0 < steps(*texts(120)) < 5 * steps(*texts(30))
