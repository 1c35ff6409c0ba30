"""The node `CheckInput`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import BaseMessage, convert_to_messages
from langgraph.runtime import Runtime

from freehold import metrics
from freehold.context import Context
from freehold.guardrails.verdict import Guardrail, Verdict
from freehold.nodes.node import Node, newest_user_message

__all__ = ["CheckInput"]

_EMPTY = Verdict(rail="empty", explanation="The message is empty.")


@dataclass(frozen=True, eq=False)
class CheckInput(Node):
    """Check what the user wrote before anything else sees it.

    Reads `messages`, `checked`; writes `question` (the newest message's text, normalised and masked), `messages`
    (each message replaced by what may be kept), `checked` (how many messages need no further check), `verdicts`,
    `decisions`, and `route` as `refuse` for a block. The decision is `allowed`, `masked` or `refused`. An empty
    message is refused. A guardrail that fails refuses.

    A caller may send a whole conversation at once: user messages that this thread has not checked before are checked
    and masked too, and one that the guardrail blocks is taken out of the conversation without refusing the newest.

    Example:
        >>> class NoSecrets:
        ...     async def check_input(self, text):
        ...         return Verdict("secrets", "No secrets.", "block" if "secret" in text else "allow", text)
        >>> CheckInput(NoSecrets())({"messages": [("user", "the secret")]})["route"]
        'refuse'
    """

    guardrail: Guardrail
    """Checks the text and may mask it."""

    async def acall(self, state: Mapping[str, Any], runtime: Runtime[Context]) -> dict[str, Any]:
        """Check, then replace the messages whose text may not be kept as it is."""
        messages = convert_to_messages(state.get("messages", []))
        newest = newest_user_message(messages)
        replaced: list[BaseMessage] = []
        for message in messages[state.get("checked") or 0 :]:
            if message.type == "human" and message is not newest:
                earlier = await self._verdict(str(message.text))
                replaced += _replacement(message, earlier)
        verdict = await self._verdict(str(newest.text) if newest is not None else "")
        if newest is not None:
            replaced += _replacement(newest, verdict)
        metrics.guardrail_verdicts().labels("input", verdict.rail, verdict.decision).inc()
        blocked = verdict.decision == "block"
        return {
            "question": "" if blocked else verdict.text,
            "route": "refuse" if blocked else "",
            "checked": len(messages),
            "verdicts": [verdict.record("input")],
            "decisions": [
                {
                    "decision": {"allow": "allowed", "mask": "masked", "block": "refused"}[verdict.decision],
                    "reason": verdict.explanation,
                    "score": verdict.score,
                    "threshold": verdict.threshold,
                    "details": {"rail": verdict.rail, **verdict.metadata},
                }
            ],
            **({"messages": replaced} if replaced else {}),
        }

    async def _verdict(self, text: str) -> Verdict:
        verdict = await check(self.guardrail.check_input, text) if text.strip() else _EMPTY
        invisible = verdict.decision != "block" and not verdict.text.strip()
        return _EMPTY if invisible else verdict


def _replacement(message: BaseMessage, verdict: Verdict) -> list[BaseMessage]:
    """The message with the text that may be kept, where that is another."""
    kept = "(refused)" if verdict.decision == "block" else verdict.text
    return [] if kept == message.text else [message.model_copy(update={"content": kept})]


async def check(surface: Any, text: str) -> Verdict:
    """The guardrail's verdict; a guardrail that raises blocks, and says that it failed."""
    try:
        verdict: Verdict = await surface(text)
    except Exception as error:  # noqa: BLE001 - a failing guardrail blocks, whatever failed
        return Verdict(rail="error", explanation=f"The check failed ({type(error).__name__}).", failed=True)
    return verdict
