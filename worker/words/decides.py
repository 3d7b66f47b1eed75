"""Words for corrections of amounts: a decision gave more or less than it should have."""

from collections.abc import Mapping
from typing import Final

from worker.domain.decisions import Facts, Subject
from worker.domain.rules import grants, monthly, refunds
from worker.domain.rules.decides import AMENDED, DECIDE, NOTHING
from worker.words.operators import Words
from worker.words.phrases import connects, named, not_there, on_day

_WHAT: Final[Mapping[str, str]] = {
    grants.REGISTRATION: "registering",
    grants.BADGE: "the badge",
    grants.CERTIFICATION: "the certification",
    grants.PURCHASE: "the purchase",
    grants.ADJUST: "the change by support",
    monthly.MONTHLY: "the cycle that began",
    monthly.UPGRADE: "the upgrade",
    refunds.SETTLEMENT: "the closing of job",
    refunds.OUTBID: "the outbid boost of proposal",
}
"""What brought the Connects of each rule."""
_NAMED_BY: Final[Mapping[str, str]] = {refunds.SETTLEMENT: "job_id", refunds.OUTBID: "proposal_id"}


def what_came(facts: Facts) -> str:
    """`the cycle that began on 3 March 2026`: what brought the Connects that were corrected."""
    rule = str(facts.get("amended_rule"))
    what = _WHAT.get(rule, "event")
    name = named(facts, "event_id" if rule not in _WHAT else _NAMED_BY.get(rule, ""))
    return f"{what}{name}{on_day(facts, 'occurred_at')}"


def came(facts: Facts) -> str:
    """`the cycle that began on 3 March 2026 had brought 8 Connects, and 80 were due`."""
    what, stood, due = what_came(facts), facts.get("stood"), facts.get("connects")
    if isinstance(stood, int) and isinstance(due, int) and (stood < 0 or due < 0):
        return f"{what} had changed the balance by {stood:+}, and it should have been {due:+}"
    return f"{what} had brought {connects(stood)}, and {due} {'was' if due == 1 else 'were'} due"


def _amended(_outcome: str, _subject: Subject, facts: Facts) -> str:
    on, why = on_day(facts, "corrected_at"), came(facts)
    if "given" in facts:
        given, set_off = facts["given"], facts.get("set_off")
        words = f"{connects(given) if given else 'Nothing'} added{on}, as a correction: {why}."
        return f"{words} {connects(set_off)} had not been taken back before, and stay." if set_off else words
    taken = facts.get("taken")
    words = f"{connects(taken)} taken back" if taken else "Nothing taken back"
    words = f"{words}{on}, as a correction: {why}."
    if gone := facts.get("gone"):
        words = f"{words} {connects(gone)} of it had expired already."
    return f"{words}{not_there(facts)}"


def _nothing(_outcome: str, _subject: Subject, facts: Facts) -> str:
    return f"Nothing to correct: what {what_came(facts)} brought stands as it should."


WORDS: Final[Mapping[str, Mapping[str, Words]]] = {DECIDE: {AMENDED: _amended, NOTHING: _nothing}}
