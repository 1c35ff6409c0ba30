"""Opening Qdrant, so that what the user can mend about it is said in one sentence."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from freehold.errors import NetworkRefusedError, SettingsError, StorageError

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

__all__ = ["flush", "open_qdrant", "storage_errors"]

_LASTING = ("documents", "memories", "store")
"""Collections that cannot be made anew by themselves, as that of cached questions can."""


@contextmanager
def storage_errors(collection: str) -> Iterator[None]:
    """Say what a server's client raises as Freehold's own error; embedded Qdrant raises that itself.

    Raises:
        StorageError: The server is down, or refused the call.
    """
    from qdrant_client.common.client_exceptions import QdrantException
    from qdrant_client.http.exceptions import ApiException

    errors: tuple[type[Exception], ...] = (ApiException, QdrantException)
    if grpc := sys.modules.get("grpc"):  # what a client with `prefer_grpc` raises
        errors += (grpc.RpcError,)
    try:
        yield
    except errors as error:
        cause = getattr(error, "source", error)  # the connection's error, which the client hides
        reason = " ".join(str(cause).split()) or type(cause).__name__
        raise StorageError(f"The Qdrant server failed on collection {collection!r}: {reason}") from error


def flush(client: QdrantClient) -> None:
    """Make what was written outlast a power cut, where the client's store is embedded; a server sees to it itself.

    Raises:
        StorageError: The disk failed.
    """
    from freehold.memory import EdgeQdrantClient

    if isinstance(client, EdgeQdrantClient):
        client.flush()


def open_qdrant(url: str | None, folder: Path, dimension: int) -> QdrantClient:
    """The client of a Qdrant server that answers, or of embedded Qdrant.

    Args:
        url: A server, such as `http://127.0.0.1:6333`; None is embedded Qdrant.
        folder: Where embedded Qdrant keeps its data.
        dimension: Length of the embedding model's vectors.

    Raises:
        SettingsError: The URL cannot be used, its host may not be connected to, or what is stored has another length.
        StorageError: The server does not answer.
    """
    from freehold.memory import EdgeQdrantClient

    client = _server(url) if url else EdgeQdrantClient(folder)
    try:
        _check_dimension(client, dimension)
    except BaseException:
        client.close()
        raise
    return client


def _server(url: str) -> QdrantClient:
    from qdrant_client import QdrantClient

    place = _checked(url)
    try:
        # The client's own check warns about a server that is down, from a thread of its own; the call below says it.
        client = QdrantClient(url=url, check_compatibility=False)
    except Exception as error:  # urllib3, httpx and the client each refuse other URLs, with errors of their own
        raise SettingsError(_no_url(place, str(error))) from error
    try:
        client.get_collections()
    except Exception as error:
        client.close()
        cause = getattr(error, "source", error)
        if isinstance(cause, NetworkRefusedError):
            raise SettingsError(
                f"FREEHOLD_QDRANT_URL is {place}, and connections to {cause.host} are not allowed. "
                "Add that host to FREEHOLD_ALLOWED_HOSTS, or leave the URL out to use embedded Qdrant."
            ) from error
        reason = " ".join(str(cause).split()) or type(cause).__name__
        raise StorageError(
            f"The Qdrant server at {place} does not answer as one: {reason}. "
            "Start it, correct FREEHOLD_QDRANT_URL, or leave that out to use embedded Qdrant."
        ) from error
    return client


def _checked(url: str) -> str:
    """The URL as it may be shown: without a user and a password."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise SettingsError(_no_url(url, str(error))) from error
    if parts.scheme not in ("http", "https") or not host:
        raise SettingsError(_no_url(url, "it does not begin with http:// or https:// and a host"))
    named = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{named}" + (f":{port}" if port else "") + parts.path


def _no_url(url: str, reason: str) -> str:
    return (
        f"FREEHOLD_QDRANT_URL={url!r} is not the URL of a Qdrant server: {reason}. "
        "Give one such as http://127.0.0.1:6333, or leave it out to use embedded Qdrant."
    )


def _check_dimension(client: QdrantClient, dimension: int) -> None:
    for name in _LASTING:
        if not client.collection_exists(name):
            continue
        vectors = client.get_collection(name).config.params.vectors
        stored = {each.size for each in (vectors.values() if isinstance(vectors, dict) else [vectors]) if each}
        if stored and stored != {dimension}:
            raise SettingsError(
                f"The workspace's {name} were stored with an embedding model of {', '.join(map(str, sorted(stored)))} "
                f"dimensions, and the one that is set gives {dimension}. Set FREEHOLD_EMBEDDING_MODEL to the model "
                "they were stored with, or ingest your documents anew into a new workspace (FREEHOLD_HOME)."
            )
