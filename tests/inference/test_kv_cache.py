"""The cache of a real context: whatever requests do, its books agree with llama.cpp's."""

from __future__ import annotations

from collections.abc import Iterator

import llama_cpp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freehold.inference.decoder import Decoder
from freehold.inference.kv_cache import CachedSequence
from freehold.inference.llama_model import LlamaModel
from freehold.inference.options import EngineOptions
from freehold.models import DEMO_MODEL, model_path

SLOTS = 3


@pytest.fixture(scope="module")
def model() -> Iterator[LlamaModel]:
    """The demonstration model."""
    model = LlamaModel(model_path(DEMO_MODEL))
    yield model
    model.close()


@pytest.fixture(scope="module")
def decoder(model: LlamaModel) -> Iterator[Decoder]:
    """A small context, shared by the examples: each leaves it empty."""
    decoder = Decoder(model, EngineOptions(context_length=512, cache_tokens=512, slots=SLOTS, threads=1), None)
    yield decoder
    decoder.close()


def feed(decoder: Decoder, sequence: CachedSequence, tokens: list[int]) -> None:
    """Decode tokens, without logits, as a step does."""
    decoder.begin()
    decoder.add(sequence, tokens, 0)
    decoder.decode()
    decoder.cache.extend(sequence, tokens)


def check(decoder: Decoder, running: list[CachedSequence]) -> None:
    """The books agree with each other, and with the positions that llama.cpp holds."""
    cache = decoder.cache
    memory = llama_cpp.llama_get_memory(decoder._context)
    leaves = list(cache.tree.leaves())
    holders = [leaf.holder for leaf in leaves]
    assert None not in holders
    numbers = [*holders, *(sequence.id for sequence in running), *cache._ids]
    assert sorted(number for number in numbers if number is not None) == list(range(len(numbers)))
    for leaf in leaves:
        assert leaf.holder is not None
        assert llama_cpp.llama_memory_seq_pos_max(memory, leaf.holder) == leaf.depth() - 1
    for sequence in running:
        assert llama_cpp.llama_memory_seq_pos_max(memory, sequence.id) == len(sequence.tokens) - 1
        assert sequence.node.path() == sequence.tokens[: sequence.shared]
        assert sequence.node.pins > 0
    inner = [cache.tree.root]
    while inner:
        node = inner.pop()
        assert node.holder is None or not node.children
        inner.extend(node.children.values())
    assert cache.used == cache.tree.pinned() + sum(sequence.own for sequence in running)
    assert 0 <= cache.free <= cache.size


prompts = st.lists(st.sampled_from([5, 6]), min_size=2, max_size=5).map(
    lambda blocks: [token for block in blocks for token in [block] * 20]
)
actions = st.lists(
    st.one_of(
        st.tuples(st.just("begin"), prompts),
        st.tuples(st.just("go"), st.integers(0, SLOTS - 1), st.integers(1, 40)),
        st.tuples(st.just("back"), st.integers(0, SLOTS - 1), st.integers(1, 10)),
        st.tuples(st.just("publish"), st.integers(0, SLOTS - 1)),
        st.tuples(st.just("end"), st.integers(0, SLOTS - 1)),
        st.tuples(st.just("clear")),
    ),
    max_size=40,
)


@settings(max_examples=60)
@given(actions)
def test_books_agree(decoder: Decoder, steps: list[tuple]) -> None:  # type: ignore[type-arg]
    """Beginning, growing, forgetting, sharing, ending and eviction in any order keep cells and sequences accounted."""
    cache, running = decoder.cache, []
    for action, *values in steps:
        if action == "begin" and len(running) < SLOTS:
            running.append(sequence := cache.begin(values[0]))
            rest = values[0][len(sequence.tokens) :]
            assert rest
            if cache.reserve(len(rest)):
                feed(decoder, sequence, rest)
                cache.publish(sequence)
                assert sequence.own == 0
        elif action == "clear":
            cache.clear()
            assert cache.tree.size == cache.tree.pinned()
        elif action != "begin" and values[0] < len(running):
            sequence = running[values[0]]
            if action == "go" and cache.reserve(values[1]):
                feed(decoder, sequence, [7 + values[1] % 3] * values[1])
            elif action == "back":
                cache.truncate(sequence, max(sequence.shared, len(sequence.tokens) - values[1]))
            elif action == "publish":
                cache.publish(sequence)
            elif action == "end":
                cache.end(running.pop(values[0]))
        check(decoder, running)
    # Every cell that counts as free is free: they can all be filled at once.
    if len(running) < SLOTS and cache.free:
        running.append(sequence := cache.begin([]))
        feed(decoder, sequence, [9] * cache.free)
        check(decoder, running)
    for sequence in running:
        cache.end(sequence)
    cache.clear()
    assert (cache.free, cache.used, cache.tree.size) == (cache.size, 0, 0)


def test_a_shared_beginning_gives_the_same_logits(decoder: Decoder, model: LlamaModel) -> None:
    """A sequence that shares another's cells goes on as if it had read them itself."""
    prompt = model.tokenize_prompt("The heron is a wading bird that eats fish, and it lives by the water.")
    rows = []
    for _ in range(2):
        sequence = decoder.cache.begin(prompt)
        rest = prompt[len(sequence.tokens) :]
        decoder.begin()
        decoder.add(sequence, rest, 1)
        rows.append((len(rest), decoder.decode()[0].copy()))
        decoder.cache.extend(sequence, rest)
        decoder.cache.end(sequence)
    decoder.cache.clear()
    assert [count for count, _ in rows] == [len(prompt), 1]
    np.testing.assert_allclose(rows[0][1], rows[1][1], atol=0.05)


def test_the_least_recently_used_goes_first(decoder: Decoder) -> None:
    """Where cells are needed, what was used longest ago is shortened from its end, and what was used last stays."""
    cache = decoder.cache
    for first in (10, 11):
        sequence = cache.begin([first] * 200)
        feed(decoder, sequence, [first] * 200)
        cache.end(sequence)
    assert cache.known([10] * 50) == 50  # looking is not using
    assert cache.reserve(200)
    assert cache.known([11] * 200) == 200
    assert cache.known([10] * 200) == 0
    cache.clear()
