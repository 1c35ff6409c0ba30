"""The node `Retrieve`."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langgraph.runtime import Runtime

from freehold import metrics
from freehold.context import Context
from freehold.nodes.node import Node, newest_user_text, report_failure
from freehold.state import Passage

__all__ = ["Retrieve"]


@dataclass(frozen=True, eq=False)
class Retrieve(Node):
    """Find passages for the newest message with any LangChain retriever.

    Reads `question` (or `messages`); writes `passages`, best first, and `decisions`. A document's metadata gives
    `source`, `heading`, `page`, `start`, `end`, `id` and `score` where the retriever has them; a document without a
    score is kept whatever the threshold. The decision is `found`, `nothing`, or `error`: a retriever that is down
    finds nothing, and the run goes on.
    """

    retriever: BaseRetriever
    limit: int = 4
    """Most passages."""
    threshold: float = 0.25
    """Least score of a passage, in the retriever's unit: for Freehold's own the cosine similarity."""

    async def acall(self, state: Mapping[str, Any], runtime: Runtime[Context]) -> dict[str, Any]:
        """Retrieve, drop what scores too low, keep the retriever's order."""
        started = time.perf_counter()
        try:
            documents = await self.retriever.ainvoke(newest_user_text(state))
        except Exception as error:  # noqa: BLE001 - a retriever that is down costs passages, not the run
            return self._update([], "error", report_failure(self.node, error))
        finally:
            metrics.retrieval_seconds().observe(time.perf_counter() - started)
        passages = [_passage(document) for document in documents[: self.limit]]
        kept = [
            passage
            for passage, document in zip(passages, documents, strict=False)
            if "score" not in document.metadata or passage["score"] >= self.threshold
        ]
        if not kept:
            return self._update([], "nothing", f"None of {len(passages)} passages is near enough.", passages)
        return self._update(kept, "found", f"{len(kept)} of {len(passages)} passages are near enough.")

    def _update(
        self, kept: list[Passage], decision: str, reason: str, measured: list[Passage] | None = None
    ) -> dict[str, Any]:
        score = max((passage["score"] for passage in measured or kept), default=None)
        return {
            "passages": kept,
            "decisions": [{"decision": decision, "reason": reason, "score": score, "threshold": self.threshold}],
        }


def _passage(document: Document) -> Passage:
    """The document as a passage; what its metadata lacks is filled in."""
    given = document.metadata
    text = document.page_content
    return {
        "id": str(given.get("id") or document.id or hashlib.sha256(text.encode()).hexdigest()[:16]),
        "text": text,
        "source": str(given.get("source", "")),
        "heading": str(given.get("heading", "")),
        "page": given.get("page"),
        "start": int(given.get("start", 0)),
        "end": int(given.get("end", len(text))),
        "score": float(given.get("score", 0.0)),
    }
