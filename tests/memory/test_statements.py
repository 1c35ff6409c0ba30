"""Rules that say what a message states about its writer."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.memory.statements import (
    clauses,
    is_about_writer,
    is_question,
    mentions_writer,
    questions,
    says_something,
    supports,
)


def test_the_time_grows_with_the_length_alone() -> None:
    """A message of nothing but spaces is read as fast as one of words: whoever pads it cannot hold up the server."""

    def seconds(message: str) -> float:
        timed = []
        for _ in range(5):
            started = time.perf_counter()
            clauses(message)
            questions(message)
            timed.append(time.perf_counter() - started)
        return min(timed)

    words = seconds("I like tea and bread and butter " * 125)
    for padding in (" ", "\t", "\u2003", " \t"):
        assert seconds(f"I like tea{padding * (3900 // len(padding))}.") < 4 * words
    assert clauses("I like  tea ,   and \u00a0 I ski   but\tI have a dog") == ["I like  tea", "I ski", "I have a dog"]


@pytest.mark.parametrize(
    "sentence",
    [
        "What is my name?",
        "where do I live",
        "Is it raining",
        "How do I install it",
        "hi, can you help",
        "Tea, or coffee?",
    ],
)
def test_questions_are_recognised(sentence: str) -> None:
    """A question never becomes a memory, with or without its question mark."""
    assert is_question(sentence)


@pytest.mark.parametrize(
    "sentence", ["When I was six I lived in Rome.", "What I like is tea.", "May is my favourite month"]
)
def test_statements_that_begin_like_questions_are_kept(sentence: str) -> None:
    """A statement is not lost because its first word also begins questions."""
    assert not is_question(sentence)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("My name is Ada, and I like tea.", ["My name is Ada", "I like tea"]),
        ("I moved to Porto and my sister is called Eva", ["I moved to Porto", "my sister is called Eva"]),
        ("I like bread and butter.", ["I like bread and butter"]),
        ("I'm Bob. How do I install it?", ["I'm Bob"]),
        ("I use Python 3.11.2 at work.", ["I use Python 3.11.2 at work"]),
        ("I\u2019m allergic to nuts", ["I'm allergic to nuts"]),
        ("...", []),
        ("", []),
    ],
)
def test_messages_are_cut_into_clauses(message: str, expected: list[str]) -> None:
    """Each fact stands in a clause of its own, numbers and lists stay whole, and questions are gone."""
    assert clauses(message) == expected


@pytest.mark.parametrize(
    "clause",
    [
        "I like tea",
        "my name is Ada",
        "Hello, I'm Bob",
        "On Mondays I work from home",
        "Remember that the key is under the mat",
        "I can't eat nuts",
        "We moved to Porto",
    ],
)
def test_first_person_statements_are_worth_keeping(clause: str) -> None:
    """What people say about themselves is kept without a model."""
    assert is_about_writer(clause)
    assert mentions_writer(clause)


@pytest.mark.parametrize(
    "clause",
    [
        "hi",
        "Thanks",
        "Explain my results",
        "I'd like to know how it works",
        "I need help with sqlite",
        "I wonder why",
        "*",
    ],
)
def test_greetings_requests_and_passing_remarks_are_not(clause: str) -> None:
    """What concerns this conversation only does not fill the memory."""
    assert not is_about_writer(clause)


@pytest.mark.parametrize(
    "sentence",
    ["The gate is green", "Rex eats only chicken.", "Our plan is to wait", "Tea costs 3 euros", "It broke again"],
)
def test_statements_about_anything_say_something(sentence: str) -> None:
    """Without a model, raw statements are kept whatever they are about."""
    assert says_something(sentence)


@pytest.mark.parametrize(
    "sentence",
    ["boiler pressure gauge", "Show me the gate", "Thanks for that!", "Good morning to you.", "Hm", "You are kind."],
)
def test_requests_thanks_and_keywords_say_nothing(sentence: str) -> None:
    """The memory is no log of what was typed."""
    assert not says_something(sentence)


def test_questions_are_counted() -> None:
    """Each question of a message is one, and a statement is none."""
    assert questions("I like tea. Do you? where is it") == 2
    assert questions("") == questions("I like tea.") == 0


@pytest.mark.parametrize(
    ("clause", "fact", "expected"),
    [
        ("My name is Ada", "Name is Ada", True),
        ("I'm Ada", "Name is Ada", True),
        ("I like tea", "Likes tea", True),
        ("I prefer tea over coffee", "Prefers tea over coffee", True),
        ("I enjoy painting", "Likes to paint", True),
        ("I was painting", "Likes to paint", False),
        ("I like tea", "Lives in Porto", False),
        ("I like tea", "Likes tea and coffee", False),
        ("I don't like tea", "Likes tea", False),
        ("I don't like tea", "Does not like tea", True),
        ("My sister likes tea", "Likes tea", False),
        ("My sister likes tea", "Sister likes tea", True),
        ("I am 41 years old", "Age is 4", False),
        ("I like tea", "Likes", False),
        ("I enjoy tea", "Likes tea", True),
        ("I moved to Porto", "Lives in Porto", True),
        ("My sister likes tea", "Lives in Sister", False),
        ("I have a dog called Rex", "Lives in Rex", False),
    ],
)
def test_facts_need_evidence(clause: str, fact: str, expected: bool) -> None:
    """A model cannot put words, the opposite, or another person's likings into a user's memory."""
    assert supports(clause, fact) is expected


@given(st.text(max_size=300))
def test_any_text_can_be_read(text: str) -> None:
    """No message breaks the rules, and each clause is a piece of the message."""
    straight = text.replace("\u2019", "'")
    for clause in clauses(text):
        assert clause in straight
        assert clause.strip()
        assert is_about_writer(clause) in (True, False)
