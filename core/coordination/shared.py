"""A resource that several use, and a user's share in it."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

from freehold.errors import StorageError

__all__ = ["InMemory", "Shared", "Sharer"]

O = TypeVar("O")  # noqa: E741 - what is open
S = TypeVar("S", bound="Shared[Any]")
T = TypeVar("T")


class Shared(ABC, Generic[O]):
    """Opened by the first call, closed when its last user leaves, opened anew by the next user.

    So nobody has to own it, the order in which its users close does not matter, and what nobody uses holds nothing.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._lock = threading.Lock()
        self._users = 0
        self._opened: O | None = None

    @abstractmethod
    def _open(self) -> O:
        """Open it; called under a lock, so it must not wait."""

    @abstractmethod
    async def _shut(self, opened: O) -> None:
        """Close what `_open` gave, once everything that was started on it has ended."""

    def join(self) -> None:
        """Count one user more."""
        with self._lock:
            self._users += 1

    async def leave(self) -> None:
        """Count one user less, and close behind the last one."""
        with self._lock:
            self._users -= 1
            last, opened = self._users == 0, self._opened
            if last:
                self._opened = None
        if last and opened is not None:
            await self._shut(opened)

    def _submit(self, start: Callable[[O], Future[T]]) -> Future[T]:
        """Start work on it, opened where it is not; it is closed behind the work and not before."""
        with self._lock:
            if self._users <= 0:
                raise closed(self.name)
            if self._opened is None:
                self._opened = self._open()
            return start(self._opened)


class Sharer(Generic[S]):
    """What the stores, ledgers and boards have in common: a share in a resource, given back once."""

    def __init__(self, shared: S) -> None:
        self._resource = shared
        self._closing = threading.Lock()
        self._closed = False
        shared.join()

    @property
    def _shared(self) -> S:
        if self._closed:
            raise closed(self._resource.name)
        return self._resource

    async def close(self) -> None:
        """Give the share back; the last one closes files, threads and connections. Closing twice is closing once."""
        with self._closing:
            closed_before, self._closed = self._closed, True
        if not closed_before:
            try:
                await self._last_work()
            finally:
                await self._resource.leave()

    async def _last_work(self) -> None:
        """What is to be written before the share is given back."""


class InMemory:
    """What the store and the ledger in memory have in common: a lock, and that nothing is done behind their end."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._closed = False

    @contextmanager
    def _in_use(self) -> Iterator[None]:
        """Hold the lock, and find it open.

        Raises:
            StorageError: It is closed.
        """
        with self._lock:
            if self._closed:
                raise closed(self._name)
            yield


def closed(name: str) -> StorageError:
    """The error of a use after closing."""
    return StorageError(f"What was opened on {name} is closed; open it anew.")
