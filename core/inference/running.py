"""A request at work: its tokens, its text, and what it has yet to say."""

from __future__ import annotations

import time
from collections.abc import Callable

from freehold.inference.draft_length import DraftLength, StepCost
from freehold.inference.generation import FinishReason, GenerationChunk, GenerationResult, TokenLogprob
from freehold.inference.job import Job
from freehold.inference.kv_cache import CachedSequence
from freehold.inference.prompt_lookup import PromptLookup
from freehold.inference.sampling import Sampler
from freehold.inference.text_stream import TextStream

__all__ = ["Running"]

_CERTAIN = 20
"""Accepted tokens that drafts are credited with where a grammar forces them, or the same prompt had them as answer."""


class Running:
    """The state of one request between steps. It outlives its place in the cache: a paused request goes on from it.

    Args:
        job: The request.
        most: Tokens that it may generate.
        piece: The bytes of a token.
    """

    def __init__(self, job: Job, most: int, piece: Callable[[int], bytes]) -> None:
        self.job = job
        self.tokens = list(job.tokens)
        """The prompt, then what was generated."""
        self.sequence: CachedSequence | None = None
        """What of it is in the cache; None before it begins, and while it is paused."""
        self.sampler = Sampler(job.request, job.tokens, job.guide, piece)
        self.remembered: list[int] = []
        """What followed this prompt the last time."""
        self.draft: list[int] = []
        """What this step tries beside the newest token."""
        self.finish: FinishReason | None = None
        self.begun = False
        """Whether it has had a place in the cache before."""
        self.reused = 0
        self._most = most
        self._piece = piece
        self._text = TextStream(job.request.stop)
        self._parts: list[str] = []
        self._ready = ""
        self.generated = 0
        """Tokens generated so far."""
        self._started = time.perf_counter()
        self._prefill = 0.0
        self._logprobs: list[TokenLogprob] = []
        self._told = 0
        self._lookup: PromptLookup | None = None
        self._lookup_length = DraftLength()
        self._certain_length = DraftLength(_CERTAIN)
        self._length = self._lookup_length
        self._drafted = 0
        self._accepted = 0

    @property
    def pending(self) -> int:
        """Tokens that the model has yet to read; 1 while it generates."""
        return len(self.tokens) - (len(self.sequence.tokens) if self.sequence is not None else 0)

    @property
    def placed(self) -> CachedSequence:
        """Its place in the cache, where it has one."""
        assert self.sequence is not None  # noqa: S101 - a plan gives it one before the step
        return self.sequence

    @property
    def remaining(self) -> int:
        """Tokens that may still be generated."""
        return self._most - self.generated

    @property
    def text(self) -> str:
        """What has been said so far."""
        return "".join(self._parts) + self._ready

    def propose(self, rows: int, limit: int, cost: StepCost) -> None:
        """Choose a draft for the next step, where one pays.

        Args:
            rows: Tokens that are in the step already.
            limit: Most tokens to draft.
            cost: What a step costs.
        """
        self.draft = []
        limit = min(limit, self.remaining - 1)
        if limit < 1:
            return
        guide = self.job.guide
        found = guide.forced(limit) if guide is not None else []
        if not found and self.job.request.lookup:
            found = self._remembered(limit)
        self._length = self._certain_length if found else self._lookup_length
        if not found and self.job.request.lookup:
            found = self._looked_up(limit)
        if found:
            self.draft = found[: self._length.choose(len(found), rows, cost)]

    def _remembered(self, limit: int) -> list[int]:
        said = len(self.tokens) - len(self.job.tokens)
        if len(self.remembered) <= said or self.tokens[-1] != self.remembered[said - 1]:
            self.remembered = []
            return []
        return self.remembered[said : said + limit]

    def _looked_up(self, limit: int) -> list[int]:
        if self._lookup is None:
            self._lookup = PromptLookup(self.tokens)
        return self._lookup.draft(limit)

    def learn(self, accepted: int) -> None:
        """How much of the draft was right."""
        self._length.learn(len(self.draft), accepted)
        self._drafted += len(self.draft)
        self._accepted += accepted

    def take(self, token: int, logprob: TokenLogprob | None, *, ends: bool) -> None:
        """Go on with a token that was chosen; `ends` where the model says that it is done."""
        if not self._prefill:
            self._prefill = time.perf_counter() - self._started
        if ends:
            self.finish = "stop"
            return
        self.generated += 1
        self.tokens.append(token)
        self.sampler.accept(token)
        if self._lookup is not None:
            self._lookup.push(token)
        if logprob is not None:
            self._logprobs.append(logprob)
        self._ready += self._text.push(self._piece(token))
        if self._text.stopped or (self.job.guide is not None and self.job.guide.finished):
            self.finish = "stop"
        elif self.generated >= self._most:
            # A whole document counts as ended; of free text under a tool's grammar nobody can tell.
            whole = self.job.request.json_schema is not None and self.job.guide is not None and self.job.guide.complete
            self.finish = "stop" if whole else "length"

    def chunk(self) -> GenerationChunk | None:
        """What is new since the last call, for a caller that streams; None where nothing can be shown yet."""
        if self.finish is not None:
            self._ready += self._text.finish()
        new, self._ready = self._ready, ""
        self._parts.append(new)
        if not new and self.finish is None:
            return None
        told, self._told = self._told, len(self._logprobs)
        return GenerationChunk(
            text=new,
            finish_reason=self.finish,
            prompt_tokens=len(self.job.tokens),
            completion_tokens=self.generated,
            prefill_seconds=self._prefill,
            seconds=time.perf_counter() - self._started,
            logprobs=tuple(self._logprobs[told:]),
            reused_tokens=self.reused,
        )

    def result(self) -> GenerationResult:
        """The whole, at the end."""
        return GenerationResult(
            text=self.text,
            finish_reason=self.finish or "length",
            prompt_tokens=len(self.job.tokens),
            completion_tokens=self.generated,
            prefill_seconds=self._prefill,
            seconds=time.perf_counter() - self._started,
            queued_seconds=self._started - self.job.submitted,
            reused_tokens=self.reused,
            drafted_tokens=self._drafted,
            accepted_tokens=self._accepted,
            logprobs=tuple(self._logprobs),
        )
