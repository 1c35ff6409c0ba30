"""The thread that alone touches a model in native code, and the door in front of it."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from freehold.errors import InferenceError

__all__ = ["OwnerThread"]


class OwnerThread(ABC):
    """Base of a worker that owns native objects in a thread of its own.

    What callers and thread share is guarded by `_changed`. Callers hand work over within `_handover`; the thread waits
    for it with `_wait`, and frees what it owns before `_run` returns. A subclass calls `_start` when it is ready.

    Args:
        name: The thread's name.
        owned: What is owned, as an error's message begins: "The embedding model all-MiniLM-L6-v2".
    """

    def __init__(self, name: str, owned: str) -> None:
        self._owned = owned
        self._closed = False
        # Its lock is reentrant: a garbage collection in this very thread may call `stop` while the lock is held.
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @abstractmethod
    def _run(self) -> None:
        """The thread's life: until `_wait` says False; then fail what waits, and free what is owned."""

    def _start(self) -> None:
        self._thread.start()

    @contextmanager
    def _handover(self) -> Iterator[None]:
        """Hold the lock while something is given to the thread, and wake it afterwards.

        Raises:
            InferenceError: The owner was stopped.
        """
        with self._changed:
            if self._closed:
                raise self._closed_error()
            yield
            self._changed.notify_all()

    def _wait(self, ready: Callable[[], bool]) -> bool:
        """Wait, with the lock held, until there is something to do; False where the owner was stopped."""
        self._changed.wait_for(lambda: self._closed or ready())
        return not self._closed

    def _closed_error(self) -> InferenceError:
        return InferenceError(f"{self._owned} was closed.")

    def stop(self) -> None:
        """End the thread; returns when it failed what waited and freed what it owned. Safe to call again."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if threading.current_thread() is not self._thread:
            self._thread.join()
