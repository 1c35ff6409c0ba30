"""What every part of `EdgeQdrantClient` stands on: its folder, its collections' vectors, its options."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from qdrant_client import QdrantClient
from qdrant_client.http import models

from freehold.memory.edge_folder import EdgeFolder
from freehold.memory.edge_shard import ShardFolder
from freehold.memory.edge_vectors import VectorSchema

__all__ = ["SPARSE", "VECTORS", "EdgeBase", "check_options"]

VECTORS: TypeAdapter[Any] = TypeAdapter(dict[str, models.VectorParams] | models.VectorParams | None)
"""A collection's dense vectors, in its `config.json`."""
SPARSE: TypeAdapter[Any] = TypeAdapter(dict[str, models.SparseVectorParams] | None)
"""A collection's sparse vectors, in its `config.json`."""

# Options of a cluster: one process has one replica, and every write is done when the call returns.
_WITHOUT_MEANING = {"consistency", "grpc_grace", "ordering", "shard_key_selector", "timeout", "wait"}


def check_options(method: str, unused: tuple[Any, ...], options: Mapping[str, Any]) -> None:
    """Refuse an option that would change the answer and is not translated; a silent one would be a wrong answer."""
    if unused:
        raise NotImplementedError(f"EdgeQdrantClient.{method} takes its further options by keyword, not {unused!r}.")
    for name, value in options.items():
        if value is not None and name not in _WITHOUT_MEANING:
            raise NotImplementedError(f"EdgeQdrantClient.{method} does not take {name}={value!r}.")


class EdgeBase(QdrantClient):
    """A `QdrantClient` with a folder of shards, without calls yet."""

    def __init__(self, folder: str | Path, *, optimize_after: int = 20_000, flush_every: float = 5.0) -> None:
        # `QdrantClient.__init__` is not called: it would open a connection or a second store.
        self._folder = EdgeFolder(Path(folder).expanduser(), optimize_after, flush_every)
        self._schemas: weakref.WeakKeyDictionary[ShardFolder, VectorSchema] = weakref.WeakKeyDictionary()

    @property
    def folder(self) -> Path:
        """Folder of the collections."""
        return self._folder.path

    def _schema(self, shard: ShardFolder) -> VectorSchema:
        """The vectors of a collection, read once."""
        schema = self._schemas.get(shard)
        if schema is None:
            described = shard.description()
            schema = VectorSchema(
                VECTORS.validate_python(described["vectors"]), SPARSE.validate_python(described["sparse_vectors"])
            )
            self._schemas[shard] = schema
        return schema
