"""A process of its own that asks, leads and follows; the tests of several processes run and kill it.

    python asker.py BOARD ASKERS ROLE LEASE_SECONDS

BOARD is the URL of a Redis or the path of a file. Every line that it prints begins with seconds on a clock that all
processes of the machine share, and a word: `led`, `boarded` (as a follower), `emit`, `piece` (an asker's first),
`answer` and `done`.
"""

from __future__ import annotations

import asyncio
import sys
import time

from freehold.coordination import (
    Flights,
    RedisBoard,
    RedisConnection,
    RedisStore,
    SQLiteBoard,
    SQLiteFile,
    SQLiteStore,
)
from freehold.coordination.flights import Landed, Leading, Piece
from freehold.coordination.store import AnswerStore

KEY = "What is 6 times 7?"


def say(word: str, text: str = "") -> None:
    """One line."""
    sys.stdout.write(f"{time.monotonic():.4f} {word} {text}\n")
    sys.stdout.flush()


async def answer(seat: Leading, role: str, store: AnswerStore) -> bytes:
    """The answer, in twenty pieces; whoever is to be killed stops in the middle, and whoever is patient begins late."""
    say("led", seat.token)
    with seat.hold():
        found = await store.get(KEY)
        if found is not None:
            seat.decline("kept")
            return found.value
        if role == "patient":
            await asyncio.to_thread(sys.stdin.readline)
        for number in range(20):
            say("emit", str(number))
            seat.emit(f"{number} ")
            await asyncio.sleep(0.02)
            if role == "victim" and number == 10:
                await asyncio.sleep(3600)
    result = f"{''.join(f'{number} ' for number in range(20))}by {seat.token}".encode()
    await store.set(KEY, result, 60)
    await seat.land(result)
    return result


async def ask(flights: Flights, role: str, store: AnswerStore) -> None:
    """Board until there is an answer."""
    while True:
        seat = await flights.board(KEY)
        if isinstance(seat, Leading):
            if await seat.lead():
                say("answer", (await answer(seat, role, store)).decode())
                return
            seat = seat.following()
        say("boarded")
        text = ""
        async for event in seat:
            if isinstance(event, Piece):
                if not text:
                    say("piece", event.text)
                text += event.text
            elif isinstance(event, Landed):
                assert event.result.decode().startswith(text)
                assert text.count(" ") == 20
                say("answer", event.result.decode())
                return
        found = await store.get(KEY)
        if found is not None:
            say("answer", found.value.decode())
            return


async def main(address: str, askers: int, role: str, lease_seconds: float) -> None:
    """Ask so many times at once."""
    if "://" in address:
        connection = RedisConnection(address, timeout_seconds=60.0)
        flights, store = Flights(RedisBoard(connection), lease_seconds=lease_seconds), RedisStore(connection)
    else:
        file = SQLiteFile(address)
        flights, store = Flights(SQLiteBoard(file), lease_seconds=lease_seconds), SQLiteStore(file)
    await asyncio.gather(*(ask(flights, role, store) for _ in range(askers)))
    say("done")
    await flights.close()
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3], float(sys.argv[4])))
