"""Waiting on one event loop for what another thread works at."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from contextlib import suppress
from typing import TypeVar

__all__ = ["outcome"]

T = TypeVar("T")


async def outcome(future: Future[T]) -> T:
    """Wait for a future of another thread; whoever is cancelled stops waiting, and the work goes on.

    `asyncio.wrap_future` would cancel the work with the caller, in the middle of a write or of a reply.

    Example:
        >>> from freehold.portal import run_in_background
        >>> asyncio.run(outcome(run_in_background(asyncio.sleep(0, "done"))))
        'done'
    """
    loop = asyncio.get_running_loop()
    arrived = asyncio.Event()

    def arrive(_: Future[T]) -> None:
        with suppress(RuntimeError):  # the loop of a caller that went away may be closed
            loop.call_soon_threadsafe(arrived.set)

    future.add_done_callback(arrive)
    await arrived.wait()
    return future.result()
