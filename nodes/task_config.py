"""The config of the task that a node runs in, with somebody who listens."""

from __future__ import annotations

from langchain_core.callbacks import BaseCallbackManager
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config
from langgraph.runtime import Runtime

from freehold.nodes.recording import Recorder

__all__ = ["inherited_tags", "listening"]


def listening(config: RunnableConfig | None, recorder: Recorder) -> RunnableConfig:
    """The config, with a recorder among the callbacks and behind the stream writer.

    LangGraph carries a task's `Runtime`, which holds the stream writer, in the config; where exactly is its own affair,
    so the runtime is known by its class.
    """
    found = ensure_config(config)
    callbacks = found.get("callbacks")
    if isinstance(callbacks, BaseCallbackManager):
        callbacks = callbacks.copy()
        callbacks.add_handler(recorder, inherit=True)
    else:
        callbacks = [*(callbacks or ()), recorder]
    configurable = {
        key: value.override(stream_writer=recorder.writer(value.stream_writer)) if isinstance(value, Runtime) else value
        for key, value in found.get("configurable", {}).items()
    }
    return {**found, "callbacks": callbacks, "configurable": configurable}


def inherited_tags(config: RunnableConfig | None) -> list[str]:
    """Tags that the run itself has, which everything inside of it inherits."""
    found = ensure_config(config)
    callbacks = found.get("callbacks")
    return [*found.get("tags", ()), *(callbacks.tags if isinstance(callbacks, BaseCallbackManager) else ())]
