"""Replies about a person as a whole: where their Connects are, what they missed, and what comes."""

from datetime import datetime, timedelta
from typing import Final

from worker.domain.model import Charge
from worker.domain.rules.expiry import EXPIRE
from worker.replies.known import Known, Member
from worker.replies.monthly import how_plus_ended, lifted
from worker.replies.recorded import DecisionRecord
from worker.replies.reply import Draft, Next, Reply, composed, with_more
from worker.replies.several import corrected, of_a_person
from worker.replies.wallets import about_wallet, charge_waits
from worker.replies.writing import SOURCES, About, day, in_a_row, next_one_comes, sentences
from worker.words.phrases import connects, counted, moment, money

_MOST_DAYS: Final = 4
_LATELY: Final = timedelta(days=31)


def about_person(known: Known) -> Draft:
    """The answer to: where are my Connects? Proposals first, then what was missed, else the balance."""
    draft = _of_the_person(known)
    return draft._replace(agent_only=[*corrected(known), *draft.agent_only])


def _of_the_person(known: Known) -> Draft:
    paid = any(applied.spent for applied in known.applied)
    missed = _missed(known)
    if paid:
        return with_more(of_a_person(known), _in_short(missed), _charge(known))
    if missed:
        return _of_what_was_missed(known, missed)
    if known.member is None:
        return about_wallet(Member(known.key, 0, (), None, None, ()), 0, 0)
    if known.member.charge is not None and known.member.charge.kind == "renewal":
        return _renewal_waits(known.member, known.member.charge)
    draft = about_wallet(known.member, 0, 0)
    draft = draft._replace(why=sentences(_last_monthly(known), draft.why))
    return draft._replace(agent_only=[*draft.agent_only, f"freelancer {known.key}; no proposal cost anything"])


def _renewal_waits(member: Member, charge: Charge) -> Draft:
    """This month's Connects are missing, for the charge has no answer yet."""
    brings, amount = member.ahead[0].connects if member.ahead else 0, money(charge.amount_cents, charge.currency)
    until = None if member.membership is None else member.membership.next_renewal
    lapses = f"If it is not paid by {day(until)}, you are on Basic from {day(charge.cycle_start)} on."
    return Draft(
        "not-yet",
        f"Not yet: your {connects(brings)} for the cycle of {day(charge.cycle_start)} come in when its {amount} is "
        "paid.",
        f"It was asked of {SOURCES[charge.source]} on {day(charge.requested_at)}, and we have no answer yet. The "
        f"{brings} include the free ones; they do not come by themselves.",
        sentences(lapses if until is not None else "", f"You have {connects(member.balance)} now."),
        numbers={"balance": member.balance, "amount_cents": charge.amount_cents},
        ahead=[Next(None, "charge-answer", brings), Next(until, "charge-lapses", 0)],
        topics=["late", "monthly-day"],
        agent_only=[f"charge {charge.charge_id}"],
    )


def unknown_freelancer(freelancer_id: str) -> Reply:
    """The reply about somebody whom no event has named."""
    headline = f"We have nothing on record about the freelancer {freelancer_id}."
    return composed(Draft("unknown", headline, "Ask again when their first Connects should have come in."), {})


def unknown_then(freelancer_id: str, at: datetime) -> Reply:
    """The reply about somebody whom no event had named at that instant of the wall clock."""
    headline = f"We had nothing on record about the freelancer {freelancer_id} at {moment(at)}."
    return composed(Draft("unknown", headline, "The first that came in about them came later."), {})


Missed = list[tuple[str, int]]
"""The days of cycle starts that brought nothing because of a suspension, and what they would have brought."""


def _missed(known: Known) -> Missed:
    return [
        (day(one.facts.get("cycle_start")), count)
        for one in known.decisions
        if one.outcome == "withheld" and type(count := one.facts.get("connects")) is int
    ]


def _in_short(missed: Missed) -> str:
    if not missed:
        return ""
    return f"You did not get {_which(missed)}, because your account was suspended."


def _which(missed: Missed) -> str:
    if len(missed) > _MOST_DAYS:
        return f"{sum(count for _, count in missed)} monthly Connects of {len(missed)} months"
    return in_a_row([f"the {count} of {on}" for on, count in missed])


def _of_what_was_missed(known: Known, missed: Missed) -> Draft:
    last = [one for one in known.decisions if one.outcome == "withheld"][-1]
    since, until = day(last.facts.get("suspended_at")), ""
    if known.member is not None and known.member.membership is not None:
        until = lifted(known.member.membership.suspensions, last.facts.get("suspended_at"))
    span = f"from {since} to {until}" if until else f"since {since}"
    many = counted(len(missed), "month")
    months = "one month" if len(missed) == 1 else many
    headline = f"You missed {months}: {_which(missed)}, because your account was suspended {span}."
    then, ahead = next_one_comes(known.member)
    balance = 0 if known.member is None else known.member.balance
    return Draft(
        "no",
        headline,
        "A cycle that begins during a suspension brings no monthly Connects, and they are not made up later.",
        sentences(then, f"You have {connects(balance)} now."),
        numbers={"missed": sum(count for _, count in missed), "balance": balance},
        ahead=ahead,
        topics=["suspension", "courtesy"],
    )


def _last_monthly(known: Known) -> str:
    """Why the last monthly Connects were fewer than Plus's, if they were: the end of Plus, or days of an upgrade."""
    came = [one for one in known.decisions if one.reason in {"cycle-started", "upgraded", "renewed"} and one.changes]
    if not came:
        return ""
    last = About(came[-1], known)
    if last.decision.reason == "upgraded" and last.has("free") and last.number("free") < last.number("free_whole"):
        return (
            f"Your upgrade to Plus of {last.on} brought {last.number('connects')}: the {last.number('paid')} paid ones "
            f"and {last.number('free')} of the {last.number('free_whole')} free ones, counted by days."
        )
    if last.has("why"):
        return f"Your last {last.number('connects')} came on {last.day('cycle_start')}. {how_plus_ended(last)}"
    return ""


def expired_lately(known: Known) -> str:
    """What expired in the last days, all of the last day together; people take it for a loss."""
    went = [
        change
        for one in known.decisions
        for change in one.changes
        if change.rule == EXPIRE and is_of_late(one, known) and change.freelancer_id == known.key
    ]
    if not went:
        return ""
    last = max(change.occurred_at for change in went).date()
    return f"{-sum(one.delta for one in went if one.occurred_at.date() == last)} expired on {day(last)}."


def is_of_late(one: DecisionRecord, known: Known) -> bool:
    """Whether a decision is of the last days."""
    at = one.occurred_at or one.recorded_at
    return known.read_until is None or known.read_until - at < _LATELY


def _charge(known: Known) -> str:
    return "" if known.member is None else charge_waits(known.member)
