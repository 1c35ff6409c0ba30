"""Where a document's sections begin and end: what stands under each heading of Markdown."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

from freehold.memory.formats.plain import front_matter

if TYPE_CHECKING:
    from markdown_it.token import Token

__all__ = ["Section", "Span", "join_path", "markdown_sections"]

Span = tuple[int, int]
"""Offsets of a part's first character and behind its last."""

_LONGEST_TITLE = 120


@dataclass(frozen=True)
class Section:
    """A part of a document under one heading."""

    heading: str
    """The headings above it, outermost first, joined by " > "."""
    start: int
    end: int
    fences: tuple[Span, ...] = ()
    """Code blocks in it, with their marks."""


def join_path(titles: list[str]) -> str:
    """A heading path: each title on one line, and cut where it is no title any more."""
    lines = (line for title in titles if (line := " ".join(title.split())))
    return " > ".join(line if len(line) <= _LONGEST_TITLE else line[: _LONGEST_TITLE - 1] + "…" for line in lines)


def markdown_sections(text: str, *, matter: bool = True) -> list[Section]:
    r"""The text under each heading, as CommonMark reads it; heading lines and front matter are left out.

    Args:
        text: Markdown with `\n` at its lines' ends.
        matter: Whether it may begin with front matter; what was HTML has none.
    """
    first = front_matter(text)[1] if matter else 0
    # Not `splitlines`: a form feed or U+2028 ends no line of Markdown.
    starts = [first, *accumulate((len(line) + 1 for line in text[first:].split("\n")), initial=first)][1:]
    starts[-1] = len(text)
    tokens = _blocks(text[first:].replace("\r", " "))  # it would end a line
    fences = [
        (starts[token.map[0]], _line_end(text, starts[token.map[1]]))
        for token in tokens
        if token.type == "fence" and token.map and not token.level
    ]
    return list(_sections(text, first, starts, tokens, fences))


def _blocks(text: str) -> list[Token]:
    from markdown_it import MarkdownIt

    # What stands in a line is not asked for; tables are, so that their lines of dashes make no headings.
    return MarkdownIt("commonmark").enable("table").disable("inline").parse(text)


def _line_end(text: str, end: int) -> int:
    """Before the line feed, where one closes the block's last line."""
    return end - 1 if text[end - 1 : end] == "\n" else end


def _sections(text: str, first: int, starts: list[int], tokens: list[Token], fences: list[Span]) -> Iterator[Section]:
    path: list[tuple[int, str]] = []
    place = 0  # of the next fence

    def section(start: int, end: int) -> Section:
        nonlocal place
        begin = place
        while place < len(fences) and fences[place][0] < end:
            place += 1
        return Section(join_path([title for _, title in path]), start, end, tuple(fences[begin:place]))

    for token, inline in pairwise(tokens):
        # A heading in a list or a quotation is a part of that.
        if token.type == "heading_open" and token.map and not token.level:
            yield section(first, starts[token.map[0]])
            level = int(token.tag[1:])
            path = [*(entry for entry in path if entry[0] < level), (level, inline.content)]
            first = starts[token.map[1]]
    yield section(first, len(text))
