"""Name conflicts: two questions that say the same about different people, places or products."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from freehold.cache.gate.function_words import FUNCTION_WORDS, LIGHT_WORDS
from freehold.cache.gate.likeness import alike
from freehold.cache.gate.pair import Pair
from freehold.cache.gate.question import Question

__all__ = ["name_conflict"]

_INITIALS = range(2, 7)  # lengths of words that may be the initials of others
_MOST = 24  # names and words looked at, so that the time stays linear in the length of a text


class _Missing(NamedTuple):
    """What of a name the other question lacks."""

    places: tuple[int, ...]
    """Places of the words that it lacks."""
    shared: frozenset[str]
    """Stems of the name's other words, which it has; empty where it lacks the whole name."""


def _initials(words: Sequence[str]) -> str:
    return "".join([word[0] for word in words])


class _Forms:
    """The forms in which a question may have a name that it does not have word by word."""

    def __init__(self, question: Question, unmatched: Sequence[int]) -> None:
        texts = [word.text for word in question.words]
        self.slips = [question.stems[place] for place in unmatched[:_MOST]]
        self.texts = {texts[place] for place in unmatched}
        self.joined = {one + two for one, two in pairwise(texts)}
        self.initials = _initials(texts), _initials([text for text in texts if text not in FUNCTION_WORDS])

    def hold(self, text: str, stem: str) -> bool:
        """Whether a word is here with a slip of the pen, as initials, or as two words."""
        if text in self.joined or any(alike(stem, word) for word in self.slips):
            return True
        return len(text) in _INITIALS and any(text in initials for initials in self.initials)

    def hold_name(self, texts: Sequence[str]) -> bool:
        """Whether a name of several words is here as its initials or as one word."""
        return len(texts) > 1 and ("".join(texts) in self.texts or _initials(texts) in self.texts)


def _missing_names(pair: Pair) -> list[_Missing]:
    """Find the names of ours that theirs lacks, in whole or in part.

    Example:
        >>> from freehold.cache.gate.pair import pair
        >>> from freehold.cache.gate.question import parse
        >>> _missing_names(pair(parse("Is the University of Oslo old?"), parse("Is it an old university?")))
        [_Missing(places=(4,), shared=frozenset())]
    """
    lacking = set(pair.only_ours)
    names = [name for name in pair.ours.names if not lacking.isdisjoint(name)][:_MOST]
    if not names:
        return []
    words, stems = pair.ours.words, pair.ours.stems
    forms = _Forms(pair.theirs, pair.only_theirs)
    found: list[_Missing] = []
    for name in names:
        if forms.hold_name([words[place].text for place in name]):
            continue
        places = tuple(
            [place for place in name if place in lacking and not forms.hold(words[place].text, stems[place])]
        )
        if places:
            found.append(_Missing(places, frozenset([stems[place] for place in name if place not in places])))
    return found


def _neighbours(question: Question, places: tuple[int, ...]) -> tuple[str, str]:
    """The next words before and behind that carry some meaning, as stems; "" at either end."""
    words, stems = question.words, question.stems
    before, after = places[0] - 1, places[-1] + 1
    while before >= 0 and words[before].text in LIGHT_WORDS:
        before -= 1
    while after < len(words) and words[after].text in LIGHT_WORDS:
        after += 1
    return stems[before] if before >= 0 else "", stems[after] if after < len(stems) else ""


def _stand_ins(question: Question, only: Sequence[int]) -> list[_Missing]:
    """Words that may be names in a question whose case says nothing."""
    places = [place for place in only if question.content[place] and question.words[place].text[0].isalpha()]
    return [_Missing((place,), frozenset()) for place in places[:_MOST]]


def _typed(question: Question, places: tuple[int, ...]) -> str:
    return " ".join([question.words[place].surface or question.words[place].text for place in places])


def name_conflict(pair: Pair) -> tuple[str, str] | None:
    """Find a name of each question that stands in the place of the other's.

    Two whole names, or two names that share a word, stand in the same place where the word before or behind is the
    same. In a question whose case says nothing any word may be the name, where the words on both sides are the same.

    Returns:
        Both names as they were typed, or None.

    Example:
        >>> from freehold.cache.gate.pair import pair
        >>> from freehold.cache.gate.question import parse
        >>> name_conflict(pair(parse("Is it warm in Rome?"), parse("Is it warm in Oslo?")))
        ('Rome', 'Oslo')
    """
    ours, theirs = _missing_names(pair), _missing_names(pair.flipped())
    strictly = not (ours and theirs)
    if ours and not theirs and not pair.theirs.cased:
        theirs = _stand_ins(pair.theirs, pair.only_theirs)
    elif theirs and not ours and not pair.ours.cased:
        ours = _stand_ins(pair.ours, pair.only_ours)
    if not (ours and theirs):
        return None
    others = [(other, _neighbours(pair.theirs, other.places)) for other in theirs]
    for one in ours:
        before, after = _neighbours(pair.ours, one.places)
        for other, (their_before, their_after) in others:
            if bool(one.shared) != bool(other.shared) or (one.shared and one.shared.isdisjoint(other.shared)):
                continue
            same = [before == their_before, after == their_after]
            near = all(same) if strictly else all(same) or (same[0] and before) or (same[1] and after)
            if near:
                return _typed(pair.ours, one.places), _typed(pair.theirs, other.places)
    return None
