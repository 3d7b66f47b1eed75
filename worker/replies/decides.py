"""Replies about amounts that were corrected: a decision gave more or less than it should have."""

from collections.abc import Iterator, Mapping
from typing import Final, cast

from worker.domain.decisions import Facts
from worker.domain.rules.decides import AMENDED, DECIDE, NOTHING
from worker.replies.reply import Draft, Verdict
from worker.replies.voids import balance_now
from worker.replies.writing import About, Replies, first_up, sentences
from worker.words.decides import came, what_came
from worker.words.phrases import agreeing, connects

_NUMBERS: Final = ("given", "taken", "gone", "shortfall", "set_off")


_BEGINS: Final[Mapping[Verdict, str]] = {"yes": "Yes: ", "no": "No: ", "nothing-due": ""}


def _amended(about: About) -> Draft:
    verdict, done = _done(about)
    why = sentences(_came(about), *_why_not_all(about))
    ending = sentences("Nothing more will change because of it.", balance_now(about))
    return Draft(verdict, f"{_BEGINS[verdict]}{done}", why, ending, numbers=_numbers(about))


def amended_in_short(about: About) -> str:
    """What a corrected amount had been and should have been, and what was done: for the reply about a proposal."""
    return sentences(_came(about), _done(about)[1], *_why_not_all(about))


def _numbers(about: About) -> dict[str, int]:
    return {name: about.number(name) for name in _NUMBERS if about.has(name)}


def _came(about: About) -> str:
    return f"{first_up(came(_facts(about)))}."


def _done(about: About) -> tuple[Verdict, str]:
    numbers, on = _numbers(about), about.day("corrected_at")
    if given := numbers.get("given"):
        return "yes", f"{connects(given)} {agreeing(given, 'was', 'were')} added for you on {on}."
    if numbers.get("set_off"):
        return "nothing-due", f"Nothing was added for you on {on}."
    if taken := numbers.get("taken"):
        return "no", f"{connects(taken)} {agreeing(taken, 'was', 'were')} taken back on {on}."
    return "nothing-due", f"Nothing was taken back from you on {on}."


def _why_not_all(about: About) -> Iterator[str]:
    """Why less was given or taken than the difference."""
    numbers = _numbers(about)
    if set_off := numbers.get("set_off"):
        yield f"{connects(set_off)} of the difference had not been taken back from you before."
    if set_off or numbers.get("given"):
        return
    if gone := numbers.get("gone"):
        yield f"{connects(gone)} of the difference had expired already."
    if missing := numbers.get("shortfall"):
        yield f"{connects(missing)} more could not be taken, because you no longer had them."


def _nothing(about: About) -> Draft:
    return Draft(
        "nothing-due",
        f"Nothing was changed: what {what_came(_facts(about))} brought stands as it should.",
        balance_now(about),
    )


def _facts(about: About) -> Facts:
    return cast("Facts", about.decision.facts)


REPLIES: Final[Replies] = {(DECIDE, AMENDED): _amended, (DECIDE, NOTHING): _nothing}
