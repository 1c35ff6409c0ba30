"""A radix tree over token sequences: which beginnings the cache holds, and which of them can go."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

__all__ = ["Node", "PrefixTree", "common_prefix"]


def common_prefix(left: Sequence[int], right: Sequence[int], start: int = 0) -> int:
    """How many tokens two sequences of one type share from the beginning; the first `start` are known to be equal.

    Example:
        >>> common_prefix([1, 2, 3], [1, 2, 4])
        2
    """
    end = min(len(left), len(right))
    step = 64
    while start < end:  # slices are compared in C: gallop, and where they differ, halve
        stop = min(start + step, end)
        if left[start:stop] == right[start:stop]:
            start, step = stop, step * 2
        elif stop - start == 1:
            break
        else:
            step = (stop - start) // 2
            end = stop
    return start


class Node:
    """An edge of the tree with what lies below it; the root has no tokens."""

    __slots__ = ("children", "holder", "parent", "pins", "saved", "thread", "tokens", "used")

    def __init__(self, parent: Node | None, tokens: list[int]) -> None:
        self.parent = parent
        self.tokens = tokens
        self.children: dict[int, Node] = {}
        self.pins = 0
        """Running requests that need this node's cells, or those of a node below it."""
        self.holder: int | None = None
        """A leaf's sequence in llama.cpp, which keeps the cells of its whole path alive."""
        self.thread: str | None = None
        """The conversation that ended here."""
        self.saved = False
        """Whether that is on disk as it is, or has been cut since it was."""
        self.used = 0
        """The tree's clock at the last use; what was used longest ago goes first."""

    def path(self) -> list[int]:
        """The tokens from the root to the end of this node."""
        parts = []
        node: Node | None = self
        while node is not None:
            parts.append(node.tokens)
            node = node.parent
        return [token for part in reversed(parts) for token in part]

    def depth(self) -> int:
        """The number of tokens from the root to the end of this node."""
        count = 0
        node: Node | None = self
        while node is not None:
            count += len(node.tokens)
            node = node.parent
        return count

    def leaf(self) -> Node:
        """The most recently used leaf at or below this node."""
        node = self
        while node.children:
            node = max(node.children.values(), key=lambda child: child.used)
        return node


class PrefixTree:
    """Token sequences that share their beginnings; each token in it stands for one cell of the cache.

    Source: the radix tree of Zheng et al., "SGLang: Efficient Execution of Structured Language Model Programs",
    arXiv 2312.07104, section 3.
    """

    def __init__(self) -> None:
        self.root = Node(None, [])
        self.size = 0
        """Tokens in the tree."""
        self._clock = 0

    def match(self, tokens: Sequence[int]) -> tuple[Node, int, int]:
        """Find the longest known beginning of `tokens`.

        Returns:
            The node where it ends, how many of that node's tokens belong to it, and its length.
        """
        tokens = tokens if isinstance(tokens, list) else list(tokens)
        node, length = self.root, 0
        while length < len(tokens):
            child = node.children.get(tokens[length])
            if child is None:
                break
            common = common_prefix(child.tokens, tokens[length : length + len(child.tokens)], 1)
            node, length = child, length + common
            if common < len(child.tokens):
                return node, common, length
        return node, len(node.tokens), length

    def cut(self, node: Node, at: int) -> Node:
        """The node that ends behind the first `at` tokens of `node`, which is split where that is in the middle."""
        if at == len(node.tokens):
            return node
        assert node.parent is not None  # noqa: S101 - the root has no tokens to cut
        upper = Node(node.parent, node.tokens[:at])
        node.parent.children[upper.tokens[0]] = upper
        node.tokens = node.tokens[at:]
        node.parent = upper
        upper.children[node.tokens[0]] = node
        upper.pins, upper.used = node.pins, node.used
        return upper

    def add(self, parent: Node, tokens: list[int]) -> Node:
        """A new leaf below `parent`, none of whose children begins with the same token."""
        node = Node(parent, tokens)
        parent.children[tokens[0]] = node
        self.size += len(tokens)
        return node

    def remove(self, leaf: Node) -> None:
        """Take a leaf out."""
        assert leaf.parent is not None  # noqa: S101 - the root is no leaf
        del leaf.parent.children[leaf.tokens[0]]
        self.size -= len(leaf.tokens)

    def shorten(self, leaf: Node, keep: int) -> None:
        """Keep only the first `keep` tokens of a leaf, at least one."""
        self.size -= len(leaf.tokens) - keep
        del leaf.tokens[keep:]
        leaf.saved = True

    def touch(self, node: Node) -> None:
        """This path has just been used."""
        self._clock += 1
        above: Node | None = node
        while above is not None:
            above.used = self._clock
            above = above.parent

    def pin(self, node: Node, count: int = 1) -> None:
        """A running request needs this path; -1 takes that back."""
        above: Node | None = node
        while above is not None:
            above.pins += count
            above = above.parent

    def leaves(self) -> Iterator[Node]:
        """Every leaf."""
        stack = list(self.root.children.values())
        while stack:
            node = stack.pop()
            if node.children:
                stack.extend(node.children.values())
            else:
                yield node

    def pinned(self) -> int:
        """Tokens that running requests need."""
        count, stack = 0, list(self.root.children.values())
        while stack:
            node = stack.pop()
            if node.pins:
                count += len(node.tokens)
                stack.extend(node.children.values())
        return count

    def oldest(self) -> Node | None:
        """The leaf that was used longest ago and that nobody needs; None where there is none."""
        free = [leaf for leaf in self.leaves() if not leaf.pins]
        return min(free, key=lambda leaf: leaf.used) if free else None

    def continuation(self, tokens: Sequence[int], limit: int) -> list[int]:
        """What followed the last time that something began with these tokens; [] where nothing did."""
        node, at, length = self.match(tokens)
        if length < len(tokens):
            return []
        found = node.tokens[at:]
        while len(found) < limit and node.children:
            node = max(node.children.values(), key=lambda child: child.used)
            found = found + node.tokens
        return found[:limit]
