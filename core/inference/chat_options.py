"""The chat model's options in the engine's terms, and the engine's results in LangChain's and OpenAI's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages.ai import InputTokenDetails, UsageMetadata

from freehold.errors import UserError
from freehold.inference.generation import GenerationChunk, GenerationResult, TokenLogprob

__all__ = ["logprobs_content", "request_options", "usage_of"]


def request_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a call in `GenerationRequest`'s terms: OpenAI's `logprobs`, `logit_bias` and LangChain's `timeout`.

    Raises:
        UserError: `logit_bias` names something else than tokens.

    Example:
        >>> request_options({"logprobs": True, "timeout": 5, "temperature": 0.5})
        {'temperature': 0.5, 'logprobs': 0, 'deadline': 5}
    """
    values = dict(options)
    wanted, top = values.pop("logprobs", None), values.pop("top_logprobs", None)
    if wanted or top:
        values["logprobs"] = top or 0
    timeout = values.pop("timeout", None)
    if timeout is not None:
        values["deadline"] = timeout
    bias = values.pop("logit_bias", None)
    if bias:
        try:
            values["logit_bias"] = {int(token): float(added) for token, added in bias.items()}
        except (TypeError, ValueError, AttributeError) as error:
            raise UserError(f"logit_bias={bias!r} cannot be used: give numbers by token id.") from error
    return values


def usage_of(result: GenerationResult | GenerationChunk) -> UsageMetadata:
    """The account of tokens; those whose keys and values were there already count as read from a cache."""
    return UsageMetadata(
        input_tokens=result.prompt_tokens,
        output_tokens=result.completion_tokens,
        total_tokens=result.prompt_tokens + result.completion_tokens,
        input_token_details=InputTokenDetails(cache_read=result.reused_tokens),
    )


def logprobs_content(logprobs: Sequence[TokenLogprob]) -> dict[str, Any]:
    """Log-probabilities as OpenAI writes them."""
    return {
        "content": [
            {**_entry(one.piece, one.logprob), "top_logprobs": [_entry(piece, value) for _, piece, value in one.top]}
            for one in logprobs
        ]
    }


def _entry(piece: bytes, logprob: float) -> dict[str, Any]:
    return {"token": piece.decode("utf-8", "replace"), "bytes": list(piece), "logprob": logprob}
