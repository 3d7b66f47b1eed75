"""What a ledger in memory keeps of plans."""

from collections.abc import Sequence
from operator import attrgetter, itemgetter
from typing import Any
from uuid import UUID

from worker.domain.model import FreelancerId, JobId, LotId, ProposalId
from worker.domain.rules.decides import Standing
from worker.domain.rules.refunds import OUTBID
from worker.domain.rules.replaces import REPLACE
from worker.domain.rules.spends import SPEND
from worker.domain.rules.undos import UNDO
from worker.ledger.memory_tables import Tables
from worker.ledger.recorded_change import RecordedChange, RecordedSize, read_recorded
from worker.ledger.replaced import JOB_CLOSED, content_in
from worker.ledger.store import FirstDecision, Moved
from worker.ledger.tables import ChangeRow, ClosureRow, DecisionRow, ReplayedRow, ReplayRow


class MemoryPlans:
    """The part of a store in memory that plans are made and applied with."""

    def __init__(self, ledger_id: UUID | None) -> None:
        self.tables = Tables()
        self._ledger_id = ledger_id or UUID(int=0)

    async def ledger_id(self) -> str:
        """Which ledger it is."""
        return str(self._ledger_id)

    async def replay(self, plan: str) -> ReplayRow | None:
        """The plan of this hash, if it was begun."""
        return self.tables.replays.get(plan)

    async def replayed(self, plan: str, numbers: Sequence[int]) -> dict[int, ReplayedRow]:
        """What became of these triggers of a plan, of those that have an answer."""
        rows = self.tables.replayed
        return {number: row for number in numbers if (row := rows.get((plan, number))) is not None}

    async def not_replayed(
        self, plan: str, freelancers: Sequence[FreelancerId], jobs: Sequence[JobId]
    ) -> list[ReplayedRow]:
        """The triggers of a plan about these freelancers or jobs that were answered and not booked."""
        return [
            row for row in self.tables.not_replayed.of(plan) if row.freelancer_id in freelancers or row.job_id in jobs
        ]

    # What was published.

    async def recorded_changes(self, wallets: Sequence[tuple[str, int]], most: int) -> list[RecordedChange]:
        """The changes of these wallets, each from a version on, in that order and by version; so many at most."""
        found = [
            self._recorded(row)
            for freelancer_id, version in wallets
            for row in sorted(self.tables.changes_of.of(freelancer_id), key=attrgetter("version"))
            if row.version >= version
        ]
        return found[:most]

    async def recorded_sizes(self, wallets: Sequence[tuple[str, int]], most: int) -> list[RecordedSize]:
        """How large the changes are that `recorded_changes` has of these wallets."""
        found = await self.recorded_changes(wallets, most)
        return [RecordedSize(one.change.freelancer_id, one.change.version, len(one.change.movements)) for one in found]

    def _recorded(self, change: ChangeRow) -> RecordedChange:
        decision = self.tables.decisions[change.decision_seq]
        row = {**decision._asdict(), **change._asdict(), "added": None}
        row["trigger"] = decision.payload if decision.kind == "correction" else None
        if decision.offset is None and decision.topic is not None:
            of_event = ("added", decision.topic, decision.event_id)
            rows = self.tables.decisions
            row["added"] = next(one.seq for one in rows if (one.kind, one.topic, one.event_id) == of_event)
        lots = self.tables.lots_of.of(change.freelancer_id)
        row["lots"], row["ends"] = [lot.lot_id for lot in lots], [lot.expires_at for lot in lots]
        return read_recorded(row)

    # What a decision that is to be voided has done.

    async def in_full(self, seq: int) -> tuple[DecisionRow, list[ChangeRow]] | None:
        """A decision and its changes."""
        if seq not in self.tables.decisions:
            return None
        row = self.tables.decisions[seq]
        changes = (one for one in self.tables.changes if one.decision_seq == seq)
        return row, sorted(changes, key=lambda one: one.ordinal)

    async def moved_since(self, freelancer_id: FreelancerId, version: int) -> list[Moved]:
        """What moved in a wallet from this version on, in order."""
        rows = sorted(self.tables.changes_of.of(freelancer_id), key=lambda row: row.version)
        return [Moved(row.decision_seq, row.rule, row.movements) for row in rows if row.version >= version]

    async def linked_lots(self, freelancer_id: FreelancerId) -> list[tuple[LotId, LotId]]:
        """The lots of a freelancer that are linked to another one, and which."""
        rows = self.tables.lots_of.of(freelancer_id)
        return [(row.lot_id, row.linked_to) for row in rows if row.linked_to is not None]

    async def naming(self, proposal_id: ProposalId) -> list[DecisionRow]:
        """The withdrawals and outbids that name a proposal, in ledger order."""
        rows = [self.tables.decisions[named.seq] for named in self.tables.mentions_of.of(f"p:{proposal_id}")]
        named = (row for row in rows if row.topic in {"proposal-withdrawn", "boost-outbid"})
        return sorted(named, key=lambda row: row.seq)

    # What a decision of a plan that is to be undone has done.

    async def mentioned(self, keys: Sequence[str], after: int) -> list[DecisionRow]:
        """The decisions after `after` that are mentioned under these keys (see `mentions.py`), in ledger order."""
        seqs = {named.seq for key in keys for named in self.tables.mentions_of.of(key) if named.seq > after}
        return [self.tables.decisions[seq] for seq in sorted(seqs)]

    async def settled_by(self, job_id: JobId, proposal_id: ProposalId) -> list[tuple[int, int]]:
        """The settlements of a spend on a job: the decision of each one's closure, and its own."""
        closures = {_event_of(row): row.decision_seq for row in self.tables.closures_of.of(job_id)}
        made = (row for row in self.tables.decisions if row.kind == "settlement" and row.proposal_id == proposal_id)
        settled = ((closures[_event_of(row)], row.seq) for row in made if _event_of(row) in closures)
        return sorted(settled, key=itemgetter(1))

    # Which content an event has.

    async def first_decisions(self, seqs: Sequence[int]) -> dict[int, FirstDecision]:
        """The decisions of these seqs, to compare repeats with."""
        rows: list[Any] = [self.tables.decisions[seq] for seq in seqs if seq in self.tables.decisions]
        found = {}
        for row in rows:
            place = (row.topic, row.incarnation, row.partition, row.offset)
            replaced = () if row.topic == JOB_CLOSED else self._replaced(row.seq)
            found[row.seq] = FirstDecision(row.seq, *place, row.payload, row.event_id, replaced)
        return found

    def _replaced(self, seq: int) -> tuple[tuple[int, bytes], ...]:
        """The content that an event was given by corrections of the decision on it, and by the undos of these."""
        replacing = self._following(seq, REPLACE)
        rows = [*replacing, *(undo for row in replacing for undo in self._following(row.seq, UNDO))]
        return tuple((row.seq, content_in(row.payload)) for row in sorted(rows, key=lambda row: row.seq))

    def _following(self, seq: int, rule: str) -> list[Any]:
        """The corrections of a decision under a rule."""
        rows: list[Any] = [self.tables.decisions[named.seq] for named in self.tables.mentions_of.of(f"s:{seq}")]
        return [row for row in rows if row.rule == rule and row.outcome == "applied"]

    async def standing(self, seq: int, proposal_id: ProposalId | None) -> Standing:
        """What stands for a decision, which names this proposal if it is on one, since corrections."""
        row, of_seq = self.tables.amended.get(seq), self.tables.voided.get(seq)
        voided = of_seq is not None and of_seq.rule != OUTBID  # of an outbid the lines are settled again
        on_it = () if proposal_id is None else self.tables.voided_keys.of((SPEND, proposal_id))
        is_over = voided or any(one.by_seq > seq for one in on_it)
        is_over = is_over or any(not self._following(row.seq, UNDO) for row in self._following(seq, REPLACE))
        if row is None:
            return Standing(is_over=is_over)
        return Standing(row.connects, row.policy, is_over, row.not_taken)


def _event_of(row: ClosureRow | DecisionRow) -> tuple[object, ...]:
    """Identifies the event of a closure, also in the rows of its settlements."""
    return row.topic, row.incarnation, row.partition, row.offset, row.event_id
