"""The node `StoreCache`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from langchain_core.messages import convert_to_messages
from langgraph.runtime import Runtime

from freehold.cache import CachedAnswer, Situation
from freehold.cache.lookup import Ticket
from freehold.context import Context
from freehold.nodes.decisions import newest_decision
from freehold.nodes.finish import is_complete
from freehold.nodes.node import Node, newest_user_text, report_failure

__all__ = ["AnswerStorage", "StoreCache"]


class AnswerStorage(Protocol):
    """Anything that can keep the answer to a question in a situation, and give it to those who wait for it."""

    async def store(self, question: str, situation: Situation, answer: CachedAnswer, ticket: Ticket) -> bool:
        """Keep it; says whether an exact repeat will find it."""
        ...

    async def land(self, ticket: Ticket, answer: CachedAnswer) -> None:
        """Give it to those who wait, and keep it not."""
        ...

    def give_up(self, ticket: Ticket, reason: str) -> None:
        """Tell those who wait that there is nothing to share."""
        ...


@dataclass(frozen=True, eq=False)
class StoreCache(Node):
    """Keep the answer in the response cache, for the situation in which the cache was asked.

    Reads `question` (or `messages`), `answer`, `citations`, `passages`, `route`, `cache`, `memories`, `messages`,
    `decisions`; writes `decisions`. Kept is a complete answer of the model itself, not of its fallback, on one of the
    `routes`, that no memory of the user and no tool's result went into. Runs of the same user that wait with the same
    question get it too where only its route or a tool's result keeps it out. The decision is `stored`, `skipped` with
    the reason, or `error`: a cache that is down costs the next hit, not this answer.
    """

    cache: AnswerStorage
    routes: Collection[str] = ("documents",)
    """Routes whose answers are kept."""
    tool_results: bool = False
    """Whether an answer that tools' results went into is kept."""

    async def acall(self, state: Mapping[str, Any], runtime: Runtime[Context]) -> dict[str, Any]:
        """Keep the answer, or say why not."""
        cache = state.get("cache")
        if not cache or not cache.get("ticket"):
            outcome = cache["outcome"] if cache else "not asked"
            return _decided("skipped", f"The cache takes no answer from this run ({outcome}).")
        try:
            ticket, situation = Ticket.of(cache["ticket"]), Situation(**cache["situation"])
        except (TypeError, KeyError, ValueError) as error:  # the run began under another version
            return _decided("skipped", report_failure(self.node, error))
        own, refusal = _own(state), self._refusal(state)
        try:
            if own:
                self.cache.give_up(ticket, own)
            elif refusal and situation.user_id:
                await self.cache.land(ticket, _answer(state))
            elif refusal:
                self.cache.give_up(ticket, refusal)
            elif await self.cache.store(newest_user_text(state), situation, _answer(state), ticket):
                return _decided("stored", "Kept for the same question in the same situation.")
            else:
                return _decided(
                    "error", "Not kept: its store is down, the documents changed, or it was reported wrong."
                )
        except Exception as error:  # noqa: BLE001 - a cache that is down costs the next hit, not this answer
            self.cache.give_up(ticket, "The cache did not take the answer.")
            return _decided("error", report_failure(self.node, error))
        return _decided("skipped", own or refusal)

    def _refusal(self, state: Mapping[str, Any]) -> str:
        """Why the answer must not be kept, though those who wait may have it; empty where it may."""
        if state.get("route") not in self.routes:
            return f"Answers on the route {state.get('route')!r} are not kept."
        if state.get("route") == "documents" and not state.get("passages"):
            return "No passage backs the answer."
        if not self.tool_results and _used_tools(state):
            return "The answer draws on tools' results."
        return ""


def _decided(decision: str, reason: str) -> dict[str, Any]:
    return {"decisions": [{"decision": decision, "reason": reason}]}


def _own(state: Mapping[str, Any]) -> str:
    """Why the answer is this run's alone, neither kept nor given to those who wait; empty where it is not."""
    if not state.get("answer"):
        return "There is no answer."
    messages = convert_to_messages(state.get("messages") or [])
    if messages and not is_complete(messages[-1]):
        return "The answer is not complete."
    if state.get("memories"):
        return "The answer draws on what is known about the user."
    generation = newest_decision(state, "generate")
    if generation is not None and generation.get("decision") == "fell_back":
        return "Another model answered, because this one failed."
    return ""


def _used_tools(state: Mapping[str, Any]) -> bool:
    """Whether a tool was called since the newest user message."""
    for message in reversed(convert_to_messages(state.get("messages") or [])):
        if message.type == "human":
            return False
        if message.type == "tool":
            return True
    return False


def _answer(state: Mapping[str, Any]) -> CachedAnswer:
    """The answer with what it rests on: the documents that it cites, or else those that it was given."""
    citations = [*(state.get("citations") or ())]
    messages = convert_to_messages(state.get("messages") or [])
    generation = newest_decision(state, "generate")
    generated = (generation.get("details") if generation is not None else None) or {}
    after = False
    milliseconds = 0.0
    for decision in state.get("decisions") or ():
        milliseconds += decision.get("milliseconds") or 0.0 if after else 0.0
        after = after or decision["node"] == "lookup_cache"
    return CachedAnswer(
        question=newest_user_text(state),
        answer=state.get("answer") or "",
        citations=citations,
        route=state.get("route") or "",
        model=str(messages[-1].response_metadata.get("model_name", "")) if messages else "",
        sources={str(cited["source"]): "" for cited in citations or state.get("passages") or ()},
        tokens=int(generated.get("input_tokens") or 0) + int(generated.get("output_tokens") or 0),
        seconds=round(milliseconds / 1000, 3),
    )
