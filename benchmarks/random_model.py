"""Writes a language model of random weights: a real model's shape and speed without its download."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from freehold.models import DEMO_MODEL, model_path

if TYPE_CHECKING:
    import gguf

__all__ = ["QWEN2_05B", "TINY", "ModelShape", "WeightType", "write_random_model"]

WeightType = Literal["Q4_0", "Q8_0"]

_BLOCK = 32
"""Weights that share one scale, in both types."""


@dataclass(frozen=True)
class ModelShape:
    """The sizes of a Qwen2 model; widths are multiples of 32."""

    layers: int
    width: int
    heads: int
    key_value_heads: int
    feed_forward: int
    context_length: int = 32_768


QWEN2_05B = ModelShape(layers=24, width=896, heads=14, key_value_heads=2, feed_forward=4864)
"""Qwen2-0.5B, but for its vocabulary: 204 MB at Q4_0."""

TINY = ModelShape(layers=2, width=128, heads=2, key_value_heads=1, feed_forward=256, context_length=4096)
"""Answers thousands of tokens per second: for what does not depend on the weights."""


def _q4_0(random: np.random.Generator, rows: int, columns: int, deviation: float) -> NDArray[np.uint8]:
    """Blocks of a half-precision scale and 32 values of 4 bits, -7 to 7.

    Their mean is zero. Random bytes would be -8 to 7, and every answer the same token again and again.
    """
    blocks = np.empty((rows, columns // _BLOCK, 18), np.uint8)
    blocks[..., :2] = np.frombuffer(np.float16(deviation / 4.32).tobytes(), np.uint8)
    nibbles = random.integers(1, 16, (rows, columns // _BLOCK, 32), dtype=np.uint8)
    blocks[..., 2:] = nibbles[..., :16] | nibbles[..., 16:] << 4
    return blocks.reshape(rows, -1)


def _q8_0(random: np.random.Generator, rows: int, columns: int, deviation: float) -> NDArray[np.uint8]:
    """Blocks of a half-precision scale and 32 values of 8 bits, -127 to 127."""
    blocks = np.empty((rows, columns // _BLOCK, 34), np.uint8)
    blocks[..., :2] = np.frombuffer(np.float16(deviation / 73.3).tobytes(), np.uint8)
    blocks[..., 2:] = random.integers(-127, 128, (rows, columns // _BLOCK, 32), dtype=np.int8).view(np.uint8)
    return blocks.reshape(rows, -1)


def _whole_text(token: str) -> bool:
    """Whether a byte-level token is printable ASCII and blanks: no control token, no part of a character."""
    return not token.startswith("<|") and all(letter == "Ġ" or "!" <= letter <= "~" for letter in token)


def _describe(writer: gguf.GGUFWriter, shape: ModelShape, weights: WeightType) -> list[str]:
    """Write everything but the tensors; return the vocabulary."""
    import gguf

    source = gguf.GGUFReader(model_path(DEMO_MODEL))

    def field(name: str) -> Any:
        return source.fields[f"tokenizer.{name}"].contents()

    tokens: list[str] = field("ggml.tokens")
    writer.add_name("random")
    writer.add_context_length(shape.context_length)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.key_value_heads)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(1e6)
    writer.add_file_type(gguf.LlamaFileType[f"MOSTLY_{weights}"])
    writer.add_tokenizer_model(field("ggml.model"))
    writer.add_tokenizer_pre(field("ggml.pre"))
    writer.add_token_list(tokens)
    writer.add_token_types(field("ggml.token_type"))
    writer.add_token_merges(field("ggml.merges"))
    writer.add_eos_token_id(field("ggml.eos_token_id"))
    writer.add_add_bos_token(False)
    writer.add_chat_template(field("chat_template"))
    return tokens


def write_random_model(path: Path, shape: ModelShape, *, seed: int = 0, weights: WeightType = "Q4_0") -> Path:
    """Write a GGUF with the demonstration model's vocabulary (4,096 tokens) and chat template; return its path.

    The same arguments give the same file. Greedy answers never end by themselves: the embeddings, which are the output
    weights too, are zero for control tokens and for parts of characters, so that their logit is never the highest.

    Args:
        path: The file to write.
        shape: Its sizes.
        seed: Of the weights.
        weights: How they are stored.

    Example:
        >>> write_random_model(Path("tiny.gguf"), TINY)  # doctest: +SKIP
    """
    import gguf

    writer = gguf.GGUFWriter(path, "qwen2")
    tokens = _describe(writer, shape, weights)
    random = np.random.default_rng(seed)
    kind = gguf.GGMLQuantizationType[weights]
    quantized = {"Q4_0": _q4_0, "Q8_0": _q8_0}[weights]

    def matrix(name: str, rows: int, columns: int, *, scale: float = 1.0) -> NDArray[np.uint8]:
        """A layer's weights; for an input of deviation 1, `scale` is the deviation of its output."""
        data = quantized(random, rows, columns, scale * columns**-0.5)
        writer.add_tensor(f"{name}.weight", data, raw_dtype=kind)
        return data

    def vector(name: str, length: int, value: float) -> None:
        writer.add_tensor(name, np.full(length, value, np.float32))

    width, head = shape.width, shape.width // shape.heads
    embeddings = matrix("token_embd", len(tokens), width, scale=4.0)
    embeddings[[not _whole_text(token) for token in tokens]] = 0  # the writer keeps the array, and writes it last
    vector("output_norm.weight", width, 1.0)
    for number in range(shape.layers):
        block = f"blk.{number}"
        vector(f"{block}.attn_norm.weight", width, 1.0)
        vector(f"{block}.ffn_norm.weight", width, 1.0)
        for name, rows in (("q", shape.heads * head), ("k", shape.key_value_heads * head)):
            # Attention that chooses, instead of taking everything's mean: answers do not run in circles.
            matrix(f"{block}.attn_{name}", rows, width, scale=2.0)
            vector(f"{block}.attn_{name}.bias", rows, 0.0)
        matrix(f"{block}.attn_v", shape.key_value_heads * head, width)
        vector(f"{block}.attn_v.bias", shape.key_value_heads * head, 0.0)
        matrix(f"{block}.attn_output", width, width)
        matrix(f"{block}.ffn_gate", shape.feed_forward, width)
        matrix(f"{block}.ffn_up", shape.feed_forward, width)
        matrix(f"{block}.ffn_down", width, shape.feed_forward, scale=3.0)  # as much to say as the newest token itself
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
