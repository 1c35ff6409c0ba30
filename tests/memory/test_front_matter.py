"""Tests of front matter: what is metadata, and what is text between two rules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from freehold.memory import LoadedDocument, load, split


def _document(text: str, format: Any = "markdown") -> LoadedDocument:  # noqa: A002
    """A loaded document of this text."""
    return LoadedDocument("birds.md", text, None, format, "digest")


@pytest.mark.parametrize("value", ["!!bool maybe", "!!timestamp maybe", "!!binary ü", "1:" * 400 + "1.5", "*no"])
def test_front_matter_that_is_no_yaml_is_text(tmp_path: Path, value: str) -> None:
    """YAML that its reader meets with an error of any kind costs no file."""
    path = tmp_path / "note.md"
    path.write_text(f"---\na: {value}\n---\nBody.\n")
    document = load(path)
    assert "a" not in document.metadata
    assert split(document)[-1]["text"].endswith("Body.")


def test_merge_keys_cost_no_memory(tmp_path: Path) -> None:
    """A few lines of YAML that say a mapping twice each would fill all memory; the other keys are metadata still."""
    lines = [f"a{number}: &a{number}\n  <<: [*a{number - 1}, *a{number - 1}]" for number in range(1, 60)]
    path = tmp_path / "note.md"
    path.write_text("\n".join(["---", "title: Bomb", "a0: &a0 {x: 1}", *lines, "<<: *a0", "---", "Body.\n"]))
    document = load(path)
    assert set(document.metadata) == {"title", "format", "modified"}
    assert [one["text"] for one in split(document)] == ["Body."]


@pytest.mark.parametrize(
    ("between", "format"),
    [
        ("# Intro\n\nThe boiler is in the cellar.\n", "markdown"),
        ("The boiler is in the cellar.\n", "markdown"),
        ("at: !!bool maybe\nThe boiler is in the cellar.\n", "markdown"),
        ("word " * 4_000 + "\n\nThe boiler is in the cellar.\n\n", "markdown"),
        ("where: The boiler is in the cellar.\n", "html"),
    ],
)
def test_text_between_two_rules_is_not_front_matter(between: str, format: Any) -> None:  # noqa: A002
    """A rule at the beginning and another below lose no text: only a short mapping in Markdown is front matter."""
    passages = split(_document(f"---\n{between}---\n\nThe end.\n", format))
    told = " ".join(f"{one['heading']} {one['text']}" for one in passages)
    assert "The boiler is in the cellar." in told
    assert told.endswith("The end.")


@pytest.mark.parametrize("matter", ["", "title: Intro\n", "a:\n  b: 1\n"])
def test_front_matter_is_no_text(matter: str) -> None:
    """What became metadata is not embedded as text again."""
    assert [one["text"] for one in split(_document(f"---\n{matter}---\nThe end.\n"))] == ["The end."]
