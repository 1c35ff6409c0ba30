"""`freehold memory`, as a person or a program runs it."""

from __future__ import annotations

import io
import json
import stat
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold import Context, Workspace
from freehold.cli.memory_file import lines, read
from freehold.errors import UserError
from freehold.portal import run_sync
from tests.cli.running import Ended, Run, runner

HEADER = '{"format": "freehold-memories", "version": 1}'
ENTRIES = [
    {"text": "My name is Ada", "created_at": "2026-01-02T03:04:05+00:00"},
    {"text": "I collect [bold]quokkas[/] \u2028 and tea \U0001f375", "scope": "session", "session_id": "s1"},
    {"text": "I drank milk", "expires_at": "2001-01-01T00:00:00+00:00"},
]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Run `freehold` in this process, in a folder of its own."""
    return runner(monkeypatch, capsys, tmp_path)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of memories, as somebody may have written it."""
    path = tmp_path / "memories.jsonl"
    path.write_text("\n".join([HEADER, *map(json.dumps, ENTRIES)]), encoding="utf-8")
    return path


def known(run: Run, *options: str) -> list[dict[str, Any]]:
    """What is known, as a program sees it."""
    found: list[dict[str, Any]] = json.loads(run("memory", "list", "--json", *options).out)["memories"]
    return found


def answering(monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    """Somebody sits at the terminal and types this."""
    typed = io.StringIO(answer)
    typed.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stdin", typed)


def test_memories_travel_in_a_file(run: Run, file: Path, tmp_path: Path) -> None:
    """Import, list, search, export, forget, and import again: nothing is lost, and nobody else's is touched."""
    assert "2 memories would be imported for ada" in run("memory", "import", file, "--user", "ada", "--dry-run").told
    assert known(run, "--user", "ada") == []
    told = run("memory", "import", file, "--user", "ada")
    assert (told.code, told.told) == (0, "2 memories imported for ada; 0 known already, 1 expired.")
    run("memory", "import", file, "--user", "bob")
    again = json.loads(run("memory", "import", file, "--user", "ada", "--json").out)
    assert again == {"imported": 0, "known": 2, "expired": 1, "dry_run": False}
    dry = json.loads(run("memory", "import", file, "--user", "ada", "--json", "--dry-run").out)
    assert dry == {"imported": 0, "known": 2, "expired": 1, "dry_run": True}

    shown = run("memory", "list", "--user", "ada").told
    assert "2026-01-02 My name is Ada all" in shown
    assert "I collect [bold]quokkas[/]" in shown
    assert "session s1" in shown
    assert [row["text"] for row in known(run, "--user", "ada", "--session", "other")] == ["My name is Ada"]
    best = json.loads(run("memory", "search", "my name?", "--user", "ada", "--json").out)["memories"][0]
    assert best["text"] == "My name is Ada"
    assert 0.2 < best["score"] <= 1
    assert f"{best['score']:.2f} 2026-01-02 My name is Ada" in run("memory", "search", "my name?", "--user", "ada").told

    path = tmp_path / "ada.jsonl"
    assert run("memory", "export", path, "--user", "ada").told == f"2 memories of ada written to {path}."
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    piped = run("memory", "export", "--user", "ada").out.splitlines()
    assert piped[1:] == path.read_text(encoding="utf-8").split("\n")[1:-1]
    assert "bob" not in path.read_text(encoding="utf-8")
    before = known(run, "--user", "ada")
    assert json.loads(run("memory", "forget", "--user", "ada", "--yes", "--json").out)["memories"] == 2
    assert known(run, "--user", "ada") == []
    assert len(known(run, "--user", "bob")) == 2
    assert run("memory", "import", path, "--user", "ada").code == 0
    after = known(run, "--user", "ada")
    assert [{**row, "id": ""} for row in after] == [{**row, "id": ""} for row in before]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "line 1: a file of memories begins with"),
        ("not json", "line 1: it is no JSON"),
        ('{"format": "other", "version": 1}', "line 1: a file of memories begins with"),
        ('{"format": "freehold-memories", "version": 2}', "line 1: version=2 is not 1"),
        ('{"format": "freehold-memories", "version": true}', "line 1: version=True is not 1"),
        (f'{HEADER}\n{{"text": "a fact"}}\n\n{{"text": 7}}', "line 4: text=7 is no text"),
        (f'{HEADER}\n{{"text": "a fact"}}\n["text"]', "line 3: it is a list and not an object"),
        (f'{HEADER}\n{{"text": "a fact"}}\n{{"text": "cut', "line 3: it is no JSON"),
        (f'{HEADER}\n{{"text": "a fact", "created_at": "yesterday"}}', "line 2: created_at='yesterday' is no time"),
        (f'{HEADER}\n{{"text": "a fact", "scope": "everyone"}}', "line 2: scope='everyone' is no scope"),
        (f'{HEADER}\n{{"text": "a fact", "scope": "agent", "agent_id": "*"}}', "line 2: agent_id='*' cannot be used"),
        (f"{HEADER}\n" + "[" * 100_000, "line 2: it is JSON that no memory has"),
        (f'{HEADER[:-1]}, "memories": 2}}\n{{"text": "a fact"}}', "should hold 2 memories and holds 1"),
        (f"{HEADER}\n".encode() + b'{"text": "\xff"}', "line 2: byte 11 is not UTF-8"),
    ],
)
def test_a_bad_line_is_named_and_nothing_is_imported(
    run: Run, tmp_path: Path, content: str | bytes, reason: str
) -> None:
    """The line's number and the reason are told, with exit code 2, and the good lines before it are not stored."""
    path = tmp_path / "bad.jsonl"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    ended = run("memory", "import", path)
    assert ended.code == 2
    assert reason in ended.told
    assert ended.told.startswith(f"freehold: {path}")
    assert ended.told.endswith("Nothing was imported.")
    assert not (tmp_path / "home").exists()


def test_ids_and_owners_in_a_file_mean_nothing(run: Run, tmp_path: Path) -> None:
    """A file cannot put a memory over another one, nor into another user's."""
    run("memory", "import", _written(tmp_path, [{"text": "My name is Bob"}]), "--user", "bob")
    (theirs,) = known(run, "--user", "bob")
    stolen = {"id": theirs["id"], "text": "My name is Eve", "user_id": "default/bob", "tenant": "t", "user": "bob"}
    assert run("memory", "import", _written(tmp_path, [stolen]), "--user", "eve").code == 0
    assert known(run, "--user", "bob") == [theirs]
    (mine,) = known(run, "--user", "eve")
    assert mine["id"] != theirs["id"]


def test_one_memory_is_forgotten_by_its_id(run: Run, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The beginning of an id is enough where it is one memory's; a wrong id erases nothing, also beside a right one."""
    run("memory", "import", file, "--user", "ada")
    first, second = known(run, "--user", "ada")
    wrong = run("memory", "forget", "--yes", "--user", "ada", "--id", first["id"], "--id", "no-such-id")
    assert (wrong.code, "has no memory whose id begins with 'no-such-id'" in wrong.told) == (2, True)
    assert run("memory", "forget", "--yes", "--user", "bob", "--id", first["id"]).code == 2
    assert len(known(run, "--user", "ada")) == 2
    answering(monkeypatch, "y\n")
    ended = run("memory", "forget", "--user", "ada", "--id", second["id"][:8])
    assert "quokkas" in ended.err
    assert ended.out.strip() == "1 memory of ada erased."
    assert known(run, "--user", "ada") == [first]


def test_forgetting_asks_first(run: Run, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No, or nobody to ask, erases nothing; yes says what went: the threads too."""
    run("ask", "Hello", "--user", "ada", "--thread", "t1")
    run("memory", "import", file, "--user", "ada")
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    alone = run("memory", "forget", "--user", "ada")
    assert (alone.code, "Give --yes" in alone.told) == (2, True)
    answering(monkeypatch, "n\n")
    refused = run("memory", "forget", "--user", "ada")
    assert refused.code == 1
    assert "Erase ada for good: 2 memories, 1 thread, and every cached answer?" in refused.told
    assert len(known(run, "--user", "ada")) == 2
    answering(monkeypatch, "y\n")
    ended = run("memory", "forget", "--user", "ada")
    assert ended.out.strip() == "ada is forgotten: 2 memories, 1 thread and 0 cached answers erased."
    with Workspace() as workspace:
        assert workspace.checkpointer.threads() == []
        assert run_sync(workspace.memory.list(Context(user_id="ada"))) == []


def test_forgetting_does_not_list_first(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """With --yes, memories that cannot be read do not keep the threads from being erased."""
    run("ask", "Hello", "--user", "ada", "--thread", "t1")
    with monkeypatch.context() as down:
        down.setenv("FREEHOLD_QDRANT_URL", "http://127.0.0.1:9")
        ended = run("memory", "forget", "--user", "ada", "--yes")
    assert (ended.code != 0, "Qdrant" in ended.told) == (True, True)
    with Workspace() as workspace:
        assert workspace.checkpointer.threads() == []


def test_mistakes_are_told(run: Run, file: Path, tmp_path: Path) -> None:
    """An id that is a wildcard, a file that is not there or may not be replaced, and `--json` without a file."""

    def mistake(*arguments: object) -> Ended:
        ended = run("memory", *arguments)
        assert ended.code == 2
        return ended

    assert "user_id='*' cannot be used" in mistake("list", "--user", "*").told
    assert "tenant='a/b' cannot be used" in mistake("forget", "--yes", "--tenant", "a/b").told
    assert "cannot be read: No such file" in mistake("import", tmp_path / "none.jsonl").told
    assert "cannot be read: Is a directory" in mistake("import", tmp_path).told
    assert "is there already" in mistake("export", file).told
    assert "cannot be written: No such file" in mistake("export", tmp_path / "none" / "file").told
    assert "leave --json out" in mistake("export", "--json").told
    assert run("memory", "export", file, "--force", "--json").code == 0
    assert json.loads(file.read_text(encoding="utf-8"))["memories"] == 0
    assert "Nothing is known about default." in run("memory", "list").told
    assert "Nothing fits about default." in run("memory", "search", "tea").told


def test_import_reads_a_pipe(run: Run, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`freehold memory export | freehold memory import -` moves memories between workspaces."""
    piped = io.TextIOWrapper(io.BytesIO(file.read_bytes()))
    monkeypatch.setattr(sys, "stdin", piped)
    assert run("memory", "import", "-").told.startswith("2 memories imported")


def _written(folder: Path, entries: list[dict[str, Any]]) -> Path:
    path = folder / "written.jsonl"
    path.write_text("".join(lines(entries)), encoding="utf-8")
    return path


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(st.dictionaries(st.text(), _JSON, max_size=4), max_size=4))
def test_any_entries_come_back(entries: list[dict[str, Any]]) -> None:
    """What is written is read back as it was, with its line, whatever characters are in it."""
    data = "".join(lines(entries)).encode("utf-8", "surrogatepass")
    assert [(line.number, line.entry) for line in read(data, "file")] == list(enumerate(entries, 2))


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """No file, however damaged, ends in anything but a list or a message."""
    for content in (data, f"{HEADER}\n".encode() + data):
        told = "Nothing was imported."
        try:
            read(content, "file")
        except UserError as error:
            told = str(error)
        assert told.endswith("Nothing was imported.")
