"""The reply about one proposal: the spend, its boost and what came of both are one answer."""

from typing import Final

from worker.replies.decides import amended_in_short
from worker.replies.kept import kept
from worker.replies.known import Applied, Known
from worker.replies.outcomes import amendments_of, outcome_of
from worker.replies.reply import Draft
from worker.replies.returned import came_back, cost_nothing
from worker.replies.undecided import being_decided, still_open
from worker.replies.writing import About, grounds, sentences


def about_proposal(applied: Applied, known: Known) -> Draft:
    """The answer to: did my Connects for this proposal come back?"""
    outcome = outcome_of(applied, known)
    draft = _BY_STATE[outcome.state](applied, outcome, known)
    numbers = draft.numbers or {**outcome.numbers, "base": applied.base, "boost": applied.boost}
    agent = f"freelancer {applied.freelancer_id}, proposal {applied.proposal_id}, job {applied.job_id}"
    rests_on = [] if outcome.decision is None else [grounds(outcome.decision, outcome.decision.kind)]
    corrected = amendments_of(known.about(applied.proposal_id))
    draft = draft._replace(then=sentences(draft.then, *(amended_in_short(About(one, known)) for one in corrected)))
    # Who ordered a correction, and why, is the house's own affair.
    ordered = [one.explanation for one in corrected]
    return draft._replace(numbers=numbers, agent_only=[agent, *rests_on, *draft.agent_only, *ordered])


_BY_STATE: Final = {
    "free": cost_nothing,
    "back": came_back,
    "kept": kept,
    "open": still_open,
    "deciding": being_decided,
}
