"""The prebuilt graph that reads documents into the store."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeVar, cast

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime
from typing_extensions import TypedDict

from freehold.context import Context
from freehold.errors import DocumentError
from freehold.memory import Documents, find_documents, load, split
from freehold.nodes.node import Node
from freehold.state import Decision, append

__all__ = ["IngestState", "create_ingest"]

T = TypeVar("T")

_FILES_AT_ONCE = 4
_LEAST_BATCH = 8
_MOST_BATCHES = 50
"""A checkpoint holds the whole state, so a folder of any size is read in about this many steps."""


class Failure(TypedDict):
    """A file that could not be read."""

    source: str
    reason: str


class IngestState(TypedDict, total=False):
    """State of the ingest graph: paths and counts, never text, so that its checkpoints stay small."""

    paths: list[str]
    """Files and folders to read; goes in."""
    pending: list[str]
    """Files still to be read."""
    batch: int
    """Files read in one step."""
    total: int
    """Files to be read in this run."""
    gone: list[str]
    """Documents whose files no longer exist under `paths`."""
    ingested: list[str]
    skipped: list[str]
    """Unchanged since they were read last."""
    removed: list[str]
    failed: list[Failure]
    passages: int
    """Passages written in this run."""
    decisions: Annotated[list[Decision], append]


def _reader() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix="freehold-reader")


@dataclass(frozen=True, eq=False)
class _FileNode(Node):
    """A node that reads files, on a thread of its own."""

    documents: Documents
    reader: ThreadPoolExecutor = field(default_factory=_reader)

    async def _read(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self.reader, call)


class FindFiles(_FileNode):
    """Find the files and compare them with what is stored.

    Reads `paths`; writes everything else of `IngestState` anew.
    """

    async def acall(self, state: Mapping[str, Any], runtime: Runtime[Context]) -> dict[str, Any]:
        """Split the files into unchanged and pending, and find what is gone.

        Raises:
            DocumentError: A path does not exist, or there is none.
        """
        if not state.get("paths"):
            raise DocumentError("No paths were given. Give files and folders as `paths`.")
        roots = _roots(state["paths"])
        stored = await self.documents.sources()
        files, digests = await self._read(lambda: _digests(roots))
        unchanged = [file for file in files if stored.get(file) and stored[file] == digests[file]]
        pending = sorted(set(files) - set(unchanged))
        gone = [source for source in stored if source not in digests and _below(source, roots)]
        return {
            "pending": pending,
            "batch": max(_LEAST_BATCH, -(-len(pending) // _MOST_BATCHES)),
            "total": len(pending),
            "gone": gone,
            "ingested": [],
            "skipped": unchanged,
            "removed": [],
            "failed": [],
            "passages": 0,
            "decisions": [
                {
                    "decision": "found",
                    "reason": f"{len(pending)} of {len(files)} files are new or changed; {len(gone)} are gone.",
                    "score": len(pending),
                }
            ],
        }


class ReadFiles(_FileNode):
    """Read, split, embed and store the next files.

    Reads `pending`; writes it shorter, and `ingested`, `failed` and `passages` longer.

    A file that cannot be read is reported in `failed` and skipped. Each file is one event on the custom stream:
    `{"event": "file", "source", "done", "total", "passages"}`, both counts over the whole run.
    """

    async def acall(self, state: Mapping[str, Any], runtime: Runtime[Context]) -> dict[str, Any]:
        """Read one batch, a few files at a time."""
        batch = state["pending"][: state["batch"]]
        done = state["total"] - len(state["pending"])
        passages = state["passages"]
        reasons: dict[str, str] = {}
        at_once = asyncio.Semaphore(_FILES_AT_ONCE)

        async def read(source: str) -> None:
            nonlocal done, passages
            async with at_once:
                try:
                    document = await self._read(lambda: load(source))
                    split_up = await self._read(lambda: split(document))
                    stored = await self.documents.upsert(source, document.digest, split_up)
                    passages += stored
                except DocumentError as error:
                    reasons[source] = str(error)
            done += 1
            runtime.stream_writer(
                {"event": "file", "source": source, "done": done, "total": state["total"], "passages": passages}
            )

        async with asyncio.TaskGroup() as group:
            for source in batch:
                group.create_task(read(source))
        return {
            "pending": state["pending"][len(batch) :],
            "ingested": [*state["ingested"], *(source for source in batch if source not in reasons)],
            "failed": [
                *state["failed"],
                *({"source": source, "reason": reasons[source]} for source in batch if source in reasons),
            ],
            "passages": passages,
            "decisions": [
                {
                    "decision": "read",
                    "reason": f"{len(batch) - len(reasons)} of {len(batch)} files were read.",
                    "score": passages - state["passages"],
                }
            ],
        }


class RemoveDeleted(_FileNode):
    """Remove the documents whose files are gone. Reads `gone`; writes `removed`."""

    async def acall(self, state: Mapping[str, Any], runtime: Runtime[Context]) -> dict[str, Any]:
        """Remove them one by one; a second try after a kill removes what is left."""
        for source in state["gone"]:
            await self.documents.remove(source)
        return {
            "removed": state["gone"],
            "decisions": [{"decision": "removed", "reason": f"{len(state['gone'])} documents were removed."}],
        }


def create_ingest(
    documents: Documents, *, checkpointer: BaseCheckpointSaver[Any] | None = None
) -> CompiledStateGraph[IngestState, Context, IngestState, IngestState]:
    """A graph that reads the new and the changed files of some paths into `documents`.

        find_files -> read_files (again while files are pending) -> remove_deleted

    The input is `{"paths": [...]}`, the result an `IngestState`; documents are named by their absolute paths. A file is
    unchanged where the SHA-256 of its bytes is. What is stored for a file that no longer exists below one of the paths
    is removed. A run that was killed goes on from its checkpoint with `invoke(None, config)`; a new run also finds what
    is left to do, and neither makes duplicates.

    Args:
        documents: Where the passages go.
        checkpointer: Keeps the run's state after each batch of files; None keeps none.

    Raises:
        DocumentError: When it runs, where a path does not exist.
        StorageError: When it runs, where the store failed.

    Example:
        >>> create_ingest(workspace.documents).invoke({"paths": ["docs"]})["passages"]  # doctest: +SKIP
        215
    """
    graph = StateGraph(IngestState, context_schema=Context)
    for node in (FindFiles(documents), ReadFiles(documents), RemoveDeleted(documents)):
        graph.add_node(node.node, cast("Any", node))  # a node takes any state that has its keys
    graph.add_edge(START, "find_files")
    for name in ("find_files", "read_files"):
        graph.add_conditional_edges(name, _next, ["read_files", "remove_deleted"])
    graph.add_edge("remove_deleted", END)
    return graph.compile(checkpointer=checkpointer, name="ingest")


def _next(state: IngestState) -> str:
    return "read_files" if state["pending"] else "remove_deleted"


def _roots(paths: list[str]) -> list[Path]:
    """Absolute, so that a document has one name whatever folder a run starts in; links stay as they are."""
    return [Path(os.path.normpath(Path(path).expanduser().absolute())) for path in paths]


def _digests(roots: list[Path]) -> tuple[list[str], dict[str, str]]:
    """The files below the roots with their SHA-256, empty where one cannot be read: `load` then says why."""
    digests: dict[str, str] = {}
    for path in find_documents(roots):
        try:
            with path.open("rb") as file:
                digests[str(path)] = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:
            digests[str(path)] = ""
    return list(digests), digests


def _below(source: str, roots: list[Path]) -> bool:
    """Whether a stored document belongs to what this run looked at."""
    path = Path(source)
    return any(path == root or root in path.parents for root in roots)
