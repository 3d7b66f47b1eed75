"""A leading writer as a process of its own: goes to a point of its transaction, says so, waits for a line, goes on.

Arguments: database URL, holder, point (between, guarded, copying, before-commit, forever), and the seconds that its
lease lasts if not as long as in production.
"""

import asyncio
import sys
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import asyncpg

from worker.errors import LeadershipLost
from worker.ledger.connections import connect, store_session
from worker.ledger.leadership import LEASE_SECONDS, Leadership, guard


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


Row = tuple[int, uuid.UUID, datetime, bytes]


def a_row(seq: int, epoch: int) -> Row:
    return seq, uuid.uuid4(), datetime.now(UTC), str(epoch).encode()


async def at(point: str) -> None:
    say(f"at {point}")
    await asyncio.to_thread(sys.stdin.readline)


async def rows(point: str, row: Row) -> AsyncIterator[Row]:
    yield row
    if point == "copying":
        # More than the buffers of the client and the server: the COPY is really under way there.
        for n in range(200):
            yield row[0] + 1 + n, uuid.uuid4(), row[2], bytes(20_000)
        await at(point)


async def write(connection: asyncpg.Connection, epoch: int, point: str, seq: int) -> None:
    if point == "between":
        await at(point)
    async with connection.transaction():
        await guard(connection, epoch)
        if point == "guarded":
            await at(point)
        await connection.copy_records_to_table("outbox", records=rows(point, a_row(seq, epoch)))
        if point == "before-commit":
            await at(point)


async def write_forever(connection: asyncpg.Connection, epoch: int) -> None:
    while True:
        async with connection.transaction():
            await guard(connection, epoch)
            last = await connection.fetchval("SELECT coalesce(max(outbox_seq), 0) FROM outbox")
            await connection.copy_records_to_table("outbox", records=[a_row(last + 1, epoch)])


async def main(url: str, holder: str, point: str, lease_seconds: str = str(LEASE_SECONDS)) -> None:
    leadership = Leadership(url, holder, float(lease_seconds))
    epoch = await leadership.acquire()
    connection = await connect(url, store_session(holder))
    say(f"leads {epoch}")
    try:
        if point == "forever":
            await write_forever(connection, epoch)
        await write(connection, epoch, point, seq=1)
    except (
        LeadershipLost,
        asyncpg.PostgresError,
        asyncpg.InterfaceError,
        asyncpg.InternalClientError,  # asyncpg's error for a connection that ended unnoticed
        OSError,
    ) as error:
        say(f"refused {type(error).__name__}")
    else:
        say("committed")
    await asyncio.wait_for(leadership.lost.wait(), 10)
    say("lost")


asyncio.run(main(*sys.argv[1:]))
