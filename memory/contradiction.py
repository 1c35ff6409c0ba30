"""Whether a new fact makes an old one untrue, by rules that would rather keep both."""

from __future__ import annotations

import re

from freehold.memory.attributes import attribute
from freehold.memory.fact_form import FactForm, form, plain, stem, word_set

__all__ = ["contradicts"]

_PREFERENCE = re.compile(r"prefers? (.+?) (?:over|to|rather than|instead of) (.+)")
_CHOICE = re.compile(r"(?:prefers?|like|likes|want|wants) (?:my |the )?(\w+) (.+)")
_OPPOSITES = {
    frozenset(pair.split("/"))
    for pair in word_set(
        "aisle/window brief/detailed cold/hot cool/warm dark/light digital/paper dry/sweet early/late "
        "evening/morning formal/informal hot/iced imperial/metric indoor/outdoor left/right long/short "
        "loud/quiet salty/sweet"
    )
}
_LEFT = re.compile(
    r"(?:have |has )?(?:just |recently )?(?:quit|left|resigned from|was fired from|retired from|lost)"
    r" (?:my |the )?(?:old )?(?:job )?(?:at |with )?(.+)"
)
_CUT = re.compile(
    r"[.;,]\s|\b(?:with|in|on|at|for|called|named|who|which|that|from|because|since|every|during|after|before)\b"
)
_WEAK = word_set("and or but if unless except when while only")


def contradicts(new: str, old: str) -> bool:
    """Whether the new fact cannot be true beside the old one, so that the old one must go.

    It cannot where both give another value to an attribute that has one at a time, where one denies what the other
    says, and where a preference turned round. Facts that can both be true never contradict; neither do facts under a
    condition ("in summer"), nor in the past.

    Example:
        >>> contradicts("I live in Lisbon now", "Lives in Porto"), contradicts("I have a cat", "I have a dog")
        (True, False)
        >>> contradicts("I no longer like tea", "Likes tea"), contradicts("I don't like green tea", "Likes tea")
        (True, False)
    """
    mine = attribute(new)
    theirs = attribute(old) if mine is not None else None
    if mine is not None and theirs is not None and mine.conflicts(theirs):
        return True
    return _denies(new, old) or _turned(plain(new), plain(old)) or _left(plain(new), old)


def _denies(new: str, old: str) -> bool:
    """One is negative, the other is not, and the negative one covers the other."""
    one, other = form(new), form(old)
    if one.negative == other.negative or one.past or other.past or one.numbers != other.numbers:
        return False
    negative, positive = (one, other) if one.negative else (other, one)
    texts = (plain(new), plain(old)) if one.negative else (plain(old), plain(new))
    if not negative.words or any(_WEAK & set(text.split()) for text in texts):
        return False
    if sorted(negative.words) == sorted(positive.words):
        return True
    # "I don't have a dog" also denies "I have a dog called Rex"; "I don't like milk" not "I like tea with milk".
    head = form(_CUT.split(texts[1])[0])
    return _ends_with(head, negative, given_up=bool(re.search(r"\b(?:gave up|quit)\b", texts[0])))


def _ends_with(positive: FactForm, negative: FactForm, *, given_up: bool) -> bool:
    """The same verb, and an object of which the negative one's is the end: "black tea" is tea."""
    if len(negative.words) > len(positive.words):
        return False
    size = len(negative.words)
    if size == 1:  # "gave up coffee": whatever was done with it
        return given_up and positive.words[-1] == negative.words[0] and len(positive.words) == 2
    return positive.words[0] == negative.words[0] and positive.words[-(size - 1) :] == negative.words[1:]


def _turned(new: str, old: str) -> bool:
    """A preference the other way round, or for the opposite of the same thing."""
    one, other = _PREFERENCE.fullmatch(new), _PREFERENCE.fullmatch(old)
    if one and other:
        return form(one[1]).words == form(other[2]).words and form(one[2]).words == form(other[1]).words
    left, right = _CHOICE.fullmatch(new), _CHOICE.fullmatch(old)
    if not (left and right) or "prefer" not in new or "prefer" not in old:
        return False
    same = [stem(word) for word in left[2].split()] == [stem(word) for word in right[2].split()]
    return same and frozenset((left[1], right[1])) in _OPPOSITES


def _left(new: str, old: str) -> bool:
    """A workplace that was given up."""
    match = _LEFT.fullmatch(new)
    theirs = attribute(old) if match else None
    if match is None or theirs is None or theirs.key != "workplace":
        return False
    return set(theirs.value) <= set(form(match[1]).words)
