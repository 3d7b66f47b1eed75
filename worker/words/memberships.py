"""Words for memberships: the plan, and what ends it; monthly.py and charges.py have the rest."""

from collections.abc import Mapping
from typing import Final

from worker.domain.decisions import Fact, Facts, Subject
from worker.words.membership_phrases import (
    may_choose_again,
    next_cycle,
    next_renewal,
    plus_ends,
    suspended_what,
    that_began,
)
from worker.words.operators import Words
from worker.words.phrases import date_of, day, on_day

_WAITING: Final[Mapping[Fact, str]] = {
    "membership-plan-chosen": "the choice of the plan",
    "promo-code-entered": "the promotion code",
    "membership-charge-settled": "the answer to the charge",
    "earnings-balance-updated": "the earnings balance",
    "account-suspended": "the suspension",
    "account-reinstated": "the end of the suspension",
}


def _membership_began(_outcome: str, _subject: Subject, facts: Facts) -> str:
    return f"The membership began{on_day(facts, 'cycle_start')}, as Basic.{next_cycle(facts)}"


def _already_on_plan(_outcome: str, _subject: Subject, facts: Facts) -> str:
    chosen, plan, downgrade = facts.get("chosen"), facts.get("plan"), facts.get("downgrade_chosen_at")
    pending = facts.get("upgrade") is not None
    if chosen == "basic" and downgrade is not None:
        what = f"Basic was chosen{on_day(facts, 'downgrade_chosen_at')} already"
        if pending:
            return f"Nothing changed: {what}. If the charge for Plus is paid, Plus ends with its first cycle."
        return f"Nothing changed: {what}.{plus_ends(facts)}"
    if chosen == "plus" and pending:
        return "Nothing changed: Plus was chosen before, and its charge is not answered yet. It is not charged twice."
    if plan == "plus":
        return f"Nothing changed: the plan is Plus already.{next_renewal(facts)}"
    if plan == "basic":
        return f"Nothing changed: the plan is Basic already.{next_cycle(facts)}"
    return "Nothing changed: the plan is the one that was chosen."


def _downgrade_scheduled(_outcome: str, _subject: Subject, facts: Facts) -> str:
    chosen = f"Basic was chosen{on_day(facts, 'chosen_at')}"
    if facts.get("upgrade") is not None:
        return (
            f"{chosen}, while the charge for Plus is not answered yet. If it is paid, Plus ends with its first cycle."
        )
    until = "Until then Plus stays; nothing is charged for the time after."
    return f"{chosen}.{_too_late(facts)}{plus_ends(facts)} {until}{_renewal_open(facts)}"


def _too_late(facts: Facts) -> str:
    """The renewal begins at midnight: a choice on its day, or one that is read after it, does not end that cycle."""
    chosen, began = date_of(facts.get("chosen_at")), date_of(facts.get("cycle_start"))
    if chosen is None or began is None or chosen > began:
        return ""
    return (
        f" That is too late for the cycle that began on {day(facts.get('cycle_start'))}: the charge for it remains due."
    )


def _renewal_open(facts: Facts) -> str:
    if facts.get("renewal") is None:
        return ""
    return f" The charge for the cycle{that_began(facts)} is not answered yet; if it fails, Plus ends immediately."


def _downgrade_cancelled(_outcome: str, _subject: Subject, facts: Facts) -> str:
    words = f"The downgrade chosen{on_day(facts, 'downgrade_chosen_at') or ' before'} is cancelled"
    if facts.get("upgrade") is not None:
        words = f"{words}: Plus, once its charge is paid, goes on after its first cycle."
    else:
        words = f"{words}: Plus goes on, and its cycle stays as it is.{next_renewal(facts)}"
    code = facts.get("promo_code")
    return f"{words} The promotion code {code} counts for the next charge." if code is not None else words


def _downgraded(_outcome: str, _subject: Subject, facts: Facts) -> str:
    why = {
        "chosen": f": Basic was chosen{on_day(facts, 'downgrade_chosen_at')}",
        "suspended": f": {suspended_what(facts)} was suspended{on_day(facts, 'suspended_at')}",
    }.get(str(facts.get("why")), "")
    return (
        f"Plus ended with its cycle{on_day(facts, 'cycle_start')}{why}. "
        f"The plan is Basic from then on, and nothing is charged. {may_choose_again(facts)}"
    )


def _suspended(outcome: str, _subject: Subject, facts: Facts) -> str:
    what = f"{suspended_what(facts)} was suspended{on_day(facts, 'at')}"
    if outcome == "recorded":
        return f"Noted: {what}. It changes nothing: that was known already, or the suspension was lifted after it."
    words = f"{what[0].upper()}{what[1:]}."
    if facts.get("plan") == "plus":
        words = f"{words}{_ends_by_suspension(facts)}"
    elif facts.get("upgrade") is not None:
        words = f"{words} If the charge for Plus is paid, Plus ends with its first cycle, unless that is lifted before."
    if facts.get("scope") == "account":
        words = (
            f"{words} A cycle that starts meanwhile brings no monthly Connects, and Plus cannot be chosen; one-time "
            "Connects, proposals and refunds go on."
        )
    return words


def _ends_by_suspension(facts: Facts) -> str:
    if facts.get("downgrade_chosen_at") is not None:
        return plus_ends(facts, f", lifted or not: Basic was chosen{on_day(facts, 'downgrade_chosen_at')}")
    if facts.get("still_suspended") is None:
        return plus_ends(facts, ", unless that is lifted before")
    other = suspended_what({"scope": facts["still_suspended"]})
    return plus_ends(facts, f", unless that and the suspension of {other} are lifted before")


def _reinstated(outcome: str, _subject: Subject, facts: Facts) -> str:
    what = f"the suspension of {suspended_what(facts)} was lifted{on_day(facts, 'at')}"
    if outcome == "recorded":
        return f"Noted: {what}. It changes nothing: there was none, or there has been a new one since."
    words = f"{what[0].upper()}{what[1:]}."
    if still := facts.get("still_suspended"):
        return f"{words} {suspended_what({'scope': still}).capitalize()} is still suspended."
    if facts.get("plan") != "plus":
        return f"{words}{_basic_for_now(facts)}"
    if facts.get("downgrade_chosen_at") is not None:
        return f"{words} Basic had also been chosen{on_day(facts, 'downgrade_chosen_at')}:{plus_ends(facts)}"
    return f"{words} Plus goes on.{next_renewal(facts)}"


def _basic_for_now(facts: Facts) -> str:
    """Say nothing of Plus to freelancers who may never have had it, and nothing at all before it has begun."""
    if facts.get("upgrade") is not None:
        return " Plus begins when its charge is paid."
    return " The plan is Basic until Plus is chosen." if facts.get("next_renewal") is not None else ""


def _awaits_cycle_start(_outcome: str, _subject: Subject, facts: Facts) -> str:
    what = _WAITING.get(facts.get("waits"), "this")
    words = f"Noted: {what} is dated{on_day(facts, 'at') or ' later'}, not before the cycle start"
    if facts.get("waits") == "membership-charge-settled":
        after = "this after it, when the charge has been requested"
    else:
        after = "this right after"
    return f"{words}{on_day(facts, 'next_renewal')}. That is decided first, {after}."


WORDS: Final[Mapping[str, Mapping[str, Words]]] = {
    "membership.began": {"membership-began": _membership_began},
    "membership.downgrade": {
        "already-on-plan": _already_on_plan,
        "downgrade-scheduled": _downgrade_scheduled,
        "downgrade-cancelled": _downgrade_cancelled,
        "downgraded": _downgraded,
        "awaits-cycle-start": _awaits_cycle_start,
    },
    "membership.upgrade": {"already-on-plan": _already_on_plan, "awaits-cycle-start": _awaits_cycle_start},
    "membership.suspension": {
        "suspended": _suspended,
        "reinstated": _reinstated,
        "awaits-cycle-start": _awaits_cycle_start,
    },
    "membership.charge": {"awaits-cycle-start": _awaits_cycle_start},
    "membership.earnings": {"awaits-cycle-start": _awaits_cycle_start},
    "membership.promo": {"awaits-cycle-start": _awaits_cycle_start},
}
