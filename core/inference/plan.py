"""What goes into a step: newest tokens with their drafts first, then as much of the prompts as fits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from freehold.inference.decoder import Decoder
from freehold.inference.draft_length import StepCost
from freehold.inference.prefix_tree import common_prefix
from freehold.inference.running import Running

__all__ = ["Part", "plan_step"]

_LONGEST_DRAFT = 16
"""Tokens that one request drafts at most."""

_PAUSE = 0.8
"""Seconds that a chunk of somebody's prompt may hold up the answers that are being written."""

_SMALLEST_CHUNK = 64
"""Tokens of a chunk at least: smaller ones cost more per token."""

_USUAL_CHUNK = 256
"""Tokens of a chunk that its cost is judged by."""

_TILE = 16
"""Rows that llama.cpp's kernels multiply together: what is left over is paid for row by row."""

_WORTH_WAITING = 32
"""Tokens that two prompts must share for one to wait until the other has read them."""

_REMEMBERED = 4096
"""Tokens of an earlier answer that are kept in mind as a draft."""


@dataclass(slots=True)
class Part:
    """What one request puts into a step."""

    running: Running
    tokens: list[int]
    outputs: int
    """Rows of logits wanted, for the last ones of the tokens."""
    prompt: bool
    """Whether these are tokens of a prompt, or of a paused request's text, that is being read."""


def plan_step(running: Sequence[Running], decoder: Decoder, cost: StepCost, *, drafts: bool) -> list[Part]:
    """Choose the next step's tokens; requests that have no place in the cache yet get one.

    Args:
        running: Requests at work, the most important first.
        decoder: Its batch and cache are the limits.
        cost: What a step costs.
        drafts: Whether there is room for drafts.
    """
    parts = _answers(running, decoder, cost, drafts=drafts)
    rows = sum(len(part.tokens) for part in parts)
    budget = decoder.batch.capacity - rows
    if parts:
        per_row = cost.predict(_USUAL_CHUNK) / _USUAL_CHUNK
        budget = min(budget, max(_SMALLEST_CHUNK, int(_PAUSE / max(per_row, 1e-9))))
    for request in running:
        if budget <= 0:
            break
        if request.pending == 1 and request.sequence is not None:
            continue
        if request.sequence is None:
            if _waits(request, running, decoder):
                continue
            _begin(request, decoder)
        take = min(request.pending, budget)
        if take < request.pending:  # the last prompt of this step
            take -= (rows + take) % _TILE if take > _TILE else 0
        done = request.pending - take
        request.draft = []
        start = len(request.tokens) - request.pending
        parts.append(Part(request, request.tokens[start : start + take], 0 if done else 1, prompt=True))
        rows += take
        budget = 0 if done else budget - take
    return parts


def _answers(running: Sequence[Running], decoder: Decoder, cost: StepCost, *, drafts: bool) -> list[Part]:
    """The newest token of every request that writes its answer, with what it drafts."""
    writing = [request for request in running if request.sequence is not None and request.pending == 1]
    parts = []
    rows = len(writing)
    longest = 0
    if drafts and writing and decoder.cache.sharing:
        longest = min(_LONGEST_DRAFT, (decoder.most_outputs - len(running)) // len(writing))
    for request in writing:
        request.propose(rows, longest, cost)
        rows += len(request.draft)
        parts.append(Part(request, [request.tokens[-1], *request.draft], 1 + len(request.draft), prompt=False))
    return parts


def _waits(request: Running, running: Sequence[Running], decoder: Decoder) -> bool:
    """Whether another request is just reading what this one needs too: computed once, it serves both."""
    if not decoder.cache.sharing:
        return False
    known = decoder.cache.known(request.tokens)
    return any(
        other.pending > 1 and common_prefix(other.tokens, request.tokens) >= known + _WORTH_WAITING
        for other in running
        if other is not request and other.sequence is not None
    )


def _begin(request: Running, decoder: Decoder) -> None:
    """Give a request its sequence, with all that is known of its tokens."""
    first = not request.begun
    request.begun = True
    if first and request.job.request.lookup and decoder.cache.sharing:
        request.remembered = decoder.cache.tree.continuation(request.tokens, _REMEMBERED)
    sequence = decoder.restore(request.tokens) if request.job.request.thread is not None else None
    request.sequence = sequence or decoder.cache.begin(request.tokens)
    if first:
        request.reused = len(request.sequence.tokens)
