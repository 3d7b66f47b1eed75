"""What becomes of a poll that raised: the one partition concerned is mended or stopped, the others go on."""

import asyncio
from collections.abc import Callable
from typing import Final

from aiokafka import TopicPartition as KafkaPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError, TopicAuthorizationFailedError
from aiokafka.structs import ConsumerRecord

from worker.stream.backoff import Backoff
from worker.stream.consumer import Failure, GuardedConsumer
from worker.stream.feeds import Feed
from worker.stream.probe import READ_COMMITTED
from worker.stream.raw_batches import DamagedBatchesError, readable_records
from worker.stream.roster import Roster
from worker.stream.verification import lost, recreated

_RAW_BYTES: Final = 1024 * 1024
_AFTER_FAILURE_SECONDS: Final = 0.5
_INQUIRIES: Final = 4


class Mishaps:
    """Deals with the failures of one consumer. `failed` is told what went wrong and will be tried again."""

    def __init__(self, roster: Roster, failed: Callable[[Exception], None]) -> None:
        self._roster = roster
        self._failed = failed
        self._inquiries: set[asyncio.Task[None]] = set()
        self._unreadable: dict[KafkaPartition, set[int]] = {}

    def close(self) -> None:
        """End what is under way."""
        for task in tuple(self._inquiries):
            task.cancel()

    def unreadable(self, tp: KafkaPartition) -> set[int]:
        """Offsets of the records handed on of which the header keys are no text."""
        return self._unreadable.get(tp, set())

    async def on_failure(self, consumer: GuardedConsumer, failure: Failure) -> list[ConsumerRecord]:
        """Deal with what went wrong with a partition; the records that could be read all the same."""
        feed, error = self._roster.feeds[failure.tp], failure.error
        if isinstance(error, OffsetOutOfRangeError):
            self._inquire(consumer, feed, failure.offset)
        elif isinstance(error, TopicAuthorizationFailedError):
            self._roster.stop(feed, "this user may not read the topic; when it may, restart", discard=False)
        elif failure.is_of_records and isinstance(error, UnicodeDecodeError):
            return await self._read_raw(consumer, failure)
        else:
            self._stop_unreadable(failure.tp, failure.offset, error)
        return []

    async def _read_raw(self, consumer: GuardedConsumer, failure: Failure) -> list[ConsumerRecord]:
        """Read a partition past a header key that aiokafka cannot decode."""
        tp, offset = failure.tp, failure.offset
        try:
            leader = self._roster.looks[tp.topic].leaders[tp.partition]
            fetched = await self._roster.probe.fetch(
                tp, leader, offset, isolation=READ_COMMITTED, limit_bytes=_RAW_BYTES
            )
            records, bad, position = readable_records(tp, offset, fetched.batches, fetched.aborted)
        except (KafkaError, OSError, TimeoutError) as error:
            self._failed(error)
            consumer.metadata_changed = True  # its leader may be another one
            await asyncio.sleep(_AFTER_FAILURE_SECONDS)
            return []
        except (DamagedBatchesError, KeyError) as error:
            self._stop_unreadable(tp, offset, error)
            return []
        self._unreadable[tp] = bad
        fits = len(records) <= failure.room
        consumer.seek(tp, position if fits else records[failure.room].offset)
        return records[: failure.room]

    def _stop_unreadable(self, tp: KafkaPartition, offset: int, error: Exception) -> None:
        feed = self._roster.feeds[tp]
        self._roster.stop(
            feed,
            f"the records from offset {offset} on are damaged ({type(error).__name__}: {error}); to go on after them: "
            f"connects positions set --topic {feed.source.topic} --partition {tp.partition} --offset N",
            discard=False,
        )

    def _inquire(self, consumer: GuardedConsumer, feed: Feed, offset: int) -> None:
        """Ask, while the others are read on, why the broker has nothing at an offset."""
        if feed.awaits_inquiry or feed.stopped:
            return
        feed.awaits_inquiry = True
        consumer.pause(feed.tp)
        task = asyncio.create_task(self._settle_range(consumer, feed, offset), name="intake-inquiry")
        self._inquiries.add(task)
        task.add_done_callback(self._inquiries.discard)

    async def _settle_range(self, consumer: GuardedConsumer, feed: Feed, offset: int) -> None:
        """Find out whether records are lost, or the log is another one; a leader that lags behind catches up."""
        asked = 0
        backoff = Backoff()
        while not feed.stopped:
            await backoff.pause()
            try:
                await self._roster.survey()
                topic = feed.tp.topic
                look = {topic: self._roster.looks[topic]} if topic in self._roster.looks else {}
                start = (await self._roster.probe.starts(look)).get(feed.tp)
                end = (await self._roster.probe.ends(look)).get(feed.tp)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is asked again
                self._failed(error)
                continue
            if start is None or end is None:
                continue  # the topic does not exist now
            asked += 1
            if start <= offset <= end:
                break
            if offset < start:
                self._roster.stop(feed, lost(feed.source, offset, start), discard=False)
            elif asked >= _INQUIRIES:
                self._roster.stop(feed, recreated(feed.source, f"its log ends at {end}, the position is {offset}"))
        feed.awaits_inquiry = False
        if not feed.stopped and feed.tp in consumer.assignment():
            consumer.resume(feed.tp)
