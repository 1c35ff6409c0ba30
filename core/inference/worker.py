"""The one thread that owns a language model: requests join and leave its batch at every step."""

from __future__ import annotations

import bisect
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from freehold.errors import DeadlineError, EngineBusyError, InferenceError
from freehold.inference.decoder import Decoder
from freehold.inference.draft_length import StepCost
from freehold.inference.generation import GenerationResult
from freehold.inference.job import Job, Mailbox
from freehold.inference.llama_model import LlamaModel
from freehold.inference.options import EngineOptions
from freehold.inference.owner_thread import OwnerThread
from freehold.inference.plan import Part, plan_step
from freehold.inference.running import Running
from freehold.inference.stats import EngineStats, StepReport

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from freehold.inference.sequence_store import SequenceStore

__all__ = ["Observer", "StepObserver", "Worker"]

logger = logging.getLogger(__name__)

_PROMPT_ROWS = 48
"""Rows above which a step is mostly prompt, and its graph the smaller part of its time."""

Observer = Callable[[GenerationResult], None]
"""Called with each finished generation, in the owner thread; for metrics."""

StepObserver = Callable[[StepReport], None]
"""Called after each step, in the owner thread; for metrics."""


class Worker(OwnerThread):
    """Runs requests together, in a thread of its own; nobody else touches the context.

    Every step takes one token of each request that generates, its draft, and a chunk of the prompts that are still to
    be read. Where the cache is full, the youngest request pauses and goes on later.

    Args:
        model: The loaded model; the worker closes it when it ends.
        options: How its context is made.
        store: Where conversations are kept on disk.
        observe: Called with each finished generation.
        observe_step: Called after each step.

    Raises:
        InferenceError: llama.cpp cannot make the context.

    Source: iteration-level scheduling of Yu et al., "Orca", OSDI 2022; chunked prefill of Agrawal et al.,
    "Sarathi-Serve", arXiv 2403.02310; preemption by recomputation of Kwon et al., "vLLM", arXiv 2309.06180.
    """

    def __init__(
        self,
        model: LlamaModel,
        options: EngineOptions,
        *,
        store: SequenceStore | None = None,
        observe: Observer | None = None,
        observe_step: StepObserver | None = None,
    ) -> None:
        super().__init__("freehold-engine", f"The engine of {model.header.name}")
        self._model, self._options = model, options
        self._observe, self._observe_step = observe, observe_step
        self._decoder = Decoder(model, options, store)
        self._waiting: list[Job] = []
        self._running: list[Running] = []
        self._mail = Mailbox()
        self._cost = StepCost()
        self._last_rows = 0
        self._stats = EngineStats(kv_size=options.cache_tokens)
        self._forget = False
        self._forgotten: list[str] = []
        # Counts of the step that is under way.
        self._preemptions = self._reused = self._decoded = self._accepted = 0
        self._start()

    def submit(self, job: Job) -> None:
        """Put a request in the queue.

        Raises:
            EngineBusyError: The queue is full.
            InferenceError: The engine is closed.
        """
        with self._handover():
            free = max(0, self._options.slots - len(self._running))
            if len(self._waiting) >= self._options.queue_size + free:
                raise EngineBusyError(len(self._waiting))
            bisect.insort(self._waiting, job, key=lambda waiting: waiting.order)

    def cancel(self, job: Job) -> None:
        """Take a request back; where it is at work, it ends before its next step."""
        job.cancelled = True
        with self._changed:
            if job in self._waiting:
                self._waiting.remove(job)

    def clear_cache(self) -> None:
        """Forget what is kept for reuse, before the next step."""
        with self._changed:
            self._forget = True
            self._changed.notify_all()

    def forget(self, thread: str) -> None:
        """Forget what is kept of a conversation, in the cache and on disk, before the next step."""
        with self._changed:
            self._forgotten.append(thread)
            closing = self._closed
            self._changed.notify_all()
        if closing and threading.current_thread() is not self._thread:
            self._thread.join()  # what it saves as it ends, the caller erases

    @property
    def idle(self) -> bool:
        """Whether nothing runs or waits."""
        with self._changed:
            return not self._waiting and not self._running

    def retire(self) -> bool:
        """Stop, unless something runs or waits; whether it did."""
        with self._changed:
            if self._waiting or self._running:
                return False
            self._closed = True
        self.stop()
        return True

    def waiting(self) -> int:
        """Requests in the queue."""
        return len(self._waiting)

    def stats(self) -> EngineStats:
        """The state after the newest step."""
        return self._stats

    def _run(self) -> None:
        while self._ready():
            started = time.perf_counter()
            parts: list[Part] = []
            try:
                self._tidy()
                self._admit()
                if self._running:
                    parts = self._step()
            except Exception as error:  # noqa: BLE001 - the callers must hear of it, whatever it is, and the thread must live on
                self._recover(error)
            self._report(parts, time.perf_counter() - started)
            self._mail.flush()
        self._fail([*(running.job for running in self._running), *self._waiting], self._closed_error())
        self._mail.flush()
        with self._changed:
            self._running, self._waiting = [], []
        self._report([], 0.0)  # gauges must not keep what was
        try:
            self._forget_threads()
            self._decoder.save_all()
            self._forget_threads()  # what was asked for meanwhile
        except Exception:
            logger.exception("conversations were not saved")
        finally:
            self._decoder.close()
            self._model.close()

    def _ready(self) -> bool:
        with self._changed:
            return self._wait(lambda: bool(self._waiting or self._running or self._forget or self._forgotten))

    def _tidy(self) -> None:
        """Let go of what was cancelled or is too late."""
        if self._forget:
            self._forget = False
            self._decoder.cache.clear()
        self._forget_threads()
        now = time.perf_counter()
        for running in [running for running in self._running if running.job.cancelled or running.job.expired(now)]:
            self._leave(running)
            self._expire(running.job)
        with self._changed:
            late = [job for job in self._waiting if job.cancelled or job.expired(now)]
            self._waiting = [job for job in self._waiting if job not in late]
        for job in late:
            self._expire(job)

    def _forget_threads(self) -> None:
        """Forget conversations; what requests of theirs still say is not kept either."""
        with self._changed:
            threads, self._forgotten = set(self._forgotten), []
            for job in (*self._waiting, *(running.job for running in self._running)):
                if job.request.thread in threads:
                    job.request = replace(job.request, thread=None)
        for thread in threads:
            self._decoder.forget(thread)

    def _expire(self, job: Job) -> None:
        if not job.cancelled and job.request.deadline is not None:
            self._mail.post(job, DeadlineError(job.request.deadline, job.running.text if job.running else ""))

    def _admit(self) -> None:
        """Take requests out of the queue while there is a slot, and room in the cache for their prompts."""
        cache = self._decoder.cache
        with self._changed:
            while self._waiting and len(self._running) < self._options.slots:
                job = self._waiting[0]
                tokens = job.running.tokens if job.running is not None else job.tokens
                if self._running:
                    promised = sum(running.pending for running in self._running)
                    if cache.used + promised + len(tokens) - cache.held(tokens) >= cache.size:
                        break
                del self._waiting[0]
                if job.running is None:
                    most = min(job.request.max_tokens, self._options.context_length - len(job.tokens))
                    try:
                        job.running = Running(job, most, self._model.piece)
                    except Exception as error:  # noqa: BLE001 - one request's own trouble
                        self._mail.post(job, self._wrapped(error))
                        continue
                bisect.insort(self._running, job.running, key=lambda running: running.job.order)

    def _step(self) -> list[Part]:
        """One step of the model for all that run."""
        decoder = self._decoder
        parts = self._planned()
        decoder.begin()
        for part in parts:
            running = part.running
            if part.prompt and len(running.placed.tokens) == running.reused:
                self._reused += running.reused
            decoder.add(running.placed, part.tokens, part.outputs)
        started = time.perf_counter()
        rows = decoder.decode()
        at = 0
        for part in parts:
            decoder.cache.extend(part.running.placed, part.tokens)
            if part.prompt:
                decoder.cache.publish(part.running.placed)
        for part in parts:
            if part.outputs:
                self._choose(part, rows[at : at + part.outputs])
                at += part.outputs
        # llama.cpp builds a new graph where the number of rows has changed: that is not what these rows cost.
        if decoder.batch.size == self._last_rows or decoder.batch.size > _PROMPT_ROWS:
            self._cost.observe(decoder.batch.size, time.perf_counter() - started)
        self._last_rows = decoder.batch.size
        for part in parts:
            if part.outputs and part.running in self._running:
                self._tell(part.running)
        return parts

    def _planned(self) -> list[Part]:
        """A step that fits the cache; where it is full, drafts go first, and then the youngest request pauses."""
        cache = self._decoder.cache
        for drafts in (True, False):
            parts = plan_step(self._running, self._decoder, self._cost, drafts=drafts)
            if cache.reserve(sum(len(part.tokens) for part in parts)):
                return parts
        while len(self._running) > 1:
            youngest = self._running[-1]
            self._leave(youngest)
            self._preemptions += 1
            with self._changed:
                bisect.insort(self._waiting, youngest.job, key=lambda waiting: waiting.order)
            parts = plan_step(self._running, self._decoder, self._cost, drafts=False)
            if cache.reserve(sum(len(part.tokens) for part in parts)):
                return parts
        raise InferenceError(
            f"The cache of {cache.size} tokens is too small for one request of {len(self._running[0].tokens)} tokens."
        )

    def _choose(self, part: Part, rows: NDArray[np.float32]) -> None:
        """Take a token from each row of logits, as long as they agree with the draft."""
        running, right, before = part.running, 0, part.running.generated
        try:
            for row in rows:
                token = running.sampler.sample(row, running.remaining)
                running.take(token, running.sampler.logprob(row, token), ends=self._model.ends(token))
                if running.finish is not None or right == len(running.draft) or token != running.draft[right]:
                    break
                right += 1
        except Exception as error:  # noqa: BLE001 - one request's own trouble
            self._leave(running)
            self._mail.post(running.job, self._wrapped(error))
            return
        wrong = len(rows) - 1 - right
        if wrong:
            self._decoder.cache.truncate(running.placed, len(running.placed.tokens) - wrong)
        if running.draft:
            running.learn(right)
        self._accepted += right
        self._decoded += running.generated - before

    def _leave(self, running: Running) -> None:
        """Give up a request's place; what it has read is kept for reuse as long as there is room."""
        self._running.remove(running)
        if running.sequence is not None:
            self._decoder.cache.end(running.sequence, running.job.request.thread)
            running.sequence = None

    def _tell(self, running: Running) -> None:
        """Let the caller know of what is new; a request that has ended leaves."""
        chunk = running.chunk()
        if running.job.streaming and chunk is not None:
            self._mail.post(running.job, chunk)
        if running.finish is None:
            return
        self._leave(running)
        result = running.result()
        if not running.job.streaming:
            self._mail.post(running.job, result)
        if self._observe is not None:
            try:
                self._observe(result)
            except Exception:
                logger.exception("the engine's observer failed")

    def _fail(self, jobs: list[Job], error: InferenceError) -> None:
        for job in jobs:
            if not job.cancelled:
                self._mail.post(job, error)

    def _recover(self, error: Exception) -> None:
        """Fail what runs, and begin with an empty cache; what waits goes on."""
        self._fail([running.job for running in self._running], self._wrapped(error))
        self._running.clear()
        try:
            self._decoder.reset()
        except Exception as broken:
            logger.exception("the engine cannot go on")
            with self._changed:
                self._closed = True
                waiting, self._waiting = self._waiting, []
            self._fail(waiting, self._wrapped(broken))

    def _wrapped(self, error: Exception) -> InferenceError:
        """What a caller hears of an error."""
        if isinstance(error, InferenceError):
            return error
        logger.error("the engine failed", exc_info=error)
        return InferenceError(f"Generation with {self._model.header.name} failed: {error!r}.")

    def _report(self, parts: list[Part], seconds: float) -> None:
        """Bring the statistics up to date."""
        cache, old = self._decoder.cache, self._stats
        used = cache.used
        step = StepReport(
            rows=sum(len(part.tokens) for part in parts),
            prefill_tokens=sum(len(part.tokens) for part in parts if part.prompt),
            decode_tokens=self._decoded,
            reused_tokens=self._reused,
            drafted_tokens=sum(part.outputs - 1 for part in parts if part.outputs),
            accepted_tokens=self._accepted,
            preemptions=self._preemptions,
            waiting=len(self._waiting),
            running=len(self._running),
            kv_used=used,
            kv_cached=cache.size - cache.free - used,
            kv_size=cache.size,
            seconds=seconds,
        )
        self._decoded = self._accepted = self._preemptions = self._reused = 0
        self._stats = old.after(step)
        if self._observe_step is not None:
            try:
                self._observe_step(step)
            except Exception:
                logger.exception("the engine's observer failed")
