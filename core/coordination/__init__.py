"""What runs share: answers that were given before, in SQLite or in Redis."""

from __future__ import annotations

from freehold.coordination.answer import CachedAnswer
from freehold.coordination.breaker import Breaker
from freehold.coordination.redis_store import RedisStore
from freehold.coordination.response_cache import CacheStats, Lookup, QuestionIndex, ResponseCache
from freehold.coordination.situation import Situation, digest, normalise
from freehold.coordination.sqlite_store import SQLiteStore
from freehold.coordination.store import AnswerStore

__all__ = [
    "AnswerStore",
    "Breaker",
    "CacheStats",
    "CachedAnswer",
    "Lookup",
    "QuestionIndex",
    "RedisStore",
    "ResponseCache",
    "SQLiteStore",
    "Situation",
    "digest",
    "normalise",
]
