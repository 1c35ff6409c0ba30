"""The workspace: one folder on disk, and every resource that graphs draw on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from freehold import metrics
from freehold.errors import GuardrailError, SettingsError, WorkspaceError
from freehold.folder_lock import FolderLock
from freehold.settings import Settings
from freehold.sovereignty import NetworkGuard

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

    from freehold.checkpoints import SqliteCheckpointer
    from freehold.coordination import ResponseCache
    from freehold.guardrails import PersonalDataMasker, Rails
    from freehold.inference import ChatLlama, Engine, GenerationResult, LlamaEmbeddings
    from freehold.memory import DocumentRetriever, Documents, LongTermMemory
    from freehold.routing import EmbeddingRouter

__all__ = ["Workspace"]

T = TypeVar("T")


class _Resource:
    """A property that is made on first use, under the workspace's lock, and closed with it in reverse order."""

    def __init__(self, make: Callable[[Any], Any]) -> None:
        self._make = make
        self.__doc__ = make.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, workspace: Workspace | None, owner: type) -> Any:
        if workspace is None:
            return self
        return workspace._open(self._name, self._make)  # noqa: SLF001 - the two are one


def _resource(make: Callable[[Workspace], T]) -> T:
    """Declare a resource; the type is the one that `make` gives."""
    return cast("T", _Resource(make))


class Workspace:
    """One folder that holds everything Freehold keeps, and the resources that live on it.

    Nothing is loaded before it is used. While a workspace is open, connections beyond loopback and the allowed hosts
    are refused in this process. Safe to use from several threads and event loops; one process at a time.

    Args:
        home: The folder, made where it does not exist; None is the settings' (`FREEHOLD_HOME`, default `~/.freehold`).
        settings: Read beforehand; None reads them now.
        **values: Single settings, such as `model="model.gguf"`.

    Raises:
        WorkspaceLockedError: Another process has the folder open.
        SettingsError: A setting cannot be used.

    Example:
        >>> with Workspace(tmp_path) as workspace:
        ...     workspace.documents.count()
        0
    """

    def __init__(self, home: str | Path | None = None, *, settings: Settings | None = None, **values: Any) -> None:
        if settings is None:
            settings = Settings.load(home=home, **values)
        elif values or home is not None:
            raise WorkspaceError("Give a workspace either `settings`, or a folder and single settings, not both.")
        self.settings = settings
        self.home = settings.home.absolute()
        self._lock = threading.RLock()
        self._opened: dict[str, Any] = {}
        self._closed = False
        self._folder = FolderLock(self.home)
        self._guard = NetworkGuard(settings.allowed_hosts).open()
        metrics.watch_process()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Workspace({str(self.home)!r})"

    def close(self) -> None:
        """Close every resource that was opened, the newest first, and let go of the folder. May be called twice.

        Each is closed also where another fails to; the first failure is raised when all are closed.
        """
        with self._lock:
            opened = [] if self._closed else list(self._opened.values())
            self._opened.clear()
            closed, self._closed = self._closed, True
        if closed:
            return
        # Outside of the lock: closing waits for threads, and a thread may be about to ask for a resource.
        with ExitStack() as stack:
            stack.callback(self._folder.close)
            stack.callback(self._guard.close)
            for resource in opened:
                if (close := getattr(resource, "close", None)) is not None:
                    stack.callback(close)

    def _open(self, name: str, make: Callable[[Workspace], T]) -> T:
        with self._lock:
            if self._closed:
                raise WorkspaceError(f"The workspace {self.home} is closed; open it again to use its {name}.")
            if name not in self._opened:
                resource = make(self)
                self._opened[name] = resource  # behind what it was made from: closing goes the other way
            return cast("T", self._opened[name])

    @property
    def model_path(self) -> Path:
        """The language model's file."""
        from freehold.models import DEMO_MODEL, model_path

        return self.settings.model or model_path(DEMO_MODEL)

    @property
    def is_demonstration(self) -> bool:
        """Whether the small model that ships with Freehold answers; it only quotes."""
        return self.settings.model is None

    @_resource
    def engine(self) -> Engine:
        """The language model, owned by one thread."""
        from freehold.inference import Engine

        def observe(result: GenerationResult) -> None:
            metrics.tokens_generated().labels(engine.model_name).inc(result.completion_tokens)
            metrics.tokens_per_second().set(result.tokens_per_second)

        engine = Engine(
            self.model_path,
            context_length=self.settings.context_length,
            threads=self.settings.threads,
            queue_size=self.settings.queue_size,
            observe=observe,
        )
        return engine

    @_resource
    def chat_model(self) -> ChatLlama:
        """The language model as a LangChain chat model."""
        from freehold.inference import ChatLlama

        return ChatLlama(engine=self.engine, max_tokens=self.settings.max_tokens)

    @_resource
    def embeddings(self) -> LlamaEmbeddings:
        """The embedding model."""
        from freehold.inference import LlamaEmbeddings
        from freehold.models import EMBEDDING_MODEL, model_path

        return LlamaEmbeddings(
            self.settings.embedding_model or model_path(EMBEDDING_MODEL), threads=self.settings.threads
        )

    @_resource
    def qdrant(self) -> QdrantClient:
        """Embedded Qdrant in the workspace, or the server at `qdrant_url`."""
        from freehold.vector_store import open_qdrant

        return open_qdrant(self.settings.qdrant_url, self.home / "qdrant", self.embeddings.dimension)

    @_resource
    def documents(self) -> Documents:
        """The documents, as passages."""
        from freehold.memory import Documents

        return Documents(self.qdrant, self.embeddings)

    @_resource
    def retriever(self) -> DocumentRetriever:
        """The documents as a LangChain retriever."""
        from freehold.memory import DocumentRetriever

        return DocumentRetriever(documents=self.documents, limit=self.settings.passages)

    @_resource
    def memory(self) -> LongTermMemory:
        """What is known about each user."""
        from freehold.memory import LongTermMemory, ModelExtractor

        return LongTermMemory(self.qdrant, self.embeddings, ModelExtractor(self.chat_model), self.home / "memory")

    @_resource
    def cache(self) -> ResponseCache:
        """Answers that were given before."""
        from freehold.coordination import RedisStore, ResponseCache, SQLiteStore
        from freehold.memory import SemanticIndex

        url = self.settings.redis_url
        return ResponseCache(
            RedisStore(url) if url else SQLiteStore(self.home / "cache.sqlite"),
            SemanticIndex(self.qdrant, self.embeddings),
            threshold=self.settings.cache_threshold,
            ttl_seconds=self.settings.cache_ttl_seconds,
        )

    @property
    def rails_path(self) -> Path:
        """The folder of the guardrails' configuration."""
        from freehold.guardrails import DEFAULT_CONFIG

        given = self.settings.guardrails
        if given is not None and not given.exists():
            raise SettingsError(f"There is nothing at FREEHOLD_GUARDRAILS={given}; give a folder with a config.yml.")
        return given or DEFAULT_CONFIG

    @_resource
    def rails(self) -> Rails:
        """The guardrails."""
        from freehold.guardrails import Rails

        try:
            return Rails(self.settings.guardrails, embedder=self.embeddings)
        except GuardrailError as error:
            if self.settings.guardrails is None:
                raise
            raise SettingsError(f"FREEHOLD_GUARDRAILS={self.settings.guardrails} cannot be used: {error}") from error

    @_resource
    def router(self) -> EmbeddingRouter:
        """Routes by meaning."""
        from freehold.routing import EmbeddingRouter

        return EmbeddingRouter(self.embeddings)

    @_resource
    def masker(self) -> PersonalDataMasker:
        """Masks personal data."""
        from freehold.guardrails import PersonalDataMasker

        return PersonalDataMasker()

    @_resource
    def checkpointer(self) -> SqliteCheckpointer:
        """Checkpoints of every thread."""
        from freehold.checkpoints import SqliteCheckpointer
        from freehold.guardrails import normalise

        masker = self.masker

        def mask(text: str) -> str:
            found = masker.mask(normalise(text))  # the form that the rails check and mask
            return found.text if found.found else text

        return SqliteCheckpointer(self.home / "checkpoints.sqlite", mask if self.settings.mask_personal_data else None)
