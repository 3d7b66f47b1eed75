"""Handles a failed fetch: repairs or stops that one partition; the others go on."""

import asyncio
from collections.abc import Callable
from typing import Final

from aiokafka import TopicPartition as KafkaPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError, TopicAuthorizationFailedError
from aiokafka.structs import ConsumerRecord

from worker.backoff import Backoff
from worker.kafka.broker import READ_COMMITTED
from worker.kafka.input.buffers import PartitionBuffer
from worker.kafka.input.consumer import Failure, GuardedConsumer
from worker.kafka.input.expansion import BatchTooLargeError
from worker.kafka.input.partitions import AssignedPartitions
from worker.kafka.input.raw_batches import DamagedBatchesError, OddRecords, readable_records
from worker.kafka.input.verify import damaged, lost, recreated
from worker.kafka.troubles import what_error_says

_RAW_BYTES: Final = 1024 * 1024
_INQUIRIES: Final = 4


class DamagedFetches:
    """Deals with the failures of one consumer. `failed` is told what went wrong and will be tried again."""

    def __init__(self, assigned: AssignedPartitions, failed: Callable[[Exception], None]) -> None:
        self._assigned = assigned
        self._failed = failed
        self._inquiries: set[asyncio.Task[None]] = set()
        self._odd: dict[KafkaPartition, OddRecords] = {}

    def close(self) -> None:
        """End what is under way."""
        for task in tuple(self._inquiries):
            task.cancel()

    def odd(self, tp: KafkaPartition) -> OddRecords | None:
        """What is odd about the records that were handed on last and had been read raw; None: nothing."""
        return self._odd.get(tp)

    async def on_failure(self, consumer: GuardedConsumer, failure: Failure) -> list[ConsumerRecord]:
        """Deal with what went wrong with a partition; the records that could be read all the same."""
        feed, error = self._assigned.feeds[failure.tp], failure.error
        if isinstance(error, OffsetOutOfRangeError):
            self._inquire(consumer, feed, failure.offset)
        elif isinstance(error, TopicAuthorizationFailedError):
            self._assigned.lose(feed, what_error_says(error, feed.leader))
        elif failure.is_of_records and isinstance(error, UnicodeDecodeError | BatchTooLargeError):
            return await self._read_raw(consumer, failure)
        else:
            self._stop_unreadable(failure.tp, failure.offset, error)
        return []

    async def _read_raw(self, consumer: GuardedConsumer, failure: Failure) -> list[ConsumerRecord]:
        """Read a partition past a header key that aiokafka cannot decode, or past a batch that is too large.

        In a thread: a batch may be large, and what is done here for each record takes longer than aiokafka's way.
        """
        tp, offset = failure.tp, failure.offset
        feed = self._assigned.feeds[tp]
        try:
            fetched = await self._assigned.probe.fetch(
                tp, feed.leader, offset, isolation=READ_COMMITTED, limit_bytes=_RAW_BYTES
            )
            read = await asyncio.to_thread(
                readable_records, tp, offset, fetched.batches, fetched.aborted, most=failure.room
            )
        except (KafkaError, OSError, TimeoutError) as error:
            self._failed(error)
            self._assigned.lose(feed, what_error_says(error, feed.leader))  # every poll would wait for it
            return []
        except (DamagedBatchesError, KeyError) as error:
            self._stop_unreadable(tp, offset, error)
            return []
        self._odd[tp] = read.odd
        consumer.seek(tp, read.position)
        return read.records

    def _stop_unreadable(self, tp: KafkaPartition, offset: int, error: Exception) -> None:
        feed = self._assigned.feeds[tp]
        self._assigned.stop(feed, damaged(feed.source, offset, error), discard=False)

    def _inquire(self, consumer: GuardedConsumer, feed: PartitionBuffer, offset: int) -> None:
        """Ask, while the others are read on, why the broker has nothing at an offset."""
        if feed.awaits_inquiry or feed.stopped:
            return
        feed.awaits_inquiry = True
        consumer.pause(feed.tp)
        task = asyncio.create_task(self._settle_range(consumer, feed, offset), name="intake-inquiry")
        self._inquiries.add(task)
        task.add_done_callback(self._inquiries.discard)

    async def _settle_range(self, consumer: GuardedConsumer, feed: PartitionBuffer, offset: int) -> None:
        """Find out whether records are lost, or the log is another one; a leader that lags behind catches up."""
        asked = 0
        backoff = Backoff()
        while not feed.stopped:
            await backoff.pause()
            try:
                await self._assigned.survey()
                topic = feed.tp.topic
                look = {topic: self._assigned.looks[topic]} if topic in self._assigned.looks else {}
                start = (await self._assigned.probe.starts(look)).known.get(feed.tp)
                end = (await self._assigned.probe.ends(look)).known.get(feed.tp)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is asked again
                self._failed(error)
                continue
            if start is None or end is None:
                continue  # the topic does not exist now
            asked += 1
            if start <= offset <= end:
                break
            if offset < start:
                self._assigned.stop(feed, lost(feed.source, offset, start), discard=False)
            elif asked >= _INQUIRIES:
                self._assigned.stop(feed, recreated(feed.source, f"its log ends at {end}, the position is {offset}"))
        feed.awaits_inquiry = False
        if not feed.stopped and feed.tp in consumer.assignment():
            consumer.resume(feed.tp)
