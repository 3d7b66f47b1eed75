"""Words for corrections of what should never have been."""

from collections.abc import Mapping
from typing import Final

from worker.domain.decisions import Facts, Subject
from worker.domain.rules import grants
from worker.domain.rules.spends import SPEND
from worker.domain.rules.voids import NOTHING, VOID, VOIDED
from worker.words.operators import Words
from worker.words.phrases import charged_again, connects, graced, named, not_there, of_day, on_day

NAMED_BY: Final[Mapping[str, str]] = {
    grants.REGISTRATION: "",
    grants.BADGE: "badge",
    grants.CERTIFICATION: "certification_id",
    grants.INTERVIEW: "job_id",
    grants.PURCHASE: "purchase_id",
    grants.ADJUST: "adjustment_id",
    SPEND: "proposal_id",
    "job-closed": "job_id",
    "hire-made": "job_id",
    "proposal-withdrawn": "proposal_id",
    "boost-outbid": "proposal_id",
}
"""The fact that names what was decided under each rule, or by an event of each topic; else the event names it."""
WHAT: Final[Mapping[str, str]] = {
    grants.REGISTRATION: "the grant for registering",
    grants.BADGE: "the grant for the badge",
    grants.CERTIFICATION: "the grant for the certification",
    grants.INTERVIEW: "the grant for the interview for job",
    grants.PURCHASE: "purchase",
    grants.ADJUST: "adjustment",
    SPEND: "the charge for proposal",
    "job-closed": "the closing of job",
    "hire-made": "the hire for job",
    "proposal-withdrawn": "the withdrawal of proposal",
    "boost-outbid": "the outbid of the boost of proposal",
}
"""What was decided under each rule, or noted by an event of each topic."""


def the_event(facts: Facts, what: Mapping[str, str] = WHAT, under: str = "voided_rule") -> str:
    """What is corrected, with its name and its day; the fact `under` is its rule."""
    rule = str(facts.get("voided_topic", facts.get(under)))
    return f"{what.get(rule, 'an event')}{named(facts, NAMED_BY.get(rule, 'event_id'))}{of_day(facts, 'occurred_at')}"


def _voided(_outcome: str, _subject: Subject, facts: Facts) -> str:
    why = f"{the_event(facts)} should not have been booked."
    on = on_day(facts, "corrected_at")
    if "voided_topic" in facts:
        whose = "the proposal" if "proposal_id" in facts else "proposals for the job"
        return f"Taken out{on}, as a correction: {why} What {whose} got or lost by it is settled again."
    if "given" in facts:
        return f"{connects(facts['given'])} returned{on}, as a correction: {why}{graced(facts)}"
    taken = facts.get("taken")
    if not taken:
        words = f"Nothing taken back{on}, as a correction: {why} Nothing is left of it."
    else:
        words = f"{connects(taken)} taken back{on}, as a correction: {why}"
    never = " The membership that began with it counts as never begun." if "cycle_start" in facts else ""
    return f"{words}{charged_again(facts)}{not_there(facts)}{never}"


def _nothing(_outcome: str, _subject: Subject, facts: Facts) -> str:
    return f"Nothing to correct: {the_event(facts)} was corrected before."


WORDS: Final[Mapping[str, Mapping[str, Words]]] = {VOID: {VOIDED: _voided, NOTHING: _nothing}}
