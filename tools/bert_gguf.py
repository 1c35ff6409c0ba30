"""A BERT of MiniLM's shape as a GGUF: what the embedding model and the question verifier have in common."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray

__all__ = ["finish", "tensor_names", "write_bert"]

_LAYERS, _WIDTH = 6, 384
_SPECIAL = ("[CLS]", "[SEP]", "[PAD]", "[UNK]", "[MASK]")
_EMBEDDINGS = {
    "embeddings.word_embeddings.weight": "token_embd.weight",
    "embeddings.position_embeddings.weight": "position_embd.weight",
    "embeddings.token_type_embeddings.weight": "token_types.weight",
    "embeddings.LayerNorm.weight": "token_embd_norm.weight",
    "embeddings.LayerNorm.bias": "token_embd_norm.bias",
}
_LAYER = {
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}
# Positions and token types are added, not multiplied: llama.cpp wants them in full precision.
_FULL = ("position_embd.weight", "token_types.weight")


def tensor_names() -> dict[str, str]:
    """Tensor names: those of the safetensors, and llama.cpp's for them."""
    names = dict(_EMBEDDINGS)
    for layer in range(_LAYERS):
        for theirs, ours in _LAYER.items():
            for part in ("weight", "bias"):
                names[f"encoder.layer.{layer}.{theirs}.{part}"] = f"blk.{layer}.{ours}.{part}"
    return names


def write_bert(
    output: Path,
    name: str,
    pooling: gguf.PoolingType,
    vocabulary: Sequence[str],
    tensors: Iterable[tuple[str, NDArray[np.float32], gguf.GGMLQuantizationType | None]],
) -> None:
    """Write the file, and say how large it is.

    Args:
        output: The GGUF.
        name: Of the model.
        pooling: What llama.cpp makes of the tokens' states.
        vocabulary: Word pieces by id.
        tensors: llama.cpp's names, the weights, and the quantization of a matrix: None leaves it in full precision, as
            everything that is no matrix is.
    """
    writer = gguf.GGUFWriter(str(output), "bert")
    _describe(writer, name, pooling, vocabulary)
    for tensor, data, kind in tensors:
        if kind is None or data.ndim != 2 or tensor in _FULL:
            writer.add_tensor(tensor, data)
        else:
            writer.add_tensor(tensor, gguf.quants.quantize(data, kind), raw_dtype=kind)
    finish(writer, output)


def finish(writer: gguf.GGUFWriter, output: Path) -> None:
    """Put everything into the file, and say how large it is."""
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    print(f"{output}: {output.stat().st_size:,} bytes")


def _token(piece: str) -> str:
    """A word piece as llama.cpp holds it: a word's first piece marked, not its others."""
    if piece.startswith("[") and piece.endswith("]"):
        return piece
    return piece[2:] if piece.startswith("##") else "\u2581" + piece


def _describe(writer: gguf.GGUFWriter, name: str, pooling: gguf.PoolingType, vocabulary: Sequence[str]) -> None:
    """Hyperparameters and vocabulary."""
    writer.add_name(name)
    writer.add_context_length(512)
    writer.add_embedding_length(_WIDTH)
    writer.add_feed_forward_length(4 * _WIDTH)
    writer.add_block_count(_LAYERS)
    writer.add_head_count(12)
    writer.add_layer_norm_eps(1e-12)
    writer.add_causal_attention(False)
    writer.add_pooling_type(pooling)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([_token(piece) for piece in vocabulary])
    writer.add_token_types(
        [gguf.TokenType.CONTROL if piece in _SPECIAL else gguf.TokenType.NORMAL for piece in vocabulary]
    )
    writer.add_token_type_count(2)
    writer.add_bos_token_id(101)
    writer.add_sep_token_id(102)
    writer.add_pad_token_id(0)
    writer.add_unk_token_id(100)
    writer.add_mask_token_id(103)
