"""Replies about proposals that took nothing, and about the spend alone, where nothing else is known of it."""

from typing import Final

from worker.replies.outcomes import counted_once
from worker.replies.reply import Draft, Next
from worker.replies.writing import About, Replies, all_of, are, come, first_up
from worker.words.phrases import connects


def _spend_declined(about: About) -> Draft:
    n, had = about.number("connects"), about.number("drawable")
    return Draft(
        "no",
        f"No: your proposal for {about.job} of {about.on} needs {connects(n)}, and you had {had}.",
        "Nothing was taken.",
        "With enough Connects, a new proposal can be sent.",
        numbers={"spent": 0, "back": 0, "kept": 0, "open": 0},
        topics=["order"],
    )


def _spent_once(about: About) -> Draft:
    n, on = about.number("connects"), about.day("spent_at")
    wanted = about.decision.subject.get("proposal_id")
    applied = next((one for one in about.known.applied if one.proposal_id == wanted), None)
    return Draft(
        "nothing-due",
        f"You paid once: {connects(n)} on {on} for your proposal for {about.job}.",
        "It was reported a second time, and that took nothing.",
        numbers={} if applied is None else counted_once(n, applied, about.known),
        topics=["charged-twice"],
    )


def _free(about: About) -> Draft:
    return Draft(
        "nothing-due",
        f"Nothing to return: your proposal for {about.job} of {about.on} cost 0 Connects.",
        "An invitation is answered for free."
        if about.decision.reason == "free-from-invitation"
        else "You paid nothing.",
    )


def _spent(about: About) -> Draft:
    n = about.number("base") + about.number("boost")
    return Draft(
        "not-yet",
        f"Not yet: your {connects(n)} for {about.job} of {about.on} {are(n)} spent.",
        "Only the end of the job decides whether they come back.",
        f"{first_up(all_of(n))} {come(n)} back if the client closes it without hiring anyone, or the marketplace "
        "removes it with nobody hired.",
        numbers={"spent": n, "back": 0, "kept": 0, "open": n},
        ahead=[Next(None, "client-closes", n), Next(None, "removed", n)],
    )


REPLIES: Final[Replies] = {
    ("spend.proposal", "proposal-submitted"): _spent,
    ("spend.proposal", "insufficient-balance"): _spend_declined,
    ("spend.proposal", "already-spent"): _spent_once,
    ("spend.proposal", "free-from-invitation"): _free,
    ("spend.proposal", "cost-nothing"): _free,
}
