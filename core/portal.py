"""One background event loop, so that every asynchronous body also serves synchronous callers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeAlias, TypeVar

__all__ = ["InCaller", "run_in_background", "run_sync", "run_sync_with_caller"]

T = TypeVar("T")
InCaller: TypeAlias = Callable[[Callable[[], Any]], Awaitable[Any]]
"""Runs a function in the thread that waits for the body, and gives its result."""

_THREAD = "freehold-portal"
_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None


def _background_loop() -> asyncio.AbstractEventLoop:
    global _loop  # noqa: PLW0603 - one loop per process
    with _lock:
        if _loop is None:
            _loop = asyncio.new_event_loop()
            threading.Thread(target=_loop.run_forever, name=_THREAD, daemon=True).start()
        return _loop


def run_in_background(coroutine: Coroutine[Any, Any, T]) -> Future[T]:
    """Start a coroutine on the background loop, in the caller's context variables."""
    return asyncio.run_coroutine_threadsafe(coroutine, _background_loop())


def run_sync(coroutine: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
    """Run a coroutine on the background loop and wait for its result, in the caller's context variables.

    Args:
        coroutine: What to run.
        timeout: Most seconds to wait; then it is cancelled. None waits for as long as it takes.

    Raises:
        RuntimeError: Called from the background loop itself, where waiting would never end.
        TimeoutError: It took longer.

    Example:
        >>> run_sync(asyncio.sleep(0, result="done"))
        'done'
    """
    if threading.current_thread().name == _THREAD:
        coroutine.close()
        raise RuntimeError("run_sync was called from an asynchronous body; await the coroutine there instead.")
    future = run_in_background(coroutine)
    try:
        return future.result(timeout)
    except BaseException:
        future.cancel()
        raise


def run_sync_with_caller(body: Callable[[InCaller], Coroutine[Any, Any, T]]) -> T:
    """Run a body on the background loop that hands functions back to be run here, in the calling thread.

    For somebody else's synchronous code in the midst of an asynchronous body: it runs in the thread that it would run
    in anyway, with that thread's context variables, and blocks no event loop.

    Args:
        body: Takes the way to run a function here.

    Raises:
        RuntimeError: Called from the background loop itself, where waiting would never end.

    Example:
        >>> async def body(in_caller):
        ...     return await in_caller(lambda: threading.current_thread() is threading.main_thread())
        >>> run_sync_with_caller(body)
        True
    """
    if threading.current_thread().name == _THREAD:
        raise RuntimeError("A synchronous call was made from an asynchronous body; await the coroutine there instead.")
    calls: SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = SimpleQueue()

    async def in_caller(function: Callable[[], Any]) -> Any:
        result: Future[Any] = Future()
        calls.put((function, result))
        return await asyncio.wrap_future(result)

    future = run_in_background(body(in_caller))
    future.add_done_callback(lambda _: calls.put(None))
    try:
        while (call := calls.get()) is not None:
            function, result = call
            if result.set_running_or_notify_cancel():
                try:
                    result.set_result(function())
                except Exception as error:  # noqa: BLE001 - it is the body's, which may catch it
                    result.set_exception(error)
        return future.result()
    except BaseException:
        future.cancel()
        raise
