"""Whose a run is: the name under which everything that is kept of a user can be found again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from langchain_core.runnables.config import set_config_context
from langgraph.checkpoint.base import BaseCheckpointSaver

from freehold.context import Context, named_in
from freehold.runtime import running

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig
    from langgraph.checkpoint.base import ChannelVersions, Checkpoint, CheckpointMetadata

__all__ = ["OWNER", "OwnerStamp", "owner_of", "owner_of_run", "stamped"]

OWNER = "freehold_owner"
"""The key of a checkpoint's metadata that names the owner of its run."""


def owner_of(context: Context) -> str:
    """Tenant and user in one name. Ids cannot hold a slash, so this cannot be another pair.

    Example:
        >>> owner_of(Context(user_id="ada"))
        'default/ada'
    """
    return f"{context.tenant}/{context.user_id}"


def owner_of_run(config: RunnableConfig) -> str | None:
    """The owner of the run that a checkpointer is called from, from the very first checkpoint on.

    LangGraph keeps a run's context in no checkpoint, and stores the input before the first node runs; the config that
    it gives to the checkpointer leads to the context at any time. A run without a context is the default user's. A
    context of another class, or a dictionary, counts where it names a `user_id`, with or without a `tenant`.

    Args:
        config: What LangGraph gave to `put` or `put_writes`.

    Returns:
        None outside of a run, as in `update_state`, and where the context names no user.
    """
    with set_config_context(config) as here:
        runtime = here.run(running)
    if runtime is None:
        return None
    user, tenant = named_in(runtime.context)
    return f"{tenant}/{user}" if user else None


def stamped(config: RunnableConfig, metadata: CheckpointMetadata) -> CheckpointMetadata:
    """The metadata of a checkpoint with the owner of its run, where that is known."""
    owner = owner_of_run(config)
    return cast("CheckpointMetadata", {**metadata, OWNER: owner}) if owner else metadata


class OwnerStamp(BaseCheckpointSaver[Any]):
    """Has any checkpointer write the owner of each run into its checkpoints' metadata; `Workspace.forget` reads it.

    To be named before the checkpointer's class, which does everything else.

    Example:
        >>> from langgraph.checkpoint.memory import InMemorySaver
        >>> class Saver(OwnerStamp, InMemorySaver):
        ...     pass
        >>> isinstance(Saver(), InMemorySaver)
        True
    """

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Keep a checkpoint, and whose it is."""
        return super().put(config, checkpoint, stamped(config, metadata), new_versions)

    async def aput(  # noqa: D102 - as `put`, awaited
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        return await super().aput(config, checkpoint, stamped(config, metadata), new_versions)
