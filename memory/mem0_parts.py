"""The parts that mem0 is built from here: prepared vectors, Qdrant with a local BM25, no model, no telemetry.

Importing this module imports mem0, which writes into the folder that `MEM0_DIR` names: `long_term.py` sets that first.
The registries and the type hints of mem0 2.2.1 are semi-private; the project pins that version.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import mem0.memory.main as mem0_main  # type: ignore[import-untyped]
import mem0.memory.telemetry as mem0_telemetry  # type: ignore[import-untyped]
import mem0.utils.spacy_models as mem0_spacy  # type: ignore[import-untyped]
import numpy as np
from mem0.configs.base import MemoryConfig  # type: ignore[import-untyped]
from mem0.embeddings.base import EmbeddingBase  # type: ignore[import-untyped]
from mem0.llms.base import LLMBase  # type: ignore[import-untyped]
from mem0.utils.factory import EmbedderFactory, LlmFactory, VectorStoreFactory  # type: ignore[import-untyped]
from mem0.vector_stores.configs import VectorStoreConfig  # type: ignore[import-untyped]
from mem0.vector_stores.qdrant import Qdrant  # type: ignore[import-untyped]

from freehold.errors import StorageError

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

__all__ = ["PreparedEmbeddings", "RefusingModel", "ScopedQdrant", "build_mem0"]

_PROVIDER = "freehold"
_PAGE = 256
_INDEXES = {
    **dict.fromkeys(("user_id", "audience", "fingerprint", "attribute", "session", "follows"), "keyword"),
    "expires_at": "float",
    "created_at": "datetime",
}
"""What filters ask for; whatever else lies in a payload is only read."""

Points: TypeAlias = list[Any]
"""A name of its own, because inside the class `list` is the method."""


class _SparseRow:
    """One BM25 vector in the shape that mem0 expects of fastembed: two arrays."""

    def __init__(self, indices: Iterable[int], values: Iterable[float]) -> None:
        self.indices = np.asarray(list(indices), dtype=np.int64)
        self.values = np.asarray(list(values), dtype=np.float32)


class _EdgeBm25:
    """qdrant-edge's BM25 behind fastembed's method: nothing to download."""

    def __init__(self) -> None:
        from qdrant_edge import Bm25

        self._bm25 = Bm25()

    def embed(self, texts: Iterable[str]) -> Iterator[_SparseRow]:
        """A sparse vector for each text."""
        for text in texts:
            vector = self._bm25.embed_document(text)
            yield _SparseRow(vector.indices, vector.values)


class ScopedQdrant(Qdrant):  # type: ignore[misc]
    """mem0's Qdrant store with a local BM25, an index for duplicates, and lists that do not stop at a page."""

    _bm25_encoder: _EdgeBm25 | None

    def _get_bm25_encoder(self) -> _EdgeBm25:
        if self._bm25_encoder is None:
            self._bm25_encoder = _EdgeBm25()
        return self._bm25_encoder

    def _create_filter_indexes(self) -> None:
        indexed = self.client.get_collection(self.collection_name).payload_schema
        if "audience" not in indexed:
            self._mark_audiences()
        for field, schema in _INDEXES.items():
            if field not in indexed:
                self.client.create_payload_index(self.collection_name, field_name=field, field_schema=schema)

    def _mark_audiences(self) -> None:
        """Mark what was stored before memories had an audience: an agent's memories were seen by that agent."""
        from qdrant_client import models

        empty = models.IsEmptyCondition(is_empty=models.PayloadField(key="audience"))
        unmarked = models.Filter(must=[empty])
        keys = ["user_id", "agent_id"]
        while page := self.client.scroll(self.collection_name, scroll_filter=unmarked, limit=_PAGE, with_payload=keys)[
            0
        ]:
            marks: dict[str, Points] = {}
            for point in page:
                owner, agent = (point.payload or {}).get("user_id"), (point.payload or {}).get("agent_id")
                marks.setdefault(f"{owner} agent:{agent}" if agent else str(owner), []).append(point.id)
            for mark, ids in marks.items():
                self.client.set_payload(self.collection_name, payload={"audience": mark}, points=ids)

    def list(self, filters: dict[str, Any] | None = None, top_k: int = 100) -> tuple[Points, None]:
        """Up to `top_k` points, read page by page."""
        found: Points = []
        offset = None
        while len(found) < top_k:
            page, offset = self.client.scroll(
                collection_name=self.collection_name,
                scroll_filter=self._create_filter(filters) if filters else None,
                limit=min(_PAGE, top_k - len(found)),
                offset=offset,
                with_payload=True,
                with_vectors=False,
            )
            found.extend(page)
            if offset is None:
                break
        return found, None


class PreparedEmbeddings(EmbeddingBase):  # type: ignore[misc]
    """Hands mem0 vectors that were computed on the event loop, where concurrent callers share one batch.

    Args:
        config: mem0's own; its `model` computes the vector of a text that was not prepared.
    """

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self._compute: Callable[[str], np.ndarray[Any, Any]] = config.model
        self._prepared: dict[str, list[float]] = {}

    def prepare(self, texts: Iterable[str], vectors: np.ndarray[Any, Any]) -> None:
        """Replace the vectors at hand."""
        self._prepared = {text: row.tolist() for text, row in zip(texts, vectors, strict=True)}

    def embed(self, text: str, memory_action: str | None = None) -> list[float]:  # noqa: ARG002 - mem0's signature
        """The vector of a text."""
        return self._prepared[text] if text in self._prepared else self._compute(text).tolist()


class RefusingModel(LLMBase):  # type: ignore[misc]
    """mem0 must be given a model and must not use it: facts are extracted before it is called."""

    def generate_response(self, messages: list[dict[str, str]], *_: Any, **__: Any) -> str:
        """Refuse."""
        raise StorageError(
            f"mem0 asked its model {len(messages)} messages; Freehold extracts facts itself and calls add(infer=False)."
        )


def build_mem0(
    client: QdrantClient, compute: Callable[[str], np.ndarray[Any, Any]], dimension: int, collection: str, history: Path
) -> Any:
    """A `mem0.Memory` on the given client, its history in SQLite with WAL and `secure_delete`.

    Args:
        client: Where the vectors go; its owner closes it.
        compute: Computes the vector of a text that was not prepared.
        dimension: Length of a vector.
        collection: Collection of the client; made where it is missing.
        history: File of mem0's history database.

    Raises:
        Exception: What mem0, Qdrant or SQLite raise; the caller says which store failed.
    """
    _switch_off()
    LlmFactory.register_provider(_PROVIDER, f"{__name__}.RefusingModel")
    EmbedderFactory.provider_to_class[_PROVIDER] = f"{__name__}.PreparedEmbeddings"
    VectorStoreFactory.provider_to_class[_PROVIDER] = f"{__name__}.ScopedQdrant"
    store = {"client": client, "collection_name": collection, "embedding_model_dims": dimension, "on_disk": True}
    config = MemoryConfig(vector_store=VectorStoreConfig(provider="qdrant", config=store), history_db_path=str(history))
    # The validators refuse provider names that they do not know, so these are set on the finished configuration.
    config.vector_store.provider = _PROVIDER
    config.embedder.provider, config.embedder.config = _PROVIDER, {"model": compute, "embedding_dims": dimension}
    config.llm.provider, config.llm.config = _PROVIDER, {}
    memory = mem0_main.Memory(config)
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "secure_delete=ON"):
        memory.db.connection.execute(f"PRAGMA {pragma}").fetchall()
    return memory


def _switch_off() -> None:
    """No telemetry, even if mem0 was imported before Freehold; no spaCy download; no texts in a debug log."""
    mem0_telemetry.MEM0_TELEMETRY = mem0_main.MEM0_TELEMETRY = False
    mem0_spacy._load_failed_full = mem0_spacy._load_failed_lemma = True  # noqa: SLF001 - mem0 has no public switch
    logger = logging.getLogger("mem0")
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.WARNING)
