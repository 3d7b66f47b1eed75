"""Reading the recorded decisions of a ledger on PostgreSQL: the one module of this room that does I/O.

Decisions and changes are never updated, so every range is read by itself: no transaction is held open.
"""

from collections.abc import AsyncIterator, Container, Iterable, Sequence
from contextlib import suppress
from itertools import compress
from operator import attrgetter
from typing import Any, Final

import msgspec

from worker.domain.model import Charge, ChargeKey, FreelancerId, Grant, JobId, Lot, LotId, ProposalId, Spend
from worker.domain.policy_use import StoredVersion
from worker.futures import in_parts
from worker.ledger.connections import Connection
from worker.ledger.membership_rows import read_charge
from worker.ledger.replaced import first_decision_of
from worker.ledger.rows import movements_in, read_lot, read_spend
from worker.ledger.sql import load
from worker.ledger.store import FirstDecision
from worker.ledger.tables import ChangeRow, ChargeRow, DecisionRow, LotRow, SpendRow
from worker.proof.following import spend_of
from worker.proof.left_out import LeftOut, Moved, Needed, Outline
from worker.proof.parts import Chunk, Part
from worker.proof.recorded import JOB_TOPICS, BatchColumns, BatchHeader, Recorded, damaged_header, header_of, is_of_job

_SQL: Final = {**load("store.sql"), **load("again.sql")}
_ASKING: Final = load("asking.sql")
_COLUMNS: Final = len(DecisionRow._fields)
_OF_A_CHANGE: Final = len(ChangeRow._fields)
_LAST_BATCH: Final = 2**63 - 1
_WORTH_LEAVING_OUT: Final = 50
"""With fewer earlier decisions, finding what to leave out takes longer than deciding them."""
_seq_of: Final = attrgetter("seq")
_lists_in: Final = msgspec.json.Decoder(list[list[int]]).decode


class PostgresReader:
    """A `Reader` on a connection of its own; about `chunk` decisions of a part at a time."""

    def __init__(self, connection: Connection, chunk: int = 2_000) -> None:
        self._connection, self._chunk = connection, chunk
        self._policies: list[StoredVersion] = []
        self._headers: dict[int, BatchHeader] = {}
        """Those of the batches that were begun last."""
        self._last_batch = 0

    async def end(self) -> int:
        """The last place in ledger order."""
        last: int = await self._connection.fetchval(_SQL["last_seq"])
        return last

    async def chunks(self, part: Part, through: int, after: int = 0) -> AsyncIterator[Chunk]:
        """The decisions of a part up to `through`, with the closures and hires of jobs that its wallets spent on.

        Where this reader has read the part up to `after`, it goes on there; that is not for one freelancer or job.
        """
        self._policies = [StoredVersion(*row) for row in await self._rows("stored_policies")]
        if part.freelancer is not None or part.job is not None:
            async for chunk in self._named(part, through):
                yield chunk
            return
        if not after:
            self._headers, self._last_batch = {}, 0
        step = self._chunk * part.of
        for begin in range(after, max(through, after + 1), step):  # once at least: batches without decisions may follow
            last = min(begin + step, through)
            headers = await self._next_headers(last)
            yield Chunk(await self._range(part, begin, last), headers, last)

    async def last_of(self, part: Part) -> int:
        """The last decision about one freelancer or job."""
        return max(await self._seqs(part, await self.end()), default=0)

    # Ranges of the ledger.

    async def _range(self, part: Part, after: int, last: int) -> list[Recorded]:
        if part.is_whole:
            rows = await self._rows("all_decisions", after, last)
            changed = await self._rows("all_changes", after, last)
        else:
            rows = await self._rows("decisions_of_part", after, last, part.number, part.of)
            changed = await self._rows("changes_of_part", after, last, part.number, part.of)
        mine, elsewhere = _by_decision(changed)
        return [self._recorded(row, mine, elsewhere) for row in rows]

    async def _next_headers(self, last: int) -> list[BatchHeader]:
        """The headers not read yet of the batches that begin at or before a place, or have no decision after it."""
        headers: list[BatchHeader] = []
        while rows := await self._rows("batches_in_range", last, self._last_batch, self._chunk):
            headers += [header_of(BatchColumns._make(row), self._policies) for row in rows]
            self._last_batch = headers[-1].batch_no
        newest = [*self._headers.values()][-1:]
        self._headers = {header.batch_no: header for header in (*newest, *headers)}
        return headers

    def _recorded(self, row: Any, mine: dict[int, list[ChangeRow]], elsewhere: dict[int, int]) -> Recorded:  # noqa: ANN401
        decision = DecisionRow._make(row[:_COLUMNS])
        return Recorded(
            decision,
            self._headers.get(decision.batch_no) or _without_batch(decision),
            mine.get(decision.seq, []),
            elsewhere.get(decision.seq, 0),
            is_mine=row[_COLUMNS] and not is_of_job(decision),
            is_my_job=row[_COLUMNS + 1],
        )

    # One freelancer, or one job.

    async def _named(self, part: Part, through: int) -> AsyncIterator[Chunk]:
        seqs = await self._seqs(part, through)
        rows, jobs = await self._decisions(seqs), {part.job} if part.job is not None else set[JobId]()
        if part.freelancer is not None:
            jobs = _spent_on(rows)
            rows += await self._decisions(sorted({*await self._seqs_about(jobs, through)}.difference(seqs)))
            rows.sort(key=_seq_of)
        yield await self._chunk_of(part, [row for row in rows if _is_wanted(part, row, jobs)], through)

    async def _chunk_of(self, part: Part, wanted: Sequence[DecisionRow], through: int) -> Chunk:
        """These decisions with their batches and changes."""
        headers = await self._headers_of(part, wanted)
        decisions: list[Recorded] = []
        for some_rows in in_parts(wanted, self._chunk):
            changes: dict[int, list[ChangeRow]] = {}
            for row in await self._rows("named_changes", _listed(row.seq for row in some_rows)):
                if part.freelancer is None or row["freelancer_id"] == part.freelancer:
                    changes.setdefault(row["decision_seq"], []).append(ChangeRow._make(row))
            decisions += [_of_named(part, row, headers[row.batch_no], changes.get(row.seq, [])) for row in some_rows]
        return Chunk(decisions, list(headers.values()), through)

    async def _headers_of(self, part: Part, wanted: Sequence[DecisionRow]) -> dict[int, BatchHeader]:
        """Their batches, and those whose work on closures among them matters to a later decision."""
        numbers = {row.batch_no for row in wanted}
        closures = {row.seq: row.batch_no for row in wanted if row.reason == "settlement-pending"}
        rows = await self._rows("batches_by_number", _listed(sorted(numbers)))
        searched = [*closures] if part.job is not None else _met_by_later_ones(wanted)
        if searched:
            through = max(numbers) if part.job is None else _LAST_BATCH
            first = min(closures[seq] for seq in searched)
            rows += await self._rows("batches_that_worked_off", _listed(searched), first, through)
        columns = {one.batch_no: _with_work_on(closures, one) for one in map(_columns_of, rows)}
        headers = {number: header_of(columns[number], self._policies) for number in sorted(columns)}
        return headers | {row.batch_no: _without_batch(row) for row in wanted if row.batch_no not in headers}

    async def needed(
        self, freelancer_id: FreelancerId, first: int, through: int, outlines: Sequence[Outline] | None = None
    ) -> tuple[Chunk, list[LeftOut]] | None:
        """Of a freelancer the decisions from `first` on and those that they depend on, and the ones left out.

        None: nothing, or not much, can be left out. `outlines` are all decisions about the freelancer, if known.
        """
        if outlines is None:
            outlines = [Outline._make(row) for row in await self._rows("outlines_of_freelancer", freelancer_id)]
        outlines = [row for row in outlines if row.seq <= through]
        if sum(row.seq < first for row in outlines) < _WORTH_LEAVING_OUT:
            return None
        moved: dict[int, list[Moved]] = {}
        for row in await self._rows("moved_of_freelancer", freelancer_id, through):
            change = Moved._make((*row[:-1], movements_in(row[-1])))
            moved.setdefault(change.decision_seq, []).append(change)
        needed = Needed(moved)
        if not needed.find(outlines, first):
            return None
        self._policies = [StoredVersion(*row) for row in await self._rows("stored_policies")]
        part, jobs = Part(freelancer=freelancer_id), _spent_on(row for row in outlines if row.seq in needed.seqs)
        rows = await self._decisions(sorted(needed.seqs.union(await self._seqs_about(jobs, through))))
        if any(row.kind == "correction" for row in rows):
            return None
        chunk = await self._chunk_of(part, [row for row in rows if _is_wanted(part, row, jobs)], through)
        return chunk, needed.left_out(outlines)

    async def _seqs(self, part: Part, through: int) -> list[int]:
        statement, key = ("seqs_of_job", part.job) if part.job is not None else ("seqs_of_freelancer", part.freelancer)
        rows = await self._connection.fetch(_ASKING[statement], key)
        return sorted(row[0] for row in rows if row[0] <= through)

    async def _decisions(self, seqs: Sequence[int]) -> list[DecisionRow]:
        rows: list[DecisionRow] = []
        for some in in_parts(seqs, self._chunk):
            rows += map(DecisionRow._make, await self._rows("named_decisions", _listed(some)))
        return rows

    async def _seqs_about(self, jobs: Iterable[JobId], through: int) -> list[int]:
        return [row[0] for row in await self._rows("seqs_about_jobs", list(jobs)) if row[0] <= through]

    # What is global.

    async def seen_by_others(self, named: Sequence[tuple[str, int]]) -> dict[int, int | None]:
        """Of these event ids, each with a decision on it, those that another was first to use, by their place."""
        keys, seqs = ",".join([key for key, _ in named]), _listed(seq for _, seq in named)
        return {place - 1: seq for place, seq in await self._rows("seen_by_others", keys, seqs)}

    async def first_decisions(self, seqs: Sequence[int]) -> dict[int, FirstDecision]:
        """The decisions of these seqs, to compare repeats with; one that was altered may be left out."""
        found = {}
        for row in await self._rows("first_decisions", seqs):
            with suppress(msgspec.MsgspecError):
                found[row["seq"]] = first_decision_of(row)
        return found

    async def grants(self, keys: Iterable[tuple[str, str]]) -> list[Grant]:
        """Grants ever made under these (rule, natural key), those that were voided too."""
        return [Grant(*row) for row in await self._rows("every_grant", *_two_lists(keys))]

    async def others_spends(self, named: Sequence[tuple[ProposalId, str]]) -> list[Spend]:
        """The spends of these proposals that are not the freelancer's who is named with each.

        One that cannot be read was altered, and is found as a row.
        """
        found = []
        for row in await self._rows("others_spends", *_two_lists(named)):
            with suppress(msgspec.MsgspecError):
                found.append(read_spend(SpendRow._make(row)))
        return found

    async def voided_spends(self, ids: Sequence[ProposalId]) -> list[tuple[Spend, int]]:
        """The spends of these proposals that were voided, as they were made, each with the decision that voided it."""
        found = []
        for by_seq, *columns in await self._rows("voided_spends", ",".join(ids)):
            if (spend := spend_of(DecisionRow._make(columns))) is not None:
                found.append((spend, by_seq))
        return found

    async def charges(self, keys: Sequence[ChargeKey]) -> list[Charge]:
        """Those of these charges that were requested."""
        return [read_charge(ChargeRow._make(row)) for row in await self._rows("charges", *_two_lists(keys))]

    async def amended(self, seqs: Sequence[int]) -> dict[int, int]:
        """The Connects that stand for those of these decisions that a correction amended."""
        return {row["decision_seq"]: row["connects"] for row in await self._rows("amended_of", _listed(seqs))}

    async def lots(self, ids: Sequence[tuple[FreelancerId, LotId]]) -> list[Lot]:
        """The lots of these freelancers and ids that exist."""
        return [read_lot(LotRow._make(row)) for row in await self._rows("lots_by_id", *_two_lists(ids))]

    async def _rows(self, statement: str, *arguments: object) -> list[Any]:
        return list(await self._connection.fetch(_SQL[statement], *arguments))


def _listed(seqs: Iterable[int]) -> str:
    """Seqs as the statements take them."""
    return ",".join(map(str, seqs))


def _without_batch(row: DecisionRow) -> BatchHeader:
    return damaged_header(row.batch_no, f"there is no batch {row.batch_no} at its place")


def _met_by_later_ones(rows: Sequence[DecisionRow]) -> list[int]:
    """The closures of which a later decision asks how far they are worked off.

    The decision of a settlement is in the batch that says so. Beside it a spend asks that came after a closure of its
    job; and corrections may ask it of any.
    """
    last_spent: dict[JobId | None, int] = {}
    corrected = False
    for row in rows:
        corrected = corrected or row.kind == "correction"
        if row.topic == "proposal-submitted":
            last_spent[row.job_id] = row.seq
    closures = (row for row in rows if row.reason == "settlement-pending")
    return [row.seq for row in closures if corrected or last_spent.get(row.job_id, 0) > row.seq]


def _columns_of(row: Any) -> BatchColumns:  # noqa: ANN401 - the driver's row
    *columns, worked, void = row
    return BatchColumns(*columns, *(None if text is None else _lists_in(text) for text in (worked, void)))


def _with_work_on(closures: Container[int], batch: BatchColumns) -> BatchColumns:
    """A batch with the work on these closures only: it worked off those of everybody."""
    worked = batch.closures_worked or ()
    is_wanted = [not isinstance(work, Sequence) or work[0] in closures for work in worked]
    return batch._replace(closures_worked=[*compress(worked, is_wanted)])


def _two_lists(pairs: Iterable[tuple[str, str]]) -> tuple[str, str]:
    """Pairs of ids as two texts; no id of the contract has a comma."""
    listed = list(pairs)
    return ",".join(one for one, _ in listed), ",".join(other for _, other in listed)


def _by_decision(rows: Iterable[Any]) -> tuple[dict[int, list[ChangeRow]], dict[int, int]]:
    """The part's changes by decision, and the sums of the others'."""
    mine: dict[int, list[ChangeRow]] = {}
    elsewhere: dict[int, int] = {}
    for row in rows:
        change = ChangeRow._make(row[:_OF_A_CHANGE])
        if row[_OF_A_CHANGE]:
            mine.setdefault(change.decision_seq, []).append(change)
        else:
            elsewhere[change.decision_seq] = elsewhere.get(change.decision_seq, 0) + change.delta
    return mine, elsewhere


def _spent_on(rows: Iterable[DecisionRow | Outline]) -> set[JobId]:
    return {JobId(row.job_id) for row in rows if row.topic == "proposal-submitted" and row.job_id is not None}


def _is_wanted(part: Part, row: DecisionRow, jobs: set[JobId]) -> bool:
    if part.freelancer is not None:
        return row.job_id in jobs if is_of_job(row) else row.freelancer_id == part.freelancer
    return (row.topic in JOB_TOPICS or row.kind == "correction") and row.job_id == part.job


def _of_named(part: Part, row: DecisionRow, header: BatchHeader, changes: list[ChangeRow]) -> Recorded:
    if part.freelancer is not None:
        return Recorded(row, header, changes, is_mine=not is_of_job(row), is_my_job=False)
    elsewhere = sum(change.delta for change in changes)
    return Recorded(row, header, [], elsewhere, is_mine=False, is_my_job=True)
