"""Pictures of graphs as SVG, drawn in this process: no web service, no browser, no program beside Python.

The layout is the layered one of Sugiyama, Tagawa and Toda (IEEE SMC 1981): back edges are turned round, nodes are put into
layers, long edges get a bend in each layer they pass, layers are ordered by barycentre, and places are found by least squares.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["Drawing", "draw"]

_HEIGHT, _LAYER, _GAP, _MARGIN, _LETTER = 34, 68, 26, 20, 7.4
_SWEEPS = 24
_STYLE = (
    "text{font:13px system-ui,'Segoe UI',Helvetica,Arial,sans-serif;fill:#1b1f24;text-anchor:middle}"
    ".label{font-size:11px;fill:#57606a}rect{fill:#eaf2ff;stroke:#4a76b8;stroke-width:1.2}"
    ".end{fill:#f3f4f6;stroke:#8c959f}.paper{fill:#fff;stroke:none}"
    "path{fill:none;stroke:#57606a;stroke-width:1.3}.dashed{stroke-dasharray:5 4}marker path{fill:#57606a;stroke:none}"
)


@dataclass(frozen=True)
class Drawing:
    """A picture that Jupyter shows as it is."""

    svg: str

    def __str__(self) -> str:
        return self.svg

    def __repr__(self) -> str:
        return f"Drawing({len(self.svg)} characters of SVG)"

    def _repr_svg_(self) -> str:
        return self.svg

    def save(self, path: str | Path) -> None:
        """Write the picture to a file."""
        Path(path).write_text(self.svg + "\n", encoding="utf-8")


class _Edge(NamedTuple):
    source: str
    target: str
    conditional: bool
    label: str


class _Bend(NamedTuple):
    """Where a long edge passes a layer."""

    edge: int
    layer: int


_Place = str | _Bend


def draw(graph: Any) -> Drawing:
    """Draw a graph from top to bottom; conditional edges are dashed.

    Args:
        graph: A compiled LangGraph graph, or what its `get_graph` gives.

    Example:
        >>> from langgraph.graph import START, StateGraph
        >>> graph = StateGraph(dict)
        >>> _ = graph.add_node("greet", lambda state: state)
        >>> _ = graph.add_edge(START, "greet")
        >>> draw(graph.compile()).svg.startswith("<svg")
        True
    """
    shown = graph.get_graph() if hasattr(graph, "get_graph") else graph
    names = {name: node.name.strip("_") for name, node in shown.nodes.items()}
    edges = [_Edge(e.source, e.target, bool(e.conditional), str(e.data or "")) for e in shown.edges]
    forward = _turned(list(names), edges)
    layers, routes = _layered(list(names), edges, forward)
    _order(layers, routes)
    widths = {name: len(text) * _LETTER + 26 for name, text in names.items()}
    places = _placed(layers, routes, widths)
    return Drawing("\n".join(_lines(names, edges, forward, layers, routes, widths, places)))


def _turned(names: Sequence[str], edges: Sequence[_Edge]) -> list[bool]:
    """Whether each edge leads down; one that leads back to a node on the way to its source is turned round."""
    below: dict[str, list[int]] = {name: [] for name in names}
    for number, edge in enumerate(edges):
        below[edge.source].append(number)
    forward, on_the_way, seen = [True] * len(edges), set[str](), set[str]()

    def visit(name: str) -> None:
        seen.add(name)
        on_the_way.add(name)
        for number in below[name]:
            target = edges[number].target
            forward[number] = target not in on_the_way
            if target not in seen:
                visit(target)
        on_the_way.discard(name)

    for name in names:
        if name not in seen:
            visit(name)
    return forward


def _layered(
    names: Sequence[str], edges: Sequence[_Edge], forward: Sequence[bool]
) -> tuple[list[list[_Place]], list[list[_Place]]]:
    """The layers from top to bottom, and each edge's way through them, from top to bottom as well."""
    ends = [(e.source, e.target) if down else (e.target, e.source) for e, down in zip(edges, forward, strict=True)]
    depth = dict.fromkeys(names, 0)
    for _ in names:  # longest path: as many rounds as there are nodes are enough
        for upper, lower in ends:
            if upper != lower:
                depth[lower] = max(depth[lower], depth[upper] + 1)
    layers: list[list[_Place]] = [[] for _ in range(max(depth.values(), default=0) + 1)]
    for name in names:
        layers[depth[name]].append(name)
    routes: list[list[_Place]] = []
    for number, (upper, lower) in enumerate(ends):
        bends = [_Bend(number, layer) for layer in range(depth[upper] + 1, depth[lower])]
        for bend in bends:
            layers[bend.layer].append(bend)
        routes.append([upper, *bends, lower])
    return layers, routes


def _neighbours(routes: Sequence[Sequence[_Place]]) -> tuple[dict[_Place, list[_Place]], dict[_Place, list[_Place]]]:
    above: dict[_Place, list[_Place]] = {}
    below: dict[_Place, list[_Place]] = {}
    for route in routes:
        for upper, lower in zip(route, route[1:], strict=False):
            if upper != lower:
                above.setdefault(lower, []).append(upper)
                below.setdefault(upper, []).append(lower)
    return above, below


def _order(layers: list[list[_Place]], routes: Sequence[Sequence[_Place]]) -> None:
    """Order each layer by the mean place of its neighbours, down and up in turn; keep the order with fewest crossings."""
    above, below = _neighbours(routes)
    best, fewest = [list(layer) for layer in layers], _crossings(layers, below)
    for sweep in range(_SWEEPS):
        near = above if sweep % 2 == 0 else below
        rank = {place: index for layer in layers for index, place in enumerate(layer)}
        for layer in layers if sweep % 2 == 0 else reversed(layers):
            means = {p: sum(rank[n] for n in near[p]) / len(near[p]) if p in near else rank[p] for p in layer}
            layer.sort(key=means.__getitem__)
            rank.update({place: index for index, place in enumerate(layer)})
        if (crossings := _crossings(layers, below)) < fewest:
            best, fewest = [list(layer) for layer in layers], crossings
    layers[:] = best


def _crossings(layers: Sequence[Sequence[_Place]], below: dict[_Place, list[_Place]]) -> int:
    rank = {place: index for layer in layers for index, place in enumerate(layer)}
    count = 0
    for layer in layers:
        ends = [(rank[upper], rank[lower]) for upper in layer for lower in below.get(upper, ())]
        count += sum(a < c and b > d for a, b in ends for c, d in ends)
    return count


def _placed(
    layers: Sequence[Sequence[_Place]], routes: Sequence[Sequence[_Place]], widths: dict[str, float]
) -> dict[_Place, float]:
    """The middle of each place from left to right: near its neighbours, never nearer to the next than the gap."""
    above, below = _neighbours(routes)
    half = {place: (widths[place] if isinstance(place, str) else 0) / 2 for layer in layers for place in layer}
    middle = {place: 0.0 for layer in layers for place in layer}
    for sweep in range(2 * _SWEEPS):
        for layer in layers if sweep % 2 == 0 else reversed(layers):
            wanted = []
            for place in layer:
                near = [*above.get(place, ()), *below.get(place, ())] if sweep else []
                weights = [4.0 if isinstance(n, _Bend) and isinstance(place, _Bend) else 1.0 for n in near]
                mean = sum(middle[n] * w for n, w in zip(near, weights, strict=True)) / (sum(weights) or 1)
                wanted.append(mean if near else middle[place])
            for place, x in zip(layer, _apart(wanted, [half[place] for place in layer]), strict=True):
                middle[place] = x
    left = min(middle[place] - half[place] for place in middle) if middle else 0
    return {place: x - left + _MARGIN for place, x in middle.items()}


def _apart(wanted: Sequence[float], half: Sequence[float]) -> list[float]:
    """The places nearest to the wanted ones, by least squares, that keep order and gap (isotonic regression)."""
    offsets = [0.0]
    for left, right in zip(half, half[1:], strict=False):
        offsets.append(offsets[-1] + left + right + _GAP)
    blocks: list[tuple[float, int]] = []
    for value, offset in zip(wanted, offsets, strict=True):
        mean, count = value - offset, 1
        while blocks and blocks[-1][0] > mean:
            before, size = blocks.pop()
            mean, count = (before * size + mean * count) / (size + count), size + count
        blocks.append((mean, count))
    spread = [mean for mean, count in blocks for _ in range(count)]
    return [value + offset for value, offset in zip(spread, offsets, strict=True)]


def _lines(
    names: dict[str, str],
    edges: Sequence[_Edge],
    forward: Sequence[bool],
    layers: Sequence[Sequence[_Place]],
    routes: Sequence[Sequence[_Place]],
    widths: dict[str, float],
    places: dict[_Place, float],
) -> Iterator[str]:
    top = {place: _MARGIN + number * _LAYER for number, layer in enumerate(layers) for place in layer}
    wide = max(x + (widths[p] if isinstance(p, str) else 0) / 2 for p, x in places.items()) + _MARGIN
    high = len(layers) * _LAYER - (_LAYER - _HEIGHT) + 2 * _MARGIN
    yield f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide:.0f} {high}" width="{wide:.0f}" height="{high}">'
    yield f"<style>{_STYLE}</style>"
    yield '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto-start-reverse">'
    yield '<path d="M0 0L8 4L0 8z"/></marker></defs>'
    yield f'<rect class="paper" width="{wide:.0f}" height="{high}" rx="8"/>'
    for number, (edge, down, route) in enumerate(zip(edges, forward, routes, strict=True)):
        points = [
            (_port(number, routes, places, widths, end=False), top[route[0]] + _HEIGHT),
            *((places[bend], top[bend] + dy) for bend in route[1:-1] for dy in (0, _HEIGHT)),
            (_port(number, routes, places, widths, end=True), top[route[-1]]),
        ]
        path = f"M{points[0][0]:.0f} {points[0][1]}"
        for index, ((x, y), (to_x, to_y)) in enumerate(zip(points, points[1:], strict=False)):
            middle = (y + to_y) / 2
            curve = f"C{x:.0f} {middle:.0f} {to_x:.0f} {middle:.0f} {to_x:.0f} {to_y}"
            path += curve if index % 2 == 0 else f"L{to_x:.0f} {to_y}"
        shape = ' class="dashed"' if edge.conditional else ""
        tip = "marker-end" if down else "marker-start"
        title = f"<title>{escape(names[edge.source])} to {escape(names[edge.target])}</title>"
        yield f'<path{shape} d="{path}" {tip}="url(#tip)">{title}</path>'
        if edge.label and edge.label != edge.target:
            x, y = (points[0][0] + points[1][0]) / 2, (points[0][1] + points[1][1]) / 2
            yield f'<text class="label" x="{x:.0f}" y="{y + 4:.0f}">{escape(edge.label)}</text>'
    for name, text in names.items():
        x, y, width = places[name] - widths[name] / 2, top[name], widths[name]
        kind, round_ = (' class="end"', _HEIGHT / 2) if name in ("__start__", "__end__") else ("", 7)
        yield f'<rect{kind} x="{x:.0f}" y="{y}" width="{width:.0f}" height="{_HEIGHT}" rx="{round_:.0f}"/>'
        yield f'<text x="{places[name]:.0f}" y="{y + 22}">{escape(text)}</text>'
    yield "</svg>"


def _port(
    number: int, routes: Sequence[Sequence[_Place]], places: dict[_Place, float], widths: dict[str, float], *, end: bool
) -> float:
    """Where an edge meets its box: side by side with the other edges there, in the order of where they lead."""
    at, near = (-1, -2) if end else (0, 1)
    box = routes[number][at]
    others = sorted((places[r[near]], index) for index, r in enumerate(routes) if r[at] == box)
    rank = [index for _, index in others].index(number)
    step = min(18.0, (widths[str(box)] - 30) / len(others))
    return places[box] + (rank - (len(others) - 1) / 2) * step
