from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from freehold.coordination import CachedAnswer
from freehold.state import Citation

CITATION: Citation = {
    "number": 1,
    "source": "docs/a.md",
    "passage": "p1",
    "heading": "A > B",
    "page": None,
    "start": 0,
    "end": 4,
    "text": "text",
}
ANSWER = CachedAnswer(
    question="What?", answer="That. [1]", citations=[CITATION], route="documents", model="demo", sources=["docs/a.md"]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def test_an_answer_comes_back_whole() -> None:
    """Protects citations, sources and the time through a store."""
    assert CachedAnswer.decode(ANSWER.encode()) == ANSWER
    assert ANSWER.created_at.endswith("+00:00")


@given(st.text(), st.text(), st.lists(st.text()))
def test_any_text_survives(question: str, answer: str, sources: list[str]) -> None:
    """Protects odd text, halves of surrogate pairs too."""
    whole = CachedAnswer(question=question, answer=answer, sources=sources)
    assert CachedAnswer.decode(whole.encode()) == whole


@given(st.binary())
def test_random_bytes_are_no_answer(data: bytes) -> None:
    """Protects lookups from a store that holds something else."""
    assert CachedAnswer.decode(data) is None


@given(st.sampled_from([*json.loads(ANSWER.encode())]), JSON)
def test_a_field_of_another_kind_is_no_answer(name: str, value: object) -> None:
    """Protects lookups from damaged entries: what comes back has the right types, or does not come back."""
    fields = json.loads(ANSWER.encode()) | {name: value}
    answer = CachedAnswer.decode(json.dumps(fields).encode())
    if answer is not None:
        assert type(fields[name]) is type(json.loads(ANSWER.encode())[name])


def test_other_versions_and_unknown_fields_are_no_answer() -> None:
    """Protects an upgrade: entries of another version are misses, not crashes."""
    fields = json.loads(ANSWER.encode())
    for changed in (
        fields | {"version": 0},
        fields | {"version": 2},
        fields | {"extra": 1},
        {name: fields[name] for name in fields if name != "version"},
        {name: fields[name] for name in fields if name != "route"},
        [fields],
        None,
    ):
        assert CachedAnswer.decode(json.dumps(changed).encode()) is None


def test_deep_nesting_is_no_answer() -> None:
    """Protects from a value made to exhaust the parser's stack."""
    assert CachedAnswer.decode(b"[" * 1_000_000) is None
