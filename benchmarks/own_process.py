"""A runner in a process of its own.

llama.cpp's threads come from OpenMP, which counts all that a process has: where two models with two threads each are
loaded on two cores, waiting threads go to sleep at every operation instead of spinning, and both models are half as
fast. Beside each other in one run, but not in one process, each is as fast as its user would see it.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Any

from benchmarks.inference_runners import Runner, Work

__all__ = ["OwnProcess"]


def _serve(pipe: Connection, make: Callable[..., Runner], arguments: tuple[Any, ...]) -> None:
    """Make the runner and do what is asked of it, until it is closed."""
    runner = make(*arguments)
    while True:
        name, values = pipe.recv()
        member = getattr(runner, name)
        try:
            pipe.send((None, member(*values) if callable(member) else member))
        except Exception as error:  # noqa: BLE001 - it belongs to the one who asked
            pipe.send((error, None))
        if name == "close":
            return


class OwnProcess:
    """Passes on what a runner can do.

    Args:
        make: The runner's class.
        *arguments: What it is made of.
    """

    def __init__(self, make: type[Runner], *arguments: Any) -> None:
        self.name = make.name
        context = multiprocessing.get_context("spawn")
        self._pipe, child = context.Pipe()
        self._process = context.Process(target=_serve, args=(child, make, arguments), daemon=True)
        self._process.start()
        child.close()

    def _ask(self, name: str, *values: Any) -> Any:
        self._pipe.send((name, values))
        error, answer = self._pipe.recv()
        if error is not None:
            raise error
        return answer

    def forget(self) -> None:
        """Let go of earlier prompts."""
        self._ask("forget")

    def seconds(self, work: Work) -> float:
        """From the moment when all prompts are there until all answers are."""
        return float(self._ask("seconds", work))

    def first_token(self, prompt: Sequence[int]) -> float:
        """Seconds until the first piece of a streamed answer."""
        return float(self._ask("first_token", prompt))

    @property
    def steps(self) -> list[float]:
        """When each decode step of the last work ended."""
        return list(self._ask("steps"))

    def close(self) -> None:
        """Free the model and end the process."""
        self._ask("close")
        self._process.join()
        self._pipe.close()
