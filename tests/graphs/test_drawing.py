"""Pictures of graphs."""

from __future__ import annotations

import random
from itertools import combinations
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from langgraph.graph import END, START, MessagesState, StateGraph

from freehold import Workspace
from freehold.graphs import create_assistant, create_ingest, draw
from freehold.graphs.drawing import Drawing
from tests.conftest import ROOT

SVG = "{http://www.w3.org/2000/svg}"


def _shown(
    picture: Drawing,
) -> tuple[list[tuple[float, float, float, float]], list[str], dict[str, ET.Element]]:
    """Boxes as left, top, right, bottom; texts; edges by title."""
    root = ET.fromstring(picture.svg)
    boxes = []
    for box in root.findall(f"{SVG}rect"):
        if box.get("class") != "paper":
            x, y, wide, high = (float(box.get(name, "")) for name in ("x", "y", "width", "height"))
            boxes.append((x, y, x + wide, y + high))
    texts = [str(text.text) for text in root.findall(f"{SVG}text")]
    edges = {str(path.findtext(f"{SVG}title")): path for path in root.findall(f"{SVG}path")}
    return boxes, texts, edges


def check_drawn(graph: Any) -> dict[str, ET.Element]:
    """Every node and edge is there, conditional edges alone are dashed, no box lies on another or off the paper."""
    picture, shown = draw(graph), graph.get_graph()
    boxes, texts, edges = _shown(picture)
    assert {node.name.strip("_") for node in shown.nodes.values()} <= set(texts)
    assert len(boxes) == len(shown.nodes)
    dashed = {f"{e.source.strip('_')} to {e.target.strip('_')}": bool(e.conditional) for e in shown.edges}
    assert {title: path.get("class") == "dashed" for title, path in edges.items()} == dashed
    for one, other in combinations(boxes, 2):
        assert one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1], (one, other)
    size = ET.fromstring(picture.svg)
    assert min(box[0] for box in boxes) >= 0
    assert max(box[2] for box in boxes) <= float(size.get("width", ""))
    assert max(box[3] for box in boxes) <= float(size.get("height", ""))
    return edges


def test_the_graphs_that_ship_are_drawn(workspace: Workspace) -> None:
    """The assistant with its way back to `generate`, and the ingest graph with its lanes."""
    back = check_drawn(create_assistant(workspace))["check_output to generate"].get("d", "")
    assert int(back.split("C")[0].split()[1]) > int(back.rsplit(" ", 1)[1]), "it points upwards"
    assert "find_files to ingest_files" in check_drawn(create_ingest(workspace.documents))


@pytest.mark.parametrize("seed", range(12))
def test_any_graph_is_drawn(seed: int) -> None:
    """Graphs with cycles, loops and parallel branches of any kind, as somebody else builds them."""
    chance = random.Random(seed)
    graph = StateGraph(MessagesState)
    names = [
        f"node_{chance.randrange(10 ** chance.randrange(1, 9))}_{number}" for number in range(chance.randrange(1, 12))
    ]
    for name in names:
        graph.add_node(name, lambda state: state)
    graph.add_edge(START, names[0])
    for name in names:
        targets = chance.sample([*names, END], min(len(names), chance.randrange(1, 4)))
        if chance.random() < 0.5:
            graph.add_conditional_edges(name, lambda state: END, targets)
        else:
            graph.add_edge(name, targets[0])
    check_drawn(graph.compile())


def test_labels_are_written_and_escaped() -> None:
    """A name that holds markup is text, and a path's own name stands at its edge."""
    graph = StateGraph(MessagesState)
    graph.add_node("a<b & c", lambda state: state)
    graph.add_edge(START, "a<b & c")
    graph.add_conditional_edges("a<b & c", lambda state: "yes", {"yes & no": END})
    assert {"a<b & c", "yes & no"} <= set(_shown(draw(graph.compile()))[1])


def test_jupyter_shows_the_picture_itself() -> None:
    """A drawing at the end of a cell is a picture, not a text of SVG."""
    picture = Drawing("<svg/>")
    assert picture._repr_svg_() == str(picture) == "<svg/>"
    assert repr(picture) == "Drawing(6 characters of SVG)"


def test_the_picture_in_the_documentation_is_the_graph(workspace: Workspace) -> None:
    """`docs/images/assistant.svg` shows the assistant as it is compiled; mend with `draw(assistant).save(path)`."""
    saved = (ROOT / "docs" / "images" / "assistant.svg").read_text(encoding="utf-8")
    assert saved == draw(create_assistant(workspace)).svg + "\n"
