"""Questions that ask something else when told the other way round."""

from __future__ import annotations

import itertools
import random
import re

from .change import exchanged
from .lexicon import Lexicon

__all__ = ["turned_round"]

_THING = r"((?:the |a |an |my )?[A-Za-z0-9+#.'-]*[A-Za-z0-9+#](?: [A-Z][\w+#.]*)*)"
_VERBS = "hate|love|like|fear|attack|invade|beat|defeat|support|respect|dislike|affect|cause|prefer|treat|need|kill|eat"
_MOVES = "convert|change|turn|switch|migrate|translate|move|transfer|transform|port|import|copy|go"
_FORMS = tuple(
    re.compile(form.replace("X", _THING))
    for form in (
        r"\bfrom X (?:in)?to X\b",
        rf"\b(?:{_MOVES}) (?:from )?X (?:in)?to X\b",
        rf"\b(?:do|does|did|should|would|can|could|will) X (?:{_VERBS}) X\b",
        r"\b(?:do|does|did|should|would) X (?:think|feel|know|say) (?:of|about) X\b",
        r"\b(?:is|are|was|were) X (?:\w+er|more \w+|less \w+|worse) than X\b",
        r"\bX instead of X\b",
        r"\bX (?:before|after|over|than|without|on top of|because of|vs\. the rest of) X\b",
        r"\b(?:effect|impact|influence|dependence|attack|relationship|opinion|views?) of X (?:on|about|with) X\b",
        r"\b(?:replace|substitute|compare|swap) X (?:with|by|for|to) X\b",
        r"\bhow many X (?:are )?(?:there )?in (?:a |an |one )?X\b",
        r"\bif X (?:had |have )?(?:attacked|attacks|left|leaves|invaded|invades|met|fought|killed) X\b",
    )
)
_NAME = re.compile(r"(?<=[a-z] )[A-Z][\w+#]+(?: [A-Z]\w+)*")
_JOINED = re.compile(r",? ?(?:and|or|vs\.?|versus|&|,|/)? ?", re.IGNORECASE)
_MUTUAL = re.compile(r"\b(?:between|same|similar|common)\b")

_Spans = tuple[tuple[int, int], tuple[int, int]]


def _is_thing(phrase: str, lexicon: Lexicon) -> bool:
    head = phrase.rsplit(maxsplit=1)[-1]
    return (head != "I" and head[0].isupper()) or lexicon.is_thing(head) or lexicon.is_unit(head)


def _named_apart(text: str) -> list[_Spans]:
    """Names that follow each other in the text and are not merely listed."""
    if _MUTUAL.search(text):
        return []
    pairs = itertools.pairwise(_NAME.finditer(text))
    return [
        (first.span(), second.span())
        for first, second in pairs
        if not _JOINED.fullmatch(text[first.end() : second.start()])
    ]


def turned_round(text: str, lexicon: Lexicon, rng: random.Random) -> str | None:
    """Exchange the two things between which the question has a direction: from A to B, A better than B."""
    usable = [
        (found.span(1), found.span(2))
        for form in _FORMS
        for found in form.finditer(text)
        if _is_thing(found[1], lexicon) and _is_thing(found[2], lexicon)
    ]
    usable = usable or _named_apart(text)
    usable = [spans for spans in usable if text[slice(*spans[0])].lower() != text[slice(*spans[1])].lower()]
    return exchanged(text, *rng.choice(usable)) if usable else None
