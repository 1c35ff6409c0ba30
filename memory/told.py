"""What a message tells, piece by piece, in the user's own words and nobody else's."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from freehold.memory.statements import clauses, is_about_writer, says_something, statements

__all__ = ["Piece", "told"]

# A sentence that means nothing without the one before it.
_FOLLOWS = re.compile(r"(?:he|she|it|they|this|that|these|those|his|her|their|its|him|them)\b", re.IGNORECASE)
_REPORTED = re.compile(
    r"\b(?:you|the assistant|your answer) (?:just )?(?:said|say|wrote|write|told|claimed|claim|answered|mentioned)\b",
    re.IGNORECASE,
)
_QUOTE = re.compile(r"^[ \t]*>.*$", re.MULTILINE)
_LEAST_WORDS = 4
"""Words in a row that are the assistant's and not the user's; people do say "I like tea" after it was said to them."""


@dataclass(frozen=True)
class Piece:
    """A clause about the writer, or a statement about something else with the sentences that go on about it."""

    text: str
    about_writer: bool


def told(message: str, answer: str = "") -> tuple[list[Piece], Counter[str]]:
    """The pieces of a message that could be kept, and how many were refused as the assistant's words.

    Args:
        message: The user's message; its first 4,000 characters are read.
        answer: What the assistant said before.

    Example:
        >>> pieces, _ = told("I have a dog. He is called Rex. Thanks! The boiler code is 4711. Where is it?")
        >>> [piece.text for piece in pieces]
        ['I have a dog. He is called Rex', 'The boiler code is 4711']
        >>> told("You said: I was born on the moon")[1]
        Counter({'assistant': 1})
    """
    refused: Counter[str] = Counter()
    heard = _words(answer)
    pieces: list[Piece] = []
    joins = False  # whether the piece before is that of the sentence before
    own, quoted = _QUOTE.sub("", message), _QUOTE.findall(message)
    refused["assistant"] += sum(_is_heard(line, heard) for line in quoted)
    for sentence in statements(own):
        found = _pieces(sentence)
        if _REPORTED.search(sentence):
            refused["assistant"] += 1
            found = []
        elif any(_is_heard(piece.text, heard) for piece in found):
            refused["assistant"] += len(found)
            found = []
        elif joins and found and not found[0].about_writer and _FOLLOWS.match(sentence):
            before = pieces.pop()
            found = [Piece(f"{before.text}. {found[0].text}", before.about_writer)]
        pieces += found
        joins = bool(found)
    return pieces, +refused


def _pieces(sentence: str) -> list[Piece]:
    own = [Piece(clause, True) for clause in clauses(sentence) if is_about_writer(clause)]
    if own or not says_something(sentence):
        return own
    return [Piece(sentence.strip().rstrip(".!;, "), False)]


def _is_heard(text: str, heard: str) -> bool:
    words = _words(text)
    return words.count(" ") > _LEAST_WORDS and words in heard


def _words(text: str) -> str:
    """The words alone, with a space before and after each, so that only whole words match."""
    found = re.findall(r"\w+", text.replace("\u2019", "'").casefold())
    return f" {' '.join(found)} " if found else ""
