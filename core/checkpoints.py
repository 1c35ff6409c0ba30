"""Checkpoints in SQLite, for synchronous and asynchronous runs, with personal data masked before it is written."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from langchain_core.messages import ChatMessage, HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import ChannelVersions, Checkpoint, CheckpointMetadata, CheckpointTuple
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.sqlite import SqliteSaver
from pydantic import BaseModel

from freehold.errors import StorageError

__all__ = ["MaskingSerializer", "SqliteCheckpointer"]

P = ParamSpec("P")
_TABLES = ("writes", "checkpoints")
_HOLDERS = frozenset({"messages", "__start__", "channel_values"})
T = TypeVar("T")


class MaskingSerializer(JsonPlusSerializer):
    """Mask the text of user messages on its way into a checkpoint.

    LangGraph stores a run's input before its first node runs, so a node alone cannot keep personal data off the disk.
    Works with any checkpointer: pass it as `serde`. A message that is a bare string it can only tell where it stands in
    the input; `SqliteCheckpointer` also masks it as it is written to the channel `messages`.

    Args:
        mask: Gives the masked form of a text; the masked form of a masked text must be itself.
    """

    def __init__(self, mask: Callable[[str], str]) -> None:
        super().__init__()
        self._mask = lru_cache(maxsize=1024)(mask)

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        """Serialize with user messages masked."""
        return super().dumps_typed(self.masked(obj))

    def masked(self, value: Any) -> Any:  # noqa: PLR0911 - one case for each form that a message has
        """The value with user messages masked, wherever LangGraph's checkpoints hold them."""
        match value:
            case HumanMessage() | ChatMessage(role="user" | "human"):
                changed = {"content": self._content(value.content), "name": value.name and self._mask(value.name)}
                return value.model_copy(update=changed)
            case {"role": "user" | "human", "content": content} | {"type": "user" | "human", "content": content}:
                return {**value, "content": self._content(content)}
            case {"lc": 1, "kwargs": {"content": content, **rest}}:
                return {**value, "kwargs": {**rest, "content": self._content(content)}}
            case dict() if not _HOLDERS.isdisjoint(value):
                return {name: self._held(name, held) for name, held in value.items()}
            case BaseModel() if "messages" in type(value).model_fields:
                return value.model_copy(update={"messages": self._held("messages", value.messages)})  # type: ignore[attr-defined]
            case ("user" | "human" as role, content):
                return (role, self._content(content))
            case list() | tuple():
                return [self.masked(item) for item in value]
            case _:
                return value

    def _held(self, name: str, value: Any) -> Any:
        """What stands under a key: a message, or messages, may be bare strings there."""
        if name != "messages":
            return self.masked(value) if name in _HOLDERS else value
        if isinstance(value, str):
            return self._mask(value)
        if isinstance(value, list):
            return [self._mask(item) if isinstance(item, str) else self.masked(item) for item in value]
        return self.masked(value)

    def _content(self, content: Any) -> Any:
        if isinstance(content, str):
            return self._mask(content)
        if not isinstance(content, list):
            return content
        return [
            {**part, "text": self._mask(part["text"])}
            if isinstance(part, dict) and isinstance(part.get("text"), str)
            else self._mask(part)
            if isinstance(part, str)
            else part
            for part in content
        ]


class SqliteCheckpointer(SqliteSaver):
    """LangGraph's SQLite checkpointer with write-ahead log and `synchronous=NORMAL`, for both ways to run a graph.

    The asynchronous half runs on a thread of its own. LangGraph ships one class for `invoke` and another for
    `ainvoke`; a graph that serves both needs one that does both.

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
        except sqlite3.Error as error:
            connection.close()
            raise StorageError(f"The checkpoints in {path} cannot be opened: {error}.") from error
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="freehold-checkpoints")
        self._on_delete = on_delete

    def close(self) -> None:
        """Finish waiting writes and close the database."""
        self._executor.shutdown(wait=True)
        self.conn.close()

    def put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Keep what a finished node wrote."""
        if isinstance(self.serde, MaskingSerializer):
            writes = [(channel, self.serde.masked({channel: value})[channel]) for channel, value in writes]
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

    def _deleted(self, thread_ids: Sequence[str]) -> None:
        if self._on_delete is not None:
            for thread_id in thread_ids:
                self._on_delete(str(thread_id))

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
