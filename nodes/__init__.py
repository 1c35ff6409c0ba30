"""LangGraph nodes: each works in anybody's `StateGraph` whose state has the keys it names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from freehold.nodes.begin_turn import BeginTurn
    from freehold.nodes.check_input import CheckInput
    from freehold.nodes.check_output import CheckOutput
    from freehold.nodes.generate import Generate, Prompts
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
    "LookupCache",
    "Node",
    "Prompts",
    "RecallMemory",
    "Refuse",
    "Retrieve",
    "SaveMemory",
    "SelectRoute",
    "StoreCache",
]

_HOMES = {"Prompts": "generate", "Node": "node"}


def __getattr__(name: str) -> Any:
    """Load a node from its module when it is first asked for."""
    if name not in __all__:
        raise AttributeError(f"module 'freehold.nodes' has no attribute {name!r}")
    import re
    from importlib import import_module

    module = _HOMES.get(name) or re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
    return getattr(import_module(f"freehold.nodes.{module}"), name)
