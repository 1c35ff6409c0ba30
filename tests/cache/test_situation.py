from __future__ import annotations

from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.cache import Situation, digest, normalise

HERE = Situation(
    model="model", prompt="prompt", documents="documents", guardrails="rails", thread="thread", sampling="sampling"
)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What is Freehold?", "  what is\tFREEHOLD ?!"),
        ("Is it \ufb01ne\uff1f", "is it fine"),
        ("Straße", "strasse"),
        ("What is C++?", "what is c++"),
        ("Is it 5!?", "is it 5!"),
        ("Cafe\u0301", "Café"),
    ],
)
def test_repeats_share_one_form(one: str, other: str) -> None:
    """Protects exact hits from differences that mean nothing: case, white space, Unicode form, closing punctuation."""
    assert normalise(one) == normalise(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What is C?", "What is C++?"),
        ("What is C?", "What is C#?"),
        ("What is 10²?", "What is 102?"),
        ("What is 10⁻²?", "What is 10-2?"),
        ("1½ cups", "11/2 cups"),
        ("Do 3½ and 3 1\u20442 agree?", "Do 31\u20442 and 31\u20442 agree?"),
        ("What is 5!", "What is 5"),
        ("What does $? hold", "What does $ hold"),
        ("what is $?", "what is $"),
        ("Is 1.5 enough?", "Is 15 enough?"),
        ("Is it so?", "Is it not so?"),
        ("a.b", "ab"),
        ("re-sign", "resign"),
        ("?", "!"),
        ("", "?"),
    ],
)
def test_different_questions_stay_apart(one: str, other: str) -> None:
    """Protects from the wrong answer: nothing that can change the meaning is normalised away."""
    assert normalise(one) != normalise(other)


@given(st.text())
def test_normalising_twice_changes_nothing(question: str) -> None:
    """Protects keys: the normalised form of a question is its own normalised form."""
    assert normalise(normalise(question)) == normalise(question)


@given(st.text(alphabet=st.sampled_from("aİß\u017fﬁΣς²³⁻½①0123 .?!,;:$\u0301\u0345\u2044")))
def test_normalising_twice_changes_nothing_in_rare_letters(question: str) -> None:
    """Protects keys where folding and composition undo each other."""
    assert normalise(normalise(question)) == normalise(question)


@given(st.text(alphabet="0123456789 .,-/²"))
def test_digits_survive(question: str) -> None:
    """Protects numbers: normalising loses and adds no digit."""
    plain = question.replace("²", "2")
    assert [c for c in normalise(question) if c.isdigit()] == [c for c in plain if c.isdigit()]


@given(
    st.sampled_from([field.name for field in fields(Situation)]),
    st.text(),
    st.text(),
)
def test_every_field_is_part_of_key_and_scope(name: str, value: str, question: str) -> None:
    """Protects isolation: another user, tenant, model or documents' version never shares a key or a scope."""
    there = replace(HERE, **{name: value})
    if there == HERE:
        assert (there.scope, there.key(question)) == (HERE.scope, HERE.key(question))
    else:
        assert there.scope != HERE.scope
        assert there.key(question) != HERE.key(question)


@given(st.text(), st.text())
def test_fields_do_not_run_into_each_other(one: str, other: str) -> None:
    """Protects keys from values that move from one field to its neighbour."""
    swapped = Situation(model=one, prompt=other).key("q") == Situation(model=other, prompt=one).key("q")
    assert swapped == (one == other)


@given(st.text(), st.text())
def test_a_key_says_which_question(one: str, other: str) -> None:
    """Protects from collisions: keys agree exactly where the normalised questions agree."""
    assert (HERE.key(one) == HERE.key(other)) == (normalise(one) == normalise(other))


def test_the_key_is_pinned() -> None:
    """Protects stored answers: a change in how keys are made is a decision, and raises the version in the key."""
    key = Situation(model="m", user_id="ada").key("What is Freehold?")
    assert key == digest(["v3", "default", "ada"])[:32] + "." + digest(
        [
            "v3",
            {
                "model": "m",
                "prompt": "",
                "tools": "",
                "route": "",
                "documents": "",
                "tenant": "default",
                "user_id": "ada",
                "guardrails": "",
                "thread": "",
                "sampling": "",
            },
            "what is freehold",
        ]
    )


def test_keys_begin_with_their_owner() -> None:
    """Protects forgetting: all keys of a user begin alike, whatever else they depend on, and nobody else's do."""
    ada = {replace(HERE, model=model, thread=model).key(question) for model in "mn" for question in "qr"}
    assert len(ada) == 4
    assert {key.partition(".")[0] for key in ada} == {HERE.owner}
    others = [
        replace(HERE, tenant="other"),
        replace(HERE, user_id="other"),
        replace(HERE, tenant="a", user_id="cmeada"),
    ]
    assert len({HERE.owner, *(other.owner for other in others)}) == 4
    assert HERE.user_id not in HERE.owner


def test_a_megabyte_is_normalised() -> None:
    """Protects the event loop from questions made to be slow: the work grows with the length only."""
    for text in ("?" * 1_000_000, ". " * 500_000 + "a", "!?" * 500_000 + "a", "5." * 500_000 + "a", "²1" * 500_000):
        assert normalise(text)
