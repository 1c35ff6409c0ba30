"""One turn of a conversation, whose answer is there before everything that follows it is saved."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Self, cast

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig
    from langgraph.graph.state import CompiledStateGraph

    from freehold.context import Context

__all__ = ["Turn"]

_LAST_BEFORE_SAVING = "store_cache"


class Turn:
    """Runs the assistant on a thread of its own; memories are saved while the reader reads.

    Args:
        assistant: What `create_assistant` gave.
        message: The user's message.
        thread: The conversation.
        context: The run context.
    """

    def __init__(
        self, assistant: CompiledStateGraph[Any, Context, Any, Any], message: str, thread: str, context: Context
    ) -> None:
        self._assistant, self._message, self._context = assistant, message, context
        self._config: RunnableConfig = {"configurable": {"thread_id": thread}}
        self._events: queue.SimpleQueue[tuple[str, Any] | None] = queue.SimpleQueue()
        self._stopped = threading.Event()
        self._error: BaseException | None = None
        self.state: dict[str, Any] = {}
        self._thread = threading.Thread(target=self._run, name="freehold-turn")
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stream(self) -> Iterator[tuple[str, Any]]:
        """The run's `messages` and `values`, until the answer is whole; `state` holds it then.

        Raises:
            FreeholdError: The run failed.
        """
        while (event := self._events.get()) is not None:
            yield event
        if self._error is not None:
            self.finish()

    def finish(self) -> dict[str, Any]:
        """Wait until everything is saved, and give the turn's last state.

        Raises:
            FreeholdError: The run failed.
        """
        self._thread.join()
        error, self._error = self._error, None
        if error is not None:
            raise error
        return self.state

    def stop(self) -> None:
        """End the run at its next event, and wait for that; what was not saved is saved in the thread's next turn."""
        self._stopped.set()
        self._thread.join()
        self._error = None

    def _run(self) -> None:
        answered = False
        try:
            for event in self._assistant.stream(
                {"messages": [{"role": "user", "content": self._message}]},
                self._config,
                context=self._context,
                stream_mode=["messages", "updates", "values"],
            ):
                if self._stopped.is_set():
                    return
                mode, part = cast("tuple[str, Any]", event)
                if mode == "updates":
                    answered = answered or _LAST_BEFORE_SAVING in part
                    continue
                if mode == "values":
                    self.state = dict(part)
                self._events.put((mode, part))
                if answered:
                    self._events.put(None)
        except BaseException as error:  # noqa: BLE001 - raised where somebody waits for it
            self._error = error
        finally:
            self._events.put(None)
