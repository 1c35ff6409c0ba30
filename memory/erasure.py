"""Erase one user from mem0, and from any embedded collection, down to the bytes on disk."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qdrant_client import models

from freehold.errors import StorageError
from freehold.vacuum import vacuum

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

__all__ = ["erase", "erase_history", "finish_rewrite", "rewrite"]

_PAGE = 100  # a page is one request, during which the engine lets nobody else work


def erase(mem0: Any, owner: str, folder: Path) -> int:
    """Delete everything that an owner has in mem0: vectors, entities, history and messages.

    mem0's own `delete_all` writes every text once more, as deleted, into its history. This deletes by the owner's
    name, so that a call that was interrupted is completed by the next one. Then the files are written anew: the
    embedded Qdrant keeps a deleted point's payload in its segments and its log, SQLite in free pages and its log. A
    Qdrant server cleans up by itself, when it sees fit.

    All of it is done whoever is named. mem0 stores a memory first and its history row after, and both may be deleted
    before their bytes are: that nothing is found of an owner does not say that nothing is there.

    Args:
        mem0: The `mem0.Memory`, on the thread that owns it.
        owner: The scoped user id.
        folder: Where a rewrite of the collection leaves its mark, to be finished after a crash.

    Returns:
        How many memories were deleted.

    Raises:
        StorageError: Something of the owner is still there.
    """
    client, collection = mem0.vector_store.client, mem0.vector_store.collection_name
    mine = models.Filter(must=[models.FieldCondition(key="user_id", match=models.MatchValue(value=owner))])
    erased = client.count(collection, count_filter=mine, exact=True).count
    for name in (collection, f"{collection}_entities"):
        if not client.collection_exists(name):
            continue
        client.delete(name, points_selector=models.FilterSelector(filter=mine))
        if left := client.count(name, count_filter=mine, exact=True).count:
            raise StorageError(f"{left} points of {owner} are still in the collection {name}; call forget again.")
        rewrite(client, name, folder)
    _erase_rows(mem0.db.connection, owner)
    return int(erased)


def erase_history(path: Path, owner: str) -> None:
    """Delete an owner's history and messages where mem0 cannot be opened, as while a Qdrant server is down.

    Args:
        path: mem0's database; nothing is done where there is none.
        owner: The scoped user id.

    Raises:
        StorageError: Another program works on the database.
    """
    if not path.exists():
        return
    try:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            _erase_rows(connection, owner)
    except sqlite3.Error as error:
        raise StorageError(f"The history of memories in {path} could not be erased: {error}.") from error


def _erase_rows(connection: Any, owner: str) -> None:
    # mem0 names a session `agent_id=...&user_id=...`, with these three characters escaped.
    session = owner.replace("%", "%25").replace("&", "%26").replace("=", "%3D")
    with connection:
        connection.execute("DELETE FROM history WHERE actor_id = ?", (owner,))
        connection.execute(
            "DELETE FROM messages WHERE instr('&' || session_scope || '&', '&user_id=' || ? || '&') > 0", (session,)
        )
    vacuum(connection, "The history of memories is read by another program; end it, and call forget again.")


def rewrite(client: QdrantClient, collection: str, folder: Path | None = None) -> None:
    """Write an embedded collection anew: to a spare one, then back. Killed at any point, nothing is lost.

    Until the mark is set, the collection is whole and the spare is rubbish; from then on it is the other way round.
    Nobody else may write to the collection meanwhile. Does nothing on a Qdrant server.

    Args:
        client: Whose collection.
        collection: What was deleted from it is in its files until then.
        folder: Where a mark is left, for `finish_rewrite`; None is the client's own.
    """
    from freehold.memory.edge_client import EdgeQdrantClient
    from freehold.memory.edge_shard import sync_folder

    if not isinstance(client, EdgeQdrantClient):
        return
    client.delete_collection(_spare(collection))
    _copy(client, collection, _spare(collection))
    client.flush()
    mark = _mark(folder or client.folder, collection)
    mark.touch()
    sync_folder(mark.parent)  # before the collection goes
    finish_rewrite(client, collection, folder)


def finish_rewrite(client: QdrantClient, collection: str, folder: Path | None = None) -> None:
    """Finish a rewrite that was killed half way; does nothing where there was none, nor on a Qdrant server."""
    from freehold.memory.edge_client import EdgeQdrantClient
    from freehold.memory.edge_shard import sync_folder

    if not isinstance(client, EdgeQdrantClient):
        return
    spare, mark = _spare(collection), _mark(folder or client.folder, collection)
    if mark.exists():
        if client.collection_exists(spare):
            client.delete_collection(collection)
            _copy(client, spare, collection)
            client.flush()
        mark.unlink()
        sync_folder(mark.parent)  # else it might come back, and call the next spare whole that is not
    if client.collection_exists(spare):
        client.delete_collection(spare)


def _spare(collection: str) -> str:
    return f"{collection}_rewritten"


def _mark(folder: Path, collection: str) -> Path:
    return folder / f"{collection}.rewritten"


def _copy(client: QdrantClient, source: str, target: str) -> None:
    described = client.get_collection(source)
    parameters = described.config.params
    client.create_collection(target, vectors_config=parameters.vectors, sparse_vectors_config=parameters.sparse_vectors)
    for key, index in described.payload_schema.items():
        client.create_payload_index(target, field_name=key, field_schema=index.params or index.data_type)
    offset = None
    while True:
        page, offset = client.scroll(source, limit=_PAGE, offset=offset, with_payload=True, with_vectors=True)
        points: list[Any] = [models.PointStruct(id=row.id, vector=row.vector, payload=row.payload) for row in page]
        if points:
            client.upsert(target, points=points)
        if offset is None:
            return
