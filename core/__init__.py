"""LangGraph nodes and graphs for agents that run on their owner's machine.

Importing this package switches the telemetry and the downloads of every dependency off, before any of them is loaded;
heavy libraries load on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from freehold.sovereignty import switch_off_telemetry

if TYPE_CHECKING:
    from freehold.context import Context
    from freehold.errors import FreeholdError
    from freehold.settings import Settings
    from freehold.state import AssistantState
    from freehold.workspace import Workspace

__all__ = ["AssistantState", "Context", "FreeholdError", "Settings", "Workspace", "__version__"]

__version__ = "0.1.0"

switch_off_telemetry()

_HOMES = {
    "AssistantState": "freehold.state",
    "Context": "freehold.context",
    "FreeholdError": "freehold.errors",
    "Settings": "freehold.settings",
    "Workspace": "freehold.workspace",
}


def __getattr__(name: str) -> Any:
    """Load a public name from its module when it is first asked for."""
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'freehold' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
