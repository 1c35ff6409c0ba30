"""Chooses the next token of one request: bias, penalties, guide, and a draw from what is left."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from freehold.errors import InferenceError, UserError
from freehold.inference.candidates import candidates, draw, largest
from freehold.inference.generation import GenerationRequest, TokenLogprob

if TYPE_CHECKING:
    from freehold.inference.guide import Guide

__all__ = ["Sampler", "check_request"]

_MOST_BIAS = 1e30
"""Above it a sum of logits would no longer be a float32."""


def check_request(request: GenerationRequest, vocabulary: int | None = None) -> None:
    """Refuse values that cannot be used; schemas and grammars are checked where they are compiled.

    Args:
        request: What the caller asks for.
        vocabulary: Tokens that the model has, where it is known; the tokens of `logit_bias` must be among them.

    Raises:
        UserError: A value lies outside its range; the message says which.
    """
    for name in ("max_tokens", "top_k", "penalty_window", "priority", "seed", "logprobs"):
        value = getattr(request, name)
        if not isinstance(value, int) and not (value is None and name in ("seed", "logprobs")):
            raise UserError(f"{name}={value!r} cannot be used for generation: it must be a whole number.")
    for name in (
        "temperature",
        "top_p",
        "min_p",
        "repeat_penalty",
        "frequency_penalty",
        "presence_penalty",
        "deadline",
    ):
        value = getattr(request, name)
        if not isinstance(value, int | float) and not (value is None and name == "deadline"):
            raise UserError(f"{name}={value!r} cannot be used for generation: it must be a number.")
    if isinstance(request.stop, str) or not all(isinstance(text, str) for text in request.stop):
        raise UserError(f"stop={request.stop!r} cannot be used for generation: it must be a sequence of strings.")
    inf = math.inf
    tops, seconds = request.logprobs, request.deadline
    checks = (
        ("max_tokens", request.max_tokens, request.max_tokens >= 1, "1 or more"),
        ("temperature", request.temperature, 0 <= request.temperature < inf, "0 or more"),
        ("top_p", request.top_p, 0 < request.top_p <= 1, "above 0, at most 1"),
        ("top_k", request.top_k, request.top_k >= 0, "0 or more"),
        ("min_p", request.min_p, 0 <= request.min_p <= 1, "0 to 1"),
        ("seed", request.seed, request.seed is None or 0 <= request.seed < 2**32, "0 to 4294967295, or None"),
        ("repeat_penalty", request.repeat_penalty, 0.01 <= request.repeat_penalty <= 100, "0.01 to 100"),
        ("frequency_penalty", request.frequency_penalty, -100 <= request.frequency_penalty <= 100, "-100 to 100"),
        ("presence_penalty", request.presence_penalty, -100 <= request.presence_penalty <= 100, "-100 to 100"),
        ("penalty_window", request.penalty_window, request.penalty_window >= 0, "0 or more"),
        ("logprobs", tops, tops is None or 0 <= tops <= 20, "0 to 20, or None"),
        ("deadline", seconds, seconds is None or 0 < seconds < inf, "seconds above 0, or None"),
    )
    for name, value, holds, allowed in checks:
        if not holds:
            raise UserError(f"{name}={value!r} cannot be used for generation: it must be {allowed}.")
    for token, bias in request.logit_bias.items():
        if not isinstance(token, int) or token < 0 or (vocabulary is not None and token >= vocabulary):
            known = "0 or more" if vocabulary is None else f"0 to {vocabulary - 1}"
            raise UserError(f"logit_bias names the token {token!r}: this model's tokens are {known}.")
        if bias != -inf and not -_MOST_BIAS <= bias <= _MOST_BIAS:
            raise UserError(f"logit_bias={bias!r} of token {token} cannot be used: it must be a number or -inf.")


class Sampler:
    """State of one request's sampling; used by one thread.

    Order and meaning are those of llama.cpp's chain: bias, penalties, guide, top-k, top-p, min-p, temperature, draw.
    One random number is drawn for each token, so that a seed gives the same text whatever was drafted.

    Args:
        request: What the caller asks for, as `check_request` lets it pass.
        prompt: Its tokens; the penalties look at the newest of them.
        guide: Says what a grammar allows; None for free text.
        pieces: What a token stands for, for log-probabilities.

    Example:
        >>> sampler = Sampler(GenerationRequest("", logit_bias={2: -9.0}), [], None, lambda token: b"")
        >>> sampler.sample(np.array([0, 1, 5], np.float32), remaining=1)
        1
    """

    def __init__(
        self, request: GenerationRequest, prompt: Sequence[int], guide: Guide | None, pieces: Callable[[int], bytes]
    ) -> None:
        self._request, self._guide, self._pieces = request, guide, pieces
        self._greedy = request.temperature == 0 or request.top_k == 1
        self._generator = None if self._greedy else np.random.Generator(np.random.PCG64(request.seed))
        self._biased = np.array(list(request.logit_bias), np.intp)
        self._bias = np.array(list(request.logit_bias.values()), np.float32)
        penalties = (request.repeat_penalty, request.frequency_penalty, request.presence_penalty)
        self._penalised = request.penalty_window > 0 and penalties != (1.0, 0.0, 0.0)
        self._window: deque[int] = deque()
        self._counts: Counter[int] = Counter()
        if self._penalised:
            for token in islice(prompt, max(0, len(prompt) - request.penalty_window), None):
                self._remember(token)
        self._alters = bool(self._penalised or request.logit_bias or guide is not None)

    def sample(self, logits: NDArray[np.float32], remaining: int) -> int:
        """Choose the next token, without accepting it.

        Args:
            logits: One row of the model's output, the whole vocabulary. It may be overwritten, except where the
                request wants log-probabilities: `logprob` needs it as it was.
            remaining: Tokens that may still be generated, this one too: a guide ends its text in time.

        Raises:
            InferenceError: The logits are no numbers, or no token may come next.
        """
        if not self._alters and self._greedy:
            return self._likeliest(logits)
        if self._alters and self._request.logprobs is not None:
            logits = logits.copy()
        if self._bias.size:
            logits[self._biased] += self._bias
        if self._penalised and self._counts:
            self._penalise(logits)
        if self._guide is not None:
            if self._greedy and not self._guide.closing(remaining):
                # The likeliest token of all is also the likeliest of those allowed, if it is one of them.
                token = self._likeliest(logits)
                if self._guide.allows(token):
                    return token
            self._guide.mask(logits, remaining)
        if self._generator is None:
            return self._likeliest(logits)
        self._check(float(logits.max()))
        tokens, weights = candidates(logits, self._request)
        place = draw(weights, self._generator.random())
        return place if tokens is None else int(tokens[place])

    def accept(self, token: int) -> None:
        """Remember a token that was generated: what comes next depends on it."""
        if self._penalised:
            self._remember(token)
        if self._guide is not None:
            self._guide.accept(token)

    def logprob(self, logits: NDArray[np.float32], token: int) -> TokenLogprob | None:
        """The token's log-probability in the model's own distribution; None where the request does not want it."""
        count = self._request.logprobs
        if count is None:
            return None
        top = logits.max()
        whole = float(top) + math.log(np.exp(logits - top).sum(dtype=np.float64))
        likeliest = [(one, self._pieces(one), float(logits[one]) - whole) for one in largest(logits, count).tolist()]
        return TokenLogprob(token, self._pieces(token), float(logits[token]) - whole, tuple(likeliest))

    def _remember(self, token: int) -> None:
        self._window.append(token)
        self._counts[token] += 1
        if len(self._window) > self._request.penalty_window:
            oldest = self._window.popleft()
            self._counts[oldest] -= 1
            if not self._counts[oldest]:
                del self._counts[oldest]

    def _penalise(self, logits: NDArray[np.float32]) -> None:
        request, size = self._request, len(self._counts)
        tokens = np.fromiter(self._counts.keys(), np.intp, size)
        counts = np.fromiter(self._counts.values(), np.float32, size)
        values, repeat = logits[tokens], np.float32(request.repeat_penalty)
        # Dividing a negative logit would make its token likelier.
        values = np.where(values <= 0, values * repeat, values / repeat)
        frequency, presence = np.float32(request.frequency_penalty), np.float32(request.presence_penalty)
        logits[tokens] = values - (counts * frequency + presence)

    def _likeliest(self, logits: NDArray[np.float32]) -> int:
        token = int(logits.argmax())  # the first NaN where there is one, and of equal values the first
        self._check(float(logits[token]))
        return token

    @staticmethod
    def _check(top: float) -> None:
        """Refuse a row by its largest logit."""
        if top == -math.inf:
            raise InferenceError("No token may come next: logit_bias or the grammar forbids every one.")
        if not math.isfinite(top):
            raise InferenceError(f"The model gave a logit of {top}: its file may be damaged.")
