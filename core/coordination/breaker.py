"""A breaker: after a failure, a resource is left alone for a while."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

__all__ = ["Breaker"]


class Breaker:
    """Keep a failing resource out, so that its time-out is paid once and not by every caller.

    Closed until a failure, then open for `retry_seconds`. After that one caller tries again while the others are still
    kept out: success closes the breaker, another failure opens it anew. The pattern is Nygard's ("Release It!").

    Args:
        retry_seconds: How long a failure keeps the resource out.
        clock: Seconds that only grow; for tests.

    Example:
        >>> breaker = Breaker(retry_seconds=5.0)
        >>> breaker.failed("connection refused")
        >>> breaker.refusal()
        'connection refused'
    """

    def __init__(self, retry_seconds: float = 5.0, clock: Callable[[], float] = time.monotonic) -> None:
        self.retry_seconds = retry_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._failure: str | None = None
        self._out_until = 0.0

    def refusal(self) -> str | None:
        """The failure that keeps the resource out, or None: then the caller goes on, and reports how it went."""
        with self._lock:
            if self._failure is None:
                return None
            now = self._clock()
            if now < self._out_until:
                return self._failure
            # The caller that gets None here tries again; should it never report, another may after the same time.
            self._out_until = now + self.retry_seconds
            return None

    def failed(self, reason: str) -> None:
        """The resource failed."""
        with self._lock:
            self._failure = reason
            self._out_until = self._clock() + self.retry_seconds

    def passed(self) -> None:
        """The resource answered."""
        # Read without the lock: this is the hot path, and a failure that arrives at the same time may win.
        if self._failure is not None:
            with self._lock:
                self._failure = None
