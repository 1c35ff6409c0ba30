"""The nodes of the ingest graph."""

from __future__ import annotations

import asyncio
import logging
import os
import uuid
from abc import abstractmethod
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from langgraph.graph import END
from langgraph.runtime import Runtime
from langgraph.types import Command, Overwrite, Send

from freehold.context import Context
from freehold.errors import DocumentError
from freehold.graphs.ingest_files import absolute, compare, content_digest, deal, is_gone, stamp_of
from freehold.graphs.ingest_progress import Progress
from freehold.memory import Documents, LoadedDocument, load, split
from freehold.memory.chunking import PASSAGE_SIZE
from freehold.nodes.node import Node
from freehold.state import Passage

__all__ = ["Chunk", "Embed", "FindFiles", "Load", "RemoveDeleted", "Upsert"]

T = TypeVar("T")

_logger = logging.getLogger(__name__)

_LANES = 3
"""Lanes that work side by side: while one waits for the embedder the others read, split and store."""
_LEAST_STEP = 8
_MOST_STEPS = 50
"""A checkpoint holds all paths of a lane, so a lane of any length ends in about this many steps."""
_IN_HAND = 2 * 2**20
"""Characters of text in hand in a lane, beyond which no further file is loaded."""
_EMBEDDED_AT_ONCE = 256
"""Passages between two progress events; eight of the embedder's slices, so that lanes take turns."""


def _reader() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(2, thread_name_prefix="freehold-reader")


@dataclass(frozen=True, eq=False)
class _IngestNode(Node):
    """What the nodes of one graph share: the store, threads that read files, and the progress."""

    documents: Documents
    size: int = PASSAGE_SIZE
    reader: ThreadPoolExecutor = field(default_factory=_reader)
    progress: Progress = field(default_factory=Progress)

    async def _read(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self.reader, call)


def _reason(source: str, error: Exception) -> str:
    """Why a file was not read. A reader's own mistake ends that file, not the run."""
    if isinstance(error, DocumentError):
        return str(error)
    _logger.error("reading a file failed", exc_info=error)
    return f"{source} cannot be read: {type(error).__name__}: {error}."


class _Routing(_IngestNode):
    """A node that says in one write what it found and what comes next.

    A conditional edge is a write of its own. A run that is cancelled between the two, as the lanes are when one fails,
    would be resumed without the second, and end early.
    """

    @abstractmethod
    def goto(self, update: Mapping[str, Any]) -> Any:
        """Where the update leads."""

    async def _timed(self, state: Mapping[str, Any], runtime: Runtime[Context] | None) -> Any:
        update = await super()._timed(state, runtime)
        return Command(update=update, goto=self.goto(update))


class FindFiles(_Routing):
    """Find the files and compare them with what is stored. Reads `paths`; writes the rest of `IngestState` anew.

    One event goes to the custom stream: `{"event": "found", "total", "skipped", "gone"}`.
    """

    async def acall(self, state: Mapping[str, Any], runtime: Runtime[Context]) -> dict[str, Any]:
        """Split the files into unchanged and pending, and find what is gone.

        Raises:
            DocumentError: A path does not exist and nothing is stored of it, or there is no path.
        """
        if not state.get("paths"):
            raise DocumentError("No paths were given. Give files and folders as `paths`.")
        roots = absolute(state["paths"])
        stored = await self.documents.stored()
        found = await self._read(lambda: compare(roots, stored, self.size, self.documents.model_id))
        await self.documents.restamp(found.stamps)
        lanes = deal(found.pending, found.sizes, _LANES)
        run, total = uuid.uuid4().hex, len(found.pending)
        self.progress.begin(run, {number: len(lane) for number, lane in enumerate(lanes)})
        counts = {"total": total, "skipped": len(found.unchanged), "gone": len(found.gone)}
        runtime.stream_writer({"event": "found", **counts})
        return {
            "run": run,
            "lanes": lanes,
            "total": total,
            "gone": found.gone,
            "skipped": found.unchanged,
            "ingested": None,
            "failed": Overwrite(found.failed),
            "passages": None,
            "removed": [],
            "decisions": [
                {
                    "decision": "found",
                    "reason": f"{total} of {total + len(found.unchanged)} files are new or changed; "
                    f"{len(found.gone)} are gone.",
                    "score": total,
                }
            ],
        }

    def goto(self, update: Mapping[str, Any]) -> Any:
        """To the lanes, each with its files."""
        lanes = [
            Send(
                "ingest_files",
                {
                    "run": update["run"],
                    "lane": number,
                    "total": update["total"],
                    "pending": files,
                    "step": -(-len(files) // _MOST_STEPS),
                },
            )
            for number, files in enumerate(update["lanes"])
        ]
        return lanes or "remove_deleted"


class _LaneNode(_IngestNode):
    """A node of a lane, which makes again what it needs and a kill has taken from memory."""

    async def _documents(self, state: Mapping[str, Any], *, anew: bool = False) -> list[Any]:
        """The lane's next files, until there are `step` of them or enough text is in hand."""
        if not anew and "documents" in state:
            return list(state["documents"])
        pending = state["pending"]
        self.progress.begin(state["run"], {state["lane"]: len(pending)})
        taken: list[tuple[LoadedDocument, str] | str] = []
        characters = 0
        for source in pending[: max(_LEAST_STEP, state["step"])]:
            one = await self._read(lambda source=source: self._load(source))  # type: ignore[misc]
            taken.append(one)
            characters += len(one[0].text) if isinstance(one, tuple) else 0
            if characters >= _IN_HAND:
                break
        return taken

    async def _chunks(self, state: Mapping[str, Any], documents: list[Any], *, anew: bool = False) -> list[Any]:
        if not anew and "chunks" in state:
            return list(state["chunks"])
        return [
            one if isinstance(one, str) else await self._read(lambda one=one: self._split(one[0]))  # type: ignore[misc]
            for one in documents
        ]

    async def _vectors(
        self, state: Mapping[str, Any], chunks: list[Any], runtime: Runtime[Context], *, anew: bool = False
    ) -> list[Any]:
        if not anew and "vectors" in state:
            return list(state["vectors"])
        lists = [[] if isinstance(chunk, str) else chunk for chunk in chunks]
        passages = [passage for chunk in lists for passage in chunk]
        parts = []
        for start in range(0, len(passages), _EMBEDDED_AT_ONCE):
            parts.append(await self.documents.embed(passages[start : start + _EMBEDDED_AT_ONCE]))
            runtime.stream_writer({"event": "embedded", "passages": len(parts[-1])})
        rows = np.concatenate(parts) if parts else np.empty((0, 1), dtype=np.float32)
        return np.split(rows, np.cumsum([len(chunk) for chunk in lists])[:-1])

    @staticmethod
    def _load(source: str) -> tuple[LoadedDocument, str] | str:
        try:
            # The stamp is the older one: what changes in between makes the next run look into the file.
            stamp = stamp_of(os.stat(source))  # noqa: PTH116 - what is no path is an OSError here
            return load(source), stamp
        except OSError as error:
            return f"{source} cannot be read: {error.strerror or error}."
        except Exception as error:  # noqa: BLE001 - the libraries meet damaged files with errors of every kind
            return _reason(source, error)

    def _split(self, document: LoadedDocument) -> list[Passage] | str:
        try:
            return split(document, size=self.size, count_tokens=self.documents.count_tokens)
        except Exception as error:  # noqa: BLE001 - as in `_load`
            return _reason(document.source, error)


class Load(_LaneNode):
    """Load the lane's next files. Reads `pending`; writes `documents`.

    A file that cannot be read leaves its reason in its place.
    """

    async def acall(self, state: Mapping[str, Any], runtime: Runtime[Context]) -> dict[str, Any]:
        """Load one file after the other, off the event loop."""
        documents = await self._documents(state, anew=True)
        bad = sum(isinstance(one, str) for one in documents)
        return {
            "documents": documents,
            "decisions": [
                {"decision": "loaded", "reason": f"{len(documents) - bad} files were loaded, {bad} could not be."}
            ],
        }


class Chunk(_LaneNode):
    """Split the documents in hand. Reads `documents`; writes `chunks`.

    These are the passages of each document, or the reason why there are none.
    """

    async def acall(self, state: Mapping[str, Any], runtime: Runtime[Context]) -> dict[str, Any]:
        """Split one document after the other, off the event loop."""
        documents = await self._documents(state)
        chunks = await self._chunks(state, documents, anew=True)
        count = sum(len(chunk) for chunk in chunks if not isinstance(chunk, str))
        return {
            "documents": documents,
            "chunks": chunks,
            "decisions": [{"decision": "split", "reason": f"They make {count} passages.", "score": count}],
        }


class Embed(_LaneNode):
    """Embed the passages in hand, those of all files together. Reads `chunks`; writes `vectors`.

    Each part is one event on the custom stream: `{"event": "embedded", "passages"}`.
    """

    async def acall(self, state: Mapping[str, Any], runtime: Runtime[Context]) -> dict[str, Any]:
        """Embed in parts, between which other lanes and searches get their turn."""
        documents = await self._documents(state)
        chunks = await self._chunks(state, documents)
        vectors = await self._vectors(state, chunks, runtime, anew=True)
        count = sum(map(len, vectors))
        return {
            "documents": documents,
            "chunks": chunks,
            "vectors": vectors,
            "decisions": [{"decision": "embedded", "reason": f"{count} passages were embedded.", "score": count}],
        }


class Upsert(_Routing, _LaneNode):
    """Store the documents in hand. Reads `documents`, `chunks` and `vectors`; takes them from `pending`.

    Writes `ingested`, `failed` and `passages` longer. Each file is one event on the custom stream:
    `{"event": "file", "source", "done", "total", "passages", "reason"}`, `done` and `passages` counted over the whole
    run, `reason` None where the file was read.
    """

    async def acall(self, state: Mapping[str, Any], runtime: Runtime[Context]) -> dict[str, Any]:
        """Store one document after the other; storing one again changes nothing."""
        documents = await self._documents(state)
        chunked = await self._chunks(state, documents)
        work = zip(documents, chunked, await self._vectors(state, chunked, runtime), strict=True)
        model = await self._read(lambda: self.documents.model_id)
        ingested, failed = [*state.get("ingested", ())], [*state.get("failed", ())]
        passages = state.get("passages", 0)
        for source, (loaded, chunks, vectors) in zip(state["pending"], work, strict=False):
            stored, reason = 0, chunks if isinstance(chunks, str) else None
            if reason is None:
                try:
                    document, stamp = loaded
                    digest = content_digest(document.digest, self.size, model)
                    stored = await self.documents.upsert(source, digest, chunks, vectors=vectors, stamp=stamp)
                except DocumentError as error:
                    reason = str(error)
            if reason is None:
                ingested.append(source)
                passages += stored
            else:
                failed.append({"source": source, "reason": reason})
            lane = {"run": state["run"], "lane": state["lane"], "total": state["total"]}
            runtime.stream_writer({"event": "file", "source": source, "passages": stored, "reason": reason, **lane})
        return {
            "pending": state["pending"][len(documents) :],
            "ingested": ingested,
            "failed": failed,
            "passages": passages,
            "decisions": [
                {
                    "decision": "stored",
                    "reason": f"Lane {state['lane']} stored {passages} passages of {len(ingested)} files; "
                    f"{len(failed)} files could not be read.",
                    "score": passages,
                }
            ],
        }

    def goto(self, update: Mapping[str, Any]) -> str:
        """To `load` while the lane has files."""
        return "load" if update["pending"] else END


class RemoveDeleted(_IngestNode):
    """Remove the documents whose files are gone. Reads `gone`; writes `removed`.

    A file that came back since it was looked for, as it may before a run is resumed, keeps its document.
    """

    async def acall(self, state: Mapping[str, Any], runtime: Runtime[Context]) -> dict[str, Any]:
        """Remove them one by one; a second try after a kill removes what is left."""
        self.progress.end(state["run"])
        removed = []
        for source in state["gone"]:
            if await self._read(lambda source=source: is_gone(source)):  # type: ignore[misc]
                await self.documents.remove(source)
                removed.append(source)
        await self.documents.flush()  # the run is about to be called complete
        return {
            "lanes": [],
            "removed": removed,
            "decisions": [{"decision": "removed", "reason": f"{len(removed)} documents were removed."}],
        }
