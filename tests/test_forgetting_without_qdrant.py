"""A user is forgotten while the Qdrant server is down: core/forgetting.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from freehold import Workspace
from freehold.cache import CachedAnswer, Situation
from freehold.errors import StorageError
from freehold.portal import run_sync
from tests.test_forgetting import ADA, BOB, CACHED, FACT, WORDS


def test_qdrant_that_is_down_saves_nothing_local(tmp_path: Path) -> None:
    """Where a Qdrant server does not answer, the answers and the history in local files go nevertheless."""
    home, forms = tmp_path / "home", WORDS["ada"]
    with Workspace(home) as workspace:
        for context in (ADA, BOB):
            word = WORDS[context.user_id][CACHED]
            asked = f"Where is the {word}?"
            situation = Situation(model="demo", user_id=context.user_id)
            assert run_sync(workspace.cache.store(asked, situation, CachedAnswer(asked, f"A {word} is here.")))
            run_sync(workspace.memory.add(f"My pet is a {WORDS[context.user_id][FACT]}.", context))

    def held(word: str) -> set[str]:
        files = [path for path in home.rglob("*") if path.is_file() and "qdrant" not in path.parts]
        return {path.name for path in files if word.encode() in path.read_bytes()}

    assert (held(forms[CACHED]), held(forms[FACT])) == ({"cache.sqlite"}, {"history.db"})
    with Workspace(home, qdrant_url="http://127.0.0.1:9") as workspace, pytest.raises(StorageError, match="Qdrant"):
        workspace.forget(ADA)
    assert held(forms[CACHED]) | held(forms[FACT]) == set()
    assert (held(WORDS["bob"][CACHED]), held(WORDS["bob"][FACT])) == ({"cache.sqlite"}, {"history.db"})
