"""The workspace's store in a real LangGraph server: graphs have it, nobody else does."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest
from langgraph_sdk import get_sync_client

from freehold import Workspace
from freehold.graphs import serve
from tests.conftest import ROOT
from tests.graphs.test_serve import _server

NOTES = """
from typing import TypedDict

from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime


class State(TypedDict, total=False):
    note: str
    query: str
    found: list[str]
    store: str


async def remember(state: State, runtime: Runtime) -> State:
    if "note" in state:
        await runtime.store.aput(("notes", "ada"), state["note"], {"text": state["note"]})
    found = await runtime.store.asearch(("notes",), query=state["query"], limit=1)
    return {"found": [item.key for item in found], "store": type(runtime.store).__name__}


notes = StateGraph(State)
notes.add_node("remember", remember)
notes.add_edge(START, "remember")
notes.add_edge("remember", END)
graph = notes.compile()
"""


@pytest.mark.slow
def test_a_served_graph_has_the_workspaces_store(tmp_path: Path) -> None:
    """A graph of one's own finds by meaning in a run what another run kept; it stays, and no route gives it away."""
    configuration = json.loads((ROOT / "langgraph.json").read_text(encoding="utf-8"))
    assert configuration["store"] == serve.CONFIGURATION["store"]
    configuration["graphs"]["notes"] = "./notes.py:graph"
    (tmp_path / "langgraph.json").write_text(json.dumps(configuration), encoding="utf-8")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.py").write_text(NOTES, encoding="utf-8")
    command = ["-m", "langgraph_cli", "dev", "--no-browser", "--no-reload", "--n-jobs-per-worker", "10"]
    command += ["--config", str(tmp_path / "langgraph.json")]
    home, note = tmp_path / "home", "The spare key hangs in the shed."
    with _server(command, home, tmp_path / "run") as url, get_sync_client(url=url) as client:
        client.runs.wait(None, "notes", input={"note": "Bees sleep in winter.", "query": "insects"})
        client.runs.wait(None, "notes", input={"note": note, "query": "key"})
        state = client.runs.wait(None, "notes", input={"query": "How do I open the door?"})
        assert state["store"] == "QdrantStore"
        assert state["found"] == [note]
        item = {"namespace": ["notes", "ada"], "key": note, "value": {}}
        assert httpx.get(f"{url}/store/items", params={"namespace": "notes.ada", "key": note}).status_code == 404
        for method, route in (("PUT", "items"), ("DELETE", "items"), ("POST", "items/search"), ("POST", "namespaces")):
            assert httpx.request(method, f"{url}/store/{route}", json=item).status_code == 404
    assert "Traceback" not in (tmp_path / "run" / "log").read_text()
    with Workspace(home) as workspace:
        kept = workspace.store.get(("notes", "ada"), note)
        assert kept is not None
        assert kept.value == {"text": note}
