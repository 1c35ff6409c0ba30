"""Passages from documents: sections respected, sentences, rows and code blocks kept whole where they fit."""

from __future__ import annotations

import bisect
import uuid
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from freehold.memory.code_sections import code_sections
from freehold.memory.loaders import LoadedDocument
from freehold.memory.sections import Section, Span, markdown_sections
from freehold.state import Passage
from freehold.token_estimate import estimate_tokens

if TYPE_CHECKING:
    from semantic_text_splitter import MarkdownSplitter, TextSplitter

__all__ = ["CHUNKING", "PASSAGE_SIZE", "passage_id", "split"]

PASSAGE_SIZE = 100
"""Tokens in a passage: about 65 words or 400 characters. Four of them with instructions, question and answer fit the
demonstration model's 1,024 tokens, and its training passages had 245 characters on average; the embedding model was
trained on 128 tokens and sees each passage whole."""

CHUNKING = "3"
"""Name of the way in which documents are read and split; another one, and unchanged files are read again."""

_MARKED = ("docx", "html", "markdown")
_OWN_LINES = ("code", "markdown", "text")
_WINDOW = 50_000
"""Characters that are split at once: where nothing separates them, the splitter measures all that is left each time."""
_LONGEST_TOKEN = 64
"""Characters per token that no text comes near: what is longer is too long, and is not counted."""
_ID_SPACE = uuid.UUID("5f0f6e0c-6a3b-5d0e-9a44-7f1c3b0d2e61")


def passage_id(source: str, digest: str, index: int) -> str:
    """Id of a document's passage: the same for the same content, so that reading it again makes no duplicate."""
    return str(uuid.uuid5(_ID_SPACE, f"{source}\0{digest}\0{index}"))


def split(
    document: LoadedDocument, *, size: int = PASSAGE_SIZE, count_tokens: Callable[[str], int] = estimate_tokens
) -> list[Passage]:
    """Split a document into passages, in order and without overlap: `document.text[start:end]` is the passage's text.

    A passage never crosses a heading, a page, or in code the end of a function. Within these bounds
    `semantic-text-splitter` puts together as many blocks, rows, lines or sentences as fit. A fenced code block that has
    up to twice the size with its heading path stays whole; a longer one is split at its lines. The heading path has
    `size` tokens at most: outer headings go first.

    Args:
        document: What `load` gave.
        size: Most of what `count_tokens` counts in one passage.
        count_tokens: Measures a text, as `LlamaEmbeddings.count_tokens` does; estimated unless given.
    """

    def count(text: str) -> int:
        return len(text) if len(text) > 2 * size * _LONGEST_TOKEN else count_tokens(text)

    splitter = _splitter(document, size, count)
    numbers = [number for number, _ in document.pages or ()]
    page_starts = [start for _, start in document.pages or ()]
    line_of = _line_counter(document)
    passages: list[Passage] = []
    sections = -1
    for section in _sections(document, lambda part: count(part) <= size):
        heading = _fitted(section.heading, size, count)
        room = 2 * size - (count(heading) if heading else 0)
        for span in _between(section.start, section.end, page_starts):
            first_of_section = True
            for start, end in _pieces(
                document,
                section,
                span,
                splitter,
                lambda fence, room=room: size < count(fence) <= room,  # type: ignore[misc]
            ):
                sections += first_of_section
                first_of_section = False
                index = len(passages)
                passages.append(
                    {
                        "id": passage_id(document.source, document.digest, index),
                        "text": document.text[start:end],
                        "source": document.source,
                        "heading": heading,
                        "page": numbers[bisect.bisect_right(page_starts, start) - 1] if numbers else None,
                        "start": start,
                        "end": end,
                        "score": 0.0,
                        "index": index,
                        "section": sections,
                        "metadata": {**document.metadata, **line_of(start)},
                    }
                )
    return passages


def _sections(document: LoadedDocument, fits: Callable[[str], bool]) -> list[Section]:
    """The document's sections; one for all of it where it has no marks, or nothing but headings."""
    sections: list[Section] = []
    if document.format in _MARKED:
        sections = markdown_sections(document.text, matter=document.format == "markdown")
    elif document.format == "code":
        sections = code_sections(document.text, str(document.metadata.get("language", "")), fits)
    if any(document.text[section.start : section.end].strip() for section in sections):
        return sections
    return [Section("", 0, len(document.text))]


def _splitter(document: LoadedDocument, size: int, count: Callable[[str], int]) -> TextSplitter | MarkdownSplitter:
    from semantic_text_splitter import MarkdownSplitter, TextSplitter

    kind = MarkdownSplitter if document.format in _MARKED else TextSplitter
    return kind.from_callback(count, size, trim=False)


def _line_counter(document: LoadedDocument) -> Callable[[int], dict[str, Any]]:
    """Gives the line of the file that an offset stands on, from 1, where the format has lines."""
    if document.lines is not None:
        numbers = [number for number, _ in document.lines]
        starts = [start for _, start in document.lines]
    elif document.format in _OWN_LINES:
        starts = [0, *(at + 1 for at, character in enumerate(document.text) if character == "\n")]
        numbers = list(range(1, len(starts) + 1))
    else:
        return lambda _: {}
    return lambda offset: {"line": numbers[max(0, bisect.bisect_right(starts, offset) - 1)]}


def _between(first: int, last: int, cuts: list[int]) -> Iterator[Span]:
    """The span, cut at these offsets."""
    low, high = bisect.bisect_right(cuts, first), bisect.bisect_left(cuts, last)
    yield from pairwise([first, *cuts[low:high], last])


def _pieces(
    document: LoadedDocument,
    section: Section,
    span: Span,
    splitter: TextSplitter | MarkdownSplitter,
    keep: Callable[[str], bool],
) -> Iterator[Span]:
    """Spans of the passages of a section's part, without the white space around them."""
    text = document.text
    inside = [fence for fence in section.fences if span[0] <= fence[0] and fence[1] <= span[1]]
    kept = {fence for fence in inside if keep(text[slice(*fence)])}
    cuts = sorted({cut for fence in kept for cut in fence})
    for part in _between(*span, cuts):
        if part in kept:
            found: Iterator[Span] = iter([part])
        else:
            found = _split(text, part, splitter)
        for piece in found:
            start, end = _stripped(text, piece, indented=document.format == "code")
            if start < end:
                yield start, end


def _split(text: str, part: Span, splitter: TextSplitter | MarkdownSplitter) -> Iterator[Span]:
    start, last = part
    while start < last:
        end = last if last - start <= _WINDOW else _good_end(text, start, start + _WINDOW)
        for offset, piece in splitter.chunk_indices(text[start:end]):
            yield start + offset, start + offset + len(piece)
        start = end


def _good_end(text: str, start: int, end: int) -> int:
    """The last end of a paragraph, a line or a word in the second half of a window."""
    for separator in ("\n\n", "\n", " "):
        found = text.rfind(separator, (start + end) // 2, end)
        if found >= 0:
            return found + len(separator)
    return end


def _stripped(text: str, span: Span, *, indented: bool) -> Span:
    """Without white space around it; code keeps the indentation of its first line."""
    inside = text[slice(*span)]
    start = span[0] + len(inside) - len(inside.lstrip())
    if indented:
        start = max(span[0], text.rfind("\n", 0, start) + 1)
    return start, max(start, span[0] + len(inside.rstrip()))


def _fitted(heading: str, size: int, count: Callable[[str], int]) -> str:
    """A heading path that leaves the passage room: without its outermost headings, then without its end."""
    while count(heading) > size and " > " in heading:
        heading = heading.partition(" > ")[2]
    while count(heading) > size and len(heading) > 1:
        heading = heading[: len(heading) // 2]
    return heading
