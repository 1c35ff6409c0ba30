"""Settings and where they come from."""

from __future__ import annotations

from pathlib import Path

import pytest

from freehold.errors import SettingsError
from freehold.settings import Settings


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_argument_beats_environment_beats_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The nearer source wins, value by value."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "freehold.toml").write_text("passages = 1\nmemories = 1\nmax_tokens = 1\nqueue_size = 1\n")
    (tmp_path / "freehold.toml").write_text("passages = 2\nmemories = 2\nmax_tokens = 2\n")
    monkeypatch.setenv("FREEHOLD_PASSAGES", "3")
    monkeypatch.setenv("FREEHOLD_MEMORIES", "3")
    settings = Settings.load(home=home, passages=4)
    assert (settings.passages, settings.memories, settings.max_tokens, settings.queue_size) == (4, 3, 2, 1)


def test_hosts_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    """A person writes hosts as a list with commas, not as JSON."""
    monkeypatch.setenv("FREEHOLD_ALLOWED_HOSTS", "db.internal, 10.0.0.7")
    assert Settings.load().allowed_hosts == ("db.internal", "10.0.0.7")


@pytest.mark.parametrize(
    ("name", "value"),
    [("FREEHOLD_PASSAGES", "many"), ("FREEHOLD_CACHE_THRESHOLD", "1.5"), ("FREEHOLD_MAX_TOKENS", "0")],
)
def test_a_bad_value_is_named(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says which setting, and which value."""
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=f"{name.removeprefix('FREEHOLD_').lower()}.*{value}"):
        Settings.load()


@pytest.mark.parametrize("text", ["pasages = 3\n", "passages ="])
def test_a_bad_file_is_an_error(text: str) -> None:
    """A misspelled name or a broken file is never passed over."""
    Path("freehold.toml").write_text(text)
    with pytest.raises(SettingsError):
        Settings.load()


def test_home_is_expanded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`~` is the user's home, wherever the value comes from."""
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Settings.load().home == tmp_path / ".freehold"
