"""One background event loop, so that every asynchronous body also serves synchronous callers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

__all__ = ["run_in_background", "run_sync"]

T = TypeVar("T")

_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None


def _background_loop() -> asyncio.AbstractEventLoop:
    global _loop  # noqa: PLW0603 - one loop per process
    with _lock:
        if _loop is None:
            _loop = asyncio.new_event_loop()
            threading.Thread(target=_loop.run_forever, name="freehold-portal", daemon=True).start()
        return _loop


def run_in_background(coroutine: Coroutine[Any, Any, T]) -> Future[T]:
    """Start a coroutine on the background loop, in the caller's context variables."""
    return asyncio.run_coroutine_threadsafe(coroutine, _background_loop())


def run_sync(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on the background loop and wait for its result, in the caller's context variables.

    Raises:
        RuntimeError: Called from the background loop itself, where waiting would never end.

    Example:
        >>> run_sync(asyncio.sleep(0, result="done"))
        'done'
    """
    if threading.current_thread().name == "freehold-portal":
        coroutine.close()
        raise RuntimeError("run_sync was called from an asynchronous body; await the coroutine there instead.")
    future = run_in_background(coroutine)
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise
