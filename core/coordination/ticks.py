"""Times of use that are never the same twice."""

from __future__ import annotations

import threading
from collections.abc import Callable

__all__ = ["Ticks"]

_STEP = 1e-6  # the least that a float of today's seconds since the epoch can tell apart is a quarter of this


class Ticks:
    """A clock that goes forward at every reading, so that what was used later also looks later.

    Args:
        clock: Seconds since the epoch.

    Example:
        >>> ticks = Ticks(lambda: 100.0)
        >>> ticks() < ticks() < 100.001
        True
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._last = float("-inf")

    def __call__(self) -> float:
        """Seconds since the epoch, later than the last time."""
        with self._lock:
            self._last = max(self._clock(), self._last + _STEP)
            return self._last
