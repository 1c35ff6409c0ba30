"""The base of every node: one asynchronous body that serves `invoke` and `ainvoke` alike."""

from __future__ import annotations

import logging
import re
import time
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from langchain_core.messages import AnyMessage, BaseMessage, convert_to_messages
from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.runtime import Runtime

from freehold import metrics
from freehold.context import Context
from freehold.errors import UserError
from freehold.nodes.flight import flight_of
from freehold.portal import run_sync
from freehold.runtime import running
from freehold.state import Decision

__all__ = ["Node", "newest_user_message", "newest_user_text", "node_name", "report_failure"]

_logger = logging.getLogger(__name__)


class Node(Runnable[Mapping[str, Any], dict[str, Any]]):
    """A LangGraph node with one body, `acall`, written once and asynchronous.

    In a graph, `invoke` runs the body on a background loop and `ainvoke` awaits it; both give the same update. On its
    own, a node is called with a state, and a `Runtime` where the run context matters. Every node appends one
    `Decision` to `decisions`; this base adds its name and its milliseconds, and times it in
    `freehold_node_duration_seconds`. Where others wait for this run's answer, it holds their flight while the body
    runs, and lets one of them take over where the body fails or is cancelled.

    Example:
        >>> from freehold.nodes import SelectRoute  # doctest: +SKIP
        >>> SelectRoute(router)({"messages": [("user", "Hello")]})["route"]  # doctest: +SKIP
        'direct'
    """

    node: ClassVar[str]
    """Name of the node in graphs, decisions and metrics: the class's name in snake case."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.node = node_name(cls)

    @abstractmethod
    async def acall(self, state: Mapping[str, Any], runtime: Runtime[Context]) -> dict[str, Any]:
        """The body: read the state, return the update, with a `Decision` without name and time in `decisions`."""

    async def _timed(self, state: Mapping[str, Any], runtime: Runtime[Context] | None) -> dict[str, Any]:
        started = time.perf_counter()
        try:
            update = await self._held(state, _with_context(runtime))
        except Exception:
            metrics.node_errors().labels(node=self.node).inc()
            raise
        finally:
            seconds = time.perf_counter() - started
            metrics.node_seconds().labels(node=self.node).observe(seconds)
        decisions: list[Decision] = [
            {**decision, "node": self.node, "milliseconds": round(seconds * 1000, 3)}  # type: ignore[typeddict-item]
            for decision in update.get("decisions") or ()
        ]
        return {**update, "decisions": decisions} if decisions else update

    async def _held(self, state: Mapping[str, Any], runtime: Runtime[Context]) -> dict[str, Any]:
        """The body, while which nobody takes the run's flight."""
        seat = flight_of(state)
        if seat is None:
            return await self.acall(state, runtime)
        with seat.hold():
            try:
                return await self.acall(state, runtime)
            except UserError:
                seat.decline("The run failed, and every other would for the same reason.")
                raise

    def __call__(self, state: Mapping[str, Any], runtime: Runtime[Context] | None = None) -> dict[str, Any]:
        """Run the body from synchronous code."""
        return run_sync(self._timed(state, runtime))

    def invoke(self, input: Mapping[str, Any], config: RunnableConfig | None = None, **_: Any) -> dict[str, Any]:
        """Run the body from a synchronous graph."""
        return self(input, running())

    async def ainvoke(  # noqa: D102 - the same as `invoke`, awaited
        self,
        input: Mapping[str, Any],
        config: RunnableConfig | None = None,
        **_: Any,
    ) -> dict[str, Any]:
        return await self._timed(input, running())


def _with_context(runtime: Runtime[Context] | None) -> Runtime[Context]:
    """The runtime with a run context, the default one where the caller gave none."""
    if runtime is None:
        return Runtime(context=Context())
    return runtime if runtime.context is not None else runtime.override(context=Context())


def node_name(cls: type) -> str:
    """The class's name in snake case: `LookupCache` is `lookup_cache`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()


def newest_user_message(messages: list[AnyMessage] | list[Any]) -> BaseMessage | None:
    """The user's message that waits for an answer: the newest one, where no answer stands behind it."""
    for message in reversed(convert_to_messages(messages)):
        if message.type in ("human", "ai"):
            return message if message.type == "human" else None
    return None


def newest_user_text(state: Mapping[str, Any]) -> str:
    """The question of this turn: `question` where an input rail wrote it, else the text of the newest user message."""
    if isinstance(state.get("question"), str):
        return str(state["question"])
    message = newest_user_message(state.get("messages", []))
    return str(message.text) if message is not None else ""


def report_failure(node: str, error: BaseException) -> str:
    """Count, log and say in a sentence that a node's resource failed; the error's own text may quote the user."""
    metrics.node_errors().labels(node=node).inc()
    _logger.error("%s failed: %s", node, type(error).__name__)
    return f"It did not answer ({type(error).__name__})."
