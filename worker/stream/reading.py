"""From a record as Kafka holds it to a record as it is decided."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from aiokafka.structs import ConsumerRecord

from schemas.reading import InvalidEvent, read_event
from worker.stream.records import InputRecord, Rejection, TopicPartition
from worker.stream.wall_clock import WallClock

if TYPE_CHECKING:
    from schemas.base import InputEvent

_UNREADABLE: Final = Rejection(
    "unreadable-record", None, "a header key is not UTF-8 (each byte of it that is not ASCII is told as `?`)"
)


class RecordReader:
    """Reads records of any input topic, and says what is wrong with those that can never be decided.

    An event dated more than `max_clock_skew` after the wall clock is rejected.
    """

    def __init__(self, clock: WallClock, max_clock_skew: timedelta) -> None:
        self._clock = clock
        self._max_clock_skew = max_clock_skew

    def read(
        self,
        source: TopicPartition,
        incarnation: int,
        records: Sequence[ConsumerRecord],
        unreadable: frozenset[int] | set[int] = frozenset(),
    ) -> list[InputRecord]:
        """Read records of one partition. `unreadable` are the offsets of those whose header keys are no text."""
        topic = source.topic
        latest = self._clock.now() + self._max_clock_skew
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
            except InvalidEvent as error:
                rejection = Rejection("invalid-event", error.field, error.detail)
            except Exception as error:  # noqa: BLE001 - whatever a record does to a parser, it is one record
                rejection = Rejection("invalid-event", None, f"cannot be read: {type(error).__name__}")
            if unreadable and record.offset in unreadable:
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
