"""`freehold models`, as a person or a program runs it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from freehold import Workspace
from freehold.models import DEMO_MODEL, EMBEDDING_MODEL, model_path
from tests.cli.running import Run, runner


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Run `freehold` in this process, in a folder of its own."""
    return runner(monkeypatch, capsys, tmp_path)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A language model that is not the shipped one, by one byte of its last weight."""
    data = bytearray(model_path(DEMO_MODEL).read_bytes())
    data[-1] ^= 1
    path = tmp_path / "my[b] model.gguf"
    path.write_bytes(data)
    return path


def test_list_shows_what_a_person_chooses_by(run: Run) -> None:
    """Name, task, size, context, memory, whether it fits, and which one is in use."""
    ended = run("models", "list")
    assert ended.code == 0
    rows = {line.split()[0]: " ".join(line.split()) for line in ended.out.splitlines()}
    assert rows["freehold-demo"].startswith("freehold-demo chat 6 MiB 1024")
    assert rows["freehold-demo"].endswith("MiB yes answers here")
    assert rows["all-minilm-l6-v2"].endswith("yes embeds here")
    assert "may take 6.00 GiB together" in ended.told


def test_list_json_says_what_does_not_fit(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a small budget, and a long context, a program learns that the model cannot be loaded."""
    monkeypatch.setenv("FREEHOLD_MODEL_MEMORY", "60MiB")
    found = json.loads(run("models", "list", "--json").out)
    rows = {row["name"]: row for row in found["models"]}
    assert found["budget"] == 60 * 2**20
    assert rows["freehold-demo"]["fits"]
    assert rows["freehold-demo"]["used_as"] == "model"
    monkeypatch.setenv("FREEHOLD_CACHE_TOKENS", "65536")
    longer = {row["name"]: row for row in json.loads(run("models", "list", "--json").out)["models"]}["freehold-demo"]
    assert not longer["fits"]
    assert longer["memory"] > rows["freehold-demo"]["memory"] + 300 * 2**20


def test_a_model_from_its_file_to_an_answer_and_out(run: Run, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Add with a checksum, list, answer by name, verify, remove; the name is used before there is one, too."""
    monkeypatch.setenv("FREEHOLD_MODEL", "mine")
    unknown = run("ask", "Hello")
    assert unknown.code == 2
    assert "there are all-minilm-l6-v2, freehold-demo" in unknown.told
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    added = run("models", "add", file, "--name", "mine", "--copy", "--sha256", digest)
    assert added.code == 0
    assert digest in added.told
    assert "FREEHOLD_MODEL=mine puts it in" in added.told
    file.unlink()
    rows = {row["name"]: row for row in json.loads(run("models", "list", "--json").out)["models"]}
    assert (rows["mine"]["used_as"], rows["freehold-demo"]["used_as"]) == ("model", None)
    answered = json.loads(run("ask", "Hello", "--json").out)
    assert answered["model"] == "freehold-demo"
    assert answered["answer"]
    assert json.loads(run("models", "verify", "mine", "--json").out)["models"][0]["status"] == "ok"
    removed = json.loads(run("models", "remove", "mine", "--json").out)
    assert removed["deleted"]
    assert not Path(removed["path"]).exists()


def test_verify_exits_with_1_where_a_file_changed(run: Run, file: Path) -> None:
    """A script notices a damaged or lost model by the exit code, a person by the word."""
    assert run("models", "add", file).code == 0
    assert run("models", "verify").code == 0
    with file.open("r+b") as opened:
        opened.seek(-1, 2)
        opened.write(b"\x07")
    changed = run("models", "verify")
    assert changed.code == 1
    assert "changed my-b-model" in changed.told
    file.unlink()
    assert json.loads(run("models", "verify", "my-b-model", "--json").out)["models"][0]["status"] == "missing"
    assert "file is missing" in run("models", "list").told
    stays = run("models", "remove", "my-b-model")
    assert "my[b] model.gguf stays" in stays.told


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("add", "no[/b].gguf"), "no[/b].gguf"),
        (("add", ""), "the path is empty"),
        (("add", __file__), "is not a GGUF file"),
        (("add", model_path(EMBEDDING_MODEL)), "in the catalog already, by the name all-minilm-l6-v2"),
        (("verify", "no[/b]name"), "No model is named 'no[/b]name'"),
        (("remove", "freehold-demo"), "cannot be removed"),
        (("remove", "other"), "there are all-minilm-l6-v2, freehold-demo"),
        (("nonsense",), "nonsense"),
    ],
)
def test_a_mistake_is_one_plain_message(run: Run, arguments: tuple[object, ...], said: str) -> None:
    """Exit code 2, what is wrong, no traceback."""
    ended = run("models", *arguments)
    assert ended.code == 2
    assert said in ended.told
    assert "Traceback" not in ended.told


def test_the_catalog_is_open_while_the_workspace_is(run: Run, file: Path, tmp_path: Path) -> None:
    """Models can be listed and added while a server has the workspace, and it finds them at once."""
    with Workspace(tmp_path / "home") as workspace:
        assert run("models", "add", file, "--name", "mine").code == 0
        assert "mine" in run("models", "list").told
        assert workspace.models.find("mine").path == file


def test_a_budget_too_small_is_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that does not fit is refused before it is loaded, with both numbers and exit code 2."""
    monkeypatch.setenv("FREEHOLD_MODEL_MEMORY", "120MiB")
    monkeypatch.setenv("FREEHOLD_CACHE_TOKENS", "65536")
    ended = run("ask", "Hello")
    assert ended.code == 2
    assert "of the budget of 0.12 GiB" in ended.told


@pytest.mark.parametrize("command", ["list", "add", "verify", "remove"])
def test_every_command_has_help(run: Run, command: str) -> None:
    """The help says what the command does and what each option means."""
    ended = run("models", command, "--help")
    assert ended.code == 0
    assert "--home" in ended.out
    assert "--json" in ended.out
