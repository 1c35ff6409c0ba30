"""Running the command line in the test's own process."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from freehold.cli.app import main


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def told(self) -> str:
        """Everything it printed, as one line."""
        return " ".join((self.out + self.err).split())


Run = Callable[..., Ended]


def runner(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: Path) -> Run:
    """Runs `freehold` in this process, in a folder and with a workspace below it."""
    monkeypatch.setenv("COLUMNS", "240")
    monkeypatch.setenv("FREEHOLD_HOME", str(folder / "home"))
    monkeypatch.delenv("FREEHOLD_TRACEBACK", raising=False)
    monkeypatch.chdir(folder)

    def command(*arguments: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["freehold", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        told = capsys.readouterr()
        return Ended(code, told.out, told.err)

    return command
