"""Values that cannot be used for generation are refused by name."""

from __future__ import annotations

import math
from typing import Any

import pytest

from freehold.errors import UserError
from freehold.inference import GenerationRequest
from freehold.inference.sampling import check_request


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_tokens", 0),
        ("temperature", -0.1),
        ("temperature", math.nan),
        ("top_p", 0.0),
        ("top_k", -1),
        ("min_p", 1.1),
        ("seed", -1),
        ("repeat_penalty", 0.0),
        ("repeat_penalty", math.inf),
        ("frequency_penalty", math.nan),
        ("presence_penalty", 1e9),
        ("penalty_window", -1),
        ("logprobs", 21),
        ("deadline", 0.0),
        ("deadline", math.inf),
        ("priority", 0.5),
        ("stop", "END"),
        ("logit_bias", {-1: 1.0}),
        ("logit_bias", {0: math.nan}),
        ("logit_bias", {0: math.inf}),
        ("logit_bias", {"0": 1.0}),
        ("logit_bias", {100: 1.0}),
    ],
)
def test_values_out_of_range(name: str, value: Any) -> None:
    """A value that cannot be used is refused by its name before anything runs."""
    with pytest.raises(UserError, match=name):
        check_request(GenerationRequest("", **{name: value}), vocabulary=100)


def test_values_in_range() -> None:
    """The ends of every range are allowed."""
    check_request(
        GenerationRequest(
            "",
            seed=2**32 - 1,
            top_k=0,
            min_p=1,
            logprobs=20,
            deadline=0.1,
            priority=-5,
            logit_bias={0: -math.inf, 99: -100},
            stop=("END",),
        ),
        vocabulary=100,
    )
