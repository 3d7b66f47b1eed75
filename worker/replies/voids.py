"""Replies about what was voided: it should never have been, and a correction took back what it still did."""

from collections.abc import Mapping
from typing import Final

from worker.domain.rules import grants
from worker.domain.rules.spends import SPEND
from worker.domain.rules.voids import NOTHING, VOID, VOIDED
from worker.replies.reply import Draft
from worker.replies.writing import About, Replies, sentences
from worker.words.phrases import agreeing, connects
from worker.words.voids import NAMED_BY

_WHAT: Final[Mapping[str, str]] = {
    grants.REGISTRATION: "your registration",
    grants.BADGE: "your badge",
    grants.CERTIFICATION: "your certification",
    grants.INTERVIEW: "your interview for the job",
    grants.PURCHASE: "your purchase",
    grants.ADJUST: "the change by support",
    SPEND: "your proposal",
    "job-closed": "the closing of job",
    "hire-made": "the hire for job",
    "proposal-withdrawn": "the withdrawal of your proposal",
    "boost-outbid": "the outbid of the boost of your proposal",
}
"""What each is for the person."""


def what_it_was(about: About, under: str = "voided_rule") -> str:
    """`your purchase b-1 of 3 March 2026`; the fact `under` is its rule."""
    rule = about.text("voided_topic") if about.has("voided_topic") else about.text(under)
    by = NAMED_BY.get(rule, "event_id")
    name = f" {about.text(by)}" if by else ""
    return f"{_WHAT.get(rule, 'what happened')}{name} of {about.day('occurred_at')}"


def _voided(about: About) -> Draft:
    on = about.day("corrected_at")
    if about.has("voided_topic"):
        if about.has("proposal_id"):
            headline = f"Nothing counts any more of {what_it_was(about)}: it was taken out on {on}."
            return Draft("nothing-due", headline, "What your proposal got or lost by it is settled again.")
        why = "What proposals for the job got or lost by it is settled again, each by itself."
        headline = f"{what_it_was(about)} was taken out on {on}: it had counted by mistake."
        return Draft("nothing-due", headline[0].upper() + headline[1:], why)
    numbers = {name: about.number(name) for name in ("given", "taken", "shortfall") if about.has(name)}
    later = "Nothing more will change because of it."
    if about.has("cycle_start"):
        later = "Your membership had begun with it, and counts as never begun: it brings no Connects."
    ending = sentences(later, balance_now(about))
    if given := numbers.get("given"):
        why = f"They had been taken for {what_it_was(about)}, by mistake."
        return Draft("yes", f"Yes: {connects(given)} came back to you on {on}.", why, ending, numbers=numbers)
    shortfall = ""
    if missing := numbers.get("shortfall"):
        shortfall = f"{connects(missing)} more could not be taken, because you no longer had them."
    taken = numbers.get("taken", 0)
    if not taken:
        why = sentences(f"They had come with {what_it_was(about)}, by mistake, and none of them was left.", shortfall)
        return Draft("nothing-due", f"Nothing was taken back from you on {on}.", why, ending, numbers=numbers)
    paid = ""
    if about.has("charged_again"):
        again = about.number("charged_again")
        paid = f"{again} of them had paid for proposals, which other Connects of yours pay for now."
    why = sentences(f"They had come with {what_it_was(about)}, by mistake.", paid, shortfall)
    were = agreeing(taken, "was", "were")
    headline = f"No: {connects(taken)} {were} taken back on {on}."
    return Draft("no", headline, why, ending, numbers=numbers)


def _nothing(about: About) -> Draft:
    headline = f"Nothing was changed: {what_it_was(about)} had been corrected before."
    return Draft("nothing-due", headline, balance_now(about))


def balance_now(about: About) -> str:
    """What the person has now; empty if it is about nobody."""
    member = about.known.member
    return "" if member is None else f"You have {connects(member.balance)} now."


REPLIES: Final[Replies] = {(VOID, VOIDED): _voided, (VOID, NOTHING): _nothing}
