"""Pieces of sentences about memberships: what is suspended, when Plus ends, what comes next, which charge."""

from typing import Final

from worker.domain.decisions import Facts
from worker.words.phrases import day, money, on_day

AGAIN_UNSUSPENDED: Final = "Plus may be chosen again when no suspension is in force any more."


def suspended_what(facts: Facts) -> str:
    """The account, or the billing method."""
    return "the billing method" if facts.get("scope") == "billing-method" else "the account"


def plus_ends(facts: Facts, unless: str = "") -> str:
    """Say, as a sentence, that Plus ends with its cycle, and when; `unless` adds a condition."""
    ends = day(facts.get("next_renewal"))
    return f" Plus ends with its cycle{f', on {ends}' if ends else ''}{unless}."


def is_to_end(facts: Facts) -> bool:
    """Whether something known ends Plus at the next cycle start."""
    return facts.get("downgrade_chosen_at") is not None or facts.get("suspended") is not None


def what_follows(facts: Facts) -> str:
    """Say when the next renewal is, or why there is none (`cycles.what_ends_plus`)."""
    if not is_to_end(facts):
        return next_renewal(facts)
    if facts.get("downgrade_chosen_at") is not None:
        return f" Basic was chosen{on_day(facts, 'downgrade_chosen_at')}:{plus_ends(facts)}"
    what = suspended_what({"scope": facts["suspended"]}).capitalize()
    return f" {what} is suspended:{plus_ends(facts, ', unless no suspension is in force then')}"


def may_choose_again(facts: Facts) -> str:
    """When Plus may be chosen again."""
    return AGAIN_UNSUSPENDED if facts.get("suspended") is not None else "Plus may be chosen again at any time."


def next_renewal(facts: Facts) -> str:
    """Say the day of the next renewal, as a sentence; empty without it."""
    on = day(facts.get("next_renewal"))
    return f" The next renewal is on {on}." if on else ""


def next_cycle(facts: Facts) -> str:
    """Say the day of the next cycle, as a sentence; empty without it."""
    on = day(facts.get("next_renewal"))
    return f" The next cycle begins on {on}." if on else ""


def the_charge(facts: Facts) -> str:
    """Name a charge: its amount, and what it is for."""
    amount = money(facts.get("amount_cents"), facts.get("currency"))
    words = f"the charge of {amount}" if amount else "the charge"
    if facts.get("charge") == "renewal":
        return f"{words} for the Plus cycle{that_began(facts)}"
    return f"{words} for the upgrade to Plus" if facts.get("charge") == "upgrade" else words


def the_charge_first(facts: Facts) -> str:
    """Name a charge at the beginning of a sentence."""
    words = the_charge(facts)
    return f"{words[0].upper()}{words[1:]}"


def that_began(facts: Facts) -> str:
    """Say when the cycle of a charge began; empty without the day."""
    began = day(facts.get("cycle_start"))
    return f" that began on {began}" if began else ""


def amount_of(facts: Facts) -> str:
    """The amount of a charge, or the price."""
    return money(facts.get("amount_cents"), facts.get("currency")) or "the price"
