"""A standing answer filled in: the values of the policy in force, and the person's own where there is one."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from worker.domain.model import Membership
from worker.domain.policy import Policy
from worker.domain.rules.charges import prorated
from worker.domain.rules.cycles import next_cycle_start, suspended_by_latest
from worker.replies.known import Applied, Member
from worker.replies.recorded import DecisionRecord
from worker.replies.standing import TEXTS, TOPICS
from worker.replies.writing import SOURCES, day, expire, next_grant, ordinal
from worker.words.phrases import counted, money

_OPTIONAL: Final = re.compile(r"\[([^\[\]]*)\](?:\{\|([^}]*)\})?")
_NAME: Final = re.compile(r"\{(\w+)\}")
_BY_PLAN: Final[Mapping[str, tuple[str, ...]]] = {
    "monthly-day": (),
    "late": ("basic", "plus"),
    "leaving-plus": ("plus",),
    "suspension": ("plus",),
}
"""Topics with a text for each plan; those texts are shown where the plan is not known and the topic has no other."""
Values = Mapping[str, object]


class Asking(NamedTuple):
    """Whose values a standing answer has: of a person, and of one proposal of theirs.

    `decisions` are about the person, `proposals` theirs that cost something, the last ones if there are `earlier`.
    """

    policy: Policy
    member: Member | None = None
    applied: Applied | None = None
    decisions: Sequence[DecisionRecord] = ()
    proposals: Sequence[Applied] = ()
    earlier_proposals: bool = False


def standing_answers(asking: Asking) -> dict[str, str]:
    """Every standing answer, with these values."""
    values = _values(asking)
    return {topic: _answer(topic, asking, values) for topic in TOPICS}


def standing_answer(topic: str, asking: Asking) -> str:
    """One of them."""
    return _answer(topic, asking, _values(asking))


def _answer(topic: str, asking: Asking, values: Values) -> str:
    return "\n".join(rendered(TEXTS[name], values) for name in _texts_of(topic, asking))


def _texts_of(topic: str, asking: Asking) -> list[str]:
    """Which texts answer a topic: by the switches of the policy, and by the plan; without a person both plans'."""
    policy = asking.policy
    for switch in (policy.overdraft, policy.late_cycle_start, policy.refund_to_ending_lot):
        switched = f"{topic}/{switch}"
        if switched in TEXTS:
            return [switched]
    if topic not in _BY_PLAN:
        return [topic]
    membership = None if asking.member is None else asking.member.membership
    if membership is None:
        return [topic] if topic in TEXTS else [f"{topic}/{plan}" for plan in _BY_PLAN[topic]]
    return [next(text for text in _own_texts(topic, membership) if text in TEXTS)]


def _own_texts(topic: str, membership: Membership) -> Iterator[str]:
    """The texts that fit a member, the most fitting first."""
    if suspended_by_latest(membership) == {"billing-method"}:
        yield f"{topic}/billing-method"
    if membership.plan == "plus" and membership.downgrade_chosen_at is not None:
        yield f"{topic}/chosen"
    yield f"{topic}/{membership.plan}"


def rendered(text: str, values: Values) -> str:
    """Fill in a text: what is in brackets only if all its values are known, else what follows the bar, if any."""

    def optional(found: re.Match[str]) -> str:
        inner, other = found[1], found[2] or ""
        return inner if all(values.get(name) is not None for name in _NAME.findall(inner)) else other

    whole = _OPTIONAL.sub(optional, text)
    return _NAME.sub(lambda found: str(values[found[1]]), whole).strip()


def _values(asking: Asking) -> dict[str, object]:
    return {**_of_policy(asking.policy), **_of_person(asking), **_of_proposal(asking.applied)}


def _of_policy(policy: Policy) -> dict[str, object]:
    years = policy.lot_lifetime_years
    tiers = [
        str(tier.connects) if not number else f"{tier.connects} if the client has spent ${tier.from_cents / 100:,g}"
        for number, tier in enumerate(policy.interview_tiers)
    ]
    badges = " and ".join(f"the {name} badge brings {n} Connects" for name, n in policy.badges.items() if n)
    return {
        "lifetime": "one calendar year" if years == 1 else f"{years} calendar years",
        "basic": policy.monthly_basic,
        "paid": policy.monthly_plus_paid,
        "free": policy.monthly_plus_free,
        "plus": policy.monthly_plus_paid + policy.monthly_plus_free,
        "price": money(policy.plus_price_cents, policy.currency),
        "registration": policy.registration,
        "certification": policy.certification,
        "cap": policy.interview_cap,
        "cap_days": counted(policy.interview_cap_window.days, "day"),
        "ending_days": policy.ending_lot.days,
        "grace_days": policy.grace_lot.days,
        "tiers": ", or ".join(tiers) + (" or more" if len(tiers) > 1 else ""),
        "badges": badges[:1].upper() + badges[1:] if badges else "No badge brings Connects, not even",
    }


def _of_person(asking: Asking) -> dict[str, object]:
    member = asking.member
    if member is None:
        return {}
    return {
        "balance": member.balance,
        "below_zero": member.balance if member.balance < 0 else None,
        **_lots(member),
        **_cycle(asking, member),
        **_charge(member),
        **_interviews(asking),
        **_upgrade(asking),
    }


def _lots(member: Member) -> dict[str, object]:
    values: dict[str, object] = {}
    if member.lots:
        first = member.lots[0]
        count = sum(lot.remaining for lot in member.lots if lot.expires_at.date() == first.expires_at.date())
        values |= {"next_expiry": expire(count), "next_expiry_on": day(first.expires_at)}
    for source, name in (("purchase", "bought"), ("registration", "registered")):
        for lot in member.lots:
            if lot.source == source:
                values |= {name: lot.remaining, f"{name}_on": day(lot.issued_at), f"{name}_until": day(lot.expires_at)}
    return values


def _cycle(asking: Asking, member: Member) -> dict[str, object]:
    membership = member.membership
    if membership is None or membership.cycle_start is None or membership.next_renewal is None:
        return {}
    start, until, policy = membership.cycle_start, membership.next_renewal, asking.policy
    values: dict[str, object] = {
        "cycle_start": day(start),
        "cycle_day": ordinal(until.day),
        "next_on": day(until),
    }
    if membership.plan == "plus":
        values |= {"renewal_on": day(until), "after_next_on": day(next_cycle_start(until, policy))}
    coming = next_grant(member)
    if coming is not None and coming.connects:
        values |= {"next_grant": coming.connects}
        if coming.what == "monthly":
            values |= {"basic_next": coming.connects}
    return values


def _upgrade(asking: Asking) -> dict[str, object]:
    """On what days the free Connects of the last upgrade were counted; or of one that is not paid yet."""
    came = [one.facts for one in asking.decisions if one.reason == "upgraded" and "days" in one.facts]
    if came:
        return {"days": came[-1]["days"], "length": came[-1]["length"], "prorated": came[-1]["free"]}
    member = asking.member
    membership = None if member is None else member.membership
    if member is None or membership is None or member.charge is None or member.charge.kind != "upgrade":
        return {}
    if membership.cycle_start is None or membership.next_renewal is None:
        return {}
    length = (membership.next_renewal - membership.cycle_start).days
    days = max(0, (member.charge.cycle_start - membership.cycle_start).days)
    return {"days": days, "length": length, "prorated": prorated(asking.policy.monthly_plus_free, days, length)}


def _charge(member: Member) -> dict[str, object]:
    """The charge that a membership waits for, or the last that was asked."""
    charge = member.charge or member.last_charge
    if charge is None or member.membership is None:
        return {}
    return {"source": SOURCES[charge.source], "asked_on": day(charge.requested_at)}


def _interviews(asking: Asking) -> dict[str, object]:
    """What interviews brought within the window that ends now: how much room there is below the limit."""
    at = None if asking.member is None else asking.member.read_until
    if at is None:
        return {}
    policy = asking.policy
    had = sum(count for when, count in _won(asking) if at - policy.interview_cap_window < when <= at)
    return {"had": had, "room": max(0, policy.interview_cap - had)}


def _won(asking: Asking) -> Iterator[tuple[datetime, int]]:
    for one in asking.decisions:
        for change in one.changes:
            if change.rule == "grant.interview":
                yield change.occurred_at, change.delta


def _of_proposal(applied: Applied | None) -> dict[str, object]:
    if applied is None:
        return {}
    last = applied.closings[-1] if applied.closings else None
    values: dict[str, object] = {
        "job": applied.job_id,
        "spent": applied.spent,
        "spent_on": day(applied.spent_at),
        "withdrawn_on": None if applied.withdrawn_at is None else day(applied.withdrawn_at),
        "hired_on": day(applied.hires[0].hired_at) if applied.hires else None,
        "closed_on": None if last is None else day(last.closed_at),
        "expired_on": day(last.closed_at) if last is not None and last.closure == "expired" else None,
        "still": applied.spent - applied.back,
        "open_job": applied.job_id if last is None and not applied.hires and applied.withdrawn_at is None else None,
    }
    return {**values, "base": applied.base, "boost": applied.boost} if applied.boost else values
