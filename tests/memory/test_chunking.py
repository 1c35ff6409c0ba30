"""Tests of memory/chunking.py."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freehold.inference import LlamaEmbeddings
from freehold.memory import LoadedDocument, split
from freehold.memory.chunking import PASSAGE_SIZE


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
    passages = split(document(text, format), size=size, count_tokens=len)
    before = 0
    for passage in passages:
        assert passage["text"] == text[passage["start"] : passage["end"]]
        assert passage["text"] == passage["text"].strip() != ""
        assert passage["start"] >= before
        assert len(passage["text"]) <= 2 * size
        assert len(passage["heading"]) <= size
        before = passage["end"]
    assert [passage.get("index") for passage in passages] == list(range(len(passages)))
    assert len({passage["id"] for passage in passages}) == len(passages)


@settings(max_examples=200, deadline=None)
@given(text=_TEXTS, size=st.integers(5, 200), cuts=st.lists(st.integers(1, 400), max_size=4, unique=True))
def test_nothing_is_lost_and_pages_hold(text: str, size: int, cuts: list[int]) -> None:
    """Every character that is not white space is in a passage, and each passage lies on the page it names."""
    starts = [0, *sorted(cut for cut in cuts if cut < len(text))]
    pages = tuple(enumerate(starts, start=1))
    passages = split(document(text, "pdf", pages), size=size, count_tokens=len)
    covered = {offset for passage in passages for offset in range(passage["start"], passage["end"])}
    assert all(offset in covered or character.isspace() for offset, character in enumerate(text))
    for passage in passages:
        assert passage["page"] is not None
        ends = [*starts[1:], len(text)]
        assert starts[passage["page"] - 1] <= passage["start"] < passage["end"] <= ends[passage["page"] - 1]
        assert len(passage["text"]) <= size
    by_section = {passage.get("section"): passage["page"] for passage in passages}
    assert sorted(by_section) == list(range(len(by_section)))
    assert all(by_section[passage.get("section")] == passage["page"] for passage in passages)


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
    text = f"Some words before the code.\n\n{code}\n\nSome words after it."
    passages = split(document(text), size=80, count_tokens=len)
    assert [passage["text"] for passage in passages] == ["Some words before the code.", code, "Some words after it."]
    long = split(document("```\n" + "value = compute(1)\n" * 50 + "```"), size=80, count_tokens=len)
    assert len(long) > 10
    assert all(line in ("```", "value = compute(1)") for passage in long for line in passage["text"].splitlines())


def test_a_fence_stays_whole_with_its_heading_only() -> None:
    """A heading path and a code block together have twice the size at most, so that the model reads both whole."""
    code = "```\n" + "value = compute(1)\n" * 5 + "```"  # 102 characters
    for heading, whole in (("Sums", True), ("Sums of all that is counted", False)):
        passages = split(document(f"# {heading}\n\n{code}\n"), size=55, count_tokens=len)
        assert (len(passages) == 1) is whole
        assert all(len(one["heading"]) + len(one["text"]) <= 110 for one in passages)


def test_sentences_stay_whole_and_tokens_may_count() -> None:
    """Long paragraphs break between sentences, and the size can be in tokens of a model."""
    text = " ".join(f"Sentence number {number} says something." for number in range(30))
    passages = split(document(text, "text"), size=20, count_tokens=lambda part: len(part.split()))
    assert len(passages) > 1
    assert all(passage["text"].endswith(".") and len(passage["text"].split()) <= 20 for passage in passages)


def test_only_headings_give_a_passage() -> None:
    """A document of headings alone is still found by them."""
    assert [passage["text"] for passage in split(document("# Birds\n## Herons\n"))] == ["# Birds\n## Herons"]


_OURS = ("freehold.memory.chunking", "freehold.memory.sections")


def steps(text: str) -> int:
    """How many of our own functions and generators were entered while a text was split."""
    entered = 0

    def count(frame: Any, event: str, _: Any) -> None:
        nonlocal entered
        entered += event == "call" and frame.f_globals.get("__name__") in _OURS

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


def test_no_passage_is_longer_than_the_model_reads(embedder: LlamaEmbeddings) -> None:
    """Counted by the model, a passage with its heading fits the embedder's window in any script: nothing is cut off."""
    parts = [
        "The heron eats fish. ",
        "鷺は魚を食べる。",
        "Der Graureiher frißt Fische; ",
        "x" * 300 + " ",
        "🐟🐸 ",
        "a_b(c[d])\n",
    ]
    text = "".join(f"# {part * 9}\n\n## {part * 30}\n\n{part * 60}\n\n```\n{part * 20}\n```\n\n" for part in parts)
    window = embedder.header.context_length
    assert window is not None
    passages = split(document(text), count_tokens=embedder.count_tokens)
    counts = [embedder.count_tokens(passage["text"]) for passage in passages]
    assert max(counts) <= 2 * PASSAGE_SIZE
    assert sum(counts) / len(counts) > 0.5 * PASSAGE_SIZE
    for passage in passages:
        assert embedder.count_tokens(f"{passage['heading']}\n{passage['text']}") <= 3 * PASSAGE_SIZE < window


def test_long_texts_without_any_break_take_their_time_only() -> None:
    """A megabyte without a space is split in seconds: no file holds the reader for ever."""
    measured = 0

    def count(text: str) -> int:
        nonlocal measured
        measured += len(text)
        return len(text)

    text = "x" * 1_000_000
    passages = split(document(text, "text"), size=400, count_tokens=count)
    assert "".join(passage["text"] for passage in passages) == text
    assert measured < 100 * len(text)


def test_lines_of_the_file_are_known() -> None:
    """A passage of text, Markdown or code names the line that it begins on, so that an editor opens it there."""
    text = "---\ntitle: x\n---\n# Birds\n\nAll birds.\n\n## Herons\n\nThey fish.\n"
    assert [passage["metadata"]["line"] for passage in split(document(text))] == [6, 10]
    html = split(document("# Birds\n\nAll birds.", "html"))
    assert "line" not in html[0]["metadata"]


def test_tables_and_lists_make_no_headings() -> None:
    """Lines of dashes under a table's names or a list's item are what CommonMark says: no headings."""
    text = "# Birds\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n- item\n\n  # in a list\n\n> # quoted\n"
    assert {passage["heading"] for passage in split(document(text))} == {"Birds"}


@pytest.mark.parametrize(
    ("line", "heading"),
    [
        ("# Birds ##", "Birds"),
        ("# Birds #1#", "Birds #1#"),
        ("# C#", "C#"),
        ("## ##", ""),
        ("# Birds # # \t", "Birds #"),
        ("# Birds" + " " * 200_000 + "fly", "Birds fly"),  # an expression once took minutes
        ("# " + "bird " * 100, "bird " * 23 + "bird…"),
    ],
)
def test_closing_number_signs_are_no_part_of_a_heading(line: str, heading: str) -> None:
    """A heading is what CommonMark says it is, at any length."""
    assert [passage["heading"] for passage in split(document(f"{line}\nThey fly."))] == [heading]
