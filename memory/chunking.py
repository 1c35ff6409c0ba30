"""Passages from documents: headings respected, sentences and code fences kept whole where they fit."""

from __future__ import annotations

import bisect
import re
import uuid
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

from freehold.memory.loaders import LoadedDocument
from freehold.state import Passage

if TYPE_CHECKING:
    from langchain_text_splitters import RecursiveCharacterTextSplitter

__all__ = ["PASSAGE_SIZE", "passage_id", "split"]

PASSAGE_SIZE = 400
"""Characters in a passage: about 65 words or 100 tokens. Four of them with instructions, question and answer fit the
demonstration model's 1,024 tokens, and its training passages had 245 characters on average; the embedding model was
trained on 128 tokens and sees each passage whole."""

_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})", re.MULTILINE)
_HEADING = re.compile(r"^ {0,3}(#{1,6})[ \t]+(\S.*)$")
_UNDERLINED = re.compile(r"^ {0,3}(=+|-{3,})[ \t]*$")
_FRONT_MATTER = re.compile(r"\A---[ \t]*\n.*?^(?:---|\.\.\.)[ \t]*$\n?", re.DOTALL | re.MULTILINE)
# Paragraphs, then lines, then sentences, then words, then characters.
_SEPARATORS = [r"\n\s*\n", r"\n", r"(?<=[.!?;])\s+", r"\s+", ""]
_ID_SPACE = uuid.UUID("5f0f6e0c-6a3b-5d0e-9a44-7f1c3b0d2e61")

Span = tuple[int, int]


def passage_id(source: str, digest: str, index: int) -> str:
    """Id of a document's passage: the same for the same content, so that reading it again makes no duplicate."""
    return str(uuid.uuid5(_ID_SPACE, f"{source}\0{digest}\0{index}"))


def split(
    document: LoadedDocument, *, size: int = PASSAGE_SIZE, count_tokens: Callable[[str], int] = len
) -> list[Passage]:
    """Split a document into passages, in order and without overlap: `document.text[start:end]` is the passage's text.

    A passage never crosses a heading or a page. In Markdown a code fence up to twice the size stays whole; a longer one
    is split at its lines.

    Args:
        document: What `load` gave.
        size: Most of what `count_tokens` counts in one passage.
        count_tokens: Measures a text; characters unless given.
    """
    splitter = _splitter(size, count_tokens)
    marked = document.format in ("markdown", "html")
    sections = list(_sections(document)) if marked else []
    if not any(document.text[first:last].strip() for _, first, last in sections):  # no marks, or nothing but headings
        sections = [("", 0, len(document.text))]
    numbers = [number for number, _ in document.pages or ()]
    starts = [start for _, start in document.pages or ()]
    passages: list[Passage] = []

    def keep(fence: str) -> bool:
        return marked and count_tokens(fence) <= 2 * size

    for heading, first, last in sections:
        for span in _between(first, last, starts):
            pieces = _pieces(document.text, span, splitter, keep)
            for start, end in _merged(document.text, pieces, size, count_tokens):
                passages.append(
                    {
                        "id": passage_id(document.source, document.digest, len(passages)),
                        "text": document.text[start:end],
                        "source": document.source,
                        "heading": heading,
                        "page": numbers[bisect.bisect_right(starts, start) - 1] if numbers else None,
                        "start": start,
                        "end": end,
                        "score": 0.0,
                    }
                )
    return passages


def _splitter(size: int, count_tokens: Callable[[str], int]) -> RecursiveCharacterTextSplitter:
    from langchain_text_splitters import RecursiveCharacterTextSplitter

    return RecursiveCharacterTextSplitter(
        _SEPARATORS,
        keep_separator="end",
        is_separator_regex=True,
        chunk_size=size,
        chunk_overlap=0,
        length_function=count_tokens,
        strip_whitespace=False,
    )


def _between(first: int, last: int, cuts: list[int]) -> Iterator[Span]:
    """The span, cut at these offsets."""
    bounds = [first, *(cut for cut in cuts if first < cut < last), last]
    yield from pairwise(bounds)


def _fences(text: str) -> list[Span]:
    """Code fences with their marks; one that is never closed runs to the end, as in CommonMark."""
    found: list[Span] = []
    mark, start = "", 0
    for match in _FENCE.finditer(text):
        line_end = text.find("\n", match.end())
        line_end = len(text) if line_end < 0 else line_end
        if not mark:
            mark, start = match[1], match.start()
        elif match[1].startswith(mark) and not text[match.end() : line_end].strip():
            found.append((start, line_end))
            mark = ""
    return [*found, (start, len(text))] if mark else found


def _sections(document: LoadedDocument) -> Iterator[tuple[str, int, int]]:
    """(heading path, first, last) of the text under each heading; the heading lines themselves are left out."""
    text = document.text
    fences = _fences(text)
    fence_starts = [low for low, _ in fences]
    path: list[tuple[int, str]] = []
    front = _FRONT_MATTER.match(text)
    offset = first = front.end() if front else 0
    previous: Span | None = None  # a paragraph's only line so far, which an underline would make a heading
    blank = True
    for line in text[offset:].splitlines(keepends=True):
        start, end = offset, offset + len(line)
        offset = end
        fence = bisect.bisect_right(fence_starts, start) - 1
        if fence >= 0 and start < fences[fence][1]:
            previous, blank = None, False
            continue
        heading = _HEADING.match(line.rstrip("\n"))
        underline = _UNDERLINED.match(line.rstrip("\n")) if previous else None
        if heading:
            level, title, cut = len(heading[1]), _title(heading[2]), start
        elif underline and previous:
            level, title, cut = 1 if underline[1][0] == "=" else 2, text[slice(*previous)].strip(), previous[0]
        else:
            plain = line.strip() and not line.startswith(("    ", "\t", ">", "-", "*", "|"))
            previous = (start, end) if plain and blank else None
            blank = not line.strip()
            continue
        yield " > ".join(title for _, title in path), first, cut
        path = [*(entry for entry in path if entry[0] < level), (level, title)]
        first, previous, blank = end, None, True
    yield " > ".join(title for _, title in path), first, len(text)


def _title(text: str) -> str:
    """A heading without the number signs that may close it; no regular expression, which long lines would slow down."""
    text = text.rstrip(" \t")
    title = text.rstrip("#")
    return title.rstrip(" \t") if title.endswith((" ", "\t")) else text


def _pieces(
    text: str, span: Span, splitter: RecursiveCharacterTextSplitter, keep: Callable[[str], bool]
) -> Iterator[Span]:
    """Spans that are small enough, or a fence to keep, in order; together they are the whole of the span."""
    first, last = span
    part = text[first:last]
    fences = set(_fences(part))
    cuts = sorted({cut for fence in fences for cut in fence})
    for low, high in _between(0, len(part), cuts):
        if (low, high) in fences and keep(part[low:high]):
            yield first + low, first + high
            continue
        position = first + low
        for piece in splitter.split_text(part[low:high]):
            yield position, position + len(piece)
            position += len(piece)


def _merged(text: str, spans: Iterator[Span], size: int, count_tokens: Callable[[str], int]) -> Iterator[Span]:
    """Neighbours put together while they fit, without the white space around them."""
    current: Span | None = None
    for span in spans:
        start, end = _stripped(text, span)
        if start == end:
            continue
        if current is not None and count_tokens(text[current[0] : end]) <= size:
            current = (current[0], end)
            continue
        if current is not None:
            yield current
        current = (start, end)
    if current is not None:
        yield current


def _stripped(text: str, span: Span) -> Span:
    inside = text[slice(*span)]
    start = span[0] + len(inside) - len(inside.lstrip())
    return start, max(start, span[0] + len(inside.rstrip()))
