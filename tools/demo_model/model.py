"""The demonstration model in torch: the llama architecture at its smallest, so that llama.cpp runs it."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own custom
from torch import Tensor, nn

__all__ = ["CONTEXT", "FEED_FORWARD", "HEADS", "HEAD_WIDTH", "LAYERS", "VOCABULARY", "WIDTH", "DemoModel", "grow"]

VOCABULARY, WIDTH, LAYERS, HEADS, FEED_FORWARD, CONTEXT = 4096, 256, 6, 4, 704, 1024
HEAD_WIDTH = WIDTH // HEADS


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary position embedding on interleaved pairs, as llama.cpp expects of this architecture (Su et al. 2021)."""
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(-2)


class _Block(nn.Module):
    """Attention and gated feed-forward, each behind an RMS norm; one-letter names are those in the weights file."""

    def __init__(self) -> None:
        super().__init__()
        self.n1 = nn.RMSNorm(WIDTH, eps=1e-5)
        self.n2 = nn.RMSNorm(WIDTH, eps=1e-5)
        self.q, self.k, self.v, self.o = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(4))
        self.g = nn.Linear(WIDTH, FEED_FORWARD, bias=False)
        self.u = nn.Linear(WIDTH, FEED_FORWARD, bias=False)
        self.d = nn.Linear(FEED_FORWARD, WIDTH, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor) -> Tensor:
        batch, length, _ = x.shape
        hidden = self.n1(x)
        q, k, v = (
            layer(hidden).view(batch, length, HEADS, HEAD_WIDTH).transpose(1, 2) for layer in (self.q, self.k, self.v)
        )
        mixed = F.scaled_dot_product_attention(_rotate(q, cos, sin), _rotate(k, cos, sin), v, attn_mask=mask)
        x = x + self.o(mixed.transpose(1, 2).reshape(batch, length, -1))
        hidden = self.n2(x)
        return x + self.d(F.silu(self.g(hidden)) * self.u(hidden))


class DemoModel(nn.Module):
    """Six layers of width 256 over 4,096 tokens, input and output embeddings tied: 5.9 million weights."""

    cos: Tensor
    sin: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.e = nn.Embedding(VOCABULARY, WIDTH)
        self.b = nn.ModuleList(_Block() for _ in range(LAYERS))
        self.n = nn.RMSNorm(WIDTH, eps=1e-5)
        frequency = 1 / (10000 ** (torch.arange(0, HEAD_WIDTH, 2) / HEAD_WIDTH))
        angle = torch.arange(CONTEXT)[:, None] * frequency[None]
        self.register_buffer("cos", angle.cos(), persistent=False)
        self.register_buffer("sin", angle.sin(), persistent=False)
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=0.02)
        for block in self.b:
            for layer in (block.o, block.d):
                nn.init.normal_(layer.weight, std=0.02 / math.sqrt(2 * LAYERS))

    def forward(self, tokens: Tensor, positions: Tensor, mask: Tensor) -> Tensor:
        """Hidden states before the output embedding.

        Args:
            tokens: Token ids, (batch, length).
            positions: Each token's position in its own dialogue, (batch, length).
            mask: True where a token may look, (batch, 1, length, length).

        Returns:
            Normalised hidden states, (batch, length, width).
        """
        hidden = self.e(tokens)
        cos, sin = (table[positions][:, None].to(hidden.dtype) for table in (self.cos, self.sin))
        for block in self.b:
            hidden = block(hidden, cos, sin, mask)
        out: Tensor = self.n(hidden)
        return out


def grow(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights of a model with fewer layers as weights of one with `LAYERS`, that computes the same.

    New layers go between the old ones, as copies whose outputs are zero: they start with useful features and no effect.
    Source: Chen et al., Net2Net (2016), applied to residual blocks.
    """
    count = 1 + max(int(name.split(".")[1]) for name in weights if name.startswith("b."))
    # Which old layer each new one comes from: 0 1 1 2 2 3 for six from four.
    origins = sorted([*range(count), *(1 + place % (count - 1) for place in range(LAYERS - count))])
    grown = {name: value for name, value in weights.items() if not name.startswith("b.")}
    for layer, origin in enumerate(origins):
        copied = layer > 0 and origins[layer - 1] == origin
        for name, value in weights.items():
            if name.startswith(f"b.{origin}."):
                silent = copied and name.endswith((".o.weight", ".d.weight"))
                grown[name.replace(f"b.{origin}.", f"b.{layer}.", 1)] = torch.zeros_like(value) if silent else value
    return grown
