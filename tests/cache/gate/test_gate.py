from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.cache.gate import refusal


@pytest.mark.parametrize(
    ("asked", "stored"),
    [
        ("Who won the cup in 1998?", "Who won the cup in 2002?"),
        ("Is it safe to boil it for 5 minutes?", "Is it safe to boil it for 50 minutes?"),
        ("What is 2 + 2?", "What is 2 + 2 + 2?"),
        ("What is new in 3.11?", "What is new in 3.12?"),
        ("Is -5 a natural number?", "Is 5 a natural number?"),
        ("How large is 10²?", "How large is 102?"),
        ("Should I take it?", "Should I not take it?"),
        ("Why do birds fly?", "Why don't birds fly?"),
        ("Why do birds fly?", "Why don\u2019t birds fly?"),
        ("Why do birds fly?", "why dont birds fly"),
        ("How do I run it with Docker?", "How do I run it without Docker?"),
        ("Which foods are safe?", "Which foods are never safe?"),
        ("Who won WWI?", "Who won WWII?"),
        ("Who won WW1?", "Who won World War II?"),
        ("How far is 5 km?", "How far is 5 kg?"),
        ("how do i learn spanish", "how do i learn hindi"),
    ],
)
def test_look_alikes_are_refused(asked: str, stored: str) -> None:
    """Protects from what encoders cannot see: other numbers, and a negation that is on one side only."""
    assert refusal(asked, stored)
    assert refusal(stored, asked)


@pytest.mark.parametrize(
    ("asked", "stored"),
    [
        ("How do I reset my password?", "How can I reset my password?"),
        ("Why can't I log in?", "Why can not I log in?"),
        ("Why cannot I log in?", "why can\u2019t I log in"),
        ("What did 1,000 dollars buy in 1950?", "In 1950, what did 1000 dollars buy?"),
        ("What happened in 2010-2015?", "What happened in 2015 and 2010?"),
        ("Do I want a cat?", "Is a cat what I want?"),
        ("Who won WWII?", "Who won the second world war, World War 2?"),
        ("Is 60 mph fast?", "Is 60 miles per hour fast?"),
        ("Is 5 lbs much?", "Is 5 pounds much?"),
        ("What do 5 kg of rice cost?", "What do 5 kg of rice cost in dollars?"),
    ],
)
def test_paraphrases_pass(asked: str, stored: str) -> None:
    """Protects hits: the same numbers and as many negations, in other words and another order, are no objection."""
    assert refusal(asked, stored) is None


def test_the_reason_names_what_differs() -> None:
    """Protects the explanation that `decisions` shows."""
    assert refusal("1 2", "2 3") == "The numbers differ: 1 against 3."
    assert refusal("7", "eight") == "The numbers differ: 7 against 8."
    assert refusal("not so", "so") == "Only one of them is negated: so."


@given(st.text(), st.text())
def test_the_gate_is_symmetric_and_lets_a_question_pass_itself(one: str, other: str) -> None:
    """Protects from a gate that depends on which question came first, or refuses a repeat."""
    assert refusal(one, one) is None
    assert (refusal(one, other) is None) == (refusal(other, one) is None)
