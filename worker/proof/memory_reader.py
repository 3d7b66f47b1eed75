"""Reading the recorded decisions of a ledger in memory."""

from collections.abc import AsyncIterator, Iterable, Sequence
from zlib import crc32

from worker.domain.model import (
    Charge,
    ChargeKey,
    FreelancerId,
    Grant,
    JobId,
    Lot,
    LotId,
    ProposalId,
    Spend,
    natural_key_of,
)
from worker.domain.rules.spends import SPEND
from worker.ledger.memory_store import MemoryStore
from worker.ledger.store import FirstDecision
from worker.ledger.tables import BatchRow, ChangeRow, DecisionRow
from worker.proof.following import spend_of
from worker.proof.parts import Chunk, Part
from worker.proof.recorded import JOB_TOPICS, BatchColumns, BatchHeader, Recorded, header_of, is_of_job


class MemoryReader:
    """A `Reader` of a store in memory; `chunk` decisions at a time."""

    def __init__(self, store: MemoryStore, chunk: int = 1_000) -> None:
        self._store, self._tables, self._chunk = store, store.tables, chunk

    async def end(self) -> int:
        """The last place in ledger order."""
        return max((row.last_seq for row in self._tables.batches), default=0)

    async def chunks(self, part: Part, through: int, after: int = 0) -> AsyncIterator[Chunk]:
        """The decisions of a part up to `through`, with the closures and hires of jobs that its wallets spent on."""
        stored = await self._store.stored_policies()
        headers = {row.batch_no: header_of(_columns(row), stored) for row in self._tables.batches}
        spends = (*self._tables.spends, *(row for row in self._tables.voided if row.rule == SPEND))
        spent_on = {row.job_id for row in spends if row.job_id is not None and _is_of(part, row.freelancer_id)}
        changes: dict[int, list[ChangeRow]] = {}
        for change in sorted(self._tables.changes, key=lambda row: (row.decision_seq, row.ordinal)):
            changes.setdefault(change.decision_seq, []).append(change)
        next_header, in_order = 1, sorted(headers)
        for begin in range(after, max(through, after + 1), self._chunk):  # once at least: see the other reader
            last = min(begin + self._chunk, through)
            begun = [
                no
                for no in in_order
                if no >= next_header and (headers[no].last_seq <= last or _begins_by(last, headers.get(no - 1)))
            ]
            next_header += len(begun)
            rows = (self._tables.decisions[seq] for seq in range(begin + 1, last + 1) if seq in self._tables.decisions)
            wanted = [row for row in rows if _is_wanted(part, row, spent_on)]
            decisions = [_recorded(part, row, headers[row.batch_no], changes.get(row.seq, ())) for row in wanted]
            yield Chunk(decisions, [headers[no] for no in begun], last)

    async def seen_by_others(self, named: Sequence[tuple[str, int]]) -> dict[int, int | None]:
        """Of these event ids, each with a decision on it, those that another was first to use, by their place."""
        seen = await self._store.seen([key for key, _ in named])
        return {place: seen.get(key) for place, (key, seq) in enumerate(named) if seen.get(key) != seq}

    async def first_decisions(self, seqs: Sequence[int]) -> dict[int, FirstDecision]:
        """The decisions of these seqs, to compare repeats with."""
        return await self._store.first_decisions(seqs)

    async def grants(self, keys: Iterable[tuple[str, str]]) -> list[Grant]:
        """Grants ever made under these (rule, natural key), those that were voided too."""
        wanted = set(keys)
        return [
            Grant(row.rule, key, row.freelancer_id, row.occurred_at, row.delta, row.decision_seq)
            for row in self._tables.changes
            if row.natural_key is not None and (row.rule, key := natural_key_of(row.natural_key)[0]) in wanted
        ]

    async def others_spends(self, named: Sequence[tuple[ProposalId, str]]) -> list[Spend]:
        """The spends of these proposals that are not the freelancer's who is named with each."""
        found = await self._store.spends([*{name for name, _ in named}])
        known = {spend.proposal_id: spend for spend in found}
        return [known[name] for name, whose in named if name in known and known[name].freelancer_id != whose]

    async def voided_spends(self, ids: Sequence[ProposalId]) -> list[tuple[Spend, int]]:
        """The spends of these proposals that were voided, as they were made, each with the decision that voided it."""
        found = []
        for voided in (row for name in ids for row in self._tables.voided_keys.of((SPEND, name))):
            row = self._tables.decisions[voided.decision_seq]
            parked = None if row.payload or row.follows is None else self._tables.decisions[row.follows]
            if (spend := spend_of(row if parked is None else row._replace(payload=parked.payload))) is not None:
                found.append((spend, voided.by_seq))
        return found

    async def charges(self, keys: Sequence[ChargeKey]) -> list[Charge]:
        """Those of these charges that were requested."""
        return await self._store.charges(keys)

    async def amended(self, seqs: Sequence[int]) -> dict[int, int]:
        """The Connects that stand for those of these decisions that a correction amended."""
        return {seq: row.connects for seq in seqs if (row := self._tables.amended.get(seq)) is not None}

    async def lots(self, ids: Sequence[tuple[FreelancerId, LotId]]) -> list[Lot]:
        """The lots of these freelancers and ids that exist."""
        return await self._store.lots(ids)


def _columns(row: BatchRow) -> BatchColumns:
    return BatchColumns(*(getattr(row, name) for name in BatchColumns._fields))


def _begins_by(last: int, before: BatchHeader | None) -> bool:
    """Whether the batch after this one begins at or before that place in ledger order."""
    return before is None or before.last_seq < last


def _is_of(part: Part, name: str | None) -> bool:
    return part.is_whole or crc32((name or "").encode()) % part.of == part.number


def _is_wanted(part: Part, row: DecisionRow, spent_on: set[JobId]) -> bool:
    of_a_job = row.topic in JOB_TOPICS or (row.kind == "correction" and row.job_id is not None)
    if of_a_job and _is_of(part, row.job_id):
        return True
    return row.job_id in spent_on if is_of_job(row) else _is_of(part, row.freelancer_id)


def _recorded(part: Part, row: DecisionRow, header: BatchHeader, changes: Sequence[ChangeRow]) -> Recorded:
    mine = [change for change in changes if _is_of(part, change.freelancer_id)]
    elsewhere = sum(change.delta for change in changes) - sum(change.delta for change in mine)
    is_mine = _is_of(part, row.freelancer_id) and not is_of_job(row)
    return Recorded(row, header, mine, elsewhere, is_mine=is_mine, is_my_job=_is_of(part, row.job_id))
