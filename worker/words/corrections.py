"""Words for corrections, which operators ordered after an incident: the day, the amount, and what was wrong."""

from collections.abc import Mapping
from typing import Final

from worker.domain.decisions import Facts, Subject
from worker.words.operators import Words
from worker.words.phrases import agreeing, connects, graced, how_it_closed, on_day, the_job, the_proposal


def _settled_anew(_outcome: str, subject: Subject, facts: Facts) -> str:
    words = f"{connects(facts.get('connects'))} returned{on_day(facts, 'corrected_at')}, as a correction: "
    had_not = f"the Connects of {the_proposal(subject)} had not come back"
    if "closure" in facts:
        why = f"{the_job(subject)} {how_it_closed(facts)}{on_day(facts, 'closed_at')}, and {had_not}."
    else:
        why = f"the boost of {the_proposal(subject)} for {the_job(subject)} was outbid, and had not come back."
    return f"{words}{why}{graced(facts)}"


def _taken_back(_outcome: str, subject: Subject, facts: Facts) -> str:
    words = f"{connects(facts.get('connects'))} taken back{on_day(facts, 'corrected_at')}, as a correction: "
    if "not_outbid" in facts:
        boost = f"the boost of {the_proposal(subject)} for {the_job(subject)}"
        why = f"{boost} had come back for an outbid that never was, and nothing else returns it."
    elif "hired_at" in facts:
        why = f"somebody had been hired for {the_job(subject)}{on_day(facts, 'hired_at')}, before it was closed."
    elif "withdrawn_at" in facts:
        withdrawn = f"{the_proposal(subject)} had been withdrawn{on_day(facts, 'withdrawn_at')}"
        why = f"{withdrawn}, before {the_job(subject)} was closed."
    else:
        why = f"no closing of {the_job(subject)} returns the Connects of {the_proposal(subject)}."
    if debt := facts.get("debt"):
        return f"{words}{why} {debt} of them {agreeing(debt, 'was', 'were')} not there: the wallet owes that many."
    return f"{words}{why}"


def _nothing_to_do(_outcome: str, subject: Subject, _facts: Facts) -> str:
    return f"Nothing to correct: what came back of {the_proposal(subject)} is what is known of {the_job(subject)} now."


WORDS: Final[Mapping[str, Mapping[str, Words]]] = {
    "correct.settle": {
        "settled-anew": _settled_anew,
        "taken-back": _taken_back,
        "nothing-to-do": _nothing_to_do,
    },
}
