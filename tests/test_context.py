"""The run context."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.context import Context
from freehold.errors import ScopeError


@pytest.mark.parametrize("user_id", ["*", "", "a*", "../ada", "a b", "a/b", ".ada", "a" * 129, 7, None])
def test_ids_that_a_store_could_misread_are_refused(user_id: object) -> None:
    """A wildcard, a path or an empty id never becomes a scope."""
    with pytest.raises(ScopeError, match="user_id"):
        Context(user_id=user_id)  # type: ignore[arg-type]


@given(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._@+:\-]{0,127}", fullmatch=True))
def test_ordinary_ids_are_taken_as_they_are(user_id: str) -> None:
    """E-mail addresses, names and numbers serve as ids."""
    assert Context(user_id=user_id).user_id == user_id


def test_a_budget_below_one_is_refused() -> None:
    """A budget that allows no token is a mistake, not a limit."""
    with pytest.raises(ScopeError, match="budget=0"):
        Context(budget=0)
