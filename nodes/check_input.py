"""The node `CheckInput`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from langgraph.runtime import Runtime

from freehold import metrics
from freehold.context import Context
from freehold.guardrails.verdict import Guardrail, Verdict
from freehold.nodes.node import Node, newest_user_message

__all__ = ["CheckInput"]

_EMPTY = Verdict(rail="empty", explanation="The message is empty.")


@dataclass(frozen=True, eq=False)
class CheckInput(Node):
    """Check the newest user message before anything else sees it.

    Reads `messages`; writes `question` (the message's text, normalised and masked), `messages` (the message replaced
    by what may be kept), `verdicts`, `decisions`, and `route` as `refuse` for a block. The decision is `allowed`,
    `masked` or `refused`. An empty message is refused. A guardrail that fails refuses.

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
        """Check, then replace the message where its text may not be kept as it is."""
        message = newest_user_message(state.get("messages", []))
        text = str(message.text) if message is not None else ""
        verdict = await check(self.guardrail.check_input, text) if text.strip() else _EMPTY
        if verdict.decision != "block" and not verdict.text.strip():  # it held nothing but invisible characters
            verdict = _EMPTY
        metrics.guardrail_verdicts().labels("input", verdict.rail, verdict.decision).inc()
        blocked = verdict.decision == "block"
        kept = "(refused)" if blocked else verdict.text
        update: dict[str, Any] = {
            "question": "" if blocked else verdict.text,
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
        }
        if blocked:
            update["route"] = "refuse"
        if message is not None and kept != text:
            update["messages"] = [message.model_copy(update={"content": kept})]
        return update


async def check(surface: Any, text: str) -> Verdict:
    """The guardrail's verdict; a guardrail that raises blocks, and says that it failed."""
    try:
        verdict: Verdict = await surface(text)
    except Exception as error:  # noqa: BLE001 - a failing guardrail blocks, whatever failed
        return Verdict(rail="error", explanation=f"The check failed ({type(error).__name__}).", failed=True)
    return verdict
