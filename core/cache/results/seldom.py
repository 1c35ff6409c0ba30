"""A warning that is said once in a while, however often it is due."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

__all__ = ["SeldomWarning"]


class SeldomWarning:
    """Logs the first warning of each kind, and then at most one of it in a time; it says how many were left out.

    Its message, into which the arguments are put, is a warning's kind: a literal, because each is remembered. Safe to
    use from several threads and event loops.

    Args:
        logger: Where the warnings go.
        every_seconds: How long it keeps quiet.
        clock: Seconds that only grow; for tests.

    Example:
        >>> warning = SeldomWarning(logging.getLogger("example"), 60.0)
        >>> warning("The cache does not answer: %s", "connection refused")
    """

    def __init__(
        self, logger: logging.Logger, every_seconds: float = 60.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._logger = logger
        self._every_seconds = every_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._quiet_until: dict[str, float] = {}
        self._left_out: dict[str, int] = {}

    def __call__(self, message: str, *args: object) -> None:
        """Say it, where the time has come."""
        with self._lock:
            now = self._clock()
            if now < self._quiet_until.get(message, float("-inf")):
                self._left_out[message] = self._left_out.get(message, 0) + 1
                return
            left_out = self._left_out.pop(message, 0)
            self._quiet_until[message] = now + self._every_seconds
        note = f" ({left_out} more such warnings were left out.)" if left_out else ""
        self._logger.warning(f"{message}%s", *args, note)  # noqa: G004 - the note is an argument like the others
