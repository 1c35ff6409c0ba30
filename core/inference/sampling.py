"""The way from a request to llama.cpp's chain of samplers."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from freehold.errors import InferenceError, UserError
from freehold.inference.generation import GenerationRequest

__all__ = ["check_request", "grammar_text", "sampler"]


@lru_cache(maxsize=128)
def _schema_grammar(schema: str) -> str:
    from llama_cpp.llama_grammar import json_schema_to_gbnf

    try:
        grammar = json_schema_to_gbnf(schema)
    except Exception as error:  # the converter raises whatever a schema provokes
        raise UserError(
            f"This JSON schema cannot be turned into a grammar: {error!r}. Schema: {schema[:500]}"
        ) from error
    return str(grammar)


def grammar_text(request: GenerationRequest) -> str | None:
    """The GBNF grammar that a request asks for, or None.

    Raises:
        UserError: The JSON schema cannot be turned into a grammar, or both forms are given.
    """
    if request.json_schema is None:
        return request.grammar
    if request.grammar is not None:
        raise UserError("A generation follows a JSON schema or a grammar, not both: leave one of them out.")
    schema: Mapping[str, Any] = request.json_schema
    return _schema_grammar(json.dumps(schema))


def check_request(request: GenerationRequest) -> None:
    """Refuse values that llama.cpp would take in silence.

    Raises:
        UserError: A value lies outside its range; the message says which.
    """
    checks = (
        ("max_tokens", request.max_tokens, request.max_tokens >= 1, "1 or more"),
        ("temperature", request.temperature, 0 <= request.temperature < float("inf"), "0 or more"),
        ("top_p", request.top_p, 0 < request.top_p <= 1, "above 0, at most 1"),
        ("top_k", request.top_k, request.top_k >= 0, "0 or more"),
        ("min_p", request.min_p, 0 <= request.min_p <= 1, "0 to 1"),
        ("seed", request.seed, request.seed is None or 0 <= request.seed < 2**32, "0 to 4294967295, or None"),
    )
    for name, value, holds, allowed in checks:
        if not holds:
            raise UserError(f"{name}={value} cannot be used for generation: it must be {allowed}.")


@contextmanager
def sampler(vocab: Any, request: GenerationRequest) -> Iterator[Any]:
    """The request's `llama_sampler *`, freed at the end.

    Raises:
        InferenceError: llama.cpp does not accept the grammar.
        UserError: The JSON schema cannot be turned into a grammar.
    """
    import llama_cpp

    chain: Any = llama_cpp.llama_sampler_chain_init(llama_cpp.llama_sampler_chain_default_params())
    try:
        grammar = grammar_text(request)
        if grammar is not None:
            rules = llama_cpp.llama_sampler_init_grammar(vocab, grammar.encode(), b"root")
            if not rules:
                raise InferenceError(f"llama.cpp cannot read this grammar: {grammar[:500]!r}. It needs a rule `root`.")
            llama_cpp.llama_sampler_chain_add(chain, rules)
        if request.temperature == 0:
            llama_cpp.llama_sampler_chain_add(chain, llama_cpp.llama_sampler_init_greedy())
        else:
            seed = request.seed if request.seed is not None else random.getrandbits(32)
            for part in (
                llama_cpp.llama_sampler_init_top_k(request.top_k),
                llama_cpp.llama_sampler_init_top_p(request.top_p, 1),
                llama_cpp.llama_sampler_init_min_p(request.min_p, 1),
                llama_cpp.llama_sampler_init_temp(request.temperature),
                llama_cpp.llama_sampler_init_dist(seed),
            ):
                llama_cpp.llama_sampler_chain_add(chain, part)
        yield chain
    finally:
        llama_cpp.llama_sampler_free(chain)
