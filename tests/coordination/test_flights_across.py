"""Flights that two processes share over a board: here two objects, each with a board of its own."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import redis

from freehold.coordination import Flights, RedisBoard, RedisConnection, SQLiteBoard, SQLiteFile
from freehold.coordination.board import Board
from freehold.coordination.encrypted_board import EncryptedBoard
from freehold.coordination.flights import Abandoned, Declined, Following, Landed, Leading, Piece, leading
from freehold.coordination.sealing import Seal
from tests.coordination.conftest import PATIENT, RedisServer, files_with
from tests.coordination.test_flights import ask, events, follow, lead

KEY = bytes(range(32))


@pytest.fixture(params=["sqlite", "redis"])
def open_board(request: pytest.FixtureRequest, tmp_path: Path, redis_url: str) -> Callable[[], Board]:
    """Opens the same board anew, as another process would."""
    if request.param == "sqlite":
        return lambda: SQLiteBoard(tmp_path / "board.sqlite3")
    return lambda: RedisBoard(RedisConnection(redis_url, f"{tmp_path.name}:", timeout_seconds=PATIENT))


@pytest.fixture
async def both(open_board: Callable[[], Board]) -> AsyncIterator[tuple[Flights, Flights]]:
    """Two processes, with a lease that no test waits for."""
    here, there = Flights(open_board(), lease_seconds=60), Flights(open_board(), lease_seconds=60)
    yield here, there
    await here.close()
    await there.close()


async def other_leads(flights: Flights, key: str = "k") -> Following:
    """The first seat of a process in which nobody asks yet, where another process leads."""
    seat = await flights.board(key)
    assert isinstance(seat, Leading)
    assert not await seat.lead()
    assert leading(seat.token) is None
    return seat.following()


async def test_one_process_answers_for_both(both: tuple[Flights, Flights]) -> None:
    """Protects from answering twice: the other process follows from the beginning, through one reader for all."""
    here, there = both
    seat = await lead(here)
    pieces = [f"{number} \ud800\n" for number in range(300)]
    for piece in pieces[:100]:
        seat.emit(piece)
    following = [await other_leads(there), *[await follow(there) for _ in range(20)], await follow(here)]
    reading = [asyncio.ensure_future(events(one)) for one in following]
    for piece in pieces[100:]:
        seat.emit(piece)
        await asyncio.sleep(0)
    await seat.land(bytes(range(256)))
    assert await asyncio.gather(*reading) == [[*map(Piece, pieces), Landed(bytes(range(256)))]] * 22
    assert isinstance(await there.board("k"), Leading)


async def test_the_first_piece_goes_at_once(both: tuple[Flights, Flights]) -> None:
    """Protects followers elsewhere from waiting for a batch, or for the end."""
    here, there = both
    seat = await lead(here)
    following = await other_leads(there)
    for number in range(3):
        seat.emit(str(number))
        assert await anext(following) == Piece(str(number))
    seat.decline("over")


async def test_a_landed_flight_frees_the_key_everywhere(both: tuple[Flights, Flights]) -> None:
    """Protects newcomers from waiting for a lease that nobody needs any more, in either process."""
    for flights in (*both, *both):
        (await lead(flights)).decline("over")
        (await lead(flights)).abandon()
        seat = await lead(flights)
        other = both[1] if flights is both[0] else both[0]
        following = await other_leads(other)
        await seat.land(b"42")
        assert await events(following) == [Landed(b"42")]


async def test_a_declined_flight_lets_the_others_go(both: tuple[Flights, Flights]) -> None:
    """Protects followers in another process from waiting for an answer that will not come."""
    here, there = both
    seat = await lead(here)
    following = await other_leads(there)
    seat.decline("refused \udcff")
    assert await events(following) == [Declined("refused \udcff")]


async def test_exactly_one_takes_over_in_all_processes(both: tuple[Flights, Flights]) -> None:
    """Protects from a leader in each process behind one that failed."""
    here, there = both
    seat = await lead(here)
    seat.emit("not to be seen behind the next leader's pieces")
    seen: Counter[str] = Counter()
    first = await other_leads(there)
    asking = [asyncio.ensure_future(ask(flights, seen)) for flights in both for _ in range(20)]
    await asyncio.sleep(0.01)
    seat.abandon()
    assert (await events(first))[-1] == Abandoned()
    assert await asyncio.gather(*asking) == [b"answer"] * 40
    assert seen["led"] == 1


async def test_a_leader_that_is_cancelled_while_it_takes_the_lease(both: tuple[Flights, Flights]) -> None:
    """Protects everybody from a lease that a run took while it went away."""
    here, there = both
    seat = await here.board("k")
    assert isinstance(seat, Leading)
    following = await follow(here)
    taking = asyncio.ensure_future(seat.lead())
    await asyncio.sleep(0)
    taking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await taking
    assert await events(following) == [Abandoned()]
    await (await lead(here)).land(b"42")
    await lead(there)


async def test_a_lease_is_kept_as_long_as_it_is_held(open_board: Callable[[], Board]) -> None:
    """Protects a long answer from another process, and others from a leader that says nothing behind it."""
    here, there = Flights(open_board(), lease_seconds=1), Flights(open_board(), lease_seconds=1)
    seat = await lead(here)
    with seat.hold():
        await asyncio.sleep(1.5)
        following = await other_leads(there)
    assert await events(following) == [Abandoned()]
    await lead(there)
    await here.close()
    await there.close()


async def test_closing_hands_over(both: tuple[Flights, Flights]) -> None:
    """Protects the other processes when one shuts down in the middle of an answer."""
    here, there = both
    await lead(here)
    following = await other_leads(there)
    await here.close()
    assert await events(following) == [Abandoned()]
    await lead(there)


async def test_a_large_result_is_declined_elsewhere(both: tuple[Flights, Flights]) -> None:
    """Protects the board from results beyond its bound; the leader's own process has them."""
    here, there = both
    seat = await lead(here)
    near, far = await follow(here), await other_leads(there)
    await seat.land(bytes(5 * 2**20))
    assert await events(near) == [Landed(bytes(5 * 2**20))]
    assert isinstance((await events(far))[-1], Declined)


async def test_only_those_with_the_same_key_share_flights(tmp_path: Path) -> None:
    """Protects answers on a board from whoever reads it, and each process from flights that it cannot read."""
    path = tmp_path / "board.sqlite3"
    boards: list[Board] = [EncryptedBoard(SQLiteBoard(path), key) for key in (KEY, KEY, bytes(32))]
    here, same, other, plain = (Flights(board, lease_seconds=60) for board in (*boards, SQLiteBoard(path)))
    seat = await lead(here)
    seat.emit("a quokka")
    following = await other_leads(same)
    assert await anext(following) == Piece("a quokka")
    for flights in (other, plain):
        await (await lead(flights)).land(b"theirs")
    await seat.land(b"a quokka that landed")
    assert await events(following) == [Landed(b"a quokka that landed")]
    for flights in (here, same, other, plain):
        await flights.close()
    assert files_with(tmp_path, b"quokka") == []


async def test_what_is_damaged_on_the_board_is_not_waited_for(tmp_path: Path) -> None:
    """Protects followers elsewhere from a board that somebody else wrote to: they lead for themselves."""
    file = SQLiteFile(tmp_path / "board.sqlite3")
    inner = SQLiteBoard(file)
    here = Flights(EncryptedBoard(inner, KEY), lease_seconds=60)
    key = f"{Seal(KEY).name} k"
    for number, damage in enumerate((["not sealed"], ["bm90IHNlYWxlZA=="], ["two", "pieces"], b"not sealed")):
        token = f"stranger {number}"
        assert await inner.lead(key, token, 60) == token
        if isinstance(damage, bytes):
            await inner.append(key, token, 0, [])
            await inner.finish(key, token, damage, 60)
            assert await inner.lead(key, token, 60) == token
        else:
            await inner.append(key, token, 0, damage)
        assert await events(await other_leads(here)) == [Abandoned()]
        await (await lead(here)).land(b"42")
        await inner.finish(key, token, b"", 60)
    await here.close()


async def test_who_spoke_before_it_had_the_lease_is_not_mixed_up(both: tuple[Flights, Flights]) -> None:
    """Protects followers from the beginning of one answer before another."""
    here, there = both
    seat = await lead(here)
    seat.emit("4")
    hasty = await there.board("k")
    assert isinstance(hasty, Leading)
    following = await follow(there)
    hasty.emit("hasty")
    assert not await hasty.lead()
    assert await events(following) == [Piece("hasty"), Abandoned()]
    following = await other_leads(there)
    await seat.land(b"42")
    assert await events(following) == [Piece("4"), Landed(b"42")]


async def test_a_lease_that_could_not_be_let_go_is_not_waited_for(server: RedisServer, client: redis.Redis) -> None:
    """Protects the next question from a lease that its own process left behind when the board failed."""
    async with on_redis(server, timeout_seconds=0.2, retry_seconds=0.01) as flights:
        seat = await lead(flights)
        server.freeze()
        await seat.land(b"42")
        server.thaw()
        client.set("freehold:lease:k", seat.token, px=60_000)
        await asyncio.sleep(0.05)
        again = await lead(flights)  # though the lease that it left behind is still there
        assert leading(again.token) is again
        following = await follow(flights)
        await again.land(b"43")
        assert await events(following) == [Landed(b"43")]


@asynccontextmanager
async def on_redis(server: RedisServer, **options: float) -> AsyncIterator[Flights]:
    """Flights of a process of its own."""
    connection = RedisConnection(server.url, **options)
    flights = Flights(RedisBoard(connection), lease_seconds=60)
    yield flights
    await flights.close()


async def test_a_dead_board_costs_its_time_once(server: RedisServer) -> None:
    """Protects runs from a Redis that hangs: everybody leads for themselves, locally still one for all."""
    server.freeze()
    async with on_redis(server, timeout_seconds=0.2) as flights:
        begun = time.monotonic()
        seats = [await lead(flights, f"k{number}") for number in range(50)]
        assert time.monotonic() - begun < 5  # 10 where each waited
        for seat in seats:
            following = await follow(flights, seat.key)
            seat.emit("4")
            await seat.land(b"42")
            assert await events(following) == [Piece("4"), Landed(b"42")]


async def test_followers_of_a_board_that_hangs_go_ahead(server: RedisServer) -> None:
    """Protects followers elsewhere: they notice within a moment, and lead for themselves."""
    async with on_redis(server, timeout_seconds=0.3) as here, on_redis(server, timeout_seconds=0.3) as there:
        seat = await lead(here)
        seat.emit("4")
        following = await other_leads(there)
        assert await anext(following) == Piece("4")
        near = await follow(here)
        server.freeze()
        assert await anext(following) == Abandoned()
        await lead(there)
        seat.emit("2")
        await seat.land(b"42")
        assert await events(near) == [Piece("4"), Piece("2"), Landed(b"42")]
        server.thaw()


async def test_a_board_that_was_away_gets_all_pieces(server: RedisServer) -> None:
    """Protects followers elsewhere from gaps and doubles when the board comes back while the lease still runs."""
    async with on_redis(server, timeout_seconds=0.3, retry_seconds=0.01) as here:
        here_seat = await lead(here)
        here_seat.emit("0")
        await asyncio.sleep(0.1)
        server.freeze()
        for number in range(1, 5):
            here_seat.emit(str(number))
            await asyncio.sleep(0.2)
        server.thaw()
        async with on_redis(server, timeout_seconds=PATIENT) as there:
            following = await other_leads(there)
            here_seat.emit("5")
            await here_seat.land(b"42")
            assert await events(following) == [*(Piece(str(number)) for number in range(6)), Landed(b"42")]


class Refused(RedisBoard):
    """Remembers for which keys another held the lease."""

    def __init__(self, connection: RedisConnection) -> None:
        super().__init__(connection)
        self.keys: set[str] = set()

    async def lead(self, key: str, token: str, lease_seconds: float) -> str:
        """Take the lease where it is free."""
        holder = await super().lead(key, token, lease_seconds)
        if holder != token:
            self.keys.add(key)
        return holder


async def test_a_lost_lease_is_noticed_or_taken_again(server: RedisServer, client: redis.Redis) -> None:
    """Protects from two leaders: when Redis was emptied the lease is taken again, unless another was faster."""
    url, patient = server.url, {"timeout_seconds": PATIENT}
    boards = [Refused(RedisConnection(url, **patient)) for _ in range(2)]
    here, there = (Flights(board, lease_seconds=0.3) for board in boards)
    seat, slow = await lead(here, "k"), await lead(here, "slow")
    with seat.hold(), slow.hold():
        seat.emit("4")
        while not client.exists(f"freehold:flight:{seat.token}:k"):  # noqa: ASYNC110 - the background's doing
            await asyncio.sleep(0.01)
        client.flushall()
        client.set("freehold:lease:slow", "another", px=60_000)
        while not client.exists("freehold:lease:k") or "slow" not in boards[0].keys:  # noqa: ASYNC110 - the background's doing
            await asyncio.sleep(0.01)
        following = await other_leads(there)
        assert await anext(following) == Piece("4")
        near = await follow(here, "slow")
        slow.emit("2")
        await slow.land(b"2")
        assert await events(near) == [Piece("2"), Landed(b"2")]
        assert client.get("freehold:lease:slow") == b"another"
    await seat.land(b"42")
    assert await events(following) == [Landed(b"42")]
    await here.close()
    await there.close()


async def test_a_flight_without_its_beginning_is_not_waited_for(server: RedisServer, client: redis.Redis) -> None:
    """Protects followers elsewhere from half an answer, where Redis evicted what was written first."""
    async with on_redis(server, timeout_seconds=PATIENT) as here, on_redis(server, timeout_seconds=PATIENT) as there:
        seat = await lead(here)
        for piece in "42":
            seat.emit(piece)
            while not client.exists(f"freehold:flight:{seat.token}:k"):  # noqa: ASYNC110 - the background's doing
                await asyncio.sleep(0.01)
            if piece == "4":
                client.delete(f"freehold:flight:{seat.token}:k")
        assert await events(await other_leads(there)) == [Abandoned()]
        await (await lead(there)).land(b"theirs")
        await seat.land(b"42")


async def test_everything_in_redis_has_a_time(server: RedisServer, client: redis.Redis) -> None:
    """Protects the owner of the Redis: whatever becomes of a flight, nothing of it stays behind."""
    async with on_redis(server, timeout_seconds=PATIENT) as flights:
        for number, end in enumerate((Leading.abandon, lambda seat: seat.decline("no"), lambda _: None)):
            seat = await lead(flights, str(number))
            seat.emit("4")
            await asyncio.sleep(0.1)
            end(seat)
        assert len(client.keys("freehold:flight:*")) == 3
        assert len(client.keys("freehold:lease:2")) == 1
        assert all(0 < client.pttl(key) <= 300_000 for key in client.scan_iter())
    assert client.keys("freehold:lease:*") == []
