"""An answer that was written before, streamed as a model would stream it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessageChunk, BaseMessage, message_chunk_to_message
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langgraph.config import get_config
from pydantic import PrivateAttr

__all__ = ["Replay", "is_streamed", "words"]

_WORD = re.compile(r"\s*\S+\s*|\s+")


def words(text: str) -> list[str]:
    """The text in the pieces that it streams in.

    Example:
        >>> words("In the shed [1].")
        ['In ', 'the ', 'shed ', '[1].']
    """
    return _WORD.findall(text) or [text]


def is_streamed() -> bool:
    """Whether somebody reads this run's messages as they are written, by LangGraph's stream or LangChain's events.

    Example:
        >>> is_streamed()
        False
    """
    try:
        callbacks = get_config().get("callbacks")
    except RuntimeError:  # outside of a graph
        return False
    return any(hasattr(handler, "tap_output_aiter") for handler in getattr(callbacks, "handlers", None) or ())


class Replay(BaseChatModel):
    """A chat model that says what it is given, so that graphs, tracers and clients see an answer like any other.

    Where somebody streams messages, the pieces go out as they come; otherwise the answer comes as a whole.

    Args:
        pieces: What it says, as text or as a model's own chunks.
        **metadata: The message's `response_metadata`.

    Example:
        >>> import asyncio
        >>> async def given():
        ...     for piece in words("In the shed."):
        ...         yield piece
        >>> asyncio.run(Replay(given()).ainvoke("Where is the key?")).text
        'In the shed.'
    """

    _pieces: AsyncIterator[str | AIMessageChunk] = PrivateAttr()
    _metadata: dict[str, Any] = PrivateAttr()

    def __init__(self, pieces: AsyncIterator[str | AIMessageChunk], **metadata: Any) -> None:
        super().__init__(disable_streaming=False, cache=False)
        self._pieces = pieces
        self._metadata = metadata

    @property
    def _llm_type(self) -> str:
        return "freehold-replay"

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **_: Any,
    ) -> ChatResult:
        said = AIMessageChunk(content="")
        async for piece in self._pieces:
            said += _chunk(piece)
        message = message_chunk_to_message(said).model_copy(update={"response_metadata": self._metadata})
        return ChatResult(generations=[ChatGeneration(message=message)])

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **_: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        async for piece in self._pieces:
            chunk = ChatGenerationChunk(message=_chunk(piece))
            if run_manager is not None:
                await run_manager.on_llm_new_token(str(chunk.message.text), chunk=chunk)
            yield chunk
        yield ChatGenerationChunk(message=AIMessageChunk(content="", response_metadata=self._metadata))

    def _generate(self, *_: Any, **__: Any) -> ChatResult:
        raise NotImplementedError("A replay is awaited: use `ainvoke` or `astream`.")


def _chunk(piece: str | AIMessageChunk) -> AIMessageChunk:
    return AIMessageChunk(content=piece) if isinstance(piece, str) else piece
