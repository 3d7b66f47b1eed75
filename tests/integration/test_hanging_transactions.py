"""A partition that never learns how a transaction ended: what was committed is published there, what was not is not."""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Any
from unittest.mock import patch

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import InvalidTxnState

from tests.kit.administering import administering
from tests.kit.ledger import Ledger, wallet_updated
from tests.kit.reading import everything
from tests.kit.relays import commit_and_offer, each_once, published, running_relay
from tests.kit.waiting import in_time, until, until_async
from worker.kafka.output.abandon import abandon
from worker.kafka.output.flush import Flush, Route, source_of
from worker.kafka.output.marker import MARKER_TOPIC, Marker, marker_key, relay_report
from worker.kafka.output.open_transactions import Look, OpenTransactions
from worker.kafka.output.outbox import OutboxRow
from worker.kafka.output.partitioner import partition_of
from worker.kafka.output.place import Place
from worker.kafka.output.relay import Relay
from worker.kafka.output.relay_opening import transactional_id_of

pytestmark = pytest.mark.in_turn

MARKER = "marker"
OUTPUT = "one output"
OUTPUTS = "all outputs"
ANOTHER = b"another"


@asynccontextmanager
async def trusting_brokers(kafka: dict[str, Any]) -> AsyncIterator[None]:
    """Brokers that take transactional records without asking the coordinator, as those before Kafka 3.6 do."""
    async with administering(kafka) as admin:

        async def trust(settings: dict[str, str]) -> None:
            await admin.alter_configs([ConfigResource(ConfigResourceType.BROKER, "1", settings)])

        async def keep_trusting() -> None:
            while True:  # other tests, which run at the same time, take the setting back
                await trust({"transaction.partition.verification.enable": "false"})
                await asyncio.sleep(0.2)

        keeping = asyncio.create_task(keep_trusting())
        try:
            yield
        finally:
            keeping.cancel()
            await asyncio.wait([keeping])
            await trust({})


def marker_place(prefix: str, ledger: Ledger) -> Place:
    return prefix + MARKER_TOPIC, partition_of(marker_key(ledger.ledger_id), 3)


def never_learns(producer: AIOKafkaProducer, place: Place) -> None:
    """Let the coordinator know nothing of this partition, so that it does not tell it how the transaction ends."""
    producer._txn_manager._txn_partitions.add(TopicPartition(*place))  # noqa: SLF001 - there is no public way to do this wrong


def forgotten(what: Collection[str], outputs: Collection[Place], marker: Place) -> set[Place]:
    places = {marker} if MARKER in what else set()
    if OUTPUT in what:
        places.add(min(outputs))
    return places | set(outputs) if OUTPUTS in what else places


async def leave_hanging(
    kafka: dict[str, Any], prefix: str, ledger: Ledger, row: OutboxRow, what: Collection[str], end: str
) -> bool:
    """Publish a row as a relay does, in a transaction of which some partitions never learn the end.

    False: the broker did ask the coordinator, as its new setting had not reached it.
    """
    producer = AIOKafkaProducer(**kafka, transactional_id=transactional_id_of(prefix, ledger.ledger_id))
    await producer.start()
    await producer.begin_transaction()
    route = Route.of("wallet-updated", prefix, 3)
    flush = Flush({"wallet-updated": route}, source_of(ledger.ledger_id), producer.create_batch)
    flush.add(row)
    outputs, marker = set(flush.batches), marker_place(prefix, ledger)
    flush.batches[marker] = [batch := producer.create_batch()]
    value = Marker(ledger.ledger_id, ledger.epoch, row.seq, row.batch_uid, {"wallet-updated": 3})
    batch.append(timestamp=None, key=marker_key(ledger.ledger_id), value=value.encode())
    try:
        for place in forgotten(what, outputs, marker):
            never_learns(producer, place)
        for place, (builder,) in flush.batches.items():
            await (await producer.send_batch(builder, place[0], partition=place[1]))
        if end:
            await (producer.commit_transaction if end == "commit" else producer.abort_transaction)()
    except InvalidTxnState:
        return False
    finally:
        await abandon(producer)
    return True


@pytest.mark.parametrize(
    ("what", "end"),
    [
        *((what, end) for what in ([MARKER], [OUTPUT], [MARKER, OUTPUT], [OUTPUTS]) for end in ("commit", "abort")),
        ([MARKER, OUTPUTS], ""),
    ],
    ids=lambda given: given if isinstance(given, str) else " and ".join(given),
)
@pytest.mark.parametrize("earlier", [1, 0])
async def test_what_hangs_of_an_earlier_relay_ends_as_the_rest_of_its_transaction(
    kafka: dict[str, Any], topics: str, ledger: Ledger, what: list[str], end: str, earlier: int
) -> None:
    """Kafka takes it for a part of the next transaction there; and only the rest says whether it was committed."""
    async with running_relay(kafka, topics, ledger) as relay:
        await commit_and_offer(ledger, relay, range(1, 1 + earlier))
        await relay.drain()
    row = await ledger.commit(*(wallet_updated(f"f-{n}", 1 + earlier) for n in range(5)))
    async with trusting_brokers(kafka):
        await until_async(lambda: leave_hanging(kafka, topics, ledger, row, what, end))
    async with running_relay(kafka, topics, ledger) as relay:
        await commit_and_offer(ledger, relay, range(2 + earlier, 3 + earlier))
        await relay.drain()
    assert await published(kafka, topics) == each_once(2 + earlier)
    assert (await relay_report(kafka, topics, ledger.ledger_id, ledger))["consistent"]


@pytest.mark.parametrize("what", [MARKER, OUTPUT])
async def test_nothing_counts_as_published_before_each_partition_shows_it(
    kafka: dict[str, Any], topics: str, ledger: Ledger, what: str
) -> None:
    """The coordinator has acknowledged the commit, and one partition does not learn of it."""
    forgetting = False

    async def begin_forgetting(producer: AIOKafkaProducer) -> None:
        await begin(producer)
        if forgetting:
            never_learns(producer, marker_place(topics, ledger) if what == MARKER else (f"{topics}wallet-updated", 0))

    begin = AIOKafkaProducer.begin_transaction
    async with running_relay(kafka, topics, ledger, transaction_seconds=3) as relay:
        await commit_and_offer(ledger, relay, range(1, 2))
        await relay.drain()
        with patch.object(AIOKafkaProducer, "begin_transaction", begin_forgetting):
            async with trusting_brokers(kafka):
                forgetting = True
                await commit_and_offer(ledger, relay, range(2, 3), freelancers=20)
                await until(lambda: "waiting for the end of the transaction in" in (relay.last_error or ""))
                assert relay.published == 1
                forgetting = False
        await commit_and_offer(ledger, relay, range(3, 4))
        await relay.drain()
        assert relay.healthy
    assert (await published(kafka, topics)) == each_once(3) | {f"f-{n}": [2] for n in range(5, 20)}


async def write_everywhere(another: AIOKafkaProducer, prefix: str, ledger: Ledger) -> None:
    """As another producer, write to the marker's partition and to all of an output."""
    for topic, partition in [marker_place(prefix, ledger), *((f"{prefix}wallet-updated", n) for n in range(3))]:
        await another.send_and_wait(topic, key=ANOTHER, partition=partition)


async def published_beside_another(kafka: dict[str, Any], prefix: str) -> dict[str, list[int]]:
    read = await everything(kafka, f"{prefix}wallet-updated")
    read.records = [record for record in read.records if record.key != ANOTHER]
    return read.versions


async def test_what_another_producer_has_open_keeps_no_message_back(
    kafka: dict[str, Any], topics: str, ledger: Ledger
) -> None:
    """Readers wait for it, as it is another's, and the last stable offset stays; but our own transaction is over."""
    async with (
        running_relay(kafka, topics, ledger, transaction_seconds=5) as relay,
        AIOKafkaProducer(**kafka, transactional_id=f"{topics}another") as another,
    ):
        await commit_and_offer(ledger, relay, range(1, 2))
        await relay.drain()
        async with another.transaction():
            await write_everywhere(another, topics, ledger)
            await commit_and_offer(ledger, relay, range(2, 4))
            await relay.drain()
            assert (relay.healthy, relay.published) == (True, 3)
    assert await published_beside_another(kafka, topics) == each_once(3)


@pytest.mark.parametrize("end", ["commit", "abort"])
async def test_what_another_producer_hides_is_waited_for_before_it_is_judged(
    kafka: dict[str, Any], topics: str, ledger: Ledger, end: str
) -> None:
    """The marker hangs, and the messages that say how its transaction ended are behind a transaction of another."""
    row = await ledger.commit(*(wallet_updated(f"f-{n}", 1) for n in range(5)))
    async with AIOKafkaProducer(**kafka, transactional_id=f"{topics}another") as another:
        async with another.transaction():
            await write_everywhere(another, topics, ledger)
            async with trusting_brokers(kafka):
                await until_async(lambda: leave_hanging(kafka, topics, ledger, row, [MARKER], end))
            relay = Relay(kafka, topics, ledger.ledger_id, ledger)
            opening = asyncio.create_task(relay.open(await ledger.take_over()))
            await until(lambda: "what is open in the output topics" in (relay.waits_for or ""))
            done, _ = await asyncio.wait({opening}, timeout=1)
            assert not done
        await in_time(opening)
        assert relay.published == (1 if end == "commit" else 0)
        await relay.close()
    async with running_relay(kafka, topics, ledger) as relay:
        await relay.drain()
    assert await published_beside_another(kafka, topics) == each_once(1)


async def test_nothing_is_sent_to_a_partition_of_which_nobody_knows_what_is_open_there(
    kafka: dict[str, Any], topics: str, ledger: Ledger
) -> None:
    """An earlier relay's transaction hangs there, aborted; our commit would publish it."""
    blind = (f"{topics}wallet-updated", partition_of(b"f-0", 3))
    looks = 0

    async def look_without_it(open_transactions: OpenTransactions, places: Collection[Place]) -> Look:
        nonlocal looks
        looks += 1
        return await look(open_transactions, set(places) - {blind} if looks <= 2 else places)

    look = OpenTransactions.look
    row = await ledger.commit(*(wallet_updated(f"f-{n}", 1) for n in range(5)))
    async with trusting_brokers(kafka):
        await until_async(lambda: leave_hanging(kafka, topics, ledger, row, [OUTPUTS], "abort"))
    with patch.object(OpenTransactions, "look", look_without_it):
        async with running_relay(kafka, topics, ledger) as relay:
            await relay.drain()
    assert looks > 2
    assert await published(kafka, topics) == each_once(1)
