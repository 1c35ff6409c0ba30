"""The node `GradePassages`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from langgraph.runtime import Runtime

from freehold.context import Context
from freehold.nodes.node import Node, newest_user_text, report_failure
from freehold.state import Passage

__all__ = ["GradePassages", "Grader"]


class Grader(Protocol):
    """Anything that can say how much passages bear on a question."""

    @property
    def threshold(self) -> float:
        """Least grade of a passage that bears on the question."""
        ...

    async def grade(self, question: str, passages: Sequence[Passage]) -> Sequence[float]:
        """A grade for each passage, higher is better, on the scale of `threshold`."""
        ...


@dataclass(frozen=True, eq=False)
class GradePassages(Node):
    """Drop the passages that do not bear on the question: the retrieval evaluator of Corrective RAG (Yan et al. 2024).

    Reads `question` (or `messages`), `passages`; writes `passages`, in their order, and `decisions`. The decision is
    `relevant`, `irrelevant` (none bears on the question), `nothing` (there were none), or `error`: a grader that fails
    drops no passage, and the run goes on. The score is the best grade; the details hold the grade of each passage.

    Example:
        >>> from freehold.nodes.graders import ModelGrader
        >>> GradePassages(ModelGrader(model))({"messages": [("user", "Hi")], "passages": []})  # doctest: +SKIP
    """

    grader: Grader

    async def acall(self, state: Mapping[str, Any], runtime: Runtime[Context]) -> dict[str, Any]:
        """Grade all passages together, keep those at or above the grader's threshold."""
        passages: list[Passage] = list(state.get("passages") or ())
        if not passages:
            return self._update([], "nothing", "There are no passages.")
        try:
            grades = [float(grade) for grade in await self.grader.grade(newest_user_text(state), passages)]
            graded = list(zip(passages, grades, strict=True))
        except Exception as error:  # noqa: BLE001 - a grader that is down drops nothing; the answer is checked by its reader
            return self._update(passages, "error", f"{report_failure(self.node, error)} No passage was dropped.")
        kept = [passage for passage, grade in graded if grade >= self.grader.threshold]
        reason = f"{len(kept)} of {len(passages)} passages bear on the question."
        details = {"grades": {passage["id"]: round(grade, 4) for passage, grade in graded}}
        return self._update(kept, "relevant" if kept else "irrelevant", reason, round(max(grades), 4), details)

    def _update(
        self,
        passages: list[Passage],
        decision: str,
        reason: str,
        score: float | None = None,
        details: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        entry = {"decision": decision, "reason": reason, "score": score, "threshold": self.grader.threshold}
        return {"passages": passages, "decisions": [{**entry, **({"details": details} if details else {})}]}
