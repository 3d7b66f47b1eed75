"""Voids: what should never have been, a grant, a spend, a closure, a hire, a withdrawal or an outbid, is undone today.

What it still does to the wallet is undone on the wallet as it is now: nobody's history is written again. Sources: ours
(domain.md, Corrections).
"""

from datetime import date, datetime
from typing import Literal

import msgspec

from worker.domain.booking import GIVES_BACK_BY, Booking, debt_order
from worker.domain.cards import part, sources
from worker.domain.decisions import Fact, Subject, Verdict
from worker.domain.model import Closure, FreelancerId, Job, JobId, Lot, LotId, ProposalId, Wallet
from worker.domain.policy import Policy
from worker.domain.rules.cycles import forget_beginning
from worker.domain.rules.grants import ADJUST
from worker.domain.rules.refunds import SETTLEMENT, why_undue
from worker.domain.rules.spends import SPEND
from worker.domain.state import Awaited, State, Voided

VOID = "correct.void"
VOIDED, NOTHING = "voided", "nothing-to-do"


class ToVoid(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A decision that is to be voided, with what the ledger says became of it; Connects are as they were booked.

    Of a grant: `lots` are those that it opened and those that are linked to them, directly or not; `drawn_by` the
    proposals whose lines ever drew on them, `debited` the Connects that were taken out of them by adjustments and by
    corrections of something else. Of a registration also the `cycle` that it began and that runs, with the day of the
    next one: the membership is forgotten with it. Of a spend: `awaited` are the withdrawals and outbids that name its
    proposal.

    Of a closure or a hire, `topic` names which, and the freelancer is nobody: what it did to wallets is settled again.
    `closure_seq` is the decision that noted the closure, unless another event tells the same closing; `hired_at` the
    earliest other hire that counts. `is_over`: it was voided before.

    Of a withdrawal or an outbid `topic` says so, too, and `awaited` has it alone, as it waits for its proposal.
    `withdrawn_at` is the earliest other withdrawal of the same proposal that counts, `is_outbid` whether another
    outbid of it does. `is_mismatch`: the proposal is another freelancer's.
    """

    seq: int
    rule: str
    natural_key: str
    event_id: str
    occurred_at: datetime
    freelancer_id: FreelancerId
    job_id: JobId | None
    connects: int
    about: dict[str, str]
    lots: list[LotId] = []
    drawn_by: list[ProposalId] = []
    debited: int = 0
    cycle: tuple[date, date] | None = None
    awaited: list[Awaited] = []
    topic: Literal["", "job-closed", "hire-made", "proposal-withdrawn", "boost-outbid"] = ""
    closure_seq: int | None = None
    hired_at: datetime | None = None
    withdrawn_at: datetime | None = None
    is_outbid: bool = False
    is_mismatch: bool = False
    is_over: bool = False

    @property
    def is_of_job(self) -> bool:
        """Whether it is a closure or a hire, which a job has, and no wallet."""
        return self.topic in {"job-closed", "hire-made"}

    @property
    def is_of_proposal(self) -> bool:
        """Whether it is a withdrawal or an outbid, which names a proposal, and may wait for it."""
        return self.topic in {"proposal-withdrawn", "boost-outbid"}

    @property
    def subject(self) -> Subject:
        """Whom and what it is about."""
        if self.is_of_job:
            return Subject(None, self.job_id)
        if self.is_of_proposal:
            return Subject(self.freelancer_id, self.job_id, self.awaited[0].proposal_id)
        return Subject(self.freelancer_id, self.job_id, ProposalId(self.natural_key) if self.is_spend else None)

    @property
    def is_spend(self) -> bool:
        """Whether it is a proposal that was submitted; else it is a grant, a purchase or an adjustment."""
        return self.rule == SPEND


@part(
    id=VOID,
    once_per=None,
    source=None,
    reasons=(VOIDED, NOTHING),
    found_by={},
    policy=(*GIVES_BACK_BY, "corrections.least_life_days"),
)
def void(state: State, what: ToVoid, at: datetime, seq: int, policy: Policy) -> Verdict:
    """Take back, at the instant `at`, what a decision still does; what it did away with in the meantime stays so.

    `shortfall` is what should be taken and is not there.
    """
    facts: dict[str, Fact] = {
        "event_id": what.event_id,
        "voided_rule": what.rule,
        "occurred_at": what.occurred_at,
        "corrected_at": at,
        "connects": abs(what.connects),
        **what.about,
    }
    return take_back(state, what, at, seq, policy, (VOID, VOIDED), facts)


def take_back(
    state: State,
    what: ToVoid,
    at: datetime,
    seq: int,
    policy: Policy,
    of: tuple[str, str],
    facts: dict[str, Fact],
) -> Verdict:
    """Take back what a decision still does, under the rule and for the reason `of`; adds what was moved to `facts`."""
    if not stands(state, what):
        return Verdict("declined", NOTHING, of[0], facts)
    if what.is_of_job:
        return _forget(state, what, seq, of, facts)
    if what.is_of_proposal:
        facts["voided_topic"] = what.topic
        forget_told(state, what)
        return _forgotten(state, what, seq, of, facts)
    if what.is_spend:
        return _void_spend(state, what, at, seq, policy, of, facts)
    booking = Booking(state, state.wallet(what.freelancer_id))
    if what.connects < 0:
        booking.credit(-what.connects, sources[ADJUST], at, at + policy.least_life)
        facts["given"] = -what.connects
    else:
        _take_back(state, booking, what, at, facts)
    grant = state.grants[what.rule, what.natural_key]
    state.void_grant(grant, seq, what.job_id)
    if what.cycle is not None:
        facts["cycle_start"] = what.cycle[0].isoformat()
        forget_beginning(state, state.membership(what.freelancer_id))
    return _verdict(booking, what, at, policy, of, facts)


def stands(state: State, what: ToVoid) -> bool:
    """Whether the decision was not voided before."""
    if what.topic:
        return not what.is_over
    if what.is_spend:
        spend = state.spend(ProposalId(what.natural_key))
        return spend is not None and spend.decision_seq == what.seq
    grant = state.grant(what.rule, what.natural_key)
    return grant is not None and grant.decision_seq == what.seq


def _take_back(state: State, booking: Booking, what: ToVoid, at: datetime, facts: dict[str, Fact]) -> None:
    """Empty the lots of a grant; what spends drew on them is drawn from others, and what debits drew is taken there."""
    lots = frozenset(what.lots)
    taken = sum(booking.empty(lot) for lot in _open_lots(booking.wallet, lots))
    spends = [spend for name in what.drawn_by if (spend := state.spends.get(name)) is not None]
    charged_again = sum(
        booking.draw_from_others(spend, line, lots, at)
        for spend in sorted(spends, key=debt_order)
        for line in spend.open_lines
    )
    shortfall = booking.take(what.debited, at) if what.debited else 0
    facts["taken"] = taken + charged_again + what.debited - shortfall
    if charged_again:
        facts["charged_again"] = charged_again
    if shortfall:
        facts["shortfall"] = shortfall
    if gone := what.connects - taken - charged_again - what.debited:
        facts["gone"] = gone


def _open_lots(wallet: Wallet, lots: frozenset[LotId]) -> list[Lot]:
    return [lot for lot in wallet.lots if lot.lot_id in lots]


def _void_spend(
    state: State,
    what: ToVoid,
    at: datetime,
    seq: int,
    policy: Policy,
    of: tuple[str, str],
    facts: dict[str, Fact],
) -> Verdict:
    spend = state.spends[ProposalId(what.natural_key)]
    booking = Booking(state, state.wallet(spend.freelancer_id))
    lines = spend.open_lines
    if spend.refunded_closing_at is not None:
        facts["closed_at"] = spend.refunded_closing_at
    if lines:
        facts["given"] = sum(line.connects for line in lines)
        booking.give_back(spend, lines, at, policy, sources[SETTLEMENT], policy.least_life)
        if booking.graced:
            facts["graced"] = booking.graced
    state.void_spend(spend, what.rule, seq)
    for awaited in what.awaited:
        state.await_proposal(awaited)
    return _verdict(booking, what, at, policy, of, facts)


def _forget(state: State, what: ToVoid, seq: int, of: tuple[str, str], facts: dict[str, Fact]) -> Verdict:
    """Forget a closure or a hire. What other events tell of the same stays; the job's spends are settled again."""
    job = state.job(JobId(what.job_id or ""))
    facts["voided_topic"] = what.topic
    if what.topic == "hire-made":
        job.first_hired_at = state.changed.hires[job.job_id] = what.hired_at
    for closure in job.closures:
        if closure.decision_seq == what.closure_seq:
            closure.voided = True
            state.changed.closures[closure.decision_seq] = closure
            _stand_in_for(state, job, closure)
    state.changed.jobs[job.job_id] = job
    return _forgotten(state, what, seq, of, facts)


def forget_told(state: State, what: ToVoid) -> None:
    """Let a withdrawal or an outbid count no more, nor wait. What others tell of its proposal stays."""
    (told,) = what.awaited
    state.forget_awaited(told)
    spend = None if what.is_mismatch else state.spend(told.proposal_id)
    if spend is None or not told.names(spend):
        return
    if told.is_outbid:
        spend.boost_outbid = what.is_outbid and bool(spend.boost.connects)
    else:
        spend.withdrawn_at = what.withdrawn_at
    state.changed.spends[spend.proposal_id] = spend


def _forgotten(state: State, what: ToVoid, seq: int, of: tuple[str, str], facts: dict[str, Fact]) -> Verdict:
    """No wallet changes by it: what follows from it is settled again."""
    rule, reason = of
    state.changed.voided.append(Voided(what.seq, seq, what.rule, what.natural_key, what.freelancer_id, what.job_id))
    return Verdict("applied", reason, rule, facts)


def _stand_in_for(state: State, job: Job, voided: Closure) -> None:
    """Let what a voided closure returned count as returned by those that found it so: a later hire comes after them."""
    for closure in job.closures if voided.returned_any else ():
        is_worked_off = closure.settled or closure.settled_through
        is_it = is_worked_off and not closure.voided and why_undue(closure, job.first_hired_at, None) is None
        if is_it and not closure.returned_any:
            closure.returned_any = True
            state.changed.closures[closure.decision_seq] = closure


def _verdict(
    booking: Booking,
    what: ToVoid,
    at: datetime,
    policy: Policy,
    of: tuple[str, str],
    facts: dict[str, Fact],
) -> Verdict:
    """One change, or none if nothing of it was left."""
    rule, reason = of
    changes = [] if booking.is_empty else [booking.close(at, rule, reason, policy, what.subject, facts, what.about)]
    return Verdict("applied", reason, rule, facts, changes)
