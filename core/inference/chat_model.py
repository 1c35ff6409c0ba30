"""The engine as a LangChain chat model."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.output_parsers import BaseOutputParser, JsonOutputParser, PydanticOutputParser
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableMap, RunnablePassthrough
from langchain_core.utils.function_calling import convert_to_json_schema
from langchain_core.utils.pydantic import is_basemodel_subclass
from pydantic import BaseModel, ConfigDict, Field

from freehold.errors import UserError
from freehold.inference.chat_messages import json_schema_of, to_chat
from freehold.inference.engine import Engine
from freehold.inference.generation import GenerationChunk, GenerationRequest, GenerationResult
from freehold.portal import run_sync

__all__ = ["ChatLlama"]

_OPTIONS = frozenset({"max_tokens", "temperature", "top_p", "top_k", "min_p", "seed", "grammar"})
_IGNORED = frozenset({"stream", "ls_structured_output_format", "structured_output_format"})


class ChatLlama(BaseChatModel):
    """A local model as a LangChain chat model: asynchronous, streaming, with structured output forced by grammar.

    Every field but `engine` can also be given to `invoke`, `stream` and `bind`; so can `response_format`
    (`{"type": "json_object", "schema": {...}}`). The final message carries `usage_metadata`, and in `response_metadata`
    the model's name, the finish reason, `prefill_seconds`, `seconds` and `tokens_per_second`.

    Raises:
        ContextLengthError: The messages do not fit the model's context.
        EngineBusyError: The engine's queue is full.
        InferenceError: The model failed, or refuses the messages' roles.
        UserError: An option or a message holds something that cannot be used.

    Example:
        >>> model = ChatLlama(engine=Engine("model.gguf"))  # doctest: +SKIP
        >>> model.invoke("Hello").text  # doctest: +SKIP
        'Hello! Ask me about your documents.'
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    engine: Engine = Field(exclude=True)
    """The model and the thread that owns it."""
    max_tokens: int = 512
    """Most tokens in an answer."""
    temperature: float = 0.0
    """0 always takes the likeliest token."""
    top_p: float = 1.0
    top_k: int = 40
    min_p: float = 0.0
    seed: int | None = None
    """Makes sampling repeatable."""
    stop: list[str] | None = None
    """Strings that end an answer."""

    @property
    def _llm_type(self) -> str:
        return "freehold-llama"

    @property
    def _identifying_params(self) -> Mapping[str, Any]:
        return {
            "model_name": self.engine.model_name,
            **{name: getattr(self, name) for name in sorted(_OPTIONS - {"grammar"})},
        }

    def get_token_ids(self, text: str) -> list[int]:
        """Tokens of a text, by this model's own vocabulary."""
        return self.engine.tokenize(text)

    def get_num_tokens_from_messages(self, messages: list[BaseMessage], tools: Sequence[Any] | None = None) -> int:
        """Tokens that these messages take in a prompt, the chat form included."""
        if tools:
            raise UserError("ChatLlama puts no tools into its prompt, so it cannot count them: leave tools out.")
        return self.engine.count_tokens(self.engine.render(to_chat(messages)))

    async def fits(self, messages: list[BaseMessage]) -> bool:
        """Whether there is room for an answer: `max_tokens`, or a quarter of the context where that is less."""
        context = self.engine.context_length
        tokens = await self.engine.acount_tokens(await self.engine.arender(to_chat(messages)))
        return tokens + min(self.max_tokens, context // 4) <= context

    async def _request(
        self, messages: list[BaseMessage], stop: list[str] | None, options: dict[str, Any]
    ) -> GenerationRequest:
        options = {name: value for name, value in options.items() if name not in _IGNORED and value is not None}
        schema = json_schema_of(options.pop("response_format", None))
        unknown = sorted(options.keys() - _OPTIONS)
        if unknown:
            raise UserError(
                f"ChatLlama does not know the option {', '.join(unknown)}; it knows {', '.join(sorted(_OPTIONS))}."
            )
        values = {name: getattr(self, name) for name in _OPTIONS - {"grammar"}} | options
        return GenerationRequest(
            prompt=await self.engine.arender(to_chat(messages)),
            stop=tuple(stop if stop is not None else self.stop or ()),
            json_schema=schema,
            **values,
        )

    def _metadata(self, result: GenerationResult | GenerationChunk) -> dict[str, Any]:
        decoding = result.seconds - result.prefill_seconds
        return {
            "model_name": self.engine.model_name,
            "finish_reason": result.finish_reason,
            "prefill_seconds": result.prefill_seconds,
            "seconds": result.seconds,
            "tokens_per_second": result.completion_tokens / decoding if decoding > 0 else 0.0,
        }

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,  # noqa: ARG002 - LangChain's signature
        **kwargs: Any,
    ) -> ChatResult:
        result = await self.engine.generate(await self._request(messages, stop, kwargs))
        message = AIMessage(
            content=result.text, usage_metadata=_usage(result), response_metadata=self._metadata(result)
        )
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,  # noqa: ARG002 - LangChain's signature
        **kwargs: Any,
    ) -> ChatResult:
        return run_sync(self._agenerate(messages, stop, **kwargs))

    async def _chunks(
        self, messages: list[BaseMessage], stop: list[str] | None, options: dict[str, Any]
    ) -> AsyncIterator[ChatGenerationChunk]:
        """The answer in pieces; the last one carries usage and timings."""
        pieces = self.engine.stream(await self._request(messages, stop, options))
        try:
            async for piece in pieces:
                message = AIMessageChunk(content=piece.text)
                if piece.finish_reason is not None:
                    message = AIMessageChunk(
                        content=piece.text,
                        usage_metadata=_usage(piece),
                        response_metadata=self._metadata(piece),
                        chunk_position="last",
                    )
                yield ChatGenerationChunk(message=message)
        finally:
            # Without this a caller who leaves early would keep the engine at work until the garbage collector comes.
            await pieces.aclose()

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        chunks: Any = self._chunks(messages, stop, kwargs)
        try:
            async for chunk in chunks:
                if run_manager is not None:
                    await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                yield chunk
        finally:
            await chunks.aclose()

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        chunks: Any = self._chunks(messages, stop, kwargs)
        try:
            while (chunk := run_sync(_next_or_none(chunks))) is not None:
                if run_manager is not None:
                    run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                yield chunk
        finally:
            run_sync(chunks.aclose())

    def with_structured_output(
        self, schema: dict[str, Any] | type, *, include_raw: bool = False, **kwargs: Any
    ) -> Runnable[LanguageModelInput, dict[str, Any] | BaseModel]:
        """A runnable whose answer is an object of this schema, forced by a grammar.

        Args:
            schema: A pydantic model or TypedDict, or a JSON schema.
            include_raw: Give `{"raw", "parsed", "parsing_error"}`, so that an answer cut off by `max_tokens` is seen.
            **kwargs: `method` and `strict` are accepted and change nothing.

        Raises:
            UserError: The schema cannot be turned into a grammar; raised when the runnable runs.
        """
        unknown = kwargs.keys() - {"method", "strict"}
        if unknown:
            raise UserError(f"with_structured_output does not know {', '.join(sorted(unknown))}.")
        form = convert_to_json_schema(schema)
        model: Runnable[LanguageModelInput, AIMessage] = self.bind(
            response_format={"type": "json_object", "schema": form},
            ls_structured_output_format={"kwargs": {"method": "json_schema"}, "schema": form},
        )
        parser: BaseOutputParser[Any]
        if isinstance(schema, type) and is_basemodel_subclass(schema):
            parser = PydanticOutputParser(pydantic_object=schema)
        else:
            parser = JsonOutputParser()
        if not include_raw:
            return model | parser
        parsed = RunnablePassthrough.assign(parsed=itemgetter("raw") | parser, parsing_error=lambda _: None)
        failed = RunnablePassthrough.assign(parsed=lambda _: None)
        return RunnableMap(raw=model) | parsed.with_fallbacks([failed], exception_key="parsing_error")


def _usage(result: GenerationResult | GenerationChunk) -> UsageMetadata:
    return UsageMetadata(
        input_tokens=result.prompt_tokens,
        output_tokens=result.completion_tokens,
        total_tokens=result.prompt_tokens + result.completion_tokens,
    )


async def _next_or_none(chunks: AsyncIterator[ChatGenerationChunk]) -> ChatGenerationChunk | None:
    return await anext(chunks, None)
