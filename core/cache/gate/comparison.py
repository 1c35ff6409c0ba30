"""The comparison of two questions: what speaks against serving one's answer for the other, and soft signals."""

from __future__ import annotations

from dataclasses import dataclass

from freehold.cache.gate.objections import objections
from freehold.cache.gate.pair import pair
from freehold.cache.gate.question import parse
from freehold.cache.gate.signals import order, same_words, unmatched
from freehold.cache.gate.words import DOTLESS_I
from freehold.cache.situation import normalise

__all__ = ["Comparison", "compare", "refusal"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What speaks against one answer for two questions; where nothing does, what they have in common.

    All but the reason's wording is the same whichever question comes first.
    """

    kind: str | None = None
    """The kind of the objection: "number", "unit", "date", "name", "contrast", "negation", "comparison", "antonym",
    "direction", "addition" or "question_type"; None where nothing speaks against it."""
    reason: str | None = None
    """One sentence for a person, or None."""
    extra: int = 0
    """Content words that only one question has; slips of the pen and other forms of a word do not count."""
    replaced: int = 0
    """At most how many of them stand in the place of one of the other question's."""
    order: float = 1.0
    """Share of the shared content words that stand in the same order, 0 to 1."""
    same_words: bool = False
    """Whether one is the other word for word, but for case, signs, contractions and slips of the pen."""
    types_differ: bool = False
    """Whether they begin with another interrogative: "how" against "why", "what" against a yes or no."""


def compare(question: str, candidate: str) -> Comparison:
    """Compare two questions.

    English is what the rules know. Of other languages they see numbers and signs, and of names what capital letters
    tell.

    Args:
        question: What was asked now.
        candidate: What was asked when the answer was stored.

    Example:
        >>> compare("How do I turn dollars into euros?", "How can I turn euros into dollars?").kind
        'direction'
        >>> compare("What is the best red wine?", "Which cheap red wine is best?").extra
        1
    """
    if question == candidate:
        return Comparison(same_words=True)
    both = pair(parse(question), parse(candidate))
    kind, reason = next(objections(both), (None, None))
    if kind is not None and not _repeats(question, candidate):
        return Comparison(kind, reason)
    only_ours, only_theirs = unmatched(both)
    return Comparison(
        extra=only_ours + only_theirs,
        replaced=min(only_ours, only_theirs),
        order=order(both),
        same_words=same_words(both),
        types_differ=both.ours.types[:1] != both.theirs.types[:1],
    )


def _repeats(question: str, candidate: str) -> bool:
    """Whether only case, white space, closing punctuation or Unicode form differ: "II" may be typed "Ii"."""
    return normalise(question.replace(DOTLESS_I, "i")) == normalise(candidate.replace(DOTLESS_I, "i"))


def refusal(question: str, candidate: str) -> str | None:
    """Say why the candidate's answer may not serve the question, or None where nothing speaks against it.

    The gate is symmetric, and it never allows what the similarity threshold refused.

    Args:
        question: What was asked now.
        candidate: What was asked when the answer was stored.

    Returns:
        One sentence, or None.

    Example:
        >>> refusal("Who won in 1998?", "Who won in 2002?")
        'The numbers differ: 1998 against 2002.'
        >>> refusal("How do I enable it?", "How can I enable it?") is None
        True
    """
    return compare(question, candidate).reason
