"""Words for corrections of events that came with wrong content."""

from collections.abc import Mapping
from typing import Final

from worker.domain.decisions import Fact, Facts, Subject
from worker.domain.rules.replaces import NOTHING, REPLACE, REPLACED
from worker.domain.rules.spends import SPEND
from worker.words.operators import Words
from worker.words.phrases import agreeing, charged_again, connects, graced, not_there, on_day
from worker.words.voids import WHAT, the_event

_WHAT: Final[Mapping[str, str]] = {**WHAT, SPEND: "proposal"}


def _the_event(facts: Facts) -> str:
    """`purchase b-1 of 3 March 2026`."""
    return the_event(facts, _WHAT, "replaced_rule")


def _why(facts: Facts) -> str:
    """`purchase b-1 of 3 March 2026 was for 12 Connects, not 10`; a proposal cost them."""
    right, was = facts.get("connects"), facts.get("was")
    verb = "cost" if facts.get("replaced_rule") == SPEND else "was for"
    if right == was:
        return f"{_the_event(facts)} came with wrong content, and {verb} {connects(right)} all the same."
    return f"{_the_event(facts)} {verb} {connects(right)}, not {was}."


def _replaced(_outcome: str, _subject: Subject, facts: Facts) -> str:
    words = f"{_moved(facts)}{on_day(facts, 'corrected_at')}, as a correction: {_why(facts)}"
    words = f"{words}{charged_again(facts)}{not_there(facts)}"
    if gone := facts.get("gone"):
        words = f"{words} {connects(gone)} of the difference had expired, and {agreeing(gone, 'is', 'are')} not taken."
    if debt := facts.get("debt"):
        words = f"{words} {connects(debt)} {agreeing(debt, 'was', 'were')} not there: the wallet owes that many."
    return f"{words}{graced(facts)}"


def _moved(facts: Facts) -> str:
    """What is given, taken or charged; nothing, if what differs has no effect on the balance now."""
    given, taken, charged = (_some(facts.get(name)) for name in ("given", "taken", "charged"))
    if given and charged:
        return f"{connects(given)} returned and {connects(charged)} charged"
    if given:
        return f"{connects(given)} {'returned' if facts.get('replaced_rule') == SPEND else 'added'}"
    if charged:
        return f"{connects(charged)} charged"
    return f"{connects(taken)} taken back" if taken else "Nothing added or taken"


def _some(count: Fact) -> int:
    return count if isinstance(count, int) else 0


def _nothing(_outcome: str, _subject: Subject, facts: Facts) -> str:
    return f"Nothing to correct: {_the_event(facts)} was voided before."


WORDS: Final[Mapping[str, Mapping[str, Words]]] = {REPLACE: {REPLACED: _replaced, NOTHING: _nothing}}
