"""A large backlog, worked off by workers that keep dying, then delivered all over again: the big promise, whole.

Whole sizes: TEST_BACKLOG_EVENTS (100000), TEST_BACKLOG_LATE_EVENTS (10000), TEST_BACKLOG_KILLS (20). Which backlog:
TEST_BACKLOG_SEED, TEST_BACKLOG_START (2026-01-20). For the workers it is a week after its month: every run is the same.
"""

import json
import os
import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.kit.dying import work_off_while_dying
from tests.kit.histories import History, Record
from tests.kit.invariants import check_by_verify, check_log, check_positions, check_published
from tests.kit.produce import anywhere
from tests.kit.sizes import size
from tests.kit.world import PARTITIONS, POLICY, World
from tests.model.event_time import Result, fold
from tests.model.ledger import Ledger, check, grants_of, read_ledger

EVENTS = size("BACKLOG_EVENTS", 100_000, least=1_000)
LATE_EVENTS = size("BACKLOG_LATE_EVENTS", 10_000, least=2_000)
KILLS = size("BACKLOG_KILLS", 20, least=4)
SEED = int(os.environ.get("TEST_BACKLOG_SEED", "20"))
START = datetime.fromisoformat(f"{os.environ.get('TEST_BACKLOG_START', '2026-01-20')}T00:00:00Z")
SPAN = timedelta(days=30)
pytestmark = [pytest.mark.soak, pytest.mark.timeout(1800)]
REPLAY = (
    f"replay with TEST_BACKLOG_EVENTS={EVENTS} TEST_BACKLOG_LATE_EVENTS={LATE_EVENTS} TEST_BACKLOG_KILLS={KILLS}"
    f" TEST_BACKLOG_SEED={SEED} TEST_BACKLOG_START={START:%Y-%m-%d}"
)


def a_backlog(events: int, **more: Any) -> History:  # noqa: ANN401
    """A month with an end of month in it."""
    return History(SEED, freelancers=max(events // 50, 20), jobs=events // 10, events=events, start=START, **more)


async def test_a_backlog_worked_off_through_many_kills_and_produced_twice_comes_out_as_sent(world: World) -> None:
    history = a_backlog(EVENTS)
    print(f"{REPLAY}: {history!r}")  # noqa: T201 - shown when the test fails
    world.grace_seconds = 30
    world.it_is(START + SPAN + timedelta(days=7, hours=1))  # no cycle starts while the test runs
    await world.produce(history, anywhere(PARTITIONS, SEED))
    await work_off_while_dying(world, EVENTS, KILLS, SEED)
    await world.settled()
    changes = await world.value("SELECT count(*) FROM changes")
    decided = await world.value("SELECT max(last_seq) FROM batches")
    assert len(world.reader.records) == changes

    again = list(history)
    random.Random(SEED).shuffle(again)
    await world.produce(again, anywhere(PARTITIONS, SEED + 1))
    await world.settled()
    assert await world.decisions("seq > $1 AND outcome <> 'duplicate'", decided) == []
    assert await world.value("SELECT count(*) FROM decisions WHERE seq > $1", decided) == len(again)
    assert await world.value("SELECT count(*) FROM changes") == changes

    await check_positions(world)
    await check_published(world)
    await check_log(world)
    await check_by_verify(world)
    ledger = await read_ledger(world.database_url)
    report = check(ledger, POLICY, grace_seconds=world.grace_seconds, movements_in_order=False)
    assert report.ok, str(report)
    agree(ledger, folded(history, ledger.business_time))


@pytest.mark.in_turn
async def test_late_events_are_decided_by_the_rules_for_late_events(world: World) -> None:
    """The model follows the recorded order; nothing else shows what comes late."""
    history = a_backlog(LATE_EVENTS, late=0.02, poison=0.01)
    print(f"{REPLAY}: {history!r}")  # noqa: T201 - shown when the test fails
    world.grace_seconds = 30
    world.it_is(START + SPAN + timedelta(days=7, hours=1))  # no cycle starts while the test runs
    await world.produce(history, anywhere(PARTITIONS, SEED))
    await work_off_while_dying(world, LATE_EVENTS, 2, SEED)
    await world.settled()
    assert await world.value("SELECT count(*) FROM decisions WHERE late_by_seconds IS NOT NULL") > 0

    await check_positions(world)
    await check_published(world)
    await check_log(world)
    await check_by_verify(world)
    ledger = await read_ledger(world.database_url)
    report = check(ledger, POLICY, grace_seconds=world.grace_seconds, movements_in_order=False)
    assert report.ok, str(report)


# The ledger against the fold, which knows the topics and nothing else.


def folded(records: Sequence[Record], until: datetime | None) -> Result:
    return fold([(topic, json.loads(value or b"null")) for topic, _, value, _ in records], POLICY, until=until)


def agree(ledger: Ledger, result: Result) -> None:
    firsts = [row for row in ledger.decisions if row["kind"] == "first"]
    printed = [row for row in firsts if row["outcome"] not in {"duplicate", "rejected"}]
    closures = {
        (row["partition"], row["offset"]): json.loads(row["payload"])["closure"]
        for row in firsts
        if row["topic"] == "job-closed"
    }
    settlements = {
        (row["job_id"], row["occurred_at"], closures[row["partition"], row["offset"]], row["proposal_id"]): row[
            "reason"
        ]
        for row in ledger.decisions
        if row["kind"] == "settlement"
    }
    same(settlements, result.settlements, "settlement")
    answers = {
        (row["topic"], row["event_id"]): (row["outcome"], row["reason"])
        for row in printed
        if (row["topic"], row["event_id"]) in result.answers
    }
    same(answers, result.answers, "answer")
    grants = grants_of(ledger.decisions)
    same(grants, result.grants, "grant")
    charges = {
        (row["freelancer_id"], row["charge_id"]): (row["amount_cents"], row["source"], row["status"])
        for row in ledger.charges or ()
    }
    same(charges, result.charges, "charge")
    plans = {
        row["freelancer_id"]: (row["plan"], row["cycle_start"], row["next_renewal"])
        for row in ledger.memberships or ()
        if row["cycle_start"]
    }
    same(plans, result.plans, "plan")
    balances = {wallet["freelancer_id"]: wallet["balance"] for wallet in ledger.wallets if wallet["balance"]}
    same(balances, {name: balance for name, balance in result.balances.items() if balance}, "balance")


def same(recorded: dict[Any, Any], expected: dict[Any, Any], what: str) -> None:
    differing = [key for key in recorded.keys() | expected.keys() if recorded.get(key) != expected.get(key)]
    words = [f"{key}: {recorded.get(key)} should be {expected.get(key)}" for key in sorted(differing, key=str)[:10]]
    assert not differing, "\n".join([f"{len(differing)} times another {what}:", *words])
