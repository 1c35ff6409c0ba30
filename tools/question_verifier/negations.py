"""Questions about the contrary: a negation put in or taken out."""

from __future__ import annotations

import random
import re

from .lexicon import Lexicon

__all__ = ["negated"]

_ASKING = r"^((?:[Ww]hy|[Ww]hen|[Ww]here|[Ww]hat|[Ww]ho|[Ww]hich)\b.*? )"
_WHO = "people|men|women|students|those|someone|anyone|companies|countries"
_PUT_IN = (
    (_ASKING + r"(do|does|did|is|are|was|were|should|would|could)\b", r"\1\2n't"),
    (_ASKING + r"(can|could|should|would|will|must)\b", r"\1\2 not"),
    (r"\b(how (?:do|can|should|could) (?:I|you|we|they|one)) ", r"\1 not "),
    (r"\b(how to) ", r"\1 not "),
    (rf"\b({_WHO}) who (?!do|are|is|can|have|has)(?=[a-z]+)", r"\1 who do not "),
    (r"\b(who|that|which|there|they|we|you) (are|is|was|were|can|should|will|do|did|have)\b ", r"\1 \2 not "),
    (r"^(Is|Are|Should|Can|Could|Will|Would|Do|Does|Did|Has|Have|Was|Were) (\w+) ", r"\1 \2 not "),
    (r"\bto (learn|use|buy|eat|become|have|sleep|drink|study|wear)\b", r"to not \1"),
    (r"\b[Hh]ow (?:do|can|should) (?:I|you|we) (\w+)", r"How do I avoid having to \1"),
    (r"\b(?<!along )with\b", "without"),
)
_TAKEN_OUT = (
    (r"\b(do|does|did|is|are|was|were|should|would|could|have|has)n['\u2019]t\b", r"\1"),
    (r"\bcan['\u2019]?t\b|\bcannot\b", "can"),
    (r"\bwon['\u2019]t\b", "will"),
    (r" not (?!only)", " "),
    (r"\bwithout\b", "with"),
)
_NEGATIVE = re.compile(r"\b(?:not|no|never|none|cannot|without)\b|n['\u2019]t\b", re.IGNORECASE)


def negated(text: str, _lexicon: Lexicon, rng: random.Random) -> str | None:
    """Take out a negation where there is one, put one in elsewhere."""
    changes = _TAKEN_OUT if _NEGATIVE.search(text) else _PUT_IN
    usable = [(pattern, change) for pattern, change in changes if re.search(pattern, text)]
    return re.sub(*rng.choice(usable), text, count=1) if usable else None
