"""One flush of the relay: the messages of some outbox rows, in order, as batches for their partitions."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aiokafka.producer.message_accumulator import BatchBuilder

from worker.kafka.output.messages import unpack_whole
from worker.kafka.output.outbox import OutboxRow
from worker.kafka.output.partitioner import partition_of
from worker.kafka.output.place import Place

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

REPUBLISHED: Final = "x-republished"
"""The header of a message that is published once more: the command that ordered it, `command:<id>`."""
_SPEC_VERSION: Final = ("ce_specversion", b"1.0")
_CONTENT_TYPE: Final = ("content-type", b"application/json")


@dataclass(frozen=True, slots=True)
class Route:
    """Where the messages of one output topic go: its name with prefix, and the partition count they are keyed by."""

    topic: str
    partition_count: int
    type_header: tuple[str, bytes]

    @classmethod
    def of(cls, name: str, prefix: str, partition_count: int) -> "Route":
        """The route of an output topic of the contract."""
        return cls(prefix + name, partition_count, ("ce_type", b"connects." + name.encode()))


def source_of(ledger_id: "UUID") -> str:
    """The CloudEvents source of a ledger's messages."""
    return f"/connects-worker/{ledger_id}"


class Flush:
    """Rows put one after the other into batches, until it is taken and sent. Never empty when sent.

    `routes` by the contract's topic names; `source` is the CloudEvents source of all messages.
    """

    def __init__(self, routes: Mapping[str, Route], source: str, new_batch: Callable[[], BatchBuilder]) -> None:
        self.batches: dict[Place, list[BatchBuilder]] = {}
        self.size_bytes = 0
        self.rows = 0
        self.messages = 0
        self.last_seq = 0
        self.batch_uid: UUID | None = None
        self.oldest: datetime | None = None
        self._routes = routes
        self._new_batch = new_batch
        self._source = ("ce_source", source.encode())

    def add(self, row: OutboxRow) -> None:
        """Put a row's messages behind those already here."""
        messages = unpack_whole(row.messages)
        for message in messages:
            route = self._routes[message.topic]
            headers = [
                _SPEC_VERSION,
                self._source,
                _CONTENT_TYPE,
                route.type_header,
                ("ce_id", message.ce_id.encode()),
                ("ce_time", message.ce_time.encode()),
            ]
            if message.republished:
                headers.append((REPUBLISHED, message.republished.encode()))
            place = (route.topic, partition_of(message.key, route.partition_count))
            self._append(place, message.key, message.value, headers)
            self.size_bytes += len(message.value)
        self.rows += 1
        self.messages += len(messages)
        self.last_seq, self.batch_uid = row.seq, row.batch_uid
        self.oldest = self.oldest or row.recorded_at

    async def sent(self) -> None:
        """All of it is published: its transaction is committed. Nothing to do here."""

    def _append(self, place: Place, key: bytes, value: bytes, headers: list[tuple[str, bytes]]) -> None:
        builders = self.batches.setdefault(place, [])
        if builders and builders[-1].append(timestamp=None, key=key, value=value, headers=headers) is not None:
            return
        builders.append(self._new_batch())  # the first message of a batch always fits
        builders[-1].append(timestamp=None, key=key, value=value, headers=headers)
