"""Comparing wallet-updated with the changes: one message for each change, in order, with the same content."""

from collections.abc import AsyncIterator, Container, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import msgspec
from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.structs import ConsumerRecord

from worker.kafka.broker import Probe
from worker.kafka.output.flush import source_of
from worker.kafka.output.marker import MARKER_TOPIC, consumer_of, read_marker
from worker.kafka.output.partitioner import partition_of
from worker.kafka.output.published_messages import republished_by
from worker.ledger.connections import Connection
from worker.ledger.rows import movements_in
from worker.ledger.sql import load
from worker.proof.against_topics import AgainstTopics
from worker.proof.checks import Finding, Progress
from worker.proof.input_topics import TOPICS
from worker.proof.reading import UNREADABLE
from worker.proof.unreadable import in_words
from worker.queries.asking import ledger_id_of

WALLET_UPDATED: Final = "wallet-updated"
_SQL: Final = load("state.sql")
_RECORDS: Final = 2_000
_POLL_MS: Final = 200
_WALLETS: Final = 500
_FIELDS: Final = ("delta", "debt_delta", "balance_after", "rule", "reason", "policy_version", "explanation")
_BOOKED_AGAIN: Final = ("recorded_at", "explanation", "cause")
"""What may differ where a change was made again after a restore; of the cause all that counts was compared then."""
_INSTANTS: Final = ("occurred_at", "recorded_at")
_OF_THE_CAUSE: Final = ("topic", "incarnation", "partition", "offset", "event_id", "added")
_decode: Final = msgspec.json.Decoder().decode

Message = dict[str, Any]


class _Trigger(msgspec.Struct):
    corrects: list[str] | None = None


_trigger_in: Final = msgspec.json.Decoder(_Trigger).decode


class Keyed(NamedTuple):
    """A partition, of how many that keys are spread over.

    `is_whole`: it has all that was ever published there. `is_hidden`: a transaction is open in it.
    """

    partition: int
    of: int
    is_whole: bool
    is_hidden: bool

    def has(self, name: str) -> bool:
        """Whether the wallet's messages go there."""
        return partition_of(name.encode(), self.of) == self.partition


class Versions:
    """The versions of the wallets of one partition, in the order of their messages.

    Each is there once, in order. What `connects outputs republish` published once more may repeat any of them, once for
    each such command, and stands in for one that is missing.
    """

    def __init__(self) -> None:
        self.last: dict[str, int] = {}
        """The newest version of each wallet."""
        self._again: dict[tuple[str, str], int] = {}
        """The last version of a wallet that a command published once more."""
        self._gaps: dict[str, list[tuple[int, int]]] = {}
        """Of each wallet the versions that are missing, as first and last."""

    def see(self, name: str, version: int, republished: str, *, is_whole: bool) -> int | None:
        """Take the next message; returns the version after which it must not come, if there is one."""
        before = self.last.get(name, 0)
        if republished:
            if version <= (after := self._again.get((name, republished), 0)):
                return after
            self._again[name, republished] = version
            self._fill(name, version)
        elif version <= before:
            return before
        if version > before + 1 and (before or is_whole):
            self._gaps.setdefault(name, []).append((before + 1, version - 1))
        self.last[name] = max(before, version)
        return None

    def _fill(self, name: str, version: int) -> None:
        for place, (first, last) in enumerate(self._gaps.get(name, ())):
            if first <= version <= last:
                parts = ((first, version - 1), (version + 1, last))
                self._gaps[name][place : place + 1] = [(start, end) for start, end in parts if start <= end]
                return

    def missing(self) -> Iterator[str]:
        """What is not there, in words."""
        for name, gaps in self._gaps.items():
            for first, last in gaps:
                yield f"{name}: the versions {first} to {last} are not in the topic"


class OutputTopic:
    """Compares partition by partition; `counts` says what was compared and what was not."""

    def __init__(
        self, connection: Connection, probe: Probe, kafka: Mapping[str, Any], prefix: str, counts: AgainstTopics,
        progress: Progress,
    ) -> None:  # fmt: skip
        self._connection, self._probe, self._kafka, self._prefix = connection, probe, kafka, prefix
        self._topic = prefix + WALLET_UPDATED
        self._counts, self._progress = counts, progress

    async def compare(self) -> AsyncIterator[Finding]:
        """What differs. What is published is fixed before the topic is read, so it is in the topic.

        Raises:
            KafkaError, OSError, TimeoutError: the broker is away.
        """
        end = await self._connection.fetchrow(_SQL["published_through"])
        ledger_id = await ledger_id_of(self._connection)
        found = await self._probe.topics([self._topic])
        look = found.found.get(self._topic)
        if end is None or look is None:
            why = found.denied.get(self._topic, "does not exist")
            self._counts.not_compared.append(f"{WALLET_UPDATED}: the topic {self._topic} {why}")
            return
        marker = await read_marker(self._kafka, self._prefix + MARKER_TOPIC, ledger_id)
        published, count = end["dropped"], len(look.leaders)
        if marker is not None:
            published, count = max(published, marker.seq), marker.partitions.get(WALLET_UPDATED, count)
        looks = {self._topic: look}
        stable_ends, ends = (await self._probe.stable_ends(looks)).known, (await self._probe.ends(looks)).known
        async with consumer_of(self._kafka, "read_committed") as consumer:
            for partition in sorted(look.leaders):
                place, seen = KafkaPartition(self._topic, partition), Versions()
                consumer.assign([place])
                start = (await consumer.beginning_offsets([place]))[place]
                async for records in _records(consumer, place, start):
                    async for finding in self._compare(records, source_of(ledger_id), seen, is_whole=start == 0):
                        yield finding
                for words in seen.missing():
                    yield Finding(TOPICS, "not-published", words, WALLET_UPDATED)
                is_hidden = ends.get(place, 0) > stable_ends.get(place, 0)
                keyed = Keyed(partition, count, is_whole=start == 0, is_hidden=is_hidden)
                async for finding in self._unpublished(seen.last, keyed, end["seq"], published):
                    yield finding

    async def _compare(
        self, records: Iterable[ConsumerRecord], source: str, seen: Versions, *, is_whole: bool
    ) -> AsyncIterator[Finding]:
        """Compare some messages with their changes, and their versions with those of the messages before."""
        own = []
        for record in records:
            if source.encode() not in {value for name, value in record.headers if name == "ce_source"}:
                self._counts.of_other_ledgers += 1
            elif (found := _message_in(record.value)) is not None:
                own.append((record, found))
            else:
                words = f"partition {record.partition}, offset {record.offset}: the message cannot be read"
                yield Finding(TOPICS, "inconsistent", words, WALLET_UPDATED)
        names = [message["freelancer_id"] for _, message in own]
        versions = [message["version"] for _, message in own]
        rows = await self._connection.fetch(_SQL["changes_by_version"], names, versions)
        changes = {(row["freelancer_id"], row["version"]): dict(row) for row in rows}
        again = await self._made_again(names, versions)
        for record, message in own:
            name, version = message["freelancer_id"], message["version"]
            where = f"{name}, version {version}"
            republished = republished_by(record)
            self._counts.republished += bool(republished)
            before = seen.last.get(name, 0)
            if (after := seen.see(name, version, republished, is_whole=is_whole)) is not None:
                words = f"{where} was published again after version {after}"
                yield Finding(TOPICS, "inconsistent", words, WALLET_UPDATED)
            elif version > before + 1 and not (before or is_whole):
                self._counts.messages_below_retention += version - 1
            change = changes.get((name, version))
            if change is None:
                yield Finding(
                    TOPICS, "not-in-topic", f"{where} was published, and the ledger has no such change", "changes"
                )
            elif words := _differs(record.key, message, change, () if (name, version) not in again else _BOOKED_AGAIN):
                yield Finding(TOPICS, "inconsistent", f"{where}: {words}", WALLET_UPDATED, change["decision_seq"])
            else:
                self._counts.messages += 1
        self._progress.advance(len(own))

    async def _made_again(self, names: list[str], versions: list[int]) -> set[tuple[str, int]]:
        """Which of these were published before the database was restored, and compared when they were made again."""
        rows = await self._connection.fetch(_SQL["made_again"], names, versions)
        return {(row["freelancer_id"], row["version"]) for row in rows}

    async def _unpublished(
        self, last: Mapping[str, int], keyed: "Keyed", through: int, published: int
    ) -> AsyncIterator[Finding]:
        """Changes after the last version that the partition has of each of its wallets."""
        after = ""
        while rows := await self._connection.fetch(_SQL["wallets_after"], after, _WALLETS):
            names = [row["freelancer_id"] for row in rows if keyed.has(row["freelancer_id"])]
            seen = [last.get(name, 0) for name in names]
            for row in await self._connection.fetch(_SQL["changes_after_versions"], names, seen, through):
                name = row["freelancer_id"]
                if row["outbox_seq"] is None or row["outbox_seq"] > published:
                    self._counts.in_the_outbox += 1
                elif keyed.is_hidden:
                    self._counts.hidden += 1
                elif name not in last and not keyed.is_whole:
                    self._counts.messages_below_retention += 1
                else:
                    words = f"{name}, version {row['version']}: the change was published, and is not in the topic"
                    yield Finding(TOPICS, "not-published", words, WALLET_UPDATED, row["decision_seq"])
            after = rows[-1]["freelancer_id"]


async def _records(
    consumer: AIOKafkaConsumer, place: KafkaPartition, start: int
) -> AsyncIterator[list[ConsumerRecord]]:
    """A partition's committed records, up to where it ends now."""
    end = (await consumer.end_offsets([place]))[place]
    consumer.seek(place, start)
    while await consumer.position(place) < end:
        read = await consumer.getmany(place, timeout_ms=_POLL_MS, max_records=_RECORDS)
        if records := read.get(place, []):
            yield records


def _message_in(value: bytes | None) -> Message | None:
    """A message, if it is one of a wallet's version."""
    try:
        found = _decode(value or b"")
    except ValueError:
        return None
    is_one = isinstance(found, dict) and isinstance(found.get("freelancer_id"), str)
    return found if is_one and isinstance(found.get("version"), int) else None


def _differs(key: bytes | None, message: Message, change: Mapping[str, Any], left_out: Container[str]) -> str:
    """In what a message is not what its change says, in words; empty: in nothing but what is left out."""
    try:
        differs = [field for field in message_differences(key, message, change) if field not in left_out]
    except UNREADABLE as error:
        return f"the message, or its change, cannot be read: {in_words(error)}"
    return f"{', '.join(differs)} of the message is not that of the change" if differs else ""


def message_differences(key: bytes | None, message: Message, change: Mapping[str, Any]) -> list[str]:
    """Which fields of a message are not what its change says. No I/O."""
    expected: Message = {name: change[name] for name in _FIELDS}
    expected |= {name: change[name] for name in _INSTANTS}
    expected |= {
        "balance_before": change["balance_after"] - change["delta"],
        "overdrawn": change["balance_after"] < 0,
        "cause": {name: change[name] for name in _OF_THE_CAUSE if name == "topic" or change[name] is not None},
        "lots": lots_of(change["movements"]),
        "corrects": _trigger_in(change["trigger"]).corrects if change["trigger"] is not None else None,
    }
    found = {name: message.get(name) for name in expected}
    for name in _INSTANTS:
        found[name] = msgspec.convert(found[name], type(change[name]), strict=False)
    found["lots"] = {lot["lot_id"]: lot["delta"] for lot in message["lots"]}
    differs = [name for name, value in expected.items() if found[name] != value]
    return differs + ["key"] * (key != message["freelancer_id"].encode())


def lots_of(movements: str) -> dict[str, int]:
    """What a change's movements did to each lot, those that it left as they were included."""
    found: dict[str, int] = {}
    for lot_id, _, _, delta in movements_in(movements):
        if lot_id is not None:
            found[lot_id] = found.get(lot_id, 0) + delta
    return found
