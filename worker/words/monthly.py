"""Words for the Connects of a membership: why 73 and not 80, why 10, why none, and when the next ones come."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from worker.domain.decisions import Fact, Facts, Subject
from worker.words.membership_phrases import (
    AGAIN_UNSUSPENDED,
    is_to_end,
    next_cycle,
    suspended_what,
    the_charge,
    the_charge_first,
    what_follows,
)
from worker.words.operators import Words
from worker.words.phrases import connects, day, money, on_day
from worker.words.shared import nothing_to_do


def _cycle_started(_outcome: str, _subject: Subject, facts: Facts) -> str:
    plan = facts.get("plan")
    if plan == "plus":
        words = f"{_granted_for_cycle(facts.get('connects'), 'Plus', facts.get('cycle_start'))}{_parts(facts)}"
        paid = "" if _is_for_nothing(facts) else f": its charge was paid{on_day(facts, 'paid_at')}"
        return f"{words}{paid}.{_for_nothing(facts)}{what_follows(facts)}"
    if plan == "basic" and "why" not in facts:
        return _basic_cycle(facts.get("connects"), facts.get("cycle_start"), facts.get("next_renewal"))
    words = _granted_for_cycle(facts.get("connects"), "Basic" if plan else "membership", facts.get("cycle_start"))
    return f"{words}.{_how_plus_ended(facts)}{next_cycle(facts)}"


@lru_cache(maxsize=4096)
def _basic_cycle(count: Fact, cycle_start: Fact, next_renewal: Fact) -> str:
    """A sentence that may be made for a million freelancers on one day."""
    return f"{_granted_for_cycle(count, 'Basic', cycle_start)}.{next_cycle({'next_renewal': next_renewal})}"


def _granted_for_cycle(count: Fact, whose: str, cycle_start: Fact) -> str:
    began = day(cycle_start)
    return f"{connects(count)} granted for the {whose} cycle{f' that began on {began}' if began else ''}"


def _upgraded(_outcome: str, _subject: Subject, facts: Facts) -> str:
    when = f"chosen{on_day(facts, 'chosen_at')}" if _is_for_nothing(facts) else f"paid{on_day(facts, 'paid_at')}"
    words = f"{connects(facts.get('connects'))} granted for the upgrade to Plus, {when}{_proration(facts)}."
    return f"{words}{_for_nothing(facts)}{_overtaken(facts)}{_whole_next_time(facts)}"


def _proration(facts: Facts) -> str:
    """70 and 3 of the 10 free ones, and why 3: the answer to "why 73 and not 80"."""
    paid, free, whole = facts.get("paid"), facts.get("free"), facts.get("free_whole")
    days, length = facts.get("days"), facts.get("length")
    if None in {paid, free, whole, days, length}:
        return ""
    return (
        f": {paid} that are {_paid_for(facts)} + {free} of the {whole} free ones. The free ones are prorated, "
        f"{whole} x {days} / {length} rounded down: {_days_passed(facts)}"
    )


def _days_passed(facts: Facts) -> str:
    """How much of the Basic cycle had passed. One that begins after the 28th may have a single day."""
    days, length = facts.get("days"), facts.get("length")
    began, restarted = day(facts.get("prorated_from")), day(facts.get("prorated_to"))
    cycle = f"the Basic cycle that began on {began}" if began else "the Basic cycle"
    if length == 1:
        return f"the one day of {cycle} had {'not passed' if days == 0 else 'passed'}"
    if days == 0:
        return f"none of the {length} days of {cycle} had passed"
    between = f", from {began} to {restarted}" if began and restarted else ""
    return f"{days} of the {length} days of the Basic cycle had passed{between}"


def _whole_next_time(facts: Facts) -> str:
    paid, whole, on = facts.get("paid"), facts.get("free_whole"), day(facts.get("next_renewal"))
    if not on or not isinstance(paid, int) or not isinstance(whole, int) or is_to_end(facts):
        return what_follows(facts)
    return f" The next renewal is on {on}; it brings {paid + whole}."


def _overtaken(facts: Facts) -> str:
    """Why the day of the choice does not count: a cycle began after it, perhaps even after the payment; or was to."""
    if over_on := day(facts.get("over_on")):
        return f" The Plus cycle of the choice would have ended on {over_on}, so the day of the payment counts."
    if not facts.get("overtaken"):
        return ""
    began = f" The Basic cycle began only after the choice{on_day(facts, 'chosen_at')}"
    if _is_for_nothing(facts):
        return f"{began}, so its first day counts."
    paid, restarted = day(facts.get("paid_at")), day(facts.get("prorated_to"))
    if paid and restarted and paid != restarted:
        return f"{began} and the payment on {paid}, so its first day counts."
    return f"{began}, so the day of the payment counts."


def _renewed(_outcome: str, _subject: Subject, facts: Facts) -> str:
    if facts.get("nothing_to_pay"):
        words = (
            f"Plus is renewed{on_day(facts, 'cycle_start')}: {connects(facts.get('connects'))} granted{_parts(facts)}"
        )
        return f"{words}.{_for_nothing(facts)}{what_follows(facts)}"
    return (
        f"{the_charge_first(facts)} was paid{on_day(facts, 'paid_at')}: {connects(facts.get('connects'))} granted"
        f"{_parts(facts)}.{what_follows(facts)}"
    )


def _paid_after_lapse(_outcome: str, _subject: Subject, facts: Facts) -> str:
    return (
        f"{connects(facts.get('connects'))} granted{_parts(facts)}: {the_charge(facts)} was paid"
        f"{on_day(facts, 'paid_at')}, after Plus had ended because it had not been. The plan stays as it is."
    )


def _account_suspended(outcome: str, _subject: Subject, facts: Facts) -> str:
    since = day(facts.get("suspended_at"))
    suspended = f"had been suspended since {since}" if since else "was suspended"
    if outcome != "withheld":
        return f"Plus was not ordered: {suspended_what(facts)} {suspended}. {AGAIN_UNSUSPENDED}"
    began = day(facts.get("cycle_start"))
    whose = f" for the cycle that began on {began}" if began else ""
    words = f"{connects(facts.get('connects'))} withheld{whose}: the account {suspended}. They are not made up later."
    ended = _how_plus_ended(facts) if facts.get("scope") != "account" else ""
    return f"{words}{ended}{next_cycle(facts)}"


def _parts(facts: Facts) -> str:
    paid, free = facts.get("paid"), facts.get("free")
    return "" if paid is None or free is None else f" ({paid} that are {_paid_for(facts)} and {free} free)"


def _paid_for(facts: Facts) -> str:
    return "otherwise paid for" if _is_for_nothing(facts) else "paid for"


def _is_for_nothing(facts: Facts) -> bool:
    return facts.get("nothing_to_pay") is True


def _for_nothing(facts: Facts) -> str:
    """Say why nothing has to be paid, if that is so."""
    if not _is_for_nothing(facts):
        return ""
    code, price = facts.get("promo_code"), money(facts.get("price_cents"), facts.get("currency"))
    why = f": the promotion code {code} brings its price of {price} to nothing" if code is not None and price else ""
    return f" Nothing has to be paid for it{why}."


def _how_plus_ended(facts: Facts) -> str:
    """Why Basic's Connects and not Plus's: the answer to "why 10 and not 80"."""
    why = facts.get("why")
    if why == "chosen":
        return f" Plus ended with the cycle before: Basic was chosen{on_day(facts, 'downgrade_chosen_at')}."
    if why == "suspended":
        return (
            f" Plus ended with the cycle before: {suspended_what(facts)} was suspended{on_day(facts, 'suspended_at')}."
        )
    if why == "failed":
        return f" Plus ended: {the_charge(facts)} failed{on_day(facts, 'failed_at')}."
    return " Plus ended: the charge for this cycle was not answered before the next began." if why == "lapsed" else ""


WORDS: Final[Mapping[str, Mapping[str, Words]]] = {
    "grant.monthly": {
        "cycle-started": _cycle_started,
        "account-suspended": _account_suspended,
        "nothing-to-do": nothing_to_do,
        "paid-after-lapse": _paid_after_lapse,
    },
    "grant.upgrade": {"upgraded": _upgraded},
    "membership.upgrade": {"upgraded": _upgraded, "account-suspended": _account_suspended},
    "membership.renewal": {"renewed": _renewed, "paid-after-lapse": _paid_after_lapse},
}
