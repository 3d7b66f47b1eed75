"""After each step of a plan what it touched is checked: a row that somebody altered stops the plan, and says so."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.kit import replaying, voiding
from tests.kit.deciding import GRACE, Deciding, deciding, wipe
from tests.kit.policies import policies
from tests.kit.replaying import Came, bought, closed, leading, proposed
from tests.kit.stacks import new_ledger
from worker.cli.replay._plans import how_it_ended, plans_page
from worker.cli.replay._steps import in_steps
from worker.domain.model import JobId
from worker.embedded.stack import LocalStack
from worker.engine.commands import Command, CommandRunner
from worker.ledger.connections import Connection
from worker.ledger.memory_store import MemoryStore
from worker.proof import passes, run, step_check
from worker.proof.ledger_checks import findings_of
from worker.proof.parts import Part
from worker.proof.step_check import check_step
from worker.queries.asking import connected
from worker.queries.commands import Answered
from worker.queries.replays import Plans, plan_named
from worker.repair.applying import Applied, Way
from worker.repair.plan import Trigger
from worker.repair.plan_file import Plan, read_plan, write_plan
from worker.repair.summary import Summary

BOOK = policies()
WALLETS = [f"f-{number}" for number in range(1, 31)]
HISTORY = [
    *(bought(name, f"keep-{name}", 20) for name in WALLETS),
    *(proposed(name, f"p-{name}", f"j-{number % 3}") for number, name in enumerate(WALLETS)),
    *(bought(name, f"b-{name}", 10) for name in WALLETS),
    closed("j-0"),
]
BOUGHT = [f"e-b-{name}" for name in WALLETS]
"""What is voided, the last one first: f-30, then f-29 to f-20, then the rest."""
ALTER = {
    "a lot": "UPDATE lots SET remaining = remaining - 1 WHERE lot_id = 'f-25:1'",
    "a lot that is gone": "DELETE FROM lots WHERE lot_id = 'f-25:1'",
    "a debt": "UPDATE spends SET base_debt = 5, owing = true WHERE proposal_id = 'p-f-25'",
    "a line": "UPDATE spends SET base_returned = true WHERE proposal_id = 'p-f-25'",
}


@pytest.fixture(scope="module")
def url(shared_stack: LocalStack) -> str:
    return new_ledger(shared_stack, "steps")


@pytest.fixture(autouse=True)
def all_is_decided_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_check, "_SECONDS_AGAIN", 600.0)


async def history(decides: Deciding) -> None:
    await Came(decides)(*HISTORY)
    await decides.commit()


async def planned(*event_ids: str) -> list[Trigger]:
    """A plan that voids these events, made on the same history in memory."""
    async with leading(MemoryStore(), BOOK) as decides:
        await history(decides)
        assert isinstance(decides.store, MemoryStore)
        plan = await voiding.plan(decides.store, BOOK, voiding.seqs_of(decides.store, *event_ids))
        return plan.triggers


class Worker:
    """The active worker of a ledger, as the command asks it; something is done to the ledger before some step."""

    def __init__(self, decides: Deciding, connection: Connection, alter: dict[int, str]) -> None:
        self._decides, self._connection, self._alter = decides, connection, alter
        self.chunks = 0

    async def __call__(self, name: str, arguments: dict[str, object], why: str = "for a test") -> Answered:
        if name == "replay-decide":
            if (statement := self._alter.get(self.chunks)) is not None:
                await self._connection.execute(statement)
            self.chunks += 1
        asked, command = msgspec.json.encode(arguments), uuid.uuid4()
        columns = "(id, name, arguments, actor, why)"
        row = (command, name, asked.decode(), "ana", why)
        await self._connection.execute(f"INSERT INTO commands {columns} VALUES ($1, $2, $3::json, $4, $5)", *row)  # noqa: S608
        runner = CommandRunner(self._decides.writer)
        answer = await runner.run(Command(command, name, msgspec.json.decode(asked), "ana", why))
        told: dict[str, Any] = answer.told
        return Answered(f"command:{command}", answer.outcome, answer.reason, "", told)

    async def stop(self, plan: Plan, because: str) -> Answered:
        return await self("replay-stop", {"plan": plan.hash, "close": False}, because)


@asynccontextmanager
async def applying(
    url: str, folder: Path, alter: dict[int, str]
) -> AsyncIterator[tuple[Worker, Plan, Connection, Deciding]]:
    await wipe(url)
    triggers = await planned(*BOUGHT)
    async with leading_on(url) as decides, connected(url) as connection:
        await history(decides)
        path = folder / "wrong.plan"
        made = replaying.header(BOOK, await decides.store.ledger_id())
        with path.open("wb") as file:
            write_plan(file, made, triggers, [], Summary({"void": len(triggers)}))
        worker, plan = Worker(decides, connection, alter), read_plan(path)
        await worker("replay-begin", {"plan": plan.hash, "header": plan.header, "triggers": len(triggers)})
        yield worker, plan, connection, decides


@asynccontextmanager
async def leading_on(url: str) -> AsyncIterator[Deciding]:
    async with deciding(url, BOOK) as decides:
        decides.add_policies()
        await decides.writer.advance({})
        yield decides


async def apply(worker: Worker, plan: Plan, connection: Connection) -> Applied:
    way = Way(give_only=False, most_deviations=0.01)
    return await in_steps(connection, plan, way, worker, lambda why: worker.stop(plan, why), asyncio.Event())


async def test_a_plan_of_a_ledger_that_is_as_it_should_be_is_applied(url: str, tmp_path: Path) -> None:
    async with applying(url, tmp_path, {}) as (worker, plan, connection, _):
        applied = await apply(worker, plan, connection)
        assert (applied.booked, applied.left, applied.stopped, applied.wrong) == (30, 0, None, [])
        checked = await check_step(connection, plan.hash, 1, 30)
        assert (checked.wallets, checked.wallets_again, checked.wrong) == (30, 10, [])
        assert (await plan_named(connection, plan.hash)).stopped_because is None


@pytest.mark.parametrize("what", sorted(ALTER))
async def test_a_row_that_was_altered_between_two_steps_stops_the_plan(url: str, tmp_path: Path, what: str) -> None:
    async with applying(url, tmp_path, {1: ALTER[what]}) as (worker, plan, connection, _):
        applied = await apply(worker, plan, connection)
        assert (worker.chunks, applied.booked, applied.left, applied.stopped) == (2, 11, 19, "wrong"), applied
        assert not applied.is_as_planned
        name = "f-25:1" if "lot" in what else "p-f-25"
        assert all(name in words for words in applied.wrong), applied
        assert f"up to trigger 11: {applied.wrong[0]}" in how_it_ended(applied, "wrong.plan")
        record = await plan_named(connection, plan.hash)
        assert (record.state, record.left, record.stopped_by) == ("stopped", 19, "ana")
        assert record.stopped_because == f"after trigger 11: {applied.wrong[0]}"[:500]
        assert f"stopped by ana: after trigger 11: {applied.wrong[0]}"[:60] in shown(Plans([record]))


async def test_it_goes_on_once_the_row_is_as_it_was(url: str, tmp_path: Path) -> None:
    async with applying(url, tmp_path, {1: ALTER["a lot"]}) as (worker, plan, connection, decides):
        await apply(worker, plan, connection)
        await connection.execute("UPDATE lots SET remaining = remaining + 1 WHERE lot_id = 'f-25:1'")
        await decides.restart()
        await worker("replay-begin", {"plan": plan.hash, "header": plan.header, "triggers": 30})
        applied = await apply(worker, plan, connection)
        assert (applied.asked, applied.booked, applied.left, applied.wrong) == (19, 19, 0, [])
        record = await plan_named(connection, plan.hash)
        assert (record.state, record.stopped_because) == ("done", None)


async def test_what_was_not_checked_because_the_command_died_is_checked_when_it_goes_on(
    url: str, tmp_path: Path
) -> None:
    async with applying(url, tmp_path, {}) as (worker, plan, connection, _):
        first = list(plan.triggers())[:11]
        await worker("replay-decide", {"plan": plan.hash, "give_only": False, "triggers": first})
        await connection.execute(ALTER["a lot"])
        applied = await apply(worker, plan, connection)
        assert (applied.asked, applied.stopped) == (1, "wrong"), "after the first step of this time"


async def test_the_last_step_is_checked_when_the_command_died_after_it(url: str, tmp_path: Path) -> None:
    async with applying(url, tmp_path, {}) as (worker, plan, connection, _):
        await worker("replay-decide", {"plan": plan.hash, "give_only": False, "triggers": list(plan.triggers())})
        applied = await apply(worker, plan, connection)
        assert (applied.left, applied.stopped, applied.is_as_planned) == (0, None, True)
        await connection.execute(ALTER["a lot"])
        applied = await apply(worker, plan, connection)
        assert (applied.left, applied.stopped, applied.through) == (0, "wrong", 30)
        assert not applied.is_as_planned


async def test_what_nothing_of_the_plan_touched_does_not_stop_it(url: str, tmp_path: Path) -> None:
    other = "UPDATE lots SET remaining = remaining - 1 WHERE lot_id = 'f-5:1'"
    async with applying(url, tmp_path, {1: other}) as (worker, plan, connection, _):
        applied = await apply(worker, plan, connection)
        assert (worker.chunks, applied.left, applied.stopped) == (3, 0, "wrong"), "f-5 is in the third step"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE closures SET returned_any = NOT returned_any WHERE job_id = 'j-0'",
        "INSERT INTO hires (job_id, first_hired_at) VALUES ('j-0', '2026-03-01T00:00:00Z')",
    ],
)
async def test_the_jobs_of_a_step_are_checked_too(url: str, statement: str) -> None:
    await wipe(url)
    triggers = await planned("s-p-f-1", "s-p-f-2", "s-p-f-4")
    async with leading_on(url) as decides, connected(url) as connection:
        await history(decides)
        answer = await replaying.apply(decides, BOOK, triggers)
        assert answer.told["booked"] == len(triggers), answer
        checked = await check_step(connection, replaying.PLAN, 1, len(triggers))
        assert (checked.wallets, checked.jobs, checked.jobs_again, checked.wrong) == (3, 2, 2, [])
        await connection.execute(statement)
        (wrong,) = (await check_step(connection, replaying.PLAN, 1, len(triggers))).wrong
        assert "j-0" in wrong


async def test_a_closing_that_is_worked_off_during_the_check_is_not_taken_for_wrong(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody applied to the job, so no decision tells of it."""
    await wipe(url)
    async with leading_on(url) as decides, connected(url) as connection:
        await Came(decides)(closed("j-9"))
        closed_at = decides.writer.business_time
        assert closed_at is not None
        again = run.decide_part

        async def meanwhile(*arguments: Any) -> AsyncIterator[Any]:  # noqa: ANN401
            async for found in again(*arguments):
                yield found
            await decides.until(closed_at + 2 * GRACE)

        monkeypatch.setattr(passes, "decide_part", meanwhile)
        found, _ = await findings_of(connection, Part(job=JobId("j-9")))
        assert not found
        assert await connection.fetchval("SELECT settled FROM closures WHERE job_id = 'j-9'")


async def test_a_large_wallet_is_added_up_but_not_decided_again(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with applying(url, tmp_path, {}) as (worker, plan, connection, _):
        await apply(worker, plan, connection)
        await connection.execute(ALTER["a lot"])
        monkeypatch.setattr(step_check, "_MOST_AGAIN", 3)
        checked = await check_step(connection, plan.hash, 1, 30)
        assert (checked.wallets_again, len(checked.wrong)) == (0, 1)
        monkeypatch.setattr(step_check, "_MOST_MOVED", 3)
        assert not (await check_step(connection, plan.hash, 1, 30)).wrong, "`verify` has no such limit"


def shown(plans: Plans) -> str:
    """The page of `replay status`, as one line."""
    page = plans_page(plans)
    return " ".join(str(part) for part in getattr(page, "renderables", [page]))
