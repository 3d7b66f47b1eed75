"""Archives that are topics: the committed records of a mirror, an archive topic, or an input topic itself.

What is read is fixed at the start: of each partition what is between its beginning, or what was asked for, and the end
that a reader of committed records saw then. A record's input topic is named by its header `topic`, by the archive's own
name where that is an input topic's, or by its value, which is otherwise read as a line of a file is.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

from aiokafka import TopicPartition as KafkaPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError
from aiokafka.structs import ConsumerRecord

from schemas.catalogue import INPUT_TOPICS
from worker.errors import Transient, UsageError
from worker.kafka.broker import READ_COMMITTED, Offsets, Probe, TopicLook, probing
from worker.kafka.input.raw_batches import DamagedBatchesError, OddRecords, RawRead, readable_records
from worker.kafka.troubles import what_error_says
from worker.proof.checks import Progress
from worker.repair.archives import BadLine, BrokenArchive, Line, line_of, line_read
from worker.words.phrases import counted

SCHEME: Final = "kafka:"
_HEADER: Final = "topic"
_RECORDS: Final = 2_000
_FETCH_BYTES: Final = 2 * 1024 * 1024


class ArchiveTopic(NamedTuple):
    """A topic to read events from, by its name in Kafka, and of it one partition (None: all of them).

    Of a partition only the offsets from `first` to `last`, both included; and only records whose timestamp is `since`
    or later, and before `until`. None: no bound.
    """

    name: str
    partition: int | None = None
    first: int | None = None
    last: int | None = None
    since: datetime | None = None
    until: datetime | None = None

    def __str__(self) -> str:
        return f"the topic {self.name}" + ("" if self.partition is None else f", partition {self.partition}")

    @property
    def is_bounded(self) -> bool:
        """Whether not all of it is asked for."""
        return (self.first, self.last, self.since, self.until) != (None,) * 4

    def has(self, timestamp_ms: int) -> bool:
        """Whether a record with this timestamp is of the time that is asked for."""
        return (self.since is None or timestamp_ms >= self.since.timestamp() * 1000) and (
            self.until is None or timestamp_ms < self.until.timestamp() * 1000
        )

    def input_topic(self, prefix: str) -> str | None:
        """The input topic that it has the name of, with the deployment's prefix or without; None: it has none."""
        names = (self.name.removeprefix(prefix), self.name)
        return next((name for name in names if name in INPUT_TOPICS), None)


class _Span(NamedTuple):
    """The offsets of a partition that are read: from `start` on, before `end`."""

    at: KafkaPartition
    leader: int
    start: int
    end: int


async def read_topic(
    kafka: Mapping[str, Any],
    archive: ArchiveTopic,
    named: tuple[str, str | None],
    progress: Progress,
    note: Callable[[object], None],
) -> AsyncIterator[list[Line | BadLine]]:
    """What is asked for of an archive, some thousand records at a time, partition by partition.

    `named` are the deployment's prefix of topics, and the input topic of records that name none; `note` is called with
    what cannot be read now, in words.

    Raises:
        UsageError: there is no such topic, partition or offset, or no such record.
        BrokenArchive: what it holds cannot be read.
        Transient: a partition cannot be read now, or not by this user.
        KafkaError, OSError, TimeoutError: no broker answers.
    """
    prefix, topic = named
    input_topic, found = archive.input_topic(prefix), 0
    async with probing(kafka, None) as probe:
        spans = await _spans(probe, archive, note)
        progress.begin(f"read {archive.name}", sum(span.end - span.start for span in spans), "records")
        for span in spans:
            async for read in _read(probe, span):
                lines = [
                    _line(record, read.odd, input_topic, topic)
                    for record in read.records
                    if record.offset < span.end and archive.has(record.timestamp)
                ]
                found += len(lines)
                yield lines
    if not found:
        raise UsageError(_nothing_in(archive, spans))


def _nothing_in(archive: ArchiveTopic, spans: list[_Span]) -> str:
    if archive.is_bounded and any(span.end > span.start for span in spans):
        return f"{archive} has no committed record of that time or with such an offset. Name another span of it"
    return f"{archive} has no records, or none that are asked for. Name the topic that has the events"


async def _spans(probe: Probe, archive: ArchiveTopic, note: Callable[[object], None]) -> list[_Span]:
    look = await _look(probe, archive)
    looks = {archive.name: look}
    starts = _known(archive, await probe.starts(looks))
    stable, ends = _known(archive, await probe.stable_ends(looks)), _known(archive, await probe.ends(looks))
    since = {} if archive.since is None else _known(archive, await probe.first_since(looks, archive.since))
    spans = []
    for at in sorted(starts):
        place = f"{SCHEME}{at.topic}, partition {at.partition}"
        if archive.first is not None and archive.first < starts[at]:
            raise UsageError(
                f"{place} begins at offset {starts[at]}: what was before is gone. Ask for {starts[at]} or later"
            )
        last = ends[at] if archive.last is None else min(ends[at], archive.last + 1)
        if (hidden := last - max(stable[at], starts[at], archive.first or 0)) > 0:
            note(
                f"{place}: {counted(hidden, 'record')} at most, from offset {stable[at]} on, behind an open "
                "transaction of another producer are not read. Make the plan again when it has ended"
            )
        end = min(last, stable[at])
        start = end if since.get(at) == _NO_OFFSET else max(starts[at], archive.first or 0, since.get(at, 0))
        spans.append(_Span(at, look.leaders[at.partition], start, max(start, end)))
    return spans


_NO_OFFSET: Final = -1
"""What a broker answers that has no record of that time or later."""


async def _look(probe: Probe, archive: ArchiveTopic) -> TopicLook:
    """The topic as it is, with the partitions that are asked for.

    Raises:
        UsageError: it does not exist, or has no such partition.
        Transient: this user may not see it.
    """
    looks = await probe.topics([archive.name])
    if (why := looks.denied.get(archive.name)) is not None:
        raise Transient(f"the topic {archive.name} {why}. Give this user the right, or use one that has it")
    look = looks.found.get(archive.name)
    if look is None:
        raise UsageError(
            f"there is no topic {archive.name} in the cluster of KAFKA_BOOTSTRAP_SERVERS. Name it as Kafka does, or "
            "set the cluster that has it"
        )
    if archive.partition is None:
        return look
    if archive.partition not in look.leaders:
        raise UsageError(f"the topic {archive.name} has the partitions 0 to {max(look.leaders)}. Name one of them")
    return TopicLook(look.topic_id, {archive.partition: look.leaders[archive.partition]})


def _known(archive: ArchiveTopic, offsets: Offsets) -> dict[KafkaPartition, int]:
    """The offsets, if every partition could be asked.

    Raises:
        Transient: one could not: without it nobody knows what is missing.
    """
    for at, why in sorted(offsets.unavailable.items()):
        raise Transient(f"{SCHEME}{archive.name}, partition {at.partition} {why}. Run this again when it can be read")
    return offsets.known


async def _read(probe: Probe, span: _Span) -> AsyncIterator[RawRead]:
    offset = span.start
    while offset < span.end:
        where = f"{SCHEME}{span.at.topic}, partition {span.at.partition}, offset {offset}"
        try:
            fetched = await probe.fetch(
                span.at, span.leader, offset, isolation=READ_COMMITTED, limit_bytes=_FETCH_BYTES
            )
            read = readable_records(span.at, offset, fetched.batches, fetched.aborted, most=_RECORDS)
        except OffsetOutOfRangeError:
            raise Transient(f"{where}: retention removed it meanwhile. Run this again with what is left") from None
        except DamagedBatchesError as error:
            raise BrokenArchive(f"{where}: what is stored cannot be read ({error}). Begin after it") from None
        except (KafkaError, OSError, TimeoutError) as error:
            raise Transient(f"{where} {what_error_says(error, span.leader)}. Run this again when it can be") from None
        if read.position <= offset:
            raise Transient(f"{where}: its leader, broker {span.leader}, answers with nothing. Run this again")
        yield read
        offset = read.position


def _line(record: ConsumerRecord, odd: OddRecords, input_topic: str | None, topic: str | None) -> Line | BadLine:
    """A record as a line of an archive; its place is its source, so it has no line's number."""
    source = f"{SCHEME}{record.topic}, partition {record.partition}, offset {record.offset}"
    if (batch := odd.unexpanded.get(record.offset)) is not None:
        return BadLine(source, 0, f"a batch of {counted(batch.records, 'record')} that is not expanded: {batch.why}")
    if record.offset in odd.unreadable:
        return BadLine(source, 0, "a header key is not UTF-8")
    if record.value is None:
        return BadLine(source, 0, "it has no value")
    headers = {value for key, value in record.headers if key == _HEADER}
    if len(headers) > 1:
        return BadLine(source, 0, f"its headers `{_HEADER}` name several topics")
    name = (next(iter(headers)) or b"").decode("utf-8", "replace") if headers else input_topic
    return line_read(source, 0, record.value, topic) if name is None else line_of(source, 0, name, record.value)
