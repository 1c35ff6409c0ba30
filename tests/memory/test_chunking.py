"""Tests of memory/chunking.py."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freehold.memory import LoadedDocument, split


def document(text: str, format: Any = "markdown", pages: tuple[tuple[int, int], ...] | None = None) -> LoadedDocument:  # noqa: A002
    """A loaded document of this text."""
    return LoadedDocument("birds.md", text, pages, format, "digest")


_LINES = st.one_of(
    st.text(max_size=60),
    st.sampled_from(
        [
            "# Birds",
            "## Herons ##",
            "Owls",
            "====",
            "---",
            "```",
            "```python",
            "~~~",
            "",
            "- item",
            "A sentence. Another one!",
        ]
    ),
)
_TEXTS = st.lists(_LINES, max_size=30).map("\n".join)


@settings(max_examples=200, deadline=None)
@given(text=_TEXTS, size=st.integers(5, 200), format=st.sampled_from(["markdown", "text", "html"]))
def test_passages_are_slices_in_order(text: str, size: int, format: str) -> None:  # noqa: A002
    """Offsets point at the passage's own text, in order and without overlap: citations can be found in the file."""
    passages = split(document(text, format), size=size)
    before = 0
    for passage in passages:
        assert passage["text"] == text[passage["start"] : passage["end"]]
        assert passage["text"] == passage["text"].strip() != ""
        assert passage["start"] >= before
        assert len(passage["text"]) <= 2 * size
        before = passage["end"]
    assert len({passage["id"] for passage in passages}) == len(passages)


@settings(max_examples=200, deadline=None)
@given(text=_TEXTS, size=st.integers(5, 200), cuts=st.lists(st.integers(1, 400), max_size=4, unique=True))
def test_nothing_is_lost_and_pages_hold(text: str, size: int, cuts: list[int]) -> None:
    """Every character that is not white space is in a passage, and each passage lies on the page it names."""
    starts = [0, *sorted(cut for cut in cuts if cut < len(text))]
    pages = tuple(enumerate(starts, start=1))
    passages = split(document(text, "pdf", pages), size=size)
    covered = {offset for passage in passages for offset in range(passage["start"], passage["end"])}
    assert all(offset in covered or character.isspace() for offset, character in enumerate(text))
    for passage in passages:
        assert passage["page"] is not None
        ends = [*starts[1:], len(text)]
        assert starts[passage["page"] - 1] <= passage["start"] < passage["end"] <= ends[passage["page"] - 1]
        assert len(passage["text"]) <= size


def test_headings_make_the_path() -> None:
    """A passage carries the headings above it, also those that are underlined, and none from a code fence."""
    text = (
        "---\ntitle: x\n---\nBefore.\n\n# Birds\n\nAll birds.\n\nHerons\n------\nThey fish.\n\n"
        "```\n# not a heading\n```\n\n### Grey\nGrey ones.\n\n# Fish\nSwim.\n"
    )
    passages = split(document(text))
    assert [(passage["heading"], passage["text"]) for passage in passages] == [
        ("", "Before."),
        ("Birds", "All birds."),
        ("Birds > Herons", "They fish.\n\n```\n# not a heading\n```"),
        ("Birds > Herons > Grey", "Grey ones."),
        ("Fish", "Swim."),
    ]


def test_code_fences_stay_whole() -> None:
    """A code example up to twice the size is one passage; a longer one is split at its lines."""
    code = "```\n" + "value = compute(1)\n" * 5 + "```"
    passages = split(document(f"Some words before the code.\n\n{code}\n\nSome words after it."), size=80)
    assert code in [passage["text"] for passage in passages]
    long = split(document("```\n" + "value = compute(1)\n" * 50 + "```"), size=80)
    assert all(line in ("```", "value = compute(1)") for passage in long for line in passage["text"].splitlines())


def test_sentences_stay_whole_and_tokens_may_count() -> None:
    """Long paragraphs break between sentences, and the size can be in tokens of a model."""
    text = " ".join(f"Sentence number {number} says something." for number in range(30))
    passages = split(document(text, "text"), size=20, count_tokens=lambda part: len(part.split()))
    assert len(passages) > 1
    assert all(passage["text"].endswith(".") and len(passage["text"].split()) <= 20 for passage in passages)


def test_only_headings_give_a_passage() -> None:
    """A document of headings alone is still found by them."""
    assert [passage["text"] for passage in split(document("# Birds\n## Herons\n"))] == ["# Birds\n## Herons"]


def steps(text: str) -> int:
    """How many of our own functions and generators were entered while a text was split."""
    entered = 0

    def count(frame: Any, event: str, _: Any) -> None:
        nonlocal entered
        entered += event == "call" and frame.f_globals.get("__name__") == "freehold.memory.chunking"

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        split(document(text))
    finally:
        sys.setprofile(before)
    return entered


def test_work_grows_with_the_text_only() -> None:
    """Twice the code fences is twice the work: a long file with many does not hold the reader for minutes."""
    part = "## Heading\n\ntext text text\n\n```\ncode\ncode\n```\n\n"
    assert steps(part * 160) < 2.5 * steps(part * 80)


@pytest.mark.parametrize(
    ("line", "heading"),
    [
        ("# Birds ##", "Birds"),
        ("# Birds #1#", "Birds #1#"),
        ("# C#", "C#"),
        ("## ##", "##"),
        ("# Birds # # \t", "Birds #"),
        ("# Birds" + " " * 200_000 + "fly", "Birds" + " " * 200_000 + "fly"),  # the old expression took minutes
    ],
)
def test_closing_number_signs_are_no_part_of_a_heading(line: str, heading: str) -> None:
    """A heading is what CommonMark says it is, at any length."""
    assert [passage["heading"] for passage in split(document(f"{line}\nThey fly."))] == [heading]
