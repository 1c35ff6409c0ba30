"""Sentences of a passage, as places in its text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from freehold.nodes.words import well_formed

__all__ = ["Span", "sentences"]

Span = tuple[int, int]
"""First character, and the one behind the last."""

_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})([^\n]*)$", re.MULTILINE)
# A line that stands for itself: an item of a list, a row of a table, a heading, a quotation; and blank lines.
_LINE = re.compile(r"^(?=[ \t]*(?:[-*+\u2022][ \t]|\d{1,3}[.)][ \t]|\||#{1,6}[ \t]|>))|\n[ \t]*\n", re.MULTILINE)
# Languages as BM25 has them, and their ISO 639 codes.
_CODES = {
    "arabic": "ar",
    "azerbaijani": "az",
    "basque": "eu",
    "bengali": "bn",
    "catalan": "ca",
    "chinese": "zh",
    "danish": "da",
    "dutch": "nl",
    "english": "en",
    "finnish": "fi",
    "french": "fr",
    "german": "de",
    "greek": "el",
    "hebrew": "he",
    "hungarian": "hu",
    "indonesian": "id",
    "italian": "it",
    "japanese": "ja",
    "kazakh": "kk",
    "nepali": "ne",
    "norwegian": "no",
    "portuguese": "pt",
    "romanian": "ro",
    "russian": "ru",
    "slovene": "sl",
    "spanish": "es",
    "swedish": "sv",
    "tajik": "tg",
    "turkish": "tr",
}


def sentences(text: str, language: str = "english") -> list[Span]:
    r"""The sentences of a text, in order, without the white space around them.

    What is no prose stays in one piece where cutting would make it worthless: a code fence, an item of a list, a row of
    a table. Abbreviations, numbers and quotations do not end a sentence.

    Args:
        text: A passage.
        language: Whose abbreviations are known, by its English name or its ISO 639 code; one that is not known is cut
            by the rules of most languages.

    Example:
        >>> text = "Dr. Smith is in. See Fig. 3.\n- tea\n- milk"
        >>> [text[start:end] for start, end in sentences(text)]
        ['Dr. Smith is in.', 'See Fig. 3.', '- tea', '- milk']
    """
    text, language = well_formed(text), _CODES.get(language, language)
    found: list[Span] = []
    first = 0
    for start, end in _fences(text):
        found += _prose(text, first, start, language)
        found.append((start, end))
        first = end
    return [*found, *_prose(text, first, len(text), language)]


def _fences(text: str) -> Iterator[Span]:
    """Code fences with their marks, each without the white space around it; one that is never closed is prose."""
    opened: re.Match[str] | None = None
    for mark in _FENCE.finditer(text):
        if opened is None:
            opened = mark
        elif mark[1].startswith(opened[1]) and not mark[2].strip():
            yield opened.start(1), mark.end(1)
            opened = None


def _prose(text: str, first: int, last: int, language: str) -> Iterator[Span]:
    """The sentences between two places."""
    from sentencex import get_sentence_boundaries  # type: ignore[import-untyped]

    cuts = sorted({first, last, *(match.start() for match in _LINE.finditer(text, first, last))})
    for low, high in pairwise(cuts):
        start = None
        for found in get_sentence_boundaries(language, text[low:high]):
            begin, end = _stripped(text, low + found["start_index"], low + found["end_index"])
            start = begin if start is None else start
            if any(map(str.isalpha, text[begin:end])):  # else the number of an item, which belongs to what follows
                yield start, end
                start = None
        if start is not None and start < (end := _stripped(text, start, high)[1]):
            yield start, end


def _stripped(text: str, start: int, end: int) -> Span:
    inside = text[start:end]
    start += len(inside) - len(inside.lstrip())
    return start, start + len(inside.strip())
