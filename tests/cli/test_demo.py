"""The demonstration, as `make demo` runs it, with and without a network."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

DEMO = [sys.executable, "-m", "freehold.cli", "demo"]


@pytest.mark.slow
def test_the_demonstration_does_what_it_says() -> None:
    """Every step on the project's own documents; the report holds what the closing table shows."""
    ended = subprocess.run([*DEMO, "--json"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    report = json.loads(ended.stdout.splitlines()[-1])
    assert len(report["steps_seconds"]) == 6
    assert report["connections_refused"] == 0
    assert report["cache_hit_rate"] > 0
    assert report["tokens_per_second"] > 0


@pytest.mark.slow
def test_the_demonstration_needs_no_network() -> None:
    """The same in a network namespace that has loopback only."""
    offline = [sys.executable, str(ROOT / "tools" / "offline.py")]
    ended = subprocess.run([*offline, *DEMO], cwd=ROOT, capture_output=True, text=True, check=False)
    if ended.returncode == 77:
        pytest.skip("this system allows no network namespace")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "All steps did what they say" in ended.stdout


@pytest.mark.slow
def test_the_demonstration_takes_other_documents(documents: Path) -> None:
    """`DOCS=path`: questions are made from the documents' own headings."""
    ended = subprocess.run([*DEMO, str(documents)], cwd=documents, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.slow
def test_a_step_that_fails_ends_the_demonstration(tmp_path: Path) -> None:
    """A folder without a single readable document: exit code 1, and the step says why."""
    (tmp_path / "broken.pdf").write_bytes(b"nothing")
    ended = subprocess.run([*DEMO, str(tmp_path)], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "No passage could be read" in ended.stdout
