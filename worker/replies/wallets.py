"""The reply about a wallet: how many Connects, when the next come, which expire first, and what is not decided yet."""

from datetime import datetime

from worker.domain.rules.cycles import running_cycle
from worker.replies.known import Member
from worker.replies.reply import Draft, Next, Reply, composed
from worker.replies.writing import agreed, come, day, expiries, first_up, next_grant, sentences
from worker.words.phrases import agreeing, connects, moment, money


def about_wallet(member: Member, still_open: int, jobs: int) -> Draft:
    """The answer to: how many do I have, and until when? `still_open` are those in proposals to `jobs` open jobs."""
    coming = next_grant(member)
    return Draft(
        "info",
        balance_now(member),
        sentences(charge_waits(member) or next_to_come(member), first_to_expire(member)),
        in_open_proposals(still_open, jobs),
        numbers={"balance": member.balance, **({"open": still_open} if still_open else {})},
        ahead=[*([] if coming is None else [coming]), *expiries(member)[:1], *of_the_charge(member)],
        topics=["expiry", "rollover", "monthly-day"],
    )


def balance_now(member: Member) -> str:
    """The balance, as a sentence."""
    if member.balance < 0:
        owed, them = connects(-member.balance), agreed(-member.balance)
        return f"You are overdrawn by {owed}: what comes in next pays for {them} first."
    return f"You have {connects(member.balance)}."


def next_to_come(member: Member) -> str:
    """When the next Connects of the membership come."""
    coming = next_grant(member)
    if coming is None or coming.on is None:
        return ""
    if not coming.connects:
        return f"The cycle of {day(coming.on)} brings none as long as your account is suspended."
    if coming.what == "renewal":
        return f"The next {coming.connects} {come(coming.connects)} when the charge of {day(coming.on)} is paid."
    if member.membership is not None and member.membership.plan == "plus":
        return f"Plus ends on {day(coming.on)}; the next {coming.connects} {come(coming.connects)} that day."
    return f"The next {coming.connects} {come(coming.connects)} on {day(coming.on)}."


def first_to_expire(member: Member) -> str:
    """Which Connects expire first."""
    if not member.lots:
        return ""
    count, on = _first(member)
    if count == member.balance:
        return f"{'It expires' if count == 1 else 'All of them expire'} on {on}, unless you use {agreed(count)} before."
    return f"The first to expire {agreeing(count, 'is', 'are')} {count} on {on}."


def in_open_proposals(still_open: int, jobs: int) -> str:
    """What is spent on jobs whose end is not known yet."""
    if not still_open:
        return ""
    where = "proposals to jobs that are still open" if jobs > 1 else "a proposal to a job that is still open"
    return f"{still_open} {agreeing(still_open, 'is', 'are')} in {where}."


def charge_waits(member: Member) -> str:
    """Say that a charge is not paid yet, what it brings, and what becomes of it otherwise."""
    charge, membership = member.charge, member.membership
    if charge is None or membership is None or not member.ahead:
        return ""
    amount, brings, asked_on = (
        money(charge.amount_cents, charge.currency),
        member.ahead[0].connects,
        day(charge.requested_at),
    )
    words = f"{brings} more {come(brings)} when the {amount} asked on {asked_on} is paid"
    if charge.kind != "renewal":
        return f"{words}; until then you are on Basic."
    _, until = running_cycle(membership)
    return f"{words}; without it by {day(until)} you are on Basic from {day(charge.cycle_start)} on."


def of_the_charge(member: Member) -> list[Next]:
    """The answer that the charge of a membership waits for."""
    if member.charge is None or not member.ahead:
        return []
    return [Next(None, "charge-answer", member.ahead[0].connects)]


def _first(member: Member) -> tuple[int, str]:
    """How many expire first, all of that day together, and on which day."""
    first = expiries(member)[0]
    return -first.connects, day(first.on)


def about_the_past(balance: int, at: datetime) -> Reply:
    """The answer to: how many did I have then?"""
    had = f"were overdrawn by {connects(-balance)}" if balance < 0 else f"had {connects(balance)}"
    headline = f"At {moment(at)} you {had}."
    return composed(Draft("info", headline, numbers={"balance": balance}), {})


def what_is_coming(member: Member) -> Draft:
    """The answer to: what comes next, and when? First what adds Connects, then what takes some."""
    draft = about_wallet(member, 0, 0)._replace(numbers={})
    first = charge_waits(member) or next_to_come(member) or "No Connects of a plan are to come."
    first = first.replace("The next ", "Your next ", 1)
    if not member.lots:
        return draft._replace(headline=first_up(first), why="", then="Nothing is to expire.")
    count, on = _first(member)
    expires = f"Nothing expires before {on}, when {count} {agreeing(count, 'does', 'do')}."
    return draft._replace(headline=first_up(first), why="", then=expires, topics=["monthly-day", "expiry", "month-end"])
