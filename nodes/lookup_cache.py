"""The node `LookupCache`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Protocol

from langchain_core.messages import AIMessage, BaseMessage, convert_to_messages
from langgraph.runtime import Runtime

from freehold.cache import Evidence, Lookup, Situation, digest
from freehold.cache.follow_up import leans_on
from freehold.context import Context
from freehold.nodes.node import Node, newest_user_text, report_failure
from freehold.nodes.replay import Replay, is_streamed, words

__all__ = ["AnswerLookup", "LookupCache"]


class AnswerLookup(Protocol):
    """Anything that can look up the answer to a question in a situation."""

    async def lookup(
        self, question: str, situation: Situation, *, on_piece: Callable[[str], None], shares: bool
    ) -> Lookup:
        """A hit, a miss, or an error that counts as a miss.

        Pieces of an answer that another run is writing go to `on_piece`; `shares` says whether this run's answer may be
        given to others.
        """
        ...


@dataclass(frozen=True, eq=False)
class LookupCache(Node):
    """Answer from the response cache where the same was asked in the same situation.

    Reads `question` (or `messages`), `verdicts`, `route`; writes `cache`, `decisions` and, on a hit, `answer`,
    `citations`, `route` and `messages`. The decision is `hit`, `miss`, `skipped` or `error` (the cache is down; the run
    goes on); its details are the parts of the key, and the evidence where another question was looked at. The user and
    the tenant come from the run context.

    A hit streams like an answer. Where the same question is being answered by another run, this one waits for it and
    streams what that one writes; it is a hit of the tier `flight`. Where this run leads, it holds the flight as long as
    nodes of this library work; a node of your own that takes longer than the lease may be overtaken by one that waits.
    """

    cache: AnswerLookup
    situation: Callable[[Context], Situation | None]
    """What an answer depends on besides the question, the user and the thread: model, prompt, documents, guardrails.

    None where that is not known; then the cache is not asked."""
    scope: Literal["user", "tenant"] = "user"
    """Who shares answers: the runs of one user, or all of the tenant's. A tenant keeps only first answers of threads:
    what a user asked before may show in a later one."""
    follow_ups: bool = False
    """Whether a question that leans on earlier turns may be answered after exactly the same turns; else it never is."""
    personal_data: bool = False
    """Whether a question in which personal data was masked may be answered from the cache, and its answer kept."""

    async def acall(self, state: Mapping[str, Any], runtime: Runtime[Context]) -> dict[str, Any]:
        """Look up; write the answer on a hit."""
        question = newest_user_text(state)
        try:
            situation, refusal = self._situation(state, runtime.context, question)
        except Exception as error:  # noqa: BLE001 - what the answer depends on cannot be told: the run goes on
            return _outcome("error", report_failure(self.node, error))
        if situation is None:
            return _outcome("skipped", refusal)
        shares = self.scope == "user" or _is_first(state)
        try:
            found, message = await self._look(question, situation, shares=shares)
        except Exception as error:  # noqa: BLE001 - a cache that is down is a miss
            found, message = Lookup("error", "", report_failure(self.node, error)), None
        if self.scope == "tenant":
            found = _without_question(found)
        if found.entry is None:
            return _outcome(found.outcome, found.reason, found, situation, shares=shares)
        entry = found.entry
        told = f" It was {found.evidence.question!r}." if found.evidence is not None and found.evidence.question else ""
        metadata = {"model_name": entry.model, "cached": True}
        identity = message.id if message is not None else None
        return {
            "answer": entry.answer,
            "citations": list(entry.citations),
            "route": entry.route,
            "messages": [AIMessage(entry.answer, id=identity, response_metadata=metadata)],
            **_outcome("hit", found.reason + told, found, situation),
        }

    def _situation(self, state: Mapping[str, Any], context: Context, question: str) -> tuple[Situation | None, str]:
        """The situation in which the cache is asked, or None and why it is not."""
        if not self.personal_data and any(verdict["decision"] == "mask" for verdict in state.get("verdicts") or ()):
            return None, "The message held personal data."
        messages = convert_to_messages(state.get("messages") or [])
        newest = max((index for index, message in enumerate(messages) if message.type == "human"), default=0)
        if messages and not _is_text(messages[newest]):
            return None, "The message holds more than text."
        instructions = [str(message.text) for message in messages if message.type in ("system", "developer")]
        earlier = [message for message in messages[:newest] if message.type != "system"]
        leans = leans_on(question, [str(message.text) for message in earlier if message.type == "human"])
        if leans and not (self.follow_ups and earlier):
            return None, f"The question does not stand alone. {leans}"
        situation = self.situation(context)
        if situation is None:
            return None, "What the answer depends on is not known."
        return replace(
            situation,
            tenant=context.tenant,
            user_id=context.user_id if self.scope == "user" else "",
            thread=digest([[message.type, str(message.text)] for message in earlier]) if leans else "",
            route=state.get("route") or situation.route,
            prompt=digest([situation.prompt, instructions]) if instructions else situation.prompt,
        ), ""

    async def _look(self, question: str, situation: Situation, *, shares: bool) -> tuple[Lookup, BaseMessage | None]:
        """The lookup, and the message in whose name an answer was streamed."""
        pieces: asyncio.Queue[str | None] = asyncio.Queue()
        saying: list[asyncio.Task[BaseMessage]] = []

        def say(piece: str) -> None:
            if not saying:
                saying.append(asyncio.create_task(self._say(_until_none(pieces))))
            pieces.put_nowait(piece)

        try:
            found = await self.cache.lookup(question, situation, on_piece=say, shares=shares)
        except BaseException:
            for task in saying:
                task.cancel()
            raise
        if saying:
            pieces.put_nowait(None)
            return found, await saying[0]
        answer = found.entry.answer if found.entry is not None else None
        return found, await self._say(_each(words(answer))) if answer and is_streamed() else None

    @staticmethod
    async def _say(pieces: AsyncIterator[str]) -> BaseMessage:
        return await Replay(pieces, cached=True).ainvoke("")


def _is_text(message: BaseMessage) -> bool:
    """Whether a message is nothing but text: a picture beside it would be part of the question."""
    parts = message.content
    return isinstance(parts, str) or all(isinstance(part, str) or part.get("type") == "text" for part in parts)


def _is_first(state: Mapping[str, Any]) -> bool:
    """Whether the newest user message is the thread's only one."""
    return sum(message.type == "human" for message in convert_to_messages(state.get("messages") or [])) <= 1


def _without_question(found: Lookup) -> Lookup:
    """The lookup without the earlier question, which in a shared cache is somebody else's, and what is quoted of it."""

    def hidden(evidence: Evidence | None) -> Evidence | None:
        return replace(evidence, question="") if evidence is not None else None

    ticket = replace(found.ticket, evidence=hidden(found.ticket.evidence))
    before, quotes, _ = found.reason.partition(": ") if found.evidence is not None else (found.reason, "", "")
    return replace(found, reason=before + "." * bool(quotes), evidence=hidden(found.evidence), ticket=ticket)


async def _each(pieces: list[str]) -> AsyncIterator[str]:
    for piece in pieces:
        yield piece


async def _until_none(pieces: asyncio.Queue[str | None]) -> AsyncIterator[str]:
    while (piece := await pieces.get()) is not None:
        yield piece


def _outcome(
    outcome: str,
    reason: str,
    found: Lookup | None = None,
    situation: Situation | None = None,
    *,
    shares: bool = False,
) -> dict[str, Any]:
    evidence = asdict(found.evidence) | {"signals": list(found.evidence.signals)} if found and found.evidence else None
    score, threshold = (found.score, found.threshold) if found else (None, None)
    parts = asdict(situation) if situation else None
    return {
        "cache": {
            "outcome": outcome,
            "tier": found.tier if found else None,
            "situation": parts,
            "entry": found.entry_key if found else None,
            "evidence": evidence,
            "ticket": found.ticket.plain() if found and shares else None,
            "score": score,
            "threshold": threshold,
        },
        "decisions": [
            {
                "decision": outcome,
                "reason": reason,
                "score": score,
                "threshold": threshold,
                "details": {"key": parts, "evidence": evidence} if parts else {},
            }
        ],
    }
