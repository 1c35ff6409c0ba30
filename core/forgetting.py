"""Forget a user everywhere: threads, kept conversations, cached answers and memories, down to their bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from freehold.errors import StorageError
from freehold.ownership import OWNER, owner_of

if TYPE_CHECKING:
    from pathlib import Path

    from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple

    from freehold.context import Context
    from freehold.workspace import Workspace

    Savers: TypeAlias = Iterable[BaseCheckpointSaver[Any]]

__all__ = ["Forgotten", "forget_conversation", "forget_user"]


@dataclass(frozen=True)
class Forgotten:
    """What was erased of a user."""

    memories: int = 0
    """Facts in long-term memory; their vectors, entities, history and messages went with them."""
    answers: int = 0
    """Cached answers that could still be given; their questions went with them."""
    threads: int = 0
    """Threads with all their checkpoints; the keys and values of their conversations went with them."""


async def forget_user(
    workspace: Workspace, context: Context, checkpointers: Savers, forget_thread: Callable[[str], None]
) -> Forgotten:
    """The work of `Workspace.aforget`: each part is erased also where another fails, and the first failure is raised.

    Args:
        workspace: Whose stores.
        context: Its tenant and user are forgotten, whichever agent and session it names.
        checkpointers: Others than the workspace's own.
        forget_thread: Erases what engines hold of a thread.
    """
    owner = owner_of(context)
    failures: list[Exception] = []

    async def part(erase: Callable[[], Awaitable[int]]) -> int:
        try:
            return await erase()
        except Exception as error:  # noqa: BLE001 - the other parts must go nevertheless; it is raised behind them
            failures.append(error)
            return 0

    async def threads() -> int:
        saver = await asyncio.to_thread(lambda: workspace.checkpointer)
        erased = await saver.aforget(owner)
        await asyncio.to_thread(_forget_stray_conversations, workspace)
        return erased

    async def answers() -> int:
        url = workspace.settings.redis_url
        try:
            cache = await asyncio.to_thread(lambda: workspace.cache)
        except StorageError:  # its questions are in Qdrant, which is down; the answers are not
            await _forget_answers(workspace, url, context)
            raise
        return await cache.forget(context)

    async def unused_answers() -> int:
        """What lies in SQLite from before the settings named a Redis."""
        if not workspace.settings.redis_url:
            return 0
        return await _forget_answers(workspace, None, context)

    async def memories() -> int:
        try:
            return await (await asyncio.to_thread(lambda: workspace.memory)).forget(context)
        except StorageError:  # Qdrant is down; what mem0 wrote beside it has the texts as well
            from freehold.memory.erasure import erase_history

            await asyncio.to_thread(erase_history, workspace.home / "memory" / "history.db", owner)
            raise

    # Threads first: memories are made of them.
    erased = [await part(lambda saver=saver: _forget_in(saver, owner, forget_thread)) for saver in checkpointers]  # type: ignore[misc]
    found = Forgotten(
        threads=await part(threads) + sum(erased),
        answers=await part(answers) + await part(unused_answers),
        memories=await part(memories),
    )
    if failures:
        for other in failures[1:]:
            failures[0].add_note(f"Besides: {other}")
        raise failures[0]
    return found


async def _forget_answers(workspace: Workspace, redis_url: str | None, context: Context) -> int:
    """Erase the answers where they lie, without the index of their questions."""
    from freehold.cache import ResponseCache
    from freehold.coordination import RedisStore, SQLiteStore

    path = workspace.home / "cache.sqlite"
    if not redis_url and not await asyncio.to_thread(path.exists):
        return 0
    answers = ResponseCache(RedisStore(redis_url) if redis_url else SQLiteStore(path), None)
    try:
        return await answers.forget(context)
    finally:
        await answers.aclose()


async def _forget_in(saver: BaseCheckpointSaver[Any], owner: str, forget_thread: Callable[[str], None]) -> int:
    """Delete the owner's threads from any checkpointer whose checkpoints name their owner."""
    mine = {OWNER: owner}
    try:
        threads = {_thread(item) async for item in saver.alist(None, filter=mine)}
    except NotImplementedError:  # it is one for synchronous runs only
        threads = await asyncio.to_thread(lambda: {_thread(item) for item in saver.list(None, filter=mine)})
    for thread in sorted(threads):
        await asyncio.to_thread(forget_thread, thread)  # before: without its checkpoints nobody would find it again
        try:
            await saver.adelete_thread(thread)
        except NotImplementedError:
            await asyncio.to_thread(saver.delete_thread, thread)
    return len(threads)


def forget_conversation(thread: str, opened: Iterable[object], folder: Path, most: int) -> None:
    """Erase the keys and values of a conversation.

    Args:
        thread: Its thread.
        opened: The resources of its workspace; engines among them forget it, in the cache and on disk.
        folder: Where conversations are saved.
        most: Bytes that they may take there.
    """
    from freehold.inference import Engine
    from freehold.inference.sequence_store import SequenceStore

    engines = [resource for resource in opened if isinstance(resource, Engine)]
    for engine in engines:
        engine.forget(thread)
    if not engines and folder.exists():  # otherwise theirs has erased it, whatever model it was of
        SequenceStore(folder, most, "any").erase(thread)


def _thread(item: CheckpointTuple) -> str:
    return str(item.config["configurable"]["thread_id"])


def _forget_stray_conversations(workspace: Workspace) -> None:
    """Delete the saved conversations of threads without checkpoints: nobody could tell whose they are."""
    from freehold.inference.sequence_store import SequenceStore

    folder = workspace.home / "sequences"
    if folder.exists():
        store = SequenceStore(folder, workspace.settings.kv_folder_bytes, "any")
        store.keep(workspace.checkpointer.threads())
