"""Every wait for PostgreSQL ends on this side, whatever was waited for when the connection fell silent."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

import asyncpg
import pytest

from tests.kit.silence import Link, falling_silent
from tests.kit.waiting import until
from worker.errors import Transient
from worker.ledger.connections import Connection, connect, store_session
from worker.ledger.deadlines import NoAnswer, answered_within
from worker.ledger.leadership import Leadership
from worker.ledger.pool import Pool, Purpose
from worker.queries import asking

SECONDS: Final = 1.0
LONGEST: Final = 2.5
"""On a machine that is busy with other things."""
MANY: Final = 200_000


async def a_statement(connection: Connection) -> None:
    await connection.fetchval("SELECT 1")


async def in_the_drivers_transaction(connection: Connection) -> None:
    """Which the driver then tries to roll back."""
    async with connection.transaction():
        await connection.fetchval("SELECT 1")


async def a_copy(connection: Connection) -> None:
    await connection.copy_records_to_table("somewhere", records=[(number,) for number in range(MANY)])


async def a_commit(connection: Connection) -> None:
    await connection.execute("COMMIT")


WAITS: Final[dict[str, tuple[Callable[[Connection], Awaitable[None]], bytes, bool]]] = {
    "an answer to a statement": (a_statement, b"SELECT 1", False),
    "BEGIN of the driver": (in_the_drivers_transaction, b"BEGIN", False),
    "an answer within its transaction": (in_the_drivers_transaction, b"SELECT 1", False),
    "the end of a COPY that was swallowed": (a_copy, b"COPY", False),
    "room for more of a COPY": (a_copy, b"PGCOPY", True),
    "an answer to COMMIT": (a_commit, b"COMMIT", False),
}
"""A wait: what the client does, what it sent when its link fell silent, and whether reading stopped."""


def once_sent(words: bytes) -> Callable[[Link, bytes, bool], bool]:
    return lambda _link, data, to_server: to_server and words in data


@pytest.mark.parametrize("what", WAITS)
async def test_what_is_waited_for_ends(database_url: str, what: str) -> None:
    work, sent, stop_reading = WAITS[what]
    async with falling_silent(database_url) as (proxy, url):
        connection = await connect(url, store_session("a test"))
        await connection.execute("CREATE TEMP TABLE somewhere (a int)")
        proxy.silence_when, proxy.stop_reading = once_sent(sent), stop_reading
        begun = time.monotonic()
        with (
            pytest.raises(NoAnswer, match="PostgreSQL did not answer within 1 s"),
            answered_within(connection, SECONDS),
        ):
            await work(connection)
        assert SECONDS <= time.monotonic() - begun < LONGEST
        assert connection.is_closed()
        assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]


@pytest.mark.parametrize("what", WAITS)
async def test_who_is_cancelled_meanwhile_does_not_wait(database_url: str, what: str) -> None:
    """As all that a leader does when it has lost the ledger: what is under way is closed and left."""
    work, sent, stop_reading = WAITS[what]
    async with falling_silent(database_url) as (proxy, url):
        pool = Pool(url, "a test", 10, nothing)

        async def use() -> None:
            async with pool.use("writer", 30) as connection:
                await connection.execute("CREATE TEMP TABLE somewhere (a int)")
                proxy.silence_when, proxy.stop_reading = once_sent(sent), stop_reading
                await work(connection)

        using = asyncio.create_task(use())
        await until(lambda: any(link.silent for link in proxy.links))
        begun = time.monotonic()
        pool.close()
        using.cancel()
        with pytest.raises((asyncio.CancelledError, Transient, asyncpg.PostgresError, AttributeError)):
            await asyncio.wait_for(using, 5)
        assert time.monotonic() - begun < 1


async def test_an_answer_that_takes_long_is_waited_for(database_url: str) -> None:
    connection = await connect(database_url, store_session("a test"))
    with answered_within(connection, 10):
        assert await connection.fetchval("SELECT pg_sleep(1.5) IS NULL") is False
    with pytest.raises(asyncpg.QueryCanceledError), answered_within(connection, 10):
        await connection.execute("SET statement_timeout = 500; SELECT pg_sleep(9)")
    connection.terminate()


async def nothing(_purpose: Purpose, _connection: Connection) -> None:
    """Prepare nothing."""


async def test_after_one_timeout_no_other_old_connection_is_waited_for(database_url: str) -> None:
    async with falling_silent(database_url) as (proxy, url):
        pool = Pool(url, "a test", 10, nothing)

        async def ask(purpose: Purpose, seconds: float = 0) -> None:
            async with pool.use(purpose, SECONDS) as connection:
                await connection.fetchval("SELECT pg_sleep($1)", seconds)

        await pool.open()
        await asyncio.gather(*(ask("reader", 0.5) for _ in range(5)))
        assert proxy.fall_silent() == 8
        begun = time.monotonic()
        with pytest.raises(NoAnswer):
            await ask("letters")
        for purpose in ("reader", "writer", "relay", "letters"):
            await ask(purpose)
        assert time.monotonic() - begun < LONGEST
        pool.close()


async def test_a_standby_that_waits_on_a_silent_connection_takes_over_on_a_new_one(database_url: str) -> None:
    async with falling_silent(database_url) as (proxy, url):
        leading, standing_by = Leadership(database_url, "a"), Leadership(url, "b")
        await leading.acquire()
        taking = asyncio.create_task(standing_by.acquire())
        await until(lambda: len(proxy.links) == 1 and proxy.links[0].says(b"expired"))
        proxy.fall_silent()
        await leading.release()
        assert await asyncio.wait_for(taking, 5) == 2
        await standing_by.release()


async def test_a_lease_is_renewed_on_a_new_connection(database_url: str) -> None:
    async with falling_silent(database_url) as (proxy, url):
        leading = Leadership(url, "a")
        await leading.acquire()
        assert proxy.fall_silent() == 1
        await until(lambda: any(link.says(b"lease_until") for link in proxy.links if not link.silent), 10)
        assert not leading.lost.is_set()
        await leading.release()


async def test_handing_back_a_lease_on_a_silent_connection_ends(database_url: str) -> None:
    async with falling_silent(database_url) as (proxy, url):
        leading = Leadership(url, "a")
        await leading.acquire()
        proxy.silence_when = lambda _link, _data, _to_server: True  # new ones too
        proxy.fall_silent()
        await asyncio.wait_for(leading.release(), 6)


@pytest.mark.parametrize("sent", [b"", b"SELECT 1"], ids=["while it connects", "while it waits for an answer"])
async def test_a_commands_question_ends(database_url: str, monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    session = asking.COMMAND_SESSION
    monkeypatch.setattr(asking, "COMMAND_SESSION", type(session)(session.name, {}, SECONDS, SECONDS))

    async def ask(url: str) -> None:
        async with asking.snapshot(url) as connection:
            await connection.fetchval("SELECT 1")

    async with falling_silent(database_url) as (proxy, url):
        proxy.silence_when = once_sent(sent)
        begun = time.monotonic()
        with pytest.raises(Transient, match=r"PostgreSQL at postgresql://.* cannot be reached"):
            await ask(url)
        assert time.monotonic() - begun < 2 * LONGEST


async def test_a_command_that_has_its_answer_does_not_wait_for_a_goodbye(database_url: str) -> None:
    async with falling_silent(database_url) as (proxy, url):
        begun = time.monotonic()
        async with asking.connected(url) as connection:
            assert await connection.fetchval("SELECT 1") == 1
            proxy.fall_silent()
        assert time.monotonic() - begun < 2 + LONGEST
