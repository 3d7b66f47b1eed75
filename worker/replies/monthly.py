"""Replies about the Connects of a membership: why 73 and not 80, why 10, why none, and when the next ones come."""

from typing import Final

from worker.domain.model import Suspension
from worker.replies.reply import Draft
from worker.replies.writing import (
    About,
    Replies,
    come,
    date_in,
    day,
    next_grant,
    next_one_comes,
    sentences,
)
from worker.words.phrases import connects, counted


def _cycle_started(about: About) -> Draft:
    n, began = about.number("connects"), about.day("cycle_start")
    then, ahead = next_one_comes(about.known.member)
    if about.decision.facts.get("plan") == "plus":
        return _plus_cycle(about, n, began)
    return Draft(
        "yes",
        f"Yes: your {n} monthly {'Connect' if n == 1 else 'Connects'} came in on {began}.",
        sentences("You are on Basic." if not about.has("why") else "", how_plus_ended(about)),
        then,
        numbers={"granted": n},
        ahead=ahead,
        topics=["monthly-day", "free-plan", "leaving-plus"],
    )


def _plus_cycle(about: About, n: int, began: str) -> Draft:
    then, ahead = next_one_comes(about.known.member)
    when = f", when your {about.amount()} was paid on {about.day('paid_at')}" if about.has("paid_at") else ""
    whole = ""
    if about.has("paid") and about.has("free"):
        paid, free = about.number("paid"), about.number("free")
        whole = (
            f"{n} is the full amount: {paid} that you pay for and {free} free {'one' if free == 1 else 'ones'}. There "
            f"is no separate {free}."
        )
    return Draft(
        "yes",
        f"Yes: your {connects(n)} came in for the cycle that began on {began}{when}.",
        whole,
        then,
        numbers={"granted": n, **({"paid": about.number("paid"), "free": about.number("free")} if whole else {})},
        ahead=ahead,
        topics=["monthly-day", "upgrade-amount"],
    )


def how_plus_ended(about: About) -> str:
    """Why Basic's Connects came and not Plus's."""
    why = about.decision.facts.get("why")
    if why == "chosen":
        return f"Plus ended with the cycle before, because you chose Basic on {about.day('downgrade_chosen_at')}."
    if why == "suspended":
        return (
            f"Plus ended with the cycle before, because {your_scope(about.decision.facts.get('scope'))} was suspended "
            f"on {about.day('suspended_at')}."
        )
    if why == "failed":
        return f"Plus ended, because the charge of {about.amount()} failed on {about.day('failed_at')}."
    return "Plus ended, because its charge was not paid before the next cycle began." if why == "lapsed" else ""


def your_scope(scope: object) -> str:
    """What is suspended."""
    return "your billing method" if scope == "billing-method" else "your account"


def _upgraded(about: About) -> Draft:
    n, paid, free = about.number("connects"), about.number("paid"), about.number("free")
    whole, days, length = about.number("free_whole"), about.number("days"), about.number("length")
    when = f"paid on {about.day('paid_at')}" if about.has("paid_at") else f"chosen on {about.day('chosen_at')}"
    full, on = paid + whole, date_in(about.decision.facts.get("next_renewal"))
    member = about.known.member
    now, ahead = next_one_comes(member)
    coming = None if member is None else next_grant(member)
    then = ""
    if coming is not None and coming.what == "renewal" and on is not None and coming.on is not None:
        first = f"Since {day(on)} it is" if coming.on > on else f"From {day(on)} on it is"
        next_one = f"; the next {come(n)} when the charge of {day(coming.on)} is paid" if coming.on > on else ""
        then = f"{first} the full {full} each cycle{next_one}."
    passed = f"{days} of the {counted(length, 'day')} of your Basic cycle had passed"
    if days == length or not days:
        passed = f"{'none' if not days else 'all'} of the {counted(length, 'day')} of your Basic cycle had passed"
    return Draft(
        "yes",
        f"You got {connects(n)} for your upgrade to Plus, {when}: the {paid} paid ones and {free} of the {whole} free "
        "ones.",
        f"The free ones are counted by days: {passed}, and {whole} x {days} / {length} is {free}, rounded down.",
        then or now,
        numbers={"granted": n, "paid": paid, "free": free},
        ahead=ahead,
        topics=["upgrade-amount", "billing-date"],
    )


def _renewed(about: About) -> Draft:
    return _plus_cycle(about, about.number("connects"), about.day("cycle_start"))


def _paid_after_lapse(about: About) -> Draft:
    n = about.number("connects")
    member = about.known.member
    plan = "" if member is None or member.membership is None else member.membership.plan.capitalize()
    then, ahead = next_one_comes(member)
    return Draft(
        "yes",
        f"Yes: your {connects(n)} came in on {about.day('paid_at')}.",
        f"The payment for the cycle of {about.day('cycle_start')} came after Plus had ended.",
        sentences(f"You stay on {plan}." if plan else "", then),
        numbers={"granted": n},
        ahead=ahead,
        topics=["paid-late"],
        agent_only=["money back or not is the billing system's to decide"],
    )


def _withheld(about: About) -> Draft:
    n, began = about.number("connects"), about.day("cycle_start")
    since, until = about.day("suspended_at"), _lifted(about)
    span = f"from {since} to {until}" if until else f"since {since}"
    then, ahead = next_one_comes(about.known.member)
    return Draft(
        "no",
        f"No: you did not get the {n} monthly Connects of {began}, because your account was suspended {span}.",
        sentences(
            "A cycle that begins during a suspension brings none, and they are not made up later.",
            how_plus_ended(about) if about.decision.facts.get("scope") != "account" else "",
        ),
        then,
        numbers={"missed": n},
        ahead=ahead,
        topics=["suspension", "courtesy"],
    )


def lifted(suspensions: list[Suspension], since: object) -> str:
    """When the suspension of the account that began then was lifted; empty if it was not."""
    at = date_in(since)
    for fact in suspensions:
        if fact.scope == "account" and not fact.suspended and (at is None or fact.at.date() >= at):
            return day(fact.at)
    return ""


def _lifted(about: About) -> str:
    member = about.known.member
    if member is None or member.membership is None:
        return ""
    return lifted(member.membership.suspensions, about.decision.facts.get("suspended_at"))


def _choice_refused(about: About) -> Draft:
    """Plus cannot be chosen during a suspension."""
    if about.decision.outcome == "withheld":
        return _withheld(about)
    what, since = your_scope(about.decision.facts.get("scope")), about.day("suspended_at")
    return Draft(
        "no",
        f"No: you cannot choose Plus while {what} is suspended (since {since}).",
        "Nothing was charged, and you stay on Basic.",
        "Choose it again when the suspension is lifted.",
        topics=["suspension"],
    )


def _nothing(about: About) -> Draft:
    then, ahead = next_one_comes(about.known.member)
    return Draft(
        "nothing-due",
        f"Nothing came in on {about.on}: the amount for that cycle is 0 Connects.",
        "Your balance is what it was before.",
        then,
        numbers={"granted": 0},
        ahead=ahead,
    )


REPLIES: Final[Replies] = {
    ("grant.monthly", "cycle-started"): _cycle_started,
    ("grant.monthly", "account-suspended"): _choice_refused,
    ("grant.monthly", "nothing-to-do"): _nothing,
    ("grant.monthly", "paid-after-lapse"): _paid_after_lapse,
    ("grant.upgrade", "upgraded"): _upgraded,
    ("membership.upgrade", "upgraded"): _upgraded,
    ("membership.upgrade", "account-suspended"): _choice_refused,
    ("membership.renewal", "renewed"): _renewed,
    ("membership.renewal", "paid-after-lapse"): _paid_after_lapse,
}
