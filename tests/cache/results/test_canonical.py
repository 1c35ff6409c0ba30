"""The one form of a value."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from freehold.cache.results.canonical import canonical_json
from freehold.errors import CacheKeyError

LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=4), st.binary(max_size=3)
)  # half surrogates are text, too
# Few leaves, so that two values drawn by chance are often equal, or nearly.
FEW = st.sampled_from([None, True, False, 0, 1, -0.0, 1.0, 0.5, math.nan, math.inf, "", "1", "$", "$$", "a", b"", b"1"])
KEYS = st.sampled_from(["", "a", "$", "$$", "$$$", 1, 1.5, None, True, b"a"])


def nested(leaves: st.SearchStrategy[Any], keys: st.SearchStrategy[Any] = KEYS) -> st.SearchStrategy[Any]:
    """Values in lists, tuples and dictionaries."""
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=3) | st.tuples(inner, inner) | st.dictionaries(keys, inner, max_size=3),
        max_leaves=6,
    )


def same(one: Any, other: Any) -> bool:
    """What the form is to keep apart, written in another way than the form is."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, int | float) and isinstance(other, int | float):
        return one == other or (one != one and other != other)  # noqa: PLR0124 - that is what no number is
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        if len(one) != len(other):
            return False
        return all(any(same(key, known) and same(one[key], other[known]) for known in other) for key in one)
    return type(one) is type(other) and bool(one == other)


def form(value: Any) -> str:
    """The form of a value."""
    return canonical_json(value, "value")


@given(nested(FEW), nested(FEW))
def test_equal_values_and_no_others_share_a_form(one: Any, other: Any) -> None:
    """A cache must not give the answer to another input, whatever a caller puts into it, nor miss an equal one."""
    assert (form(one) == form(other)) == same(one, other)


@given(nested(LEAVES, st.text(max_size=3)))
def test_how_a_value_was_built_does_not_matter(value: Any) -> None:
    """Order of keys, lists for tuples, and a float that is whole change nothing."""

    def rebuilt(part: Any) -> Any:
        if isinstance(part, dict):
            return {key: rebuilt(part[key]) for key in reversed(list(part))}
        if isinstance(part, list | tuple):
            items = [rebuilt(item) for item in part]
            return tuple(items) if isinstance(part, list) else items
        if isinstance(part, int) and not isinstance(part, bool) and float(part) == part:
            return float(part)
        return part

    assert form(rebuilt(value)) == form(value)


class Colour(Enum):
    RED = "red"


class Shade(Enum):
    RED = "red"


@dataclass
class Point:
    x: int
    y: Any = None


class Model(BaseModel):
    x: int
    _hidden: int = 0


@pytest.mark.parametrize(
    "values",
    [
        [Colour.RED, Shade.RED, "red", "RED"],
        [Point(1), Point(2), Model(x=1), {"x": 1, "y": None}],
        [{1, 2}, [1, 2], {1, 3}],
        [date(2026, 1, 2), datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02"],
        [Decimal("1.5"), 1.5, "1.5"],
        [UUID(int=1), str(UUID(int=1)), PurePosixPath("a"), "a"],
        [2**53, 2**53 + 1, 10**5000, 10**5000 + 1, -(10**5000)],
        [{"$": ["bytes", "YQ=="]}, b"a", {"$$": ["bytes", "YQ=="]}],
    ],
)
def test_kinds_are_told_apart(values: list[Any]) -> None:
    """What is of another class, or looks like the form of something else, is something else."""
    assert len({form(value) for value in values}) == len(values)


def test_sets_have_no_order_and_dictionaries_any_keys() -> None:
    """A set of texts comes in another order in each process."""
    assert form({"b", "a", "c"}) == form(frozenset("cab"))
    assert form({1: "a", "1": "b"}) == form({"1": "b", 1: "a"}) != form({1: "b", "1": "a"})


def test_what_pydantic_hides_counts() -> None:
    """A private attribute is part of what a model is: pydantic's own equality looks at it."""
    changed = Model(x=1)
    changed._hidden = 1
    assert form(changed) != form(Model(x=1))


@pytest.mark.parametrize("value", [object(), test_what_pydantic_hides_counts, Colour, iter([]), Point(1, object())])
def test_what_has_no_stable_form_is_refused_by_name(value: Any) -> None:
    """The error says which key of the state it is, so that it can be left out."""
    with pytest.raises(CacheKeyError, match=r"^state\['notes'\]\[1\]"):
        canonical_json({"notes": ["fine", value]}, "state")


def test_what_holds_itself_is_refused() -> None:
    """A loop ends in an error and not in the interpreter's stack."""
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(CacheKeyError, match="holds itself"):
        form(loop)


def test_text_is_changed_only_where_asked() -> None:
    """Normalising belongs to the caller, and two keys that become one do not hide one another."""
    assert form("A") != form("a")
    assert canonical_json({"A": "B"}, "value", text=str.lower) == canonical_json({"a": "b"}, "value", text=str.lower)
    both = canonical_json({"A": 1, "a": 2}, "value", text=str.lower)
    assert both == canonical_json({"a": 2, "A": 1}, "value", text=str.lower)
    assert both != canonical_json({"a": 2}, "value", text=str.lower)
