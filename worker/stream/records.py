"""What the worker reads, as it was read."""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import msgspec

from schemas.base import InputEvent


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


@dataclass(frozen=True, slots=True)
class Position:
    """Where reading of a partition goes on, and a fingerprint of the last decided record.

    `next_offset` is the consumer's own position once everything before it is decided. `last_hash` is the 16-byte
    BLAKE2b of the last decided record's key and value, `last_timestamp` its Kafka timestamp in milliseconds; both None
    before the first record.
    """

    source: TopicPartition
    incarnation: int
    next_offset: int
    last_offset: int | None
    last_timestamp: int | None
    last_hash: bytes | None
    running_max: datetime | None
