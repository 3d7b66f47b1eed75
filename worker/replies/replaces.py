"""Replies about what came with wrong content: a correction booked what differs by the right one."""

from typing import Final

from worker.domain.rules.replaces import NOTHING, REPLACE, REPLACED
from worker.domain.rules.spends import SPEND
from worker.replies.reply import Draft
from worker.replies.voids import balance_now, what_it_was
from worker.replies.writing import About, Replies, sentences
from worker.words.phrases import agreeing, connects

_NUMBERS: Final = ("given", "taken", "charged", "shortfall", "debt")


def _what(about: About) -> str:
    return what_it_was(about, "replaced_rule")


def _why(about: About) -> str:
    """What is right, and what had been booked: of a purchase how many Connects, of a proposal what it cost."""
    right, was = about.number("connects"), about.number("was")
    verb = "cost" if about.text("replaced_rule") == SPEND else "was for"
    what = _what(about)
    what = what[0].upper() + what[1:]
    if right == was:
        return f"{what} had been reported wrongly; it {verb} {connects(right)} all the same."
    return f"{what} {verb} {connects(right)}, and {was} had been booked."


def _replaced(about: About) -> Draft:
    on = about.day("corrected_at")
    numbers = {name: about.number(name) for name in _NUMBERS if about.has(name)}
    ending = sentences("Nothing more will change because of it.", balance_now(about))
    given, charged = numbers.get("given", 0), numbers.get("charged", 0)
    taken, shortfall = numbers.get("taken", 0) or charged, numbers.get("shortfall", 0)
    why = _why(about)
    if shortfall:
        why = sentences(why, f"{connects(shortfall)} more could not be taken, because you no longer had them.")
    if debt := numbers.get("debt", 0):
        why = sentences(why, f"You owe {connects(debt)} of them.")
    if given and charged:
        headline = f"Nothing changed on balance on {on}: {connects(given)} came back, and as many were charged."
        return Draft("nothing-due", headline, why, ending, numbers=numbers)
    if given:
        return Draft("yes", f"Yes: {connects(given)} came to you on {on}.", why, ending, numbers=numbers)
    if taken:
        headline = f"No: {connects(taken)} {agreeing(taken, 'was', 'were')} taken on {on}."
        return Draft("no", headline, why, ending, numbers=numbers)
    return Draft("nothing-due", f"Nothing was added or taken on {on}.", why, ending, numbers=numbers)


def _nothing(about: About) -> Draft:
    headline = f"Nothing was changed: {_what(about)} had been corrected before."
    return Draft("nothing-due", headline, balance_now(about))


REPLIES: Final[Replies] = {(REPLACE, REPLACED): _replaced, (REPLACE, NOTHING): _nothing}
