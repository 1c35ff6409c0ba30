"""What runs and processes share: answers, counters and flights, in memory, in SQLite or in Redis."""

from __future__ import annotations

from freehold.coordination.encrypted_store import EncryptedStore
from freehold.coordination.flights import Flights
from freehold.coordination.ledger import Ledger
from freehold.coordination.memory_ledger import MemoryLedger
from freehold.coordination.memory_store import MemoryStore
from freehold.coordination.redis_board import RedisBoard
from freehold.coordination.redis_connection import RedisConnection
from freehold.coordination.redis_ledger import RedisLedger
from freehold.coordination.redis_store import RedisStore
from freehold.coordination.sqlite_board import SQLiteBoard
from freehold.coordination.sqlite_file import SQLiteFile
from freehold.coordination.sqlite_ledger import SQLiteLedger
from freehold.coordination.sqlite_store import SQLiteStore
from freehold.coordination.store import AnswerStore, StoredValue

__all__ = [
    "AnswerStore",
    "EncryptedStore",
    "Flights",
    "Ledger",
    "MemoryLedger",
    "MemoryStore",
    "RedisBoard",
    "RedisConnection",
    "RedisLedger",
    "RedisStore",
    "SQLiteBoard",
    "SQLiteFile",
    "SQLiteLedger",
    "SQLiteStore",
    "StoredValue",
]
