"""Comparing input topics with the ledger: each record below a position has its decision, on the same content."""

from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, Final, NamedTuple

from aiokafka import TopicPartition as KafkaPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError
from aiokafka.structs import ConsumerRecord

from worker.kafka.broker import READ_COMMITTED, Probe, TopicLooks
from worker.kafka.input.raw_batches import DamagedBatchesError, OddRecords, readable_records
from worker.kafka.input.verify import verify
from worker.kafka.records import Position, TopicPartition
from worker.kafka.troubles import what_error_says
from worker.ledger.connections import Connection
from worker.ledger.sql import load
from worker.proof.against_topics import AgainstTopics
from worker.proof.checks import Finding, Progress
from worker.queries.positions import stored_positions

TOPICS: Final = "topics"
_SQL: Final = load("state.sql")
_RECORDS: Final = 2_000
_COUNTED: Final = 500_000
"""How many decisions one statement counts."""
_NO_OFFSET: Final = 2**63 - 1
_FETCH_BYTES: Final = 2 * 1024 * 1024


class Skip(NamedTuple):
    """Offsets from `first` on, before `next`, that an operator had skipped."""

    first: int
    next: int

    def __contains__(self, offset: object) -> bool:
        return isinstance(offset, int) and self.first <= offset < self.next


class _Partition(NamedTuple):
    """A partition to be read: from `start` on to its stored position."""

    tp: KafkaPartition
    leader: int
    start: int
    position: Position
    skips: list[Skip]
    is_compacted: bool


class Decided(NamedTuple):
    """The first decision on a record. `content` is what was decided, if the ledger has it."""

    offset: int
    seq: int
    reason: str
    has_content: bool
    content: bytes | None
    last_offset: int | None


class InputTopics:
    """Compares partition by partition; `counts` says what was compared and what was not."""

    def __init__(
        self, connection: Connection, probe: Probe, prefix: str, counts: AgainstTopics, progress: Progress
    ) -> None:
        self._connection, self._probe, self._prefix = connection, probe, prefix
        self._counts, self._progress = counts, progress

    async def compare(self) -> AsyncIterator[Finding]:
        """What differs.

        Raises:
            KafkaError, OSError, TimeoutError: no broker answers.
        """
        positions = await stored_positions(self._connection)
        looks = await self._probe.topics({self._prefix + source.topic for source in positions})
        async for partition in self._partitions(positions, looks):
            async for finding in self._compare(partition):
                yield finding

    async def _partitions(
        self, positions: Mapping[TopicPartition, Position], all_looks: TopicLooks
    ) -> AsyncIterator[_Partition]:
        """The partitions that can be compared; of the others it is noted why they cannot."""
        skips, looks, sources = await self._skips(), all_looks.found, dict[KafkaPartition, TopicPartition]()
        for source in sorted(positions):
            look = looks.get(self._prefix + source.topic)
            if (why := all_looks.denied.get(self._prefix + source.topic)) is not None:
                self._leave_out(source, f"it {why}")
            elif look is None or source.partition not in look.leaders:
                self._leave_out(source, "the topic or partition is not there")
            else:
                sources[KafkaPartition(self._prefix + source.topic, source.partition)] = source
        verdicts = await verify(self._probe, looks, sources, positions)
        starts = (await self._probe.starts(looks)).known
        for tp, source in sources.items():
            verdict, position = verdicts[source], positions[source]
            start = starts.get(tp)
            is_lost = start is not None and position.next_offset < start
            if start is None or ((verdict.wrong or verdict.unavailable) and not is_lost):
                self._leave_out(source, verdict.unavailable or verdict.wrong or "it cannot be read")
                continue
            leader, compacted = looks[tp.topic].leaders[tp.partition], await self._probe.is_compacted(tp.topic)
            skipped = skips.get((source, position.incarnation), [])
            yield _Partition(tp, leader, start, position, skipped, compacted)

    def _leave_out(self, source: TopicPartition, why: str) -> None:
        self._counts.not_compared.append(f"{source.topic}, partition {source.partition}: {why}")

    async def _skips(self) -> dict[tuple[TopicPartition, int], list[Skip]]:
        found: dict[tuple[TopicPartition, int], list[Skip]] = {}
        for row in await self._connection.fetch(_SQL["skips"]):
            place = TopicPartition(row["topic"], row["partition"]), row["incarnation"]
            found.setdefault(place, []).append(Skip(row["first"], row["next"]))
        return found

    async def _compare(self, partition: _Partition) -> AsyncIterator[Finding]:
        source, incarnation, end = (
            partition.position.source,
            partition.position.incarnation,
            partition.position.next_offset,
        )
        self._counts.below_retention += await self._count(source, incarnation, 0, min(partition.start, end))
        for earlier in range(incarnation):
            self._counts.earlier_incarnations += await self._count(source, earlier, 0, _NO_OFFSET)
        offset = partition.start
        while offset < end:
            try:
                records, odd, following = await self._read(partition, offset)
            except OffsetOutOfRangeError:
                start = await self._start_now(partition)
                if start <= offset:
                    self._leave_out(source, f"its log does not reach to offset {offset} any more")
                    return
                self._counts.below_retention += await self._count(source, incarnation, offset, min(start, end))
                offset = start
                continue
            except DamagedBatchesError as error:
                self._leave_out(source, f"the records from offset {offset} on are damaged ({error})")
                return
            except (KafkaError, OSError, TimeoutError) as error:
                self._leave_out(source, f"it {what_error_says(error, partition.leader)}, from offset {offset} on")
                return
            if following == offset:
                self._leave_out(source, f"a transaction hides the records from offset {offset} on")
                return
            through = min(following, end) - 1
            decided = await self._decided(source, incarnation, offset, through)
            for finding in compare(partition, [one for one in records if one.offset < end], odd, decided, self._counts):
                yield finding
            self._progress.advance(through + 1 - offset)
            offset = following

    async def _count(self, source: TopicPartition, incarnation: int, first: int, end: int) -> int:
        """How many first decisions there are on offsets from `first` on, before `end`; in short statements."""
        found, place = 0, (source.topic, incarnation, source.partition)
        while (row := await self._connection.fetchrow(_SQL["count_decided"], *place, first, _COUNTED, end)) is not None:
            found += row["decided"]
            if row["decided"] < _COUNTED:
                break
            first = row["next"]
        return found

    async def _start_now(self, partition: _Partition) -> int:
        """Where the log begins now: retention may have gone on."""
        looks = (await self._probe.topics([partition.tp.topic])).found
        return (await self._probe.starts(looks)).known.get(partition.tp, 0)

    async def _read(self, partition: _Partition, offset: int) -> tuple[list[ConsumerRecord], OddRecords, int]:
        fetched = await self._probe.fetch(
            partition.tp, partition.leader, offset, isolation=READ_COMMITTED, limit_bytes=_FETCH_BYTES
        )
        if not fetched.batches:
            return [], OddRecords(), offset
        read = readable_records(partition.tp, offset, fetched.batches, fetched.aborted, most=_RECORDS)
        return read.records, read.odd, read.position

    async def _decided(self, source: TopicPartition, incarnation: int, first: int, last: int) -> dict[int, Decided]:
        place = (source.topic, incarnation, source.partition, first, last)
        found = {}
        for row in await self._connection.fetch(_SQL["decided_between"], *place):
            has_payload = row["payload"] is not None
            content = row["payload"] if has_payload else row["letter_value"]
            has_content = has_payload or (row["has_letter"] and row["reason"] != "batch-too-large")
            one = Decided(row["offset"], row["seq"], row["reason"], has_content, content, row["last_offset"])
            found[one.offset] = one
        return found


def compare(
    partition: Any,  # noqa: ANN401 - what has `position`, `skips` and `is_compacted`
    records: Iterable[ConsumerRecord],
    odd: OddRecords,
    decided: dict[int, Decided],
    counts: AgainstTopics,
) -> Iterable[Finding]:
    """Compare records with the decisions on their offsets, which are all in the same range. No I/O."""
    source: TopicPartition = partition.position.source
    left = dict(decided)
    for record in records:
        where = f"partition {source.partition}, offset {record.offset}"
        one = left.pop(record.offset, None)
        if one is None:
            if any(record.offset in skip for skip in partition.skips):
                counts.skipped += 1
                continue
            yield Finding(
                TOPICS, "undecided", f"{where}: the record is below the position and has no decision", source.topic
            )
        elif record.offset in odd.unexpanded or not one.has_content:
            counts.without_content += 1
        elif record.value != one.content:
            words = f"{where}: the record has other content than the one that was decided"
            yield Finding(TOPICS, "inconsistent", words, source.topic, one.seq)
        else:
            counts.records += 1
    for one in left.values():
        if one.last_offset is not None or one.reason == "batch-too-large":
            counts.without_content += 1
        elif partition.is_compacted:
            counts.compacted += 1
        else:
            words = (
                f"partition {source.partition}, offset {one.offset}: it was decided, and the topic has no such record"
            )
            yield Finding(TOPICS, "not-in-topic", words, source.topic, one.seq)
