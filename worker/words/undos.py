"""Words for what was undone: a correction, or an event that a plan had added."""

from collections.abc import Mapping
from typing import Final

from worker.domain.decisions import Facts, Subject
from worker.domain.rules.undos import NOTHING, UNDO, UNDONE
from worker.words.decides import what_came
from worker.words.operators import Words
from worker.words.phrases import charged_again, connects, graced, not_there, on_day
from worker.words.voids import the_event


def _why(facts: Facts) -> str:
    """What was undone, and of which day it was."""
    on = on_day(facts, "ordered_at")
    what = the_event(facts)
    match facts.get("undone"):
        case "add":
            return f"{what} was added{on}, and should not have been."
        case "settle":
            return f"proposal {facts.get('proposal_id')} was settled again{on}, and should not have been."
        case "decide":
            stood, stands = facts.get("stood"), facts.get("connects")
            return f"what {what_came(facts)} brought was corrected{on} from {stands} to {connects(stood)}."
        case "replace":
            worth = facts.get("connects")
            signed = f"{worth:+}" if isinstance(worth, int) and worth < 0 else worth
            return f"{what} was given other content{on}, and counts again with that which it had, {signed} Connects."
        case _:
            return f"{what} was taken out{on}, and counts again."


def _undone(_outcome: str, _subject: Subject, facts: Facts) -> str:
    on, given, taken = on_day(facts, "corrected_at"), facts.get("given"), facts.get("taken")
    moved = [f"{connects(amount)} {how}" for amount, how in ((given, "returned"), (taken, "taken back")) if amount]
    words = f"{' and '.join(moved) or 'Nothing booked'}{on}, as a correction is undone: {_why(facts)}"
    if gone := facts.get("gone"):
        words = f"{words} {connects(gone)} of it had expired already."
    return f"{words}{charged_again(facts)}{not_there(facts)}{graced(facts)}{_membership(facts)}"


def _membership(facts: Facts) -> str:
    """What becomes of the membership that a registration began."""
    if "cycle_start" not in facts:
        return ""
    if facts.get("undone") == "add":
        return " The membership that began with it counts as never begun."
    return " The membership goes on as it had begun."


def _nothing(_outcome: str, _subject: Subject, facts: Facts) -> str:
    return f"Nothing to undo: what was corrected{on_day(facts, 'ordered_at')} changed since, or was undone before."


WORDS: Final[Mapping[str, Mapping[str, Words]]] = {UNDO: {UNDONE: _undone, NOTHING: _nothing}}
