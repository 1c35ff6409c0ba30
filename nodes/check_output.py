"""The node `CheckOutput`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from langgraph.runtime import Runtime

from freehold import metrics
from freehold.context import Context
from freehold.guardrails.verdict import Guardrail
from freehold.nodes.check_input import check
from freehold.nodes.node import Node
from freehold.state import Citation

__all__ = ["CheckOutput"]


@dataclass(frozen=True, eq=False)
class CheckOutput(Node):
    """Check the answer before it is kept, whether the model wrote it or the cache held it.

    Reads `answer`, `citations`, `messages`, `attempts`; writes `citations` with the texts of their passages checked
    too, `answer` and `messages` where the answer is masked, `route`, `verdicts`, `decisions`. The decision is
    `allowed`, `masked`, `regenerate` (a block with attempts left; the route is kept) or `refused` (`route` becomes
    `refuse`). A guardrail that fails refuses at once.
    """

    guardrail: Guardrail
    """Checks the text and may mask it."""
    attempts: int = 2
    """How often an answer may be generated in a turn before the assistant refuses."""

    async def acall(self, state: Mapping[str, Any], runtime: Runtime[Context]) -> dict[str, Any]:
        """Check, then keep, mask, send back or refuse."""
        answer = state.get("answer", "")
        verdict = await check(self.guardrail.check_output, answer)
        metrics.guardrail_verdicts().labels("output", verdict.rail, verdict.decision).inc()
        again = not verdict.failed and 0 < state.get("attempts", 0) < self.attempts
        blocked = verdict.decision == "block"
        decision = {"allow": "allowed", "mask": "masked", "block": "regenerate" if again else "refused"}
        update: dict[str, Any] = {
            "verdicts": [verdict.record("output")],
            "decisions": [
                {
                    "decision": decision[verdict.decision],
                    "reason": verdict.explanation,
                    "score": verdict.score,
                    "threshold": verdict.threshold,
                    "details": {"rail": verdict.rail, **verdict.metadata},
                }
            ],
        }
        if blocked and not again:
            update["route"] = "refuse"
        if not blocked and state.get("citations"):
            update["citations"] = [await self._shown(citation) for citation in state["citations"]]
        if not blocked and verdict.text != answer:
            update["answer"] = verdict.text
            newest = state["messages"][-1]
            if newest.type == "ai":
                update["messages"] = [newest.model_copy(update={"content": verdict.text})]
        return update

    async def _shown(self, citation: Citation) -> Citation:
        """The citation with the text of its passage as it may be shown."""
        verdict = await check(self.guardrail.check_output, citation["text"])
        text = f"(withheld by {verdict.rail!r})" if verdict.decision == "block" else verdict.text
        return {**citation, "text": text}
