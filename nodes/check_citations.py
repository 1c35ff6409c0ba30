"""The node `CheckCitations`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from langgraph.runtime import Runtime

from freehold.context import Context
from freehold.nodes.node import Node

__all__ = ["UNKNOWN", "CheckCitations"]

UNKNOWN = "The documents do not say."
"""The answer where the documents do not hold it."""

_MARKER = re.compile(r"\[[\d\s,]*\]")


@dataclass(frozen=True, eq=False)
class CheckCitations(Node):
    """Say whether the answer rests on passages.

    Reads `answer`, `citations`; writes `route`, `decisions`, and `citations` where they are of no answer. The decision
    is `cited`, `uncited` (the model answered and named no passage that there is), or `unanswered` (the model said, in
    the words it was told to use, that the documents do not hold the answer; the route then is `unanswered` too).

    Example:
        >>> CheckCitations()({"answer": "The documents do not say [1]", "citations": []})["route"]
        'unanswered'
    """

    unknown: str = UNKNOWN
    """How a model says that the documents do not hold the answer; case and punctuation do not matter."""

    async def acall(self, state: Mapping[str, Any], runtime: Runtime[Context]) -> dict[str, Any]:
        """Compare the answer with the words for not knowing, count the citations."""
        if _plain(state.get("answer", "")) in ("", _plain(self.unknown)):
            entry = {"decision": "unanswered", "reason": "The model does not find the answer in the passages."}
            return {"route": "unanswered", "citations": [], "decisions": [entry]}
        count = len(state.get("citations") or ())
        decision, reason = "uncited", "The answer cites no passage: nothing shows what it rests on."
        if count:
            decision, reason = "cited", f"Passages cited: {count}."
        entry = {"decision": decision, "reason": reason}
        return {"route": "documents", "decisions": [{**entry, "score": count, "threshold": 1}]}


def _plain(text: str) -> str:
    """The words alone: no markers, no case, no punctuation."""
    return " ".join(re.findall(r"\w+", _MARKER.sub(" ", text).casefold()))
