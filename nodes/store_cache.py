"""The node `StoreCache`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from langgraph.runtime import Runtime

from freehold.context import Context
from freehold.coordination import CachedAnswer, Situation
from freehold.nodes.node import Node, newest_user_text, report_failure

__all__ = ["AnswerStorage", "StoreCache"]


class AnswerStorage(Protocol):
    """Anything that can keep the answer to a question in a situation."""

    async def store(self, question: str, situation: Situation, answer: CachedAnswer) -> bool:
        """Keep it; says whether an exact repeat will find it."""
        ...


@dataclass(frozen=True, eq=False)
class StoreCache(Node):
    """Keep the answer in the response cache, for the situation in which the cache was asked.

    Reads `question` (or `messages`), `answer`, `citations`, `route`, `cache`, `memories`, `messages`; writes
    `decisions`. Kept is a complete answer from the documents that no memory of the user went into. The decision is
    `stored`, `skipped` with the reason, or `error`: a cache that is down costs the next hit, not this answer.
    """

    cache: AnswerStorage

    async def acall(self, state: Mapping[str, Any], runtime: Runtime[Context]) -> dict[str, Any]:
        """Keep the answer, or say why not."""
        refusal = self._refusal(state)
        if refusal:
            return {"decisions": [{"decision": "skipped", "reason": refusal}]}
        model = state["messages"][-1].response_metadata.get("model_name", "") if state.get("messages") else ""
        citations = list(state.get("citations", ()))
        question = newest_user_text(state)
        answer = CachedAnswer(
            question=question,
            answer=state["answer"],
            citations=citations,
            route=state["route"],
            model=model,
            sources=sorted({citation["source"] for citation in citations}),
        )
        try:
            kept = await self.cache.store(question, Situation(**state["cache"]["situation"]), answer)
        except Exception as error:  # noqa: BLE001 - a cache that is down costs the next hit, not this answer
            report_failure(self.node, error)
            kept = False
        if not kept:
            return {"decisions": [{"decision": "error", "reason": "The cache did not take the answer."}]}
        return {"decisions": [{"decision": "stored", "reason": "Kept for the same question in the same situation."}]}

    def _refusal(self, state: Mapping[str, Any]) -> str:
        """Why the answer must not be kept; empty where it may."""
        cache = state.get("cache")
        if not cache or cache["outcome"] != "miss" or not cache["situation"]:
            return f"The cache was not open for this question ({cache['outcome'] if cache else 'not asked'})."
        if state.get("route") != "documents":
            return f"Answers on the route {state.get('route')!r} are not kept."
        if not state.get("passages"):
            return "No passage backs the answer."
        if state.get("memories"):
            return "The answer draws on what is known about the user."
        newest = state["messages"][-1] if state.get("messages") else None
        if newest is not None and newest.response_metadata.get("finish_reason") == "length":
            return "The answer is not complete."
        return ""
