"""The background loop."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable

import pytest

from freehold.portal import InCaller, run_sync, run_sync_with_caller

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


async def _read() -> str:
    return variable.get()


def test_context_variables_of_the_caller_are_seen() -> None:
    """LangGraph hands its run config and stream over in context variables."""
    variable.set("caller's")
    assert run_sync(_read()) == "caller's"


def test_errors_come_back() -> None:
    """An exception reaches the synchronous caller unchanged."""

    async def fail() -> None:
        raise KeyError("gone")

    with pytest.raises(KeyError, match="gone"):
        run_sync(fail())


def test_many_threads_share_the_loop() -> None:
    """Callers in many threads each get their own result."""
    results: list[int] = []

    def call(number: int) -> None:
        results.append(run_sync(asyncio.sleep(0.01, result=number)))

    threads = [threading.Thread(target=call, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == list(range(20))


def test_waiting_on_itself_is_an_error() -> None:
    """An asynchronous body that calls the synchronous form fails at once instead of never ending."""

    async def wrong() -> None:
        run_sync(_read())

    with pytest.raises(RuntimeError, match="await the coroutine"):
        run_sync(wrong())

    async def wrong_as_well() -> None:
        run_sync_with_caller(lambda _: _read())

    with pytest.raises(RuntimeError, match="await the coroutine"):
        run_sync(wrong_as_well())


def test_waiting_can_have_an_end() -> None:
    """Whoever must not wait for ever stops, and the work stops with it."""
    stopped = threading.Event()

    async def long() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            stopped.set()

    with pytest.raises(TimeoutError):
        run_sync(long(), timeout=0.01)
    assert stopped.wait(5)


def test_a_body_has_functions_run_in_the_calling_thread() -> None:
    """Somebody else's synchronous code runs where it would run anyway, in its own context, and may fail."""
    variable.set("caller's")
    ran: list[tuple[threading.Thread, str]] = []

    def work() -> str:
        ran.append((threading.current_thread(), variable.get()))
        return "done"

    def fail() -> None:
        raise KeyError("gone")

    async def body(in_caller: InCaller) -> list[str]:
        found = [await in_caller(work), await asyncio.to_thread(variable.get), await in_caller(work)]
        with pytest.raises(KeyError, match="gone"):
            await in_caller(fail)
        return found

    assert run_sync_with_caller(body) == ["done", "caller's", "done"]
    assert ran == [(threading.current_thread(), "caller's")] * 2
    with pytest.raises(KeyError, match="gone"):
        run_sync_with_caller(lambda in_caller: _through(in_caller, fail))


async def _through(in_caller: InCaller, function: Callable[[], object]) -> object:
    return await in_caller(function)


def test_an_interrupted_caller_takes_its_body_along() -> None:
    """Ctrl-C in the caller's code is the caller's, and the body learns that it is over; the loop lives on."""
    stopped = threading.Event()

    def interrupted() -> None:
        raise KeyboardInterrupt

    async def body(in_caller: InCaller) -> None:
        try:
            await in_caller(interrupted)
        except asyncio.CancelledError:
            stopped.set()
            raise

    with pytest.raises(KeyboardInterrupt):
        run_sync_with_caller(body)
    assert stopped.wait(5)
    assert run_sync(asyncio.sleep(0, result="alive")) == "alive"
