"""What a node streamed in an earlier run, streamed again in this one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.config import get_stream_writer
from langgraph.types import StreamWriter

from freehold.nodes.recording import CHECKPOINT_NS, decoded
from freehold.nodes.replay import Replay, is_streamed

__all__ = ["Player"]


class Player:
    """Says the pieces of a `Recorder` again, in order: custom events to this run's stream writer, tokens by models.

    It works in the node that calls it, so that whoever streams sees this node and this run. Where nobody streams
    messages, no model speaks.

    Args:
        serde: Reads the objects.
        checkpoint_ns: Where the node's own task stands; what models of inner graphs said comes from below it.

    Attributes:
        ids: The new id of each message that a model said again, by its old one.
    """

    def __init__(self, serde: SerializerProtocol, checkpoint_ns: str = "") -> None:
        self.ids: dict[str, str] = {}
        self._serde = serde
        self._checkpoint_ns = checkpoint_ns
        self._writer = _writer()
        self._streamed = is_streamed()
        self._voices: dict[int, _Voice] = {}

    async def play(self, piece: str) -> None:
        """Say one piece, and come back when it has been said."""
        match json.loads(piece):
            case ["custom", kind, data]:
                self._writer(decoded(self._serde, kind, data))
            case ["model", number, called] if self._streamed:
                await self._end(number)  # its leader gave up, and another one begins anew
                self._voices[number] = _Voice(self._config(called))
            case ["text", number, text] if number in self._voices:
                await self._voices[number].say(text)
            case ["chunk", number, kind, data] if number in self._voices:
                await self._voices[number].say(decoded(self._serde, kind, data))
            case ["end", number, old]:
                message = await self._end(number)
                if old and message is not None and message.id:
                    self.ids[old] = message.id

    async def finish(self) -> None:
        """Let every model that still speaks come to its end."""
        for number in list(self._voices):
            await self._end(number)

    def stop(self) -> None:
        """Break off, as when the run is cancelled."""
        for voice in self._voices.values():
            voice.stop()

    async def _end(self, number: int) -> BaseMessage | None:
        voice = self._voices.pop(number, None)
        return None if voice is None else await voice.end()

    def _config(self, called: dict[str, Any]) -> RunnableConfig:
        config = RunnableConfig(tags=called["tags"])
        if called["name"]:
            config["run_name"] = called["name"]
        if place := called["place"]:
            config["metadata"] = {**place, CHECKPOINT_NS: self._checkpoint_ns + place[CHECKPOINT_NS]}
        return config


class _Voice:
    """A model that is speaking."""

    def __init__(self, config: RunnableConfig) -> None:
        self._pieces: asyncio.Queue[str | AIMessageChunk | None] = asyncio.Queue()
        self._speaking = asyncio.create_task(Replay(self._said(), cached=True).ainvoke("", config))

    async def say(self, piece: str | AIMessageChunk) -> None:
        """Say a piece; when this comes back, every callback has heard it."""
        self._pieces.put_nowait(piece)
        heard = asyncio.ensure_future(self._pieces.join())
        try:
            await asyncio.wait((heard, self._speaking), return_when=asyncio.FIRST_COMPLETED)
        finally:
            heard.cancel()

    async def end(self) -> BaseMessage:
        """Say no more; the message that came of it."""
        self._pieces.put_nowait(None)
        try:
            return await self._speaking
        finally:
            self.stop()

    def stop(self) -> None:
        """Break off."""
        self._speaking.cancel()

    async def _said(self) -> AsyncIterator[str | AIMessageChunk]:
        while (piece := await self._pieces.get()) is not None:
            yield piece
            self._pieces.task_done()


def _writer() -> StreamWriter:
    try:
        return get_stream_writer()
    except (RuntimeError, KeyError):  # outside of a graph nobody listens
        return lambda _: None
