"""Checkpoints in SQLite, for synchronous and asynchronous runs; the threads of an owner can be found and forgotten."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import ChannelVersions, Checkpoint, CheckpointMetadata, CheckpointTuple
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.sqlite import SqliteSaver

from freehold.context import Context
from freehold.errors import StorageError
from freehold.masking_serializer import MaskingSerializer
from freehold.ownership import OWNER, owner_of, owner_of_run, stamped
from freehold.vacuum import vacuum

__all__ = ["MaskingSerializer", "SqliteCheckpointer"]

P = ParamSpec("P")
_TABLES = ("writes", "checkpoints")
_OWNERS = """
CREATE TABLE IF NOT EXISTS owners (
    owner TEXT NOT NULL, thread_id TEXT NOT NULL, PRIMARY KEY (owner, thread_id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS owners_thread_id ON owners (thread_id);
"""
_NOBODYS = " UNION ".join(
    f"SELECT thread_id FROM {table} WHERE thread_id NOT IN (SELECT thread_id FROM owners)"  # noqa: S608 - ours
    for table in _TABLES
)
T = TypeVar("T")


class SqliteCheckpointer(SqliteSaver):
    """LangGraph's SQLite checkpointer with write-ahead log and `synchronous=NORMAL`, for both ways to run a graph.

    The asynchronous half runs on a thread of its own. LangGraph ships one class for `invoke` and another for
    `ainvoke`; a graph that serves both needs one that does both.

    Each checkpoint carries the owner of its run in its metadata, and a table holds the threads of each owner, so that
    `forget` finds them all. A thread that several users ran belongs to each of them.

    Args:
        path: The database file.
        mask: Masks personal data in user messages; None stores them as they are.
        on_delete: Called with each thread of which something is deleted, so that what is kept of it elsewhere can go.

    Raises:
        StorageError: The database cannot be opened.
    """

    def __init__(
        self,
        path: Path,
        mask: Callable[[str], str] | None = None,
        on_delete: Callable[[str], None] | None = None,
    ) -> None:
        connection = sqlite3.connect(path, check_same_thread=False, timeout=10)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute("PRAGMA secure_delete=ON")
            super().__init__(connection, serde=MaskingSerializer(mask) if mask else JsonPlusSerializer())
            self.setup()
            connection.executescript(_OWNERS)
        except sqlite3.Error as error:
            connection.close()
            raise StorageError(f"The checkpoints in {path} cannot be opened: {error}.") from error
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="freehold-checkpoints")
        self._on_delete = on_delete

    def close(self) -> None:
        """Finish waiting writes and close the database."""
        self._executor.shutdown(wait=True)
        self.conn.close()

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Keep a checkpoint, and whose it is."""
        metadata = stamped(config, metadata)
        self._own(config, cast("dict[str, Any]", metadata).get(OWNER))
        return super().put(config, checkpoint, metadata, new_versions)

    def put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Keep what a finished node wrote."""
        if isinstance(self.serde, MaskingSerializer):
            writes = [(channel, self.serde.masked({channel: value})[channel]) for channel, value in writes]
        self._own(config, owner_of_run(config))
        super().put_writes(config, writes, task_id, task_path)

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Forget the checkpoints that these runs wrote, as a server does when it rolls a run back."""
        columns = "thread_id, checkpoint_ns, checkpoint_id"
        wrote = f"SELECT {columns} FROM checkpoints WHERE json_extract(metadata, '$.run_id') = ?"  # noqa: S608
        threads: set[str] = set()
        with self.cursor() as cursor:
            for run_id in run_ids:
                keys = cursor.execute(wrote, (str(run_id),)).fetchall()
                threads.update(key[0] for key in keys)
                for table in _TABLES:
                    cursor.executemany(
                        f"DELETE FROM {table} WHERE thread_id = ? AND checkpoint_ns = ? AND checkpoint_id = ?",  # noqa: S608
                        keys,
                    )
        self._deleted(sorted(threads))

    def prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Forget all but the newest checkpoint of these threads, or with `delete_all` every one."""
        newest = (
            " AND checkpoint_id < (SELECT MAX(checkpoint_id) FROM checkpoints AS kept"
            " WHERE kept.thread_id = {0}.thread_id AND kept.checkpoint_ns = {0}.checkpoint_ns)"
        )
        with self.cursor() as cursor:
            for table in _TABLES:
                older = "" if strategy == "delete_all" else newest.format(table)
                delete = f"DELETE FROM {table} WHERE thread_id = ?{older}"  # noqa: S608 - the parts are ours
                cursor.executemany(delete, [(str(thread_id),) for thread_id in thread_ids])
        self._deleted(thread_ids)

    def delete_thread(self, thread_id: str) -> None:
        """Forget every checkpoint of a thread."""
        super().delete_thread(thread_id)
        self._deleted([thread_id])

    def threads_of(self, owner: str) -> list[str]:
        """The threads in which this owner ran, sorted.

        What nobody is known to own belongs to the default user: threads that were made outside of a run, and those of
        an earlier version, unless their state says whose they are.

        Args:
            owner: As `freehold.ownership.owner_of` gives it.
        """
        self._adopt()
        with self.cursor(transaction=False) as cursor:
            found = cursor.execute("SELECT thread_id FROM owners WHERE owner = ? ORDER BY thread_id", (owner,))
            return [thread for (thread,) in found]

    def threads(self) -> list[str]:
        """Every thread of every owner, sorted."""
        self._adopt()
        with self.cursor(transaction=False) as cursor:
            return [thread for (thread,) in cursor.execute("SELECT DISTINCT thread_id FROM owners ORDER BY thread_id")]

    def forget(self, owner: str) -> int:
        """Erase the threads in which this owner ran, down to the bytes in the database and its log.

        A call that was interrupted is completed by the next one. What a run of the owner that is still under way writes
        afterwards stays.

        Returns:
            How many threads were erased.

        Raises:
            StorageError: The database failed, or something else reads it; the threads are gone, their bytes may not be.
        """
        try:
            threads = self.threads_of(owner)
            with self.cursor() as cursor:
                for table in _TABLES:
                    cursor.executemany(f"DELETE FROM {table} WHERE thread_id = ?", [(thread,) for thread in threads])  # noqa: S608
            self._deleted(threads)
            with self.lock:  # whoever is named: an earlier call may have been killed at this point
                vacuum(self.conn, "The checkpoints are read by another program; end it, and call forget again.")
        except sqlite3.Error as error:
            raise StorageError(f"The checkpoints of {owner} cannot be erased: {error}. Call forget again.") from error
        return len(threads)

    def _own(self, config: RunnableConfig, owner: str | None) -> None:
        """Remember whose the thread is, before anything of it comes to the disk."""
        if owner is not None:
            with self.cursor() as cursor:
                thread = str(config["configurable"]["thread_id"])
                cursor.execute("INSERT OR IGNORE INTO owners VALUES (?, ?)", (owner, thread))

    def _adopt(self) -> None:
        """Find owners for the threads that have none."""
        with self.cursor(transaction=False) as cursor:
            threads = [thread for (thread,) in cursor.execute(_NOBODYS)]
        for thread in threads:
            owners = {_owner_in(item) for item in self.list({"configurable": {"thread_id": thread}})} - {None}
            with self.cursor() as cursor:
                cursor.executemany(
                    "INSERT OR IGNORE INTO owners VALUES (?, ?)",
                    [(owner, thread) for owner in owners or {owner_of(Context())}],
                )

    def _deleted(self, thread_ids: Sequence[str]) -> None:
        """Have what is kept of these threads elsewhere go, and then, where nothing is left of them, who owned them."""
        if self._on_delete is not None:
            for thread_id in thread_ids:
                self._on_delete(str(thread_id))
        left = " AND ".join(f"NOT EXISTS (SELECT 1 FROM {table} WHERE thread_id = ?1)" for table in _TABLES)  # noqa: S608
        with self.cursor() as cursor:
            cursor.executemany(
                f"DELETE FROM owners WHERE thread_id = ?1 AND {left}",  # noqa: S608 - the parts are ours
                [(str(thread_id),) for thread_id in thread_ids],
            )

    async def _in_thread(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, partial(function, *args, **kwargs))

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:  # noqa: D102 - as in the base class
        return await self._in_thread(self.get_tuple, config)

    async def alist(  # noqa: D102
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        found = await self._in_thread(lambda: list(self.list(config, filter=filter, before=before, limit=limit)))
        for item in found:
            yield item

    async def aput(  # noqa: D102
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        return await self._in_thread(self.put, config, checkpoint, metadata, new_versions)

    async def aput_writes(  # noqa: D102
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        await self._in_thread(self.put_writes, config, writes, task_id, task_path)

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:  # noqa: D102
        await self._in_thread(self.delete_for_runs, run_ids)

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:  # noqa: D102
        await self._in_thread(self.prune, thread_ids, strategy=strategy)

    async def adelete_thread(self, thread_id: str) -> None:  # noqa: D102
        await self._in_thread(self.delete_thread, thread_id)

    async def aforget(self, owner: str) -> int:
        """As `forget`, awaited."""
        return await self._in_thread(self.forget, owner)


def _owner_in(item: CheckpointTuple) -> str | None:
    """The owner that a checkpoint names: in its metadata, or in the assistant's state of an earlier version."""
    if owner := cast("dict[str, Any]", item.metadata).get(OWNER):
        return str(owner)
    match item.checkpoint["channel_values"].get("cache"):
        case {"situation": {"tenant": str(tenant), "user_id": str(user)}}:
            return f"{tenant}/{user}"
    return None
