"""Replies about amounts that were corrected: a decision gave more or less than it should have."""

from typing import Final, cast

from worker.domain.decisions import Facts
from worker.domain.rules.decides import AMENDED, DECIDE, NOTHING
from worker.replies.reply import Draft
from worker.replies.voids import balance_now
from worker.replies.writing import About, Replies, sentences
from worker.words.decides import came, what_came
from worker.words.phrases import agreeing, connects

_NUMBERS: Final = ("given", "taken", "gone", "shortfall", "set_off")


def _amended(about: About) -> Draft:
    on = about.day("corrected_at")
    numbers = {name: about.number(name) for name in _NUMBERS if about.has(name)}
    ending = sentences("Nothing more will change because of it.", balance_now(about))
    what = came(_facts(about))
    why = f"{what[0].upper()}{what[1:]}."
    if set_off := numbers.get("set_off"):
        why = f"{why} {connects(set_off)} of the difference had not been taken back from you before."
    if given := numbers.get("given"):
        return Draft("yes", f"Yes: {connects(given)} were added for you on {on}.", why, ending, numbers=numbers)
    if set_off:
        return Draft("nothing-due", f"Nothing was added for you on {on}.", why, ending, numbers=numbers)
    if gone := numbers.get("gone"):
        why = f"{why} {connects(gone)} of it had expired already."
    if missing := numbers.get("shortfall"):
        why = f"{why} {connects(missing)} more could not be taken, because you no longer had them."
    taken = numbers.get("taken", 0)
    if not taken:
        return Draft("nothing-due", f"Nothing was taken back from you on {on}.", why, ending, numbers=numbers)
    headline = f"No: {connects(taken)} {agreeing(taken, 'was', 'were')} taken back on {on}."
    return Draft("no", headline, why, ending, numbers=numbers)


def _nothing(about: About) -> Draft:
    return Draft(
        "nothing-due",
        f"Nothing was changed: what {what_came(_facts(about))} brought stands as it should.",
        balance_now(about),
    )


def _facts(about: About) -> Facts:
    return cast("Facts", about.decision.facts)


REPLIES: Final[Replies] = {(DECIDE, AMENDED): _amended, (DECIDE, NOTHING): _nothing}
