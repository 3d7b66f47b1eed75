"""Instants that rows share are read as one object, and are those that the driver reads; days are too."""

from datetime import UTC, date, datetime, timedelta

import asyncpg

from worker.proof.instants import Instants, share_instants

_ASKED = "SELECT unnest($1::timestamptz[])"
_DAYS = "SELECT unnest($1::date[])"
_BEYOND = """SELECT 'infinity'::timestamptz, '294276-01-01'::timestamptz, '-infinity'::timestamptz,
                    '0044-03-15 BC'::timestamptz, '10000-01-01'::date, '0044-03-15 BC'::date"""


async def test_they_are_those_that_the_driver_reads(database_url: str) -> None:
    instants = [
        datetime(2026, 1, 5, 12, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime.min.replace(tzinfo=UTC) + timedelta(microseconds=1),
        datetime.max.replace(tzinfo=UTC) - timedelta(microseconds=1),
    ]
    connection = await asyncpg.connect(database_url)
    try:
        before = [row[0] for row in await connection.fetch(_ASKED, instants)]
        await share_instants(connection)
        assert [row[0] for row in await connection.fetch(_ASKED, instants)] == before
        assert before[:2] == instants[:2]
        one, other = await connection.fetchrow("SELECT $1::timestamptz, $1::timestamptz", instants[0])
        assert one is other
    finally:
        await connection.close()


async def test_what_is_no_instant_of_pythons_is_the_first_or_the_last_one(database_url: str) -> None:
    first, last = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
    days = [date.min, date(1999, 12, 31), date(2026, 2, 28), date.max]
    connection = await asyncpg.connect(database_url)
    try:
        await share_instants(connection)
        assert tuple(await connection.fetchrow(_BEYOND)) == (last, last, first, first, date.max, date.min)
        assert [row[0] for row in await connection.fetch(_DAYS, days)] == days
    finally:
        await connection.close()


def test_those_that_were_read_lately_are_kept() -> None:
    instants = Instants()
    made = [instants[(microseconds,)] for microseconds in range(50_000)]
    assert made[49_999] is instants[(49_999,)]
    assert made[0] == instants[(0,)] == datetime(2000, 1, 1, tzinfo=UTC)
    assert len(instants) <= 20_000
