"""What streams out of a node while it runs, written down in pieces of text."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Collection, Mapping
from typing import Any
from uuid import UUID

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, LLMResult
from langgraph.callbacks import GraphCallbackHandler, GraphResumeEvent
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.types import StreamWriter

from freehold.nodes.replay import words

__all__ = ["CHECKPOINT_NS", "Recorder", "decoded"]

CHECKPOINT_NS = "langgraph_checkpoint_ns"
"""The key of a run's metadata that names the place of a task."""

_MOST_CHARACTERS = 8 * 2**20


def decoded(serde: SerializerProtocol, kind: str, data: str) -> Any:
    """The object in a piece that holds one."""
    return serde.loads_typed((kind, base64.b64decode(data)))


class Recorder(GraphCallbackHandler):
    """Writes down custom events and the tokens of chat models, in their order; `Player` says them again.

    As a callback handler it hears every chat model inside the node; tags such as `nostream` are written down with what
    it says. As a stream writer it hears custom events. It listens only: all of it goes its own way too.

    A piece is a JSON array that begins with its kind: `custom` with an object; `model` with a number and what its run
    is called; `text` and `chunk` with the number and what the model said; `end` with the number and the message's id.

    Args:
        emit: Is given each piece at once.
        serde: Makes bytes of objects.
        checkpoint_ns: Where the node's own task stands; what models of inner graphs say is marked with their place.
        tags: Tags of the node's own run, which are not the models'.
        pieces: Whether pieces are written down; False only watches what the node does.
    """

    run_inline = True

    def __init__(
        self,
        emit: Callable[[str], None],
        serde: SerializerProtocol,
        *,
        checkpoint_ns: str = "",
        tags: Collection[str] = (),
        pieces: bool = True,
    ) -> None:
        self.pieces: list[str] = []
        self.models: list[str] = []
        """Ids of messages that models wrote meanwhile."""
        self.resumed = False
        """Whether an inner graph went on from a checkpoint, so that more than the input went into the result."""
        self.lost = ""
        """What could not be written down, and why."""
        self._emit = emit
        self._serde = serde
        self._checkpoint_ns = checkpoint_ns
        self._tags = frozenset(tags)
        self._records = pieces
        self._lock = threading.Lock()
        self._characters = 0
        self._runs: dict[UUID, tuple[int, bool]] = {}  # the number of a run, and whether it said something yet
        self._started = 0

    def writer(self, other: StreamWriter) -> StreamWriter:
        """A stream writer that writes to another one as well."""

        def write(event: Any) -> None:
            with self._lock:
                self._object(["custom"], event)
            other(event)

        return write if self._records else other

    def on_resume(self, event: GraphResumeEvent) -> None:
        """An inner graph goes on from a checkpoint."""
        self.resumed = True

    def on_chat_model_start(  # noqa: PLR0913 - LangChain's
        self,
        serialized: dict[str, Any],
        messages: list[list[BaseMessage]],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """A model begins."""
        if not self._records:
            return
        called = {
            "name": kwargs.get("name") or (serialized or {}).get("name") or "",
            "tags": [tag for tag in tags or () if tag not in self._tags and not tag.startswith("seq:")],
            "place": self._place(metadata or {}),
        }
        with self._lock:
            self._runs[run_id] = self._started, False
            self._write(["model", self._started, called])
            self._started += 1

    def on_llm_new_token(
        self,
        token: Any,
        *,
        chunk: Any = None,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        **kwargs: Any,
    ) -> None:
        """A model said a piece."""
        if isinstance(chunk, ChatGenerationChunk) and isinstance(chunk.message, AIMessageChunk):
            with self._lock:
                self._say(run_id, chunk.message)

    def on_llm_end(
        self, response: LLMResult, *, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any
    ) -> None:
        """A model is done; where it did not stream, its message is taken in words."""
        generation = response.generations[0][0] if response.generations and response.generations[0] else None
        message = generation.message if isinstance(generation, ChatGeneration) else None
        with self._lock:
            if message is not None and message.id:
                self.models.append(message.id)
            number, spoke = self._runs.get(run_id, (None, True))
            if number is None:
                return
            if not spoke and isinstance(message, AIMessage):
                for word in words(str(message.text)):
                    self._say(run_id, AIMessageChunk(content=word))
                if message.tool_calls:
                    self._say(run_id, _calls(message))
            del self._runs[run_id]
            self._write(["end", number, message.id if message is not None else None])

    def on_llm_error(
        self, error: BaseException, *, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any
    ) -> None:
        """A model failed, and the node may go on without it."""
        with self._lock:
            if (run := self._runs.pop(run_id, None)) is not None:
                self._write(["end", run[0], None])

    def _place(self, metadata: Mapping[str, Any]) -> dict[str, Any] | None:
        """Where in an inner graph a model runs; None where the node itself asks it."""
        place = str(metadata.get(CHECKPOINT_NS, ""))
        inner = place.removeprefix(self._checkpoint_ns)
        if not self._checkpoint_ns or not inner or inner == place:
            return None
        return {key: value for key, value in metadata.items() if key.startswith("langgraph_")} | {CHECKPOINT_NS: inner}

    def _say(self, run_id: UUID, said: AIMessageChunk) -> None:
        number, _ = self._runs.get(run_id, (None, False))
        if number is None:
            return
        more = said.tool_call_chunks or said.additional_kwargs or said.usage_metadata or said.response_metadata
        if isinstance(said.content, str) and not more:
            if not said.content:
                return
            self._write(["text", number, said.content])
        else:
            self._object(["chunk", number], said.model_copy(update={"id": None}))
        self._runs[run_id] = number, True

    def _object(self, head: list[Any], value: Any) -> None:
        try:
            kind, data = self._serde.dumps_typed(value)
        except Exception as error:  # noqa: BLE001 - the node goes on; what it streamed cannot be kept
            self.lost = self.lost or f"A {type(value).__name__} that it streamed cannot be kept: {error}"
            return
        self._write([*head, kind, base64.b64encode(data).decode()])

    def _write(self, piece: list[Any]) -> None:
        if self.lost:
            return
        text = json.dumps(piece, separators=(",", ":"), default=str)
        self._characters += len(text)
        if self._characters > _MOST_CHARACTERS:
            self.lost = "It streamed too much to be kept."
            self.pieces.clear()
            return
        self.pieces.append(text)
        self._emit(text)


def _calls(message: AIMessage) -> AIMessageChunk:
    """The tool calls of a message that did not stream, as a model would stream them."""
    chunks: list[Any] = [
        {
            "name": call["name"],
            "args": json.dumps(call["args"]),
            "id": call["id"],
            "index": index,
            "type": "tool_call_chunk",
        }
        for index, call in enumerate(message.tool_calls)
    ]
    return AIMessageChunk(content="", tool_call_chunks=chunks)
