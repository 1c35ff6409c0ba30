"""The node `RecallMemory`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from langgraph.runtime import Runtime

from freehold.context import Context
from freehold.errors import SettingsError
from freehold.nodes.node import Node, newest_user_text, report_failure
from freehold.state import Memory
from freehold.token_estimate import estimate_tokens

__all__ = ["MemorySearch", "RecallMemory"]


class MemorySearch(Protocol):
    """Anything that can find what is known about the user of a run."""

    async def search(
        self, query: str, context: Context, limit: int = 5, threshold: float | None = None
    ) -> list[Memory]:
        """The user's memories that fit the query, best first."""
        ...


@dataclass(frozen=True, eq=False)
class RecallMemory(Node):
    """Find what is known about the user that bears on the newest message.

    Reads `question` (or `messages`); writes `memories`, best first, and `decisions`. The scope comes from the run
    context. The memory decides the order: `LongTermMemory` fuses meaning, words and recency, as its `Ranking` says.
    Where a budget of tokens is given, it is filled in that order; a memory that no longer fits is left out, and a
    shorter one behind it may take its place.

    The decision is `recalled`, `nothing`, or `error`: a memory that is down recalls nothing, and the run goes on. Its
    score is the best memory's cosine similarity; with a budget, its details say how many tokens were taken, and the
    ids of the memories that were left out.

    Raises:
        SettingsError: The budget is below 1.

    Example:
        >>> class Notes:
        ...     async def search(self, query, context, limit=5, threshold=None):
        ...         texts = "Likes tea", "Has told the story of her move to Porto at some length", "Is called Ada"
        ...         return [{"id": text, "text": text, "score": 0.5, "created_at": ""} for text in texts]
        >>> update = RecallMemory(Notes(), token_budget=10)({"messages": [("user", "Hello")]})
        >>> [memory["text"] for memory in update["memories"]]
        ['Likes tea', 'Is called Ada']
    """

    memory: MemorySearch
    limit: int = 5
    """Most memories."""
    threshold: float = 0.2
    """Least cosine similarity to the message."""
    token_budget: int | None = None
    """Most tokens of all memories together; None is no budget."""
    count_tokens: Callable[[str], int] = estimate_tokens
    """Tokens of a text, best by the model's own tokenizer; called in a thread, and only where there is a budget."""

    def __post_init__(self) -> None:
        if self.token_budget is not None and self.token_budget < 1:
            raise SettingsError(
                f"token_budget={self.token_budget} cannot be used: give a number of tokens above 0, or None."
            )

    async def acall(self, state: Mapping[str, Any], runtime: Runtime[Context]) -> dict[str, Any]:
        """Search in the scope of the run, and keep what fits."""
        try:
            found = await self.memory.search(newest_user_text(state), runtime.context, self.limit, self.threshold)
            if self.token_budget is None:
                return self._update(found, found)
            # Off the loop: a tokenizer may load its model first.
            sizes = await asyncio.to_thread(lambda: [self.count_tokens(memory["text"]) for memory in found])
        except Exception as error:  # noqa: BLE001 - a memory that is down costs memories, not the run
            return self._decided([], "error", report_failure(self.node, error))
        kept, taken = [], 0
        for memory, tokens in zip(found, sizes, strict=True):
            if taken + tokens <= self.token_budget:
                kept.append(memory)
                taken += tokens
        left_out = [memory["id"] for memory in found if memory not in kept]
        return self._update(kept, found, tokens=taken, token_budget=self.token_budget, left_out=left_out)

    def _update(self, kept: list[Memory], found: Sequence[Memory], **details: Any) -> dict[str, Any]:
        if not found:
            return self._decided(kept, "nothing", "Nothing known about the user bears on this.", **details)
        missing = len(found) - len(kept)
        if not kept:
            reason = f"None of {missing} memories fits {self.token_budget} tokens."
            return self._decided(kept, "nothing", reason, **details)
        reason = f"{len(kept)} of the user's memories"
        reason += f"; {missing} more did not fit {self.token_budget} tokens." if missing else "."
        return self._decided(kept, "recalled", reason, **details)

    def _decided(self, kept: list[Memory], decision: str, reason: str, **details: Any) -> dict[str, Any]:
        score = max((memory["score"] for memory in kept), default=None)
        entry = {"decision": decision, "reason": reason, "score": score, "threshold": self.threshold}
        return {"memories": kept, "decisions": [{**entry, **({"details": details} if details else {})}]}
