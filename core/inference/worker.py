"""The one thread that owns a model's context, and the bounded queue in front of it."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from freehold.errors import EngineBusyError, InferenceError
from freehold.inference.generation import FinishReason, GenerationChunk, GenerationRequest, GenerationResult
from freehold.inference.llama_model import LlamaModel
from freehold.inference.sampling import sampler
from freehold.inference.text_stream import TextStream

__all__ = ["Job", "Observer", "Worker"]

logger = logging.getLogger(__name__)

Observer = Callable[[GenerationResult], None]
"""Called with each finished generation, in the owner thread; for metrics."""

_CHUNK = 256
"""Prompt tokens per decode: between two of them a cancelled request is noticed."""


@dataclass(eq=False)
class Job:
    """A request in the queue or at work. Its results go to a queue that belongs to the caller's event loop."""

    tokens: list[int]
    request: GenerationRequest
    streaming: bool
    """Whether the caller wants chunks, or the result only."""
    results: asyncio.Queue[GenerationChunk | GenerationResult | InferenceError] = field(default_factory=asyncio.Queue)
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)
    cancelled: bool = False
    submitted: float = field(default_factory=time.perf_counter)

    def send(self, item: GenerationChunk | GenerationResult | InferenceError) -> None:
        """Hand something to the caller, from any thread."""
        try:
            self.loop.call_soon_threadsafe(self.results.put_nowait, item)
        except RuntimeError:  # the caller's loop is closed: nobody waits any more
            self.cancelled = True
            logger.debug("a generation's event loop was closed before it ended")


class _Stopped(Exception):  # noqa: N818 - a signal within this module, not an error
    """The job was cancelled, or the engine closed."""


class Worker:
    """Runs jobs one after another in a thread of its own; nobody else touches the context.

    Args:
        model: The loaded model; the worker closes it when it ends.
        context: A `llama_context *` with one sequence; freed when the worker ends.
        context_length: Tokens of prompt and answer together.
        queue_size: Jobs that may wait.
        observe: Called with each finished generation.
    """

    def __init__(
        self, model: LlamaModel, context: Any, context_length: int, queue_size: int, observe: Observer | None
    ) -> None:
        import llama_cpp

        self._model, self._context, self._queue_size, self._observe = model, context, queue_size, observe
        self._memory: Any = llama_cpp.llama_get_memory(context)
        self._context_length = context_length
        self._decoded: list[int] = []
        self._waiting: deque[Job] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="freehold-engine", daemon=True)
        self._thread.start()

    def submit(self, job: Job) -> None:
        """Put a job in the queue.

        Raises:
            EngineBusyError: The queue is full.
            InferenceError: The engine is closed.
        """
        with self._changed:
            if self._closed:
                raise self._closed_error()
            if len(self._waiting) >= self._queue_size:
                raise EngineBusyError(len(self._waiting))
            self._waiting.append(job)
            self._changed.notify()

    def cancel(self, job: Job) -> None:
        """Take a job back; where it runs already, it ends before its next token."""
        job.cancelled = True
        with self._changed:
            if job in self._waiting:
                self._waiting.remove(job)

    def waiting(self) -> int:
        """Jobs in the queue."""
        return len(self._waiting)

    def stop(self) -> None:
        """Fail every job and free the model; returns when that is done. Safe to call again."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _closed_error(self) -> InferenceError:
        return InferenceError(f"The engine of {self._model.header.name} was closed.")

    def _next(self) -> Job | None:
        """Wait for a job; None when the engine closes."""
        with self._changed:
            while not self._waiting and not self._closed:
                self._changed.wait()
            return None if self._closed else self._waiting.popleft()

    def _run(self) -> None:
        import llama_cpp

        while (job := self._next()) is not None:
            try:
                self._generate(job)
            except _Stopped:
                if not job.cancelled:
                    job.send(self._closed_error())
            except InferenceError as error:
                job.send(error)
            except Exception as error:  # the caller must hear of it, whatever it is, and the thread must live on
                logger.exception("generation failed")
                job.send(InferenceError(f"Generation with {self._model.header.name} failed: {error!r}."))
        with self._changed:
            rest, self._waiting = self._waiting, deque()
        for job in rest:
            job.send(self._closed_error())
        llama_cpp.llama_free(self._context)
        self._model.close()

    def _check(self, job: Job) -> None:
        if job.cancelled or self._closed:
            raise _Stopped

    def _decode(self, tokens: list[int]) -> None:
        """Extend the context by these tokens.

        Raises:
            InferenceError: llama.cpp failed; the context is empty afterwards.
        """
        import llama_cpp

        array = (llama_cpp.llama_token * len(tokens))(*tokens)
        status = llama_cpp.llama_decode(self._context, llama_cpp.llama_batch_get_one(array, len(tokens)))
        if status != 0:
            position = len(self._decoded)
            self._forget(0)
            raise InferenceError(
                f"llama.cpp could not decode {len(tokens)} tokens at position {position} of {self._context_length} "
                f"(status {status}). Try a shorter prompt, or load the model again."
            )
        self._decoded += tokens

    def _forget(self, keep: int) -> int:
        """Drop all but the first `keep` tokens from the context; return how many it could keep."""
        import llama_cpp

        # A recurrent model cannot forget a part of what it read.
        if not llama_cpp.llama_memory_seq_rm(self._memory, 0, keep, -1):
            llama_cpp.llama_memory_clear(self._memory, True)
            keep = 0
        del self._decoded[keep:]
        return keep

    def _prefill(self, job: Job) -> None:
        """Read the prompt, from where it parts from what the context holds; the last token is always read anew."""
        keep = 0
        for old, new in zip(self._decoded, job.tokens[:-1], strict=False):
            if old != new:
                break
            keep += 1
        start = self._forget(keep)
        for at in range(start, len(job.tokens), _CHUNK):
            self._check(job)
            self._decode(job.tokens[at : at + _CHUNK])

    def _generate(self, job: Job) -> None:
        import llama_cpp

        started = time.perf_counter()
        most = min(job.request.max_tokens, self._context_length - len(job.tokens))
        text = TextStream(job.request.stop)
        parts: list[str] = []
        count, prefill, finish = 0, 0.0, None

        def hand_out(new: str, reason: FinishReason | None = None) -> None:
            if new:
                parts.append(new)
            if job.streaming and (new or reason):
                seconds = time.perf_counter() - started
                job.send(GenerationChunk(new, reason, len(job.tokens), count, prefill, seconds))

        self._check(job)
        with sampler(self._model.vocab, job.request) as chain:
            self._prefill(job)
            while finish is None:
                token = int(llama_cpp.llama_sampler_sample(chain, self._context, -1))
                prefill = prefill or time.perf_counter() - started
                if self._model.ends(token):
                    finish = "stop"
                    break
                count += 1
                ready = text.push(self._model.piece(token))
                finish = "stop" if text.stopped else "length" if count >= most else None
                hand_out(ready)
                self._check(job)
                if finish is None:
                    self._decode([token])
        reason: FinishReason = "stop" if finish == "stop" else "length"
        hand_out(text.finish(), reason)
        result = GenerationResult(
            text="".join(parts),
            finish_reason=reason,
            prompt_tokens=len(job.tokens),
            completion_tokens=count,
            prefill_seconds=prefill,
            seconds=time.perf_counter() - started,
            queued_seconds=started - job.submitted,
        )
        if self._observe is not None:
            try:
                self._observe(result)
            except Exception:
                logger.exception("the engine's observer failed")
        job.send(result)
