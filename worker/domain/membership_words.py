"""Words for memberships: why 73 and not 80, why 10, when the next ones come, and what became of a charge."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from worker.domain.decisions import Fact, Facts, Subject
from worker.domain.operator_words import Words
from worker.domain.phrases import at_time, connects, day, money, named, on_day

_SOURCES: Final[Mapping[Fact, str]] = {
    "earnings-balance": "the earnings balance",
    "payment-method": "the payment method",
}
_WAITING: Final[Mapping[Fact, str]] = {
    "membership-plan-chosen": "the choice of the plan",
    "promo-code-entered": "the promotion code",
    "membership-charge-settled": "the answer to the charge",
    "earnings-balance-updated": "the earnings balance",
    "account-suspended": "the suspension",
    "account-reinstated": "the end of the suspension",
}


# Connects.


def _cycle_started(_outcome: str, _subject: Subject, facts: Facts) -> str:
    plan = facts.get("plan")
    if plan == "plus":
        words = _granted_for_cycle(facts.get("connects"), "Plus", facts.get("cycle_start"))
        return f"{words}{_parts(facts)}: its charge was paid{on_day(facts, 'paid_at')}.{_what_follows(facts)}"
    if plan == "basic" and "why" not in facts:
        return _basic_cycle(facts.get("connects"), facts.get("cycle_start"), facts.get("next_renewal"))
    words = _granted_for_cycle(facts.get("connects"), "Basic" if plan else "membership", facts.get("cycle_start"))
    return f"{words}.{_how_plus_ended(facts)}{_next_cycle(facts)}"


@lru_cache(maxsize=4096)
def _basic_cycle(count: Fact, cycle_start: Fact, next_renewal: Fact) -> str:
    """A sentence that a million freelancers may be told on one day."""
    return f"{_granted_for_cycle(count, 'Basic', cycle_start)}.{_next_cycle({'next_renewal': next_renewal})}"


def _granted_for_cycle(count: Fact, whose: str, cycle_start: Fact) -> str:
    began = day(cycle_start)
    return f"{connects(count)} granted for the {whose} cycle{f' that began on {began}' if began else ''}"


def _upgraded(_outcome: str, _subject: Subject, facts: Facts) -> str:
    words = f"{connects(facts.get('connects'))} granted for the upgrade to Plus, paid{on_day(facts, 'paid_at')}"
    return f"{words}{_proration(facts)}.{_overtaken(facts)}{_whole_next_time(facts)}"


def _proration(facts: Facts) -> str:
    """70 and 3 of the 10 free ones, and why 3: what answers "why 73 and not 80"."""
    paid, free, whole = facts.get("paid"), facts.get("free"), facts.get("free_whole")
    days, length = facts.get("days"), facts.get("length")
    if None in {paid, free, whole, days, length}:
        return ""
    return (
        f": {paid} that are paid for + {free} of the {whole} free ones. The free ones are prorated, {whole} x {days} / "
        f"{length} rounded down: {_days_passed(facts)}"
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
    if not on or not isinstance(paid, int) or not isinstance(whole, int) or _ends(facts):
        return _what_follows(facts)
    return f" The next renewal is on {on}; it brings {paid + whole}."


def _overtaken(facts: Facts) -> str:
    """Why the day of the choice does not count: a cycle began after it, perhaps even after the payment; or was to."""
    if over_on := day(facts.get("over_on")):
        return f" The Plus cycle of the choice would have ended on {over_on}, so the day of the payment counts."
    if not facts.get("overtaken"):
        return ""
    began = f" The Basic cycle began only after the choice{on_day(facts, 'chosen_at')}"
    paid, restarted = day(facts.get("paid_at")), day(facts.get("prorated_to"))
    if paid and restarted and paid != restarted:
        return f"{began} and the payment on {paid}, so its first day counts."
    return f"{began}, so the day of the payment counts."


def _renewed(_outcome: str, _subject: Subject, facts: Facts) -> str:
    return (
        f"{_The_charge(facts)} was paid{on_day(facts, 'paid_at')}: {connects(facts.get('connects'))} granted"
        f"{_parts(facts)}.{_what_follows(facts)}"
    )


def _paid_after_lapse(_outcome: str, _subject: Subject, facts: Facts) -> str:
    return (
        f"{connects(facts.get('connects'))} granted{_parts(facts)}: {_the_charge(facts)} was paid"
        f"{on_day(facts, 'paid_at')}, after Plus had ended because it had not been. The plan stays as it is."
    )


def _account_suspended(outcome: str, _subject: Subject, facts: Facts) -> str:
    since = day(facts.get("suspended_at"))
    suspended = f"had been suspended since {since}" if since else "was suspended"
    if outcome != "withheld":
        return f"Plus was not ordered: {_suspended_what(facts)} {suspended}. It can be chosen when that is lifted."
    began = day(facts.get("cycle_start"))
    whose = f" for the cycle that began on {began}" if began else ""
    words = f"{connects(facts.get('connects'))} withheld{whose}: the account {suspended}. They are not made up later."
    ended = _how_plus_ended(facts) if facts.get("scope") != "account" else ""
    return f"{words}{ended}{_next_cycle(facts)}"


def _parts(facts: Facts) -> str:
    paid, free = facts.get("paid"), facts.get("free")
    return "" if paid is None or free is None else f" ({paid} that are paid for and {free} free)"


def _how_plus_ended(facts: Facts) -> str:
    """Why Basic's Connects and not Plus's: what answers "why 10 and not 80"."""
    why = facts.get("why")
    if why == "chosen":
        return f" Plus ended with the cycle before: Basic was chosen{on_day(facts, 'downgrade_chosen_at')}."
    if why == "suspended":
        return (
            f" Plus ended with the cycle before: {_suspended_what(facts)} was suspended{on_day(facts, 'suspended_at')}."
        )
    if why == "failed":
        return f" Plus ended: {_the_charge(facts)} failed{on_day(facts, 'failed_at')}."
    return " Plus ended: the charge for this cycle was not answered before the next began." if why == "lapsed" else ""


# The plan.


def _membership_began(_outcome: str, _subject: Subject, facts: Facts) -> str:
    return f"The membership began{on_day(facts, 'cycle_start')}, as Basic.{_next_cycle(facts)}"


def _already_on_plan(_outcome: str, _subject: Subject, facts: Facts) -> str:
    chosen, plan, downgrade = facts.get("chosen"), facts.get("plan"), facts.get("downgrade_chosen_at")
    pending = facts.get("upgrade") is not None
    if chosen == "basic" and downgrade is not None:
        what = f"Basic was chosen{on_day(facts, 'downgrade_chosen_at')} already"
        if pending:
            return f"Nothing changed: {what}. If the charge for Plus is paid, Plus ends with its first cycle."
        return f"Nothing changed: {what}.{_plus_ends(facts)}"
    if chosen == "plus" and pending:
        return "Nothing changed: Plus was chosen before, and its charge is not answered yet. It is not charged twice."
    if plan == "plus":
        return f"Nothing changed: the plan is Plus already.{_next_renewal(facts)}"
    if plan == "basic":
        return f"Nothing changed: the plan is Basic already.{_next_cycle(facts)}"
    return "Nothing changed: the plan is the one that was chosen."


def _downgrade_scheduled(_outcome: str, _subject: Subject, facts: Facts) -> str:
    chosen = f"Basic was chosen{on_day(facts, 'chosen_at')}"
    if facts.get("upgrade") is not None:
        return (
            f"{chosen}, while the charge for Plus is not answered yet. If it is paid, Plus ends with its first cycle."
        )
    return f"{chosen}.{_plus_ends(facts)} Until then Plus stays; nothing is charged for the time after."


def _downgrade_cancelled(_outcome: str, _subject: Subject, facts: Facts) -> str:
    words = f"The downgrade chosen{on_day(facts, 'downgrade_chosen_at') or ' before'} is cancelled"
    if facts.get("upgrade") is not None:
        words = f"{words}: Plus, once its charge is paid, goes on after its first cycle."
    else:
        words = f"{words}: Plus goes on, and its cycle stays as it is.{_next_renewal(facts)}"
    code = facts.get("promo_code")
    return f"{words} The promotion code {code} counts for the next charge." if code is not None else words


def _downgraded(_outcome: str, _subject: Subject, facts: Facts) -> str:
    why = {
        "chosen": f": Basic was chosen{on_day(facts, 'downgrade_chosen_at')}",
        "suspended": f": {_suspended_what(facts)} was suspended{on_day(facts, 'suspended_at')}",
    }.get(str(facts.get("why")), "")
    return (
        f"Plus ended with its cycle{on_day(facts, 'cycle_start')}{why}. "
        f"The plan is Basic from then on, and nothing is charged. {_again(facts)}"
    )


def _suspended(outcome: str, _subject: Subject, facts: Facts) -> str:
    what = f"{_suspended_what(facts)} was suspended{on_day(facts, 'at')}"
    if outcome == "recorded":
        return f"Noted: {what}. It changes nothing: that was known already, or the suspension was lifted after it."
    words = f"{what[0].upper()}{what[1:]}."
    if facts.get("plan") == "plus":
        words = f"{words}{_ends_by_suspension(facts)}"
    if facts.get("scope") == "account":
        words = f"{words} A cycle that starts meanwhile brings no monthly Connects; everything else goes on."
    return words


def _ends_by_suspension(facts: Facts) -> str:
    if facts.get("downgrade_chosen_at") is not None:
        return _plus_ends(facts, f", lifted or not: Basic was chosen{on_day(facts, 'downgrade_chosen_at')}")
    if facts.get("still_suspended") is None:
        return _plus_ends(facts, ", unless that is lifted before")
    other = _suspended_what({"scope": facts["still_suspended"]})
    return _plus_ends(facts, f", unless that and the suspension of {other} are lifted before")


def _reinstated(outcome: str, _subject: Subject, facts: Facts) -> str:
    what = f"the suspension of {_suspended_what(facts)} was lifted{on_day(facts, 'at')}"
    if outcome == "recorded":
        return f"Noted: {what}. It changes nothing: there was none, or there has been a new one since."
    words = f"{what[0].upper()}{what[1:]}."
    if still := facts.get("still_suspended"):
        return f"{words} {_suspended_what({'scope': still}).capitalize()} is still suspended."
    if facts.get("plan") != "plus":
        return f"{words} Plus, if it had ended, comes back when it is chosen again." if "plan" in facts else words
    if facts.get("downgrade_chosen_at") is not None:
        return f"{words} Basic had been chosen{on_day(facts, 'downgrade_chosen_at')} besides:{_plus_ends(facts)}"
    return f"{words} Plus goes on.{_next_renewal(facts)}"


def _suspended_what(facts: Facts) -> str:
    return "the billing method" if facts.get("scope") == "billing-method" else "the account"


def _plus_ends(facts: Facts, unless: str = "") -> str:
    ends = day(facts.get("next_renewal"))
    return f" Plus ends with its cycle{f', on {ends}' if ends else ''}{unless}."


def _ends(facts: Facts) -> bool:
    return facts.get("downgrade_chosen_at") is not None or facts.get("suspended") is not None


def _what_follows(facts: Facts) -> str:
    """The next renewal, or why there is none; `cycles.what_ends_plus` tells."""
    if not _ends(facts):
        return _next_renewal(facts)
    if facts.get("downgrade_chosen_at") is not None:
        return f" Basic was chosen{on_day(facts, 'downgrade_chosen_at')}:{_plus_ends(facts)}"
    what = _suspended_what({"scope": facts["suspended"]}).capitalize()
    return f" {what} is suspended:{_plus_ends(facts, ', unless no suspension is in force then')}"


def _again(facts: Facts) -> str:
    if facts.get("suspended") is None:
        return "Plus may be chosen again at any time."
    return "Plus may be chosen again when no suspension is in force any more."


def _next_renewal(facts: Facts) -> str:
    on = day(facts.get("next_renewal"))
    return f" The next renewal is on {on}." if on else ""


def _next_cycle(facts: Facts) -> str:
    on = day(facts.get("next_renewal"))
    return f" The next cycle begins on {on}." if on else ""


# Charges.


def _charge_requested(_outcome: str, _subject: Subject, facts: Facts) -> str:
    asked = f"{_amount(facts)} is asked of {_source(facts)}{_promotion(facts)}"
    if facts.get("charge") == "renewal":
        return (
            f"Plus is renewed{on_day(facts, 'cycle_start')}: {asked}. The {connects(facts.get('connects'))} of this "
            f"cycle come in when that is paid.{_what_follows(facts)}"
        )
    if facts.get("charge") == "upgrade":
        return (
            f"Plus was chosen{on_day(facts, 'chosen_at')}: {asked}. "
            "When that is paid, Plus begins and its Connects come in; until then the plan is Basic."
        )
    return f"Plus is charged: {asked}."


def _charge_retried(_outcome: str, _subject: Subject, facts: Facts) -> str:
    on = day(facts.get("failed_at"))
    cycle = f"the Plus cycle{_that_began(facts)}" if facts.get("charge") == "renewal" else "the upgrade to Plus"
    return (
        f"{f'On {on} the' if on else 'The'} earnings balance did not pay for {cycle}: {_amount(facts)} is asked of "
        f"{_source(facts)} now. If that fails too, it is not asked again."
    )


def _charge_failed(_outcome: str, _subject: Subject, facts: Facts) -> str:
    if facts.get("lapsed"):
        since = day(facts.get("cycle_start"))
        return (
            f"{_The_charge(facts)} was not answered before the next cycle began{on_day(facts, 'lapsed_on')}. It counts "
            f"as failed: the plan is Basic{f' from {since} on' if since else ''}. "
            "If it is paid after all, its Connects come in then."
        )
    failed = f"{_The_charge(facts)} failed{on_day(facts, 'failed_at')}"
    if facts.get("charge") != "renewal":
        return f"{failed}. Nothing changed. {_again(facts)}"
    granted = f"{connects(facts['connects'])} granted for this cycle" if facts.get("connects") else ""
    if facts.get("withheld"):
        granted = (
            f"Basic's Connects for this cycle withheld, for the account was suspended{on_day(facts, 'suspended_at')}"
        )
    return f"{failed}: the plan is Basic now{f', {granted}' if granted else ''}.{_next_cycle(facts)} {_again(facts)}"


def _charge_already_settled(_outcome: str, _subject: Subject, facts: Facts) -> str:
    how = {
        "paid": "it had been paid before",
        "failed": "it had failed before",
        "lapsed": "it counts as failed since the next cycle began without an answer",
    }.get(str(facts.get("status")), "it was answered before")
    return f"Nothing done: {_the_charge(facts)} is settled; {how}."


def _unknown_charge(_outcome: str, _subject: Subject, facts: Facts) -> str:
    charge = f"charge{named(facts, 'charge_id')}"
    return f"Noted: no {charge} has been requested of this freelancer yet. The answer counts as soon as it is."


def _earnings_noted(_outcome: str, _subject: Subject, facts: Facts) -> str:
    available = money(facts.get("available_cents"), "USD")
    words = f"Noted: the earnings balance{f' was {available}' if available else ' changed'}{on_day(facts, 'at')}."
    if facts.get("later_at") is not None:
        return f"{words} It changes nothing: a later one, of{at_time(facts, 'later_at')}, was told before."
    return f"{words} If it is enough, the next charge of a membership is taken from it."


def _awaits_cycle_start(_outcome: str, _subject: Subject, facts: Facts) -> str:
    what = _WAITING.get(facts.get("waits"), "this")
    words = f"Noted: {what} is dated{on_day(facts, 'at') or ' later'}, not before the cycle start"
    if facts.get("waits") == "membership-charge-settled":
        after = "this after it, when the charge has been requested"
    else:
        after = "this right after"
    return f"{words}{on_day(facts, 'next_renewal')}. That is decided first, {after}."


def _the_charge(facts: Facts) -> str:
    amount = money(facts.get("amount_cents"), facts.get("currency"))
    words = f"the charge of {amount}" if amount else "the charge"
    if facts.get("charge") == "renewal":
        return f"{words} for the Plus cycle{_that_began(facts)}"
    return f"{words} for the upgrade to Plus" if facts.get("charge") == "upgrade" else words


def _The_charge(facts: Facts) -> str:  # noqa: N802 - as at the start of a sentence
    words = _the_charge(facts)
    return f"{words[0].upper()}{words[1:]}"


def _that_began(facts: Facts) -> str:
    began = day(facts.get("cycle_start"))
    return f" that began on {began}" if began else ""


def _amount(facts: Facts) -> str:
    return money(facts.get("amount_cents"), facts.get("currency")) or "the price"


def _source(facts: Facts) -> str:
    return _SOURCES.get(facts.get("source"), "the billing system")


def _promotion(facts: Facts) -> str:
    code, price = facts.get("promo_code"), money(facts.get("price_cents"), facts.get("currency"))
    if code is None:
        return ""
    return f", instead of {price}, with the promotion code {code}" if price else f", with the promotion code {code}"


# Promotion codes.


def _promo_accepted(_outcome: str, _subject: Subject, facts: Facts) -> str:
    percent, off, charges = facts.get("percent_off"), facts.get("cents_off"), facts.get("charges")
    discount = f"{percent}% off" if percent else f"{money(off, facts.get('currency'))} off" if off else "it counts for"
    which = "the next charge" if charges in {None, 1} else f"the next {charges} charges"
    return f"The promotion code{named(facts, 'promo_code')} is accepted: {discount} {which}."


def _promo_code_unknown(_outcome: str, _subject: Subject, facts: Facts) -> str:
    return f"{_not_ordered(facts)}: there is no promotion code{named(facts, 'promo_code') or ' like that'}."


def _promo_code_expired(_outcome: str, _subject: Subject, facts: Facts) -> str:
    first, end = day(facts.get("valid_from")), day(facts.get("valid_until"))
    when = f": it counts from {first} on, and before {end}" if first and end else ""
    return f"{_not_ordered(facts)}: the promotion code{named(facts, 'promo_code')} is not valid on that day{when}."


def _promo_code_already_used(_outcome: str, _subject: Subject, facts: Facts) -> str:
    return f"{_not_ordered(facts)}: the promotion code{named(facts, 'promo_code')} was used before. Each counts once."


def _not_ordered(facts: Facts) -> str:
    return "Nothing changed" if "chosen" in facts else "Not accepted"


MEMBERSHIP_WORDS: Final[Mapping[str, Words]] = {
    "cycle-started": _cycle_started,
    "upgraded": _upgraded,
    "renewed": _renewed,
    "paid-after-lapse": _paid_after_lapse,
    "account-suspended": _account_suspended,
    "membership-began": _membership_began,
    "already-on-plan": _already_on_plan,
    "downgrade-scheduled": _downgrade_scheduled,
    "downgrade-cancelled": _downgrade_cancelled,
    "downgraded": _downgraded,
    "suspended": _suspended,
    "reinstated": _reinstated,
    "charge-requested": _charge_requested,
    "charge-retried": _charge_retried,
    "charge-failed": _charge_failed,
    "charge-already-settled": _charge_already_settled,
    "unknown-charge": _unknown_charge,
    "earnings-noted": _earnings_noted,
    "awaits-cycle-start": _awaits_cycle_start,
    "promo-accepted": _promo_accepted,
    "promo-code-unknown": _promo_code_unknown,
    "promo-code-expired": _promo_code_expired,
    "promo-code-already-used": _promo_code_already_used,
}
