"""All that the ledger committed is published exactly once and in order: real Kafka, real PostgreSQL, real faults."""

import asyncio
import gc
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions
from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.transaction import EndTxnRequest

from tests.kit.ledger import Ledger, wallet_updated
from tests.kit.processes import child
from tests.kit.reading import everything, reading
from tests.kit.relays import commit_and_offer, each_once, published, running_relay
from tests.kit.waiting import in_time, until
from worker.embedded.stack import LocalStack
from worker.errors import LeadershipLost, OperatorNeeded
from worker.kafka.output.marker import relay_report
from worker.kafka.output.partitioner import partition_of
from worker.kafka.output.relay import Relay
from worker.kafka.topics import create_topics

Running = Callable[..., AbstractAsyncContextManager[Relay]]


@pytest.fixture
def running(kafka: dict[str, Any], topics: str, ledger: Ledger) -> Running:
    return partial(running_relay, kafka, topics, ledger)


@pytest.fixture(autouse=True)
async def complaints() -> AsyncIterator[list[str]]:
    """What asyncio complains about, such as exceptions that were never retrieved: nothing, at the end of each test."""
    said: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(str(context)))
    yield said
    gc.collect()
    await asyncio.sleep(0)
    assert said == []


async def test_what_is_committed_is_published_in_order(
    kafka: dict[str, Any], topics: str, ledger: Ledger, running: Running
) -> None:
    async with running() as relay, reading(kafka, f"{topics}wallet-updated") as reader:
        await commit_and_offer(ledger, relay, range(1, 31))
        await relay.drain()
        assert (relay.published, relay.pending_rows, relay.oldest_pending_since) == (30, 0, None)
        assert relay.healthy
        await reader.has_read(150)
        assert reader.versions == each_once(30)


async def test_messages_are_cloud_events_keyed_as_the_java_client_would(
    kafka: dict[str, Any], topics: str, ledger: Ledger, running: Running
) -> None:
    async with running() as relay:
        await commit_and_offer(ledger, relay, range(1, 2), freelancers=20)
        await relay.drain()
    read = await everything(kafka, f"{topics}wallet-updated")
    assert len(read.records) == 20
    for record in read.records:
        assert record.partition == partition_of(record.key, 3)
        assert dict(record.headers) == {
            "ce_specversion": b"1.0",
            "ce_type": b"connects.wallet-updated",
            "ce_source": f"/connects-worker/{ledger.ledger_id}".encode(),
            "ce_id": record.key + b":1",
            "ce_time": b"2026-01-01T00:00:00Z",
            "content-type": b"application/json",
        }


async def test_a_large_backlog_goes_in_batches_that_a_topic_takes(
    kafka: dict[str, Any], topics: str, ledger: Ledger, running: Running
) -> None:
    """A row of 4 MB for one partition is more than one batch, a queue of 100 KB is less than one row."""
    for version in range(1, 4):
        await ledger.commit(*(wallet_updated("f-0", 100 * version + n, size=40_000) for n in range(100)))
    async with running(queue_bytes=100_000) as relay:
        await relay.drain()
    assert await published(kafka, topics) == {"f-0": list(range(100, 400))}


async def test_rows_beyond_the_queue_are_read_from_the_database(
    kafka: dict[str, Any], topics: str, ledger: Ledger, running: Running
) -> None:
    async with running(queue_bytes=1) as relay:
        rows = [await ledger.commit(*(wallet_updated(f"f-{n}", version) for n in range(5))) for version in range(1, 11)]
        for row in rows:
            relay.offer(row)
        assert not relay.has_room
        assert relay.oldest_pending_since is not None
        await in_time(relay.wait_for_room())
        await relay.drain()
    assert ledger.row_reads > 0
    assert await published(kafka, topics) == each_once(10)


async def test_dropped_rows_are_not_asked_for_again(
    kafka: dict[str, Any], topics: str, ledger: Ledger, running: Running
) -> None:
    async with running() as relay:
        await commit_and_offer(ledger, relay, range(1, 6))
        await relay.drain()
        await ledger.drop_through(relay.published)
    async with running() as relay:
        assert (relay.published, relay.pending_rows) == (5, 0)
        await commit_and_offer(ledger, relay, range(6, 8))
        await relay.drain()
    assert await published(kafka, topics) == each_once(7)


class Faults:
    """Fails at a point, a few times."""

    def __init__(self, point: str, times: int) -> None:
        self.point = point
        self.left = times

    def __call__(self, here: str) -> None:
        if here == self.point and self.left:
            self.left -= 1
            raise ConnectionResetError(f"a fault at {here}")


@pytest.mark.parametrize("point", ["inside-kafka-transaction", "after-kafka-commit"])
async def test_a_reader_sees_each_message_once_through_failing_transactions(
    kafka: dict[str, Any], topics: str, ledger: Ledger, running: Running, point: str
) -> None:
    faults = Faults(point, times=4)
    async with running(reached=faults, flush_bytes=100) as relay, reading(kafka, f"{topics}wallet-updated") as reader:
        await commit_and_offer(ledger, relay, range(1, 11))
        await in_time(relay.drain())
        assert faults.left == 0
        assert relay.healthy
        await reader.has_read(50)
        assert reader.versions == each_once(10)


async def test_a_row_that_commits_while_the_relay_recovers_is_published_when_it_is_offered(
    kafka: dict[str, Any], topics: str, ledger: Ledger, running: Running
) -> None:
    async with running(reached=Faults("inside-kafka-transaction", times=1)) as relay:
        first, second = [await ledger.commit(wallet_updated("f-0", version)) for version in (1, 2)]
        relay.offer(first)
        await in_time(relay.drain())
        assert (relay.published, relay.pending_rows) == (1, 0)
        relay.offer(second)
        await relay.drain()
    assert await published(kafka, topics) == {"f-0": [1, 2]}


@pytest.mark.parametrize("lost", ["the request", "the answer"])
async def test_a_commit_whose_answer_is_lost_is_resolved_by_the_marker(
    kafka: dict[str, Any],
    topics: str,
    ledger: Ledger,
    running: Running,
    monkeypatch: pytest.MonkeyPatch,
    *,
    lost: str,
) -> None:
    send: Callable[..., Awaitable[Any]] = AIOKafkaClient.send
    left = 1

    async def losing(self: AIOKafkaClient, node: int, request: object, **options: object) -> object:
        nonlocal left
        if not (isinstance(request, EndTxnRequest) and left):
            return await send(self, node, request, **options)
        left -= 1
        if lost == "the answer":
            await send(self, node, request, **options)
        return await asyncio.Event().wait()

    monkeypatch.setattr(AIOKafkaClient, "send", losing)
    async with running(transaction_seconds=1.5) as relay:
        await commit_and_offer(ledger, relay, range(1, 4))
        await until(lambda: relay.last_error is not None)
        assert not relay.healthy
        await in_time(relay.drain())
        assert left == 0
    assert await published(kafka, topics) == each_once(3)


@pytest.mark.parametrize("point", ["before-kafka-transaction", "inside-kafka-transaction", "after-kafka-commit"])
async def test_after_a_kill_the_next_worker_goes_on_where_the_marker_says(
    *,
    stack: LocalStack,
    kafka: dict[str, Any],
    topics: str,
    database_url: str,
    ledger: Ledger,
    running: Running,
    point: str,
) -> None:
    arguments = (database_url, stack.addresses.kafka_bootstrap, topics, point, "KILL", "3")
    async with reading(kafka, f"{topics}wallet-updated") as reader:
        async with child("relay_program.py", *arguments) as killed:
            await killed.says("at")
            await killed.ended()
        async with running() as relay:
            await in_time(relay.drain())
            await commit_and_offer(ledger, relay, range(4, 6))
            await relay.drain()
        await reader.has_read(25)
        assert reader.versions == each_once(5)


@pytest.mark.parametrize("point", ["before-kafka-transaction", "inside-kafka-transaction", "after-kafka-commit"])
async def test_a_stopped_relay_is_fenced_and_publishes_nothing_when_it_goes_on(
    *,
    stack: LocalStack,
    kafka: dict[str, Any],
    topics: str,
    database_url: str,
    ledger: Ledger,
    running: Running,
    point: str,
) -> None:
    arguments = (database_url, stack.addresses.kafka_bootstrap, topics, point, "STOP", "3")
    async with child("relay_program.py", *arguments) as zombie, reading(kafka, f"{topics}wallet-updated") as reader:
        await zombie.says("at")
        async with running() as relay:
            await in_time(relay.drain())
            zombie.go_on()
            await commit_and_offer(ledger, relay, range(4, 6))
            await in_time(relay.drain())
            if point != "after-kafka-commit":  # then nothing is left for it to do, and it does not notice
                await zombie.says("lost")
            await reader.has_read(25)
        assert reader.versions == each_once(5)


async def test_a_zombie_that_fences_its_successor_steps_down_and_the_successor_goes_on(
    kafka: dict[str, Any], topics: str, ledger: Ledger, running: Running, database_url: str
) -> None:
    old = await Ledger.connect(database_url)
    zombie = Relay(kafka, topics, ledger.ledger_id, old)
    await zombie.open(await old.take_over())
    async with running() as relay:
        await commit_and_offer(ledger, relay, range(1, 3))
        await relay.drain()
        looks = iter([True])  # its last poll before it was stopped; the next one is after the fence

        async def still_mine(_epoch: int) -> bool:
            return next(looks, False)

        old.still_mine = still_mine  # type: ignore[method-assign]
        with pytest.raises(LeadershipLost):
            await zombie.open(old.epoch)
        await commit_and_offer(ledger, relay, range(3, 6))
        await in_time(relay.drain())
    await old.close()
    assert await published(kafka, topics) == each_once(5)


async def test_a_relay_whose_epoch_is_over_does_not_open(kafka: dict[str, Any], topics: str, ledger: Ledger) -> None:
    epoch = await ledger.take_over()
    await ledger.take_over()
    with pytest.raises(LeadershipLost):
        await Relay(kafka, topics, ledger.ledger_id, ledger).open(epoch)


async def forget_the_last_batch(ledger: Ledger) -> None:
    await ledger.execute("DELETE FROM outbox WHERE outbox_seq = 3")
    await ledger.execute("DELETE FROM batches WHERE outbox_seq = 3")


async def drop_what_was_never_published(ledger: Ledger) -> None:
    await ledger.commit(wallet_updated("f-0", 4))
    await ledger.drop_through(4)


async def make_the_last_batch_anew(ledger: Ledger) -> None:
    await forget_the_last_batch(ledger)
    await ledger.commit(wallet_updated("f-0", 3))


async def go_back_to_an_earlier_epoch(ledger: Ledger) -> None:
    await ledger.execute("UPDATE leader SET epoch = -10")


@pytest.mark.parametrize(
    ("happening", "why"),
    [
        (forget_the_last_batch, "knows rows as published that the ledger does not have"),
        (drop_what_was_never_published, "does not know as published"),
        (make_the_last_batch_anew, "is another one in the ledger"),
        (go_back_to_an_earlier_epoch, "the marker is of epoch"),
    ],
)
async def test_a_ledger_that_the_marker_contradicts_is_refused_with_all_figures(
    *,
    kafka: dict[str, Any],
    topics: str,
    ledger: Ledger,
    running: Running,
    happening: Callable[[Ledger], Awaitable[None]],
    why: str,
) -> None:
    async with running() as relay:
        await commit_and_offer(ledger, relay, range(1, 4))
        await relay.drain()
    await happening(ledger)
    with pytest.raises(OperatorNeeded, match=why) as refused:
        async with running():
            pass
    assert "connects relay show" in str(refused.value)
    assert "seq 3" in str(refused.value)
    assert await published(kafka, topics) == each_once(3)


async def test_a_ledger_on_another_cluster_is_refused(
    kafka: dict[str, Any], prefix: str, ledger: Ledger, running: Running
) -> None:
    async with running() as relay:
        await commit_and_offer(ledger, relay, range(1, 4))
        await relay.drain()
        await ledger.drop_through(3)
    other = f"other-{prefix}"
    await create_topics(kafka, other, partitions=3, replication=1, inputs=False)
    with pytest.raises(OperatorNeeded, match="marker: none; ledger: last seq 3, dropped through 3"):
        await Relay(kafka, other, ledger.ledger_id, ledger).open(await ledger.take_over())


async def test_the_marker_of_another_ledger_in_the_same_partition_is_not_ours(
    kafka: dict[str, Any], topics: str, ledger: Ledger, running: Running
) -> None:
    async with running() as relay:
        await commit_and_offer(ledger, relay, range(1, 4))
        await relay.drain()
    for _ in range(6):  # three partitions: some share ours
        report = await relay_report(kafka, topics, uuid.uuid4(), ledger)
        assert (report["marker"], report["published"]) == (None, 0)


async def test_relay_show_prints_both_sides(
    kafka: dict[str, Any], topics: str, ledger: Ledger, running: Running
) -> None:
    async with running() as relay:
        await commit_and_offer(ledger, relay, range(1, 4))
        await relay.drain()
    await ledger.commit(wallet_updated("f-0", 4))
    report = await relay_report(kafka, topics, ledger.ledger_id, ledger)
    assert report["consistent"] is True
    assert (report["published"], report["last_seq"], report["dropped_through"], report["pending"]) == (3, 4, 0, 1)
    assert report["marker"]["epoch"] == ledger.epoch
    assert report["marker"]["batch_uid"] == report["ledger_batch_uid"]
    await forget_the_last_batch(ledger)
    report = await relay_report(kafka, topics, ledger.ledger_id, ledger)
    assert report["consistent"] is False
    assert "another one" in report["why"]


async def test_partitions_added_later_move_no_key(
    kafka: dict[str, Any], topics: str, ledger: Ledger, running: Running
) -> None:
    async with running() as relay:
        await commit_and_offer(ledger, relay, range(1, 3))
        await relay.drain()
    admin = AIOKafkaAdminClient(**kafka)
    await admin.start()
    await admin.create_partitions({f"{topics}wallet-updated": NewPartitions(7)})
    await admin.close()
    async with running() as relay:
        await commit_and_offer(ledger, relay, range(3, 5))
        await relay.drain()
    assert await published(kafka, topics) == each_once(4)  # read from the first three partitions


async def test_topics_that_do_not_exist_are_waited_for(kafka: dict[str, Any], prefix: str, ledger: Ledger) -> None:
    relay = Relay(kafka, prefix, ledger.ledger_id, ledger)
    opening = asyncio.create_task(relay.open(await ledger.take_over()))
    await until(lambda: relay.last_error is not None)
    assert "connects topics create" in (relay.last_error or "")
    await create_topics(kafka, prefix, partitions=3, replication=1, inputs=False)
    await in_time(opening)
    assert relay.healthy
    await relay.close()


@pytest.mark.in_turn
@pytest.mark.own_servers
async def test_a_broker_that_was_killed_is_waited_for(
    stack: LocalStack, kafka: dict[str, Any], topics: str, ledger: Ledger, running: Running
) -> None:
    async with running(transaction_seconds=3) as relay:
        await commit_and_offer(ledger, relay, range(1, 4))
        await relay.drain()
        await asyncio.to_thread(stack.kill_kafka)
        await commit_and_offer(ledger, relay, range(4, 7))
        await until(lambda: not relay.healthy)
        await asyncio.to_thread(stack.start_kafka)
        await in_time(relay.drain())
        assert relay.healthy
    assert await published(kafka, topics) == each_once(6)


async def test_who_waits_for_a_relay_that_ended_is_reported(ledger: Ledger, running: Running) -> None:
    async def publish_after_the_epoch_is_over() -> None:
        async with running(reached=Faults("inside-kafka-transaction", times=1)) as relay:
            row = await ledger.commit(wallet_updated("f-0", 1))
            await ledger.take_over()
            relay.offer(row)
            with pytest.raises(LeadershipLost):
                await in_time(relay.drain())

    with pytest.raises(LeadershipLost):
        await publish_after_the_epoch_is_over()
