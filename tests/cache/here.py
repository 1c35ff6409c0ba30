"""What the tests of the response cache ask, and where."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from freehold.cache import CachedAnswer, Situation
from freehold.cache.memory_tier import MemoryTier

HERE = Situation(model="model", documents="v1", tenant="acme", user_id="ada")
QUESTION = "How do I reset my password?"
PARAPHRASE = "How can I reset my password?"
UNLIKE = "Which port does the server listen on?"
ANSWER = CachedAnswer(question=QUESTION, answer="In the settings. [1]", route="documents", model="demo")


def written_now(answer: CachedAnswer = ANSWER) -> CachedAnswer:
    """The answer, no older than the test; the constants are as old as the run of the suite."""
    return replace(answer, created_at=datetime.now(UTC).isoformat())


def without_memory() -> MemoryTier:
    """A first tier that keeps nothing, so that the store is asked."""
    return MemoryTier(max_entries=0)
