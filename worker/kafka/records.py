"""What the worker reads, as it was read."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, NamedTuple

import msgspec

from schemas.base import InputEvent
from worker.kafka.fingerprints import record_hash

EARLIEST_EVENT: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""By default no event counts that is dated before: its clock was never set, or its date was left out."""

LARGEST_PARTITION: Final = 2**31 - 1
"""The largest number that Kafka has for a partition."""


class TopicPartition(NamedTuple):
    """One partition of one input topic; the topic's name is the contract's, without the deployment's prefix."""

    topic: str
    partition: int


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a record can never be decided: a code of the contract's table, the field, and words for a person."""

    code: str
    field: str | None
    detail: str


@dataclass(frozen=True, slots=True)
class UnexpandedBatch:
    """A compressed batch that was too large to be expanded: it is rejected as a whole, by one decision.

    Offsets are those of its first record that was not read before, and of its last. `records` and `size_bytes` (of the
    compressed batch) are what its header says; `fingerprint` stands in for a record's hash.
    """

    first_offset: int
    last_offset: int
    records: int
    size_bytes: int
    why: str
    fingerprint: bytes


class InputRecord(msgspec.Struct, eq=False):
    """One record of an input topic, and what reading it gave: an event, or the reason it can never be one.

    `running_max` is the largest valid occurred_at of its partition up to and including this record (None: none yet).
    `business_time` is set when the record is taken: the instant up to which every input had been seen (None: unknown).
    """

    source: TopicPartition
    incarnation: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    event: InputEvent | None
    rejection: Rejection | None
    running_max: datetime | None
    business_time: datetime | None = None
    event_key: str = ""
    """How its event id is remembered; set by whoever looks it up."""
    batch: UnexpandedBatch | None = None
    """The batch that it stands for, which has no records as far as anybody has seen; None for a record."""

    @property
    def next_offset(self) -> int:
        """Where reading goes on after it."""
        return (self.offset if self.batch is None else self.batch.last_offset) + 1

    @property
    def count(self) -> int:
        """How many records it stands for."""
        return 1 if self.batch is None else self.batch.records

    @property
    def fingerprint(self) -> bytes:
        """How it is recognised again."""
        return record_hash(self.key, self.value) if self.batch is None else self.batch.fingerprint

    @property
    def is_added(self) -> bool:
        """Whether no topic had it: its event was added by a plan."""
        return self.offset == _NO_OFFSET


_NO_OFFSET: Final = -1


def added_record(topic: str, value: bytes, event: InputEvent, business_time: datetime | None) -> InputRecord:
    """An event that was added, as if it had been read; it has no place in its topic."""
    source = TopicPartition(topic, _NO_OFFSET)
    return InputRecord(source, _NO_OFFSET, _NO_OFFSET, 0, None, value, (), event, None, None, business_time)


@dataclass(frozen=True, slots=True)
class Position:
    """Where reading of a partition goes on, and a fingerprint of the last decided record.

    `next_offset` is the consumer's own position once everything before it is decided. `last_hash` is the 16-byte
    BLAKE2b of the last decided record's key and value, `last_timestamp` its Kafka timestamp in milliseconds; both None
    before the first record. Of an UnexpandedBatch they are its fingerprint, and its latest timestamp.
    """

    source: TopicPartition
    incarnation: int
    next_offset: int
    last_offset: int | None
    last_timestamp: int | None
    last_hash: bytes | None
    running_max: datetime | None
