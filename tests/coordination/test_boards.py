"""The suite that every board passes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from freehold.coordination import RedisBoard, RedisConnection, SQLiteBoard
from freehold.coordination.board import Board, Entry, Finished, Pieces, Vacant
from freehold.coordination.encrypted_board import EncryptedBoard
from freehold.errors import StorageError

OpenBoard = Callable[[], Board]


@pytest.fixture(params=["sqlite", "redis", "encrypted"])
def open_board(request: pytest.FixtureRequest, tmp_path: Path) -> OpenBoard:
    """Opens the same board anew, as another process would."""
    if request.param == "sqlite":
        return lambda: SQLiteBoard(tmp_path / "board.sqlite3")
    if request.param == "encrypted":
        return lambda: EncryptedBoard(SQLiteBoard(tmp_path / "board.sqlite3"), bytes(32))
    connection: RedisConnection = request.getfixturevalue("connection")
    return lambda: RedisBoard(connection)


@pytest.fixture
async def board(open_board: OpenBoard) -> AsyncIterator[Board]:
    """One board, closed after the test."""
    opened = open_board()
    yield opened
    await opened.close()


async def read(board: Board, key: str, token: str) -> list[Entry]:
    """Everything so far."""
    return (await board.follow(key, token, "", 0.01))[0]


async def test_is_a_board(board: Board) -> None:
    """Protects the contract's names."""
    assert isinstance(board, Board)


async def test_one_of_many_holds_the_lease(open_board: OpenBoard) -> None:
    """Protects from two leaders: of a crowd from two sides one gets the lease, and all others learn its token."""
    boards = [open_board(), open_board()]
    tokens = [f"t{number}" for number in range(40)]
    holders = await asyncio.gather(*(boards[number % 2].lead("k", token, 60) for number, token in enumerate(tokens)))
    assert len(set(holders)) == 1
    assert holders[0] in tokens
    assert await boards[0].lead("other", "t0", 60) == "t0"
    for board in boards:
        await board.close()


async def test_only_the_holder_renews(board: Board) -> None:
    """Protects a lease from whoever had it before, or never had it."""
    assert not await board.renew("k", "mine", 60)
    assert await board.lead("k", "mine", 1) == "mine"
    assert not await board.renew("k", "other", 60)
    assert await board.renew("k", "mine", 60)
    await asyncio.sleep(1.05)
    assert await board.lead("k", "other", 60) == "mine"


async def test_a_lease_ends_with_its_time(board: Board) -> None:
    """Protects everyone from a leader that died, and the next leader from one that comes back."""
    await board.lead("k", "dead", 0.05)
    await asyncio.sleep(0.1)
    assert await read(board, "k", "dead") == [Vacant()]
    assert await board.lead("k", "next", 60) == "next"
    assert not await board.renew("k", "dead", 60)
    await board.append("k", "dead", 0, ["late"])
    await board.finish("k", "dead", b"late", 60)
    assert await board.lead("k", "third", 60) == "next"
    assert await read(board, "k", "next") == []


async def test_followers_get_everything_in_order(board: Board) -> None:
    """Protects the stream: from the beginning for who comes late, from a position for who comes again."""
    await board.lead("k", "t", 60)
    await board.append("k", "t", 0, ["a", "", "\ud800 b\n"])
    entries, position = await board.follow("k", "t", "", 5)
    assert entries == [Pieces(0, ("a", "", "\ud800 b\n"))]
    assert await board.follow("k", "t", position, 0.01) == ([], position)
    await board.append("k", "t", 3, ["c"])
    await board.append("k", "t", 4, ["d"])
    await board.finish("k", "t", bytes(range(256)), 60)
    rest = [Pieces(3, ("c",)), Pieces(4, ("d",)), Finished(bytes(range(256)))]
    assert (await board.follow("k", "t", position, 5))[0] == rest
    assert await read(board, "k", "t") == [*entries, *rest]


async def test_finishing_frees_the_lease_and_stays_readable(board: Board) -> None:
    """Protects late followers, who read the end, and newcomers, who need not wait for a lease to end."""
    await board.lead("k", "t", 60)
    await board.finish("k", "t", b"end", 60)
    assert await board.lead("k", "next", 60) == "next"
    assert await read(board, "k", "t") == [Finished(b"end")]
    await board.finish("k", "t", b"again", 60)
    assert await board.lead("k", "third", 60) == "next"


async def test_waiting_ends_with_the_first_word(open_board: OpenBoard) -> None:
    """Protects followers from waiting longer than for what they wait for, also when it comes from elsewhere."""
    here, there = open_board(), open_board()
    await there.lead("k", "t", 60)
    waiting = asyncio.ensure_future(here.follow("k", "t", "", 60))
    await asyncio.sleep(0.05)
    await there.append("k", "t", 0, ["a"])
    assert (await waiting)[0] == [Pieces(0, ("a",))]
    await here.close()
    await there.close()


async def test_waiting_ends_with_its_time(board: Board) -> None:
    """Protects followers from a leader that says nothing: they can look at other things in between."""
    await board.lead("k", "t", 60)
    begun = time.monotonic()
    assert await board.follow("k", "t", "", 0.1) == ([], "")
    assert time.monotonic() - begun >= 0.09


async def test_many_wait_and_nobody_is_in_their_way(board: Board) -> None:
    """Protects all other calls: followers that wait take no connection and no thread from them."""

    async def first_entries(token: str) -> list[Entry]:
        while True:
            entries, _ = await board.follow(token, token, "", 0.2)
            if entries:
                return entries

    tokens = [f"t{number}" for number in range(100)]
    await asyncio.gather(*(board.lead(token, token, 60) for token in tokens))
    waiting = asyncio.gather(*map(first_entries, tokens))
    await asyncio.sleep(0.1)
    assert await asyncio.wait_for(board.lead("k", "t", 60), 10) == "t"
    await asyncio.gather(*(board.append(token, token, 0, [token]) for token in tokens))
    assert await waiting == [[Pieces(0, (token,))] for token in tokens]


async def test_any_text_is_a_key(board: Board) -> None:
    """Protects keys that a pattern or a text encoding could choke on; similar keys are others."""
    keys = ["", "*", "\ud800", "a\0b", "K", "k"]
    for key in keys:
        assert await board.lead(key, f"token of {key!r}", 60) == f"token of {key!r}"
    assert await board.lead("*", "other", 60) == "token of '*'"


async def test_a_closed_board_says_so(open_board: OpenBoard) -> None:
    """Protects from use after close; closing twice is closing once."""
    board = open_board()
    await board.close()
    await board.close()
    calls = (
        board.lead("k", "t", 1),
        board.renew("k", "t", 1),
        board.append("k", "t", 0, ["a"]),
        board.finish("k", "t", b"", 1),
        board.follow("k", "t", "", 1),
    )
    for call in calls:
        with pytest.raises(StorageError, match="closed"):
            await call
