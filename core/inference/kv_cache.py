"""The key-value cache of one llama.cpp context: who holds which cells, what is shared, what goes when it is full."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from freehold.inference.options import EngineOptions
from freehold.inference.prefix_tree import Node, PrefixTree

__all__ = ["CachedSequence", "KvCache"]

_SPARE = 256
"""Cells that are freed together when some are needed: a step takes few, and each search for the oldest costs time."""


class CachedSequence:
    """The part of a running request's tokens whose keys and values are in the cache."""

    __slots__ = ("id", "node", "shared", "tokens")

    def __init__(self, number: int, node: Node, tokens: list[int]) -> None:
        self.id = number
        """Its number in llama.cpp."""
        self.node = node
        """Where its shared part ends in the tree; pinned there."""
        self.shared = len(tokens)
        """Leading tokens whose cells belong to the tree."""
        self.tokens = tokens
        """What is in the cache, in order of position."""

    @property
    def own(self) -> int:
        """Cells that nobody shares."""
        return len(self.tokens) - self.shared


class KvCache:
    """Cells and sequences of a context with a unified cache. Only the thread that owns the context may use it.

    Finished prompts and answers stay, as a radix tree, until their cells are needed: least recently used ones go
    first, from their end. A request that begins like one of them shares its cells, through `llama_memory_seq_cp`.

    Args:
        context: The `llama_context *`.
        options: How many cells and sequences it has; those beyond one for each slot hold what is kept.
        sharing: False for a model that cannot forget a part of what it read: then nothing is kept.
        spill: Called with a conversation's leaf before its cells go; its tokens are `leaf.path()`.
    """

    def __init__(
        self,
        context: Any,
        options: EngineOptions,
        *,
        sharing: bool = True,
        spill: Callable[[Node], None] | None = None,
    ) -> None:
        import llama_cpp

        self._memory: Any = llama_cpp.llama_get_memory(context)
        self._llama = llama_cpp
        self.size = options.cache_tokens
        self.sharing = sharing
        self.tree = PrefixTree()
        self._ids = list(range(options.sequences))
        self._slots = options.slots
        self._own = 0
        self._active = 0
        self._spill = spill

    @property
    def _reserved(self) -> int:
        """Free sequences that belong to requests which may still begin."""
        return self._slots - self._active

    @property
    def free(self) -> int:
        """Cells that hold nothing."""
        return self.size - self.tree.size - self._own

    @property
    def used(self) -> int:
        """Cells that running requests need."""
        return self._own + self.tree.pinned()

    def known(self, tokens: Sequence[int]) -> int:
        """How many tokens from the beginning are in the tree."""
        return self.tree.match(tokens)[2] if self.sharing else 0

    def held(self, tokens: Sequence[int]) -> int:
        """How many tokens from the beginning running requests hold already: these cost no cells."""
        node, at, length = self.tree.match(tokens) if self.sharing else (self.tree.root, 0, 0)
        while not node.pins and node.parent is not None:
            length, node = length - at, node.parent
            at = len(node.tokens)
        return length

    def begin(self, tokens: list[int]) -> CachedSequence:
        """A sequence that holds what is known of `tokens`; the last token is always left to be read anew."""
        number = self._ids.pop()
        self._active += 1
        node, at, length = self.tree.match(tokens[:-1]) if self.sharing else (self.tree.root, 0, 0)
        if length:
            # Before the cut: a node in the middle has no holder, but each of its leaves holds the whole path.
            holder = node.leaf().holder
            node = self.tree.cut(node, at)
            self._llama.llama_memory_seq_cp(self._memory, holder, number, 0, length)
        self.tree.pin(node)
        self.tree.touch(node)
        return CachedSequence(number, node, tokens[:length])

    def reserve(self, cells: int) -> bool:
        """Make room for this many cells; False where running requests need too much."""
        while self.free < cells:
            oldest = self.tree.oldest()
            if oldest is None:
                return False
            self._evict(oldest, max(cells - self.free, _SPARE))
        return True

    def extend(self, sequence: CachedSequence, tokens: Sequence[int]) -> None:
        """These tokens have just been decoded."""
        sequence.tokens += tokens
        self._own += len(tokens)

    def truncate(self, sequence: CachedSequence, length: int) -> None:
        """Forget what a sequence holds behind `length`; not less than its shared part."""
        self._llama.llama_memory_seq_rm(self._memory, sequence.id, length, -1)
        self._own -= len(sequence.tokens) - length
        del sequence.tokens[length:]

    def publish(self, sequence: CachedSequence) -> None:
        """Put what a sequence holds into the tree, so that others can share it."""
        tokens = sequence.tokens
        if not self.sharing or not sequence.own:
            return
        node, at, length = self.tree.match(tokens)
        if length > sequence.shared:  # somebody else has computed the same in the meantime: use theirs, free ours
            holder = node.leaf().holder
            node = self.tree.cut(node, at)
            self._llama.llama_memory_seq_rm(self._memory, sequence.id, sequence.shared, length)
            self._llama.llama_memory_seq_cp(self._memory, holder, sequence.id, sequence.shared, length)
            self._own -= length - sequence.shared
            self._repin(sequence, node, length)
        if length == len(tokens):
            return
        node = sequence.node
        if node.holder is None:
            self._spare_number()
        if node.holder is not None:  # a leaf grows: its own sequence holds the longer path, and only leaves have one
            holder, start = node.holder, length
            node.holder = node.thread = None
            node.saved = False
        elif len(self._ids) > self._reserved:
            holder, start = self._ids.pop(), 0
        else:
            return
        self._llama.llama_memory_seq_cp(self._memory, sequence.id, holder, start, len(tokens))
        leaf = self.tree.add(node, tokens[length:])
        leaf.holder = holder
        self._own -= len(tokens) - length
        self._repin(sequence, leaf, len(tokens))

    def end(self, sequence: CachedSequence, thread: str | None = None) -> None:
        """A request has ended, or pauses: what it holds is kept as long as there is room."""
        self.publish(sequence)
        if thread is not None and sequence.node.holder is not None:
            sequence.node.thread, sequence.node.saved = thread, False
        self._own -= sequence.own
        self.tree.pin(sequence.node, -1)
        self._llama.llama_memory_seq_rm(self._memory, sequence.id, -1, -1)
        self._ids.append(sequence.id)
        self._active -= 1

    def clear(self) -> None:
        """Let go of everything that no running request needs."""
        while (oldest := self.tree.oldest()) is not None:
            self._evict(oldest, self.size)

    def drop(self, leaf: Node) -> None:
        """Let go of a leaf for good, unless a running request needs it; it is not spilled."""
        leaf.thread = None
        while not leaf.pins and not leaf.children and leaf.parent is not None:
            parent = leaf.parent
            self._evict(leaf, self.size)
            leaf = parent  # nobody shares it any more

    def leaves(self) -> list[Node]:
        """What is kept, the most recently used first."""
        return sorted(self.tree.leaves(), key=lambda leaf: -leaf.used)

    def _repin(self, sequence: CachedSequence, node: Node, length: int) -> None:
        self.tree.pin(node)
        self.tree.pin(sequence.node, -1)
        self.tree.touch(node)
        sequence.node, sequence.shared = node, length

    def _spare_number(self) -> None:
        """Free a sequence for one more leaf: the oldest make room."""
        while len(self._ids) <= self._reserved and (oldest := self.tree.oldest()) is not None:
            self._evict(oldest, self.size)

    def _evict(self, leaf: Node, cells: int) -> None:
        """Free this many cells of a leaf, from its end, or the whole leaf."""
        if leaf.thread is not None and not leaf.saved and self._spill is not None:
            self._spill(leaf)
        holder, parent = leaf.holder, leaf.parent
        assert holder is not None  # noqa: S101 - leaves have holders
        assert parent is not None  # noqa: S101 - the root is no leaf
        keep = len(leaf.tokens) - cells
        if keep > 0:
            length = leaf.depth() - cells
            self.tree.shorten(leaf, keep)
            self._llama.llama_memory_seq_rm(self._memory, holder, length, -1)
            return
        self.tree.remove(leaf)
        if parent.parent is None or parent.children:
            self._llama.llama_memory_seq_rm(self._memory, holder, -1, -1)
            self._ids.append(holder)
        else:  # the parent is a leaf now, and holds its path with the same sequence
            self._llama.llama_memory_seq_rm(self._memory, holder, parent.depth(), -1)
            parent.holder = holder
