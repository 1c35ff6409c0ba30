"""The response cache of a workspace, as its settings want it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freehold.cache.compare_answers import CompareAnswers
from freehold.cache.evidence import HitStrategy
from freehold.cache.freshness import Freshness
from freehold.cache.judge import ModelJudge
from freehold.cache.response_cache import ResponseCache
from freehold.cache.threshold_hits import ThresholdHits
from freehold.cache.verified_hits import VerifiedHits
from freehold.coordination import (
    AnswerStore,
    EncryptedStore,
    Flights,
    Ledger,
    RedisBoard,
    RedisConnection,
    RedisLedger,
    RedisStore,
    SQLiteFile,
    SQLiteLedger,
    SQLiteStore,
)
from freehold.coordination.board import Board
from freehold.coordination.encrypted_board import EncryptedBoard
from freehold.coordination.sealing import Seal
from freehold.errors import SettingsError
from freehold.memory import SemanticIndex

if TYPE_CHECKING:
    from freehold.inference import LlamaReranker
    from freehold.workspace import Workspace

__all__ = ["open_cache", "open_store", "open_verifier"]

_VERIFIER_THREADS = 2
"""A person waits for the one pair that is read: two halve the time, where cores are free."""

_RECHECK_SECONDS = 60.0
"""How long this process believes its memory where nobody else writes."""
_RECHECK_SHARED_SECONDS = 5.0


def open_verifier(workspace: Workspace) -> LlamaReranker:
    """The cross-encoder of the settings, or the one that ships with the package."""
    from freehold.inference.llama_model import available_threads
    from freehold.models import VERIFIER_MODEL, model_path

    settings = workspace.settings
    path = workspace.models.locate(settings.verifier or model_path(VERIFIER_MODEL))
    threads = settings.threads or min(_VERIFIER_THREADS, available_threads())
    return workspace.pool.reranker(path, threads=threads)


def open_store(workspace: Workspace) -> tuple[AnswerStore, Ledger, Board | None]:
    """Where answers, counts and flights lie: in the Redis of the settings, or in a file of the workspace.

    A workspace has one process, whose flights need no board; those of several that share a Redis do.

    Raises:
        SettingsError: The Redis URL or the encryption key cannot be used.
    """
    settings = workspace.settings
    store: AnswerStore
    ledger: Ledger
    board: Board | None = None
    if settings.redis_url:
        connection = RedisConnection(settings.redis_url)
        store = RedisStore(connection, max_entries=settings.cache_entries)
        ledger, board = RedisLedger(connection), RedisBoard(connection)
    else:
        file = SQLiteFile(workspace.home / "cache.sqlite")
        store, ledger = SQLiteStore(file, max_entries=settings.cache_entries), SQLiteLedger(file)
    if settings.cache_encryption_key is not None:
        key = settings.cache_encryption_key.get_secret_value()
        store, board = EncryptedStore(store, key), EncryptedBoard(board, key) if board is not None else None
    return store, ledger, board


def open_cache(workspace: Workspace) -> ResponseCache:
    """The cache with the strategy, the lifetime and the stores of the settings.

    Raises:
        SettingsError: A setting cannot be used.
    """
    settings = workspace.settings
    judge = None
    if settings.cache_judge:
        if settings.cache_strategy != "verified":
            raise SettingsError(
                f"FREEHOLD_CACHE_JUDGE judges verified hits only, and FREEHOLD_CACHE_STRATEGY is "
                f"{settings.cache_strategy!r}. Set the strategy to 'verified', or leave the judge out."
            )
        if workspace.is_demonstration:
            raise SettingsError(
                "FREEHOLD_CACHE_JUDGE needs a language model that can judge, and the demonstration model only quotes. "
                "Set FREEHOLD_MODEL, or leave the judge out."
            )
        judge = ModelJudge(workspace.chat_model)
    store, ledger, board = open_store(workspace)
    strategy: HitStrategy = ThresholdHits(settings.cache_threshold)
    if settings.cache_strategy == "verified":
        strategy = VerifiedHits(workspace.verifier, max_error=settings.cache_max_error, ledger=ledger, judge=judge)
    index = None
    if settings.cache_strategy != "exact":
        seal = Seal(key.get_secret_value()) if (key := settings.cache_encryption_key) is not None else None
        most = settings.cache_entries
        index = SemanticIndex(workspace.qdrant, workspace.embeddings, max_questions=most, seal=seal)
    return ResponseCache(
        store,
        index,
        strategy=strategy,
        freshness=Freshness(settings.cache_ttl_seconds),
        sources=workspace.documents,
        flights=Flights(board),
        comparer=CompareAnswers(workspace.embeddings, judge=judge),
        ledger=ledger,
        recheck_seconds=_RECHECK_SHARED_SECONDS if settings.redis_url else _RECHECK_SECONDS,
    )
