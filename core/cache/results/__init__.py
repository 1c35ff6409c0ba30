"""Results of nodes, subgraphs and tools, kept for whoever gives them the same again.

Names load on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from freehold.lazy import lazy_exports

if TYPE_CHECKING:
    from freehold.cache.results.langgraph_cache import LangGraphCache
    from freehold.cache.results.message_key import MessageKey, chat_policy
    from freehold.cache.results.tool_results import ToolResults

__all__ = ["LangGraphCache", "MessageKey", "ToolResults", "chat_policy"]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "LangGraphCache": "freehold.cache.results.langgraph_cache",
        "MessageKey": "freehold.cache.results.message_key",
        "ToolResults": "freehold.cache.results.tool_results",
        "chat_policy": "freehold.cache.results.message_key",
    },
)
