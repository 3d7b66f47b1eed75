"""From a record as Kafka holds it to a record as it is decided."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from aiokafka.structs import ConsumerRecord

from schemas.reading import InvalidEvent, read_event
from worker.kafka.input.expansion import BATCH_LIMIT_BYTES
from worker.kafka.input.raw_batches import OddRecords
from worker.kafka.records import EARLIEST_EVENT, InputRecord, Rejection, TopicPartition, UnexpandedBatch
from worker.wall_clock import WallClock

if TYPE_CHECKING:
    from schemas.base import InputEvent

_UNREADABLE: Final = Rejection(
    "unreadable-record", None, "a header key is not UTF-8 (each byte of it that is not ASCII is told as `?`)"
)


class RecordReader:
    """Reads records of any input topic, and says what is wrong with those that can never be decided.

    An event dated more than `max_clock_skew` after the wall clock is rejected, and one dated before `earliest_event`.
    """

    def __init__(self, clock: WallClock, max_clock_skew: timedelta, earliest_event: datetime = EARLIEST_EVENT) -> None:
        self._clock = clock
        self._max_clock_skew = max_clock_skew
        self._earliest = earliest_event

    def read(
        self,
        source: TopicPartition,
        incarnation: int,
        records: Sequence[ConsumerRecord],
        odd: OddRecords | None = None,
    ) -> list[InputRecord]:
        """Read records of one partition; `odd` says what was found when they were read raw."""
        topic = source.topic
        earliest, latest = self._earliest, self._clock.now() + self._max_clock_skew
        read: list[InputRecord] = []
        for record in records:
            value = record.value
            event: InputEvent | None = None
            rejection: Rejection | None = None
            try:
                event = read_event(topic, value)
                if event.occurred_at > latest:
                    rejection = self._too_far_ahead(event.occurred_at, latest)
                    event = None
                elif event.occurred_at < earliest:
                    rejection = self._too_long_ago(event.occurred_at)
                    event = None
            except InvalidEvent as error:
                rejection = Rejection("invalid-event", error.field, error.detail)
            except Exception as error:  # noqa: BLE001 - whatever a record does to a parser, it is one record
                rejection = Rejection("invalid-event", None, f"cannot be read: {type(error).__name__}")
            batch: UnexpandedBatch | None = None
            if odd is not None:
                batch = odd.unexpanded.get(record.offset)
                if batch is not None:
                    rejection = _too_large(source, batch)
                elif record.offset in odd.unreadable:
                    event, rejection = None, _UNREADABLE
            read.append(
                InputRecord(
                    source,
                    incarnation,
                    record.offset,
                    record.timestamp,
                    record.key,
                    value,
                    record.headers,
                    event,
                    rejection,
                    None,
                    batch=batch,
                )
            )
        return read

    def _too_far_ahead(self, occurred_at: datetime, latest: datetime) -> Rejection:
        ahead = (occurred_at - latest + self._max_clock_skew).total_seconds()
        return Rejection(
            "occurred-in-the-future",
            "occurred_at",
            f"{occurred_at.isoformat()} is {ahead:.0f} s after the wall clock when it was read; "
            f"at most {self._max_clock_skew.total_seconds():.0f} s are allowed",
        )

    def _too_long_ago(self, occurred_at: datetime) -> Rejection:
        return Rejection(
            "occurred-too-long-ago",
            "occurred_at",
            f"{occurred_at.isoformat()} is before {self._earliest.isoformat()}; "
            "no event before that counts (CONNECTS_EARLIEST_EVENT)",
        )


def _too_large(source: TopicPartition, batch: UnexpandedBatch) -> Rejection:
    return Rejection(
        "batch-too-large",
        None,
        f"the compressed batch in {source.topic}, partition {source.partition}, offsets {batch.first_offset} to "
        f"{batch.last_offset} ({batch.records} records in {batch.size_bytes} bytes), was not expanded, because "
        f"{batch.why}; the limit is {BATCH_LIMIT_BYTES} bytes. To have its events decided, produce them again in "
        "smaller batches",
    )
