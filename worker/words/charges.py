"""Words for charges, their results, and promotion codes."""

from collections.abc import Mapping
from typing import Final

from worker.domain.decisions import Fact, Facts, Subject
from worker.words.membership_phrases import (
    amount_of,
    may_choose_again,
    next_cycle,
    that_began,
    the_charge,
    the_charge_first,
    what_follows,
)
from worker.words.operators import Words
from worker.words.phrases import at_time, connects, day, money, named, on_day

_SOURCES: Final[Mapping[Fact, str]] = {
    "earnings-balance": "the earnings balance",
    "payment-method": "the payment method",
}


def _charge_requested(_outcome: str, _subject: Subject, facts: Facts) -> str:
    asked = f"{amount_of(facts)} is requested from {_source(facts)}{_promotion(facts)}"
    if facts.get("charge") == "renewal":
        return (
            f"Plus is renewed{on_day(facts, 'cycle_start')}: {asked}. The {connects(facts.get('connects'))} of this "
            f"cycle come in when that is paid.{what_follows(facts)}"
        )
    if facts.get("charge") == "upgrade":
        return (
            f"Plus was chosen{on_day(facts, 'chosen_at')}: {asked}. "
            "When that is paid, Plus begins and its Connects come in; until then the plan is Basic."
        )
    return f"Plus is charged: {asked}."


def _charge_retried(_outcome: str, _subject: Subject, facts: Facts) -> str:
    on = day(facts.get("failed_at"))
    cycle = f"the Plus cycle{that_began(facts)}" if facts.get("charge") == "renewal" else "the upgrade to Plus"
    return (
        f"{f'On {on} the' if on else 'The'} earnings balance did not pay for {cycle}: {amount_of(facts)} is requested "
        f"from {_source(facts)} now. If that fails too, it is not requested again."
    )


def _charge_failed(_outcome: str, _subject: Subject, facts: Facts) -> str:
    if facts.get("lapsed"):
        since = day(facts.get("cycle_start"))
        return (
            f"{the_charge_first(facts)} was not answered before the next cycle began{on_day(facts, 'lapsed_on')}. "
            f"It counts as failed: the plan is Basic{f' from {since} on' if since else ''}. "
            "If it is paid after all, its Connects come in then."
        )
    failed = f"{the_charge_first(facts)} failed{on_day(facts, 'failed_at')}"
    if facts.get("charge") != "renewal":
        return f"{failed}. Nothing changed. {may_choose_again(facts)}"
    granted = f"{connects(facts['connects'])} granted for this cycle" if facts.get("connects") else ""
    if facts.get("withheld"):
        granted = (
            "Basic's Connects for this cycle withheld, because the account was suspended"
            f"{on_day(facts, 'suspended_at')}"
        )
    now = f"the plan is Basic now{f', {granted}' if granted else ''}"
    return f"{failed}: {now}.{next_cycle(facts)} {may_choose_again(facts)}"


def _charge_already_settled(_outcome: str, _subject: Subject, facts: Facts) -> str:
    how = {
        "paid": "it had been paid before" if facts.get("amount_cents") != 0 else "there is nothing to pay",
        "failed": "it had failed before",
        "lapsed": "it counts as failed since the next cycle began without an answer",
    }.get(str(facts.get("status")), "it was answered before")
    return f"Nothing done: {the_charge(facts)} is decided already: {how}."


def _unknown_charge(_outcome: str, _subject: Subject, facts: Facts) -> str:
    charge = f"charge{named(facts, 'charge_id')}"
    return f"Noted: no {charge} has been requested of this freelancer yet. The answer counts as soon as it is."


def _earnings_noted(_outcome: str, _subject: Subject, facts: Facts) -> str:
    available = money(facts.get("available_cents"), facts.get("currency"))
    words = f"Noted: the earnings balance{f' was {available}' if available else ' changed'}{on_day(facts, 'at')}."
    if facts.get("later_at") is not None:
        return f"{words} It changes nothing: a later one, of{at_time(facts, 'later_at')}, was reported before."
    return f"{words} If it is enough, the next charge of a membership is taken from it."


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


_OF_CODES: Final[Mapping[str, Words]] = {
    "promo-code-unknown": _promo_code_unknown,
    "promo-code-expired": _promo_code_expired,
    "promo-code-already-used": _promo_code_already_used,
}
WORDS: Final[Mapping[str, Mapping[str, Words]]] = {
    "membership.upgrade": {
        "charge-requested": _charge_requested,
        "charge-retried": _charge_retried,
        "charge-failed": _charge_failed,
        "charge-already-settled": _charge_already_settled,
        **_OF_CODES,
    },
    "membership.renewal": {
        "charge-requested": _charge_requested,
        "charge-retried": _charge_retried,
        "charge-failed": _charge_failed,
        "charge-already-settled": _charge_already_settled,
    },
    "membership.charge": {"unknown-charge": _unknown_charge},
    "membership.earnings": {"earnings-noted": _earnings_noted},
    "membership.promo": {"promo-accepted": _promo_accepted, **_OF_CODES},
}
