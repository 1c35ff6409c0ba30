"""What holds for the gate on any text."""

from __future__ import annotations

import time
import unicodedata
from dataclasses import replace

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


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Alpha beta from Rome to 5 kg, " * 170, "Gamma beta from 6 miles to Oslo, " * 150),
        (" ".join(f"N{index}x" for index in range(800)), " ".join(f"M{index}y" for index in range(800))),
        ("Rome " * 1000 + "hate " + "Oslo " * 100, "Oslo " * 100 + "hate " + "Rome " * 1000),
        ("x'" * 2500, "y'" * 2500),
        ("1," * 2500, "2," * 2500),
        ("million " * 600, "billion " * 600),
    ],
    ids=["mixed", "names", "swapped", "apostrophes", "commas", "magnitudes"],
)
def test_long_texts_cost_milliseconds(one: str, other: str) -> None:
    """Protects the event loop: the cost grows with the length, and not with its square, whatever the text."""
    spent = []
    for times in (1, 4):
        parse.cache_clear()
        start = time.process_time()
        compare(one * times, other * times)
        spent.append(time.process_time() - start)
    assert spent[1] < max(0.4, 12 * spent[0])
