"""How documents stand in a Qdrant collection, and what the store says about them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import repeat
from typing import TYPE_CHECKING, Any

from freehold.errors import StorageError

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

__all__ = ["is_server", "noted", "noted_payloads", "prepare_collection"]

_NOTED = ("source", "digest", "total", "stamp")
_DOCUMENT = "document"
"""The same four as one text, so that the documents can be counted in the index."""
_INDEXES = {
    "source": "keyword",
    _DOCUMENT: "keyword",
    "section": "integer",
    "index": "integer",  # what stands around a passage of a table with 24,000 rows: 2 ms in place of 120
    "metadata.format": "keyword",
}
_MOST_DOCUMENTS = 100_000_000


def is_server(client: QdrantClient) -> bool:
    """Not one of ours, nor qdrant-client's own store in this process, which is not made for threads."""
    options = getattr(client, "init_options", {})
    return not hasattr(client, "folder") and options.get("location") != ":memory:" and not options.get("path")


def prepare_collection(client: QdrantClient, name: str, dimension: int) -> None:
    """Make the collection where it is missing, and the indexes that it lacks.

    Raises:
        StorageError: Its vectors have another dimension.
    """
    from qdrant_client.http import models

    if not client.collection_exists(name):
        try:
            client.create_collection(
                name,
                {"dense": models.VectorParams(size=dimension, distance=models.Distance.COSINE)},
                sparse_vectors_config={"bm25": models.SparseVectorParams(modifier=models.Modifier.IDF)},
            )
        except Exception:  # another process may have been faster; each client has an error of its own for that
            if not client.collection_exists(name):
                raise
    collection = client.get_collection(name)
    vectors = collection.config.params.vectors
    size = vectors["dense"].size if isinstance(vectors, dict) and "dense" in vectors else None
    if size != dimension:
        raise StorageError(
            f"Collection {name!r} holds vectors of {size} dimensions and the embedding model gives {dimension}. "
            "Use the model it was made with, or another collection."
        )
    # One that an earlier version made has fewer.
    for key, kind in _INDEXES.items():
        if key not in collection.payload_schema:
            client.create_payload_index(name, key, models.PayloadSchemaType(kind))


def noted(*values: str | int) -> dict[str, Any]:
    """What is noted with each passage about its document: source, digest, total and stamp."""
    return {**dict(zip(_NOTED, values, strict=True)), _DOCUMENT: json.dumps(values)}


def noted_payloads(client: QdrantClient, name: str) -> Iterator[dict[str, Any]]:
    """What the store notes with every passage about its document.

    From the index, which knows the counts; from the passages where an earlier version stored one of them.
    """
    from qdrant_client.http import models

    # Not by comparing sums: those of two calls differ while another process writes.
    earlier = models.IsEmptyCondition(is_empty=models.PayloadField(key=_DOCUMENT))
    if not client.count(name, count_filter=models.Filter(must=[earlier]), exact=True).count:
        for hit in client.facet(name, _DOCUMENT, limit=_MOST_DOCUMENTS, exact=True).hits:
            values = json.loads(str(hit.value))
            yield from repeat(dict(zip(_NOTED, values, strict=True)), hit.count)
        return
    offset: Any = None
    while True:
        records, offset = client.scroll(name, limit=10_000, offset=offset, with_payload=list(_NOTED))
        yield from (record.payload or {} for record in records)
        if offset is None:
            return
