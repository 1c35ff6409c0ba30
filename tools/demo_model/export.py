"""Write a checkpoint of the demonstration model as a GGUF.

python -m tools.demo_model.export checkpoint.pt tokenizer.json out.gguf [--type Q8_0]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import gguf
import torch

from tools.bert_gguf import finish

from .model import CONTEXT, FEED_FORWARD, HEAD_WIDTH, HEADS, LAYERS, VOCABULARY, WIDTH

__all__ = ["LAYER_NAMES", "main"]

_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LAYER_NAMES = {
    "attn_q": "q",
    "attn_k": "k",
    "attn_v": "v",
    "attn_output": "o",
    "ffn_gate": "g",
    "ffn_up": "u",
    "ffn_down": "d",
}


def _describe(writer: gguf.GGUFWriter, tokenizer: dict[str, object]) -> None:
    """Hyperparameters, vocabulary, merges and chat template."""
    bpe = tokenizer["model"]
    vocabulary: dict[str, int] = bpe["vocab"]  # type: ignore[index]
    merges: list[str | list[str]] = bpe["merges"]  # type: ignore[index]
    tokens = sorted(vocabulary, key=vocabulary.__getitem__)
    writer.add_name("freehold-demo")
    writer.add_author("the Freehold project")
    writer.add_license("apache-2.0")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(HEAD_WIDTH)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(VOCABULARY)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType.CONTROL if i < 3 else gguf.TokenType.NORMAL for i in range(len(tokens))])
    writer.add_token_merges([" ".join(pair) if isinstance(pair, list) else pair for pair in merges])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(False)
    writer.add_chat_template(_TEMPLATE)


def main() -> None:
    """Write the GGUF. The output embedding is the input embedding: the file has no `output.weight`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("tokenizer", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--type", default="Q8_0", help="quantization of the matrices, as gguf names it")
    arguments = parser.parse_args()
    weights = torch.load(arguments.checkpoint, map_location="cpu")
    weights = weights.get("m", weights)
    kind = gguf.GGMLQuantizationType[arguments.type]
    writer = gguf.GGUFWriter(str(arguments.output), "llama")
    _describe(writer, json.loads(arguments.tokenizer.read_text(encoding="utf-8")))

    def add(name: str, source: str, *, quantize: bool = True) -> None:
        data = weights[source].float().numpy()
        if quantize:
            writer.add_tensor(name, gguf.quants.quantize(data, kind), raw_dtype=kind)
        else:
            writer.add_tensor(name, data)

    add("token_embd.weight", "e.weight")
    add("output_norm.weight", "n.weight", quantize=False)
    for layer in range(LAYERS):
        add(f"blk.{layer}.attn_norm.weight", f"b.{layer}.n1.weight", quantize=False)
        add(f"blk.{layer}.ffn_norm.weight", f"b.{layer}.n2.weight", quantize=False)
        for name, short in LAYER_NAMES.items():
            add(f"blk.{layer}.{name}.weight", f"b.{layer}.{short}.weight")
    finish(writer, arguments.output)


if __name__ == "__main__":
    main()
