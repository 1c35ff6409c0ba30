"""The radix tree: it finds the longest known beginning, and its counts add up."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from freehold.inference.prefix_tree import Node, PrefixTree, common_prefix

tokens = st.lists(st.integers(0, 2), max_size=12)


def insert(tree: PrefixTree, sequence: list[int]) -> Node:
    """Put a sequence in, as the cache does."""
    node, at, length = tree.match(sequence)
    node = tree.cut(node, at)
    if length < len(sequence):
        node = tree.add(node, sequence[length:])
    tree.touch(node)
    return node


def shared(left: list[int], right: list[int]) -> int:
    """The length of the common beginning, counted plainly."""
    count = 0
    for one, other in zip(left, right, strict=False):
        if one != other:
            break
        count += 1
    return count


@given(st.lists(st.integers(0, 1), max_size=300), st.integers(0, 300), st.lists(st.integers(0, 1), max_size=300))
def test_common_prefix(left: list[int], at: int, rest: list[int]) -> None:
    """Galloping finds the same length as counting."""
    right = left[:at] + rest
    assert common_prefix(left, right) == shared(left, right)
    assert common_prefix(left, right, min(at, len(left))) == shared(left, right)


@given(st.lists(tokens, max_size=12), tokens)
def test_match_and_size(sequences: list[list[int]], wanted: list[int]) -> None:
    """A match is the longest common beginning with anything that was put in, and each beginning counts once."""
    tree = PrefixTree()
    for sequence in sequences:
        node = insert(tree, sequence)
        assert node.path() == sequence
        assert node.depth() == len(sequence)
    node, at, length = tree.match(wanted)
    assert length == max((shared(sequence, wanted) for sequence in sequences), default=0)
    assert (node.path()[: node.depth() - len(node.tokens) + at]) == wanted[:length]
    assert tree.size == len({tuple(sequence[:end]) for sequence in sequences for end in range(1, len(sequence) + 1)})


@given(st.lists(tokens, min_size=1, max_size=12), st.data())
def test_removing_leaves_in_order_of_use(sequences: list[list[int]], data: st.DataObject) -> None:
    """The leaf that was used longest ago goes first, a pinned path never, and nothing is left over at the end."""
    tree = PrefixTree()
    for sequence in sequences:
        insert(tree, sequence)
    pinned = insert(tree, data.draw(st.sampled_from(sequences)))
    tree.pin(pinned)
    assert tree.pinned() == pinned.depth()
    while (leaf := tree.oldest()) is not None:
        assert leaf.used == min(other.used for other in tree.leaves() if not other.pins)
        tree.remove(leaf)
    assert tree.size == pinned.depth()
    tree.pin(pinned, -1)
    while (leaf := tree.oldest()) is not None:
        tree.remove(leaf)
    assert (tree.size, tree.root.children, tree.root.pins) == (0, {}, 0)


@given(st.lists(tokens, max_size=12), tokens, st.integers(0, 12))
def test_continuation(sequences: list[list[int]], beginning: list[int], limit: int) -> None:
    """What is remembered to follow a beginning did follow it, and it is found where there is something."""
    tree = PrefixTree()
    for sequence in sequences:
        insert(tree, sequence)
    found = tree.continuation(beginning, limit)
    assert len(found) <= limit
    follow = [sequence for sequence in sequences if sequence[: len(beginning)] == beginning]
    if found:
        assert any(sequence[len(beginning) :][: len(found)] == found for sequence in follow)
    elif limit:
        assert all(len(sequence) == len(beginning) for sequence in follow)


def test_cut_keeps_pins() -> None:
    """Splitting a path that a request needs leaves both halves needed, and letting go frees both."""
    tree = PrefixTree()
    node = insert(tree, [1, 2, 3, 4])
    tree.pin(node)
    upper = tree.cut(node, 2)
    assert (upper.pins, node.pins, tree.pinned()) == (1, 1, 4)
    tree.pin(node, -1)
    assert (upper.pins, node.pins, tree.pinned()) == (0, 0, 0)
    tree.shorten(node, 1)
    assert (tree.size, node.path()) == (3, [1, 2, 3])
