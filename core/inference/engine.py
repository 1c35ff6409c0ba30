"""A language model in this process: asynchronous, streaming, cancellable."""

from __future__ import annotations

import asyncio
import threading
import time
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from freehold.errors import ContextLengthError, InferenceError, ModelFileError, UserError
from freehold.inference.generation import GenerationChunk, GenerationRequest, GenerationResult
from freehold.inference.gguf import ModelHeader, read_header
from freehold.inference.job import Job
from freehold.inference.llama_model import LlamaModel, available_threads, default_threads
from freehold.inference.options import EngineOptions, default_cache_tokens, default_context_length
from freehold.inference.sampling import check_request
from freehold.inference.stats import EngineStats
from freehold.inference.worker import Observer, StepObserver, Worker

if TYPE_CHECKING:
    from freehold.inference.guide import Guide
    from freehold.inference.sequence_store import SequenceStore

__all__ = ["Engine"]

T = TypeVar("T")


class Engine:
    """One GGUF language model, owned by one thread that answers many requests together.

    The file's header is read at once; the weights load on first use, or with `load`. Every method may be called from
    any thread and any event loop.

    Args:
        path: The GGUF file.
        context_length: Tokens of prompt and answer together; by default the model's own, at most 8,192.
        cache_tokens: Cells of the key-value cache, which all requests share; by default up to four contexts, at most
            8,192 cells or one context. What running requests leave of it keeps finished prompts for reuse.
        slots: Requests that run together, 1 to 64.
        threads: Processor threads; by default those the process may use, at most 8; a small model takes one for a
            single token.
        queue_size: Requests that may wait beside those that run.
        flash_attention: Skips the cells of other requests. Off, many requests with one long beginning decode faster,
            and everything else slower.
        observe: Called with each finished generation, in the owner thread.
        observe_step: Called after each step of the model, in the owner thread.
        before_load: Called before the weights are loaded; what it raises refuses them.
        store: Where the keys and values of conversations are kept on disk; made when the weights load, from the model.

    Raises:
        ModelFileError: The file is missing, truncated, not a GGUF, or not a language model.
        UserError: A parameter lies outside its range.

    Example:
        >>> engine = Engine("model.gguf")  # doctest: +SKIP
        >>> prompt = engine.render([{"role": "user", "content": "Hello"}])  # doctest: +SKIP
        >>> (await engine.generate(GenerationRequest(prompt, max_tokens=32))).text  # doctest: +SKIP
        'Hello! Ask me about your documents.'
    """

    def __init__(  # noqa: PLR0913 - each is a choice of its own
        self,
        path: str | Path,
        *,
        context_length: int | None = None,
        cache_tokens: int | None = None,
        slots: int = 8,
        threads: int | None = None,
        queue_size: int = 64,
        flash_attention: bool = True,
        observe: Observer | None = None,
        observe_step: StepObserver | None = None,
        before_load: Callable[[], None] | None = None,
        store: SequenceStore | None = None,
    ) -> None:
        self._header = read_header(path)
        if not self._header.causal or self._header.pooling not in (None, "none"):
            raise ModelFileError(
                f"{self._header.path} is an embedding model ({self._header.architecture}) and cannot generate text. "
                "Choose a language model."
            )
        length = default_context_length(self._header) if context_length is None else context_length
        self._options = EngineOptions(
            context_length=length,
            cache_tokens=default_cache_tokens(length) if cache_tokens is None else cache_tokens,
            slots=slots,
            threads=default_threads(self._header) if threads is None else threads,
            batch_threads=available_threads() if threads is None else threads,
            queue_size=queue_size,
            flash_attention=flash_attention,
        )
        self._observe, self._observe_step = observe, observe_step
        self._before_load, self._store = before_load, store
        self._lock = threading.Lock()
        self._closed = False
        self._model: LlamaModel | None = None
        self._worker: Worker | None = None
        self._users, self._users_lock = 0, threading.Lock()
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
        return self._options.context_length

    @property
    def cache_tokens(self) -> int:
        """Cells of the key-value cache."""
        return self._options.cache_tokens

    @property
    def waiting(self) -> int:
        """Requests in the queue, without those that run."""
        worker = self._worker
        return worker.waiting() if worker is not None else 0

    @property
    def idle(self) -> bool:
        """Whether nothing runs or waits."""
        worker = self._worker
        return not self._users and (worker is None or worker.idle)

    def stats(self) -> EngineStats:
        """What the engine has done since its weights were loaded, and what it holds."""
        worker = self._worker
        return worker.stats() if worker is not None else EngineStats(kv_size=self._options.cache_tokens)

    def clear_cache(self) -> None:
        """Forget every prompt and answer that is kept for reuse."""
        worker = self._worker
        if worker is not None:
            worker.clear_cache()

    def forget(self, thread: str) -> None:
        """Forget the keys and values of a conversation, in the cache and on disk.

        Raises:
            StorageError: A file cannot be deleted.
        """
        worker = self._worker
        if worker is not None:
            worker.forget(thread)
        if self._store is not None:
            self._store.erase(thread)

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
            if self._before_load is not None:
                self._before_load()
            model = LlamaModel(self._header.path)
            try:
                self._worker = Worker(
                    model,
                    self._options,
                    store=self._store,
                    observe=self._observe,
                    observe_step=self._observe_step,
                )
            except InferenceError:
                model.close()
                raise
            # An engine that is forgotten, or alive at exit, must not leave its thread in native code.
            self._finalizer = weakref.finalize(self, self._worker.stop)
            self._model = model
            return model

    def unload(self) -> bool:
        """Free the weights and the cache, unless something runs or waits; the next request loads them again.

        Returns:
            Whether they are free now.
        """
        with self._lock:
            if self._users:
                return False
            worker = self._worker
            if worker is None:
                return True
            if not worker.retire():
                return False
            self._finalizer.detach()
            self._worker = self._model = None
            return True

    def _with_model(self, use: Callable[[LlamaModel], T]) -> T:
        """Use the model; meanwhile it is not unloaded."""
        with self._used():
            return use(self._loaded())

    @contextmanager
    def _used(self) -> Iterator[None]:
        """Keep the weights from being unloaded: from before they load until a request is in the queue."""
        with self._users_lock:
            self._users += 1
        try:
            yield
        finally:
            with self._users_lock:
                self._users -= 1

    async def _aside(self, function: Callable[..., T], *arguments: Any) -> T:
        """Run something that blocks in the engine's own second thread."""
        try:
            future = self._executor.submit(function, *arguments)
        except RuntimeError as error:  # the executor was shut down
            raise self._closed_error() from error
        return await asyncio.wrap_future(future)

    def _closed_error(self) -> InferenceError:
        return InferenceError(f"The engine of {self.model_name} was closed.")

    def render(self, messages: Sequence[Mapping[str, Any]], **options: Any) -> str:
        """The prompt for these messages (`role`, `content`) in the model's own chat form.

        Args:
            messages: The conversation.
            **options: `tools` and `template`, as `LlamaModel.render` takes them.

        Raises:
            ModelFileError: The model's file holds no chat template, and none was named.
            InferenceError: The template refuses the messages, or the engine is closed.
        """
        return self._with_model(lambda model: model.render(messages, **options))

    async def arender(self, messages: Sequence[Mapping[str, Any]], **options: Any) -> str:
        """`render`, without blocking the event loop."""
        return await self._aside(partial(self.render, messages, **options))

    def tokenize(self, text: str) -> list[int]:
        """Tokens of a text as they stand in a prompt."""
        return self._with_model(lambda model: model.tokenize_prompt(text))

    def count_tokens(self, text: str) -> int:
        """How many tokens a text takes in a prompt."""
        return len(self.tokenize(text))

    async def acount_tokens(self, text: str) -> int:
        """`count_tokens`, without blocking the event loop."""
        return await self._aside(self.count_tokens, text)

    def _prepare(self, request: GenerationRequest) -> tuple[list[int], Guide | None]:
        """Load, check the request, and turn its prompt into tokens and its grammar into a guide."""

        def prepare(model: LlamaModel) -> tuple[list[int], Guide | None]:
            check_request(request, model.vocabulary_size)
            tokens = model.tokenize_prompt(request.prompt) if isinstance(request.prompt, str) else list(request.prompt)
            if not tokens:
                raise UserError("The prompt is empty: there is nothing to continue.")
            if len(tokens) >= self._options.context_length:
                raise ContextLengthError(len(tokens), self._options.context_length)
            wrong = next((token for token in tokens if not 0 <= token < model.vocabulary_size), None)
            if wrong is not None:
                raise UserError(f"The prompt holds the token {wrong}; {self.model_name} has {model.vocabulary_size}.")
            room = min(request.max_tokens, self._options.context_length - len(tokens))
            free = request.json_schema is None and request.grammar is None and request.lark is None
            return tokens, None if free else model.guides.compile(replace(request, max_tokens=room))

        return self._with_model(prepare)

    @asynccontextmanager
    async def _submitted(self, request: GenerationRequest, *, streaming: bool) -> AsyncIterator[Job]:
        """A job in the queue; leaving takes it back."""
        submitted = time.perf_counter()
        with self._used():
            tokens, guide = await self._aside(self._prepare, request)
            worker = self._worker
            if worker is None:
                raise self._closed_error()
            job = Job(tokens, request, streaming, guide, submitted=submitted)
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
            DeadlineError: The request's deadline passed.
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
        # Tokenising must not outlast the model. What still waits there finds the engine closed.
        self._executor.shutdown(wait=True)
        if worker is not None:
            worker.stop()
