"""How much memory a model takes, told from its file's header before anything is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from freehold.inference.gguf import ModelHeader

__all__ = [
    "ContextShape",
    "MemoryEstimate",
    "embedding_memory_estimate",
    "loaded_memory",
    "memory_estimate",
]

_F16, _F32 = 2, 4
_PLAIN_FEED_FORWARD = frozenset(
    {
        "bert",
        "bloom",
        "falcon",
        "gpt2",
        "gptneox",
        "jina-bert-v2",
        "mpt",
        "nomic-bert",
        "phi2",
        "starcoder",
        "t5encoder",
    }
)
"""Architectures whose feed-forward part holds one row of its width for each token; gated ones hold three."""


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes that a loaded model takes.

    Example:
        >>> MemoryEstimate(weights=400, kv_cache=90, compute=10).total
        500
    """

    weights: int
    """The file. Where llama.cpp rearranges it into a copy for the processor, the system can drop the file's pages."""
    kv_cache: int
    """Keys and values of all cells."""
    compute: int
    """Intermediate results and logits: what llama.cpp sets aside, whether or not the work touches it all."""

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.kv_cache + self.compute


def _per_layer(header: ModelHeader, key: str, layers: int, default: int = 0) -> list[int]:
    """A number of each layer; most files give one for all."""
    value: Any = header.metadata.get(f"{header.architecture}.{key}", default)
    if isinstance(value, tuple):
        return [int(item) for item in value][:layers] or [default]
    return [int(value)] * layers


@dataclass(frozen=True)
class ContextShape:
    """How a llama.cpp context is made, as far as memory goes."""

    batch: int = 512
    """Tokens that go through the model in one piece."""
    sequences: int = 40
    """Rows of results that are kept: one for each sequence, or of an embedding model one for each token."""
    outputs: int | None = 64
    """Rows of logits that a batch may ask for; None is one for each of its tokens."""
    flash_attention: bool = True
    """Without it, the attention scores of a whole batch are held at once."""


def memory_estimate(
    header: ModelHeader,
    cache_tokens: int,
    shape: ContextShape = ContextShape(),
) -> MemoryEstimate:
    """What llama.cpp will allocate for a model, to within a few percent for the usual transformers.

    Args:
        header: Of the GGUF file.
        cache_tokens: Cells of the cache of keys and values; an encoder has none.
        shape: How the context is made.

    Example:
        >>> from freehold.inference import read_header
        >>> from freehold.models import DEMO_MODEL, model_path
        >>> memory_estimate(read_header(model_path(DEMO_MODEL)), cache_tokens=1024).kv_cache == 6 * 2**20
        True

    Source: `llama_kv_cache` and the graphs of `llama-graph.cpp`, whose sizes llama.cpp logs (`FREEHOLD_LLAMA_LOG=1`).
    """

    def number(key: str, default: int = 0) -> int:
        value = header.metadata.get(f"{header.architecture}.{key}", default)
        return int(value) if isinstance(value, int | float) else default

    width, layers = header.embedding_length, number("block_count")
    heads = _per_layer(header, "attention.head_count", layers, 1)
    heads_kv = _per_layer(header, "attention.head_count_kv", layers)
    if f"{header.architecture}.attention.head_count_kv" not in header.metadata:
        heads_kv = heads
    most = max([1, *heads])
    head = width // most
    key, value = number("attention.key_length", head), number("attention.value_length", head)
    kv_cache = sum(heads_kv) * (key + value) * _F16 * cache_tokens if header.causal else 0

    batch = min(shape.batch, cache_tokens)
    row = batch * width * _F32
    row_kv = batch * max([0, *heads_kv]) * max(key, value) * _F32
    seen = cache_tokens if header.causal else batch
    mask = batch * seen * (_F16 if shape.flash_attention else _F32)
    scores = 0 if shape.flash_attention else batch * seen * most * _F32
    attention = mask + scores + 5 * row + 2 * row_kv
    wide = batch * _F32 * max([0, *_per_layer(header, "feed_forward_length", layers)])
    used = number("expert_used_count")  # a mixture of experts holds the rows of each expert that it uses
    wide = max(wide, used * batch * _F32 * number("expert_feed_forward_length"))
    plain = header.architecture in _PLAIN_FEED_FORWARD
    feed_forward = mask + (wide + 3 * row if plain else 3 * wide + 4 * row)
    asked = batch if shape.outputs is None else min(batch, shape.outputs)
    logits = asked * header.vocabulary_size * _F32 + 2 * row if header.causal else 0
    results = shape.sequences * (header.vocabulary_size + width) * _F32
    return MemoryEstimate(header.file_size, kv_cache, max(attention, feed_forward, logits) + results)


def embedding_memory_estimate(header: ModelHeader) -> MemoryEstimate:
    """What an embedding model or a reranker takes once its longest text has gone through `LlamaEmbeddings`.

    A text goes through in one piece, and llama.cpp keeps a row of results for each of its tokens.
    """
    tokens = max(256, min(header.context_length or 256, 8192))
    return memory_estimate(header, tokens, ContextShape(tokens, tokens, None, flash_attention=False))


def loaded_memory(
    header: ModelHeader,
    *,
    context_length: int | None = None,
    cache_tokens: int | None = None,
    slots: int = 8,
    flash_attention: bool = True,
) -> MemoryEstimate:
    """What a model takes as Freehold loads it for its task; None stands for what the engine chooses itself."""
    if not header.causal or header.pooling not in (None, "none"):
        return embedding_memory_estimate(header)
    from freehold.inference.options import EngineOptions, default_cache_tokens, default_context_length

    length = context_length or default_context_length(header)
    cells = cache_tokens or default_cache_tokens(length)
    options = EngineOptions(min(length, cells), cells, slots, threads=1, flash_attention=flash_attention)
    shape = ContextShape(512, options.sequences, options.outputs, flash_attention)
    return memory_estimate(header, cells, shape)
