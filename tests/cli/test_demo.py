"""The demonstration, as `make demo` runs it, with and without a network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from freehold.cli.demo import demo_documents
from freehold.cli.demo_steps import demonstration_settings
from freehold.settings import Settings
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


@pytest.mark.slow
def test_the_demonstration_keeps_to_itself(tmp_path: Path) -> None:
    """In another project, with servers and a folder of the owner's set: neither its documents nor they are touched."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "other.md").write_text("# Another project\n\nIt knows nothing of this.\n", encoding="utf-8")
    (tmp_path / "README.md").write_text("# Another project\n\nIt keeps no data.\n", encoding="utf-8")
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "another"\n', encoding="utf-8")
    (tmp_path / "freehold.toml").write_text('qdrant_url = "http://127.0.0.1:1"\npassages = 1\n', encoding="utf-8")
    owner = {
        "FREEHOLD_HOME": str(tmp_path / "home"),
        "FREEHOLD_QDRANT_URL": "http://127.0.0.1:1",
        "FREEHOLD_REDIS_URL": "redis://127.0.0.1:1",
        "FREEHOLD_GUARDRAILS": "/nowhere",
        "FREEHOLD_CACHE_THRESHOLD": "1",
    }
    ended = subprocess.run(
        [*DEMO], cwd=tmp_path, env={**os.environ, **owner}, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "other.md" not in ended.stdout
    assert not (tmp_path / "home").exists()


def test_the_demonstration_takes_the_model_from_outside_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The owner's servers, folder and rails are left alone, whichever way they are set."""
    (tmp_path / "freehold.toml").write_text('qdrant_url = "http://127.0.0.1:1"\nthreads = 3\n', encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    for name in ("HOME", "REDIS_URL", "GUARDRAILS", "EMBEDDING_MODEL", "ALLOWED_HOSTS"):
        monkeypatch.setenv(f"FREEHOLD_{name}", "elsewhere")
    monkeypatch.setenv("FREEHOLD_MODEL", "mine.gguf")
    settings = demonstration_settings(tmp_path / "demo", None)
    usual = Settings.model_construct(home=tmp_path / "demo", model=tmp_path / "mine.gguf", threads=3)
    assert settings == usual


@pytest.mark.parametrize("project", ["", "[project", "project = 1", '[project]\nname = "another"'])
def test_another_projects_documents_are_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, project: str
) -> None:
    """Without documents given, `docs` and README.md of the current folder count in Freehold's own only."""
    (tmp_path / "pyproject.toml").write_text(project, encoding="utf-8")
    (tmp_path / "docs").mkdir()
    monkeypatch.chdir(tmp_path)
    with demo_documents(None, tmp_path) as paths:
        assert "Freehold" in paths[0].read_text(encoding="utf-8")
    monkeypatch.chdir(ROOT)
    with demo_documents(None, tmp_path) as paths:
        assert paths == [Path("docs"), Path("README.md")]
