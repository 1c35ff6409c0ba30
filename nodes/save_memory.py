"""The node `SaveMemory`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any, Literal, Protocol

from langchain_core.messages import convert_to_messages
from langgraph.runtime import Runtime

from freehold.context import Context
from freehold.errors import SettingsError
from freehold.memory.scopes import audience
from freehold.nodes.node import Node, report_failure
from freehold.state import Memory

if TYPE_CHECKING:
    from freehold.memory.admission import Remembered

__all__ = ["MemoryStorage", "SaveMemory"]


class MemoryStorage(Protocol):
    """Anything that can keep what a message says about its user.

    One that also has `async remember(text, context, *, scope, ttl_seconds, answer)`, as `LongTermMemory` has, is told
    the scope and what the assistant said before, and says what was refused and superseded. One that has `async flush()`
    is told when the run is done with it.
    """

    async def add(self, text: str, context: Context) -> list[Memory]:
        """Keep the message's facts; returns those that are new."""
        ...


@dataclass(frozen=True, eq=False)
class SaveMemory(Node):
    """Keep what the user's messages say about the user.

    Reads `messages`, `question`, `remembered`, `remembered_for`; writes `remembered`, `decisions`. What is kept comes
    from the user's messages alone, never from an answer, and belongs to the user of the run. The decision is `saved`,
    `nothing`, or `error`: a memory that is down keeps nothing, and the answer stands.

    It stands last in a graph, so that the answer has streamed before it runs. `remembered` says how many of the
    thread's messages were considered: where a run was killed before it was done, or the memory was down, the next turn
    considers those messages too, and `invoke(None, config)` goes on with the run itself. Facts that are there already
    are not stored twice. In a thread of several users, only messages of turns that are known to be this user's are
    considered; `BeginTurn` writes down whose they are, and without it only the newest message is.
    """

    memory: MemoryStorage
    scope: Literal["user", "session", "agent"] = "user"
    """Who sees what is kept: every run of the user, those of the context's session, or those of its agent."""
    ttl_seconds: float | None = None
    """How long it is kept; None is until it is forgotten."""
    catch_up: int = 20
    """Most messages that are considered in one turn, the newest ones."""

    def __post_init__(self) -> None:
        if self.catch_up < 1 or (self.ttl_seconds is not None and not self.ttl_seconds > 0):
            raise SettingsError(
                f"catch_up={self.catch_up} and ttl_seconds={self.ttl_seconds}: give at least 1, and seconds or None."
            )

    async def acall(self, state: Mapping[str, Any], runtime: Runtime[Context]) -> dict[str, Any]:
        """Keep the facts of every message that was not considered yet, and say how many."""
        first = self._first(state, runtime.context)
        if first is None:
            reason = f"The turn is another {self.scope}'s."
            return {"decisions": [{"decision": "nothing", "reason": reason}]}
        facts: list[str] = []
        superseded: list[str] = []
        refused: Counter[str] = Counter()
        for place, text, answer in _unsaved(state, first)[-self.catch_up :]:
            try:
                done = await self._remember(text, runtime.context, answer)
            except Exception as error:  # noqa: BLE001 - a memory that is down costs memories, not the answer
                # The next turn begins with this message.
                return {
                    "decisions": [{"decision": "error", "reason": report_failure(self.node, error)}],
                    "remembered": place,
                }
            if isinstance(done, list):
                facts += [memory["text"] for memory in done]
                continue
            facts += [memory["text"] for memory in done.stored]
            superseded += done.superseded
            refused.update(done.refused)
        try:
            if (facts or superseded) and (flush := getattr(self.memory, "flush", None)) is not None:
                await flush()  # the run is about to be called complete
        except Exception as error:  # noqa: BLE001 - as above; what was kept outlasts a kill all the same
            return {
                "decisions": [{"decision": "error", "reason": report_failure(self.node, error)}],
                "remembered": len(state.get("messages", [])),
            }
        details = {"facts": facts, "superseded": superseded, "refused": dict(refused)}
        reason = f"{len(facts)} new fact{'s' * (len(facts) != 1)}."
        return {
            "decisions": [
                {
                    "decision": "saved" if facts else "nothing",
                    "reason": reason if facts else "The message says nothing new about the user.",
                    "details": {key: value for key, value in details.items() if value},
                }
            ],
            "remembered": len(state.get("messages", [])),
        }

    def _first(self, state: Mapping[str, Any], context: Context) -> float | None:
        """The message from which on this turn may consider; None where somebody else's run is gone on with."""
        whose = state.get("remembered_for")
        if whose is None:
            return inf  # nobody knows who wrote what stands before the newest message
        if self.scope != "user" and getattr(context, f"{self.scope}_id") is None:
            return inf  # the memory says what is missing
        begun = whose.get(audience(context, self.scope))
        return None if begun is None else max(begun, state.get("remembered") or 0)

    async def _remember(self, text: str, context: Context, answer: str) -> Remembered | list[Memory]:
        remember = getattr(self.memory, "remember", None)
        if remember is None:
            return await self.memory.add(text, context)
        done: Remembered = await remember(text, context, scope=self.scope, ttl_seconds=self.ttl_seconds, answer=answer)
        return done


def _unsaved(state: Mapping[str, Any], first: float) -> list[tuple[int, str, str]]:
    """Place, text, and the answer before it, of the user's messages that were not considered yet, oldest first."""
    messages = convert_to_messages(state.get("messages", []))
    places = [place for place, message in enumerate(messages) if message.type == "human"]
    question = state.get("question")
    if not places:
        return [(0, question, "")] if isinstance(question, str) else []
    first = min(first, places[-1])
    found = []
    answer = ""
    for place, message in enumerate(messages):
        if message.type == "ai":
            answer = str(message.text)
        elif message.type == "human" and place >= first:
            newest = place == places[-1] and isinstance(question, str)
            found.append((place, str(question) if newest else str(message.text), answer))
    return [entry for entry in found if entry[1].strip() and entry[1] != "(refused)"]
