"""Every answer in words that a support agent can paste to the freelancer: who, what, when, how many.

One small function for each reason code (domain.md), in a table. A fact that is missing makes a shorter sentence, never
an error: old decisions are explained by new code. Facts come fresh from a rule, or from the ledger, where instants are
text.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from worker.domain.decisions import Facts, Subject
from worker.domain.membership_words import MEMBERSHIP_WORDS
from worker.domain.operator_words import OPERATOR_WORDS, Words
from worker.domain.phrases import (
    agreeing,
    connects,
    counted,
    day,
    from_time,
    graced,
    how_it_closed,
    money,
    named,
    on_day,
    sentence,
    the_job,
    the_proposal,
)
from worker.domain.standing_answers import WHAT_RETURNS, WHAT_RETURNS_NOTHING


def explain(reason: str, outcome: str, subject: Subject, facts: Facts, rule: str | None = None) -> str:
    """Word a decision, or (outcome `applied`) the change that it made. `rule` is the decision's, where it is known."""
    known = facts if rule is None else {**facts, "rule": rule}
    return _WORDS.get(reason, _in_general)(outcome, subject, known) or f"{outcome.capitalize()}: {reason}."


def job_not_closed(
    spent_at: datetime,
    spent: int,
    job_id: str,
    *,
    boost: int = 0,
    withdrawn_at: datetime | None = None,
    closing_at: datetime | None = None,
    hired_at: datetime | None = None,
) -> str:
    """Word why nothing has happened yet to Connects spent on a job that is still open, what would return them or not.

    `boost` are those of its boost. `closing_at` is the time of a closure that is known and not settled yet, `hired_at`
    that of the first hire that is known.
    """
    words = f"{connects(spent)} spent on {day(spent_at)}"
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


def _proposal_submitted(_outcome: str, subject: Subject, facts: Facts) -> str:
    base, boost, debt = facts.get("base"), facts.get("boost"), facts.get("debt")
    if type(base) is not int or type(boost) is not int:
        return f"Connects spent on {the_proposal(subject)} for {the_job(subject)}."
    total = base + boost
    unit = "Connect" if total == 1 else "Connects"
    words = f"{total} {unit} spent on proposal {subject.proposal_id} for job {subject.job_id}"
    if boost:
        words = f"{words}: {base} for the proposal and {boost} for its boost"
    if debt:
        return f"{words}. {debt} of them were not in the wallet: the next Connects that come in pay for them first."
    return words + "."


def _closed_without_hire(_outcome: str, subject: Subject, facts: Facts) -> str:
    words = f"{connects(facts.get('connects'))} returned: the client closed {the_job(subject)} without hiring anyone."
    return words + graced(facts) if "graced" in facts else words


def _removed_by_marketplace(_outcome: str, subject: Subject, facts: Facts) -> str:
    return f"{connects(facts.get('connects'))} returned: the marketplace removed {the_job(subject)}.{graced(facts)}"


def _interview_won(_outcome: str, subject: Subject, facts: Facts) -> str:
    words = f"{connects(facts.get('connects'))} granted: the interview for {the_job(subject)} was won with a proposal."
    if "cut_to_cap" not in facts:
        return words
    return (
        f"{words} It would have been {facts.get('award', 'more')}, but interviews bring at most {facts.get('cap')} "
        f"Connects in {_window(facts)}, and {facts.get('granted')} had been granted already."
    )


def _lot_expired(_outcome: str, _subject: Subject, facts: Facts) -> str:
    count, issued_on, expired_on = facts.get("connects"), day(facts.get("issued_at")), day(facts.get("expires_at"))
    words = f"{connects(count)} expired on {expired_on}" if expired_on else f"{connects(count)} expired"
    if not issued_on:
        return f"{words}: their time was over."
    they, were = agreeing(count, "it", "they"), agreeing(count, "was", "were")
    source = facts.get("source", "source not noted")
    return f"{words}: {they} came in on {issued_on} ({source}) and {were} not used in time."


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


def _free_from_invitation(outcome: str, subject: Subject, _facts: Facts) -> str:
    if outcome == "declined":
        return f"Nothing to return: {the_proposal(subject)} answered an invitation and cost no Connects."
    return f"No Connects spent: {the_proposal(subject)} answers an invitation to {the_job(subject)}, which is free."


def _cost_nothing(outcome: str, subject: Subject, _facts: Facts) -> str:
    if outcome == "declined":
        return f"Nothing to return: {the_proposal(subject)} cost no Connects."
    return f"No Connects spent: {the_proposal(subject)} for {the_job(subject)} costs none."


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


def _registered(_outcome: str, _subject: Subject, facts: Facts) -> str:
    return f"{connects(facts.get('connects'))} granted for registering."


def _badge_earned(_outcome: str, _subject: Subject, facts: Facts) -> str:
    return f"{connects(facts.get('connects'))} granted for the badge {facts.get('badge', 'that was earned')}."


def _certified(_outcome: str, _subject: Subject, facts: Facts) -> str:
    return f"{connects(facts.get('connects'))} granted for the certification{named(facts, 'certification_id')}."


def _purchased(_outcome: str, _subject: Subject, facts: Facts) -> str:
    return f"{connects(facts.get('connects'))} bought with purchase{named(facts, 'purchase_id')}."


def _adjusted(_outcome: str, _subject: Subject, facts: Facts) -> str:
    amount = facts.get("connects")
    taken = isinstance(amount, int) and amount < 0
    note = sentence(facts.get("note"))
    words = f"{_size(facts)} {'taken off' if taken else 'added'} by {facts.get('actor', 'support')}"
    return f"{words}: {note}" if note else f"{words}."


def _already_granted(_outcome: str, _subject: Subject, facts: Facts) -> str:
    words, fact = GRANTED_FOR.get(str(facts.get("rule")), ("this", ""))
    what, amount = f"{words}{named(facts, fact)}", facts.get("connects")
    if isinstance(amount, int) and amount > 0:
        return (
            f"Nothing granted: {what} brought {connects(amount)}{on_day(facts, 'granted_at')} already. It does so once."
        )
    return f"Nothing done: {what} was booked{on_day(facts, 'granted_at')} already. It counts once."


GRANTED_FOR: Final[Mapping[str, tuple[str, str]]] = {
    "grant.registration": ("registering", ""),
    "grant.badge": ("the badge", "badge"),
    "grant.certification": ("the certification", "certification_id"),
    "grant.interview": ("the interview for job", "job_id"),
    "grant.purchase": ("purchase", "purchase_id"),
    "adjust": ("adjustment", "adjustment_id"),
}
"""What each rule grants for once, and the fact that names it. A rule that is not here is not taken for another one."""


def _no_award_for_badge(_outcome: str, _subject: Subject, facts: Facts) -> str:
    return f"Nothing granted: the badge{named(facts, 'badge')} brings no Connects."


def _not_a_skill_certification(_outcome: str, _subject: Subject, facts: Facts) -> str:
    return (
        f"Nothing granted:{named(facts, 'certification_id') or ' this'} is a learning path. "
        "Only skill certifications bring Connects."
    )


def _interview_from_invitation(_outcome: str, subject: Subject, _facts: Facts) -> str:
    return (
        f"Nothing granted: the interview for {the_job(subject)} came from an invitation. "
        "Only interviews won with a proposal bring Connects."
    )


def _client_not_established(_outcome: str, subject: Subject, facts: Facts) -> str:
    client = f"Nothing granted: the client of {the_job(subject)} had"
    spent = facts.get("client_spent_cents")
    if facts.get("client_hires") != 0 and isinstance(spent, int) and spent > 0:
        return f"{client} spent {money(spent, None)} before, which is not enough for an interview to bring Connects."
    lacking = "hired anybody" if facts.get("client_hires") == 0 else "spent anything"
    return f"{client} not {lacking} before. Interviews bring Connects when the client has hired and paid somebody."


def _weekly_cap(_outcome: str, subject: Subject, facts: Facts) -> str:
    return (
        f"Nothing granted for the interview for {the_job(subject)}: interviews bring at most "
        f"{connects(facts.get('cap'))} in {_window(facts)}, "
        f"and {facts.get('granted', 'so many')} were granted already."
    )


def _window(facts: Facts) -> str:
    return counted(facts["days"], "day") if "days" in facts else "a number of days"


def _nothing_to_do(_outcome: str, _subject: Subject, _facts: Facts) -> str:
    return "Nothing to do: it is about 0 Connects."


def _insufficient_balance(_outcome: str, subject: Subject, facts: Facts) -> str:
    available = facts.get("drawable", facts.get("balance"))
    there = "there were fewer" if available is None else f"there were {available}"
    if subject.proposal_id is not None:
        return f"Not booked: {the_proposal(subject)} costs {_size(facts)}, and {there}."
    return f"Not booked: {_size(facts)} should have been taken off, and {there}."


def _already_spent(_outcome: str, subject: Subject, facts: Facts) -> str:
    return (
        f"Nothing spent again: {the_proposal(subject)} was submitted{on_day(facts, 'spent_at')} already, "
        f"for {connects(facts.get('connects'))}."
    )


def _size(facts: Facts) -> str:
    amount = facts.get("connects")
    return connects(abs(amount) if isinstance(amount, int) else amount)


def _in_general(_outcome: str, _subject: Subject, _facts: Facts) -> str:
    return ""


_WORDS: Final[Mapping[str, Words]] = {
    **OPERATOR_WORDS,
    **MEMBERSHIP_WORDS,
    "proposal-submitted": _proposal_submitted,
    "closed-without-hire": _closed_without_hire,
    "removed-by-marketplace": _removed_by_marketplace,
    "interview-won": _interview_won,
    "lot-expired": _lot_expired,
    "somebody-was-hired": _somebody_was_hired,
    "job-expired": _job_expired,
    "proposal-withdrawn": _proposal_withdrawn,
    "already-refunded": _already_refunded,
    "free-from-invitation": _free_from_invitation,
    "cost-nothing": _cost_nothing,
    "settlement-pending": _settlement_pending,
    "already-closed": _already_closed,
    "hire-noted": _hire_noted,
    "hire-after-settlement": _hire_after_settlement,
    "withdrawal-is-not-refunded": _withdrawal_is_not_refunded,
    "withdrawal-after-settlement": _withdrawal_after_settlement,
    "boost-outbid": _boost_outbid,
    "no-boost": _no_boost,
    "unknown-proposal": _unknown_proposal,
    "proposal-mismatch": _proposal_mismatch,
    "registered": _registered,
    "badge-earned": _badge_earned,
    "certified": _certified,
    "purchased": _purchased,
    "adjusted": _adjusted,
    "already-granted": _already_granted,
    "no-award-for-badge": _no_award_for_badge,
    "not-a-skill-certification": _not_a_skill_certification,
    "interview-from-invitation": _interview_from_invitation,
    "client-not-established": _client_not_established,
    "weekly-cap": _weekly_cap,
    "nothing-to-do": _nothing_to_do,
    "insufficient-balance": _insufficient_balance,
    "already-spent": _already_spent,
}
