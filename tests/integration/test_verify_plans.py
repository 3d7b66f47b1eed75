"""Plans, and what became of their triggers, that somebody altered: `connects verify` names each of them."""

import asyncio
import json
import uuid
from datetime import UTC, datetime

import asyncpg
import pytest

from tests.kit.deciding import as_read, deciding
from tests.kit.policies import policies
from tests.kit.replaying import PLAN, add, ask, begin
from tests.kit.stacks import new_ledger
from worker.embedded.stack import LocalStack
from worker.engine.commands import Answer
from worker.proof.checks import Ground, Progress, Range
from worker.proof.state_check import state_check
from worker.repair.plan import Added, Expected

BOOK = policies()
AT = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def url(shared_stack: LocalStack) -> str:
    """A ledger with a wallet, and a plan of which one event was booked and one was not."""
    url = new_ledger(shared_stack, "plans")
    asyncio.run(write(url))
    return url


async def write(url: str) -> None:
    body = b'{"event_id": "e-1", "occurred_at": "2026-03-01T00:00:00Z", "freelancer_id": "f-1"}'
    row = {"topic": "freelancer-registered", "partition": 0, "offset": 0, "payload": body, "business_time": AT}
    async with deciding(url, BOOK) as decides:
        decides.add_policies()
        await decides.decide(as_read([row]))
        await decides.commit()
        await _keep(url, "replay-begin", await begin(decides, BOOK, 2))
        await _keep(url, "replay-decide", await add(decides, [_bought(1, 10), _bought(2, 11)]))
        await _keep(url, "replay-stop", await ask(decides, "replay-stop", {"plan": PLAN, "close": False}))


async def _keep(url: str, name: str, answer: Answer) -> None:
    """Keep the last command in the table of commands, as an operator's is."""
    assert answer.outcome == "applied", answer
    connection = await asyncpg.connect(url)
    columns = "(id, name, arguments, actor, why)"
    decision = await connection.fetchval("SELECT event_id FROM decisions ORDER BY seq DESC LIMIT 1")
    values = (uuid.UUID(decision.removeprefix("command:")), name, "{}", "ana", "lost by the importer")
    await connection.execute(f"INSERT INTO commands {columns} VALUES ($1, $2, $3::json, $4, $5)", *values)  # noqa: S608
    await connection.close()


def _bought(number: int, planned: int) -> Added:
    fields = {"freelancer_id": "f-1", "purchase_id": f"b-{number}", "connects": 10}
    event = json.dumps({"event_id": f"e-lost-{number}", "occurred_at": "2026-03-01T00:00:00Z", **fields})
    expected = Expected("applied", "purchased", {"f-1": planned})
    return Added(number, "connects-purchased", f"e-lost-{number}", event, "hour.jsonl", number, expected)


async def found_after(url: str, statement: str) -> list[str]:
    """What the check finds once this was done behind the triggers' back; the ledger is put back afterwards."""
    connection = await asyncpg.connect(url)
    tables = ("replays", "replayed")
    for name in tables:
        await connection.execute(f"CREATE TABLE kept_{name} AS TABLE {name}")
    try:
        await connection.execute(statement)
        check = state_check().run(Ground(url, Range(), Progress()))
        return [f"{one.table}: {one.detail}" async for one in check]
    finally:
        for name in tables:
            put_back = f"DELETE FROM {name}; INSERT INTO {name} TABLE kept_{name}; DROP TABLE kept_{name}"  # noqa: S608
            await connection.execute(put_back)
        await connection.close()


async def test_nothing_is_found_in_a_sound_ledger(url: str) -> None:
    assert await found_after(url, "SELECT 1") == []


@pytest.mark.parametrize(
    ("statement", "finding"),
    [
        (
            "DELETE FROM replayed WHERE number = 1",
            "replayed: decision 3 is on an added event, or a correction, and no trigger has it",
        ),
        (
            "UPDATE replayed SET event_id = 'e-other' WHERE number = 1",
            f"replayed: {PLAN}, trigger 1: decision 3 is not on its event, and corrects none on it",
        ),
        (
            "UPDATE replayed SET number = 7 WHERE number = 2",
            f"replayed: {PLAN}, trigger 7: its plan has no such trigger",
        ),
        ("UPDATE replays SET why = 'found'", f"replays: {PLAN}: why is found, should be lost by the importer"),
        ("UPDATE replays SET actor = 'ben'", f"replays: {PLAN}: actor is ben, should be ana"),
        ("UPDATE replays SET state = 'open'", f"replays: {PLAN}: state is open, should be stopped"),
        ("UPDATE replays SET decision_seq = 1", f"replays: {PLAN}: decision_seq is 1, should be 2"),
        (
            "INSERT INTO replays SELECT 'other', header, 1, actor, why, begun_at, state, 9 FROM replays",
            "replays: other: the row should not be there: no command began it",
        ),
    ],
)
async def test_what_was_altered_is_named(url: str, statement: str, finding: str) -> None:
    assert finding in await found_after(url, statement)
