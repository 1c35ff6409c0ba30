"""Write a trained cross-encoder as a GGUF that llama.cpp runs with rank pooling.

python -m tools.question_verifier.export MODEL_FOLDER out.gguf [--embeddings Q5_0] [--layers Q8_0]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import gguf
import numpy as np
from safetensors.numpy import load_file
from transformers import AutoTokenizer

from tools.bert_gguf import tensor_names, write_bert

from .cross_encoder import WORDS

__all__ = ["main"]

_HEAD = {
    "bert.pooler.dense.weight": "cls.weight",
    "bert.pooler.dense.bias": "cls.bias",
    "classifier.weight": "cls.output.weight",
    "classifier.bias": "cls.output.bias",
}


def main() -> None:
    """Write the GGUF: matrices quantized, the head and everything else in full precision."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--embeddings", default=WORDS.name, help="quantization of the vocabulary, as in training")
    parser.add_argument("--layers", default="Q8_0", help="quantization of the layers' matrices")
    arguments = parser.parse_args()
    embeddings, layers = (gguf.GGMLQuantizationType[name] for name in (arguments.embeddings, arguments.layers))
    ids = AutoTokenizer.from_pretrained(arguments.folder).get_vocab()
    names = {f"bert.{theirs}": ours for theirs, ours in tensor_names().items()} | _HEAD
    weights = load_file(arguments.folder / "model.safetensors")
    kinds = {**dict.fromkeys(names.values(), layers), "token_embd.weight": embeddings}
    kinds |= dict.fromkeys(_HEAD.values())
    tensors = ((names[source], value.astype(np.float32), kinds[names[source]]) for source, value in weights.items())
    vocabulary = sorted(ids, key=ids.__getitem__)
    write_bert(arguments.output, "question-verifier", gguf.PoolingType.RANK, vocabulary, tensors)


if __name__ == "__main__":
    main()
