"""The engine as a LangChain chat model."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, BaseRunManager, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.output_parsers import BaseOutputParser, JsonOutputParser, PydanticOutputParser
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableMap, RunnablePassthrough
from langchain_core.runnables.config import ensure_config
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_json_schema
from langchain_core.utils.pydantic import is_basemodel_subclass
from pydantic import BaseModel, ConfigDict, Field

from freehold.errors import UserError
from freehold.inference.chat_messages import json_schema_of, to_chat
from freehold.inference.chat_options import logprobs_content, request_options, usage_of
from freehold.inference.chat_template import template_source, tool_form
from freehold.inference.engine import Engine
from freehold.inference.generation import GenerationChunk, GenerationRequest, GenerationResult
from freehold.inference.named_templates import NAMED_TEMPLATES
from freehold.inference.tool_call_stream import ToolCallStream
from freehold.inference.tool_calls import ToolUse, content_and_chunks, parsed_calls, tool_use
from freehold.inference.tool_grammar import text_grammar, tool_grammar
from freehold.portal import run_sync

__all__ = ["ChatLlama"]

_FIELDS = frozenset(
    {
        "max_tokens",
        "temperature",
        "top_p",
        "top_k",
        "min_p",
        "seed",
        "repeat_penalty",
        "frequency_penalty",
        "presence_penalty",
        "logit_bias",
        "logprobs",
        "top_logprobs",
        "timeout",
        "priority",
        "lookup",
    }
)
_OPTIONS = _FIELDS | {"grammar", "chat_template", "response_format"}
_TOOLS = frozenset({"tools", "tool_choice", "parallel_tool_calls", "strict"})
_IGNORED = frozenset({"stream", "ls_structured_output_format", "structured_output_format"})
_METHODS = ("json_schema", "function_calling", "json_mode")


class ChatLlama(BaseChatModel):
    """A local model as a LangChain chat model: asynchronous, streaming, with tool calls and structured output.

    Every field but `engine` can also be given to `invoke`, `stream` and `bind`; so can `response_format`
    (`{"type": "json_object", "schema": {...}}`) and what `bind_tools` takes. The final message carries
    `usage_metadata`, and in `response_metadata` the model's name, the finish reason (`tool_calls` where tools were
    called), `prefill_seconds`, `seconds`, `tokens_per_second`, and `logprobs` where they were asked for.

    A run's `thread_id` names the conversation to the engine, which may then keep its keys and values.

    Raises:
        ContextLengthError: The messages do not fit the model's context.
        DeadlineError: `timeout` passed before the answer was whole.
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
    """Strings that end an answer; not heeded where a tool must be called."""
    repeat_penalty: float = 1.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    logit_bias: dict[int, float] | None = None
    """Added to the logits of single tokens."""
    logprobs: bool = False
    """Report each token's log-probability."""
    top_logprobs: int | None = None
    """And those of so many of the likeliest tokens beside it, at most 20."""
    timeout: float | None = None
    """Seconds that an answer may take, waiting included."""
    priority: int = 0
    """Higher ones leave the engine's queue first."""
    lookup: bool = True
    """Draft tokens from what was said after the same words before; changes the speed only."""
    may_keep: Callable[[str], bool] | None = Field(default=None, exclude=True)
    """Whether what a user says may lie on disk among a conversation's keys and values; None allows all."""
    chat_template: str | None = None
    """Instead of the model's own: a name (chatml, gemma, llama3, mistral, phi3, zephyr) or a Jinja template."""

    @property
    def _llm_type(self) -> str:
        return "freehold-llama"

    @property
    def _identifying_params(self) -> Mapping[str, Any]:
        names = sorted(_FIELDS | {"stop", "chat_template"})
        return {"model_name": self.engine.model_name, **{name: getattr(self, name) for name in names}}

    def get_token_ids(self, text: str) -> list[int]:
        """Tokens of a text, by this model's own vocabulary."""
        return self.engine.tokenize(text)

    def get_num_tokens_from_messages(self, messages: list[BaseMessage], tools: Sequence[Any] | None = None) -> int:
        """Tokens that these messages, and tools, take in a prompt, the chat form included."""
        prompt = self.engine.render(to_chat(messages), **self._form(tool_use(tools), self.chat_template))
        return self.engine.count_tokens(prompt)

    async def fits(self, messages: list[BaseMessage]) -> bool:
        """Whether there is room for an answer: `max_tokens`, or a quarter of the context where that is less."""
        context = self.engine.context_length
        prompt = await self.engine.arender(to_chat(messages), **self._form(ToolUse(), self.chat_template))
        return await self.engine.acount_tokens(prompt) + min(self.max_tokens, context // 4) <= context

    @staticmethod
    def _form(use: ToolUse, template: str | None) -> dict[str, Any]:
        """How a prompt is to be rendered."""
        options: dict[str, Any] = {"tools": list(use.shown)} if use.shown else {}
        return options if template is None else {**options, "template": template}

    def _token_of(self, text: str) -> int | None:
        """The one token that a text makes, or None."""
        tokens = self.engine.tokenize(text)[len(self.engine.tokenize("")) :]
        return tokens[0] if len(tokens) == 1 else None

    async def _request(
        self, messages: list[BaseMessage], stop: list[str] | None, thread: str | None, options: dict[str, Any]
    ) -> tuple[GenerationRequest, ToolCallStream]:
        """What to ask of the engine, and what reads its answer."""
        options = {name: value for name, value in options.items() if name not in _IGNORED and value is not None}
        unknown = sorted(options.keys() - _OPTIONS - _TOOLS)
        if unknown:
            raise UserError(
                f"ChatLlama does not know the option {', '.join(unknown)}; "
                f"it knows {', '.join(sorted(_OPTIONS | _TOOLS))}."
            )
        use = tool_use(
            options.pop("tools", None),
            options.pop("tool_choice", None),
            parallel=options.pop("parallel_tool_calls", None),
            strict=options.pop("strict", None),
        )
        schema = json_schema_of(options.pop("response_format", None))
        template = options.pop("chat_template", self.chat_template)
        values = request_options({name: getattr(self, name) for name in _FIELDS} | options)
        prompt = await self.engine.arender(to_chat(messages), **self._form(use, template))
        stops = list(stop if stop is not None else self.stop or ())
        if template in NAMED_TEMPLATES:
            stops += NAMED_TEMPLATES[template].stop
        form = None
        if use.callable:
            if "grammar" in values:
                raise UserError("An answer follows a grammar or calls tools, not both: leave one of them out.")
            form = tool_form(template_source(self.engine.header, template, tools=True))
            # Looking up markers waits for the model's lock, and may load it: not on the event loop.
            values["lark"] = await asyncio.to_thread(tool_grammar, form, use, self._token_of, schema=schema)
            # The grammar ends such an answer, and a stop string would only cut a call in two.
            stops = [] if use.required else stops
            schema = None
        elif use.tools and schema is None and "grammar" not in values:
            form_of_calls = tool_form(template_source(self.engine.header, template))
            values["lark"] = await asyncio.to_thread(text_grammar, form_of_calls, self._token_of)
        if schema is not None:  # the grammar ends it, and a stop string would only cut it in two
            stops = []
        if thread is not None and self.may_keep is not None:
            said = [message.text for message in messages if message.type == "human"]
            if not await asyncio.to_thread(lambda may_keep: all(map(may_keep, said)), self.may_keep):
                thread = None
        request = GenerationRequest(prompt, stop=tuple(stops), json_schema=schema, thread=thread, **values)
        return request, ToolCallStream(form, required=use.required)

    def _metadata(self, result: GenerationResult | GenerationChunk, stream: ToolCallStream) -> dict[str, Any]:
        decoding = result.seconds - result.prefill_seconds
        return {
            "model_name": self.engine.model_name,
            "finish_reason": "tool_calls" if stream.called else result.finish_reason,
            "prefill_seconds": result.prefill_seconds,
            "seconds": result.seconds,
            "tokens_per_second": result.completion_tokens / decoding if decoding > 0 else 0.0,
        }

    async def _answer(
        self, messages: list[BaseMessage], stop: list[str] | None, thread: str | None, options: dict[str, Any]
    ) -> ChatResult:
        request, stream = await self._request(messages, stop, thread, options)
        result = await self.engine.generate(request)
        content, _ = content_and_chunks([*stream.push(result.text), *stream.finish()])
        metadata = self._metadata(result, stream)
        if request.logprobs is not None:
            metadata["logprobs"] = logprobs_content(result.logprobs)
        calls, cut = parsed_calls(stream.calls)
        message = AIMessage(
            content=content,
            tool_calls=calls,
            invalid_tool_calls=cut,
            usage_metadata=usage_of(result),
            response_metadata=metadata,
        )
        return ChatResult(generations=[ChatGeneration(message=message)])

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return await self._answer(messages, stop, _thread(run_manager), kwargs)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return run_sync(self._answer(messages, stop, _thread(run_manager), kwargs))

    async def _chunks(
        self, messages: list[BaseMessage], stop: list[str] | None, thread: str | None, options: dict[str, Any]
    ) -> AsyncIterator[ChatGenerationChunk]:
        """The answer in pieces; the last one carries usage and timings."""
        request, stream = await self._request(messages, stop, thread, options)
        pieces = self.engine.stream(request)
        try:
            async for piece in pieces:
                last = piece.finish_reason is not None
                content, calls = content_and_chunks(stream.push(piece.text) + (stream.finish() if last else []))
                metadata = self._metadata(piece, stream) if last else {}
                if piece.logprobs:
                    metadata["logprobs"] = logprobs_content(piece.logprobs)
                if not (content or calls or metadata):
                    continue
                message = AIMessageChunk(
                    content=content,
                    tool_call_chunks=calls,
                    usage_metadata=usage_of(piece) if last else None,
                    response_metadata=metadata,
                    chunk_position="last" if last else None,
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
        chunks: Any = self._chunks(messages, stop, _thread(run_manager), kwargs)
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
        chunks: Any = self._chunks(messages, stop, _thread(run_manager), kwargs)
        try:
            while (chunk := run_sync(_next_or_none(chunks))) is not None:
                if run_manager is not None:
                    run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                yield chunk
        finally:
            run_sync(chunks.aclose())

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | dict[str, Any] | bool | None = None,
        parallel_tool_calls: bool | None = None,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """This model with tools to call. A grammar forces every call's form and arguments, whatever the model.

        Args:
            tools: Functions, pydantic models, LangChain tools, or dictionaries as OpenAI or JSON Schema have them.
            tool_choice: "auto", the default: text, calls, or text and then calls; "any" or "required": calls alone; a
                tool's name, or OpenAI's dictionary for one: one call of it; "none": text alone.
            parallel_tool_calls: False allows one call in an answer.
            strict: As in OpenAI's description of a function.
            **kwargs: Any option of the model.

        Raises:
            UserError: A tool or the choice cannot be used.
        """
        use = tool_use(tools, tool_choice, parallel=parallel_tool_calls, strict=strict)
        return self.bind(
            tools=list(use.tools), tool_choice=tool_choice, parallel_tool_calls=parallel_tool_calls, **kwargs
        )

    def with_structured_output(
        self, schema: dict[str, Any] | type, *, include_raw: bool = False, **kwargs: Any
    ) -> Runnable[LanguageModelInput, dict[str, Any] | BaseModel]:
        """A runnable whose answer is an object of this schema, forced by a grammar.

        Args:
            schema: A pydantic model or TypedDict, or a JSON schema.
            include_raw: Give `{"raw", "parsed", "parsing_error"}`, so that an answer cut off by `max_tokens` is seen.
            **kwargs: `method` (json_schema, function_calling, json_mode) and `strict` are taken and change nothing.

        Raises:
            UserError: An argument is unknown; when the runnable runs: the schema cannot be turned into a grammar.
        """
        unknown = kwargs.keys() - {"method", "strict"}
        if unknown:
            raise UserError(f"with_structured_output does not know {', '.join(sorted(unknown))}.")
        method = kwargs.get("method") or "json_schema"
        if method not in _METHODS:
            raise UserError(f"method={method!r} cannot be used for structured output: give {', '.join(_METHODS)}.")
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


def _thread(run_manager: BaseRunManager | None) -> str | None:
    """The conversation that a run belongs to: LangGraph puts its `thread_id` into the run's metadata."""
    # Where an invocation becomes a stream, LangChain hands no manager on; the graph's own configuration is still there.
    metadata = run_manager.metadata if run_manager is not None else ensure_config().get("metadata", {})
    thread = metadata.get("thread_id")
    return None if thread is None else str(thread)


async def _next_or_none(chunks: AsyncIterator[ChatGenerationChunk]) -> ChatGenerationChunk | None:
    return await anext(chunks, None)
