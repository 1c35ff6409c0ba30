"""Pictures of graphs as SVG, drawn in this process: no web service, no browser, no other program."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import Any

from freehold.graphs.layered_layout import Layout, Place, arrange

__all__ = ["Drawing", "draw"]

_HEIGHT, _LAYER, _GAP, _MARGIN = 34, 66, 26, 20
_LETTER = 7.4  # width of a letter at 13 pixels; a sans-serif font is narrower on average
_LOOP = 30
_STYLE = (
    "text{font:13px system-ui,'Segoe UI',Helvetica,Arial,sans-serif;fill:#1b1f24;text-anchor:middle}"
    "text.label{font-size:11px;fill:#57606a}rect{fill:#eaf2ff;stroke:#4a76b8;stroke-width:1.2}"
    "rect.end{fill:#f3f4f6;stroke:#8c959f}rect.paper{fill:#fff;stroke:none}"
    "path{fill:none;stroke:#57606a;stroke-width:1.3}path.dashed{stroke-dasharray:5 4}"
    "marker path{fill:#57606a;stroke:none}"
)


@dataclass(frozen=True)
class Drawing:
    """A picture that Jupyter shows as it is."""

    svg: str
    """The picture's source."""

    def __str__(self) -> str:
        return self.svg

    def __repr__(self) -> str:
        return f"Drawing({len(self.svg)} characters of SVG)"

    def _repr_svg_(self) -> str:
        return self.svg

    def save(self, path: str | Path) -> None:
        """Write the picture to a file."""
        Path(path).write_text(self.svg + "\n", encoding="utf-8")


def draw(graph: Any) -> Drawing:
    """Draw a graph from top to bottom; conditional edges are dashed, edges that lead back point upwards.

    Args:
        graph: A compiled LangGraph graph, or what its `get_graph` gives.

    Example:
        >>> from langgraph.graph import START, MessagesState, StateGraph
        >>> graph = StateGraph(MessagesState)
        >>> _ = graph.add_node("greet", lambda state: state).add_edge(START, "greet")
        >>> "greet" in draw(graph.compile()).svg
        True
    """
    shown = graph.get_graph() if hasattr(graph, "get_graph") else graph
    names = {name: node.name.strip("_") for name, node in shown.nodes.items()}
    widths = {name: len(text) * _LETTER + 26 for name, text in names.items()}
    layout = arrange([(edge.source, edge.target) for edge in shown.edges], widths, _GAP)
    right = {layout.middle[name] + width / 2 for name, width in widths.items()} | set(layout.middle.values())
    right |= {layout.middle[e.source] + widths[e.source] / 2 + _LOOP for e in shown.edges if e.source == e.target}
    wide = round(max(right, default=0)) + 2 * _MARGIN
    high = _top(max(layout.layer.values(), default=0)) + _HEIGHT + _MARGIN
    lines = (_head(wide, high), _edges(shown.edges, layout, names, widths), _boxes(layout, names, widths))
    return Drawing("\n".join(line for part in lines for line in part))


def _top(layer: int) -> int:
    return _MARGIN + layer * _LAYER


def _head(wide: int, high: int) -> Iterator[str]:
    yield f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" width="{wide}" height="{high}">'
    yield f"<style>{_STYLE}</style>"
    yield '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    yield '<path d="M0 0L8 4L0 8z"/></marker></defs>'
    yield f'<rect class="paper" width="{wide}" height="{high}" rx="8"/>'


def _edges(edges: Any, layout: Layout, names: dict[str, str], widths: dict[str, float]) -> Iterator[str]:
    for number, (edge, turned) in enumerate(zip(edges, layout.turned, strict=True)):
        if edge.source == edge.target:
            side, top = _MARGIN + layout.middle[edge.source] + widths[edge.source] / 2, _top(layout.layer[edge.source])
            low, out = top + _HEIGHT, side + _LOOP
            points = [(side + _LOOP, low - 9.0), (side + _LOOP, top + 9.0)]
            path = f"M{side:.0f} {low - 9}C{out:.0f} {low} {out:.0f} {top} {side:.0f} {top + 9}"
        else:
            points = list(_points(number, layout, widths))[:: -1 if turned else 1]
            path = f"M{points[0][0]:.0f} {points[0][1]:.0f}"
            for index, ((x, y), (to_x, to_y)) in enumerate(pairwise(points)):
                middle = (y + to_y) / 2
                curve = f"C{x:.0f} {middle:.0f} {to_x:.0f} {middle:.0f} {to_x:.0f} {to_y:.0f}"
                path += f"L{to_x:.0f} {to_y:.0f}" if index % 2 else curve
        dashed = ' class="dashed"' if edge.conditional else ""
        title = f"<title>{escape(names[edge.source])} to {escape(names[edge.target])}</title>"
        yield f'<path{dashed} d="{path}" marker-end="url(#tip)">{title}</path>'
        if edge.data and edge.data != edge.target:
            x, y = sum(point[0] for point in points[:2]) / 2, sum(point[1] for point in points[:2]) / 2 + 4
            yield f'<text class="label" x="{x:.0f}" y="{y:.0f}">{escape(str(edge.data))}</text>'


def _points(number: int, layout: Layout, widths: dict[str, float]) -> Iterator[tuple[float, float]]:
    """Where an edge leaves its upper box, enters and leaves each layer that it passes, and meets its lower box."""
    route = layout.routes[number]
    yield _port(number, 0, layout, widths), _top(layout.layer[route[0]]) + _HEIGHT
    for bend in route[1:-1]:
        yield _MARGIN + layout.middle[bend], _top(layout.layer[bend])
        yield _MARGIN + layout.middle[bend], _top(layout.layer[bend]) + _HEIGHT
    yield _port(number, -1, layout, widths), _top(layout.layer[route[-1]])


def _port(number: int, end: int, layout: Layout, widths: dict[str, float]) -> float:
    """Side by side with the other edges at this box, in the order of where they lead."""
    box = layout.routes[number][end]
    there = [(route, index) for index, route in enumerate(layout.routes) if route[end] == box and len({*route}) > 1]
    order = sorted((layout.middle[route[-2 if end else 1]], index) for route, index in there)
    rank = [index for _, index in order].index(number)
    step = min(20.0, (widths[str(box)] - 30) / len(order))
    return _MARGIN + layout.middle[box] + (rank - (len(order) - 1) / 2) * step


def _boxes(layout: Layout, names: dict[str, str], widths: dict[str, float]) -> Iterator[str]:
    place: Place
    for place, text in names.items():
        x, y, wide = _MARGIN + layout.middle[place], _top(layout.layer[place]), widths[place]
        kind, corner = (' class="end"', _HEIGHT // 2) if place in ("__start__", "__end__") else ("", 7)
        yield f'<rect{kind} x="{x - wide / 2:.0f}" y="{y}" width="{wide:.0f}" height="{_HEIGHT}" rx="{corner}"/>'
        yield f'<text x="{x:.0f}" y="{y + 22}">{escape(text)}</text>'
    yield "</svg>"
