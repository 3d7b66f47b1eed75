"""The working set: what the rules look at and change, and a note of everything they changed."""

from bisect import insort
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Literal, NamedTuple

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


class Held(NamedTuple):
    """A membership event that cannot count yet: its cycle start is not booked, or its charge is not known.

    `decision_seq` is the decision that recorded it; it gets a follow-up when it counts.
    """

    freelancer_id: FreelancerId
    decision_seq: int
    topic: str
    event: InputEvent
    cause: Cause


@dataclass(slots=True)
class Touched:
    """What was opened or changed since the last commit: what the next one writes, and nobody forgets before."""

    wallets: dict[FreelancerId, Wallet] = field(default_factory=dict)
    new_lots: dict[LotId, Lot] = field(default_factory=dict)
    """Those that were opened; what was drawn from them since, or came back, is in `lots` as well."""
    lots: dict[LotId, Lot] = field(default_factory=dict)
    spends: dict[ProposalId, Spend] = field(default_factory=dict)
    jobs: dict[JobId, Job] = field(default_factory=dict)
    hires: dict[JobId, datetime] = field(default_factory=dict)
    closures: dict[int, Closure] = field(default_factory=dict)
    grants: list[Grant] = field(default_factory=list)
    awaiting_added: list[Awaited] = field(default_factory=list)
    awaiting_done: list[Awaited] = field(default_factory=list)
    due_added: list[Due] = field(default_factory=list)
    memberships: dict[FreelancerId, Membership] = field(default_factory=dict)
    charges: dict[ChargeKey, Charge] = field(default_factory=dict)
    held_added: list[Held] = field(default_factory=list)
    held_done: list[Held] = field(default_factory=list)
    cycles_added: list[tuple[date, FreelancerId]] = field(default_factory=list)
    """The cycle starts that came onto the clock: the day, and whose."""


@dataclass(slots=True)
class Books:
    """Everything the next triggers may ask about, in memory.

    Whoever calls a rule has loaded what the trigger names; what is absent here does not exist. `grace` is how long the
    clock waits beyond an instant before it acts on it.

    With `strict`, wallets, jobs and memberships are opened only if they were looked for and not found
    (`absent_wallets`; a job or membership that was looked for is always there): opening one that the ledger has but
    nobody loaded would be a loss.
    """

    grace: timedelta
    strict: bool = False
    absent_wallets: set[FreelancerId] = field(default_factory=set)
    wallets: dict[FreelancerId, Wallet] = field(default_factory=dict)
    jobs: dict[JobId, Job] = field(default_factory=dict)
    spends: dict[ProposalId, Spend] = field(default_factory=dict)
    grants: dict[tuple[str, str], Grant] = field(default_factory=dict)
    awaiting: dict[ProposalId, list[Awaited]] = field(default_factory=dict)
    memberships: dict[FreelancerId, Membership] = field(default_factory=dict)
    charges: dict[ChargeKey, Charge] = field(default_factory=dict)
    held: dict[FreelancerId, list[Held]] = field(default_factory=dict)
    touched: Touched = field(default_factory=Touched)

    def wallet(self, freelancer_id: FreelancerId) -> Wallet:
        """The freelancer's wallet; opened at 0 by the first event that names the freelancer."""
        wallet = self.wallets.get(freelancer_id)
        if wallet is None:
            if self.strict and freelancer_id not in self.absent_wallets:
                raise LookupError(f"wallet {freelancer_id} was not loaded")
            wallet = self.wallets[freelancer_id] = Wallet(freelancer_id)
            self.touched.wallets[freelancer_id] = wallet
        return wallet

    def job(self, job_id: JobId) -> Job:
        """What is known of the job; nothing, at first."""
        job = self.jobs.get(job_id)
        if job is None:
            if self.strict:
                raise LookupError(f"job {job_id} was not loaded")
            job = self.jobs[job_id] = Job(job_id)
        return job

    def membership(self, freelancer_id: FreelancerId) -> Membership:
        """What is known of the freelancer's membership; one that was looked for is always there, begun or not."""
        membership = self.memberships.get(freelancer_id)
        if membership is None:
            if self.strict:
                raise LookupError(f"the membership of {freelancer_id} was not loaded")
            membership = self.memberships[freelancer_id] = Membership(freelancer_id)
        return membership

    def keep_membership(self, membership: Membership) -> None:
        """Note a membership that changed."""
        self.touched.memberships[membership.freelancer_id] = membership

    def keep_charge(self, charge: Charge) -> None:
        """Note a charge that was requested, or answered."""
        self.charges[charge.key] = self.touched.charges[charge.key] = charge

    def hold(self, held: Held) -> None:
        """Keep a membership event until it can count."""
        self.held.setdefault(held.freelancer_id, []).append(held)
        self.touched.held_added.append(held)

    def let_go(self, held: Held) -> None:
        """Take a membership event that counts now out of those that are held."""
        self.held[held.freelancer_id].remove(held)
        self.touched.held_done.append(held)

    def keep_grant(self, grant: Grant) -> None:
        """Note a grant, so that its natural key is used up."""
        self.grants[grant.rule, grant.natural_key] = grant
        self.touched.grants.append(grant)
        if grant.rule == "grant.interview":
            insort(self.wallet(grant.freelancer_id).interviews, InterviewGrant(grant.occurred_at, grant.connects))

    def keep_spend(self, spend: Spend) -> None:
        """Note a new spend, under its proposal and its job."""
        self.spends[spend.proposal_id] = spend
        self.touched.spends[spend.proposal_id] = spend
        job = self.job(spend.job_id)
        job.proposal_ids.append(spend.proposal_id)
        self.touched.jobs[job.job_id] = job

    def await_proposal(self, awaited: Awaited) -> None:
        """Keep a withdrawal or outbid until its proposal arrives."""
        self.awaiting.setdefault(awaited.proposal_id, []).append(awaited)
        self.touched.awaiting_added.append(awaited)

    def awaited_by(self, proposal_id: ProposalId) -> list[Awaited]:
        """Take what waited for this proposal, in ledger order."""
        arrived = self.awaiting.pop(proposal_id, [])
        self.touched.awaiting_done.extend(arrived)
        return arrived
