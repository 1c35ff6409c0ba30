"""What a model takes is told before it is loaded, and told right."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest

from freehold.inference import read_header
from freehold.inference.machine_memory import effective_budget, machine_memory, room_now
from freehold.inference.memory_estimate import ContextShape, loaded_memory, memory_estimate
from freehold.models import DEMO_MODEL, EMBEDDING_MODEL, model_path

GENERATE = "from freehold.inference import Engine as Model\nmodel = Model(sys.argv[1], **options)\nmodel.load()\n"
EMBED = """
import sys
from freehold.inference import LlamaEmbeddings
from freehold.process import resident_bytes
model = LlamaEmbeddings(sys.argv[1])
model.embed_query("heron " * 600)
loaded = resident_bytes()
assert model.unload()
print(int(loaded - resident_bytes()))
model.close()
"""


def _allocated(code: str, path: Path, **options: object) -> int:
    """Bytes of all buffers that llama.cpp logs while it loads a model in a process of its own; of each, the largest."""
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\noptions = {options!r}\n{code}model.close()", str(path)],
        capture_output=True, text=True, check=True, env={**os.environ, "FREEHOLD_LLAMA_LOG": "1"},
    )  # fmt: skip
    sizes: dict[str, float] = {}
    for kind, size in re.findall(r"CPU(?:_\w+)? +(\w+) buffer size = +([\d.]+) MiB", done.stderr):
        sizes[kind] = max(sizes.get(kind, 0), float(size))
    assert {"model", "compute", "output"} <= set(sizes), done.stderr[-2000:]
    return int(sum(sizes.values()) * 2**20)


@pytest.mark.parametrize(
    "options", [{}, {"cache_tokens": 8192, "slots": 16}, {"flash_attention": False}, {"context_length": 256}]
)
def test_a_language_model_takes_what_was_estimated(options: dict[str, object]) -> None:
    """The estimate is within 15 % of what llama.cpp says that it allocated, however the engine is set."""
    path = model_path(DEMO_MODEL)
    estimate = loaded_memory(read_header(path), **options).total  # type: ignore[arg-type]
    assert estimate == pytest.approx(_allocated(GENERATE, path, **options), rel=0.15)


def test_an_embedding_model_takes_what_was_estimated() -> None:
    """The estimate is within 15 % of the resident memory that unloading frees, once a text of full length was read."""
    path = model_path(EMBEDDING_MODEL)
    done = subprocess.run([sys.executable, "-c", EMBED, str(path)], capture_output=True, text=True, check=True)
    assert loaded_memory(read_header(path)).total == pytest.approx(int(done.stdout), rel=0.15)


def test_a_longer_cache_takes_more_by_its_cells() -> None:
    """Each cell holds keys and values of every layer: 6 layers, 4 heads of 64, two bytes each."""
    header = read_header(model_path(DEMO_MODEL))
    assert memory_estimate(header, 4096).kv_cache == 4096 * 6 * 4 * (64 + 64) * 2


@pytest.mark.parametrize(("heads", "cells"), [(2, 12), ((1, 2, 0, 4, 1, 0), 8), (0, 0)])
def test_shared_heads_are_counted_by_layer(heads: int | tuple[int, ...], cells: int) -> None:
    """Grouped heads, in one number or one for each layer, take less; the file's own lengths of keys are used."""
    header = read_header(model_path(DEMO_MODEL))
    metadata = {**header.metadata, "llama.attention.head_count_kv": heads, "llama.attention.key_length": 96}
    shaped = replace(header, metadata=MappingProxyType(metadata))
    assert memory_estimate(shaped, 1000).kv_cache == 1000 * cells * (96 + 64) * 2


def test_every_part_counts() -> None:
    """More vocabulary, more outputs and no flash attention take more room to compute in."""
    header = read_header(model_path(DEMO_MODEL))
    usual = memory_estimate(header, 4096).compute
    assert memory_estimate(replace(header, vocabulary_size=150_000), 4096).compute > usual
    assert memory_estimate(header, 4096, ContextShape(flash_attention=False)).compute > 2 * usual
    wordy = replace(header, vocabulary_size=150_000)
    assert memory_estimate(wordy, 4096, ContextShape(outputs=None)).compute > memory_estimate(wordy, 4096).compute


def test_a_header_without_facts_is_estimated_all_the_same() -> None:
    """A file that says nothing of its layers counts with its size, and never divides by nothing."""
    header = read_header(model_path(DEMO_MODEL))
    bare = replace(header, metadata=MappingProxyType({}), vocabulary_size=0, embedding_length=0)
    assert memory_estimate(bare, 4096).weights == header.file_size


def test_a_fifth_of_the_machine_stays_free() -> None:
    """No budget, however large, takes the last 20 % of the memory; what others use is not there to be taken."""
    total, available = machine_memory()
    assert effective_budget(10**18) == int(total * 0.8)
    assert effective_budget(1000) == 1000
    assert 0 <= room_now() < available <= total


def test_a_containers_limit_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container its limit is the machine, and what only caches files can be had; `max` is no limit."""
    for name, text in (
        ("memory.max", "1000000\n"),
        ("memory.current", "600000\n"),
        ("memory.stat", "anon 400000\ninactive_file 100000\nactive_file 50000\n"),
    ):
        (tmp_path / name).write_text(text)
    monkeypatch.setattr("freehold.inference.machine_memory._CGROUPS", ((tmp_path, "memory.max", "memory.current"),))
    assert machine_memory() == (1_000_000, 550_000)
    assert (effective_budget(10**9), room_now()) == (800_000, 350_000)
    (tmp_path / "memory.max").write_text("max\n")
    assert machine_memory()[0] > 1_000_000
