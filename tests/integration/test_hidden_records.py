"""A producer leaves a transaction open: what others write behind it is hidden, and that is shown."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from tests.kit.http import ask, free_port
from tests.kit.produce import Sent
from tests.kit.world import World

pytestmark = pytest.mark.in_turn

HIRES = "hire-made"
ALARM_SECONDS = 5.0


class Market:
    """A job that was closed, whose hire may be behind somebody's open transaction."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._count = 0
        self.connects = world.asking()

    def event(self, topic: str, seconds: float, partition: int = 1, **fields: object) -> Sent:
        self._count += 1
        at = datetime.now(UTC) + timedelta(seconds=seconds)
        body = {"event_id": f"e-{self._count}", "occurred_at": at.isoformat(), **fields}
        return Sent(topic, json.dumps(body).encode(), partition=partition)

    def hire(self, job: str, partition: int = 1) -> Sent:
        return self.event(HIRES, -600, partition, job_id=job, freelancer_id="g", contract_id=f"c-{job}")

    @asynccontextmanager
    async def open_transaction(self, *sent: Sent) -> AsyncIterator[AIOKafkaProducer]:
        """Begin a transaction with these; it stays open until it is ended inside, or is aborted at the end."""
        name = f"{self.world.prefix}stuck-{self._count}"
        producer = AIOKafkaProducer(**self.world.kafka, transactional_id=name, transaction_timeout_ms=600_000)
        await producer.start()
        await producer.begin_transaction()
        try:
            for message in sent:
                await producer.send_and_wait(
                    self.world.prefix + message.topic,
                    message.value,
                    partition=message.partition,
                    timestamp_ms=message.timestamp,
                )
            yield producer
        finally:
            await producer.stop()

    async def close_job(self, seconds: float = -300) -> None:
        """Somebody spends 12 on job j, which is then closed."""
        await self.world.produce(
            [
                self.event("freelancer-registered", -3600, freelancer_id="f"),
                self.event(
                    "proposal-submitted",
                    -1800,
                    freelancer_id="f",
                    job_id="j",
                    proposal_id="p",
                    connects=12,
                    origin="proposal",
                ),
                self.event("job-closed", seconds, job_id="j", client_id="c", closure="closed-by-client"),
            ]
        )

    async def is_closed(self) -> bool:
        return await self.world.value("SELECT count(*) FROM closures WHERE job_id = 'j'") == 1

    async def settlement(self) -> str | None:
        return await self.world.value("SELECT reason FROM decisions WHERE kind = 'settlement'")

    async def is_settled(self) -> bool:
        return await self.settlement() is not None

    async def is_shown(self) -> bool:
        return bool((await self.connects("status --json")).json["hidden"])


@pytest.fixture
def market(world: World) -> Market:
    world.grace_seconds = 2
    return Market(world)


async def shown(market: Market, port: int, *hidden: tuple[int, int]) -> None:
    """`status`, readiness and metrics show these partitions of hire-made, with how many records are hidden."""
    await market.world.comes_true(market.is_shown)
    printed = await market.connects("status --json")
    assert printed.code == 1
    assert [(row["topic"], row["partition"], row["records"]) for row in printed.json["hidden"]] == [
        (HIRES, partition, records) for partition, records in hidden
    ]
    for row in printed.json["hidden"]:
        assert datetime.now(UTC) - datetime.fromisoformat(row["since"]) < timedelta(seconds=120)
    assert (printed.json["held_back_by"]["topic"], printed.json["held_back_by"]["partition"]) == (HIRES, hidden[0][0])
    assert len(printed.json["problems"]) == len(hidden)
    page = await market.connects("status")
    assert page.code == 1
    for (partition, records), problem in zip(hidden, printed.problems, strict=True):
        many = "1 record is" if records == 1 else f"at most {records} records are"
        words = f"{HIRES}, partition {partition}: {many} hidden by an open transaction of another producer"
        assert words in problem
        assert f"! {words}" in page.text

    async def readiness_tells() -> bool:
        status, body = await ask(port, "/health/ready")
        printed = json.loads(body or "{}").get("problems", [])
        found = [problem for problem in printed if "hidden by an open transaction" in problem]
        return status == HTTPStatus.OK and len(found) == len(hidden) and all(HIRES in problem for problem in found)

    await market.world.comes_true(readiness_tells)
    _, metrics = await ask(port, "/metrics")
    everything = sum(records for _, records in hidden)
    assert f'connects_hidden_records{{topic="{HIRES}"}} {everything:.1f}' in metrics


async def all_is_well(market: Market) -> None:
    async def nothing_is_wrong() -> bool:
        printed = await market.connects("status --json")
        return printed.code == 0 and printed.json["hidden"] == [] and printed.json["problems"] == []

    await market.world.comes_true(nothing_is_wrong)


@pytest.mark.parametrize(("ends", "decided_before"), [("aborted", False), ("committed", True)])
async def test_what_is_hidden_is_shown_and_business_time_waits_for_it(
    market: Market, ends: str, *, decided_before: bool
) -> None:
    world = market.world
    await world.connects_run(port := free_port())
    if decided_before:
        await world.produce([market.hire("long-ago")])
        await world.has_decided(1)
    async with market.open_transaction(market.hire("other")) as stuck:
        await world.produce([*(market.hire(f"k-{place}") for place in range(5)), market.hire("j")])
        await market.close_job()
        await world.comes_true(market.is_closed)
        await shown(market, port, (1, 7))
        assert not await market.is_settled()
        assert await world.balance("f") == 28
        printed = await market.connects("explain --proposal p")
        assert "the settlement is due and waits. It waits for hire-made, partition 1" in printed.text
        assert "hidden by an open transaction of another producer" in printed.text
        assert "hire-made, partition 1" in (await market.connects("explain --job j")).text
        assert "hire-made, partition 1" in (await market.connects("explain --freelancer f --json")).out
        await (stuck.abort_transaction() if ends == "aborted" else stuck.commit_transaction())
        await world.comes_true(market.is_settled)
    assert await market.settlement() == "somebody-was-hired"
    assert await world.balance("f") == 28
    assert await world.decisions("reason = 'hire-after-settlement'") == []
    await all_is_well(market)


async def test_a_transaction_on_two_partitions_is_shown_for_each(market: Market) -> None:
    await market.world.connects_run(port := free_port())
    await market.close_job()
    await market.world.comes_true(market.is_closed)
    async with market.open_transaction(market.hire("other", 0), market.hire("other-2", 2)) as stuck:
        await market.world.produce([market.hire("j", 2)])
        await shown(market, port, (0, 1), (2, 2))
        await stuck.commit_transaction()
    await all_is_well(market)


async def test_a_worker_that_starts_or_takes_over_meanwhile_sees_it_as_well(market: Market) -> None:
    world = market.world
    async with market.open_transaction(market.hire("other")) as stuck:
        await world.produce([market.hire("j")])
        await market.close_job()
        first = await world.connects_run(port := free_port())
        await world.comes_true(market.is_closed)
        await shown(market, port, (1, 2))
        assert not await market.is_settled()
        await first.kill()
        await world.end_lease_of(first)
        await world.connects_run(port := free_port())
        await shown(market, port, (1, 2))
        await world.produce([market.event("freelancer-registered", -10, freelancer_id="meanwhile")])

        async def others_go_on() -> bool:
            return await world.balance("meanwhile") is not None

        await world.comes_true(others_go_on)
        assert not await market.is_settled()
        await stuck.abort_transaction()
        await world.comes_true(market.is_settled)
    assert await market.settlement() == "somebody-was-hired"
    await all_is_well(market)


async def test_a_producer_that_died_leaves_it_open_until_the_broker_ends_it(market: Market) -> None:
    world = market.world
    await world.connects_run(free_port())
    producer = AIOKafkaProducer(
        **world.kafka, transactional_id=f"{world.prefix}dead", transaction_timeout_ms=int(ALARM_SECONDS * 2_000)
    )
    await producer.start()
    await producer.begin_transaction()
    await producer.send_and_wait(f"{world.prefix}{HIRES}", market.hire("other").value, partition=1)
    await world.produce([market.hire("j")])
    await market.close_job()
    await world.comes_true(market.is_shown)
    await world.comes_true(market.is_settled)
    assert await market.settlement() == "somebody-was-hired"
    await all_is_well(market)
    await producer.stop()


async def test_transactions_of_a_moment_are_everyday(market: Market) -> None:
    """One after the other, so that something is hidden at most moments, and each for less than an alarm."""
    world = market.world
    await world.connects_run(port := free_port())
    answers: list[Any] = []
    for place in range(8):
        old = market.event(HIRES, -7200, 1, job_id=f"k-{place}", freelancer_id="g", contract_id=f"c-{place}")
        async with market.open_transaction(old) as producer:
            answers.append(await market.connects("status --json"))
            status, body = await ask(port, "/health/ready")
            answers.append(json.loads(body)["problems"] if status == HTTPStatus.OK else [])
            await producer.commit_transaction()
    assert [answer.json["hidden"] for answer in answers[::2]] == [[]] * 8
    assert answers[1::2] == [[]] * 8
    await all_is_well(market)
