"""What the relay and the dead-letter lane ask of the ledger, and nothing more."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """The messages of one committed batch, packed in order; `seq` grows by 1 from row to row."""

    seq: int
    batch_uid: UUID
    recorded_at: datetime
    messages: bytes


class RelayDatabase(Protocol):
    """The ledger as the relay sees it. Every method raises Transient while the database is away."""

    async def outbox_rows(self, after_seq: int, limit_bytes: int) -> Sequence[OutboxRow]:
        """The rows after `after_seq`, in order, up to about `limit_bytes` of messages; at least one if there is one."""

    async def outbox_state(self) -> tuple[int, int]:
        """The last `seq` ever given to a batch, and the `seq` up to which rows were dropped; 0 for none."""

    async def batch_uid_at(self, seq: int) -> UUID | None:
        """The `batch_uid` of the batch with that `seq`; None when there is no such batch."""

    async def still_mine(self, epoch: int) -> bool:
        """Whether the ledger's epoch is still that one."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One record that can never be decided, as it was read, and why. `headers` as `pack_headers` packed them.

    `attempts` counts readings after the first; `timestamp_ms` is the record's Kafka timestamp. `left_out`: the value is
    too large for any letter, and is not here but in the ledger.
    """

    decision_seq: int
    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: bytes
    error_code: str
    error_detail: str
    attempts: int
    left_out: bool = False


class DeadLetterDatabase(Protocol):
    """The ledger as the dead-letter lane sees it. Every method raises Transient while the database is away."""

    async def letters_unsent(self, limit: int, value_bytes: int, limit_bytes: int) -> Sequence[DeadLetter]:
        """The oldest letters that nobody acknowledged yet, in ledger order.

        At most `limit`, and of about `limit_bytes` together, but at least one if there is one. Values of more than
        `value_bytes` are left out.
        """

    async def letters_sent(self, seqs: Sequence[int]) -> None:
        """Note that the letters of these decisions were acknowledged."""
