"""A request on its way through the engine, and the way of its results back to the caller's event loop."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from freehold.errors import InferenceError
from freehold.inference.generation import GenerationChunk, GenerationRequest, GenerationResult

if TYPE_CHECKING:
    from freehold.inference.guide import Guide
    from freehold.inference.running import Running

__all__ = ["Item", "Job", "Mailbox"]

logger = logging.getLogger(__name__)

Item = GenerationChunk | GenerationResult | InferenceError
"""What a caller can hear of its request; a result or an error is the last."""

_arrival = itertools.count()


@dataclass(eq=False)
class Job:
    """A request in the queue or at work. Its results go to a queue that belongs to the caller's event loop."""

    tokens: list[int]
    """The prompt."""
    request: GenerationRequest
    streaming: bool
    """Whether the caller wants chunks, or the result only."""
    guide: Guide | None = None
    """Holds the text to a grammar."""
    results: asyncio.Queue[Item] = field(default_factory=asyncio.Queue)
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)
    cancelled: bool = False
    submitted: float = field(default_factory=time.perf_counter)
    arrival: int = field(default_factory=lambda: next(_arrival))
    running: Running | None = None
    """Its state, where it has begun."""

    @property
    def order(self) -> tuple[int, int]:
        """Sorts by priority, then by arrival; also a paused request takes its old place again."""
        return (-self.request.priority, self.arrival)

    def expired(self, now: float) -> bool:
        """Whether the deadline has passed."""
        deadline = self.request.deadline
        return deadline is not None and now - self.submitted > deadline


class Mailbox:
    """Gathers what a step has to tell, and wakes every event loop once."""

    def __init__(self) -> None:
        self._posts: dict[asyncio.AbstractEventLoop, list[tuple[Job, Item]]] = {}

    def post(self, job: Job, item: Item) -> None:
        """Tell a caller something at the next `flush`."""
        self._posts.setdefault(job.loop, []).append((job, item))

    def flush(self) -> None:
        """Hand everything over."""
        if not self._posts:
            return
        posts, self._posts = self._posts, {}
        for loop, items in posts.items():
            try:
                loop.call_soon_threadsafe(_deliver, items)
            except RuntimeError:  # the caller's loop is closed: nobody waits any more
                for job, _ in items:
                    job.cancelled = True
                logger.debug("an event loop was closed before its generations ended")


def _deliver(items: list[tuple[Job, Item]]) -> None:
    for job, item in items:
        job.results.put_nowait(item)
