"""Several real processes over one board: one answers for all, and another takes over when it is killed."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ASKER = Path(__file__).with_name("asker.py")


class Asker:
    """A process that asks."""

    def __init__(self, board: str, askers: int, role: str, lease_seconds: float) -> None:
        command = [sys.executable, str(ASKER), board, str(askers), role, str(lease_seconds)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.lines: list[tuple[float, str, str]] = []

    def read(self, word: str, times: int = 1) -> list[tuple[float, str]]:
        """Read on until it has said a word so often; when, and what."""
        assert self.process.stdout is not None
        while len(self.said(word)) < times:
            line = self.process.stdout.readline()
            assert line, f"the process ended before it said {word!r}"
            when, said, *text = line.rstrip("\n").split(" ", 2)
            self.lines.append((float(when), said, "".join(text)))
        return self.said(word)

    def said(self, word: str) -> list[tuple[float, str]]:
        """What it has said so far."""
        return [(when, text) for when, said, text in self.lines if said == word]


@pytest.fixture
def start() -> Iterator[Callable[..., Asker]]:
    """Starts processes, and ends what is left of them."""
    started: list[Asker] = []

    def start(*given: object) -> Asker:
        started.append(Asker(*given))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.communicate()


@pytest.fixture(params=["sqlite", "redis"])
def board(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where processes meet."""
    return str(tmp_path / "board.sqlite3") if request.param == "sqlite" else request.getfixturevalue("server").url


@pytest.mark.slow
def test_a_leader_that_is_killed_is_taken_over_once(board: str, start: Callable[..., Asker]) -> None:
    """Protects everybody from kill -9: within the lease exactly one takes over, and the others get its whole answer."""
    victim = start(board, 3, "victim", 2.0)
    victim.read("led")
    others = [start(board, 10, "asker", 2.0) for _ in range(3)]
    for other in others:
        other.read("piece", 10)
    victim.process.kill()
    killed = time.monotonic()
    answers = [text for other in others for _, text in other.read("answer", 10)]
    for other in others:
        other.read("done")
    led = [told for other in others for told in other.said("led")]
    assert len(led) == 1
    assert set(answers) == {f"{''.join(f'{number} ' for number in range(20))}by {led[0][1]}"}
    assert led[0][0] - killed < 2.0 + 6.0  # the lease, and a busy machine


@pytest.mark.slow
def test_the_first_piece_is_soon_everywhere(board: str, start: Callable[..., Asker]) -> None:
    """Protects the time to the first word of 200 followers in four processes: far below what people notice."""
    leader = start(board, 50, "patient", 5.0)
    leader.read("led")
    others = [start(board, 50, "asker", 5.0) for _ in range(3)]
    leader.read("boarded", 49)
    for other in others:
        other.read("boarded", 50)
    assert leader.process.stdin is not None
    leader.process.stdin.write("go\n")
    leader.process.stdin.flush()
    emitted = leader.read("emit")[0][0]
    late = [when - emitted for one in (leader, *others) for when, _ in one.read("piece", 49 if one is leader else 50)]
    for one in (leader, *others):
        one.read("answer", 50)
    assert len(late) == 199
    assert statistics.median(late) < 1.0
