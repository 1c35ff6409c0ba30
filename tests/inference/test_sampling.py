"""The sampler in numpy chooses what llama.cpp's own chain of samplers would choose."""

from __future__ import annotations

import ctypes
import math
from typing import Any

import llama_cpp
import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from freehold.errors import InferenceError
from freehold.inference import GenerationRequest
from freehold.inference.candidates import candidates, draw, largest
from freehold.inference.sampling import Sampler, check_request

Floats = NDArray[np.float32]


def row(seed: int, size: int, spread: float = 3.0) -> Floats:
    """Repeatable logits."""
    return (np.random.default_rng(seed).normal(size=size) * spread).astype(np.float32)


def pieces(token: int) -> bytes:
    """A vocabulary of numbers."""
    return str(token).encode()


def sampler(guide: Any = None, prompt: tuple[int, ...] = (), **options: Any) -> Sampler:
    """A sampler of a request that passes the check."""
    request = GenerationRequest("", **options)
    check_request(request)
    return Sampler(request, prompt, guide, pieces)


class Only:
    """A guide that allows a set of tokens, whatever came before."""

    finished = False

    def __init__(self, allowed: set[int]) -> None:
        self.allowed, self.accepted, self.masked = allowed, list[int](), 0

    def mask(self, logits: Floats, remaining: int) -> None:
        self.masked += 1
        forbidden = np.ones(logits.size, bool)
        forbidden[list(self.allowed)] = False
        logits[forbidden] = -np.inf

    def allows(self, token: int) -> bool:
        return token in self.allowed

    def closing(self, remaining: int) -> bool:
        return remaining < 3

    def accept(self, token: int) -> None:
        self.accepted.append(token)


def llama_distribution(logits: Floats, parts: list[Any], accepted: tuple[int, ...] = ()) -> dict[int, float]:
    """What llama.cpp's samplers leave of the vocabulary, with the probabilities."""
    data = (llama_cpp.llama_token_data * logits.size)()
    table = np.frombuffer(data, dtype=[("id", np.int32), ("logit", np.float32), ("p", np.float32)])
    table["id"], table["logit"] = np.arange(logits.size), logits
    array = llama_cpp.llama_token_data_array(ctypes.cast(data, llama_cpp.llama_token_data_p), logits.size, -1, False)
    chain: Any = llama_cpp.llama_sampler_chain_init(llama_cpp.llama_sampler_chain_default_params())
    for part in parts:
        llama_cpp.llama_sampler_chain_add(chain, part)
    for token in accepted:
        llama_cpp.llama_sampler_accept(chain, token)
    llama_cpp.llama_sampler_apply(chain, ctypes.byref(array))
    llama_cpp.llama_sampler_free(chain)
    left = np.frombuffer(
        (llama_cpp.llama_token_data * array.size).from_address(ctypes.addressof(array.data.contents)), dtype=table.dtype
    )
    weights = np.exp(left["logit"].astype(np.float64) - left["logit"].max())
    return dict(zip(left["id"].tolist(), (weights / weights.sum()).tolist(), strict=True))


def distribution(logits: Floats, request: GenerationRequest) -> dict[int, float]:
    """The same by our own functions."""
    ids, weights = candidates(logits, request)
    tokens = range(logits.size) if ids is None else ids.tolist()
    return dict(zip(tokens, (weights / weights.sum(dtype=np.float64)).tolist(), strict=True))


def assert_same(ours: dict[int, float], theirs: dict[int, float]) -> None:
    """The same tokens with the same probabilities."""
    assert ours.keys() == theirs.keys()
    assert max(abs(ours[token] - theirs[token]) for token in ours) < 1e-5


def near_edge(logits: Floats, top_k: int, top_p: float) -> bool:
    """Whether float32's rounding decides how many tokens top-p keeps."""
    values = np.sort(logits.astype(np.float64))[::-1][: top_k or None]
    sums = np.cumsum(np.exp(values - values[0]))
    return bool((np.abs(sums / sums[-1] - top_p) < 2e-5).any())


@settings(max_examples=150)
@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.sampled_from([1, 7, 100, 1030, 4096, 20_011]),
    spread=st.sampled_from([0.3, 3.0, 12.0]),
    top_k=st.sampled_from([0, 1, 5, 40, 700, 100_000]),
    top_p=st.sampled_from([1.0, 0.95, 0.5, 0.01]),
    min_p=st.sampled_from([0.0, 0.05, 0.5, 1.0]),
    temperature=st.sampled_from([0.1, 0.8, 1.0, 2.5]),
)
def test_same_as_llama_cpp(
    *, seed: int, size: int, spread: float, top_k: int, top_p: float, min_p: float, temperature: float
) -> None:
    """Top-k, top-p, min-p and temperature leave the tokens that llama.cpp leaves, equally likely."""
    logits = row(seed, size, spread)
    assume(top_p == 1 or not near_edge(logits, top_k, top_p))
    request = GenerationRequest("", top_k=top_k, top_p=top_p, min_p=min_p, temperature=temperature)
    parts = [
        llama_cpp.llama_sampler_init_top_k(top_k),
        llama_cpp.llama_sampler_init_top_p(top_p, 1),
        llama_cpp.llama_sampler_init_min_p(min_p, 1),
        llama_cpp.llama_sampler_init_temp(temperature),
    ]
    assert_same(distribution(logits, request), llama_distribution(logits, parts))


@pytest.mark.parametrize("size", [300, 1030, 4096])
@pytest.mark.parametrize("top_p", [0.3, 0.9, 0.999])
def test_top_p_of_flat_rows(size: int, top_p: float) -> None:
    """Top-p over the whole vocabulary is llama.cpp's also where it keeps hundreds of tokens."""
    for seed in range(8):
        logits = row(seed, size, 0.3)
        if not near_edge(logits, 0, top_p):
            request = GenerationRequest("", top_k=0, top_p=top_p, temperature=1.0)
            assert_same(
                distribution(logits, request),
                llama_distribution(logits, [llama_cpp.llama_sampler_init_top_p(top_p, 1)]),
            )


@given(
    seed=st.integers(0, 2**32 - 1),
    tokens=st.lists(st.integers(0, 49), max_size=30),
    prompt=st.integers(0, 30),
    window=st.sampled_from([0, 1, 8, 64]),
    repeat=st.sampled_from([1.0, 1.3, 0.7]),
    frequency=st.sampled_from([0.0, 0.4, -0.2]),
    presence=st.sampled_from([0.0, 1.5, -0.6]),
    bias=st.dictionaries(st.integers(0, 49), st.sampled_from([-5.0, 2.5, -math.inf]), max_size=4),
)
def test_penalties_and_bias_as_llama_cpp(
    *,
    seed: int,
    tokens: list[int],
    prompt: int,
    window: int,
    repeat: float,
    frequency: float,
    presence: float,
    bias: dict[int, float],
) -> None:
    """Bias and penalties change the distribution as llama.cpp does, over prompt and answer alike."""
    request = GenerationRequest(
        "",
        temperature=1.0,
        top_k=0,
        penalty_window=window,
        repeat_penalty=repeat,
        frequency_penalty=frequency,
        presence_penalty=presence,
        logit_bias=bias,
    )
    ours = Sampler(request, tokens[:prompt], None, pieces)
    for token in tokens[prompt:]:
        ours.accept(token)
    biases = (llama_cpp.llama_logit_bias * len(bias))(*(llama_cpp.llama_logit_bias(t, b) for t, b in bias.items()))
    parts = [
        llama_cpp.llama_sampler_init_logit_bias(50, len(bias), biases),
        llama_cpp.llama_sampler_init_penalties(50, window, repeat, frequency, presence),
    ]
    logits = row(seed, 50)
    theirs = llama_distribution(logits, parts, tuple(tokens))
    ours.sample(logits, 10)  # alters the row in place
    assert_same(distribution(logits, request), theirs)


@settings(max_examples=200)
@given(
    values=st.lists(st.sampled_from([-math.inf, -7.5, 0.0, 0.25, 1.0, 30.0]), min_size=1, max_size=400),
    k=st.integers(0, 500),
    times=st.sampled_from([1, 9]),
)
@example(values=[-math.inf], k=1, times=1)
@example(values=[0.0] * 400, k=3, times=9)
def test_largest_with_ties(values: list[float], k: int, times: int) -> None:
    """The k largest are those of a full sort, the first of equal ones first; what is forbidden is never among them."""
    logits = np.array(values * times, np.float32)
    order = [index for index in np.argsort(-logits, kind="stable").tolist() if logits[index] > -math.inf]
    assert largest(logits, k).tolist() == order[:k]


@pytest.mark.parametrize("size", [63, 64, 65, 4096, 20_011])
@pytest.mark.parametrize("k", [1, 20, 40, 300])
def test_largest_of_random_values(size: int, k: int) -> None:
    """The way over columns is exact for lengths that no block size divides."""
    for seed in range(5):
        logits = row(seed, size)
        assert largest(logits, k).tolist() == np.argsort(-logits, kind="stable")[:k].tolist()


@given(seed=st.integers(0, 2**32 - 1), size=st.sampled_from([1, 5, 400, 4097, 9000]), chance=st.floats(0, 1))
@example(seed=2, size=400, chance=0.0)
@example(seed=2, size=9000, chance=0.0)
@example(seed=2, size=9000, chance=1.0)
def test_draw_lands_where_the_sum_passes(seed: int, size: int, chance: float) -> None:
    """A draw takes the token at that share of all weight, in short and in long rows, and never one without weight."""
    weights = np.exp(row(seed, size))
    weights[np.random.default_rng(seed).random(size) < 0.5] = 0
    weights[0], weights[size // 2], weights[size - 1] = 0, 1, 0 if size > 1 else 1
    index = draw(weights, chance)
    sums = np.cumsum(weights, dtype=np.float64) / weights.sum(dtype=np.float64)
    assert weights[index] > 0
    assert sums[index] >= chance - 1e-6
    assert index == 0 or sums[index - 1] <= chance + 1e-6


@pytest.mark.parametrize("size", [30, 6000])
def test_frequencies(size: int) -> None:
    """Over many draws each token comes up as often as it is likely."""
    logits = row(1, size)
    logits[20:] -= 12
    one = sampler(temperature=1.0, top_k=0, seed=7)
    drawn = np.bincount([one.sample(logits, 1) for _ in range(4000)], minlength=size)[:20]
    likely = np.exp(logits.astype(np.float64))
    expected = 4000 * likely[:20] / likely.sum()
    assert (np.abs(drawn - expected) < 4.5 * np.sqrt(expected) + 1).all()


def test_greedy_takes_the_first_of_equal_ones() -> None:
    """At temperature 0 ties go to the first token, as in llama.cpp, and the row is left as it was."""
    logits = np.array([1, 5, 2, 5, 5], np.float32)
    assert sampler().sample(logits, 1) == 1
    assert sampler(temperature=2.0, top_k=1).sample(logits, 1) == 1
    assert logits.tolist() == [1, 5, 2, 5, 5]


def test_seed_repeats_whatever_runs_beside() -> None:
    """A seed gives the same tokens again, also where another request draws in between; another seed gives others."""
    rows = [row(seed, 500) for seed in range(40)]
    options = {"temperature": 1.0, "seed": 11}
    alone, first, second = sampler(**options), sampler(**options), sampler(temperature=1.0, seed=12)
    tokens = [alone.sample(logits, 1) for logits in rows]
    both = [(first.sample(logits, 1), second.sample(logits, 1)) for logits in rows]
    assert [mine for mine, _ in both] == tokens
    assert [other for _, other in both] != tokens


def test_without_a_seed_answers_differ() -> None:
    """No seed means another draw each time."""
    rows = [row(seed, 500) for seed in range(40)]
    one, two = sampler(temperature=1.0), sampler(temperature=1.0)
    assert [one.sample(logits, 1) for logits in rows] != [two.sample(logits, 1) for logits in rows]


def test_tiny_temperature_is_greedy() -> None:
    """A temperature next to 0 neither overflows nor takes another token than the likeliest."""
    logits = row(3, 300)
    for temperature in (1e-6, 1e-30, 1e-300):
        assert sampler(temperature=temperature, top_k=0).sample(logits, 1) == int(logits.argmax())


@given(seed=st.integers(0, 2**32 - 1), allowed=st.sets(st.integers(0, 99), min_size=1), remaining=st.integers(1, 5))
def test_guide_greedy(seed: int, allowed: set[int], remaining: int) -> None:
    """With a guide the likeliest of the allowed tokens is taken; it masks only where it must."""
    logits, guide = row(seed, 100), Only(allowed)
    likeliest = int(logits.argmax())
    expected = max(allowed, key=lambda token: logits[token])
    one = sampler(guide)
    assert one.sample(logits, remaining) == expected
    assert guide.masked == int(likeliest not in allowed or remaining < 3)
    one.accept(expected)
    assert guide.accepted == [expected]


def test_guide_sampling_is_exact() -> None:
    """With a guide, allowed tokens come up as likely as they are among themselves, though others would fill top-k."""
    logits = row(4, 2000, 0.5)
    order = np.argsort(logits).tolist()
    allowed = [order[-1], order[0], order[1]]  # the likeliest of all must not be taken just because it is allowed
    one = sampler(Only(set(allowed)), temperature=2.0, top_k=40, seed=3)
    drawn = np.bincount([one.sample(logits.copy(), 9) for _ in range(3000)], minlength=2000)
    likely = np.exp(logits[allowed].astype(np.float64) / 2)
    expected = 3000 * likely / likely.sum()
    assert drawn[allowed].sum() == 3000
    assert (np.abs(drawn[allowed] - expected) < 4.5 * np.sqrt(expected) + 1).all()


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_bias_forbids(temperature: float) -> None:
    """A bias of -inf keeps a token from ever being taken, and a large one forces its token."""
    logits = np.array([9, 8, 0, 0], np.float32)
    never = sampler(temperature=temperature, logit_bias={0: -math.inf, 1: -math.inf}, seed=1)
    assert all(never.sample(logits.copy(), 1) in {2, 3} for _ in range(50))
    always = sampler(temperature=temperature, logit_bias={3: 100.0}, seed=1)
    assert all(always.sample(logits.copy(), 1) == 3 for _ in range(50))


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("place", [0, 700, 1999])
@pytest.mark.parametrize(("value", "message"), [(math.nan, "logit of nan"), (math.inf, "logit of inf")])
def test_damaged_logits(temperature: float, place: int, value: float, message: str) -> None:
    """A model that computes no numbers is an error, wherever in the row it shows."""
    logits = row(5, 2000)
    logits[place] = value
    with pytest.raises(InferenceError, match=message):
        sampler(temperature=temperature).sample(logits, 1)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_nothing_allowed(temperature: float) -> None:
    """Where everything is forbidden no token is made up."""
    with pytest.raises(InferenceError, match="No token may come next"):
        sampler(Only(set()), temperature=temperature).sample(row(6, 100), 1)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("count", [0, 1, 20])
def test_logprobs_are_the_models_own(temperature: float, count: int) -> None:
    """Log-probabilities are those of the raw logits, though bias, penalties and a guide change the choice."""
    logits = row(8, 3000)
    before = logits.copy()
    one = sampler(
        Only(set(range(5, 900))),
        (1, 2, 3),
        temperature=temperature,
        logit_bias={7: 3.0},
        repeat_penalty=2.0,
        logprobs=count,
        seed=1,
    )
    token = one.sample(logits, 9)
    found = one.logprob(logits, token)
    exact = before.astype(np.float64) - np.logaddexp.reduce(before.astype(np.float64))
    assert found is not None
    assert (found.token, found.piece) == (token, str(token).encode())
    assert found.logprob == pytest.approx(exact[token], abs=1e-5)
    assert [one for one, _, _ in found.top] == np.argsort(-exact)[:count].tolist()
    assert [piece for _, piece, _ in found.top] == [pieces(token) for token, _, _ in found.top]
    assert [value for _, _, value in found.top] == pytest.approx(np.sort(exact)[::-1][:count].tolist(), abs=1e-5)


def test_no_logprobs_unless_wanted() -> None:
    """A request that does not ask for log-probabilities gets none."""
    assert sampler().logprob(row(1, 10), 3) is None
