"""Take the weights and the tokenizer out of a demonstration model's GGUF, to train it further.

python -m tools.demo_model.from_gguf model.gguf weights.pt tokenizer.json
"""

from __future__ import annotations

import argparse
from pathlib import Path

import gguf
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from .export import LAYER_NAMES

__all__ = ["main"]


def _tokenizer(reader: gguf.GGUFReader) -> Tokenizer:
    """The byte-level BPE that the file's vocabulary and merges describe."""
    tokens = reader.fields["tokenizer.ggml.tokens"].contents()
    merges = [tuple(pair.split(" ")) for pair in reader.fields["tokenizer.ggml.merges"].contents()]
    kinds = reader.fields["tokenizer.ggml.token_type"].contents()
    tokenizer = Tokenizer(models.BPE(vocab={token: number for number, token in enumerate(tokens)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    special = [token for token, kind in zip(tokens, kinds, strict=True) if kind == gguf.TokenType.CONTROL]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    return tokenizer


def main() -> None:
    """Write both files. Q8_0 weights come back to within 0.4 % of what was trained: good enough to go on from."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("tokenizer", type=Path)
    arguments = parser.parse_args()
    reader = gguf.GGUFReader(arguments.model)
    tensors = {
        tensor.name: torch.from_numpy(gguf.quants.dequantize(tensor.data, tensor.tensor_type).copy())
        for tensor in reader.tensors
    }
    weights = {"e.weight": tensors["token_embd.weight"], "n.weight": tensors["output_norm.weight"]}
    for layer in range(reader.fields["llama.block_count"].contents()):
        for ours, short in {**LAYER_NAMES, "attn_norm": "n1", "ffn_norm": "n2"}.items():
            weights[f"b.{layer}.{short}.weight"] = tensors[f"blk.{layer}.{ours}.weight"]
    torch.save({"m": weights}, arguments.weights)
    _tokenizer(reader).save(str(arguments.tokenizer))
    print(f"{len(weights)} tensors, {sum(value.numel() for value in weights.values()) / 1e6:.1f} million weights")


if __name__ == "__main__":
    main()
