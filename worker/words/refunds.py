"""Words for refunds of a closed job or an outbid boost, and why there often is none."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from worker.domain.decisions import Facts, Subject
from worker.words.operators import Words
from worker.words.phrases import connects, day, from_time, graced, how_it_closed, on_day, the_job, the_proposal
from worker.words.shared import cost_nothing, free_from_invitation

WHAT_RETURNS: Final = (
    "Connects come back when the client closes the job without hiring anyone, or when the marketplace removes it "
    "before anyone is hired."
)
WHAT_RETURNS_NOTHING: Final = (
    "They do not come back when somebody is hired before that, when the job expires, or when the proposal is withdrawn "
    "before that."
)


def job_not_closed(
    spent_at: datetime,
    spent: int,
    job_id: str,
    *,
    boost: int = 0,
    withdrawn_at: datetime | None = None,
    closing_at: datetime | None = None,
    hired_at: datetime | None = None,
    waits_for: str | None = None,
) -> str:
    """Word why Connects spent on an open job have not come back yet, and what would return them.

    `boost` are those of its boost. `closing_at` is the time of a closure that is known and not settled yet, `hired_at`
    that of the first hire that is known. `waits_for` is a sentence about why its settlement, which is due, has to
    wait.
    """
    words = f"{connects(spent)} spent on {day(spent_at)}"
    if closing_at is not None and waits_for is not None:
        return f"{words}: job {job_id} was closed on {day(closing_at)}; the settlement is due and waits. {waits_for}"
    if closing_at is not None:
        return f"{words}: job {job_id} ended on {day(closing_at)}, and what comes back is decided shortly."
    words = f"{words}: job {job_id} has not been closed since, so nothing is decided."
    if withdrawn_at is not None:
        return f"{words} The proposal was withdrawn on {day(withdrawn_at)}, which does not return its Connects."
    if hired_at is not None:
        words = f"{words} Somebody was hired for it on {day(hired_at)}, and a closing after that returns nothing."
    else:
        words = f"{words} {WHAT_RETURNS} {WHAT_RETURNS_NOTHING}"
    if not boost:
        return words
    return (
        f"{words} Being outbid returns the {connects(boost)} of its boost, but only before the client does anything "
        "with the proposal."
    )


def _closed_without_hire(_outcome: str, subject: Subject, facts: Facts) -> str:
    words = f"{connects(facts.get('connects'))} returned: the client closed {the_job(subject)} without hiring anyone."
    return words + graced(facts) if "graced" in facts else words


def _removed_by_marketplace(_outcome: str, subject: Subject, facts: Facts) -> str:
    return f"{connects(facts.get('connects'))} returned: the marketplace removed {the_job(subject)}.{graced(facts)}"


def _somebody_was_hired(_outcome: str, subject: Subject, facts: Facts) -> str:
    return (
        f"No Connects returned: somebody was hired for {the_job(subject)}{on_day(facts, 'hired_at')}, "
        f"before it {how_it_closed(facts)}{on_day(facts, 'closed_at')}. {WHAT_RETURNS}"
    )


def _job_expired(_outcome: str, subject: Subject, facts: Facts) -> str:
    return (
        f"No Connects returned: {the_job(subject)} expired{on_day(facts, 'closed_at')}; the client did not close it. "
        f"{WHAT_RETURNS}"
    )


def _proposal_withdrawn(_outcome: str, subject: Subject, facts: Facts) -> str:
    return (
        f"No Connects returned: {the_proposal(subject)} was withdrawn{on_day(facts, 'withdrawn_at')}, before "
        f"{the_job(subject)} was closed{on_day(facts, 'closed_at')}. "
        "Withdrawing a proposal does not return its Connects."
    )


def _already_refunded(_outcome: str, subject: Subject, facts: Facts) -> str:
    return f"Nothing more to return: {connects(facts.get('connects'))} of {the_proposal(subject)} came back before."


def _settlement_pending(_outcome: str, subject: Subject, facts: Facts) -> str:
    return (
        f"Noted: {the_job(subject)} {how_it_closed(facts)}{on_day(facts, 'closed_at')}. "
        f"What comes back is decided for each proposal{from_time(facts, 'due_at')}."
    )


def _already_closed(_outcome: str, subject: Subject, facts: Facts) -> str:
    return (
        f"Nothing to do: it is known already that {the_job(subject)} {how_it_closed(facts)}"
        f"{on_day(facts, 'closed_at')}. This repeats it."
    )


def _hire_noted(_outcome: str, subject: Subject, facts: Facts) -> str:
    return (
        f"Noted: somebody was hired for {the_job(subject)}{on_day(facts, 'hired_at')}. "
        "If the job is closed after that, Connects spent on it do not come back."
    )


def _hire_after_settlement(_outcome: str, subject: Subject, facts: Facts) -> str:
    hire = f"somebody had been hired for {the_job(subject)}{on_day(facts, 'hired_at')}, before it was closed"
    if "connects" in facts:
        return f"{connects(facts.get('connects'))} taken back: {hire}. That became known only after the refund."
    words = f"Noted: {hire}. That became known only after Connects had been returned"
    taken = facts.get("clawed_back")
    if taken is None:
        return f"{words}; freelancers keep them."
    if not taken:
        return f"{words}; nothing is taken back, because that was done before or they come back in another way."
    return f"{words}; {connects(taken)} taken back."


def _withdrawal_is_not_refunded(_outcome: str, subject: Subject, facts: Facts) -> str:
    return (
        f"No Connects returned: {the_proposal(subject)} was withdrawn{on_day(facts, 'withdrawn_at')}. "
        "Withdrawing a proposal does not return its Connects."
    )


def _withdrawal_after_settlement(_outcome: str, subject: Subject, facts: Facts) -> str:
    return (
        f"Noted: {the_proposal(subject)} was withdrawn{on_day(facts, 'withdrawn_at')}, which became known only "
        f"after its Connects had been returned for the closing of {the_job(subject)}{on_day(facts, 'closed_at')}. "
        "They stay returned."
    )


def _boost_outbid(_outcome: str, subject: Subject, facts: Facts) -> str:
    return (
        f"{connects(facts.get('connects'))} returned: the boost of {the_proposal(subject)} for {the_job(subject)} "
        f"was outbid before the client did anything with the proposal.{graced(facts)}"
    )


def _no_boost(_outcome: str, subject: Subject, _facts: Facts) -> str:
    return f"Nothing to return: {the_proposal(subject)} has no boost that could be outbid."


def _unknown_proposal(_outcome: str, subject: Subject, _facts: Facts) -> str:
    return (
        f"Noted: {the_proposal(subject)} has not reached us yet. If it has a boost, that comes back as soon as it does."
    )


def _proposal_mismatch(_outcome: str, subject: Subject, facts: Facts) -> str:
    freelancer, job = facts.get("proposal_freelancer_id"), facts.get("proposal_job_id")
    if freelancer is not None and freelancer != subject.freelancer_id:
        really = "is another freelancer's"
    else:
        really = f"is for job {job}, not for {the_job(subject)}" if job is not None else "is about something else"
    return f"No effect: {the_proposal(subject)} {really}."


WORDS: Final[Mapping[str, Mapping[str, Words]]] = {
    "refund.job-closed-without-hire": {
        "closed-without-hire": _closed_without_hire,
        "removed-by-marketplace": _removed_by_marketplace,
        "somebody-was-hired": _somebody_was_hired,
        "job-expired": _job_expired,
        "proposal-withdrawn": _proposal_withdrawn,
        "already-refunded": _already_refunded,
        "free-from-invitation": free_from_invitation,
        "cost-nothing": cost_nothing,
        "settlement-pending": _settlement_pending,
        "already-closed": _already_closed,
        "hire-noted": _hire_noted,
        "hire-after-settlement": _hire_after_settlement,
        "withdrawal-is-not-refunded": _withdrawal_is_not_refunded,
        "withdrawal-after-settlement": _withdrawal_after_settlement,
        "proposal-mismatch": _proposal_mismatch,
    },
    "refund.boost-outbid": {
        "boost-outbid": _boost_outbid,
        "no-boost": _no_boost,
        "already-refunded": _already_refunded,
        "unknown-proposal": _unknown_proposal,
        "proposal-mismatch": _proposal_mismatch,
    },
    "refund.clawed-back": {"hire-after-settlement": _hire_after_settlement},
}
