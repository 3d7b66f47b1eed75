"""Instants that rows share are read as one object, and are those that the driver reads."""

from datetime import UTC, datetime, timedelta

import asyncpg

from worker.proof.instants import Instants, share_instants

_ASKED = "SELECT unnest($1::timestamptz[]) UNION ALL SELECT 'infinity' UNION ALL SELECT '-infinity'"


async def test_they_are_those_that_the_driver_reads(database_url: str) -> None:
    instants = [
        datetime(2026, 1, 5, 12, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime.min.replace(tzinfo=UTC),
        datetime.min.replace(tzinfo=UTC) + timedelta(microseconds=1),
        datetime.max.replace(tzinfo=UTC),
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


def test_those_that_were_read_lately_are_kept() -> None:
    instants = Instants()
    made = [instants[(microseconds,)] for microseconds in range(50_000)]
    assert made[49_999] is instants[(49_999,)]
    assert made[0] == instants[(0,)] == datetime(2000, 1, 1, tzinfo=UTC)
    assert len(instants) <= 20_000
