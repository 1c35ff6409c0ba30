"""The background loop."""

from __future__ import annotations

import asyncio
import contextvars
import threading

import pytest

from freehold.portal import run_sync

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
