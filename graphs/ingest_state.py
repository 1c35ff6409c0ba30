"""The state of the ingest graph: paths and counts are checkpointed, texts and vectors are not."""

from __future__ import annotations

from typing import Annotated, Any

from langgraph.channels import UntrackedValue
from typing_extensions import TypedDict

from freehold.state import Decision, append

__all__ = ["Failure", "IngestState", "LaneState"]


class Failure(TypedDict):
    """A file that could not be read."""

    source: str
    reason: str


def _add(left: int | None, right: int | None) -> int:
    """Reducer: the sum; None begins anew."""
    return 0 if right is None else (left or 0) + right


class IngestState(TypedDict, total=False):
    """State of the ingest graph: paths and counts, never text, so that its checkpoints stay small and private."""

    paths: list[str]
    """Files and folders to read; goes in."""
    run: str
    """Names the run in this process's progress."""
    lanes: list[list[str]]
    """Files to be read, dealt out to lanes that work side by side."""
    total: int
    """Files to be read in this run."""
    gone: list[str]
    """Documents whose files no longer exist under `paths`."""
    skipped: list[str]
    """Unchanged since they were read last."""
    ingested: Annotated[list[str], append]
    failed: Annotated[list[Failure], append]
    passages: Annotated[int, _add]
    """Passages written in this run."""
    removed: list[str]
    decisions: Annotated[list[Decision], append]


class LaneState(TypedDict, total=False):
    """State of one lane, which reads its files some at a time.

    What stands under `Documents in hand` is kept in memory only. After a kill it is gone, and is made again from the
    first files in `pending`; what the store has of them already is overwritten, not doubled.
    """

    run: str
    lane: int
    total: int
    """Files of all lanes."""
    pending: list[str]
    """Files still to be read."""
    step: int
    """Most files in hand."""
    ingested: list[str]
    failed: list[Failure]
    passages: int
    decisions: list[Decision]
    # Documents in hand.
    documents: Annotated[list[Any], UntrackedValue]
    """A `LoadedDocument` and its stamp for each file, or the reason why there is none."""
    chunks: Annotated[list[Any], UntrackedValue]
    """The passages of each file."""
    vectors: Annotated[list[Any], UntrackedValue]
    """An array for each file, one row for each passage."""
