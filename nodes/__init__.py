"""LangGraph nodes: each works in anybody's `StateGraph` whose state has the keys it names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freehold.lazy import lazy_exports

if TYPE_CHECKING:
    from freehold.nodes.begin_turn import BeginTurn
    from freehold.nodes.cached_subgraph import cached
    from freehold.nodes.check_input import CheckInput
    from freehold.nodes.check_output import CheckOutput
    from freehold.nodes.generate import Generate, Prompts
    from freehold.nodes.grade_passages import GradePassages
    from freehold.nodes.lookup_cache import LookupCache
    from freehold.nodes.node import Node
    from freehold.nodes.recall_memory import RecallMemory
    from freehold.nodes.refuse import Refuse
    from freehold.nodes.retrieve import Retrieve
    from freehold.nodes.save_memory import SaveMemory
    from freehold.nodes.select_route import SelectRoute
    from freehold.nodes.store_cache import StoreCache

__all__ = [
    "BeginTurn",
    "CheckInput",
    "CheckOutput",
    "Generate",
    "GradePassages",
    "LookupCache",
    "Node",
    "Prompts",
    "RecallMemory",
    "Refuse",
    "Retrieve",
    "SaveMemory",
    "SelectRoute",
    "StoreCache",
    "cached",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "BeginTurn": "freehold.nodes.begin_turn",
        "CheckInput": "freehold.nodes.check_input",
        "CheckOutput": "freehold.nodes.check_output",
        "Generate": "freehold.nodes.generate",
        "GradePassages": "freehold.nodes.grade_passages",
        "LookupCache": "freehold.nodes.lookup_cache",
        "Node": "freehold.nodes.node",
        "Prompts": "freehold.nodes.generate",
        "RecallMemory": "freehold.nodes.recall_memory",
        "Refuse": "freehold.nodes.refuse",
        "Retrieve": "freehold.nodes.retrieve",
        "SaveMemory": "freehold.nodes.save_memory",
        "SelectRoute": "freehold.nodes.select_route",
        "StoreCache": "freehold.nodes.store_cache",
        "cached": "freehold.nodes.cached_subgraph",
    },
)
