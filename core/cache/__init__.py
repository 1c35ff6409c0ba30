"""The response cache: what was answered before, in the same situation, is answered without the model.

Names load on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from freehold.lazy import lazy_exports

if TYPE_CHECKING:
    from freehold.cache.answer import CachedAnswer
    from freehold.cache.evidence import Evidence
    from freehold.cache.freshness import Freshness
    from freehold.cache.lookup import Lookup, Ticket
    from freehold.cache.report import CacheReport
    from freehold.cache.response_cache import ResponseCache
    from freehold.cache.results.langgraph_cache import LangGraphCache
    from freehold.cache.results.message_key import chat_policy
    from freehold.cache.results.tool_results import ToolResults
    from freehold.cache.situation import Situation, digest, normalise
    from freehold.cache.threshold_hits import ThresholdHits
    from freehold.cache.verified_hits import VerifiedHits

__all__ = [
    "CacheReport",
    "CachedAnswer",
    "Evidence",
    "Freshness",
    "LangGraphCache",
    "Lookup",
    "ResponseCache",
    "Situation",
    "ThresholdHits",
    "Ticket",
    "ToolResults",
    "VerifiedHits",
    "chat_policy",
    "digest",
    "normalise",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "CacheReport": "freehold.cache.report",
        "CachedAnswer": "freehold.cache.answer",
        "Evidence": "freehold.cache.evidence",
        "Freshness": "freehold.cache.freshness",
        "LangGraphCache": "freehold.cache.results.langgraph_cache",
        "Lookup": "freehold.cache.lookup",
        "ResponseCache": "freehold.cache.response_cache",
        "Situation": "freehold.cache.situation",
        "ThresholdHits": "freehold.cache.threshold_hits",
        "Ticket": "freehold.cache.lookup",
        "ToolResults": "freehold.cache.results.tool_results",
        "VerifiedHits": "freehold.cache.verified_hits",
        "chat_policy": "freehold.cache.results.message_key",
        "digest": "freehold.cache.situation",
        "normalise": "freehold.cache.situation",
    },
)
