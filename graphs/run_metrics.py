"""Metrics of whole runs: requests, errors, latency, sessions in flight, questions processed."""

from __future__ import annotations

import time
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler

from freehold import metrics

__all__ = ["RunMetrics"]


class RunMetrics(BaseCallbackHandler):
    """Count the runs of one graph, also where it is a subgraph.

    Args:
        graph: The graph's name.
    """

    ignore_llm = True
    ignore_chat_model = True
    ignore_retriever = True
    ignore_agent = True
    ignore_custom_event = True
    run_inline = True

    def __init__(self, graph: str) -> None:
        self._graph = graph
        self._started: dict[UUID, float] = {}
        self._inside: set[UUID] = set()

    def on_chain_start(
        self,
        serialized: dict[str, Any] | None,
        inputs: Any,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        **_: Any,
    ) -> None:
        """A chain starts: the graph itself where no other chain that this handler saw is around it."""
        outermost = parent_run_id not in self._inside
        self._inside.add(run_id)
        if outermost:
            self._started[run_id] = time.perf_counter()
            metrics.requests().labels(self._graph).inc()
            metrics.active_sessions().inc()

    def on_chain_end(self, outputs: Any, *, run_id: UUID, **_: Any) -> None:
        """A chain ended well; a run that was only interrupted has no answer yet."""
        if self._finish(run_id) and isinstance(outputs, dict) and outputs.get("answer"):
            metrics.queries_processed().labels(outputs["route"]).inc()

    def on_chain_error(self, error: BaseException, *, run_id: UUID, **_: Any) -> None:
        """A chain ended with an error, or was cancelled."""
        if self._finish(run_id):
            metrics.errors().labels(self._graph, type(error).__name__).inc()

    def _finish(self, run_id: UUID) -> bool:
        self._inside.discard(run_id)
        started = self._started.pop(run_id, None)
        if started is None:
            return False
        metrics.request_seconds().labels(self._graph).observe(time.perf_counter() - started)
        metrics.active_sessions().dec()
        return True
