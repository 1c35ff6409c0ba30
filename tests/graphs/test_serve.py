"""The real LangGraph server, started both ways, talked to with the LangGraph SDK."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from langgraph_sdk import get_sync_client
from langgraph_sdk.client import SyncLangGraphClient

from freehold import Workspace
from freehold.graphs import serve
from tests.conftest import QUESTION, ROOT
from tests.one_answer import comparable, imported

PRIVATE = "ada.lovelace@example.org"
DEV = ["-m", "langgraph_cli", "dev", "--no-browser", "--no-reload", "--config", str(ROOT / "langgraph.json")]
DEV += ["--n-jobs-per-worker", "10"]
FREEHOLD = ["-c", "from freehold.cli.app import main; main()", "serve"]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def _server(command: list[str], home: Path, folder: Path) -> Iterator[str]:
    """The URL of a server on the workspace `home`; its process group ends with the block, however that ends."""
    port = _free_port()
    folder.mkdir(exist_ok=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FREEHOLD_")}
    environment |= {"FREEHOLD_HOME": str(home), "LANGGRAPH_CLI_NO_ANALYTICS": "1", "PYTHONUNBUFFERED": "1"}
    with (folder / "log").open("a") as log:
        process = subprocess.Popen(
            [sys.executable, *command, "--port", str(port)],
            cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        _wait(url, process, folder / "log")
        yield url
    finally:
        _stop(process)


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"{url}/ok", timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    pytest.fail(f"The server did not start:\n{log.read_text()[-4000:]}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
        os.killpg(process.pid, signal.SIGINT)
        process.wait(30)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # whatever is left of the group
    process.wait(10)


@pytest.fixture(scope="module")
def dev(ingested: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of one `langgraph dev` for every test of this module, on a workspace with the documents in it."""
    base = tmp_path_factory.mktemp("dev")
    shutil.copytree(ingested, base / "home")
    with _server(DEV, base / "home", base / "run") as url:
        yield url


@pytest.fixture
def client(dev: str) -> Iterator[SyncLangGraphClient]:
    """The SDK's client of that server."""
    with get_sync_client(url=dev) as found:
        yield found


def _input(question: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": question}]}


def test_langgraph_json_says_what_freehold_serve_does() -> None:
    """Both ways to start the server serve the same graphs, protected alike."""
    configuration = json.loads((ROOT / "langgraph.json").read_text(encoding="utf-8"))
    assert {name: configuration[name] for name in serve.CONFIGURATION} == serve.CONFIGURATION


@pytest.mark.slow
def test_a_run_answers_as_the_imported_assistant_does(
    client: SyncLangGraphClient, ingested: Path, tmp_path: Path
) -> None:
    """The server gives the answer, citations, route and decisions that `invoke` gives on the same documents."""
    shutil.copytree(ingested, tmp_path / "home")
    thread = client.threads.create()
    state = client.runs.wait(thread["thread_id"], "assistant", input=_input(QUESTION), context={"user_id": "same"})
    assert state["citations"]
    assert comparable(state) == comparable(imported(tmp_path / "home", QUESTION, user="same"))


@pytest.mark.slow
def test_tokens_stream(client: SyncLangGraphClient) -> None:
    """The answer arrives in pieces while it is generated, and the pieces are the answer."""
    thread = client.threads.create()
    parts: list[str] = []
    for event in client.runs.stream(
        thread["thread_id"], "assistant", input=_input(QUESTION), context={"user_id": "stream"},
        stream_mode="messages-tuple",
    ):  # fmt: skip
        assert event.event != "error", event.data
        if event.event != "messages":
            continue
        message, metadata = event.data
        if metadata.get("langgraph_node") == "generate" and message["type"] == "AIMessageChunk":
            parts.append(message["content"])
    state = client.threads.get_state(thread["thread_id"])["values"]
    assert len(parts) > 3
    assert state["answer"] in "".join(parts)


@pytest.mark.slow
def test_a_run_stops_before_a_node_and_goes_on(client: SyncLangGraphClient) -> None:
    """An interrupted run keeps its finished nodes in the checkpoint and does not run them again."""
    thread = client.threads.create()["thread_id"]
    client.runs.wait(
        thread, "assistant", input=_input(QUESTION), context={"user_id": "stop"}, interrupt_before=["generate"]
    )
    state = client.threads.get_state(thread)
    before = [decision["node"] for decision in state["values"]["decisions"]]
    assert state["next"] == ["generate"]
    assert "retrieve" in before
    resumed = client.runs.wait(thread, "assistant", input=None, context={"user_id": "stop"})
    after = [decision["node"] for decision in resumed["decisions"]]
    assert after[: len(before)] == before
    assert after.count("retrieve") == 1
    assert "boiler" in resumed["answer"].lower()


@pytest.mark.slow
def test_documents_are_ingested(client: SyncLangGraphClient, tmp_path: Path) -> None:
    """The ingest graph reads a folder, and the assistant answers from it at once."""
    (tmp_path / "bees.md").write_text("# Bees\n\nThe beehives stand behind the orchard wall.\n", encoding="utf-8")
    result = client.runs.wait(None, "ingest", input={"paths": [str(tmp_path)]})
    assert len(result["ingested"]) == 1
    state = client.runs.wait(
        None, "assistant", input=_input("Where do the beehives stand?"), context={"user_id": "bee"}
    )
    assert any(citation["source"].endswith("bees.md") for citation in state["citations"])


@pytest.mark.slow
def test_two_users_do_not_share_memories(client: SyncLangGraphClient) -> None:
    """The user comes from the run's context, also through the server."""
    for user in ("carol", "dave"):
        if user == "carol":
            client.runs.wait(None, "assistant", input=_input("My name is Carol."), context={"user_id": user})
        state = client.runs.wait(None, "assistant", input=_input("What is my name?"), context={"user_id": user})
        assert bool(state["memories"]) is (user == "carol")


@pytest.mark.slow
def test_metrics_and_closed_routes(dev: str, client: SyncLangGraphClient) -> None:
    """`/metrics` holds Freehold's metrics beside the server's, and nobody can erase the server's data."""
    client.runs.wait(None, "assistant", input=_input(QUESTION), context={"user_id": "metrics"})
    lines = httpx.get(f"{dev}/metrics").text.splitlines()
    for name in (
        'freehold_requests_total{graph="assistant"}',
        "freehold_request_duration_seconds_count",
        'freehold_node_duration_seconds_count{node="generate"}',
        "freehold_cache_lookups_total",
        "freehold_guardrail_verdicts_total",
        "freehold_tokens_generated_total",
        "freehold_resident_memory_bytes",
    ):
        assert any(line.startswith(name) for line in lines), name
    thread = client.threads.create()["thread_id"]
    assert httpx.post(f"{dev}/internal/truncate").status_code == 404
    assert httpx.get(f"{dev}/internal/debug/thread/{thread}").status_code == 404
    assert httpx.get(f"{dev}/deploy").status_code == 404
    assert httpx.get(f"{dev}/threads/{thread}", headers={"origin": "https://evil.example"}).status_code == 403
    assert httpx.get(f"{dev}/threads/{thread}", headers={"host": "evil.example"}).status_code == 400
    assert client.threads.get(thread)["thread_id"] == thread


@pytest.mark.slow
def test_the_documented_calls_work(dev: str) -> None:
    """What docs/serving.md shows runs as it stands there."""
    text = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")
    snippets = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(snippets) == 2
    for snippet in snippets:
        assert "http://127.0.0.1:2024" in snippet
        exec(compile(snippet.replace("http://127.0.0.1:2024", dev), "docs/serving.md", "exec"), {})


@pytest.mark.slow
def test_freehold_serve_keeps_threads_but_no_personal_data(ingested: Path, tmp_path: Path) -> None:
    """`freehold serve` works from any folder, and a thread outlives it, masked, with nothing raw on the disk."""
    home, folder = tmp_path / "home", tmp_path / "run"
    shutil.copytree(ingested, home)
    message = f"My e-mail is {PRIVATE}. {QUESTION}"
    with _server(FREEHOLD, home, folder) as url, get_sync_client(url=url) as client:
        thread = client.threads.create()["thread_id"]
        state = client.runs.wait(thread, "assistant", input=_input(message), context={"user_id": "ada"})
        assert PRIVATE not in state["answer"]
        assert "freehold_requests_total" in httpx.get(f"{url}/metrics").text
        assert httpx.post(f"{url}/internal/truncate").status_code == 404
    holding = [path for path in tmp_path.rglob("*") if path.is_file() and PRIVATE.encode() in path.read_bytes()]
    assert holding == []
    assert "Traceback" not in (folder / "log").read_text()
    with _server(FREEHOLD, home, folder) as url, get_sync_client(url=url) as client:
        client.threads.create(thread_id=thread, graph_id="assistant", if_exists="do_nothing")
        assert client.threads.get_state(thread)["values"]["answer"] == state["answer"]


@pytest.mark.slow
def test_a_taken_workspace_is_one_plain_message(ingested: Path, tmp_path: Path) -> None:
    """A second process on a workspace, or on a port, ends with exit code 2 and no traceback."""
    shutil.copytree(ingested, tmp_path / "home")
    command = [sys.executable, *FREEHOLD, "--home", str(tmp_path / "home")]
    with Workspace(tmp_path / "home"):
        locked = subprocess.run([*command, "--port", str(_free_port())], check=False, capture_output=True, text=True)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        busy = subprocess.run([*command, "--port", port], check=False, capture_output=True, text=True)
    for ended, words in ((locked, "in use by process"), (busy, f"127.0.0.1:{port} cannot be listened on")):
        assert ended.returncode == 2
        assert words in ended.stderr
        assert "Traceback" not in ended.stderr
