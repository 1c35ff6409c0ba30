"""Items that expire: as in LangGraph's `SqliteStore`, and never to be found afterwards."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from langgraph.store.base import PutOp, TTLConfig
from langgraph.store.sqlite import SqliteStore

from freehold.errors import StorageError
from freehold.memory import EdgeQdrantClient, QdrantStore, edge_shard, langgraph_store
from tests.memory.stores import indexed

HOURS = 60.0
PAST = -1.0

Make = Callable[[TTLConfig | None], Any]


@pytest.fixture(params=["SqliteStore", "QdrantStore"])
def make(request: pytest.FixtureRequest, client: EdgeQdrantClient) -> Iterator[Make]:
    """Makes an empty store with these times to live. As in `SqliteStore`, what has expired is found until a sweep."""
    if request.param == "SqliteStore":
        with SqliteStore.from_conn_string(":memory:") as sqlite:
            sqlite.setup()

            def of_sqlite(ttl: TTLConfig | None) -> SqliteStore:
                sqlite.ttl_config = ttl
                return sqlite

            yield of_sqlite
        return
    opened: list[QdrantStore] = []

    def of_qdrant(ttl: TTLConfig | None) -> QdrantStore:
        opened.append(QdrantStore(client, ttl={**(ttl or {}), "omit_expired": False}))
        return opened[0]

    yield of_qdrant
    for store in opened:
        store.close()


def _keys(store: Any) -> list[str]:
    return sorted(item.key for item in store.search((), refresh_ttl=False))


def test_a_sweep_deletes_what_has_expired(make: Make) -> None:
    """Protects the time to live: the default's, an item's own, none, and that of the newest put."""
    store = make({"default_ttl": PAST})
    store.put(("a",), "by default", {})
    store.put(("a",), "never", {}, ttl=None)
    store.put(("a",), "later", {}, ttl=HOURS)
    store.put(("b",), "own", {}, ttl=2 * PAST)
    store.put(("b",), "renewed", {})
    store.put(("b",), "renewed", {}, ttl=HOURS)
    store.put(("b",), "freed", {})
    store.put(("b",), "freed", {}, ttl=None)
    store.batch([PutOp(("c",), "of a batch", {}, None, PAST), PutOp(("c",), "of no default", {})])
    assert len(_keys(store)) == 8
    assert store.sweep_ttl() == 3
    assert _keys(store) == ["freed", "later", "never", "of no default", "renewed"]
    assert store.sweep_ttl() == 0
    assert store.get(("b",), "own") is None


@pytest.mark.slow
@pytest.mark.parametrize("refresh", [True, False])
def test_reading_begins_the_time_anew(make: Make, refresh: bool) -> None:
    """Protects what is in use: it expires so many minutes after its last reading, where reading refreshes."""
    store = make({"default_ttl": 4 / 60, "refresh_on_read": refresh})
    for key in ("got", "found", "left", "unread", "endless"):
        store.put(("r", key), "k", {"key": key}, **({"ttl": None} if key == "endless" else {}))
    time.sleep(2.5)
    assert store.get(("r", "got"), "k") is not None
    assert store.get(("r", "endless"), "k") is not None
    assert len(store.search(("r", "found"))) == 1
    assert store.get(("r", "left"), "k", refresh_ttl=False) is not None
    assert len(store.search(("r", "left"), refresh_ttl=False)) == 1
    time.sleep(2.8)
    store.sweep_ttl()
    left = {item.value["key"] for item in store.search(("r",), refresh_ttl=False)}
    assert left == ({"got", "found", "endless"} if refresh else {"endless"})
    time.sleep(4.5)
    store.sweep_ttl()
    assert [item.value["key"] for item in store.search(("r",))] == ["endless"]


@pytest.fixture
def store(client: EdgeQdrantClient) -> Iterator[QdrantStore]:
    """An empty store that is not told anything about time."""
    opened = QdrantStore(client, index=indexed("way"))
    yield opened
    opened.close()


def test_what_has_expired_is_not_found(store: QdrantStore, client: EdgeQdrantClient) -> None:
    """Protects the owner's wish before any sweep: no get, search or listing gives it, and no reading revives it."""
    store.put(("a",), "past", {"way": "north"}, ttl=PAST)
    store.put(("b",), "now", {"way": "north"}, ttl=HOURS)
    assert store.get(("a",), "past") is None
    for query in (None, "north"):
        assert [item.key for item in store.search((), query=query)] == ["now"]
    assert store.list_namespaces() == [("b",)]
    assert client.count("store").count == 2
    assert store.sweep_ttl() == 1
    assert client.count("store").count == 1


def test_an_expired_key_can_be_put_again(store: QdrantStore) -> None:
    """Protects the times and the order of an item that takes the place of an expired one: it is a new one."""
    store.put(("a",), "k", {}, ttl=1 / 60)
    store.put(("a",), "other", {})
    before = store.get(("a",), "k", refresh_ttl=False)
    assert before is not None
    time.sleep(1.1)
    store.put(("a",), "k", {})
    after = store.get(("a",), "k")
    assert after is not None
    assert after.created_at > before.updated_at
    assert [item.key for item in store.search(())] == ["other", "k"]


def test_reading_refreshes_unless_it_is_told_not_to(client: EdgeQdrantClient) -> None:
    """Protects the defaults: a reading refreshes, `refresh_on_read` and then the single call decide otherwise."""
    cases: list[tuple[TTLConfig | None, dict[str, Any], bool]] = [
        (None, {}, True),
        (None, {"refresh_ttl": False}, False),
        ({"refresh_on_read": False}, {}, False),
        ({"refresh_on_read": False}, {"refresh_ttl": True}, True),
    ]
    stores = [QdrantStore(client, ttl=config, collection=f"store{n}") for n, (config, _, _) in enumerate(cases)]
    for store in stores:
        store.put(("a",), "k", {}, ttl=3 / 60)
    time.sleep(1.8)
    for store, (_, options, _) in zip(stores, cases, strict=True):
        assert store.get(("a",), "k", **options) is not None
    time.sleep(1.8)
    kept = [store.get(("a",), "k", refresh_ttl=False) is not None for store in stores]
    assert kept == [refreshed for _, _, refreshed in cases]
    for store in stores:
        store.close()


def test_opening_and_writing_sweep(
    store: QdrantStore, client: EdgeQdrantClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects the disk where no sweeper was started: what has expired goes with the next opening, or a later write."""
    store.put(("a",), "k", {}, ttl=PAST)
    assert client.count("store").count == 1
    QdrantStore(client).close()
    assert client.count("store").count == 0
    store.put(("a",), "k", {}, ttl=PAST)
    store.put(("a",), "other", {})
    assert client.count("store").count == 2
    monkeypatch.setattr(langgraph_store, "_SWEEP_SECONDS", 0.0)
    store.put(("a",), "other", {})
    assert client.count("store").count == 1


def test_a_full_disk_ends_the_sweeping_only(
    store: QdrantStore, client: EdgeQdrantClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """On a disk too full to delete a store opens and is read, and a write that was stored does not fail behind it."""
    store.put(("a",), "k", {}, ttl=PAST)
    store.put(("a",), "other", {})
    free, real = 0, shutil.disk_usage

    def usage(path: Any) -> Any:
        return real(path)._replace(free=free)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    with caplog.at_level(logging.WARNING):
        full = QdrantStore(client, index=indexed("way"))
    assert "could not be swept" in caplog.text
    assert [item.key for item in full.search(())] == ["other"]
    with pytest.raises(StorageError, match="is full"):
        full.sweep_ttl()
    full.close()
    free = 2**40
    monkeypatch.setattr(langgraph_store, "_SWEEP_SECONDS", 0.0)
    monkeypatch.setattr(edge_shard, "ROOM_TO_DELETE", 2**41)
    store.put(("a",), "written", {})
    assert sorted(item.key for item in store.search(())) == ["other", "written"]
    assert client.count("store").count == 3
    monkeypatch.undo()
    assert store.sweep_ttl() == 1


def test_a_sweeper_runs_until_it_is_stopped(client: EdgeQdrantClient) -> None:
    """Protects the sweeping in the background: begun by the settings, ended by hand, by its future, by closing."""
    store = QdrantStore(client, ttl={"sweep_interval_minutes": 0.05 / 60})  # type: ignore[typeddict-item]
    store.put(("a",), "stays", {})
    for restart in (None, 0.05 / 60):
        if restart:
            future = store.start_ttl_sweeper(restart)
        store.put(("a",), "k", {}, ttl=PAST)
        deadline = time.monotonic() + 10
        while client.count("store").count > 1 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert client.count("store").count == 1
        if restart:
            assert future.cancel()
        assert store.stop_ttl_sweeper(10)
        assert store.stop_ttl_sweeper()
        store.put(("a",), "k", {}, ttl=PAST)
        time.sleep(0.2)
        assert client.count("store").count == 2
    store.start_ttl_sweeper()
    store.close()
