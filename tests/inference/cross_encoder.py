"""A cross-encoder for tests: one layer of the shipped embedding model under a head of random weights."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np

from freehold.models import EMBEDDING_MODEL, model_path

__all__ = ["write_cross_encoder"]


def write_cross_encoder(path: Path, *, classes: int = 1, template: str | None = None) -> Path:
    """Write a BERT with rank pooling; its scores mean nothing, and differ between pairs.

    Args:
        path: The GGUF file.
        classes: Numbers that the head gives.
        template: A prompt with {query} and {document}, as decoders that rerank have.
    """
    reader = gguf.GGUFReader(model_path(EMBEDDING_MODEL))
    writer = gguf.GGUFWriter(path, "bert")
    changed = {"bert.block_count": 1, "bert.pooling_type": int(gguf.PoolingType.RANK)}
    for field in reader.fields.values():
        if field.name.startswith("GGUF.") or field.name == "general.architecture":
            continue
        value = changed.get(field.name, field.contents())
        array = field.types[0] == gguf.GGUFValueType.ARRAY
        writer.add_key_value(field.name, value, field.types[0], field.types[-1] if array else None)
    if template is not None:
        writer.add_string("tokenizer.chat_template.rerank", template)
    if classes > 1:
        writer.add_array("bert.classifier.output_labels", [f"label {number}" for number in range(classes)])
    for tensor in reader.tensors:
        if not tensor.name.startswith("blk.") or tensor.name.startswith("blk.0."):
            writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    random = np.random.default_rng(4)
    width = 384
    writer.add_tensor("cls.weight", random.normal(0, 0.5, (width, width)).astype(np.float32))
    writer.add_tensor("cls.bias", np.zeros(width, dtype=np.float32))
    writer.add_tensor("cls.output.weight", random.normal(0, 0.2, (classes, width)).astype(np.float32))
    writer.add_tensor("cls.output.bias", np.zeros(classes, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
