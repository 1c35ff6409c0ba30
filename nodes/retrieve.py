"""The node `Retrieve`."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langgraph.runtime import Runtime

from freehold import metrics
from freehold.context import Context
from freehold.errors import UserError
from freehold.memory.search_filter import Where, matches
from freehold.nodes.node import Node, newest_user_text, report_failure
from freehold.nodes.words import well_formed
from freehold.state import Passage

__all__ = ["Retrieve"]


@dataclass(frozen=True, eq=False)
class Retrieve(Node):
    """Find passages for the newest message with any LangChain retriever.

    Reads `question` (or `messages`) and `where`; writes `passages`, best first, and `decisions`. A document's metadata
    gives `source`, `heading`, `page`, `start`, `end`, `id` and `score` where the retriever has them; what cannot be
    used there counts as missing. A document without a score is kept whatever the threshold, and one that a reranker
    judged is held against `rerank_threshold` alone.

    A run narrows the search by the state's `where`: conditions as `Documents.search` takes them, plain JSON. They hold
    beside those of this node and of the retriever, so a run never sees what the graph's author left out. A
    `DocumentRetriever` gets them for its search; of any other retriever's documents those that meet them are kept.

    The decision is `found`, `nothing`, or `error`: a retriever that is down finds nothing, and the run goes on.
    """

    retriever: BaseRetriever
    limit: int = 4
    """Most passages."""
    threshold: float = 0.25
    """Least score of a passage, in the retriever's unit: for Freehold's own the cosine similarity."""
    rerank_threshold: float = 0.1
    """Least score of a passage that a reranker judged, 0 to 1."""
    where: Where | None = None
    """Only passages that meet these conditions."""

    def __post_init__(self) -> None:
        """Refuse conditions that cannot be used, before a run meets them."""
        if self.where is not None:
            matches(self.where, {})

    async def acall(self, state: Mapping[str, Any], runtime: Runtime[Context]) -> dict[str, Any]:
        """Retrieve, drop what scores too low, keep the retriever's order."""
        started = time.perf_counter()
        try:
            documents = (await self._documents(newest_user_text(state), state.get("where")))[: self.limit]
            passages = [_passage(document) for document in documents]
        except UserError as error:  # a condition that the run asks for, and that there is not
            return self._update([], "error", str(error))
        except Exception as error:  # noqa: BLE001 - a retriever that is down costs passages, not the run
            return self._update([], "error", report_failure(self.node, error))
        finally:
            metrics.retrieval_seconds().observe(time.perf_counter() - started)
        kept = [
            passage
            for passage, document in zip(passages, documents, strict=True)
            if _number(document.metadata.get("score")) is None or self._reaches(passage)
        ]
        if not kept:
            return self._update([], "nothing", f"None of {len(passages)} passages is near enough.", passages)
        return self._update(kept, "found", f"{len(kept)} of {len(passages)} passages are near enough.")

    async def _documents(self, query: str, narrowed: Any) -> list[Document]:
        """What the retriever finds, within the node's conditions and the run's."""
        conditions = [where for where in (self.where, narrowed) if where is not None]
        if not conditions:
            return await self.retriever.ainvoke(query)
        for where in conditions:
            matches(where, {})  # a mistake is told before anything is searched
        options: dict[str, Any] = {"where": conditions} if "where" in type(self.retriever).model_fields else {}
        documents = await self.retriever.ainvoke(query, **options)
        return [one for one in documents if all(matches(where, _payload(one)) for where in conditions)]

    def _reaches(self, passage: Passage) -> bool:
        if "rerank_score" in passage:
            return passage["rerank_score"] >= self.rerank_threshold
        return passage["score"] >= self.threshold

    def _update(
        self, kept: list[Passage], decision: str, reason: str, measured: list[Passage] | None = None
    ) -> dict[str, Any]:
        shown = measured or kept
        judged = [passage["rerank_score"] for passage in shown if "rerank_score" in passage]
        score = max(judged or [passage["score"] for passage in shown], default=None)
        threshold = self.rerank_threshold if judged else self.threshold
        return {
            "passages": kept,
            "decisions": [{"decision": decision, "reason": reason, "score": score, "threshold": threshold}],
        }


def _payload(document: Document) -> Mapping[str, Any]:
    """What conditions are held against; most retrievers have no metadata within the metadata."""
    given = document.metadata
    return given if isinstance(given.get("metadata"), Mapping) else {**given, "metadata": given}


def _passage(document: Document) -> Passage:
    """The document as a passage; what its metadata lacks is filled in."""
    given = document.metadata
    text = well_formed(document.page_content)
    start, end = _whole(given.get("start")), _whole(given.get("end"))
    passage: Passage = {
        "id": _text(given.get("id") or document.id) or hashlib.sha256(text.encode()).hexdigest()[:16],
        "text": text,
        "source": _text(given.get("source")),
        "heading": _text(given.get("heading")),
        "page": _whole(given.get("page")),
        "start": 0 if start is None else start,
        "end": len(text) if end is None else end,
        "score": _number(given.get("score")) or 0.0,
    }
    if (index := _whole(given.get("index"))) is not None:
        passage["index"] = index
    if (section := _whole(given.get("section"))) is not None:
        passage["section"] = section
    if isinstance(given.get("metadata"), Mapping):
        passage["metadata"] = _clean(given["metadata"])
    if (judged := _number(given.get("rerank_score"))) is not None:
        passage["rerank_score"] = judged
    return passage


def _text(value: Any) -> str:
    return "" if value is None else well_formed(str(value))


def _number(value: Any) -> float | None:
    """A finite number; None for what is none."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _whole(value: Any) -> int | None:
    """A whole number, also where a table's reader made it a float or a text; None for what is none."""
    number = None if isinstance(value, bool) else _number(value)
    return int(number) if number is not None and number.is_integer() else None


def _clean(value: Any) -> Any:
    """Plain JSON with texts that have a UTF-8 form."""
    if isinstance(value, str):
        return well_formed(value)
    if isinstance(value, Mapping):
        return {well_formed(str(key)): _clean(one) for key, one in value.items()}
    return [_clean(one) for one in value] if isinstance(value, list | tuple) else value
