"""A language model in this process: asynchronous, streaming, cancellable."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from freehold.errors import ContextLengthError, InferenceError, ModelFileError, UserError
from freehold.inference.generation import GenerationChunk, GenerationRequest, GenerationResult
from freehold.inference.gguf import ModelHeader, read_header
from freehold.inference.llama_model import LlamaModel, default_threads
from freehold.inference.sampling import check_request, grammar_text
from freehold.inference.worker import Job, Observer, Worker

__all__ = ["Engine", "GenerationChunk", "GenerationRequest", "GenerationResult"]

T = TypeVar("T")

_DEFAULT_CONTEXT = 8192


class Engine:
    """One GGUF language model, owned by one thread behind a bounded queue.

    The file's header is read at once; the weights load on first use, or with `load`. Every method may be called from
    any thread and any event loop.

    Args:
        path: The GGUF file.
        context_length: Tokens of prompt and answer together; by default the model's own, at most 8,192.
        threads: Processor threads; by default those the process may use, at most 8; 1 for a small model.
        queue_size: Requests that may wait beside the one that runs.
        observe: Called with each finished generation, in the owner thread.

    Raises:
        ModelFileError: The file is missing, truncated, not a GGUF, or not a language model.
        UserError: A parameter lies outside its range.

    Example:
        >>> engine = Engine("model.gguf")  # doctest: +SKIP
        >>> prompt = engine.render([{"role": "user", "content": "Hello"}])  # doctest: +SKIP
        >>> (await engine.generate(GenerationRequest(prompt, max_tokens=32))).text  # doctest: +SKIP
        'Hello! Ask me about your documents.'
    """

    def __init__(
        self,
        path: str | Path,
        *,
        context_length: int | None = None,
        threads: int | None = None,
        queue_size: int = 64,
        observe: Observer | None = None,
    ) -> None:
        for name, value in (("context_length", context_length), ("threads", threads), ("queue_size", queue_size)):
            if value is not None and value < 1:
                raise UserError(f"{name}={value} cannot be used for an engine: give 1 or more.")
        self._header = read_header(path)
        if not self._header.causal or self._header.pooling not in (None, "none"):
            raise ModelFileError(
                f"{self._header.path} is an embedding model ({self._header.architecture}) and cannot generate text. "
                "Choose a language model."
            )
        trained = self._header.context_length or _DEFAULT_CONTEXT
        self._context_length = context_length or min(trained, _DEFAULT_CONTEXT)
        self._threads = threads or default_threads(self._header)
        self._queue_size = queue_size
        self._observe = observe
        self._lock = threading.Lock()
        self._closed = False
        self._model: LlamaModel | None = None
        self._worker: Worker | None = None
        # Loading and tokenising block: they have a thread of their own, apart from the one that decodes.
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="freehold-tokenizer")

    @property
    def header(self) -> ModelHeader:
        """What the model's file says about itself."""
        return self._header

    @property
    def model_name(self) -> str:
        """The model's own name."""
        return self._header.name

    @property
    def context_length(self) -> int:
        """Tokens of prompt and answer together."""
        return self._context_length

    @property
    def waiting(self) -> int:
        """Requests in the queue, without the one that runs."""
        return self._worker.waiting() if self._worker is not None else 0

    def load(self) -> None:
        """Load the weights, where that has not been done.

        Raises:
            ModelFileError: llama.cpp refuses the file.
            InferenceError: The engine is closed, or there is too little memory for its context.
        """
        self._loaded()

    async def aload(self) -> None:
        """`load`, without blocking the event loop."""
        await self._aside(self.load)

    def _loaded(self) -> LlamaModel:
        with self._lock:
            if self._closed:
                raise self._closed_error()
            if self._model is not None:
                return self._model
            import llama_cpp

            model = LlamaModel(self._header.path)
            parameters: Any = llama_cpp.llama_context_default_params()
            parameters.n_ctx = self._context_length
            parameters.n_batch = parameters.n_ubatch = min(512, self._context_length)
            parameters.n_seq_max = 1
            parameters.n_threads = parameters.n_threads_batch = self._threads
            parameters.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
            try:
                context = model.new_context(parameters)
            except InferenceError:
                model.close()
                raise
            # llama.cpp rounds the context's length up; what was asked for is what counts.
            self._worker = Worker(model, context, self._context_length, self._queue_size, self._observe)
            # An engine that is forgotten, or alive at exit, must not leave its thread in native code.
            weakref.finalize(self, self._worker.stop)
            self._model = model
            return model

    async def _aside(self, function: Callable[..., T], *arguments: Any) -> T:
        """Run something that blocks in the engine's own second thread."""
        try:
            future = self._executor.submit(function, *arguments)
        except RuntimeError as error:  # the executor was shut down
            raise self._closed_error() from error
        return await asyncio.wrap_future(future)

    def _closed_error(self) -> InferenceError:
        return InferenceError(f"The engine of {self.model_name} was closed.")

    def render(self, messages: Sequence[Mapping[str, str]]) -> str:
        """The prompt for these messages (`role`, `content`) in the model's own chat form.

        Raises:
            ModelFileError: The model's file holds no chat template.
            InferenceError: The template refuses the messages, or the engine is closed.
        """
        return self._loaded().render(messages)

    async def arender(self, messages: Sequence[Mapping[str, str]]) -> str:
        """`render`, without blocking the event loop."""
        return await self._aside(self.render, messages)

    def tokenize(self, text: str) -> list[int]:
        """Tokens of a text as they stand in a prompt."""
        return self._loaded().tokenize_prompt(text)

    def count_tokens(self, text: str) -> int:
        """How many tokens a text takes in a prompt."""
        return len(self.tokenize(text))

    async def acount_tokens(self, text: str) -> int:
        """`count_tokens`, without blocking the event loop."""
        return await self._aside(self.count_tokens, text)

    def _prepare(self, request: GenerationRequest) -> list[int]:
        """Load, check the request and turn its prompt into tokens."""
        check_request(request)
        grammar_text(request)  # a schema that cannot be used fails here, before the queue
        model = self._loaded()
        tokens = model.tokenize_prompt(request.prompt) if isinstance(request.prompt, str) else list(request.prompt)
        if not tokens:
            raise UserError("The prompt is empty: there is nothing to continue.")
        if len(tokens) >= self._context_length:
            raise ContextLengthError(len(tokens), self._context_length)
        return tokens

    @asynccontextmanager
    async def _submitted(self, request: GenerationRequest, *, streaming: bool) -> AsyncIterator[Job]:
        """A job in the queue; leaving takes it back."""
        tokens = await self._aside(self._prepare, request)
        worker = self._worker
        if worker is None:
            raise self._closed_error()
        job = Job(tokens, request, streaming)
        worker.submit(job)
        try:
            yield job
        finally:
            worker.cancel(job)

    async def stream(self, request: GenerationRequest) -> AsyncGenerator[GenerationChunk, None]:
        """Generate, and give the text as it comes; the last chunk carries the finish reason.

        Closing the iterator or cancelling the task ends the generation before its next token.

        Raises:
            ContextLengthError: The prompt leaves no room in the context.
            EngineBusyError: The queue is full.
            InferenceError: llama.cpp failed, or the engine was closed.
            UserError: The request holds a value that cannot be used.
        """
        async with self._submitted(request, streaming=True) as job:
            while True:
                item = await job.results.get()
                if isinstance(item, InferenceError):
                    raise item
                if isinstance(item, GenerationChunk):
                    yield item
                    if item.finish_reason is not None:
                        return

    async def generate(self, request: GenerationRequest) -> GenerationResult:
        """Generate, and give the whole; raises what `stream` raises."""
        async with self._submitted(request, streaming=False) as job:
            item = await job.results.get()
            if isinstance(item, GenerationResult):
                return item
            raise item if isinstance(item, InferenceError) else InferenceError(f"Unexpected {item!r} from the engine.")

    def close(self) -> None:
        """End the thread and free the model; every open request fails with InferenceError. Safe to call again."""
        with self._lock:
            self._closed = True
            worker = self._worker
        self._executor.shutdown(wait=True, cancel_futures=True)  # tokenising must not outlast the model
        if worker is not None:
            worker.stop()
