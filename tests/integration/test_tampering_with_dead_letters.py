"""Dead letters that somebody altered, removed or added: `connects verify` names each, by the decision on its record."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from tests.kit.deciding import as_read, deciding
from tests.kit.policies import policies
from tests.kit.stacks import new_ledger
from tests.kit.story import day
from tests.kit.tampering import Sealed, sealed_ledger
from worker.embedded.stack import LocalStack
from worker.proof.state_check import state_check

TABLES = ("decisions", "dead_letters")
VALUES: tuple[bytes | None, ...] = (
    b"{",
    None,
    b'{"event_id": "e-1", "occurred_at": "2026-01-05T00:00:00Z", "freelancer_id": "f-1"}',
    b'{"event_id": "e-1", "occurred_at": "2026-01-05T00:00:00Z", "freelancer_id": "f-2"}',
)
"""What is no event, a tombstone, and an event id that is sent again with other content."""
NOT_THERE = "there is no dead letter of it"
OTHERWISE = "the letter is not what that decision says of its record"


@pytest.fixture(scope="module")
def sealed_url(shared_stack: LocalStack) -> str:
    return new_ledger(shared_stack, "letters")


@pytest.fixture
async def sealed(sealed_url: str) -> AsyncIterator[Sealed]:
    async with sealed_ledger(Sealed, sealed_url, TABLES, write) as sealed:
        yield sealed


async def write(url: str, _: asyncpg.Connection) -> None:
    place = {"topic": "freelancer-registered", "partition": 0, "business_time": day(0)}
    rows = [{**place, "offset": offset, "payload": value} for offset, value in enumerate(VALUES)]
    async with deciding(url, policies()) as decides:
        decides.add_policies()
        await decides.decide(as_read(rows))
        await decides.commit()


async def found_after(sealed: Sealed, statement: str) -> list[str]:
    await sealed.connection.execute(statement)
    return [f"{one.table}: {one.detail}" for one in await sealed.found_by(state_check())]


async def test_nothing_is_found_in_a_sound_ledger(sealed: Sealed) -> None:
    assert await found_after(sealed, "SELECT 1") == []
    rows = await sealed.connection.fetch("SELECT decision_seq, error_code FROM dead_letters ORDER BY 1")
    assert [tuple(row) for row in rows] == [(1, "invalid-event"), (2, "invalid-event"), (4, "event-id-conflict")]


@pytest.mark.parametrize(
    "what",
    [
        "topic = 'badge-earned'",
        "incarnation = 1",
        "partition = 7",
        '"offset" = 99',
        "error_code = 'occurred-in-the-future'",
        "error_detail = 'other words'",
        "value = '{}'",
        "value = NULL",
    ],
)
async def test_a_letter_that_is_altered_is_named(sealed: Sealed, what: str) -> None:
    found = await found_after(sealed, f"UPDATE dead_letters SET {what} WHERE decision_seq = 1")  # noqa: S608
    assert found == [f"dead_letters: decision 1: {OTHERWISE}"]


async def test_letters_that_are_removed_added_and_moved_are_named(sealed: Sealed) -> None:
    assert await found_after(sealed, "DELETE FROM dead_letters WHERE decision_seq = 4") == [
        f"dead_letters: decision 4: it rejected a record, and {NOT_THERE}"
    ]
    moved = await found_after(sealed, "UPDATE dead_letters SET decision_seq = 3 WHERE decision_seq = 2")
    assert moved == [
        f"dead_letters: decision 3: {OTHERWISE}",
        f"dead_letters: decision 2: it rejected a record, and {NOT_THERE}",
        f"dead_letters: decision 4: it rejected a record, and {NOT_THERE}",
    ]
