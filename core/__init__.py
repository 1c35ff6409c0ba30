"""LangGraph nodes and graphs for agents that run on their owner's machine.

Importing this package switches the telemetry and the downloads of every dependency off, before any of them is loaded;
heavy libraries load on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from freehold.lazy import lazy_exports
from freehold.sovereignty import switch_off_telemetry
from freehold.spared_imports import spare_imports

if TYPE_CHECKING:
    from freehold.context import Context
    from freehold.errors import FreeholdError
    from freehold.settings import Settings
    from freehold.state import AssistantState
    from freehold.workspace import Workspace

__all__ = ["AssistantState", "Context", "FreeholdError", "Settings", "Workspace", "__version__"]

__version__ = "0.1.0"

switch_off_telemetry()
spare_imports()

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "AssistantState": "freehold.state",
        "Context": "freehold.context",
        "FreeholdError": "freehold.errors",
        "Settings": "freehold.settings",
        "Workspace": "freehold.workspace",
    },
)
