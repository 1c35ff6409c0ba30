"""Documents on a Qdrant server, which other processes write to and which can be down."""

from __future__ import annotations

import asyncio
import http.server
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from qdrant_client import QdrantClient
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException

from freehold.errors import StorageError
from freehold.inference import LlamaEmbeddings
from freehold.memory import Documents, LoadedDocument, split
from freehold.state import Passage

BIRDS = """# Birds
## Heron
The grey heron eats fish and frogs at the edge of the pond.

## Owl
The barn owl hunts mice at night and sleeps through the day.
"""


def passages(source: str, text: str) -> list[Passage]:
    """The passages of a Markdown text."""
    return split(LoadedDocument(source, text, None, "markdown", "1"))


class Served(QdrantClient):
    """qdrant-client's own store in the place of a server; it notes which threads read documents, and can be down."""

    def __init__(self) -> None:
        super().__init__(":memory:")
        self.readers: list[str] = []
        self.down = False

    def create_payload_index(self, *_: Any, **__: Any) -> Any:
        """Local mode only warns here."""

    def facet(self, *arguments: Any, **options: Any) -> Any:
        self.readers.append(threading.current_thread().name)
        if self.down:
            raise ConnectionError("the server is down")
        return super().facet(*arguments, **options)


def read_out(documents: Documents) -> None:
    """Wait for what the documents' thread was given."""
    documents._executor.submit(lambda: None).result()


async def test_the_version_never_asks_a_server_on_the_callers_thread(
    embedder: LlamaEmbeddings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What other processes write comes into the version from the background; a server that is down is only logged."""
    monkeypatch.setattr("freehold.memory.documents._REFRESH_SECONDS", 0.0)
    server = Served()
    documents, elsewhere = Documents(server, embedder), Documents(server, embedder)
    empty = documents.version()
    read_out(documents)
    await elsewhere.upsert("birds.md", "1", passages("birds.md", BIRDS))
    read_out(elsewhere)
    server.readers.clear()
    assert documents.version() == empty
    read_out(documents)
    assert documents.version() == elsewhere.version() != empty
    read_out(documents)
    read_out(elsewhere)
    assert server.readers
    assert all(name.startswith("freehold-documents") for name in server.readers)
    # A search refreshes as well, when it is done.
    await elsewhere.remove("birds.md")
    server.readers.clear()
    await documents.search("What does the heron eat?")
    read_out(documents)
    assert server.readers
    server.down = True
    assert documents.version() == empty
    read_out(documents)
    assert "the server is down" in caplog.text
    assert documents.version() == empty
    read_out(documents)
    documents.close()
    elsewhere.close()
    server.close()


async def test_a_server_is_read_at_most_every_ten_seconds(embedder: LlamaEmbeddings) -> None:
    """Searches and versions right after another do not read all passages each time; the list of documents does."""
    server = Served()
    documents = Documents(server, embedder)
    server.readers.clear()
    await documents.upsert("birds.md", "1", passages("birds.md", BIRDS))
    for _ in range(3):
        await documents.search("heron")
        documents.version()
    read_out(documents)
    assert server.readers == []
    assert await documents.sources() == {"birds.md": "1"}
    assert len(server.readers) == 1
    documents.close()
    server.close()


@pytest.fixture
def failing() -> Iterator[str]:
    """The URL of a server that answers everything with an error of its own."""

    class Failing(http.server.BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.send_error(503, "Service Unavailable")

        do_GET = do_PUT = do_POST = answer  # noqa: N815 - the names that http.server looks for

        def log_message(self, *_: Any) -> None:
            """Nothing to standard error."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Failing)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_server_that_fails_is_freeholds_own_error(embedder: LlamaEmbeddings, failing: str) -> None:
    """A refused connection or request is a StorageError with the reason, at the start too."""
    for url, reason in ((failing, "503"), ("http://127.0.0.1:9", "refused")):
        client = QdrantClient(url=url, check_compatibility=False)
        with pytest.raises(StorageError, match=reason):
            Documents(client, embedder)
        client.close()


@pytest.mark.parametrize(
    "error",
    [
        ResponseHandlingException(ConnectionResetError("connection reset by peer")),
        ResourceExhaustedResponse("connection reset by peer", retry_after_s=1),
        sys.modules["grpc"].RpcError("connection reset by peer"),
    ],
    ids=["http", "busy", "grpc"],
)
async def test_every_call_says_that_the_server_failed(
    embedder: LlamaEmbeddings, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A StorageError with the reason, whatever the client's way to the server is."""

    def cut(*_: Any, **__: Any) -> Any:
        raise error

    server = Served()
    documents = Documents(server, embedder)
    for name in ("query_batch_points", "upsert", "delete", "count", "facet"):
        monkeypatch.setattr(server, name, cut)
    for call in (
        documents.search("heron"),
        documents.upsert("birds.md", "1", passages("birds.md", BIRDS)),
        documents.remove("birds.md"),
        documents.sources(),
    ):
        with pytest.raises(StorageError, match="'documents': connection reset by peer"):
            await call
    with pytest.raises(StorageError, match="reset"):
        documents.count()
    documents.close()
    server.close()


class Overtaken(Served):
    """A server on which another process makes the collection between the question for it and the making."""

    def create_collection(self, *arguments: Any, **options: Any) -> bool:
        super().create_collection(*arguments, **options)
        return super().create_collection(*arguments, **options)


def test_two_processes_may_make_the_collection(embedder: LlamaEmbeddings) -> None:
    """The slower of two that start on an empty server opens what the faster one made."""
    server = Overtaken()
    documents = Documents(server, embedder)
    assert documents.count() == 0
    documents.close()
    server.close()


async def test_documents_are_counted_in_the_index_while_another_process_writes(
    embedder: LlamaEmbeddings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write between two calls of the server does not make it read every passage."""
    server = Served()
    documents, elsewhere = Documents(server, embedder), Documents(server, embedder)
    await elsewhere.upsert("birds.md", "1", passages("birds.md", BIRDS))
    real, read = server.facet, []

    def facet(*arguments: Any, **options: Any) -> Any:
        hits = real(*arguments, **options)
        asyncio.run(elsewhere.upsert("tools.md", "1", passages("tools.md", "The valve.")))
        return hits

    monkeypatch.setattr(server, "facet", facet)
    monkeypatch.setattr(server, "scroll", lambda *_, **__: read.append(1) or ([], None))
    assert await documents.sources() == {"birds.md": "1"}
    monkeypatch.undo()
    assert read == []
    assert await documents.sources() == {"birds.md": "1", "tools.md": "1"}
    documents.close()
    elsewhere.close()
    server.close()


class Remote(Served):
    """One that says of itself that it is elsewhere, and answers once so many searches wait for it."""

    def __init__(self, together: int) -> None:
        super().__init__()
        self.together = threading.Barrier(together)
        self.one = threading.Lock()

    @property
    def init_options(self) -> dict[str, Any]:
        """As of a client that was opened with a URL."""
        return {**super().init_options, "location": None, "url": "http://127.0.0.1:6333"}

    def query_batch_points(self, *arguments: Any, **options: Any) -> Any:
        self.together.wait(timeout=10)
        with self.one:
            return super().query_batch_points(*arguments, **options)


async def test_searches_wait_for_a_server_together(embedder: LlamaEmbeddings) -> None:
    """Sixteen searches are with the server at once, and a write does not queue behind them."""
    server = Remote(16)
    documents = Documents(server, embedder)
    searching = [asyncio.create_task(documents.search("What does the heron eat?")) for _ in range(15)]
    while server.together.n_waiting < 15:  # noqa: ASYNC110 - a barrier tells nobody
        await asyncio.sleep(0.001)
    await documents.upsert("birds.md", "1", passages("birds.md", BIRDS))
    searching.append(asyncio.create_task(documents.search("What does the heron eat?")))
    for found in await asyncio.gather(*searching):
        assert found[0]["heading"] == "Birds > Heron"
    documents.close()
    server.close()
