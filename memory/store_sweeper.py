"""A thread that sweeps a store at intervals."""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future

__all__ = ["Sweeper"]

_log = logging.getLogger(__name__)


class Sweeper:
    """Calls a method every so often from a thread of its own, for as long as the method's object lives.

    Args:
        sweep: A bound method; it is held weakly.
    """

    def __init__(self, sweep: Callable[[], object]) -> None:
        self._sweep = weakref.WeakMethod(sweep)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()

    def start(self, seconds: float) -> Future[None]:
        """Begin, where it has not begun; to cancel the future is to stop."""
        with self._lock:
            done: Future[None] = Future()
            if self._thread is None or not self._thread.is_alive():
                self._stop = threading.Event()
                self._thread = threading.Thread(
                    target=_loop, args=(self._sweep, self._stop, seconds, done), name="freehold-sweeper", daemon=True
                )
                self._thread.start()
            stop = self._stop
        done.add_done_callback(lambda future: stop.set() if future.cancelled() else None)
        return done

    def stop(self, timeout: float | None = None) -> bool:
        """End the thread; whether it has ended within so many seconds."""
        with self._lock:
            thread = self._thread
            self._stop.set()
        if thread is None or thread is threading.current_thread():
            return True
        thread.join(timeout)
        return not thread.is_alive()


def _loop(
    method: weakref.WeakMethod[Callable[[], object]], stop: threading.Event, seconds: float, done: Future[None]
) -> None:
    while not stop.wait(seconds):
        sweep = method()
        if sweep is None:
            break
        try:
            sweep()
        except Exception as error:  # noqa: BLE001 - nobody waits for it, and the next one may succeed
            _log.warning("What has expired could not be swept; it is tried again: %s", error)
        del sweep  # else it would keep its object alive until the next time
    if not done.done():
        done.set_result(None)
