"""One wallet or job with very much in it: its events take their time, and everybody else's go on."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.kit.deciding import Deciding, deciding
from tests.kit.policies import policies
from tests.kit.story import day
from tests.kit.waiting import until_async
from tests.kit.world import Events, World
from tests.property.test_writer_found_before import Timeline
from worker.domain.model import FreelancerId
from worker.kafka.records import InputRecord
from worker.ledger.leadership import LEASE_SECONDS

VERY_MANY = 20_000
MANY = 8_000
NEIGHBOUR_SECONDS = 5.0


async def test_the_leader_keeps_the_ledger_and_neighbours_are_decided_while_a_wallet_of_many_lots_spends_and_gets_back(
    world: World,
) -> None:
    send = Events(datetime.now(UTC) - timedelta(hours=12))
    await world.produce(
        send("connects-purchased", freelancer_id="f-hot", purchase_id=f"b-{number}", connects=1)
        for number in range(VERY_MANY)
    )
    first, second = [await world.worker(batch_size=5_000) for _ in range(2)]
    await world.settled()
    epoch = await world.value("SELECT epoch FROM leader")

    named = {"job_id": "j-hot", "proposal_id": "p-hot"}
    await world.produce(
        [send("proposal-submitted", freelancer_id="f-hot", connects=VERY_MANY, origin="proposal", **named)]
    )
    await world.produce([send("job-closed", job_id="j-hot", client_id="c-1", closure="closed-by-client")])
    for number in range(5):
        await is_decided_soon(world, send, f"f-next-{number}")
    await world.settled()

    assert await world.value("SELECT epoch FROM leader") == epoch
    assert sum(worker.said("leadership.taken") for worker in (first, second)) == 1
    assert await world.rows("SELECT balance, version FROM wallets WHERE freelancer_id = 'f-hot'") == [
        (VERY_MANY, VERY_MANY + 2)
    ]
    open_lots = "SELECT count(*) FROM lots WHERE freelancer_id = 'f-hot' AND open AND source = 'purchase'"
    assert await world.value(open_lots) == VERY_MANY
    last = updates_of(world, "f-hot")[-1]
    assert (last["reason"], len(last["lots"])) == ("closed-without-hire", VERY_MANY)


def updates_of(world: World, name: str) -> list[dict[str, Any]]:
    return [json.loads(record.value) for record in world.reader.records if record.key == name.encode()]


async def is_decided_soon(world: World, send: Events, name: str) -> None:
    """Whether a neighbour's registration is published within the limit."""
    send.now = datetime.now(UTC)
    await world.produce([send("freelancer-registered", freelancer_id=name)])

    async def published() -> bool:
        return any(record.key == name.encode() for record in world.reader.records)

    await until_async(published, NEIGHBOUR_SECONDS)


# Through the writer alone: how long the event loop does not turn.


@asynccontextmanager
async def the_loop_keeps_turning() -> AsyncIterator[None]:
    """Between two turns of the event loop, in which the lease is renewed, the process computes for far less than that.

    Counted is the time that its threads had a processor: how long they wait for one says nothing about them.
    """
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        while True:
            before = time.process_time()
            await asyncio.sleep(0.01)
            longest = max(longest, time.process_time() - before)

    watching = asyncio.create_task(watch())
    try:
        yield
    finally:
        watching.cancel()
    assert longest < LEASE_SECONDS / 2


def bought(timeline: Timeline, count: int, *, together: bool = False) -> list[InputRecord]:
    return [
        timeline.event(
            "connects-purchased",
            day(0, 0 if together else number),
            freelancer_id="f-1",
            purchase_id=f"b-{number}",
            connects=1,
        )
        for number in range(count)
    ]


def proposed(timeline: Timeline, at: datetime, connects: int, number: int = 0, **fields: Any) -> InputRecord:  # noqa: ANN401
    named = {"freelancer_id": "f-1", "job_id": "j-1", "proposal_id": f"p-{number}", "origin": "proposal"}
    return timeline.event("proposal-submitted", at, connects=connects, **(named | fields))


def spent_and_back(timeline: Timeline, closed: float) -> list[InputRecord]:
    return [proposed(timeline, day(1), MANY), timeline.closed(day(closed))]


def a_debit(timeline: Timeline) -> list[InputRecord]:
    said = {"adjustment_id": "a-1", "actor": "ann", "note": "a correction"}
    return [timeline.event("connects-adjusted", day(1), freelancer_id="f-1", connects=-MANY, **said)]


def outbid(timeline: Timeline) -> list[InputRecord]:
    boosted = proposed(timeline, day(1), 1, boost_connects=MANY - 1)
    named = {"freelancer_id": "f-1", "job_id": "j-1", "proposal_id": "p-0"}
    return [boosted, timeline.event("boost-outbid", day(2), **named)]


@pytest.mark.in_turn
@pytest.mark.parametrize(
    ("events", "ends", "balance"),
    [
        pytest.param(lambda timeline: spent_and_back(timeline, 2), day(3), MANY, id="a spend and its refund"),
        pytest.param(lambda timeline: spent_and_back(timeline, 350), day(351), MANY, id="a refund into new lots"),
        pytest.param(a_debit, day(3), 0, id="a debit"),
        pytest.param(outbid, day(3), MANY - 1, id="a boost that is outbid"),
        pytest.param(lambda _publishing: [], day(367), 0, id="the expiry of all lots"),
    ],
)
async def test_the_event_loop_turns_while_a_wallet_of_many_lots_is_worked_on(
    database_url: str, events: Callable[[Timeline], list[InputRecord]], ends: datetime, balance: int
) -> None:
    timeline = Timeline()
    async with deciding(database_url, policies(), batch_size=5_000) as decides:
        await decides.decide(bought(timeline, MANY, together=not events(Timeline())))
        await decides.commit()
        await decides.restart()
        async with the_loop_keeps_turning():
            await decides.decide(events(timeline))
            await decides.until(ends)
        await has_balance(decides, balance)


@pytest.mark.in_turn
async def test_the_event_loop_turns_while_a_credit_pays_very_many_debts(database_url: str) -> None:
    timeline = Timeline()
    async with deciding(database_url, policies(), batch_size=5_000) as decides:
        await decides.decide([proposed(timeline, day(1, number), 1, number) for number in range(MANY)])
        await decides.commit()
        await decides.restart()
        async with the_loop_keeps_turning():
            await decides.decide([timeline.bought(day(2), MANY + 7)])
            await decides.commit()
        await has_balance(decides, 7)


@pytest.mark.in_turn
async def test_the_event_loop_turns_while_a_job_with_very_many_proposals_is_closed(database_url: str) -> None:
    timeline = Timeline()
    async with deciding(database_url, policies(), batch_size=5_000) as decides:
        await decides.decide([timeline.bought(day(0), MANY)])
        await decides.decide([proposed(timeline, day(1, number), 1, number) for number in range(MANY)])
        await decides.commit()
        await decides.restart()
        async with the_loop_keeps_turning():
            await decides.decide([timeline.closed(day(2))])
            await decides.until(day(3))
        await has_balance(decides, MANY)


@pytest.mark.in_turn
async def test_the_event_loop_turns_while_a_late_hire_takes_back_very_many_refunds(database_url: str) -> None:
    timeline = Timeline()
    hire = {"job_id": "j-1", "freelancer_id": "f-1", "contract_id": "c-1"}
    async with deciding(database_url, policies(late_hire="claw-back"), batch_size=5_000) as decides:
        await decides.decide([timeline.bought(day(0), MANY)])
        await decides.decide([proposed(timeline, day(1, number), 1, number) for number in range(MANY)])
        await decides.decide([timeline.closed(day(2))])
        await decides.until(day(3))
        await decides.restart()
        async with the_loop_keeps_turning():
            await decides.decide([timeline.event("hire-made", day(1.5), day(4), **hire)])
            await decides.commit()
        await has_balance(decides, 0)


@pytest.mark.in_turn
async def test_the_event_loop_turns_while_a_membership_has_very_many_answers_to_charges_nobody_asked_for(
    database_url: str,
) -> None:
    timeline = Timeline()
    answers = [
        timeline.event(
            "membership-charge-settled",
            day(1, number),
            freelancer_id="f-1",
            charge_id=f"unknown-{number}",
            outcome="paid",
            source="payment-method",
        )
        for number in range(MANY)
    ]
    async with deciding(database_url, policies(), batch_size=5_000) as decides:
        await decides.decide([timeline.registered(day(0)), *answers])
        await decides.commit()
        await decides.restart()
        async with the_loop_keeps_turning():
            choices = [
                timeline.event("membership-plan-chosen", day(2, number), freelancer_id="f-1", plan=plan)
                for number, plan in enumerate(("plus", "basic", "plus"))
            ]
            await decides.decide(choices)
            await decides.until(day(100))
        await has_balance(decides, 40 + 3 * 10)


async def has_balance(decides: Deciding, balance: int) -> None:
    wallets = await decides.store.wallets([FreelancerId("f-1")], None)
    assert [wallet.balance for wallet in wallets.values()] == [balance]
