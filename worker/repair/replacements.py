"""Which events a plan is to give other content: lines of archives, and decisions whose time is wrong by a constant."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, timedelta
from typing import Final, NamedTuple, Protocol

from schemas.base import InputEvent
from schemas.json_text import canonical, parsed
from schemas.proposals import ProposalSubmitted
from schemas.reading import read_event
from worker.domain.rules.spends import lines_of
from worker.errors import UsageError
from worker.kafka.input.reading import RecordReader
from worker.kafka.records import InputRecord
from worker.ledger.event_key import seen_key
from worker.ledger.store import FirstDecision
from worker.ledger.tables import DecisionRow
from worker.proof.checks import Progress
from worker.repair import candidates
from worker.repair.archives import Line
from worker.repair.candidates import MOST_NAMED, Candidates, read_record
from worker.repair.decision_selection import Chosen
from worker.repair.plan import MOST_TRIGGERS
from worker.repair.replacing import NEVER_DECIDED, refusal, says_the_same
from worker.repair.voiding import Refused
from worker.words.plans import place_of

_OUT_OF_TIME: Final = Refused(
    "events that would be dated at an instant that is refused",
    "the shift brings them before the earliest instant, or too far ahead of the clock",
    "Shift them by less",
)


class Wrong(NamedTuple):
    """A decision whose event came with wrong content, and the right one; `source` and `line` are where that is."""

    row: DecisionRow
    content: bytes
    is_settled_again: bool
    """Whether its job may settle it otherwise with the right content."""
    source: str
    line: int


class Decided(candidates.Decided, Protocol):
    """What is asked of the ledger: part of a `Snapshot`."""

    async def decisions(self, seqs: Sequence[int]) -> list[DecisionRow]:
        """The decisions of these seqs."""
        ...


class Replacements(Candidates):
    """Takes events with their right content, each once; `left` counts what cannot be replaced."""

    def __init__(self, decided: Decided, reader: RecordReader, progress: Progress) -> None:
        super().__init__(decided, reader, progress)
        self._ledger = decided
        self._wrong: dict[int, Wrong] = {}
        self.left: Counter[Refused] = Counter()

    def latest_first(self) -> list[Wrong]:
        """The events to replace, the one that was decided last first."""
        return [self._wrong[seq] for seq in sorted(self._wrong, reverse=True)]

    async def add_shifted(self, chosen: Iterable[Chosen], by: timedelta) -> None:
        """Take the events of these decisions, dated otherwise by a constant; what was replaced before is right.

        Raises:
            UsageError: there are more than a plan may have.
            Transient: the ledger is away.
        """
        every = {one.row.seq: one for one in chosen}
        firsts = await self._ledger.first_decisions(sorted(every))
        for seq, one in sorted(every.items()):
            topic, payload = one.row.topic or "", one.row.payload
            if firsts[seq].is_replaced:
                self.replaced += 1
            elif payload is None:
                self.left[NEVER_DECIDED] += 1
            elif (content := shifted(topic, payload, by)) is None:
                self.left[_OUT_OF_TIME] += 1
            else:
                record = read_record(self._reader, topic, content, seq)
                if record.event is None:
                    self.left[_OUT_OF_TIME] += 1
                else:
                    self._take(Line(one.source, one.line, topic, content), one.row, firsts[seq], record.event)

    async def _sort(self, events: Sequence[tuple[Line, InputRecord, InputEvent]]) -> None:
        keys = [seen_key(record.source.topic, event.event_id) for _, record, event in events]
        seen = {row.key: row.seq for row in await self._ledger.seen(keys)}
        seqs = sorted(set(seen.values()))
        firsts = await self._ledger.first_decisions(seqs) if seqs else {}
        rows = {row.seq: row for row in await self._ledger.decisions(seqs)} if seqs else {}
        for key, (line, _, event) in zip(keys, events, strict=True):
            if key not in seen:
                self.left[NEVER_DECIDED] += 1
            else:
                self._take(line, rows[seen[key]], firsts[seen[key]], event)

    def _take(self, line: Line, row: DecisionRow, first: FirstDecision, event: InputEvent) -> None:
        if (earlier := self._wrong.get(row.seq)) is not None:
            self._again(line, earlier, event)
        elif says_the_same(line.value, first.stands):
            self.inert += not first.is_replaced
            self.replaced += first.is_replaced
        elif (refused := refusal(row, first, event)) is not None:
            self.left[refused] += 1
        elif len(self._wrong) == MOST_TRIGGERS:
            raise UsageError(
                f"{line.source}: more than {MOST_TRIGGERS:,} events are to be replaced, and a plan has at most that "
                "many: give fewer, and the rest after this plan was applied"
            )
        else:
            self._wrong[row.seq] = Wrong(row, line.value, _may_settle(first.stands, event), line.source, line.number)

    def _again(self, line: Line, earlier: Wrong, event: InputEvent) -> None:
        """A second line about one event: inert if it says the same."""
        if says_the_same(line.value, earlier.content):
            self.inert += 1
            return
        self.conflicts += 1
        if len(self.conflicting) < MOST_NAMED:
            what = f"event {event.event_id} of {line.topic} is in an earlier line with other content"
            self.conflicting.append(f"{place_of(line.source, line.number)}: {what}")


def shifted(topic: str, payload: bytes, by: timedelta) -> bytes | None:
    """The same event, dated otherwise; None: there is no such instant."""
    fields = parsed(payload.decode())
    if not isinstance(fields, dict):
        raise TypeError("an event that was decided is an object")
    try:
        at = (read_event(topic, payload).occurred_at + by).astimezone(UTC)
    except OverflowError:
        return None
    fields["occurred_at"] = at.isoformat().replace("+00:00", "Z")
    return canonical(fields).encode()


def _may_settle(was: bytes | None, event: InputEvent) -> bool:
    """Whether a proposal is of another time, or a line of it was free: then its job may return what it did not."""
    if not isinstance(event, ProposalSubmitted):
        return False
    before = read_event("proposal-submitted", was)
    if not isinstance(before, ProposalSubmitted) or before.occurred_at != event.occurred_at:
        return True
    lines = zip(lines_of(before), lines_of(event), strict=True)
    return any(right.connects and not line.connects for line, right in lines)
