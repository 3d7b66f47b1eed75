"""A large backlog, worked off by workers that keep dying, then delivered all over again: the big promise, whole.

Sizes: TEST_BACKLOG_EVENTS (100000), TEST_BACKLOG_LATE_EVENTS (10000), TEST_BACKLOG_KILLS (20), TEST_BACKLOG_SEED,
TEST_BACKLOG_START (2026-01-20). It is a week after its month for the workers, so that every run sees the same.
"""

import json
import os
import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from tests.reference.event_time import Result, fold
from tests.reference.ledger import Ledger, check, grants_of, read_ledger
from tests.support.dying import work_off_while_dying
from tests.support.histories import History, Record
from tests.support.invariants import check_chain, check_positions, check_published
from tests.support.produce import anywhere
from tests.support.world import PARTITIONS, POLICY, World

EVENTS = int(os.environ.get("TEST_BACKLOG_EVENTS", "100000"))
LATE_EVENTS = int(os.environ.get("TEST_BACKLOG_LATE_EVENTS", "10000"))
KILLS = int(os.environ.get("TEST_BACKLOG_KILLS", "20"))
SEED = int(os.environ.get("TEST_BACKLOG_SEED", "20"))
START = datetime.fromisoformat(f"{os.environ.get('TEST_BACKLOG_START', '2026-01-20')}T00:00:00Z")
SPAN = timedelta(days=30)
REPLAY = f"replay with TEST_BACKLOG_SEED={SEED} TEST_BACKLOG_START={START:%Y-%m-%d}"


def a_backlog(events: int, **more: Any) -> History:  # noqa: ANN401
    """A month with an end of month in it."""
    return History(SEED, freelancers=max(events // 50, 20), jobs=events // 10, events=events, start=START, **more)


async def test_a_backlog_worked_off_through_twenty_kills_and_produced_twice_comes_out_as_told(world: World) -> None:
    history = a_backlog(EVENTS)
    print(f"{REPLAY}: {history!r}")  # noqa: T201 - shown when the test fails
    world.it_is(START + SPAN + timedelta(days=7))
    await world.produce(history, anywhere(PARTITIONS, SEED))
    await work_off_while_dying(world, EVENTS, KILLS, SEED)
    await world.settled(limit_seconds=180)
    changes = await world.value("SELECT count(*) FROM changes")
    decided = await world.value("SELECT max(last_seq) FROM batches")
    assert len(world.reader.records) == changes

    again = list(history)
    random.Random(SEED).shuffle(again)
    await world.produce(again, anywhere(PARTITIONS, SEED + 1))
    await world.settled(limit_seconds=180)
    assert await world.value("SELECT count(*) FROM decisions WHERE seq > $1 AND outcome <> 'duplicate'", decided) == 0
    assert await world.value("SELECT count(*) FROM decisions WHERE seq > $1", decided) == len(again)
    assert await world.value("SELECT count(*) FROM changes") == changes

    await check_positions(world)
    await check_published(world)
    await check_chain(world)
    ledger = await read_ledger(world.database_url)
    report = check(ledger, POLICY, grace_seconds=world.grace_seconds, movements_in_order=False)
    assert report.ok, str(report)
    agree(ledger, folded(history, ledger.business_time))


async def test_late_events_are_decided_by_the_rules_for_late_events(world: World) -> None:
    """The model follows the recorded order; what comes late is told in no other way."""
    history = a_backlog(LATE_EVENTS, late=0.02, poison=0.01)
    print(f"{REPLAY}: {history!r}")  # noqa: T201 - shown when the test fails
    world.it_is(START + SPAN + timedelta(days=7))
    await world.produce(history, anywhere(PARTITIONS, SEED))
    await work_off_while_dying(world, LATE_EVENTS, 2, SEED)
    await world.settled(limit_seconds=120)
    assert await world.value("SELECT count(*) FROM decisions WHERE late_by_seconds IS NOT NULL") > 0

    await check_positions(world)
    await check_published(world)
    await check_chain(world)
    ledger = await read_ledger(world.database_url)
    report = check(ledger, POLICY, grace_seconds=world.grace_seconds, movements_in_order=False)
    assert report.ok, str(report)


# The ledger against the fold, which knows the topics and nothing else.


def folded(records: Sequence[Record], until: datetime | None) -> Result:
    return fold([(topic, json.loads(value or b"null")) for topic, _, value, _ in records], POLICY, until=until)


def agree(ledger: Ledger, result: Result) -> None:
    firsts = [row for row in ledger.decisions if row["kind"] == "first"]
    told = [row for row in firsts if row["outcome"] not in {"duplicate", "rejected"}]
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
        for row in told
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
