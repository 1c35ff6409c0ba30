"""Places for the nodes of a small graph, layer by layer.

The method is Sugiyama's, Tagawa's and Toda's (IEEE SMC, 1981): edges that close a cycle are turned round, nodes are put
into layers, a long edge gets a bend in each layer that it passes, layers are ordered by barycentre, and places are
found by least squares.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import fsum, inf
from typing import NamedTuple

__all__ = ["Bend", "Layout", "Place", "arrange"]

_SWEEPS = 24
_STRAIGHT = 4


class Bend(NamedTuple):
    """Where a long edge passes a layer."""

    edge: int
    layer: int


Place = str | Bend


@dataclass(frozen=True)
class Layout:
    """Where everything is."""

    layer: dict[Place, int]
    """Layer of each place, from 0 at the top."""
    middle: dict[Place, float]
    """Middle of each place from left to right; the leftmost node begins at 0."""
    routes: list[list[Place]]
    """The way of each edge, from top to bottom; a loop is its node twice."""
    turned: list[bool]
    """Whether an edge leads up, against its route."""


def arrange(edges: Sequence[tuple[str, str]], widths: Mapping[str, float], gap: float) -> Layout:
    """Lay a graph out.

    Args:
        edges: Source and target; an edge in a cycle that leads to a node named earlier in `widths` is drawn upwards.
        widths: Width by node.
        gap: Least distance between neighbours in a layer.
    """
    rank = {name: index for index, name in enumerate(widths)}
    turned = [rank[target] < rank[source] and _leads(edges, target, source) for source, target in edges]
    ends = [(t, s) if back else (s, t) for (s, t), back in zip(edges, turned, strict=True)]
    layer: dict[Place, int] = dict.fromkeys(widths, 0)
    for _ in widths:  # longest path: as many rounds as there are nodes are enough
        for upper, lower in ends:
            if upper != lower:
                layer[lower] = max(layer[lower], layer[upper] + 1)
    routes: list[list[Place]] = []
    for number, (upper, lower) in enumerate(ends):
        bends = [Bend(number, passed) for passed in range(layer[upper] + 1, layer[lower])]
        layer.update({bend: bend.layer for bend in bends})
        routes.append([upper, *bends, lower])
    layers = [[place for place in layer if layer[place] == n] for n in range(max(layer.values(), default=0) + 1)]
    layers = _ordered(layers, routes)
    return Layout(layer, _placed(layers, routes, widths, gap), routes, turned)


def _leads(edges: Sequence[tuple[str, str]], start: str, goal: str) -> bool:
    """Whether there is a way from `start` to `goal`."""
    found, waiting = {start}, [start]
    while waiting:
        name = waiting.pop()
        new = {target for source, target in edges if source == name} - found
        found |= new
        waiting.extend(new)
    return goal in found


def _neighbours(routes: Sequence[Sequence[Place]]) -> tuple[dict[Place, list[Place]], dict[Place, list[Place]]]:
    """The places above, and the places below, by place."""
    above: dict[Place, list[Place]] = {}
    below: dict[Place, list[Place]] = {}
    for upper, lower in (pair for route in routes for pair in pairwise(route) if pair[0] != pair[1]):
        above.setdefault(lower, []).append(upper)
        below.setdefault(upper, []).append(lower)
    return above, below


def _ordered(layers: list[list[Place]], routes: Sequence[Sequence[Place]]) -> list[list[Place]]:
    """Each layer by the mean rank of its neighbours, down and up in turn; the sweep with the fewest crossings."""
    above, below = _neighbours(routes)
    best, fewest = [*layers], _crossings(layers, below)
    for sweep in range(_SWEEPS):
        near, way = (above, 1) if sweep % 2 == 0 else (below, -1)
        rank = {place: float(index) for layer in layers for index, place in enumerate(layer)}
        for layer in layers[::way]:
            means = {p: fsum(rank[n] for n in near[p]) / len(near[p]) if p in near else rank[p] for p in layer}
            layer.sort(key=means.__getitem__)
            rank.update({place: index for index, place in enumerate(layer)})
        if (crossings := _crossings(layers, below)) < fewest:
            best, fewest = [[*layer] for layer in layers], crossings
    return best


def _crossings(layers: Sequence[Sequence[Place]], below: Mapping[Place, Sequence[Place]]) -> int:
    rank = {place: index for layer in layers for index, place in enumerate(layer)}
    count = 0
    for layer in layers:
        ends = [(rank[upper], rank[lower]) for upper in layer for lower in below.get(upper, ())]
        count += sum(a < c and b > d for a, b in ends for c, d in ends)
    return count


def _placed(
    layers: list[list[Place]], routes: Sequence[list[Place]], widths: Mapping[str, float], gap: float
) -> dict[Place, float]:
    """The middle of each place: near its neighbours, and never nearer to the next one than the gap."""
    above, below = _neighbours(routes)
    half = {p: widths[p] / 2 if isinstance(p, str) else 0 for layer in layers for p in layer}
    middle = dict.fromkeys(half, 0.0)
    for sweep in range(4 * _SWEEPS):
        for layer in layers[:: 1 if sweep % 2 == 0 else -1]:
            wanted = []
            for place in layer:
                near = [*above.get(place, ()), *below.get(place, ())]
                if isinstance(place, Bend):  # the bends of an edge pull each other: it should be straight
                    near += _STRAIGHT * routes[place.edge][1:-1]
                wanted.append(fsum(middle[n] for n in near) / len(near) if near else middle[place])
            middle.update(zip(layer, _apart(wanted, [half[place] for place in layer], gap), strict=True))
    _straighten(layers, routes, half, middle, gap)
    left = min((middle[place] - half[place] for place in middle), default=0.0)
    return {place: x - left for place, x in middle.items()}


def _straighten(
    layers: list[list[Place]],
    routes: Sequence[list[Place]],
    half: Mapping[Place, float],
    middle: dict[Place, float],
    gap: float,
) -> None:
    """Put the bends of an edge above each other, where their neighbours leave room for it."""
    for route in [route for _ in range(3) for route in routes if len(route) > 2]:
        low, high = -inf, inf
        for bend in route[1:-1]:
            layer = next(layer for layer in layers if bend in layer)
            index = layer.index(bend)
            low = max([low, *(middle[p] + half[p] + gap for p in layer[:index][-1:])])
            high = min([high, *(middle[p] - half[p] - gap for p in layer[index + 1 :][:1])])
        if low <= high + 1e-6:  # what rounding takes away is not missing room
            mean = fsum(middle[bend] for bend in route[1:-1]) / (len(route) - 2)
            middle.update(dict.fromkeys(route[1:-1], min(max(mean, low), high)))


def _apart(wanted: Sequence[float], half: Sequence[float], gap: float) -> list[float]:
    """The places nearest to the wanted ones, in least squares, that keep order and gap (isotonic regression)."""
    offsets = [0.0]
    for left, right in pairwise(half):
        offsets.append(offsets[-1] + left + right + gap)
    blocks: list[tuple[float, int]] = []
    for value, offset in zip(wanted, offsets, strict=True):
        mean, count = value - offset, 1
        while blocks and blocks[-1][0] > mean:
            before, size = blocks.pop()
            mean, count = (before * size + mean * count) / (size + count), size + count
        blocks.append((mean, count))
    spread = [mean for mean, count in blocks for _ in range(count)]
    return [value + offset for value, offset in zip(spread, offsets, strict=True)]
