"""Drafts come from the newest place where the sequence ended like this before."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.inference.prompt_lookup import PromptLookup

token = st.sampled_from([0, 1, 2, 2**31 - 1])


def by_search(tokens: list[int], limit: int) -> list[int]:
    """The same by looking through the whole sequence, from its end."""
    for length in (4, 3, 2):
        last = tokens[-length:]
        for start in range(len(tokens) - 1, length - 1, -1):
            if tokens[start - length : start] == last:
                longer = list(tokens)
                for at in range(limit):
                    longer.append(longer[start + at])
                return longer[len(tokens) :]
    return []


@given(prompt=st.lists(token, max_size=40), steps=st.lists(st.tuples(token, st.integers(-1, 9)), max_size=30))
def test_same_as_a_search(prompt: list[int], steps: list[tuple[int, int]]) -> None:
    """However the sequence grows and whenever drafts are asked for, they are those of a search through all of it."""
    lookup, tokens = PromptLookup(prompt), list(prompt)
    for new, limit in steps:
        if limit % 3:  # some tokens come without a draft in between
            assert lookup.draft(limit) == by_search(tokens, max(limit, 0))
        lookup.push(new)
        tokens.append(new)
    assert lookup.draft(5) == by_search(tokens, 5)


def test_longest_match_wins() -> None:
    """What followed four tokens counts more than what followed two of them later."""
    assert PromptLookup([1, 2, 3, 4, 7, 9, 3, 4, 8, 1, 2, 3, 4]).draft(2) == [7, 9]


def test_newest_match_wins() -> None:
    """Of two equal matches the later one is quoted."""
    assert PromptLookup([1, 2, 7, 1, 2, 8, 1, 2]).draft(1) == [8]


def test_repetition_goes_on() -> None:
    """A sequence that repeats itself is drafted as far as is wanted."""
    assert PromptLookup([5, 1, 2, 1, 2, 1, 2]).draft(7) == [1, 2, 1, 2, 1, 2, 1]


@pytest.mark.parametrize("tokens", [[], [1], [1, 1], [1, 2, 3, 4, 5]])
def test_nothing_to_quote(tokens: list[int]) -> None:
    """Where nothing repeats there is no draft."""
    assert PromptLookup(tokens).draft(4) == []


def test_growth_costs_the_same() -> None:
    """A token costs no more in a long sequence than in a short one: the index is not built anew."""

    def seconds(length: int) -> float:
        lookup = PromptLookup(range(length))
        lookup.draft(8)
        best = float("inf")
        for _ in range(5):
            started = time.perf_counter()
            for at in range(200):
                lookup.push(at % 7)
                lookup.draft(8)
            best = min(best, time.perf_counter() - started)
        return best

    assert seconds(100_000) < 10 * seconds(100)
