"""The prebuilt graph that reads documents into the store."""

from __future__ import annotations

from typing import Any, cast

from langchain_core.runnables import RunnableConfig, RunnableLambda
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from typing_extensions import TypedDict

from freehold.context import Context
from freehold.errors import UserError
from freehold.graphs.ingest_nodes import Chunk, Embed, FindFiles, Load, RemoveDeleted, Upsert
from freehold.graphs.ingest_state import Failure, IngestState, LaneState
from freehold.memory import Documents
from freehold.memory.chunking import PASSAGE_SIZE
from freehold.state import Decision

__all__ = ["IngestState", "create_ingest"]


class _LaneResult(TypedDict, total=False):
    ingested: list[str]
    failed: list[Failure]
    passages: int
    decisions: list[Decision]


def create_ingest(
    documents: Documents,
    *,
    passage_size: int = PASSAGE_SIZE,
    checkpointer: BaseCheckpointSaver[Any] | None = None,
) -> CompiledStateGraph[IngestState, Context, IngestState, IngestState]:
    """A graph that reads the new and the changed files of some paths into `documents`.

        find_files -> ingest_files (up to three lanes at once) -> remove_deleted
                      load -> chunk -> embed -> upsert, again while the lane has files

    The input is `{"paths": [...]}`, the result an `IngestState`; documents are named by their absolute paths. A file
    whose size, inode and times are those of the last run is not read; any other is unchanged where the SHA-256 of its
    bytes is. What is stored for a file that no longer exists at or below one of the paths is removed. Another
    `passage_size`, another embedding model or another version's way to split reads every file again.

    Files are dealt out to lanes, each a subgraph with checkpoints of its own, and no lane waits for another: while one
    embeds, others load, split and store, so that the embedder always has texts. Lanes are fewer than the threads of a
    synchronous run, so that none waits for a thread either, and what a lane did is written at once.

    Texts and vectors pass between the nodes in channels that are never checkpointed: they are large, and private, and
    a file says it all again. A run that was killed goes on from its checkpoints with `invoke(None, config)`, and a node
    whose texts were lost makes them again from the files in hand. A new run also finds what is left to do. Neither
    loses or doubles a passage: passages are stored under ids made of their source and content, and a document counts
    as stored when its last passage is.

    Args:
        documents: Where the passages go.
        passage_size: Most tokens of the embedding model in a passage; a code block may have twice as many with its
            heading.
        checkpointer: Keeps the run's state after each node; None keeps none.

    Raises:
        UserError: `passage_size` is below 1, or so large that the embedding model would not read a whole passage.
        DocumentError: When it runs, where a path does not exist and nothing is stored of it.
        StorageError: When it runs, where the store failed.

    Example:
        >>> create_ingest(workspace.documents).invoke({"paths": ["docs"]})["passages"]  # doctest: +SKIP
        215
    """
    if passage_size < 1:
        raise UserError(f"passage_size={passage_size} cannot be used: give the most tokens of a passage, 100 or so.")
    length = documents.context_length
    if length is not None and 2 * passage_size + 2 > length:  # a passage and its heading, and the model's own tokens
        raise UserError(
            f"passage_size={passage_size} cannot be used: the embedding model reads {length} tokens of a passage and "
            f"its heading, which have up to {passage_size} each. Give {max(1, (length - 2) // 2)} at most, or use an "
            "embedding model with a longer context."
        )
    find_files = FindFiles(documents, passage_size)
    remove_deleted = RemoveDeleted(documents, passage_size, find_files.reader, find_files.progress)
    graph = StateGraph(IngestState, context_schema=Context)
    # A node takes any state that has its keys.
    graph.add_node(find_files.node, cast("Any", find_files), destinations=("ingest_files", "remove_deleted"))
    graph.add_node("ingest_files", _lane(find_files))
    graph.add_node(remove_deleted.node, cast("Any", remove_deleted))
    graph.add_edge(START, "find_files")
    graph.add_edge("ingest_files", "remove_deleted")
    graph.add_edge("remove_deleted", END)
    return graph.compile(checkpointer=checkpointer, name="ingest")


def _lane(shared: FindFiles) -> RunnableLambda[Any, Any]:
    """The subgraph of one lane, which hands its events on: a graph streams those of its subgraphs only where asked."""
    lane = _lane_graph(shared)
    options: Any = {"stream_mode": ["custom", "values"], "output_keys": [*_LaneResult.__annotations__]}

    def run(state: Any, config: RunnableConfig) -> Any:
        writer, result = get_stream_writer(), None
        for mode, part in lane.stream(state, _unlimited(state, config), **options):
            if mode == "custom":
                shared.progress.tell(part, writer)
            else:
                result = part
        return result

    async def arun(state: Any, config: RunnableConfig) -> Any:
        writer, result = get_stream_writer(), None
        async for mode, part in lane.astream(state, _unlimited(state, config), **options):
            if mode == "custom":
                shared.progress.tell(part, writer)
            else:
                result = part
        return result

    return RunnableLambda(run, arun, name="ingest_files")


def _unlimited(state: Any, config: RunnableConfig) -> RunnableConfig:
    """With as many steps as a lane of one file at a time takes; LangChain puts its limit of 25 into the config."""
    return {**config, "recursion_limit": 4 * len(state["pending"]) + 4}


def _lane_graph(shared: FindFiles) -> Any:
    graph = StateGraph(LaneState, context_schema=Context, output_schema=_LaneResult)
    parts = (shared.documents, shared.size, shared.reader, shared.progress)
    for node in (Load(*parts), Chunk(*parts), Embed(*parts)):
        graph.add_node(node.node, cast("Any", node))
    upsert = Upsert(*parts)
    graph.add_node(upsert.node, cast("Any", upsert), destinations=("load", END))
    graph.add_edge(START, "load")
    graph.add_edge("load", "chunk")
    graph.add_edge("chunk", "embed")
    graph.add_edge("embed", "upsert")
    return graph.compile(name="ingest_files")
