"""Writing the relay's marker again where its topic lost it: part of `connects topics create --fix`."""

import asyncio
from typing import Any, Final
from uuid import UUID

import msgspec
import structlog

from worker.errors import OperatorNeeded, Transient
from worker.kafka.broker import probing
from worker.kafka.contact import kafka_failures
from worker.kafka.output.marker import MARKER_TOPIC, Figures, Marker, compare, marker_key
from worker.kafka.output.open_transactions import Look
from worker.kafka.output.partitioner import partition_of
from worker.kafka.output.place import named
from worker.kafka.output.published_messages import Published, find_published
from worker.kafka.output.relay_opening import output_places, relay_producer
from worker.kafka.output.transactions import TransactionalProducer
from worker.kafka.topics import check_topics
from worker.ledger.leadership import Leadership
from worker.ledger.postgres import PostgresStore
from worker.ledger.rows import as_uuid
from worker.ledger.sql import load
from worker.queries.asking import connected, snapshot
from worker.settings import Settings

_SQL: Final = load("asking.sql")
_TRANSACTION_SECONDS: Final = 15.0
_LOOK_SECONDS: Final = 60.0
_OTHERS_SECONDS: Final = 60.0

_log = structlog.get_logger(__name__)


class MarkerRestored(msgspec.Struct, frozen=True):
    """The marker that was written: rows up to `published` are published, `pending` ones are sent by the next worker."""

    published: int
    pending: int
    partitions: dict[str, int]


async def marker_is_lost(settings: Settings) -> bool:
    """Whether there is no marker though the ledger knows that there was one. While a worker leads, it writes it again.

    Raises:
        OperatorNeeded, Transient: the ledger or Kafka cannot be asked.
    """
    async with snapshot(settings.database_url) as connection:
        leader = await connection.fetchrow(_SQL["leader"])
    if leader is None or leader["held"]:
        return False
    store = PostgresStore(settings.database_url, "relay-marker")
    try:
        with kafka_failures(settings.kafka_kwargs()):
            topic = settings.topic_prefix + MARKER_TOPIC
            figures = await compare(settings.kafka_kwargs(), topic, as_uuid(leader["ledger_id"]), store)
    finally:
        await store.close()
    return figures.marker is None and figures.contradiction() is not None


async def restore_marker(settings: Settings, leadership: Leadership) -> MarkerRestored:
    """Find out from the output topics what is published, and write the marker that says so.

    `leadership` was acquired: no worker leads meanwhile. Each Kafka transaction sent whole outbox rows, in order, so
    the rows that are published are those up to one of them.

    Raises:
        OperatorNeeded: nothing is to be restored, or the topics hold what this ledger does not know.
        Transient: the database or Kafka is away.
    """
    ledger_id, prefix, kafka = leadership.ledger_id, settings.topic_prefix, settings.kafka_kwargs()
    store = PostgresStore(settings.database_url, "relay-restore-marker")
    producer = relay_producer(kafka, prefix, ledger_id, store, _TRANSACTION_SECONDS)
    try:
        with kafka_failures(kafka):
            figures = await figures_without_a_relay(settings, ledger_id, producer, store)
            if figures.marker is not None or figures.contradiction() is None:
                raise OperatorNeeded("the marker is not lost: nothing is restored. `connects relay show` has it.")
            found, published, pending_ids = await find_published(
                kafka, prefix, ledger_id, store, figures.dropped_through
            )
            await _require_known(settings, found, pending_ids)
            batch_uid = await store.batch_uid_at(published)
            if batch_uid is None:
                raise OperatorNeeded(f"the ledger has no batch of outbox row {published}. Was the table edited?")
            marker = Marker(ledger_id, leadership.epoch, published, batch_uid, found.partitions)
            await send_marker(producer, prefix, marker)
    finally:
        await producer.abandon()
        await store.close()
    _log.info("relay.marker_restored", published=published)
    return MarkerRestored(published, figures.last_seq - published, found.partitions)


async def figures_without_a_relay(
    settings: Settings, ledger_id: UUID, producer: TransactionalProducer, store: PostgresStore
) -> Figures:
    """What marker and ledger say, once the last relay is fenced, what it left open is over, and nothing hides messages.

    Raises:
        OperatorNeeded: the marker's topic does not exist, or would lose the marker again; or as the producer says.
        Transient, KafkaError, OSError: the database or Kafka is away.
    """
    await _require_sound_topic(settings)
    await producer.start()  # fences the last relay: what it had open is aborted or committed now
    places = await output_places(producer, settings.topic_prefix)
    async with asyncio.timeout(_LOOK_SECONDS):
        look = await producer.end_hanging(places)
    await _until_all_is_visible(look)
    return await compare(settings.kafka_kwargs(), settings.topic_prefix + MARKER_TOPIC, ledger_id, store)


async def send_marker(producer: TransactionalProducer, prefix: str, marker: Marker) -> None:
    """Publish a marker by itself.

    Raises:
        TransactionFailed: it may be published or not.
        Transient: the broker does not describe its topic.
    """
    topic, key = prefix + MARKER_TOPIC, marker_key(marker.ledger_id)
    place = (topic, partition_of(key, await producer.partition_count(topic)))
    await producer.transact([(place, [marker.batch(producer.new_batch)])], lambda _point: None)


async def _until_all_is_visible(look: Look) -> None:
    """Wait until no transaction of others hides what is published behind it.

    Raises:
        Transient: it takes too long.
    """
    try:
        async with asyncio.timeout(_OTHERS_SECONDS):
            await look.until_others_are_over()
    except TimeoutError:
        raise Transient(
            f"another producer's transaction has been open in {named(look.of_others)} for {_OTHERS_SECONDS:.0f} s: "
            "until it is over, nobody can see what is published behind it. Nothing was written."
        ) from None


async def _require_sound_topic(settings: Settings) -> None:
    """Refuse a topic in which the marker could not stay.

    Raises:
        OperatorNeeded: it does not exist, or would lose the marker again.
    """
    topic = settings.topic_prefix + MARKER_TOPIC
    async with probing(settings.kafka_kwargs()) as probe:
        if topic not in (await probe.topics([topic])).found:
            raise OperatorNeeded(f"the topic {topic} does not exist. Run `connects topics create`.")
        for wrong in (await check_topics(probe, settings.topic_prefix)).wrong:
            if wrong.topic == topic:
                raise OperatorNeeded(f"{wrong}. Then run this again.")


async def _require_known(settings: Settings, found: Published, pending_ids: set[str]) -> None:
    """Refuse if the last message of some partition is one that the ledger does not know: then it is an older copy."""
    async with connected(settings.database_url) as connection:
        for name, record in found.last:
            headers: dict[str, Any] = dict(record.headers)
            if headers["ce_id"].decode() in pending_ids:
                continue
            body = msgspec.json.decode(record.value, type=dict[str, Any])
            what = str(body.get("charge_id") or body.get("version"))
            if not await connection.fetchval(_SQL[f"knows_{name.replace('-', '_')}"], body["freelancer_id"], what):
                raise OperatorNeeded(
                    f"{record.topic}, partition {record.partition}, offset {record.offset} has {what} of "
                    f"{body['freelancer_id']}, which this ledger does not know: it is an older copy of the one that "
                    "published it. Restore the newest database, or, if none is newer, run `connects relay adopt`. "
                    "Nothing was written."
                )
