"""Who answers the inference benchmark's prompts: the engine, `Llama`, and a bare loop as the ceiling."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from freehold.inference import Engine, GenerationRequest
from freehold.inference.batch import Batch
from freehold.inference.llama_model import LlamaModel
from freehold.inference.options import EngineOptions

__all__ = ["CONTEXT", "SLOTS", "THREADS", "BareLoop", "EngineRunner", "LlamaRunner", "Runner", "Work"]

CONTEXT = 4096
SLOTS = 8
THREADS = 2
_BATCH = 512
"""Tokens per call of `llama_decode`: llama.cpp's own default."""


@dataclass(frozen=True)
class Work:
    """Prompts that are there at the same moment, each to be answered with so many tokens."""

    prompts: tuple[tuple[int, ...], ...]
    new_tokens: int
    shared: int = 0
    """Tokens with which all prompts begin."""

    @property
    def tokens(self) -> int:
        """Tokens to generate in all."""
        return len(self.prompts) * self.new_tokens


class Runner(Protocol):
    """Answers prompts, greedily."""

    name: str

    def forget(self) -> None:
        """Let go of earlier prompts, where that is possible."""

    def seconds(self, work: Work) -> float:
        """From the moment when all prompts are there until all answers are."""

    def close(self) -> None:
        """Free the model."""


def _check(expected: int, counted: int) -> None:
    if expected != counted:
        raise RuntimeError(f"{expected} tokens were asked for and {counted} came: the comparison would not be fair.")


class EngineRunner:
    """Freehold's engine with all requests at once, on one event loop."""

    name = "engine"

    def __init__(self, path: Path) -> None:
        self.engine = Engine(path, context_length=CONTEXT, threads=THREADS, slots=SLOTS)
        self.engine.load()
        self.options = EngineOptions(CONTEXT, self.engine.cache_tokens, slots=SLOTS, threads=THREADS)

    def forget(self) -> None:
        """Empty the cache of prefixes."""
        self.engine.clear_cache()

    def seconds(self, work: Work) -> float:
        """From the first submission to the last answer."""
        return asyncio.run(self.all_at_once(work))

    async def all_at_once(self, work: Work) -> float:
        """`seconds`, on an event loop that runs already."""
        started = time.perf_counter()
        results = await asyncio.gather(
            *(self.engine.generate(GenerationRequest(prompt, max_tokens=work.new_tokens)) for prompt in work.prompts)
        )
        spent = time.perf_counter() - started
        _check(work.tokens, sum(result.completion_tokens for result in results))
        return spent

    def first_token(self, prompt: Sequence[int]) -> float:
        """Seconds until the first piece of a streamed answer."""

        async def first() -> float:
            started = time.perf_counter()
            async with aclosing(self.engine.stream(GenerationRequest(tuple(prompt), max_tokens=8))) as stream:
                async for chunk in stream:
                    if chunk.text:
                        return time.perf_counter() - started
            raise RuntimeError("The answer held no text.")

        return asyncio.run(first())

    def close(self) -> None:
        """End the engine."""
        self.engine.close()


class LlamaRunner:
    """`llama_cpp.Llama` with its defaults: one request after another; it reuses what begins like its last prompt."""

    name = "Llama"

    def __init__(self, path: Path) -> None:
        from llama_cpp import Llama

        self._llama: Any = Llama(str(path), n_ctx=CONTEXT, n_threads=THREADS, n_threads_batch=THREADS, verbose=False)

    def forget(self) -> None:
        """Forget the last prompt."""
        self._llama.reset()

    def seconds(self, work: Work) -> float:
        """All prompts, in their order."""
        started = time.perf_counter()
        count = 0
        for prompt in work.prompts:
            reply = self._llama.create_completion(list(prompt), max_tokens=work.new_tokens, temperature=0.0)
            count += reply["usage"]["completion_tokens"]
        spent = time.perf_counter() - started
        _check(work.tokens, count)
        return spent

    def first_token(self, prompt: Sequence[int]) -> float:
        """Seconds until the first piece of a streamed answer."""
        started = time.perf_counter()
        stream = self._llama.create_completion(list(prompt), max_tokens=8, temperature=0.0, stream=True)
        try:
            for chunk in stream:
                if chunk["choices"][0]["text"]:
                    return time.perf_counter() - started
        finally:
            stream.close()
        raise RuntimeError("The answer held no text.")

    def close(self) -> None:
        """Free the model."""
        self._llama.close()


class BareLoop:
    """`llama_decode` and an argmax, and nothing else: what this processor can do with eight sequences in a batch.

    The prompts' shared beginning is computed once, and what a sequence holds already is not computed again.

    Args:
        path: The model.
        options: The engine's: the context is made as the engine makes its own.
    """

    name = "bare loop"

    def __init__(self, path: Path, options: EngineOptions) -> None:
        import llama_cpp

        self._llama = llama_cpp
        self._model = LlamaModel(path)
        parameters: Any = llama_cpp.llama_context_default_params()
        parameters.n_ctx = options.cache_tokens
        parameters.n_batch = parameters.n_ubatch = _BATCH
        parameters.n_seq_max = options.sequences
        parameters.n_threads = parameters.n_threads_batch = options.threads
        parameters.kv_unified = True
        parameters.flash_attn_type = (
            llama_cpp.LLAMA_FLASH_ATTN_TYPE_ENABLED
            if options.flash_attention
            else llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
        )
        self._context = self._model.new_context(parameters)
        self._memory: Any = llama_cpp.llama_get_memory(self._context)
        self._vocabulary = llama_cpp.llama_vocab_n_tokens(self._model.vocab)
        self._batch = Batch(_BATCH)
        self._slots = options.slots
        self._held: list[list[int]] = [[] for _ in range(options.slots)]
        self.steps: list[float] = []
        """When each decode step of the last work ended."""
        self.answers: list[list[int]] = []
        """The tokens of the last work's answers."""

    def forget(self) -> None:
        """Empty the cache."""
        self._llama.llama_memory_clear(self._memory, True)
        self._held = [[] for _ in range(self._slots)]

    def seconds(self, work: Work) -> float:
        """Prefill, then one token for every sequence in each step."""
        started = time.perf_counter()
        prompts = [list(prompt) for prompt in work.prompts]
        if any(self._keep(number, prompt) < work.shared for number, prompt in enumerate(prompts)):
            self.forget()
            self._prefill([(0, prompts[0][: work.shared])])
            for number in range(1, len(prompts) if work.shared else 0):
                self._llama.llama_memory_seq_cp(self._memory, 0, number, -1, -1)
                self._held[number] = prompts[0][: work.shared]
        # The last token of each prompt goes into the first step.
        self._prefill([(number, prompt[len(self._held[number]) : -1]) for number, prompt in enumerate(prompts)])
        newest = [prompt[-1] for prompt in prompts]
        self.steps = [time.perf_counter()]
        for _ in range(work.new_tokens):
            newest = self._step(newest)
            self.steps.append(time.perf_counter())
        spent = time.perf_counter() - started
        whole = zip(prompts, self._held, newest, strict=False)
        self.answers = [[*held[len(prompt) :], last] for prompt, held, last in whole]
        return spent

    def _keep(self, number: int, prompt: list[int]) -> int:
        """Cut what a sequence holds down to what it shares with a prompt; return how much that is."""
        held, length = self._held[number], 0
        while length < min(len(held), len(prompt) - 1) and held[length] == prompt[length]:
            length += 1
        self._llama.llama_memory_seq_rm(self._memory, number, length, -1)
        del held[length:]
        return length

    def _prefill(self, parts: list[tuple[int, list[int]]]) -> None:
        self._batch.clear()
        for number, tokens in parts:
            at = 0
            while at < len(tokens):
                part = tokens[at : at + self._batch.capacity - self._batch.size]
                at += len(part)
                self._batch.add(part, len(self._held[number]), number, 0)
                self._held[number] += part
                if self._batch.size == self._batch.capacity:
                    self._decode()
        if self._batch.size:
            self._decode()

    def _step(self, newest: list[int]) -> list[int]:
        self._batch.clear()
        for number, token in enumerate(newest):
            self._batch.add([token], len(self._held[number]), number, 1)
            self._held[number].append(token)
        self._decode()
        logits = np.ctypeslib.as_array(
            self._llama.llama_get_logits(self._context), shape=(len(newest), self._vocabulary)
        )
        return [int(token) for token in logits.argmax(axis=1)]

    def _decode(self) -> None:
        if self._llama.llama_decode(self._context, self._batch.ready()) != 0:
            raise RuntimeError("llama_decode failed in the bare loop.")
        self._batch.clear()

    def close(self) -> None:
        """Free context and model."""
        self._llama.llama_free(self._context)
        self._model.close()
