"""Dropout that draws its mask from a pool: on a processor, drawing it anew takes a quarter of the training."""

from __future__ import annotations

import torch

__all__ = ["PooledDropout", "replace_dropout"]

_POOL, _USES = 1 << 22, 2000


class PooledDropout(torch.nn.Module):
    """Dropout whose mask is a random stretch of a pool of random bits, which is drawn anew from time to time.

    Args:
        share: Share of the values set to zero; the others grow by 1 / (1 - share).
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.p, self._uses = share, 0  # transformers asks for `p`
        self._pool = torch.empty(0)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """The values, some of them dropped while training."""
        if not self.training or not self.p:
            return values
        count = values.numel()
        if self._uses % _USES == 0 or len(self._pool) < 2 * count:
            kept = torch.rand(max(_POOL, 2 * count)) >= self.p
            self._pool = kept.to(values.dtype) / (1 - self.p)
        self._uses += 1
        start = int(torch.randint(len(self._pool) - count, ()))
        return values * self._pool[start : start + count].view_as(values)


def replace_dropout(net: torch.nn.Module) -> None:
    """Put one such layer in the place of every dropout of the same share."""
    pooled: dict[float, PooledDropout] = {}
    for module in list(net.modules()):
        for name, child in module.named_children():
            if isinstance(child, torch.nn.Dropout):
                setattr(module, name, pooled.setdefault(child.p, PooledDropout(child.p)))
