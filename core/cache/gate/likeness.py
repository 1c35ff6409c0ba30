"""Likeness of two words: the same name in another spelling or another form."""

from __future__ import annotations

from freehold.cache.gate.word_sets import word_set

__all__ = ["alike", "slipped"]

# Endings of the names of a place, its people and their language, each pair as it stands behind the shared beginning.
_FORMS = frozenset(
    frozenset(pair.split("/"))
    for pair in word_set(
        "/s /n /ns /i /is /an /ans /ian /ians /ese /ish /ic /ism /ist /er /ers /ean /eans /ed /ing /al /ly "
        "a/ian a/ese a/o a/an y/ian e/ian e/an y/ians e/ians i/ian y/ies ism/ist ic/y ing/ed ing/er tion/te"
    )
)
_LEAST_SHARED = 3  # letters that the forms of a name share
_LEAST_SLIPPED = 5  # letters of a name in which a slip is likelier than another name
_LONG = 6  # letters of any word for the same


def _one_edit(one: str, other: str) -> bool:
    """Whether a letter more, less, other, or two exchanged makes one word the other."""
    if abs(len(one) - len(other)) > 1:
        return False
    start = 0
    shortest = min(len(one), len(other))
    while start < shortest and one[start] == other[start]:
        start += 1
    rest, others = one[start:], other[start:]
    if len(rest) == len(others):
        return rest[1:] == others[1:] or (rest[:2] == others[1::-1] and rest[2:] == others[2:])
    return rest[1:] == others if len(rest) > len(others) else rest == others[1:]


def alike(one: str, other: str) -> bool:
    """Whether two different words may be one name: forms of it, or a slip of one letter, not the first, in a long one.

    Example:
        >>> alike("australia", "australian"), alike("kurosawa", "kurosowa"), alike("iran", "iraq")
        (True, True, False)
    """
    shared = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        shared += 1
    if shared >= _LEAST_SHARED and frozenset((one[shared:], other[shared:])) in _FORMS:
        return True
    return shared > 0 and min(len(one), len(other)) >= _LEAST_SLIPPED and _one_edit(one, other)


def slipped(one: str, other: str) -> bool:
    """Whether one long word is the other with a slip of one letter, or of two exchanged, inside it.

    Example:
        >>> slipped("breakfast", "breafkast"), slipped("plants", "plant"), slipped("million", "billion")
        (True, False, False)
    """
    ends = one[0] == other[0] and one[-1] == other[-1]
    return ends and min(len(one), len(other)) >= _LONG and _one_edit(one, other)
