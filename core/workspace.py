"""The workspace: one folder on disk, and every resource that graphs draw on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from freehold import metrics
from freehold.errors import GuardrailError, SettingsError, WorkspaceError
from freehold.folder_lock import FolderLock
from freehold.settings import Settings
from freehold.sovereignty import NetworkGuard

if TYPE_CHECKING:
    from langgraph.checkpoint.base import BaseCheckpointSaver
    from qdrant_client import QdrantClient

    from freehold.cache import ResponseCache
    from freehold.checkpoints import SqliteCheckpointer
    from freehold.context import Context
    from freehold.forgetting import Forgotten
    from freehold.guardrails import PersonalDataMasker, Rails
    from freehold.inference import ChatLlama, Engine, LlamaEmbeddings
    from freehold.inference.model_pool import ModelPool
    from freehold.inference.reranker import LlamaReranker
    from freehold.inference.sequence_store import SequenceStore
    from freehold.memory import DocumentRetriever, Documents, LongTermMemory, QdrantStore
    from freehold.models.catalog import ModelCatalog
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
        with self._lock:
            self._opened.clear()  # not before: a thread that is deleted meanwhile must be forgotten by its engine

    def _open(self, name: str, make: Callable[[Workspace], T]) -> T:
        with self._lock:
            if self._closed:
                raise WorkspaceError(f"The workspace {self.home} is closed; open it again to use its {name}.")
            if name not in self._opened:
                resource = make(self)
                self._opened[name] = resource  # behind what it was made from: closing goes the other way
            return cast("T", self._opened[name])

    @_resource
    def models(self) -> ModelCatalog:
        """The models that can be called by name."""
        from freehold.models.catalog import ModelCatalog

        return ModelCatalog(self.home / "models")

    @property
    def model_path(self) -> Path:
        """The language model's file.

        Raises:
            ModelFileError: The setting is neither a file nor a name in the catalog.
        """
        from freehold.models import DEMO_MODEL, model_path

        return self.models.locate(self.settings.model or model_path(DEMO_MODEL))

    @property
    def is_demonstration(self) -> bool:
        """Whether the small model that ships with Freehold answers; it only quotes."""
        from freehold.models import DEMO_MODEL, model_path

        return self.settings.model in (None, model_path(DEMO_MODEL))

    @_resource
    def pool(self) -> ModelPool:
        """The models that are loaded, within the budget of memory."""
        from freehold.inference.model_pool import ModelPool

        return ModelPool(self.settings.model_memory)

    @_resource
    def engine(self) -> Engine:
        """The language model, owned by one thread."""
        return self._engine(self.model_path, self.settings.context_length, self.settings.cache_tokens)

    def _engine(self, path: Path, context_length: int | None, cache_tokens: int | None) -> Engine:
        from freehold.inference.engine_metrics import EngineMetrics
        from freehold.inference.gguf import read_header

        counted = EngineMetrics(read_header(path).name)
        return self.pool.engine(
            path,
            context_length=context_length,
            cache_tokens=cache_tokens,
            slots=self.settings.slots,
            threads=self.settings.threads,
            queue_size=self.settings.queue_size,
            flash_attention=self.settings.flash_attention,
            observe=counted.finished,
            observe_step=counted.step,
            store=self._sequences(path),
        )

    def _sequences(self, path: Path) -> SequenceStore | None:
        """Where the conversations of a model are kept; None where the settings leave no room for them."""
        from importlib.metadata import version

        from freehold.inference.sequence_store import SequenceStore

        if not self.settings.kv_folder_bytes:
            if (self.home / "sequences").exists():
                SequenceStore(self.home / "sequences", 0, "any")  # what an earlier setting kept goes
            return None
        status = path.stat()
        made_by = (version("llama-cpp-python"), self.settings.flash_attention)
        model_id = f"{path} {status.st_size} {status.st_mtime_ns} {made_by}"
        return SequenceStore(self.home / "sequences", self.settings.kv_folder_bytes, model_id)

    def _forget_thread(self, thread: str) -> None:
        """Forget what engines hold of a conversation, loaded now or not."""
        from freehold.forgetting import forget_conversation

        with self._lock:
            opened = list(self._opened.values())
        forget_conversation(thread, opened, self.home / "sequences", self.settings.kv_folder_bytes)

    def forget(self, context: Context, *, checkpointers: Iterable[BaseCheckpointSaver[Any]] = ()) -> Forgotten:
        """Erase everything that is kept of a user, down to the bytes on the disk; see `aforget`."""
        from freehold.portal import run_sync

        return run_sync(self.aforget(context, checkpointers=checkpointers))

    async def aforget(self, context: Context, *, checkpointers: Iterable[BaseCheckpointSaver[Any]] = ()) -> Forgotten:
        """Erase everything that is kept of a user: memories, cached answers, threads, and their saved conversations.

        A call that failed or was killed is completed by the next one. Nothing of other users is lost, but for threads
        that they share with this one. What the user's runs that are still under way write afterwards stays, and so
        does what was put into `store`: its namespaces are the application's own.

        Args:
            context: Its tenant and user are forgotten, whichever agent and session it names.
            checkpointers: Others than the workspace's own, each an `OwnerStamp`.

        Raises:
            StorageError: Something could not be erased; everything else is.
        """
        from freehold.forgetting import forget_user

        return await forget_user(self, context, checkpointers, self._forget_thread)

    @_resource
    def chat_model(self) -> ChatLlama:
        """The language model as a LangChain chat model."""
        return self._chat(self.engine)

    def _chat(self, engine: Engine) -> ChatLlama:
        """A chat model that keeps no conversation on disk in which the checkpoints would mask something."""
        from freehold.inference import ChatLlama

        mask = self.mask
        may_keep = (lambda text: mask(text) == text) if mask is not None else None
        return ChatLlama(engine=engine, max_tokens=self.settings.max_tokens, may_keep=may_keep)

    def load_model(self, name: str | Path, *, context_length: int | None = None) -> ChatLlama:
        """Another language model, beside `chat_model` and within the same budget; its weights load on first use.

        Args:
            name: A name in the catalog, or a GGUF file.
            context_length: Tokens of prompt and answer together; by default the model's own, at most 8,192.

        Raises:
            ModelFileError: The name is unknown, or the file is damaged or no language model.
            MemoryBudgetError: From its first use: it does not fit beside the models that are in use.

        Example:
            >>> with Workspace(tmp_path) as workspace:
            ...     workspace.load_model("freehold-demo").engine.model_name
            'freehold-demo'
        """
        path = self.models.locate(Path(name).expanduser())
        if path == self.model_path and context_length in (None, self.settings.context_length):
            engine = self.engine
        else:
            engine = self._open(
                f"model {path} of {context_length} tokens", lambda _: self._engine(path, context_length, None)
            )
        return self._chat(engine)

    @_resource
    def embeddings(self) -> LlamaEmbeddings:
        """The embedding model."""
        from freehold.models import EMBEDDING_MODEL, model_path

        path = self.models.locate(self.settings.embedding_model or model_path(EMBEDDING_MODEL))
        return self.pool.embeddings(path, threads=self.settings.threads)

    @_resource
    def reranker(self) -> LlamaReranker | None:
        """The cross-encoder that orders passages anew; None where the settings name none."""
        given = self.settings.reranker
        if given is None:
            return None
        return self.pool.reranker(self.models.locate(given), threads=self.settings.threads)

    @_resource
    def qdrant(self) -> QdrantClient:
        """Embedded Qdrant in the workspace, or the server at `qdrant_url`."""
        from freehold.vector_store import open_qdrant

        return open_qdrant(self.settings.qdrant_url, self.home / "qdrant", self.embeddings.dimension)

    @_resource
    def documents(self) -> Documents:
        """The documents, as passages."""
        from freehold.memory import Documents

        return Documents(self.qdrant, self.embeddings, on_change=self._drop_answers)

    async def _drop_answers(self, source: str) -> None:
        """Erase the cached answers that cite a document which changed or went."""
        await (await asyncio.to_thread(lambda: self.cache)).drop_sources([source])

    @_resource
    def retriever(self) -> DocumentRetriever:
        """The documents as a LangChain retriever."""
        from freehold.memory import DocumentRetriever

        return DocumentRetriever(documents=self.documents, limit=self.settings.passages, reranker=self.reranker)

    @_resource
    def memory(self) -> LongTermMemory:
        """What is known about each user."""
        from freehold.memory import LongTermMemory, ModelExtractor

        extractor = ModelExtractor(self.chat_model, capable=not self.is_demonstration)
        return LongTermMemory(self.qdrant, self.embeddings, extractor, self.home / "memory")

    @_resource
    def store(self) -> QdrantStore:
        """LangGraph's store for graphs of your own: whole values are found by meaning; see docs/store.md."""
        from freehold.memory import QdrantStore

        embeddings = self.embeddings
        return QdrantStore(self.qdrant, index={"dims": embeddings.dimension, "embed": embeddings, "fields": ["$"]})

    @_resource
    def verifier(self) -> LlamaReranker:
        """The cross-encoder that says whether two questions ask the same."""
        from freehold.cache.open_cache import open_verifier

        return open_verifier(self)

    @_resource
    def cache(self) -> ResponseCache:
        """Answers that were given before."""
        from freehold.cache.open_cache import open_cache

        return open_cache(self)

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

    @property
    def mask(self) -> Callable[[str], str] | None:
        """Gives a text as it may be kept: the same where nothing is masked. None where the settings mask nothing."""
        from freehold.guardrails import normalise

        masker = self.masker

        def mask(text: str) -> str:
            found = masker.mask(normalise(text))  # the form that the rails check and mask
            return found.text if found.found else text

        return mask if self.settings.mask_personal_data else None

    @_resource
    def checkpointer(self) -> SqliteCheckpointer:
        """Checkpoints of every thread."""
        from freehold.checkpoints import SqliteCheckpointer

        return SqliteCheckpointer(self.home / "checkpoints.sqlite", self.mask, on_delete=self._forget_thread)
