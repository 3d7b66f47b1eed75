"""The working set: the objects that the rules read and change, and a note of everything they changed."""

from bisect import insort
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Literal, NamedTuple

import msgspec

from schemas.base import InputEvent
from worker.domain.model import (
    Cause,
    Charge,
    ChargeKey,
    Closure,
    FreelancerId,
    Grant,
    InterviewGrant,
    Job,
    JobId,
    Lot,
    LotId,
    Membership,
    ProposalId,
    Spend,
    Wallet,
    freed_grant,
)

DueKind = Literal["settlement", "late-settlement"]


class Due(NamedTuple):
    """Work for the clock. `key` is the job-closed decision's seq; for a late settlement `/` and the proposal follow."""

    due_at: datetime
    kind: DueKind
    key: str


class Awaited(NamedTuple):
    """A withdrawal or outbid that was read before its proposal; `decision_seq` is the decision that recorded it."""

    proposal_id: ProposalId
    decision_seq: int
    is_outbid: bool
    freelancer_id: FreelancerId
    job_id: JobId
    occurred_at: datetime
    cause: Cause

    def names(self, spend: Spend) -> bool:
        """Whether it is about the proposal of this spend, and no mismatch."""
        own = (self.proposal_id, self.freelancer_id, self.job_id)
        return own == (spend.proposal_id, spend.freelancer_id, spend.job_id)


class Held(NamedTuple):
    """A membership event that cannot count yet: its cycle start is not booked, or its charge is not known.

    `decision_seq` is the decision that recorded it; it gets a follow-up when it counts.
    """

    freelancer_id: FreelancerId
    decision_seq: int
    topic: str
    event: InputEvent
    cause: Cause


class Voided(NamedTuple):
    """A decision that was voided by the decision `by_seq`; `natural_key` is free again: of a spend its proposal id."""

    decision_seq: int
    by_seq: int
    rule: str
    natural_key: str
    freelancer_id: FreelancerId
    job_id: JobId | None


class Amended(NamedTuple):
    """What stands for a decision since the decision `by_seq` amended it, in Connects.

    `policy` is the corrected version that says so; None: the policy that the ledger has. `not_taken` are Connects that
    should have been taken and were not: see `Standing`.
    """

    decision_seq: int
    by_seq: int
    connects: int
    policy: str | None
    not_taken: int


class Changed(msgspec.Struct, eq=False):
    """Objects that were opened or changed since the last commit: the next one writes them, and the cache keeps them."""

    wallets: dict[FreelancerId, Wallet] = msgspec.field(default_factory=dict)
    new_lots: dict[LotId, Lot] = msgspec.field(default_factory=dict)
    """Those that were opened; what was drawn from them since, or came back, is in `lots` as well."""
    lots: dict[LotId, Lot] = msgspec.field(default_factory=dict)
    spends: dict[ProposalId, Spend] = msgspec.field(default_factory=dict)
    jobs: dict[JobId, Job] = msgspec.field(default_factory=dict)
    hires: dict[JobId, datetime | None] = msgspec.field(default_factory=dict)
    """The first hires of jobs; None: that there was one was voided."""
    closures: dict[int, Closure] = msgspec.field(default_factory=dict)
    grants: list[Grant] = msgspec.field(default_factory=list)
    awaiting_added: list[Awaited] = msgspec.field(default_factory=list)
    awaiting_done: list[Awaited] = msgspec.field(default_factory=list)
    due_added: list[Due] = msgspec.field(default_factory=list)
    memberships: dict[FreelancerId, Membership] = msgspec.field(default_factory=dict)
    charges: dict[ChargeKey, Charge] = msgspec.field(default_factory=dict)
    cycles_before: dict[FreelancerId, tuple[date | None, date | None]] = msgspec.field(default_factory=dict)
    """The cycles of memberships whose beginning a correction forgot, or brought back, as they were before that."""
    held_added: list[Held] = msgspec.field(default_factory=list)
    held_done: list[Held] = msgspec.field(default_factory=list)
    cycles_added: list[tuple[date, FreelancerId]] = msgspec.field(default_factory=list)
    """The cycle starts that were added to the schedule: the day, and the freelancer."""
    voided: list[Voided] = msgspec.field(default_factory=list)
    spends_voided: list[Spend] = msgspec.field(default_factory=list)
    grants_restored: list[Grant] = msgspec.field(default_factory=list)
    """Grants that were voided, and count again."""
    spends_restored: dict[ProposalId, Spend] = msgspec.field(default_factory=dict)
    facts_restored: list[int] = msgspec.field(default_factory=list)
    """Decisions on closures, hires, withdrawals and outbids that were voided, and count again."""
    amended: list[Amended] = msgspec.field(default_factory=list)

    def forget(self) -> None:
        """Forget it all, to note what the next trigger changes: that costs less than half of making a new one."""
        for noted in filter(None, msgspec.structs.astuple(self)):
            noted.clear()


@dataclass(slots=True)
class State:
    """Everything the next triggers may ask about, in memory.

    The caller of a rule has loaded what the trigger names; what is absent here does not exist. `grace` is how long the
    clock waits beyond an instant before it acts on it.

    With `strict`, asking for something that nobody loaded is an error, and not an absence: opening a wallet that the
    ledger has would be a loss, and a grant that it has would be made twice. What was loaded and does not exist is in
    one of the `absent_...` sets; a job or membership that was loaded always exists.
    """

    grace: timedelta
    strict: bool = False
    absent_wallets: set[FreelancerId] = field(default_factory=set)
    absent_spends: set[ProposalId] = field(default_factory=set)
    absent_grants: set[tuple[str, str]] = field(default_factory=set)
    absent_charges: set[ChargeKey] = field(default_factory=set)
    wallets: dict[FreelancerId, Wallet] = field(default_factory=dict)
    jobs: dict[JobId, Job] = field(default_factory=dict)
    spends: dict[ProposalId, Spend] = field(default_factory=dict)
    grants: dict[tuple[str, str], Grant] = field(default_factory=dict)
    awaiting: dict[ProposalId, list[Awaited]] = field(default_factory=dict)
    memberships: dict[FreelancerId, Membership] = field(default_factory=dict)
    charges: dict[ChargeKey, Charge] = field(default_factory=dict)
    held: dict[FreelancerId, list[Held]] = field(default_factory=dict)
    changed: Changed = field(default_factory=Changed)

    def wallet(self, freelancer_id: FreelancerId) -> Wallet:
        """The freelancer's wallet; opened at 0 by the first event that names the freelancer."""
        wallet = self.wallets.get(freelancer_id)
        if wallet is None:
            if self.strict and freelancer_id not in self.absent_wallets:
                raise LookupError(f"wallet {freelancer_id} was not loaded")
            wallet = self.wallets[freelancer_id] = Wallet(freelancer_id)
            self.changed.wallets[freelancer_id] = wallet
        return wallet

    def job(self, job_id: JobId) -> Job:
        """Return the known facts of the job; none, at first."""
        job = self.jobs.get(job_id)
        if job is None:
            if self.strict:
                raise LookupError(f"job {job_id} was not loaded")
            job = self.jobs[job_id] = Job(job_id)
        return job

    def membership(self, freelancer_id: FreelancerId) -> Membership:
        """Return the freelancer's membership; one that was loaded always exists, begun or not."""
        membership = self.memberships.get(freelancer_id)
        if membership is None:
            if self.strict:
                raise LookupError(f"the membership of {freelancer_id} was not loaded")
            membership = self.memberships[freelancer_id] = Membership(freelancer_id)
        return membership

    def grant(self, rule: str, natural_key: str) -> Grant | None:
        """The grant that was made under a rule for this natural key, if there is one."""
        key = (rule, natural_key)
        grant = self.grants.get(key)
        if grant is None and self.strict and key not in self.absent_grants:
            raise LookupError(f"the grant {rule} of {natural_key} was not loaded")
        return grant if grant is not None and grant.stands else None

    def spend(self, proposal_id: ProposalId) -> Spend | None:
        """Return the spend on the proposal, if it was submitted."""
        spend = self.spends.get(proposal_id)
        if spend is None and self.strict and proposal_id not in self.absent_spends:
            raise LookupError(f"proposal {proposal_id} was not loaded")
        return spend

    def charge(self, key: ChargeKey) -> Charge | None:
        """The charge of that id, if it was requested of that freelancer."""
        charge = self.charges.get(key)
        if charge is None and self.strict and key not in self.absent_charges:
            raise LookupError(f"charge {key.charge_id} of {key.freelancer_id} was not loaded")
        return charge

    def forget_absences(self) -> None:
        """Forget what does not exist: it has to be loaded again before it may be asked for."""
        for absent in (self.absent_wallets, self.absent_spends, self.absent_grants, self.absent_charges):
            absent.clear()

    def keep_membership(self, membership: Membership) -> None:
        """Note a membership that changed."""
        self.changed.memberships[membership.freelancer_id] = membership

    def keep_charge(self, charge: Charge) -> None:
        """Note a charge that was requested, or answered."""
        self.charges[charge.key] = self.changed.charges[charge.key] = charge
        self.absent_charges.discard(charge.key)

    def hold(self, held: Held) -> None:
        """Keep a membership event until it can count."""
        self.held.setdefault(held.freelancer_id, []).append(held)
        self.changed.held_added.append(held)

    def let_go(self, held: Held) -> None:
        """Take a membership event that counts now out of those that are held."""
        self.held[held.freelancer_id].remove(held)
        self.changed.held_done.append(held)

    def keep_grant(self, grant: Grant) -> Grant:
        """Note a grant, so that its natural key is used up; returns it with how often its key was used before."""
        key = (grant.rule, grant.natural_key)
        if (earlier := self.grants.get(key)) is not None and earlier.voided:
            grant = msgspec.structs.replace(grant, voided=earlier.voided)
        self.grants[key] = grant
        self.absent_grants.discard(key)
        self.changed.grants.append(grant)
        if grant.rule == "grant.interview":
            insort(self.wallet(grant.freelancer_id).interviews, InterviewGrant(grant.occurred_at, grant.connects))
        return grant

    def void_grant(self, grant: Grant, by_seq: int, job_id: JobId | None) -> None:
        """Free a grant's natural key; an interview leaves the weekly sum."""
        self.grants[grant.rule, grant.natural_key] = freed_grant(grant.rule, grant.natural_key, grant.voided + 1)
        if grant.rule == "grant.interview":
            self.wallet(grant.freelancer_id).interviews.remove(InterviewGrant(grant.occurred_at, grant.connects))
        self.changed.voided.append(
            Voided(grant.decision_seq, by_seq, grant.rule, grant.natural_key, grant.freelancer_id, job_id)
        )

    def void_spend(self, spend: Spend, rule: str, by_seq: int) -> None:
        """Forget a spend, of which nothing is left: its proposal was never submitted."""
        del self.spends[spend.proposal_id]
        self.absent_spends.add(spend.proposal_id)
        job = self.job(spend.job_id)
        job.proposal_ids.remove(spend.proposal_id)
        self.changed.jobs[job.job_id] = job
        self.changed.spends.pop(spend.proposal_id, None)
        self.changed.spends_voided.append(spend)
        named = (spend.proposal_id, spend.freelancer_id, spend.job_id)
        self.changed.voided.append(Voided(spend.decision_seq, by_seq, rule, *named))

    def restore_grant(self, grant: Grant) -> None:
        """Let a grant that was voided count again, under its natural key."""
        self.grants[grant.rule, grant.natural_key] = grant
        self.absent_grants.discard((grant.rule, grant.natural_key))
        if grant.rule == "grant.interview":
            insort(self.wallet(grant.freelancer_id).interviews, InterviewGrant(grant.occurred_at, grant.connects))
        self.changed.grants_restored.append(grant)

    def restore_spend(self, spend: Spend, place: int) -> None:
        """Let a spend that was voided count again; `place` is how many earlier spends its job has."""
        self.spends[spend.proposal_id] = self.changed.spends_restored[spend.proposal_id] = spend
        self.absent_spends.discard(spend.proposal_id)
        self.changed.spends[spend.proposal_id] = spend
        job = self.job(spend.job_id)
        job.proposal_ids.insert(place, spend.proposal_id)
        self.changed.jobs[job.job_id] = job

    def keep_spend(self, spend: Spend) -> None:
        """Note a new spend, under its proposal and its job."""
        self.spends[spend.proposal_id] = spend
        self.absent_spends.discard(spend.proposal_id)
        self.changed.spends[spend.proposal_id] = spend
        job = self.job(spend.job_id)
        job.proposal_ids.append(spend.proposal_id)
        self.changed.jobs[job.job_id] = job

    def await_proposal(self, awaited: Awaited) -> None:
        """Keep a withdrawal or outbid until its proposal arrives."""
        insort(self.awaiting.setdefault(awaited.proposal_id, []), awaited, key=_in_ledger_order)
        self.changed.awaiting_added.append(awaited)

    def forget_awaited(self, awaited: Awaited) -> None:
        """Let a withdrawal or outbid wait no more, if it waits: it should never have been."""
        waiting = self.awaiting.get(awaited.proposal_id, [])
        for one in [one for one in waiting if one.decision_seq == awaited.decision_seq]:
            waiting.remove(one)  # the list stays, though it may be empty: what waits was read
            self.changed.awaiting_done.append(one)

    def awaited_by(self, proposal_id: ProposalId) -> list[Awaited]:
        """Take what waited for this proposal, in ledger order."""
        arrived = self.awaiting.pop(proposal_id, [])
        self.changed.awaiting_done.extend(arrived)
        return arrived


def _in_ledger_order(awaited: Awaited) -> int:
    return awaited.decision_seq
