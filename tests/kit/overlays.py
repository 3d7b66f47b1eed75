"""A snapshot of a ledger in memory, for plans over it. Nothing may be written to that ledger while it is used."""

from collections.abc import Sequence
from datetime import timedelta

from worker.domain.model import FreelancerId, JobId, ProposalId
from worker.domain.rules.decides import Standing
from worker.domain.state import Voided
from worker.ledger.memory_store import MemoryStore
from worker.ledger.parked import ParkedKey
from worker.ledger.past import InFull
from worker.ledger.store import FirstDecision, Moved, Tail
from worker.ledger.tables import ChangeRow, DecisionRow, PolicyRow, ReplayedRow, SeenRow, SpendRow
from worker.proof.memory_rows import MemoryRows
from worker.repair.snapshot import Conditions
from worker.repair.voiding import names_the_key


class MemorySnapshot(MemoryRows):
    """The `Snapshot` of a store in memory."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store.tables)
        self._store = store

    async def tail(self) -> Tail:
        return await self._store.tail()

    async def conditions(self) -> Conditions | None:
        last = max(self._tables.batches, key=lambda row: row.batch_no, default=None)
        if last is None or last.grace_seconds is None or last.skew_seconds is None:
            return None
        return Conditions(timedelta(seconds=last.grace_seconds), timedelta(seconds=last.skew_seconds))

    async def policies(self) -> list[PolicyRow]:
        return sorted(self._tables.policies, key=lambda row: row.effective_from)

    async def parked(self) -> dict[ParkedKey, set[str]]:
        return await self._store.parked()

    async def changes(self, freelancers: Sequence[FreelancerId]) -> list[ChangeRow]:
        of_each = (sorted(self._tables.changes_of.of(name), key=lambda row: row.version) for name in freelancers)
        return [row for rows in of_each for row in rows if row is rows[-1] or row.rule == "grant.interview"]

    async def grants(self, keys: Sequence[tuple[str, str]]) -> list[ChangeRow]:
        found = {(one.rule, one.natural_key): one.recorded_key for one in await self._store.grants(keys) if one.stands}
        return [self._tables.grants.rows[rule, recorded] for (rule, _), recorded in found.items()]

    async def voided_keys(self, keys: Sequence[tuple[str, str]]) -> list[Voided]:
        return [row for key in keys for row in self._tables.voided_keys.of(key)]

    async def voided_of(self, freelancers: Sequence[FreelancerId]) -> list[Voided]:
        return [row for name in freelancers for row in self._tables.voided_of.of(name)]

    async def in_full(self, seqs: Sequence[int]) -> list[InFull | None]:
        return [await self._store.in_full(seq) for seq in seqs]

    async def moved_since(self, asked: Sequence[tuple[FreelancerId, int]]) -> list[list[Moved]]:
        return [await self._store.moved_since(*one) for one in asked]

    async def claimants(self, voided: Sequence[DecisionRow]) -> list[int]:
        return list(map(self._claimants, voided))

    def _claimants(self, voided: DecisionRow) -> int:
        rows = (self._tables.decisions[named.seq] for named in self._tables.mentions_of.of(f"f:{voided.freelancer_id}"))
        refused = (row for row in rows if row.reason in {"already-granted", "already-spent"} and row.seq > voided.seq)
        same_rule = (row for row in refused if row.rule == voided.rule)
        return sum(1 for row in same_rule if names_the_key(voided, row.facts, row.proposal_id))

    async def mentioned(self, asked: Sequence[tuple[tuple[str, ...], int]]) -> list[list[DecisionRow]]:
        return [await self._store.mentioned(*one) for one in asked]

    async def settled_by(self, job_id: JobId, proposal_id: ProposalId) -> list[tuple[int, int]]:
        return await self._store.settled_by(job_id, proposal_id)

    async def voided_of_jobs(self) -> list[Voided]:
        return [one for one in self._tables.voided if not one.freelancer_id]

    async def booked(self, plan: str) -> list[ReplayedRow]:
        mine = [row for row in self._tables.replayed if row.plan == plan and row.decision_seq is not None]
        return sorted(mine, key=lambda row: -(row.decision_seq or 0))

    async def standing(self, asked: Sequence[tuple[int, ProposalId | None]]) -> list[Standing]:
        return [await self._store.standing(*one) for one in asked]

    async def naming(self, proposals: Sequence[ProposalId]) -> list[list[DecisionRow]]:
        return [await self._store.naming(name) for name in proposals]

    async def owing(self, freelancers: Sequence[FreelancerId]) -> list[SpendRow]:
        return [row for name in freelancers for row in self._tables.owing_of.of(name)]

    async def proposals_on(self, jobs: Sequence[JobId]) -> dict[JobId, list[ProposalId]]:
        found = await self._store.jobs(jobs)
        return {job_id: job.proposal_ids for job_id, job in found.items() if job.proposal_ids}

    async def decisions(self, seqs: Sequence[int]) -> list[DecisionRow]:
        return [self._tables.decisions[seq] for seq in seqs if seq in self._tables.decisions]

    async def first_decisions(self, seqs: Sequence[int]) -> dict[int, FirstDecision]:
        return await self._store.first_decisions(seqs)

    async def seen(self, keys: Sequence[str]) -> list[SeenRow]:
        return [self._tables.seen_events[key] for key in keys if key in self._tables.seen_events]

    async def sent_again(self, events: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
        repeats = (row for row in self._tables.decisions if row.outcome == "duplicate")
        return {(row.topic or "", row.event_id or "") for row in repeats} & set(events)

    async def last_decisions(self, ids: Sequence[FreelancerId]) -> dict[FreelancerId, int]:
        return await self._store.last_decisions(ids)
