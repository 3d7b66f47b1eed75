"""The FastStream application that reads: one raw batch subscriber over all partitions of all input topics.

FastStream runs the loop and the lifecycle and is kept off the records: its own parser decodes every header, costs four
times the reading and lets one odd header spoil a batch.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, Final

from aiokafka import TopicPartition as KafkaPartition
from aiokafka.structs import ConsumerRecord
from faststream import AckPolicy, FastStream
from faststream.kafka import KafkaBroker, TopicPartition
from faststream.kafka.message import FAKE_CONSUMER, KafkaMessage

from worker.kafka.guards import guard_clients
from worker.kafka.input.consumer import GuardedConsumer

Receive = Callable[[Sequence[ConsumerRecord]], Awaitable[None]]

_SLEEP_AFTER_EMPTY_POLL_MS: Final = 1
_STOP_SECONDS: Final = 5.0


class _Broker(KafkaBroker):
    """FastStream's broker, with a consumer of our own making."""

    def __init__(self, build_consumer: Callable[..., GuardedConsumer], *, bootstrap_servers: str | list[str]) -> None:
        super().__init__(
            bootstrap_servers,
            consumer_only=True,  # outputs have a producer of their own: the relay's
            allow_auto_create_topics=False,
            apply_types=False,
            graceful_timeout=_STOP_SECONDS,
            logger=None,
        )
        self._build_consumer = build_consumer

    async def _connect(self) -> Callable[..., GuardedConsumer]:
        await super()._connect()
        self.config.broker_config.builder = self._build_consumer
        return self._build_consumer


def reading_application(
    kafka: Mapping[str, Any],
    partitions: Collection[KafkaPartition],
    receive: Receive,
    *,
    max_poll_records: int,
    consumer_options: Mapping[str, Any],
) -> FastStream:
    """Make the application that hands `receive` every batch polled from the partitions, one batch at a time.

    `kafka` are aiokafka's connection arguments, `consumer_options` those of the GuardedConsumer besides.
    """
    guard_clients()
    options = {**kafka, **consumer_options}

    def build_consumer(**given: Any) -> GuardedConsumer:  # noqa: ANN401 - aiokafka's own
        # No group: a group's coordinator could raise in the midst of reading, and positions are the ledger's.
        for ours in ("fetch_max_wait_ms", "isolation_level"):
            given.pop(ours)
        return GuardedConsumer(**{**given, **options, "group_id": None})

    broker = _Broker(build_consumer, bootstrap_servers=kafka["bootstrap_servers"])
    subscriber = broker.subscriber(
        partitions=[TopicPartition(tp.topic, tp.partition, declare=False) for tp in partitions],
        batch=True,
        max_records=max_poll_records,
        batch_timeout_ms=_SLEEP_AFTER_EMPTY_POLL_MS,
        ack_policy=AckPolicy.MANUAL,
        auto_offset_reset="none",
        parser=_parse,
        decoder=_decode,
        no_reply=True,
        include_in_schema=False,
    )
    subscriber(partial(_hand_on, receive))
    return FastStream(broker, logger=None)


async def _hand_on(receive: Receive, records: Sequence[ConsumerRecord]) -> None:
    await receive(records)


async def _parse(records: tuple[ConsumerRecord, ...]) -> KafkaMessage:
    return KafkaMessage(raw_message=records, body=b"", headers={}, consumer=FAKE_CONSUMER)


async def _decode(message: KafkaMessage) -> object:
    return message.raw_message
