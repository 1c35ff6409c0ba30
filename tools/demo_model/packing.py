"""Dialogues that share a beginning as one sequence: the passages once, then every question and answer as a branch.

A branch sees the shared beginning and itself, never another branch, and its positions go on from the beginning's end:
each dialogue is computed exactly as if it stood alone, for a fraction of the tokens.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer
from torch import Tensor

from .dialogue import Dialogue, render

__all__ = ["CHOICE", "REFUSAL", "Packed", "collate", "pack"]

CHOICE = 4.0
"""Weight of an answer's first token: it chooses the sentence."""

REFUSAL = 2.0
"""The same where the documents do not say: a model that is unsure would else rather refuse than choose."""


@dataclass(frozen=True)
class Packed:
    """One group of dialogues as tokens. All lists have one entry per token."""

    tokens: list[int]
    positions: list[int]
    branches: list[int]
    """0 for the shared beginning, then 1, 2, ... for the dialogues."""
    targets: list[int]
    """The next token in the same dialogue; -1 where there is none."""
    weights: list[float]
    """How much the prediction of the target counts: 0 for most of the prompt, 1 in the answer, more for its first."""


def pack(
    group: list[Dialogue], tokenizer: Tokenizer, rng: random.Random, limit: int, prompt_share: float = 0.02
) -> Packed | None:
    """Pack a group.

    Args:
        group: Dialogues; the more of their beginning they share, the better.
        tokenizer: The model's tokenizer.
        rng: Chooses which tokens of the prompt count.
        limit: Most tokens in one dialogue.
        prompt_share: Share of the prompt's tokens whose prediction counts, with weight 0.15.

    Returns:
        The packed group, or None where no dialogue is short enough.
    """
    pairs = []
    for one in group:
        prompt, answer = tokenizer.encode(render(one.messages)).ids, tokenizer.encode(one.answer + "<|im_end|>").ids
        if len(prompt) + len(answer) <= limit:
            pairs.append((prompt, answer, REFUSAL if one.kind == "unanswerable" else CHOICE))
    if not pairs:
        return None
    # The last token before an answer stays in its branch: what follows it differs.
    shared = min(len(prompt) for prompt, _, _ in pairs) - 1
    first = pairs[0][0]
    for prompt, _, _ in pairs[1:]:
        shared = next((i for i in range(shared) if prompt[i] != first[i]), shared)
    shared = shared if len(pairs) > 1 else 0
    tokens, positions, branches = first[:shared], list(range(shared)), [0] * shared
    targets, weights = (
        [*first[1:shared], -1][:shared],
        [0.15 if rng.random() < prompt_share else 0.0 for _ in range(shared)],
    )
    if shared:
        weights[-1] = 0.0
    for number, (prompt, answer, choice) in enumerate(pairs, 1):
        branch = prompt[shared:] + answer
        asked = len(prompt) - shared
        tokens += branch
        positions += range(shared, shared + len(branch))
        branches += [number] * len(branch)
        targets += [*branch[1:], -1]
        weights += [0.0] * (asked - 1) + [choice] + [1.0] * (len(answer) - 1) + [0.0]
    return Packed(tokens, positions, branches, targets, weights)


def collate(rows: list[Packed]) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Pad packed groups to one batch: tokens, positions, mask, targets, weights."""
    length = max(len(row.tokens) for row in rows)

    def padded(name: str, filler: float) -> Tensor:
        return torch.tensor([getattr(row, name) + [filler] * (length - len(row.tokens)) for row in rows])

    branches = padded("branches", -1)
    same = (branches[:, :, None] == branches[:, None, :]) | (branches[:, None, :] == 0)
    causal = torch.ones(length, length, dtype=torch.bool).tril()
    return (
        padded("tokens", 0),
        padded("positions", 0),
        (same & causal)[:, None],
        padded("targets", -1),
        padded("weights", 0.0),
    )
