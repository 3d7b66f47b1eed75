"""Finding decisions by whom and what they name: a row for each name by which no other table leads to the decision.

Most decisions are found without one, by indexes that are there for other reasons: a wallet's changes, a job's spends and
closures, a closure's settlements. An index of all names on `decisions` would cost more than all else that is written.
"""

from collections.abc import Callable
from typing import Final

from worker.domain.decisions import Decision
from worker.ledger.store import Row

FOR_OPERATORS: Final = frozenset({"hire-after-settlement", "paid-after-lapse"})
"""Reasons of decisions that operators should look at themselves: rare, and listed by `connects status`."""
OPERATORS: Final = "operators"

_BY_SPEND: Final = frozenset({"proposal-submitted", "free-from-invitation", "cost-nothing"})
"""Reasons under which a proposal-submitted is kept as a spend."""
_BY_CLOSURE: Final = "settlement-pending"


def of_freelancer(freelancer_id: str) -> str:
    """The key of decisions that name a freelancer and did not change the wallet."""
    return f"f:{freelancer_id}"


def of_job(job_id: str) -> str:
    """The key of decisions on a job that are no spend, closure or settlement."""
    return f"j:{job_id}"


def of_proposal(proposal_id: str) -> str:
    """The key of decisions on a proposal other than its spend and its settlements."""
    return f"p:{proposal_id}"


def of_event(event_id: str) -> str:
    """The key of repeats, conflicts and rejected records that carry an event id: `seen_events` knows the first alone."""
    return f"e:{event_id}"


def of_followed(seq: int) -> str:
    """The key of what follows a decision."""
    return f"s:{seq}"


def mention(decision: Decision, add: Callable[[Row], None]) -> None:
    """Add a (key, seq) for each name by which nothing else leads to the decision."""
    seq, subject = decision.seq, decision.subject
    freelancer_id = subject.freelancer_id
    if freelancer_id is not None and not any(change.freelancer_id == freelancer_id for change in decision.changes):
        add((f"f:{freelancer_id}", seq))
    if decision.kind != "settlement":
        is_spend = decision.reason in _BY_SPEND and decision.cause.topic == "proposal-submitted"
        if subject.job_id is not None and not is_spend and decision.reason != _BY_CLOSURE:
            add((f"j:{subject.job_id}", seq))
        if subject.proposal_id is not None and not is_spend:
            add((f"p:{subject.proposal_id}", seq))
        if decision.follows is not None:
            add((f"s:{decision.follows}", seq))
        if decision.outcome in {"duplicate", "rejected"} and decision.cause.event_id is not None:
            add((f"e:{decision.cause.event_id}", seq))
    if decision.reason in FOR_OPERATORS:
        add((OPERATORS, seq))
