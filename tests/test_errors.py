"""The error tree."""

from __future__ import annotations

import re

from freehold import errors
from freehold.errors import ContextLengthError, FreeholdError, UserError, WorkspaceLockedError


def test_no_error_is_one_that_langgraph_never_retries() -> None:
    """LangGraph's default retry policy skips ValueError, RuntimeError and OSError and their children."""
    for name in errors.__all__:
        kind = getattr(errors, name)
        assert issubclass(kind, FreeholdError)
        assert not issubclass(kind, ValueError | RuntimeError | OSError)


def test_the_docstring_shows_the_whole_tree() -> None:
    """A newcomer reads the tree in one place, so it must be complete."""
    drawn = set(re.findall(r"\w+Error", errors.__doc__ or "")) - {"ValueError", "RuntimeError", "OSError"}
    assert drawn == set(errors.__all__)


def test_messages_carry_the_values() -> None:
    """A message says with which value something happened."""
    assert "1200" in str(ContextLengthError(1200, 1024))
    assert "1024" in str(ContextLengthError(1200, 1024))
    locked = WorkspaceLockedError("/somewhere", 4711)
    assert "4711" in str(locked)
    assert isinstance(locked, UserError)
