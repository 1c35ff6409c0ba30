"""What a LangGraph server loads: graphs, checkpointer and store of one workspace, shared by the whole process.

`langgraph.json` names `assistant`, `ingest`, `rag`, `checkpointer` and `store`. The server calls a graph's factory
several times per run, so the graphs are compiled once and handed out again. The workspace is the settings'
(`FREEHOLD_*`), opened on first use in a thread, because opening it blocks; `freehold serve` opens it beforehand and
puts it in with `use`.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from langgraph.graph.state import CompiledStateGraph

if TYPE_CHECKING:
    from freehold.checkpoints import SqliteCheckpointer
    from freehold.memory import QdrantStore
    from freehold.workspace import Workspace

__all__ = ["CONFIGURATION", "allowed_hosts", "assistant", "checkpointer", "hold", "ingest", "rag", "store", "use"]

_Graph = CompiledStateGraph[Any, Any, Any, Any]

CONFIGURATION: dict[str, Any] = {
    "graphs": {
        "assistant": {
            "path": "freehold.graphs.serve:assistant",
            "description": "Answers from the workspace's documents and from what it knows about the user.",
        },
        "ingest": {
            "path": "freehold.graphs.serve:ingest",
            "description": "Reads files and folders into the workspace's documents.",
        },
        "rag": {
            "path": "freehold.graphs.serve:rag",
            "description": "Answers from the workspace's documents alone, or says that they do not hold the answer.",
        },
    },
    "http": {
        "app": "freehold.graphs.server_app:app",
        "disable_a2a": True,
        "disable_mcp": True,
        "disable_store": True,
        "disable_ui": True,
        "disable_webhooks": True,
        "cors": {
            "allow_origins": [],
            "allow_origin_regex": r"https?://(localhost|127\.0\.0\.1|\[::1\])(:[0-9]+)?",
            "allow_methods": ["*"],
            "allow_headers": ["*"],
            "expose_headers": ["content-location", "x-pagination-total", "x-pagination-next"],
        },
    },
    "checkpointer": {"backend": "custom", "path": "freehold.graphs.serve.checkpointer"},
    "store": {"path": "freehold.graphs.serve.store"},
}
"""What `freehold serve` gives the server; `langgraph.json` says the same for `langgraph dev`.

Modules, not files: a file would be loaded a second time, with a second workspace. Agent-to-agent, MCP, web pages,
webhooks are off because Freehold does not use them; the routes of the store are off because the server asks nobody
who they are, and a namespace is all that keeps one user's items from another.
"""


@dataclass
class _Served:
    """The workspace of this process, the graphs made from it, and how many parts of the server hold it."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    workspace: Workspace | None = None
    graphs: dict[str, _Graph] = field(default_factory=dict)
    hosts: tuple[str, ...] = ()
    holders: int = 0

    def open(self, holders: int = 0) -> Workspace:
        """The workspace, with its graphs compiled; blocks the first time."""
        with self.lock:
            if self.workspace is None:
                from freehold.workspace import Workspace

                self.workspace = Workspace()
            if not self.graphs:
                self.graphs = _compile(self.workspace)
            self.holders += holders
            return self.workspace

    def release(self) -> None:
        """Close the workspace where nothing holds it any more."""
        with self.lock:
            self.holders -= 1
            if self.holders > 0 or self.workspace is None:
                return
            workspace, self.workspace, self.graphs = self.workspace, None, {}
            workspace.close()


_served = _Served()


def _compile(workspace: Workspace) -> dict[str, _Graph]:
    """The graphs without a checkpointer of their own: the server puts its own into each run."""
    from freehold.graphs import create_assistant, create_ingest, create_rag

    return {
        "assistant": create_assistant(workspace, checkpointer=False),
        "ingest": create_ingest(workspace.documents),
        "rag": create_rag(workspace, checkpointer=False),
    }


async def _graph(name: str) -> _Graph:
    if name not in _served.graphs:
        await asyncio.to_thread(_served.open)
    return _served.graphs[name]


def use(workspace: Workspace, hosts: Iterable[str] = ()) -> None:
    """Serve this workspace, which is open already, from this process. Loads the models, so that an error comes here.

    Args:
        workspace: Closed when the server ends.
        hosts: Names and addresses, beyond loopback, under which the server may be called.
    """
    _served.workspace, _served.graphs, _served.hosts = workspace, _compile(workspace), tuple(hosts)


def allowed_hosts() -> tuple[str, ...]:
    """Names and addresses, beyond loopback, under which the server may be called."""
    return _served.hosts


@asynccontextmanager
async def hold() -> AsyncIterator[Workspace]:
    """The workspace, kept open until the last holder leaves."""
    workspace = await asyncio.to_thread(_served.open, 1)
    try:
        yield workspace
    finally:
        await asyncio.to_thread(_served.release)


async def assistant() -> _Graph:
    """The assistant on this process's workspace."""
    return await _graph("assistant")


async def ingest() -> _Graph:
    """The ingest graph on this process's workspace."""
    return await _graph("ingest")


async def rag() -> _Graph:
    """The rag graph on this process's workspace."""
    return await _graph("rag")


@asynccontextmanager
async def checkpointer() -> AsyncIterator[SqliteCheckpointer]:
    """The workspace's checkpointer.

    The server enters this before its first run and leaves it behind its last one, so the workspace is open for as long
    as anything runs. A workspace that cannot be opened ends the start of the server, with the reason.
    """
    async with hold() as workspace:
        yield workspace.checkpointer


@asynccontextmanager
async def store() -> AsyncIterator[QdrantStore]:
    """The workspace's store, which the server puts into each run as `runtime.store`.

    It is opened here, before the first run: opening it loads the embedding model.
    """
    async with hold() as workspace:
        yield await asyncio.to_thread(lambda: workspace.store)
