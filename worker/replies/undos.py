"""Replies about what was undone: a correction, or an event that a plan had added."""

from typing import Final, cast

from worker.domain.decisions import Facts
from worker.domain.rules.undos import NOTHING, UNDO, UNDONE
from worker.replies.reply import Draft, Verdict
from worker.replies.voids import balance_now, what_it_was
from worker.replies.writing import About, Replies, sentences
from worker.words.decides import what_came
from worker.words.phrases import agreeing, connects


def _undone(about: About) -> Draft:
    on, ordered = about.day("corrected_at"), about.day("ordered_at")
    names = ("given", "taken", "gone", "shortfall", "charged_again")
    numbers = {name: about.number(name) for name in names if about.has(name)}
    given, taken = numbers.get("given", 0), numbers.get("taken", 0)
    came, was_taken = f"{connects(given)} came back to you", f"{connects(taken)} {agreeing(taken, 'was', 'were')} taken"
    verdict: Verdict
    if given and taken:
        verdict, headline = "partly", f"Partly: {came}, and {was_taken} back on {on}."
    elif given:
        verdict, headline = "yes", f"Yes: {came} on {on}."
    elif taken:
        verdict, headline = "no", f"No: {was_taken} back on {on}."
    else:
        verdict, headline = "nothing-due", f"Nothing was changed in your balance on {on}."
    shortfall = gone = ""
    if expired := numbers.get("gone"):
        gone = f"{connects(expired)} of it had expired already."
    if missing := numbers.get("shortfall"):
        shortfall = f"{connects(missing)} more could not be taken, because you no longer had them."
    had = "added" if about.text("undone") == "add" else "corrected"
    why = sentences(f"We had {had} {_what(about)} on {ordered}, and undid that.", gone, shortfall)
    later = "Nothing more will change because of it."
    if about.text("undone") in {"settle", "spend"}:
        later = "What comes back of this proposal is decided when its job is closed, as for any other."
    if about.has("cycle_start") and about.text("undone") == "void":
        later = "Your membership goes on as it had begun."
    return Draft(verdict, headline, why, sentences(later, balance_now(about)), numbers=numbers)


def _what(about: About) -> str:
    if about.text("undone") == "decide":
        return f"what {what_came(cast('Facts', about.decision.facts))} brought"
    if about.text("undone") == "settle":
        return f"what came back of your proposal {about.text('proposal_id')}"
    return what_it_was(about)


def _nothing(about: About) -> Draft:
    return Draft("nothing-due", f"Nothing was changed: {_what(about)} had changed since.", balance_now(about))


REPLIES: Final[Replies] = {(UNDO, UNDONE): _undone, (UNDO, NOTHING): _nothing}
