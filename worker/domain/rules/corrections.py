"""Corrections of refunds: one spend of a job is settled again by all that is known of the job now.

Operators order them in plans, after closures were not settled, or hires became known too late. They are decided on the
wallet as it is now and dated now, and book the difference alone: what came back before stays where it went.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

from worker.domain.booking import GIVES_BACK_BY, Booking
from worker.domain.cards import part, sources
from worker.domain.decisions import Change, Fact, Subject, Verdict
from worker.domain.model import Closure, Job, Spend, SpendLine
from worker.domain.policy import Policy
from worker.domain.rules.refunds import why_undue
from worker.domain.state import State
from worker.domain.triggers import SettleAgain

SETTLE: Final = "correct.settle"
SETTLED_ANEW, TAKEN_BACK, NOTHING_TO_DO = "settled-anew", "taken-back", "nothing-to-do"


class Keeps(NamedTuple):
    """Whether freelancers keep what came back before a hire, or a withdrawal, became known that makes it undue."""

    in_spite_of_hire: bool
    in_spite_of_withdrawal: bool


@part(
    id=SETTLE,
    once_per=None,
    source="refund",
    reasons=(SETTLED_ANEW, TAKEN_BACK, NOTHING_TO_DO),
    found_by={},
    policy=(*GIVES_BACK_BY, "refunds.late_hire", "corrections.least_life_days"),
)
def settle_again(state: State, due: SettleAgain, keeps: Keeps, policy: Policy) -> tuple[Verdict, int]:
    """Return what is due and has not come back, and charge again what came back and is not due.

    Due is a line that a closure returns which is due by now, or whose boost was outbid, whatever the outcome of that
    was. Returns also the seq of the decision that is corrected: on the closure, or on the proposal itself.
    """
    spend = due.spend
    closures = [one for one in due.job.closures if one.due_at <= due.instant]
    hired_at, withdrawn_at = due.job.first_hired_at, spend.withdrawn_at
    returning = _first_that_returns(closures, spend, hired_at, withdrawn_at)
    if spend.refunded_closing_at is None or due.job.is_voided(spend.refunded_closing_at):
        # What came back and is no boost that was outbid came back for nothing that counts.
        keeps = Keeps(in_spite_of_hire=False, in_spite_of_withdrawal=False)
    kept = returning or _first_that_returns(
        closures,
        spend,
        None if keeps.in_spite_of_hire else hired_at,
        None if keeps.in_spite_of_withdrawal else withdrawn_at,
    )
    to_give = [line for line in spend.open_lines if returning is not None or _is_outbid(spend, line)]
    undue = (line for line in spend.lines if line.returned and line.connects and not _is_outbid(spend, line))
    to_take = [] if kept is not None else list(undue)
    if not to_give and not to_take:
        return Verdict("declined", NOTHING_TO_DO, SETTLE, {"connects": 0}), spend.decision_seq
    changes, corrected_seq = list[Change](), spend.decision_seq
    facts: dict[str, Fact] = {}
    if to_take:
        corrected_seq = _seq_of_what_returned(due.job, spend)
        changes.append(_charge_again(state, due, to_take, policy, facts))
    if to_give:
        corrected_seq = spend.decision_seq if returning is None else returning.decision_seq
        changes.append(_give_back(state, due, to_give, returning, policy, facts))
    return Verdict("applied", changes[-1].reason, SETTLE, facts, changes), corrected_seq


def _is_outbid(spend: Spend, line: SpendLine) -> bool:
    return line is spend.boost and spend.boost_outbid


def _first_that_returns(
    closures: Sequence[Closure], spend: Spend, hired_at: datetime | None, withdrawn_at: datetime | None
) -> Closure | None:
    """The first of these closures that returns a spend, with that first hire and that withdrawal."""
    concern = (closure for closure in closures if closure.concerns(spend.occurred_at))
    return next((closure for closure in concern if why_undue(closure, hired_at, withdrawn_at) is None), None)


def _seq_of_what_returned(job: Job, spend: Spend) -> int:
    """The decision on the closure by which a spend came back; on the spend itself, if there is no such closure.

    Of those that tell the same closing it is the one that stands; if all were voided, the latest, which came after the
    others were. How the job lists them is not asked: it depends on when each was read.
    """
    closed_at = spend.refunded_closing_at
    same = [closure for closure in job.closures if closure.closed_at == closed_at and closure.kind != "expired"]
    if not same:
        return spend.decision_seq
    return min(same, key=lambda closure: (closure.voided, closure.kind, -closure.decision_seq)).decision_seq


def _give_back(
    state: State,
    due: SettleAgain,
    lines: Sequence[SpendLine],
    returning: Closure | None,
    policy: Policy,
    facts: dict[str, Fact],
) -> Change:
    """Return lines now. Without a closure that returns them it is the boost alone, which was outbid."""
    spend = due.spend
    facts |= _amounts(due, lines)
    if returning is not None:
        facts |= {"closure": returning.kind, "closed_at": returning.closed_at}
        spend.refunded_closing_at = returning.closed_at
        if not returning.returned_any:
            returning.returned_any = True
            state.changed.closures[returning.decision_seq] = returning
    booking = Booking(state, state.wallets[spend.freelancer_id])
    booking.give_back(spend, lines, due.instant, policy, sources[SETTLE], policy.least_life)
    if booking.graced:
        facts["graced"] = booking.graced
    return _closed(state, booking, due, SETTLED_ANEW, policy, facts)


def _charge_again(
    state: State, due: SettleAgain, lines: Sequence[SpendLine], policy: Policy, facts: dict[str, Fact]
) -> Change:
    """Charge lines again, as a late spend is: from lots that are open now, and what they do not cover becomes debt."""
    spend = due.spend
    facts |= _amounts(due, lines)
    if spend.refunded_closing_at is None:
        facts["not_outbid"] = True
    else:
        for name, at in (("hired_at", due.job.first_hired_at), ("withdrawn_at", spend.withdrawn_at)):
            if at is not None:
                facts[name] = at
        facts["closed_at"] = spend.refunded_closing_at
    spend.refunded_closing_at = None
    booking = Booking(state, state.wallets[spend.freelancer_id])
    for line in lines:
        line.returned = False
        booking.spend(spend, line, due.instant)
    if debt := sum(line.debt for line in lines):
        facts["debt"] = debt
    return _closed(state, booking, due, TAKEN_BACK, policy, facts)


def _amounts(due: SettleAgain, lines: Sequence[SpendLine]) -> dict[str, Fact]:
    """What comes back or is charged again, in all and of each line, and when: a correction is dated now."""
    of_lines: dict[str, Fact] = {line.name: line.connects for line in lines}
    return {"connects": sum(line.connects for line in lines), **of_lines, "corrected_at": due.instant}


def _closed(
    state: State, booking: Booking, due: SettleAgain, reason: str, policy: Policy, facts: dict[str, Fact]
) -> Change:
    spend = due.spend
    state.changed.spends[spend.proposal_id] = spend
    subject = Subject.of_spend(spend)
    about = {"job_id": spend.job_id, "proposal_id": spend.proposal_id}
    return booking.close(due.instant, SETTLE, reason, policy, subject, dict(facts), about)
