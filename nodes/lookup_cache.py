"""The node `LookupCache`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

from langchain_core.messages import AIMessage, convert_to_messages
from langgraph.runtime import Runtime

from freehold import metrics
from freehold.context import Context
from freehold.coordination import Lookup, Situation, digest
from freehold.nodes.node import Node, newest_user_text, report_failure

__all__ = ["AnswerLookup", "LookupCache"]


class AnswerLookup(Protocol):
    """Anything that can look up the answer to a question in a situation."""

    async def lookup(self, question: str, situation: Situation) -> Lookup:
        """A hit, a miss, or an error that counts as a miss."""
        ...


@dataclass(frozen=True, eq=False)
class LookupCache(Node):
    """Answer from the response cache where the same question was answered in the same situation.

    Reads `question` (or `messages`), `verdicts`; writes `cache`, `decisions` and, on a hit, `answer`, `citations`,
    `route` and `messages`. The decision is `hit`, `miss`, `skipped` (the message held personal data) or `error` (the
    cache is down; the run goes on). The user and the tenant come from the run context, the thread's earlier turns
    from `messages`: a question is answered from the cache only after the same turns.
    """

    cache: AnswerLookup
    situation: Callable[[Context], Situation | None]
    """What an answer depends on besides the question, the user and the thread: model, prompt, documents, guardrails.

    None where that is not known; then the cache is not asked."""

    async def acall(self, state: Mapping[str, Any], runtime: Runtime[Context]) -> dict[str, Any]:
        """Look up; write the answer on a hit."""
        if any(verdict["decision"] == "mask" for verdict in state.get("verdicts", ())):
            return _outcome("skipped", "The message held personal data.")
        situation = None
        try:
            situation = self.situation(runtime.context)
            if situation is None:
                return _outcome("skipped", "What the answer depends on is not known.")
            situation = replace(
                situation,
                tenant=runtime.context.tenant,
                user_id=runtime.context.user_id,
                thread=thread_digest(convert_to_messages(state.get("messages", []))),
            )
            found = await self.cache.lookup(newest_user_text(state), situation)
        except Exception as error:  # noqa: BLE001 - a cache that is down is a miss
            found = Lookup("error", "", report_failure(self.node, error))
        metrics.cache_lookups().labels(found.tier or "none", found.outcome).inc()
        if found.outcome != "hit" or found.entry is None:
            return _outcome(found.outcome, found.reason, found, situation)
        entry = found.entry
        return {
            "answer": entry.answer,
            "citations": list(entry.citations),
            "route": entry.route,
            "messages": [AIMessage(entry.answer, response_metadata={"model_name": entry.model, "cached": True})],
            **_outcome("hit", f"{found.reason} It was {found.matched_question!r}.", found, situation),
        }


def thread_digest(messages: list[Any]) -> str:
    """Digest of the turns before the newest user message; empty for a thread's first turn."""
    newest = max((index for index, message in enumerate(messages) if message.type == "human"), default=0)
    if not messages[:newest]:
        return ""
    turns = [[message.type, str(message.text)] for message in messages[:newest]]
    return digest(turns)


def _outcome(
    outcome: str, reason: str, found: Lookup | None = None, situation: Situation | None = None
) -> dict[str, Any]:
    score, threshold = (found.score, found.threshold) if found else (None, None)
    return {
        "cache": {
            "outcome": outcome,
            "tier": found.tier if found else None,
            "situation": asdict(situation) if situation else None,
            "score": score,
            "threshold": threshold,
        },
        "decisions": [{"decision": outcome, "reason": reason, "score": score, "threshold": threshold}],
    }
