"""A ledger that a plan is decided on: in memory, over one snapshot of the real one, which is never written.

Rows are taken from the snapshot when they are asked for first, and from then on from memory, with all that was
committed there: what a plan decided is known to what it decides later.

It is one snapshot for the whole plan, however long that takes: decided on two instants, one trigger could see a
balance without the lot that it came from. Reading takes no lock that a worker waits for; only a change of the schema
waits. PostgreSQL keeps the row versions that were replaced meanwhile until the plan is written. So a large plan (about
a thousand decisions a second) is better not made while the database is short of space, or is being migrated.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from worker.domain.model import (
    Charge,
    ChargeKey,
    FreelancerId,
    Grant,
    Job,
    JobId,
    Lot,
    LotId,
    Membership,
    ProposalId,
    Spend,
    Wallet,
)
from worker.domain.rules.decides import Standing
from worker.domain.rules.undos import UNDO
from worker.domain.state import Awaited, Held, Voided
from worker.ledger.batch import Batch
from worker.ledger.memory_store import MemoryStore
from worker.ledger.parked import ParkedKey
from worker.ledger.replaced import content_in
from worker.ledger.store import FirstDecision, Moved
from worker.ledger.tables import ChangeRow, DecisionRow
from worker.repair.snapshot import Snapshot
from worker.repair.taking import Kept, Once

_MOST_KEPT: Final = 500
"""How many answers of the snapshot about the past are kept, of each kind: those about the corrections at hand."""
_MOST_HISTORIES: Final = 100
"""Of how many wallets what moved is kept: that may be thousands of changes of each."""


class Overlay(MemoryStore):
    """A `Store` over a snapshot, once it is opened. What the ledger reads and publishes is not part of it.

    There are no positions, holds, commands and messages; no clock work but that of the wallets and jobs that were
    asked for; and behind what is parked waits only what was parked here.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        super().__init__()
        self._snapshot = snapshot
        self._proposals: dict[JobId, list[ProposalId]] = {}
        self._voided: set[ProposalId] = set()
        """Proposals of the snapshot whose spends were voided here."""
        self._restored: set[ProposalId] = set()
        """Proposals whose spends had been voided, and count again here."""
        self._last_decisions: dict[FreelancerId, int] = {}
        self._standing: dict[tuple[int, ProposalId | None], Standing] = {}
        """What stood for decisions in the snapshot."""
        self._parked: dict[ParkedKey, set[str]] = {}
        self.through_seq = 0
        """The last decision of the snapshot."""
        self._turn = turn = asyncio.Lock()
        """Held by whoever reads the snapshot, which is read by one at a time."""
        self._seen_rows, self._wallet_rows = Once(self._take_seen, turn), Once(self._take_wallets, turn)
        self._last_rows, self._grant_rows = Once(self._take_last_decisions, turn), Once(self._take_grants, turn)
        self._job_rows, self._spend_rows = Once(self._take_jobs, turn), Once(self._take_spends, turn)
        self._awaiting_rows, self._held_rows = Once(self._take_awaiting, turn), Once(self._take_held, turn)
        self._membership_rows, self._charge_rows = Once(self._take_memberships, turn), Once(self._take_charges, turn)
        self._standing_rows = Once(self._take_standing, turn)
        self._firsts = Kept(self._first_decisions, turn, _MOST_KEPT)
        self._in_full = Kept(snapshot.in_full, turn, _MOST_KEPT)
        self._moved = Kept(snapshot.moved_since, turn, _MOST_HISTORIES)
        self._naming = Kept(self._named, turn, _MOST_KEPT)
        self._mentioned = Kept(snapshot.mentioned, turn, _MOST_KEPT)
        self._settled = Kept(self._settlements, turn, _MOST_KEPT)

    async def open(self) -> None:
        """Begin where the ledger ends.

        Raises:
            Transient: the database is away, here and below.
        """
        async with self._turn:
            self._tail = await self._snapshot.tail()
            self._parked = await self._snapshot.parked()
            self.tables.policies.put(await self._snapshot.policies())
        self.through_seq = self._tail.last_seq

    async def parked(self) -> dict[ParkedKey, set[str]]:
        """Stopped wallets and jobs, each with the event ids of the clock work that waits there."""
        both = {key: set(waiting) for key, waiting in self._parked.items()}
        for key, waiting in (await super().parked()).items():
            both.setdefault(key, set()).update(waiting)
        return both

    # Event ids.

    async def seen(self, keys: Sequence[str]) -> dict[str, int]:
        """Which of these event ids (see `seen_key`) were decided, and by which decision."""
        await self._seen_rows.take(keys)
        return await super().seen(keys)

    async def _take_seen(self, keys: Sequence[str]) -> None:
        self.tables.seen_events.put_missing(await self._snapshot.seen(keys))

    async def first_decisions(self, seqs: Sequence[int]) -> dict[int, FirstDecision]:
        """The decisions of these seqs, to compare repeats with; what was replaced, by the snapshot and since."""
        in_snapshot = [seq for seq in seqs if seq <= self.through_seq]
        firsts = dict(zip(in_snapshot, await self._firsts.all(in_snapshot), strict=True))
        since = await super().first_decisions(seqs)
        return {
            seq: first._replace(replaced=(*before.replaced, *self._since(before), *first.replaced))
            if (before := firsts.get(seq)) is not None
            else first
            for seq, first in since.items()
        }

    async def _first_decisions(self, seqs: Sequence[int]) -> list[FirstDecision | None]:
        await self._take_decisions(seqs)
        found = await self._snapshot.first_decisions(seqs)
        return [found.get(seq) for seq in seqs]

    def _since(self, first: FirstDecision) -> list[tuple[int, bytes]]:
        """The content that counts again since replacements in the snapshot were undone."""
        undos = (row for seq, _ in first.replaced for row in self._following(seq, UNDO))
        return [(row.seq, content_in(row.payload)) for row in undos if row.seq > self.through_seq]

    # Wallets and jobs.

    async def wallets(self, ids: Sequence[FreelancerId], after: datetime | None) -> dict[FreelancerId, Wallet]:
        """Wallets that exist, with lots open or expiring after then, owing spends, and interview grants."""
        await self._wallet_rows.take(ids)
        return await super().wallets(ids, after)

    async def _take_wallets(self, ids: Sequence[FreelancerId]) -> None:
        self.tables.changes.put_missing(await self._snapshot.changes(ids))
        self.tables.voided.put_missing(await self._snapshot.voided_of(ids))
        self.tables.lots.put_missing(await self._snapshot.lots(ids))
        owing = await self._snapshot.owing(ids)
        self.tables.spends.put_missing(row for row in owing if row.proposal_id not in self._voided)

    async def lots(self, ids: Sequence[tuple[FreelancerId, LotId]]) -> list[Lot]:
        """The lots of these freelancers and ids that exist."""
        await self._wallet_rows.take(freelancer_id for freelancer_id, _ in ids)
        return await super().lots(ids)

    async def last_decisions(self, ids: Sequence[FreelancerId]) -> dict[FreelancerId, int]:
        """The last decision that names each of these freelancers; 0 for one that no decision names."""
        await self._last_rows.take(ids)
        return {name: self._last_decisions.get(name, 0) for name in ids}

    async def _take_last_decisions(self, ids: Sequence[FreelancerId]) -> None:
        for name, seq in (await self._snapshot.last_decisions(ids)).items():
            self._last_decisions.setdefault(name, seq)

    async def grants(self, keys: Iterable[tuple[str, str]]) -> list[Grant]:
        """Grants made under these (rule, natural key); of a key that was freed by a void one that does not stand."""
        listed = list(keys)
        await self._grant_rows.take(listed)
        return await super().grants(listed)

    async def _take_grants(self, keys: Sequence[tuple[str, str]]) -> None:
        self.tables.changes.put_missing(await self._snapshot.grants(keys))
        self.tables.voided.put_missing(await self._snapshot.voided_keys(keys))

    async def jobs(self, ids: Sequence[JobId]) -> dict[JobId, Job]:
        """Every job asked for; one never heard of is empty."""
        await self._job_rows.take(ids)
        found = await super().jobs(ids)
        for job_id, job in found.items():
            added = [row for row in self.tables.spends_on.of(job_id) if row.decision_seq > self.through_seq]
            in_order = sorted(added, key=lambda row: row.decision_seq)
            before = [name for name in self._proposals.get(job_id, ()) if name not in self._voided]
            job.proposal_ids = [*before, *(row.proposal_id for row in in_order)]
            await self._put_restored(job)
        return found

    async def _take_jobs(self, ids: Sequence[JobId]) -> None:
        self.tables.hires.put_missing(await self._snapshot.hires(ids))
        self.tables.closures.put_missing(await self._snapshot.closures(ids))
        self._proposals.update(await self._snapshot.proposals_on(ids))

    async def _put_restored(self, job: Job) -> None:
        """Put the spends of a job that count again where they were among the others: that is rare, and reads all."""
        rows = self.tables.spends_on.of(job.job_id)
        if any(row.proposal_id in self._restored and row.proposal_id not in job.proposal_ids for row in rows):
            await self.spends(job.proposal_ids)
            in_order = sorted(self.tables.spends_on.of(job.job_id), key=lambda row: row.decision_seq)
            job.proposal_ids = [row.proposal_id for row in in_order]

    async def proposals_before(self, job_id: JobId) -> list[ProposalId]:
        """The proposals that were spent on a job in the snapshot, in ledger order, but those that were voided here."""
        await self.jobs([job_id])
        return [name for name in self._proposals.get(job_id, ()) if name not in self._voided]

    async def spends(self, ids: Sequence[ProposalId]) -> list[Spend]:
        """The spends of these proposals that exist."""
        await self._spend_rows.take(ids)
        return await super().spends(ids)

    async def _take_spends(self, ids: Sequence[ProposalId]) -> None:
        found = await self._snapshot.spends(ids)
        self.tables.spends.put_missing(row for row in found if row.proposal_id not in self._voided)

    async def awaiting(self, ids: Sequence[ProposalId]) -> list[Awaited]:
        """Withdrawals and outbids that wait for these proposals, in ledger order."""
        await self._awaiting_rows.take(ids)
        return await super().awaiting(ids)

    async def _take_awaiting(self, ids: Sequence[ProposalId]) -> None:
        rows = await self._snapshot.awaiting(ids)
        await self._take_decisions([row.decision_seq for row in rows])
        self.tables.awaiting.put_missing(rows)

    # What a decision that is to be voided has done: by the snapshot, and since.

    async def in_full(self, seq: int) -> tuple[DecisionRow, list[ChangeRow]] | None:
        """A decision and its changes."""
        if seq > self.through_seq:
            return await super().in_full(seq)
        return await self._in_full(seq)

    async def moved_since(self, freelancer_id: FreelancerId, version: int) -> list[Moved]:
        """What moved in a wallet from this version on, in order."""
        before = await self._moved((freelancer_id, version))
        since = await super().moved_since(freelancer_id, version)
        return [*before, *(moved for moved in since if moved.decision_seq > self.through_seq)]

    async def linked_lots(self, freelancer_id: FreelancerId) -> list[tuple[LotId, LotId]]:
        """The lots of a freelancer that are linked to another one, and which."""
        await self._wallet_rows.take([freelancer_id])
        return await super().linked_lots(freelancer_id)

    async def naming(self, proposal_id: ProposalId) -> list[DecisionRow]:
        """The withdrawals and outbids that name a proposal, in ledger order."""
        before = await self._naming(proposal_id)
        since = await super().naming(proposal_id)
        return [*before, *(row for row in since if row.seq > self.through_seq)]

    async def _named(self, ids: Sequence[ProposalId]) -> Sequence[list[DecisionRow]]:
        found = await self._snapshot.naming(ids)
        self.tables.decisions.put_missing(row for rows in found for row in rows)  # they may wait again
        return found

    async def mentioned(self, keys: Sequence[str], after: int) -> list[DecisionRow]:
        """The decisions after `after` that are mentioned under these keys (see `mentions.py`), in ledger order."""
        before = await self._mentioned((tuple(keys), after))
        since = await super().mentioned(keys, max(after, self.through_seq))
        return [*before, *since]

    async def settled_by(self, job_id: JobId, proposal_id: ProposalId) -> list[tuple[int, int]]:
        """The settlements of a spend on a job: the decision of each one's closure, and its own."""
        before = await self._settled((job_id, proposal_id))
        since = await super().settled_by(job_id, proposal_id)
        return [*before, *(one for one in since if one[1] > self.through_seq)]

    async def _settlements(self, asked: Sequence[tuple[JobId, ProposalId]]) -> list[list[tuple[int, int]]]:
        return [await self._snapshot.settled_by(*one) for one in asked]

    async def standing(self, seq: int, proposal_id: ProposalId | None) -> Standing:
        """What stands for a decision, which names this proposal if it is on one, since corrections."""
        await self.take_standing([(seq, proposal_id)])
        before = self._standing[seq, proposal_id]
        since = await super().standing(seq, proposal_id)
        is_over = before.is_over or since.is_over
        amended = before if since.connects is None else since
        return Standing(amended.connects, amended.policy, is_over, amended.not_taken)

    async def take_standing(self, asked: Sequence[tuple[int, ProposalId | None]]) -> None:
        """Take what stood for these decisions in the snapshot, in one statement: see `standing`."""
        await self._standing_rows.take(asked)

    async def _take_standing(self, asked: Sequence[tuple[int, ProposalId | None]]) -> None:
        self._standing.update(zip(asked, await self._snapshot.standing(asked), strict=True))

    async def voided_of_jobs(self) -> list[Voided]:
        """The closures and hires that had been voided when the snapshot was taken."""
        return await self._snapshot.voided_of_jobs()

    async def claimants(self, voided: Sequence[DecisionRow]) -> Sequence[int]:
        """How many events were refused because of each of these decisions: they named its natural key."""
        async with self._turn:
            return await self._snapshot.claimants(voided)

    # Memberships.

    async def memberships(self, ids: Sequence[FreelancerId]) -> dict[FreelancerId, Membership]:
        """Every membership asked for; one never heard of has not begun."""
        await self._membership_rows.take(ids)
        return await super().memberships(ids)

    async def _take_memberships(self, ids: Sequence[FreelancerId]) -> None:
        self.tables.memberships.put_missing(await self._snapshot.memberships(ids))

    async def charges(self, keys: Sequence[ChargeKey]) -> list[Charge]:
        """Those of these charges that were asked for."""
        await self._charge_rows.take(keys)
        return await super().charges(keys)

    async def _take_charges(self, keys: Sequence[ChargeKey]) -> None:
        self.tables.charges.put_missing(await self._snapshot.charges(keys))

    async def held(self, ids: Sequence[FreelancerId]) -> list[Held]:
        """These freelancers' membership events that cannot count yet, in ledger order."""
        await self._held_rows.take(ids)
        return await super().held(ids)

    async def _take_held(self, ids: Sequence[FreelancerId]) -> None:
        rows = await self._snapshot.held(ids)
        seqs = [row.decision_seq for row in rows]
        await self._take_decisions(seqs)
        follows = (self.tables.decisions[seq].follows for seq in seqs)
        await self._take_decisions([seq for seq in follows if seq is not None])
        self.tables.held.put_missing(rows)

    # Writing.

    async def commit(self, batch: Batch, epoch: int) -> None:
        """Take a batch into memory, without its messages.

        Raises:
            LeadershipLost, BatchRefused: as of a ledger in memory.
        """
        await super().commit(replace(batch, outbox=None), epoch)
        self._voided.update(batch.spends_voided)
        if batch.unvoided:
            restored = {row.proposal_id for row in batch.new_spends if row.decision_seq in batch.unvoided}
            self._restored |= restored
            self._voided -= restored
            await self._take_changes_of(batch.unvoided)
        for row in batch.decisions:
            if row.freelancer_id is not None:
                self._last_decisions[row.freelancer_id] = row.seq

    async def _take_changes_of(self, seqs: Iterable[int]) -> None:
        """Have the changes of decisions that count again: the snapshot gave none of what is void there."""
        for found in await self._in_full.all([seq for seq in seqs if seq <= self.through_seq]):
            if found is not None:
                self.tables.changes.put_missing(found[1])

    async def _take_decisions(self, seqs: Iterable[int]) -> None:
        if new := [seq for seq in seqs if seq <= self.through_seq and seq not in self.tables.decisions]:
            self.tables.decisions.put_missing(await self._snapshot.decisions(new))
