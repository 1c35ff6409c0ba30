"""A workspace whose cached answers are encrypted."""

from __future__ import annotations

import base64
import shutil
from pathlib import Path

import pytest

from freehold import Workspace
from freehold.errors import SettingsError
from freehold.graphs import create_assistant
from tests.conftest import PARAPHRASE, QUESTION

KEY = base64.b64encode(bytes(range(32))).decode()
OTHER = base64.b64encode(bytes(32)).decode()


def test_questions_and_answers_lie_encrypted_on_the_disk(ingested: Path, tmp_path: Path) -> None:
    """Protects the cache from whoever reads the disk: it answers with its key, and starts anew with another."""
    home = tmp_path / "home"
    shutil.copytree(ingested, home)
    answer = ""
    for key, outcome in ((KEY, "miss"), (KEY, "hit"), (OTHER, "miss")):
        with Workspace(home, cache_encryption_key=key) as workspace:
            assistant = create_assistant(workspace, checkpointer=False)
            state = assistant.invoke({"messages": [("user", QUESTION)]})
            assert state["cache"]["outcome"] == outcome
            answer = answer or state["answer"]
            assert state["answer"] == answer
            if outcome == "hit":
                assert assistant.invoke({"messages": [("user", PARAPHRASE)]})["cache"]["tier"] == "semantic"
    kept = [path for path in (home / "qdrant" / "cache").rglob("*") if path.is_file()]
    for path in [*kept, *home.glob("cache.sqlite*")]:
        content = path.read_bytes()
        for text in (QUESTION, PARAPHRASE, answer):
            assert text.encode() not in content, path


def test_a_key_that_is_none_is_refused(tmp_path: Path) -> None:
    """Protects from a cache that its owner takes for encrypted, and from a key in an error's text."""
    with Workspace(tmp_path, cache_encryption_key="not a key") as workspace:
        assert "not a key" not in repr(workspace.settings)
        with pytest.raises(SettingsError, match="32 random bytes") as refused:
            _ = workspace.cache
    assert "not a key" not in str(refused.value)
