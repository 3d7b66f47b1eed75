"""Memberships as others see them: requests to the billing system, its replies, and what is published."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest

from schemas.outputs import MembershipChargeRequested, MembershipUpdated
from tests.kit.invariants import body_of, check_everything, headers_of
from tests.kit.killable import POINTS
from tests.kit.produce import by_key
from tests.kit.reading import Reader, reading
from tests.kit.world import PARTITIONS, Events, World
from worker.kafka.output.partitioner import partition_of

UPDATED, REQUESTED = "membership-updated", "membership-charge-requested"
ME = {"freelancer_id": "f-1"}


class Outputs:
    """Read_committed readers of the messages about memberships, all along."""

    def __init__(self, updated: Reader, requested: Reader) -> None:
        self._updated, self._requested = updated, requested

    async def updates(self, count: int) -> list[MembershipUpdated]:
        await self._updated.has_read(count)
        return [MembershipUpdated.model_validate_json(record.value) for record in self._updated.records]

    async def charges(self, count: int) -> list[MembershipChargeRequested]:
        await self._requested.has_read(count)
        return [MembershipChargeRequested.model_validate_json(record.value) for record in self._requested.records]

    def check_envelopes(self) -> None:
        for topic, reader in ((UPDATED, self._updated), (REQUESTED, self._requested)):
            for record in reader.records:
                headers, body = headers_of(record), body_of(record)
                assert headers["ce_type"] == f"connects.{topic}"
                assert headers["ce_id"] == body["event_id"]
                assert datetime.fromisoformat(headers["ce_time"]) == datetime.fromisoformat(body["occurred_at"])
                assert record.key == body["freelancer_id"].encode()
                assert record.partition == partition_of(record.key, PARTITIONS)


@pytest.fixture
async def outputs(world: World) -> AsyncIterator[Outputs]:
    async with AsyncExitStack() as stack:
        readers = [
            await stack.enter_async_context(reading(world.kafka, world.prefix + topic, PARTITIONS))
            for topic in (UPDATED, REQUESTED)
        ]
        yield Outputs(*readers)


def days_ago(number: int, at: time = time(12)) -> datetime:
    return datetime.combine((datetime.now(UTC) - timedelta(days=number)).date(), at, UTC)


def answer_of(charge_id: str, outcome: str = "paid") -> dict[str, Any]:
    return {**ME, "charge_id": charge_id, "outcome": outcome, "source": "a card"}


async def test_an_upgrade_is_charged_for_paid_and_published(world: World, outputs: Outputs) -> None:
    send = Events(days_ago(10))
    send("freelancer-registered", **ME)
    send.now = days_ago(5)
    send("membership-plan-chosen", event_id="up", **ME, plan="plus")
    chosen_at = send.now
    await world.produce(send.messages, by_key(PARTITIONS))
    await world.worker()

    (charge,) = await outputs.charges(1)
    assert (charge.charge_id, charge.amount_cents, charge.currency) == ("f-1:up:1", 2_000, "USD")
    assert (charge.source, charge.cycle_start, charge.occurred_at) == (
        "payment-method",
        chosen_at.date(),
        chosen_at,
    )
    (began,) = await outputs.updates(1)
    assert (began.version, began.plan, began.reason) == (1, "basic", "registered")

    await world.produce([send("membership-charge-settled", **answer_of(charge.charge_id))])
    await world.settled()
    registered, upgraded = await outputs.updates(2)
    assert (upgraded.version, upgraded.plan, upgraded.reason) == (2, "plus", "upgraded")
    assert upgraded.cycle_start == chosen_at.date()
    days, length = 5, (registered.next_renewal_on - registered.cycle_start).days
    paid = body_of(world.reader.records[-1])
    assert (paid["rule"], paid["reason"], paid["delta"]) == ("grant.upgrade", "upgraded", 70 + 10 * days // length)
    assert paid["cause"]["topic"] == "membership-charge-settled"
    outputs.check_envelopes()
    await check_everything(world)


async def test_a_renewal_that_the_earnings_cannot_pay_is_asked_of_the_payment_method(
    world: World, outputs: Outputs
) -> None:
    send = Events(days_ago(40))
    send("freelancer-registered", **ME)
    send("earnings-balance-updated", **ME, available_cents=9_000)
    send("promo-code-entered", **ME, promo_code="NO-SUCH-CODE")
    send("membership-plan-chosen", event_id="up", **ME, plan="plus")
    send("membership-charge-settled", **answer_of("f-1:up:1"))
    await world.produce(send.messages, by_key(PARTITIONS))
    await world.worker()
    upgrade, renewal = await outputs.charges(2)
    assert [charge.source for charge in (upgrade, renewal)] == ["earnings-balance", "earnings-balance"]
    assert renewal.charge_id == f"f-1:{renewal.cycle_start}:1"

    send.now = max(send.now, renewal.occurred_at)
    await world.produce([send("membership-charge-settled", **answer_of(renewal.charge_id, "failed"))])
    *_, again = await outputs.charges(3)
    assert (again.charge_id, again.source) == (f"f-1:{renewal.cycle_start}:2", "payment-method")
    assert "promo_code" not in again.model_dump(exclude_unset=True)
    await world.produce([send("membership-charge-settled", **answer_of(again.charge_id))])
    await world.settled()
    assert await world.balance("f-1") == 40 + 70 + 80
    outputs.check_envelopes()
    await check_everything(world)


async def test_a_worker_that_was_down_for_long_grants_every_missed_cycle_and_expires_what_expired(
    world: World, outputs: Outputs
) -> None:
    """Killed once amid that, and followed by another, it grants and expires each once, dated right."""
    send = Events(datetime.now(UTC) - timedelta(days=400))
    freelancers = [f"f-{number}" for number in range(20)]
    for freelancer_id in freelancers:
        send("freelancer-registered", freelancer_id=freelancer_id)
    registered_on = send.now.date()
    await world.produce(send.messages)
    first = await world.worker(kill_after="100:after-commit", batch_size=20)
    await first.died_at("after-commit")
    await world.worker()
    await world.end_lease_of(first)
    await world.settled()
    grants = await world.rows(
        "SELECT freelancer_id, array_agg(occurred_at ORDER BY version) AS dates FROM changes"
        " WHERE rule = 'grant.monthly' GROUP BY 1 ORDER BY 1"
    )
    assert sorted(row["freelancer_id"] for row in grants) == sorted(freelancers)
    for row in grants:
        starts = row["dates"]
        assert len(starts) in {12, 13, 14}
        assert all(start.time() == time(0) for start in starts)
        assert len({(start.year, start.month) for start in starts}) == len(starts)
        assert starts == sorted(starts)
        assert {start.day for start in starts} == {registered_on.day if registered_on.day <= 28 else 1}
    expired = await world.value("SELECT count(*) FROM changes WHERE rule = 'expire.lot' AND delta = -40")
    assert expired == len(freelancers)
    published = await outputs.updates(len(freelancers))
    assert {update.version for update in published if update.freelancer_id == "f-0"} == set(
        range(1, len(grants[0]["dates"]) + 2)
    )
    await check_everything(world)


def the_same_day_months_before(day: datetime, months: int) -> datetime:
    """For days up to the 28th."""
    month = day.year * 12 + day.month - 1 - months
    return day.replace(year=month // 12, month=month % 12 + 1)


async def test_a_worker_that_was_down_for_forty_days_does_what_it_missed_once_and_dates_it_right(
    world: World, outputs: Outputs
) -> None:
    """It was down over two cycle starts of all; the ledger was at rest when it went down."""
    down_at = days_ago(40)
    first = days_ago(39, time(0))
    while first.day > 28:
        first += timedelta(days=1)
    second = the_same_day_months_before(first, -1)
    basic, plus = [f"f-basic-{number}" for number in range(5)], [f"f-plus-{number}" for number in range(5)]
    send = Events(the_same_day_months_before(first, 13) + timedelta(hours=9))
    for freelancer_id in (*basic, *plus):
        send("freelancer-registered", freelancer_id=freelancer_id)
    send.now = the_same_day_months_before(first, 1) + timedelta(hours=9)
    for who in plus:
        send("membership-plan-chosen", event_id=f"up-{who}", freelancer_id=who, plan="plus")
        answer = answer_of(f"{who}:up-{who}:1")
        send("membership-charge-settled", **{**answer, "freelancer_id": who})
    await world.produce(send.messages, by_key(PARTITIONS))
    before = await world.worker(at=down_at)

    async def all_wait_for_the_next_cycle() -> bool:
        waiting = "SELECT count(*) FROM memberships WHERE next_renewal = $1"
        upgraded = await world.value("SELECT count(*) FROM charges WHERE status = 'paid'")
        return await world.value(waiting, first.date()) == len(basic + plus) and upgraded == len(plus)

    await world.comes_true(all_wait_for_the_next_cycle)
    before.terminate()
    await before.ended()
    done = await world.value("SELECT max(last_seq) FROM batches")
    assert await world.value("SELECT max(occurred_at) FROM decisions") <= down_at

    await world.worker()
    await world.settled()
    booked = await world.rows(
        "SELECT freelancer_id, rule, reason, delta, occurred_at FROM changes WHERE decision_seq > $1"
        " ORDER BY decision_seq, ordinal",
        done,
    )
    for who in (*basic, *plus):
        mine = [tuple(row)[1:] for row in booked if row["freelancer_id"] == who]
        grants = [("grant.monthly", "cycle-started", 10, first), ("grant.monthly", "cycle-started", 10, second)]
        assert [change for change in mine if change[0] == "grant.monthly"] == grants
        expired = [change for change in mine if change[0] == "expire.lot"]
        assert expired == [("expire.lot", "lot-expired", -10, first), ("expire.lot", "lot-expired", -10, second)]
        assert len(mine) == 4
    published = await world.rows(
        "SELECT freelancer_id, event_id, reason, occurred_at, business_time FROM decisions WHERE seq > $1"
        " AND event_id LIKE 'renewal:%' ORDER BY seq",
        done,
    )
    grace = timedelta(seconds=world.grace_seconds)
    for who in plus:
        assert [tuple(row)[2:] for row in published if row["freelancer_id"] == who] == [
            ("charge-requested", first, first + grace),
            ("charge-failed", second, second + grace),
        ]

    for who in plus:
        answer = answer_of(f"{who}:{first.date()}:1")
        send.now = max(send.now, second + timedelta(hours=1))
        await world.produce([send("membership-charge-settled", **{**answer, "freelancer_id": who})])
    await world.settled()
    late = await world.rows(
        "SELECT freelancer_id, delta, occurred_at > $1 FROM changes WHERE reason = 'paid-after-lapse' ORDER BY 1",
        second,
    )
    assert [tuple(row) for row in late] == [(who, 80, True) for who in plus]
    assert len(await outputs.charges(2 * len(plus))) == 2 * len(plus)
    outputs.check_envelopes()
    await check_everything(world)


@pytest.mark.parametrize("point", POINTS)
async def test_a_worker_killed_anywhere_while_a_charge_is_paid_leaves_one_grant_and_one_message_of_each(
    world: World, outputs: Outputs, point: str
) -> None:
    send = Events(days_ago(10))
    send("freelancer-registered", **ME)
    send("membership-plan-chosen", event_id="up", **ME, plan="plus")
    await world.produce(send.messages, by_key(PARTITIONS))
    first = await world.worker(kill_after=f"{3 if 'kafka' in point else 2}:{point}")
    await world.has_decided(2)
    await world.produce([send("membership-charge-settled", **answer_of("f-1:up:1"))])
    await first.died_at(point)
    await world.worker()
    await world.end_lease_of(first)
    await world.settled()
    assert [update.reason for update in await outputs.updates(2)] == ["registered", "upgraded"]
    assert len(await outputs.charges(1)) == 1
    assert await world.balance("f-1") == 40 + 70
    await check_everything(world)
