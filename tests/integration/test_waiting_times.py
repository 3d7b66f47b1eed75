"""How long something has waited, where the worker's clock is ahead of PostgreSQL's."""

from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from worker.ledger.sql import load

SQL = load("asking.sql")


@pytest.mark.parametrize(("ahead", "least", "most"), [(3600, 0, 0), (-3600, 3600, 3700)])
async def test_nothing_has_waited_for_less_than_no_time(database_url: str, ahead: int, least: int, most: int) -> None:
    at = datetime.now(UTC) + timedelta(seconds=ahead)
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute("INSERT INTO outbox VALUES (1, gen_random_uuid(), $1, '')", at)
        await connection.execute(
            "INSERT INTO charges (freelancer_id, charge_id, kind, cycle_start, attempt, amount_cents, currency, "
            "source, choice_promo, requested_at, decision_seq, status) "
            "VALUES ('f-1', 'c-1', 'renewal', '2026-01-01', 1, 0, 'USD', 'payment-method', false, $1, 1, 'asked')",
            at,
        )
        unpublished = await connection.fetchrow(SQL["unpublished"], None)
        sampled = await connection.fetchrow(SQL["sampled"])
    finally:
        await connection.close()
    assert unpublished is not None
    assert sampled is not None
    assert unpublished["batches"] == sampled["charges_unanswered"] == 1
    assert least <= unpublished["seconds"] <= most
    assert least <= sampled["oldest_charge_seconds"] <= most
