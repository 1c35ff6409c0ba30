"""The random-weight model that the benchmarks write: repeatable, loadable, and fair to compare on."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import gguf
import numpy as np
import pytest

from benchmarks.random_model import TINY, ModelShape, WeightType, write_random_model
from freehold.inference import Engine, GenerationRequest
from freehold.inference.gguf import read_header
from freehold.models import DEMO_MODEL, model_path


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The smallest model."""
    return write_random_model(tmp_path_factory.mktemp("random") / "tiny.gguf", TINY)


def weights(path: Path, name: str) -> np.ndarray:
    """A tensor's values."""
    tensor = next(tensor for tensor in gguf.GGUFReader(path).tensors if tensor.name == name)
    return gguf.quants.dequantize(tensor.data, tensor.tensor_type)


def test_same_arguments_give_the_same_file(tiny: Path, tmp_path: Path) -> None:
    """A stranger measures on the very file that the published figures come from."""
    assert write_random_model(tmp_path / "again.gguf", TINY).read_bytes() == tiny.read_bytes()
    assert write_random_model(tmp_path / "other.gguf", TINY, seed=1).read_bytes() != tiny.read_bytes()


def test_shape_and_vocabulary_are_what_was_asked_for(tmp_path: Path) -> None:
    """The header carries the shape, and the demonstration model's vocabulary and chat form."""
    shape = ModelShape(layers=3, width=64, heads=2, key_value_heads=1, feed_forward=96, context_length=512)
    header = read_header(write_random_model(tmp_path / "small.gguf", shape))
    demo = read_header(model_path(DEMO_MODEL))
    assert (header.architecture, header.context_length, header.embedding_length) == ("qwen2", 512, 64)
    assert header.metadata["qwen2.block_count"] == 3
    assert header.metadata["qwen2.feed_forward_length"] == 96
    assert header.chat_template == demo.chat_template
    assert weights(header.path, "blk.2.ffn_down.weight").shape == (64, 96)


@pytest.mark.parametrize("kind", ["Q4_0", "Q8_0"])
def test_weights_have_the_wanted_spread(kind: WeightType, tmp_path: Path) -> None:
    """Both ways of storing give weights around zero whose products neither vanish nor explode."""
    path = write_random_model(tmp_path / "model.gguf", TINY, weights=kind)
    values = weights(path, "blk.0.ffn_up.weight")
    assert abs(values.mean()) < 0.002
    assert values.std() == pytest.approx(TINY.width**-0.5, rel=0.02)


def test_only_whole_text_can_be_generated(tiny: Path) -> None:
    """Control tokens and parts of characters have embeddings of zero, so that an answer never ends nor garbles."""
    rows = weights(tiny, "token_embd.weight")
    tokens = gguf.GGUFReader(tiny).fields["tokenizer.ggml.tokens"].contents()
    silent = {token for token, row in zip(tokens, rows, strict=True) if not row.any()}
    assert {"<|endoftext|>", "<|im_start|>", "<|im_end|>", "Ċ", "Ã"} <= silent
    assert not {"a", "Ġthe", "!"} & silent
    assert len(silent) < len(tokens) / 4


async def test_answers_take_all_their_tokens_and_differ(tiny: Path) -> None:
    """Both sides of a comparison generate the same number of tokens, and no answer is one token repeated."""
    with closing(Engine(tiny)) as engine:
        results = [
            await engine.generate(GenerationRequest(tuple(range(start, start + 32)), max_tokens=200))
            for start in (400, 1000)
        ]
    assert [(result.completion_tokens, result.finish_reason) for result in results] == [(200, "length")] * 2
    assert results[0].text != results[1].text
    assert all(len(set(result.text.split())) > 20 for result in results)
