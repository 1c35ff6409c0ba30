"""Dates: months, days of the week, days and periods seen from now."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from freehold.cache.gate.rivals import rivals
from freehold.cache.gate.word_sets import word_set
from freehold.cache.gate.words import Word

__all__ = ["CALENDAR", "date_objection", "read_dates"]

_MONTHS = word_set("january february march april may june july august september october november december")
_WEEKDAYS = word_set("monday tuesday wednesday thursday friday saturday sunday")
_CALENDAR = {
    **{name: ("month", month) for month in _MONTHS for name in (month, month[:3])},
    **{name: ("weekday", day) for day in _WEEKDAYS for name in (day, f"{day}s", day[:3])},
    "sept": ("month", "september"),
    "tues": ("weekday", "tuesday"),
    "thurs": ("weekday", "thursday"),
}
CALENDAR = frozenset(_CALENDAR)
"""Names of months and days, short ones among them."""
_MEMBERS = {
    **_CALENDAR,
    **{name: ("day", name.rstrip("s")) for name in ("today", "yesterday", "tomorrow", "tomorrows")},
    "tonight": ("day", "today"),
    **{season: ("season", season) for season in ("spring", "summer", "autumn", "winter")},
    **{part: ("part of the day", part) for part in ("morning", "noon", "afternoon", "evening", "midnight")},
}
_RELATIVE = {
    **dict.fromkeys(["last", "previous", "past"], "last"),
    **dict.fromkeys(["next", "coming", "upcoming"], "next"),
    "this": "this",
}
_TOLD = frozenset(_MEMBERS) | frozenset(_RELATIVE)
_PERIODS = word_set(
    "week weeks weekend month months year years night season semester term quarter decade decades century"
)
# Words of the language too: they are dates beside a number or behind one of the prepositions.
_COMMON = word_set("may march mar sun mon sat wed dec jan")
_BEFORE_DATES = word_set("in on by since until till from of during before after next last this every for")


def _dated(words: Sequence[Word], index: int) -> bool:
    before = words[index - 1].text if index else ""
    after = words[index + 1].text if index + 1 < len(words) else ""
    return before in _BEFORE_DATES or before[-1:].isdigit() or after[:1].isdigit()


def read_dates(words: Sequence[Word]) -> frozenset[tuple[str, str]]:
    """Find the dates, each as its category and its member; the numbers of days and years are numbers.

    Example:
        >>> from freehold.cache.gate.words import read_words
        >>> sorted(read_dates(read_words("What may happen next year, in May?")))
        [('month', 'may'), ('period', 'next')]
    """
    found: set[tuple[str, str]] = set()
    if _TOLD.isdisjoint([word.text for word in words]):
        return frozenset()
    for index, word in enumerate(words):
        text = word.text
        if text in _MEMBERS and (text not in _COMMON or _dated(words, index)):
            found.add(_MEMBERS[text])
        elif text in _RELATIVE:
            near = [following.text for following in words[index + 1 : index + 3]]
            if near and (near[0] in _PERIODS or (near[0][-1].isdigit() and near[-1] in _PERIODS)):
                found.add(("period", _RELATIVE[text]))
    return frozenset(found)


def date_objection(ours: AbstractSet[tuple[str, str]], theirs: AbstractSet[tuple[str, str]]) -> str | None:
    """Say which dates differ where each question has one of the same category that the other lacks.

    Example:
        >>> date_objection({("month", "may")}, {("month", "june")})
        'The dates differ: may against june.'
    """
    found = rivals(ours, theirs)
    return found and f"The dates differ: {found[0]} against {found[1]}."
