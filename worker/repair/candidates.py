"""The events of archives that may be added: those that the ledger never decided, in the order of planning."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Final, NamedTuple, Protocol

from aiokafka.structs import ConsumerRecord

from schemas.base import InputEvent
from worker.engine import standard_decisions
from worker.errors import UsageError, WorkerError
from worker.kafka.input.reading import RecordReader
from worker.kafka.records import InputRecord, TopicPartition
from worker.ledger.event_key import seen_key
from worker.ledger.store import FirstDecision
from worker.ledger.tables import SeenRow
from worker.proof.checks import Progress
from worker.repair.archives import BadLine, Line
from worker.repair.plan import MOST_TRIGGERS
from worker.words.phrases import counted
from worker.words.plans import place_of

MOST_NAMED: Final = 20
"""How many bad lines and conflicts are named; all are counted."""
NOWHERE: Final = 2**31 - 1
"""The incarnation of the topic that added events are planned on: no topic was ever recreated that often."""
_AT_ONCE: Final = 1_000


class Candidate(NamedTuple):
    """An event that was never decided, as it was found; `number` counts all lines. In the order of planning."""

    occurred_at: datetime
    number: int
    topic: str
    value: bytes
    source: str
    line: int


class Decided(Protocol):
    """What is asked of the ledger: part of a `Snapshot`."""

    async def seen(self, keys: Sequence[str]) -> list[SeenRow]:
        """Which of these event ids were decided, and by which decision."""
        ...

    async def first_decisions(self, seqs: Sequence[int]) -> dict[int, FirstDecision]:
        """The decisions of these seqs, with the content that counts now."""
        ...


class BadLines(WorkerError):
    """Lines that are no events of their topics, so that nothing is planned."""


class Candidates:
    """Sorts the lines of archives into events to plan, inert ones, conflicts, and lines that are no event."""

    def __init__(self, decided: Decided, reader: RecordReader, progress: Progress) -> None:
        self._decided, self._reader, self._progress = decided, reader, progress
        self._found: dict[str, Candidate] = {}
        """By event id (see `seen_key`)."""
        self.lines = self.inert = self.replaced = self.conflicts = self.bad_lines = 0
        self.conflicting: list[str] = []
        """The first conflicts, in words."""
        self.bad: list[BadLine] = []
        """The first lines that are no event."""

    def in_order(self) -> list[Candidate]:
        """The events to plan, by time, and of one instant as they were found."""
        return sorted(self._found.values())

    async def add(self, lines: Iterable[Line | BadLine]) -> None:
        """Take the lines of one archive, after those of others.

        Raises:
            UsageError: there are more events to plan than a plan may have, or the archive cannot be read.
            Transient: the ledger is away.
            BrokenArchive: what is compressed is not whole.
        """
        rest = iter(lines)
        while some := list(islice(rest, _AT_ONCE)):
            await self._sort(list(self._events(some)))
            self._progress.advance(len(some))

    def require_no_bad_lines(self) -> None:
        """Refuse to plan while there are lines that are no event.

        Raises:
            BadLines: saying how many, and what to do.
        """
        if self.bad_lines:
            are = "is no event" if self.bad_lines == 1 else "are no events"
            raise BadLines(
                f"nothing was planned: {counted(self.bad_lines, 'line')} of {self.lines:,} {are} of a topic. "
                "Correct the archive, or leave these lines out with --skip-bad"
            )

    def _events(self, lines: Iterable[Line | BadLine]) -> Iterator[tuple[Line, InputRecord, InputEvent]]:
        for line in lines:
            self.lines += 1
            if isinstance(line, BadLine):
                self._is_bad(line)
                continue
            record = read_record(self._reader, line.topic, line.value, self.lines)
            if record.event is not None:
                yield line, record, record.event
            elif record.rejection is not None:
                self._is_bad(BadLine(line.source, line.number, f"{line.topic}: {record.rejection.detail}"))

    def _is_bad(self, line: BadLine) -> None:
        self.bad_lines += 1
        if len(self.bad) < MOST_NAMED:
            self.bad.append(line)

    async def _sort(self, events: Sequence[tuple[Line, InputRecord, InputEvent]]) -> None:
        for _, record, event in events:
            record.event_key = seen_key(record.source.topic, event.event_id)
        seen = {row.key: row.seq for row in await self._decided.seen([record.event_key for _, record, _ in events])}
        firsts = await self._decided.first_decisions(sorted(set(seen.values()))) if seen else {}
        for line, record, event in events:
            key = record.event_key
            if key in seen:
                self._compare(line, record, event, firsts[seen[key]])
            elif (found := self._found.get(key)) is not None:
                first = FirstDecision(0, found.topic, 0, 0, found.number, found.value, event.event_id)
                self._compare(line, record, event, first)
            elif len(self._found) == MOST_TRIGGERS:
                raise UsageError(
                    f"more than {MOST_TRIGGERS:,} events were never decided, and a plan has at most that many: "
                    "plan a shorter time, and the rest after this plan was applied"
                )
            else:
                place = (record.offset, line.topic, line.value, line.source, line.number)
                self._found[key] = Candidate(event.occurred_at, *place)

    def _compare(self, line: Line, record: InputRecord, event: InputEvent, first: FirstDecision) -> None:
        _, conflict = standard_decisions.seen_before(record, event, first, 0)
        if conflict is None:
            self.inert += not first.is_replaced
            self.replaced += first.is_replaced
            return
        self.conflicts += 1
        if len(self.conflicting) < MOST_NAMED:
            what = f"event {event.event_id} of {line.topic}"
            earlier = f"was decided (decision {first.seq})" if first.seq else "is in an earlier line"
            place = place_of(line.source, line.number)
            self.conflicting.append(f"{place}: {what} {earlier} with other content")


def read_record(reader: RecordReader, topic: str, value: bytes, number: int) -> InputRecord:
    """Read an event as a record of its topic, at offset `number` of a topic that there never was."""
    kafka = ConsumerRecord(topic, 0, number, 0, 0, None, value, None, 0, len(value), ())
    (record,) = reader.read(TopicPartition(topic, 0), NOWHERE, [kafka])
    return record
