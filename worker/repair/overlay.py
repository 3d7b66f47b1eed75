"""A ledger that a plan is decided on: in memory, over one snapshot of the real one, which is never written.

Rows are taken from the snapshot when they are asked for first, and from then on from memory, with all that was
committed there: what a plan decided is known to what it decides later.

It is one snapshot for the whole plan, however long that takes: decided on two instants, one trigger could see a
balance without the lot that it came from. Reading takes no lock that a worker waits for; only a change of the schema
waits. PostgreSQL keeps the row versions that were replaced meanwhile until the plan is written. So a large plan (about
a thousand decisions a second) is better not made while the database is short of space, or is being migrated.
"""

import asyncio
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

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
from worker.ledger.memory_store import MemoryStore
from worker.ledger.replaced import content_in
from worker.ledger.store import Batch, FirstDecision, Moved, ParkedKey
from worker.ledger.tables import ChangeRow, DecisionRow
from worker.repair.snapshot import Snapshot

Key = TypeVar("Key", bound=Hashable)


class Overlay(MemoryStore):
    """A `Store` over a snapshot, once it is opened. What the ledger reads and publishes is not part of it.

    There are no positions, holds, commands and messages; no clock work but that of the wallets and jobs that were
    asked for; and behind what is parked waits only what was parked here.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        super().__init__()
        self._snapshot = snapshot
        self._taken: defaultdict[str, set[object]] = defaultdict(set)
        """What was asked for of each kind of row."""
        self._proposals: dict[JobId, list[ProposalId]] = {}
        self._voided: set[ProposalId] = set()
        """Proposals of the snapshot whose spends were voided here."""
        self._restored: set[ProposalId] = set()
        """Proposals whose spends had been voided, and count again here."""
        self._last_decisions: dict[FreelancerId, int] = {}
        self._standing: dict[tuple[int, ProposalId | None], Standing] = {}
        """What stood for decisions in the snapshot."""
        self._parked: dict[ParkedKey, set[str]] = {}
        self._turn = asyncio.Lock()
        """Held by the caller that reads the snapshot: others wait, for they may be asking for the same rows."""
        self.through_seq = 0
        """The last decision of the snapshot."""

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
        async with self._turn:
            if new := self._new("seen", keys):
                self.tables.seen_events.put_missing(await self._snapshot.seen(new))
        return await super().seen(keys)

    async def first_decisions(self, seqs: Sequence[int]) -> dict[int, FirstDecision]:
        """The decisions of these seqs, to compare repeats with; what was replaced, by the snapshot and since."""
        async with self._turn:
            await self._take_decisions(seqs)
            before = await self._snapshot.first_decisions([seq for seq in seqs if seq <= self.through_seq])
        since = await super().first_decisions(seqs)
        return {
            seq: first._replace(replaced=(*before[seq].replaced, *self._since(before[seq]), *first.replaced))
            if seq in before
            else first
            for seq, first in since.items()
        }

    def _since(self, first: FirstDecision) -> list[tuple[int, bytes]]:
        """The content that counts again since replacements in the snapshot were undone."""
        undos = (row for seq, _ in first.replaced for row in self._following(seq, UNDO))
        return [(row.seq, content_in(row.payload)) for row in undos if row.seq > self.through_seq]

    # Wallets and jobs.

    async def wallets(self, ids: Sequence[FreelancerId], after: datetime | None) -> dict[FreelancerId, Wallet]:
        """Wallets that exist, with lots open or expiring after then, owing spends, and interview grants."""
        async with self._turn:
            await self._take_wallets(ids)
        return await super().wallets(ids, after)

    async def lots(self, ids: Sequence[tuple[FreelancerId, LotId]]) -> list[Lot]:
        """The lots of these freelancers and ids that exist."""
        async with self._turn:
            await self._take_wallets([freelancer_id for freelancer_id, _ in ids])
        return await super().lots(ids)

    async def last_decisions(self, ids: Sequence[FreelancerId]) -> dict[FreelancerId, int]:
        """The last decision that names each of these freelancers; 0 for one that no decision names."""
        async with self._turn:
            if new := self._new("last decision", ids):
                for name, seq in (await self._snapshot.last_decisions(new)).items():
                    self._last_decisions.setdefault(name, seq)
        return {name: self._last_decisions.get(name, 0) for name in ids}

    async def grants(self, keys: Iterable[tuple[str, str]]) -> list[Grant]:
        """Grants made under these (rule, natural key); of a key that was freed by a void one that does not stand."""
        listed = list(keys)
        async with self._turn:
            if new := self._new("grant", listed):
                self.tables.changes.put_missing(await self._snapshot.grants(new))
                self.tables.voided.put_missing(await self._snapshot.voided_keys(new))
        return await super().grants(listed)

    async def jobs(self, ids: Sequence[JobId]) -> dict[JobId, Job]:
        """Every job asked for; one never heard of is empty."""
        async with self._turn:
            if new := self._new("job", ids):
                self.tables.hires.put_missing(await self._snapshot.hires(new))
                self.tables.closures.put_missing(await self._snapshot.closures(new))
                self._proposals.update(await self._snapshot.proposals_on(new))
        found = await super().jobs(ids)
        for job_id, job in found.items():
            added = [row for row in self.tables.spends_on.of(job_id) if row.decision_seq > self.through_seq]
            in_order = sorted(added, key=lambda row: row.decision_seq)
            before = [name for name in self._proposals.get(job_id, ()) if name not in self._voided]
            job.proposal_ids = [*before, *(row.proposal_id for row in in_order)]
            await self._put_restored(job)
        return found

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
        async with self._turn:
            if new := self._new("spend", ids):
                found = await self._snapshot.spends(new)
                self.tables.spends.put_missing(row for row in found if row.proposal_id not in self._voided)
        return await super().spends(ids)

    async def awaiting(self, ids: Sequence[ProposalId]) -> list[Awaited]:
        """Withdrawals and outbids that wait for these proposals, in ledger order."""
        async with self._turn:
            if new := self._new("awaiting", ids):
                rows = await self._snapshot.awaiting(new)
                await self._take_decisions([row.decision_seq for row in rows])
                self.tables.awaiting.put_missing(rows)
        return await super().awaiting(ids)

    # What a decision that is to be voided has done: by the snapshot, and since.

    async def in_full(self, seq: int) -> tuple[DecisionRow, list[ChangeRow]] | None:
        """A decision and its changes."""
        if seq > self.through_seq:
            return await super().in_full(seq)
        async with self._turn:
            return await self._snapshot.in_full(seq)

    async def moved_since(self, freelancer_id: FreelancerId, version: int) -> list[Moved]:
        """What moved in a wallet from this version on, in order."""
        async with self._turn:
            before = await self._snapshot.moved_since(freelancer_id, version)
        since = await super().moved_since(freelancer_id, version)
        return [*before, *(moved for moved in since if moved.decision_seq > self.through_seq)]

    async def linked_lots(self, freelancer_id: FreelancerId) -> list[tuple[LotId, LotId]]:
        """The lots of a freelancer that are linked to another one, and which."""
        async with self._turn:
            await self._take_wallets([freelancer_id])
        return await super().linked_lots(freelancer_id)

    async def naming(self, proposal_id: ProposalId) -> list[DecisionRow]:
        """The withdrawals and outbids that name a proposal, in ledger order."""
        async with self._turn:
            before = await self._snapshot.naming(proposal_id)
            await self._take_decisions([row.seq for row in before])  # they may wait again
        since = await super().naming(proposal_id)
        return [*before, *(row for row in since if row.seq > self.through_seq)]

    async def mentioned(self, keys: Sequence[str], after: int) -> list[DecisionRow]:
        """The decisions after `after` that are mentioned under these keys (see `mentions.py`), in ledger order."""
        async with self._turn:
            before = await self._snapshot.mentioned(keys, after)
        since = await super().mentioned(keys, max(after, self.through_seq))
        return [*before, *since]

    async def settled_by(self, job_id: JobId, proposal_id: ProposalId) -> list[tuple[int, int]]:
        """The settlements of a spend on a job: the decision of each one's closure, and its own."""
        async with self._turn:
            before = await self._snapshot.settled_by(job_id, proposal_id)
        since = await super().settled_by(job_id, proposal_id)
        return [*before, *(one for one in since if one[1] > self.through_seq)]

    async def standing(self, seq: int, proposal_id: ProposalId | None) -> Standing:
        """What stands for a decision, which names this proposal if it is on one, since corrections."""
        await self.take_standing({seq: proposal_id})
        before = self._standing[seq, proposal_id]
        since = await super().standing(seq, proposal_id)
        is_over = before.is_over or since.is_over
        amended = before if since.connects is None else since
        return Standing(amended.connects, amended.policy, is_over, amended.not_taken)

    async def take_standing(self, on: Mapping[int, ProposalId | None]) -> None:
        """Take what stood for these decisions in the snapshot, in one statement: see `standing`."""
        async with self._turn:
            if new := dict(self._new("standing", on.items())):
                found = await self._snapshot.standing(new)
                self._standing.update({(seq, new[seq]): standing for seq, standing in found.items()})

    async def voided_of_jobs(self) -> list[Voided]:
        """The closures and hires that had been voided when the snapshot was taken."""
        return await self._snapshot.voided_of_jobs()

    async def claimants(self, voided: DecisionRow) -> int:
        """How many events were refused because of a decision that is voided: they named its natural key."""
        async with self._turn:
            return await self._snapshot.claimants(voided)

    # Memberships.

    async def memberships(self, ids: Sequence[FreelancerId]) -> dict[FreelancerId, Membership]:
        """Every membership asked for; one never heard of has not begun."""
        async with self._turn:
            if new := self._new("membership", ids):
                self.tables.memberships.put_missing(await self._snapshot.memberships(new))
        return await super().memberships(ids)

    async def charges(self, keys: Sequence[ChargeKey]) -> list[Charge]:
        """Those of these charges that were asked for."""
        async with self._turn:
            if new := self._new("charge", keys):
                self.tables.charges.put_missing(await self._snapshot.charges(new))
        return await super().charges(keys)

    async def held(self, ids: Sequence[FreelancerId]) -> list[Held]:
        """These freelancers' membership events that cannot count yet, in ledger order."""
        async with self._turn:
            if new := self._new("held", ids):
                rows = await self._snapshot.held(new)
                seqs = [row.decision_seq for row in rows]
                await self._take_decisions(seqs)
                follows = (self.tables.decisions[seq].follows for seq in seqs)
                await self._take_decisions([seq for seq in follows if seq is not None])
                self.tables.held.put_missing(rows)
        return await super().held(ids)

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

    def _new(self, kind: str, keys: Iterable[Key]) -> list[Key]:
        """Those of these keys that were not asked for before."""
        taken = self._taken[kind]
        new = [key for key in dict.fromkeys(keys) if key not in taken]
        taken.update(new)
        return new

    async def _take_wallets(self, ids: Sequence[FreelancerId]) -> None:
        if new := self._new("wallet", ids):
            self.tables.changes.put_missing(await self._snapshot.changes(new))
            self.tables.voided.put_missing(await self._snapshot.voided_of(new))
            self.tables.lots.put_missing(await self._snapshot.lots(new))
            owing = await self._snapshot.owing(new)
            self.tables.spends.put_missing(row for row in owing if row.proposal_id not in self._voided)

    async def _take_changes_of(self, seqs: Iterable[int]) -> None:
        """Have the changes of decisions that count again: the snapshot gave none of what is void there."""
        async with self._turn:
            for seq in seqs:
                if seq <= self.through_seq and (found := await self._snapshot.in_full(seq)) is not None:
                    self.tables.changes.put_missing(found[1])

    async def _take_decisions(self, seqs: Iterable[int]) -> None:
        if new := [seq for seq in seqs if seq <= self.through_seq and seq not in self.tables.decisions]:
            self.tables.decisions.put_missing(await self._snapshot.decisions(new))
