"""What goes wrong is one plain message and an exit code, never a traceback, and text is printed as it was given."""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from qdrant_client import models

from freehold.cli.app import app
from freehold.memory import EdgeQdrantClient
from freehold.models import DEMO_MODEL, model_path
from tests.cli.running import Run, runner

MARKUP = "a[/b] [red]:smile: \\"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Run `freehold` in this process, in a folder of its own."""
    return runner(monkeypatch, capsys, tmp_path)


@pytest.fixture
def elsewhere() -> Iterator[str]:
    """The URL of a server that is no Qdrant: it has no page at all."""
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_ask_prints_a_thread_as_it_was_given(run: Run) -> None:
    """A thread id that looks like markup or an emoji is neither."""
    ended = run("ask", "Hello", "--thread", MARKUP)
    assert ended.code == 0
    assert f"thread {MARKUP}." in ended.told


def test_chat_prints_a_thread_and_a_mistake_as_they_are(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread is printed so that a shell takes it back; an error in a turn is told, and the next turn is taken."""
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{'tea [/b] ' * 10_000}\nHello\n/quit\n"))
    ended = run("chat", "--thread", MARKUP)
    assert ended.code == 0
    assert "Shorten the message" in ended.told
    assert "Ask me something about your documents" in ended.told
    assert ended.told.endswith(f"--thread '{MARKUP}'")
    assert "Traceback" not in ended.told


@pytest.mark.parametrize(
    "arguments",
    [
        ("ask", "x", "--user", "[/b]*"),
        ("ask", "x", "--model", "no[/b].gguf"),
        ("ingest", "no[/b]folder"),
        ("ask", "x", "--home", f"{__file__}/[/b]"),
        ("no[/b]command",),
        ("serve", "--host", "[/b]"),
        ("demo", "no[/b]folder"),
    ],
)
def test_markup_in_an_argument_is_text(run: Run, arguments: tuple[str, ...]) -> None:
    """An argument that looks like markup comes back in the message, letter for letter."""
    ended = run(*arguments)
    assert ended.code == 2
    assert "[/b]" in ended.told
    assert "Traceback" not in ended.told


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("THREADS", "100000", "less than or equal to 256"),
        ("CONTEXT_LENGTH", "2000000000", "less than or equal to 1048576"),
        ("QDRANT_URL", "nonsense", "does not begin with http:// or https://"),
        ("QDRANT_URL", "http://", "does not begin with http:// or https:// and a host"),
        ("QDRANT_URL", "ftp://127.0.0.1", "does not begin with http:// or https://"),
        ("QDRANT_URL", "http://127.0.0.1:99999", "is not the URL of a Qdrant server"),
        ("QDRANT_URL", "http://[::1", "is not the URL of a Qdrant server"),
        ("QDRANT_URL", "http://a b", "is not the URL of a Qdrant server"),
        ("QDRANT_URL", "http://qdrant.example.org:6333", "FREEHOLD_ALLOWED_HOSTS"),
        ("REDIS_URL", "nonsense", "The Redis URL 'nonsense' cannot be used"),
        ("GUARDRAILS", "/nowhere", "FREEHOLD_GUARDRAILS=/nowhere"),
        ("GUARDRAILS", ".", "holds no YAML file"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(
    run: Run, monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    """Exit code 2, the value that is wrong and what to give instead."""
    monkeypatch.setenv(f"FREEHOLD_{name}", value)
    ended = run("ask", "x")
    assert ended.code == 2
    assert said in ended.told
    assert "Traceback" not in ended.told


@pytest.mark.parametrize("content", ["rails: [", "rails: 7", "colang_version: '9'"])
def test_guardrails_that_are_not_valid_are_the_users_mistake(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str
) -> None:
    """A configuration that cannot be built names its folder, with exit code 2."""
    (tmp_path / "rails").mkdir()
    (tmp_path / "rails" / "config.yml").write_text(content, encoding="utf-8")
    monkeypatch.setenv("FREEHOLD_GUARDRAILS", str(tmp_path / "rails"))
    ended = run("ask", "x")
    assert ended.code == 2
    assert str(tmp_path / "rails") in ended.told


def test_a_qdrant_server_that_is_down_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 1, its URL without the password in it, and what to do."""
    monkeypatch.setenv("FREEHOLD_QDRANT_URL", "http://ada:secret@127.0.0.1:1")
    ended = run("ask", "x")
    assert ended.code == 1
    assert "The Qdrant server at http://127.0.0.1:1 does not answer" in ended.told
    assert "FREEHOLD_QDRANT_URL" in ended.told
    assert "secret" not in ended.told
    assert "Traceback" not in ended.told


def test_a_server_that_is_no_qdrant_is_named(run: Run, monkeypatch: pytest.MonkeyPatch, elsewhere: str) -> None:
    """Another server at that port is told like one that is down."""
    monkeypatch.setenv("FREEHOLD_QDRANT_URL", elsewhere)
    ended = run("ingest", ".")
    assert ended.code == 1
    assert f"The Qdrant server at {elsewhere} does not answer as one" in ended.told


@pytest.mark.parametrize("collection", ["documents", "memories"])
def test_vectors_of_another_embedding_model_are_the_users_to_mend(run: Run, tmp_path: Path, collection: str) -> None:
    """What was stored with a model of another dimension cannot be searched: exit code 2, and what to do."""
    client = EdgeQdrantClient(tmp_path / "home" / "qdrant")
    size = models.VectorParams(size=3, distance=models.Distance.COSINE)
    client.create_collection(collection, {"dense": size} if collection == "documents" else size)
    client.close()
    for command in (("ask", "x"), ("ingest", tmp_path)):
        ended = run(*command)
        assert ended.code == 2
        assert f"{collection} were stored with an embedding model of 3 dimensions" in ended.told
        assert "ingest your documents anew into a new workspace" in ended.told


@pytest.mark.parametrize(
    "arguments",
    [
        ("ingest", ""),
        ("ingest", "docs", " "),
        ("ask", "x", "--home", ""),
        ("ask", "x", "--model", ""),
        ("demo", ""),
    ],
)
def test_an_empty_path_is_not_the_current_folder(run: Run, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """An empty argument, as an unset variable gives it, is refused, and nothing is read or written."""
    (tmp_path / "private.md").write_text("# Not to be read", encoding="utf-8")
    ended = run(*arguments)
    assert ended.code == 2
    assert "the path is empty" in ended.told
    assert [path.name for path in tmp_path.iterdir()] == ["private.md"]


@pytest.mark.parametrize("kept", [0.5, 0.999])
def test_a_truncated_model_is_the_users_to_mend(run: Run, tmp_path: Path, kept: float) -> None:
    """A download that was cut short names its file and says that it is cut short."""
    whole = model_path(DEMO_MODEL).read_bytes()
    (tmp_path / "cut.gguf").write_bytes(whole[: int(len(whole) * kept)])
    ended = run("ask", "x", "--model", "cut.gguf")
    assert ended.code == 2
    assert "cut.gguf" in ended.told
    assert "Traceback" not in ended.told


@pytest.mark.parametrize("traced", [False, True])
def test_an_unexpected_error_is_one_line(run: Run, monkeypatch: pytest.MonkeyPatch, *, traced: bool) -> None:
    """Exit code 1 and one line, which says how to see the traceback; then it is shown."""

    def failing() -> None:
        raise KeyError("first [/b]\nsecond")

    monkeypatch.setattr(app, "registered_commands", [*app.registered_commands])
    app.command("failing")(failing)
    if traced:
        monkeypatch.setenv("FREEHOLD_TRACEBACK", "1")
    ended = run("failing")
    assert ended.code == 1
    assert "freehold: unexpected error: KeyError: 'first [/b]" in ended.told
    assert "FREEHOLD_TRACEBACK=1" in ended.told
    assert ("Traceback" in ended.err) is traced
    assert traced or len(ended.err.splitlines()) == 1
