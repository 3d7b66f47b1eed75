"""Partitions without a leader: each is named and waited for, and everything else goes on."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path

import pytest
from aiokafka.admin import NewTopic

from tests.kit.administering import administering, create_topic, delete_topics
from tests.kit.brokers import AnotherBroker
from tests.kit.http import ask, free_port
from tests.kit.input_topics import input_topics
from tests.kit.ledger import Ledger
from tests.kit.produce import Sent
from tests.kit.stacks import new_ledger
from tests.kit.waiting import in_time, until, until_async
from tests.kit.world import World, a_world
from worker.embedded.stack import LocalStack
from worker.kafka.output.partitioner import partition_of
from worker.kafka.output.relay import Relay
from worker.kafka.output.relay_opening import transactional_id_of

pytestmark = pytest.mark.in_turn

BADGES = "badge-earned"
HIRES = "hire-made"
CLOSED = "job-closed"
REGISTERED = "freelancer-registered"
COORDINATED_BY_SECOND = 3
"""The partition of __transaction_state that the second broker has."""


class Cluster:
    """Two brokers. Topics made here have their partitions on the first one, except those that are named."""

    def __init__(self, stack: LocalStack, second: AnotherBroker) -> None:
        self.stack, self.second = stack, second
        self.kafka = {"bootstrap_servers": stack.addresses.kafka_bootstrap}

    async def brokers(self) -> set[int]:
        async with administering(self.kafka) as admin:
            return {broker["node_id"] for broker in (await admin.describe_cluster())["brokers"]}

    async def start_second(self) -> None:
        await asyncio.to_thread(self.second.start)
        await until_async(lambda: self._knows(2))

    async def stop_second(self) -> None:
        await asyncio.to_thread(self.second.stop)

    async def _knows(self, node: int) -> bool:
        return node in await self.brokers()

    async def assign(self, topic: str, *brokers: int, **settings: str) -> None:
        """Make a topic, or make it again, with its partitions on these brokers."""
        settings = {name.replace("_", "."): value for name, value in settings.items()}
        async with administering(self.kafka) as admin:
            if topic in await admin.list_topics():
                await delete_topics(admin, topic)
            placed = {partition: [broker] for partition, broker in enumerate(brokers)}
            await create_topic(admin, NewTopic(topic, -1, -1, replica_assignments=placed, topic_configs=settings))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    stack = LocalStack(tmp_path_factory.mktemp("cluster"))
    stack.up()
    second = AnotherBroker(stack, tmp_path_factory.mktemp("second") / "kafka")
    cluster = Cluster(stack, second)

    async def prepare() -> None:
        await cluster.start_second()
        coordinators = [2 if number == COORDINATED_BY_SECOND else 1 for number in range(4)]
        await cluster.assign("__transaction_state", *coordinators, cleanup_policy="compact", segment_bytes="104857600")
        await cluster.stop_second()

    try:
        asyncio.run(prepare())
        yield cluster
    finally:
        second.kill()
        stack.down(delete=True)


@pytest.fixture
def ledger_url(cluster: Cluster) -> str:
    return new_ledger(cluster.stack)


async def ledger_id_of(url: str) -> uuid.UUID:
    ledger = await Ledger.connect(url)
    await ledger.close()
    return ledger.ledger_id


def coordinated_by(prefix: str, ledger_id: uuid.UUID) -> int:
    """Which partition of __transaction_state keeps a relay's transactions: Java's hash of its transactional id."""
    value = 0
    for character in transactional_id_of(prefix, ledger_id):
        value = (31 * value + ord(character)) & 0xFFFFFFFF
    signed = value - (1 << 32) if value >> 31 else value
    return abs(signed) % 4


def a_prefix(ledger_id: uuid.UUID, *, coordinated_by_second: bool) -> str:
    while True:
        prefix = f"t{uuid.uuid4().hex[:10]}-"
        if (coordinated_by(prefix, ledger_id) == COORDINATED_BY_SECOND) == coordinated_by_second:
            return prefix


@pytest.fixture
async def world(cluster: Cluster, ledger_url: str, tmp_path: Path) -> AsyncIterator[World]:
    """A world that needs the first broker only, in which all partitions are on it; the second one is away."""
    await cluster.stop_second()
    prefix = a_prefix(await ledger_id_of(ledger_url), coordinated_by_second=False)
    async with a_world(cluster.stack, tmp_path, ledger_url, prefix) as world:
        world.grace_seconds = 2
        yield world
    await cluster.stop_second()


def registered(freelancer: str, partition: int = 0, seconds: float = -60) -> Sent:
    at = (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()
    body = {"event_id": freelancer, "occurred_at": at, "freelancer_id": freelancer}
    return Sent(REGISTERED, json.dumps(body).encode(), partition=partition)


def badge(freelancer: str, partition: int) -> Sent:
    at = (datetime.now(UTC) - timedelta(seconds=60)).isoformat()
    body = {"event_id": f"b-{freelancer}", "occurred_at": at, "freelancer_id": freelancer, "badge": "rising-talent"}
    return Sent(BADGES, json.dumps(body).encode(), partition=partition)


def closed(job: str) -> Sent:
    at = (datetime.now(UTC) - timedelta(seconds=60)).isoformat()
    body = {"event_id": f"c-{job}", "occurred_at": at, "job_id": job, "client_id": "c", "closure": "expired"}
    return Sent(CLOSED, json.dumps(body).encode(), partition=0)


async def decided(world: World, freelancer: str) -> None:
    async def is_decided() -> bool:
        return await world.balance(freelancer) is not None

    await world.comes_true(is_decided)


async def readiness(port: int) -> tuple[int, list[str]]:
    status, body = await ask(port, "/health/ready")
    return status, json.loads(body)["problems"] if body else []


async def ready_though(world: World, port: int, words: str) -> None:
    """Wait until readiness is 200 and names the trouble."""

    async def shown() -> bool:
        status, problems = await readiness(port)
        return status == HTTPStatus.OK and any(words in problem for problem in problems)

    await world.comes_true(shown)


async def all_is_well(world: World, port: int) -> None:
    async def nothing_is_wrong() -> bool:
        return await readiness(port) == (HTTPStatus.OK, []) and await world.asking().is_well()

    await world.comes_true(nothing_is_wrong)


async def test_partitions_without_a_leader_hold_the_clock_and_nothing_else(cluster: Cluster, world: World) -> None:
    """While a worker runs, when another one starts, and until their leader is back.

    One of two partitions of a topic, one that comes back as another log, and all of a topic.
    """
    await cluster.start_second()
    await cluster.assign(world.prefix + BADGES, 1, 2, 2)
    await cluster.assign(world.prefix + HIRES, 2)
    first = await world.connects_run(port := free_port())
    await world.produce([badge("before", 1), badge("before-2", 2)])
    await decided(world, "before")
    await decided(world, "before-2")
    await cluster.stop_second()
    await world.produce([registered("while-running")])
    await decided(world, "while-running")
    await ready_though(world, port, f"{BADGES}, partition 1 has no leader, since ")
    first.terminate()
    await first.ended()
    await world.execute("UPDATE positions SET last_hash = $1 WHERE topic = $2 AND partition = 2", bytes(16), BADGES)
    async with input_topics(cluster.kafka, world.prefix) as topics:
        await topics.delete(CLOSED)
        await world.connects_run(port := free_port())
        await world.produce([registered("after-start"), badge("elsewhere", 0)])
        await decided(world, "after-start")
        await decided(world, "elsewhere")
        await ready_though(world, port, f"{HIRES}, partition 0 has no leader")
        status = await world.asking()("status")
        assert status.code == 1
        assert f"! {BADGES}, partition 1 has no leader" in status.text
        assert "cannot be used" not in status.text
        shown = (await world.asking()("status --json")).json
        assert (shown["held_back_by"]["topic"], shown["held_back_by"]["partition"]) == (HIRES, 0)
        assert (shown["missing_topics"], shown["lag_records"]) == ([CLOSED], 0)
        assert shown["unavailable_partitions"] == [
            {"topic": topic, "partition": partition, "reason": "has no leader"}
            for topic, partition in ((BADGES, 1), (BADGES, 2), (HIRES, 0))
        ]
        assert len(shown["problems"]) == 3
        _, metrics = await ask(port, "/metrics")
        assert "connects_unavailable_partitions 3.0" in metrics
        await topics.create(CLOSED, 3)
        await world.produce([registered("later"), closed("new-topic")])
        await decided(world, "later")

        async def new_topic_is_read() -> bool:
            return await world.value("SELECT count(*) FROM closures") == 1

        await world.comes_true(new_topic_is_read)
    assert (await world.asking()("status --json")).json["business_time"] == shown["business_time"]
    await cluster.start_second()
    await world.produce([badge("after", 1), badge("never", 2)])
    await decided(world, "after")
    await ready_though(world, port, f"{BADGES}, partition 2: the topic was recreated")
    assert await world.balance("never") is None, "not a record of it is read"

    async def only_that_is_left() -> bool:
        return (
            len((await readiness(port))[1]) == 1 and len((await world.asking()("status --json")).json["problems"]) == 1
        )

    await world.comes_true(only_that_is_left)


async def test_a_leader_that_moves_within_seconds_raises_no_alarm(cluster: Cluster, world: World) -> None:
    await cluster.start_second()
    topic = world.prefix + BADGES
    async with administering(cluster.kafka) as admin:
        await create_topic(admin, NewTopic(topic + "-x", -1, -1, replica_assignments={0: [2, 1]}))
        await delete_topics(admin, topic, topic + "-x")
        await create_topic(admin, NewTopic(topic, -1, -1, replica_assignments={0: [2, 1], 1: [1, 2]}))
    await world.connects_run(port := free_port())
    await world.produce([badge("before", 0)])
    await decided(world, "before")
    said: list[list[str]] = []
    stopping = asyncio.create_task(cluster.stop_second())
    while not stopping.done():
        said.append((await readiness(port))[1])
        await asyncio.sleep(0.02)
    await stopping
    await world.produce([badge("after", 0)])
    await decided(world, "after")
    assert [problems for problems in said if problems] == []


async def test_outputs_without_a_leader_are_shown_and_what_is_decided_waits(cluster: Cluster, world: World) -> None:
    """An output while a worker runs; and the marker when one starts, which nobody can do without."""
    await cluster.start_second()
    key = next(f"f-{n}" for n in range(100) if partition_of(f"f-{n}".encode(), 3) == 1)
    await cluster.assign(f"{world.prefix}wallet-updated", 1, 2, 1, max_message_bytes=str(16 << 20))
    await cluster.assign(f"{world.prefix}connects-relay-marker", 2, cleanup_policy="compact")
    first = await world.connects_run(port := free_port())
    await world.produce([registered("before")])
    await decided(world, "before")
    await cluster.stop_second()
    await world.produce([registered(key)])
    await decided(world, key)
    output, marker = (
        f"{world.prefix}{place} has no leader"
        for place in ("wallet-updated, partition 1", "connects-relay-marker, partition 0")
    )

    async def shown() -> bool:
        return any(marker in problem for problem in (await readiness(port))[1])

    await world.comes_true(shown)
    status = await world.asking()("status")
    assert status.code == 1
    assert f"! {output}: nothing is published" in status.text
    assert f"! {marker}: nothing is published" in status.text
    await world.produce([registered("also")])
    await decided(world, "also")
    first.terminate()
    await first.ended()
    await world.connects_run(port := free_port())

    async def told_while_it_waits() -> bool:
        status, problems = await readiness(port)
        return status == HTTPStatus.SERVICE_UNAVAILABLE and any(marker in problem for problem in problems)

    await world.comes_true(told_while_it_waits)
    await cluster.start_second()
    await world.produce([registered("after")])
    await decided(world, "after")

    async def all_published() -> bool:
        return (await world.asking()("status --json")).json["outbox_pending"] == 0

    await world.comes_true(all_published)
    await all_is_well(world, port)
    assert await world.value("SELECT count(*) FROM changes") == 4


async def test_a_transaction_coordinator_that_is_away_is_what_is_reported(cluster: Cluster, ledger_url: str) -> None:
    """While a relay opens, and while it publishes."""
    await cluster.stop_second()
    ledger = await Ledger.connect(ledger_url)
    prefix = a_prefix(ledger.ledger_id, coordinated_by_second=True)
    for topic in ("wallet-updated", "membership-updated", "membership-charge-requested", "connects-relay-marker"):
        await cluster.assign(prefix + topic, 1)
    relay = Relay(cluster.kafka, prefix, ledger.ledger_id, ledger, transaction_seconds=4)
    words = "the coordinator of the worker's transactions is not available"
    opening = asyncio.create_task(relay.open(await ledger.take_over()))
    await until(lambda: words in (relay.last_error or ""))
    await cluster.start_second()
    await in_time(opening)
    assert relay.last_error is None
    running = asyncio.create_task(relay.run())
    await cluster.stop_second()
    relay.offer(await ledger.commit())
    await until(lambda: words in (relay.last_error or ""))
    await cluster.start_second()
    await in_time(relay.drain())
    assert relay.healthy
    running.cancel()
    await asyncio.wait({running})
    await ledger.close()
