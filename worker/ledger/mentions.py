"""Finding decisions by whom and what they name: a row for each name by which no other table leads to the decision.

Most decisions are found without one, by indexes that are there for other reasons: a wallet's changes, a job's spends
and closures, a closure's settlements. An index of all names on `decisions` would cost more than all else written.
"""

from collections.abc import Callable, Sequence
from typing import Final

from worker.domain.decisions import Change, Decision
from worker.domain.model import FreelancerId, ProposalId
from worker.domain.rule_catalogue import FOUND_BY, REASONS
from worker.domain.rules.refunds import CLAW_BACK
from worker.ledger.tables import MentionRow

FOR_OPERATORS: Final = frozenset(reason for (_, reason), how in FOUND_BY.items() if how == "operators")
"""Reasons of decisions that operators should look at themselves: rare, and listed by `connects status`."""
OPERATORS: Final = "operators"
_OF_CLAW_BACKS: Final = REASONS[CLAW_BACK]


def mention(decision: Decision, add: Callable[[MentionRow], None]) -> None:
    """Add a (key, seq) for each name by which nothing else leads to the decision.

    Keys: `f:<freelancer>` whose wallet it did not change, `j:<job>` and `p:<proposal>` if it is no spend, closure or
    settlement, `p:<proposal>` whose refund it took back, `e:<event id>` of repeats, rejected records, released clock
    work and corrected events, `s:<seq>` of the decision that it follows, `operators`.
    """
    seq, changes = decision.seq, decision.changes
    freelancer_id, job_id, proposal_id = decision.subject
    if freelancer_id is not None and not _changes_wallet_of(freelancer_id, changes):
        add(MentionRow(f"f:{freelancer_id}", seq))
    if decision.kind != "settlement":
        found_by = None if job_id is None else FOUND_BY.get((decision.cause.topic, decision.reason))
        if job_id is not None and found_by != "spend":
            if found_by != "closure":
                add(MentionRow(f"j:{job_id}", seq))
            if proposal_id is not None:
                add(MentionRow(f"p:{proposal_id}", seq))
        if decision.follows is not None:
            add(MentionRow(f"s:{decision.follows}", seq))
        for event_id in _event_ids(decision):
            add(MentionRow(f"e:{event_id}", seq))
    if decision.reason in FOR_OPERATORS:
        add(MentionRow(OPERATORS, seq))
        for taken_from in sorted(_clawed_back(decision) - {proposal_id}):
            add(MentionRow(f"p:{taken_from}", seq))


def _changes_wallet_of(freelancer_id: FreelancerId, changes: Sequence[Change]) -> bool:
    for change in changes:  # noqa: SIM110 - `any` takes three times as long, and all but a few have one change
        if change.freelancer_id == freelancer_id:
            return True
    return False


def _clawed_back(decision: Decision) -> set[ProposalId]:
    """The proposals whose refund a hire took back, of which it names one at most. Their freelancers have changes."""
    if decision.reason not in _OF_CLAW_BACKS:
        return set()
    return {moved.line.proposal_id for change in decision.changes for moved in change.movements if moved.line}


def _event_ids(decision: Decision) -> Sequence[str]:
    """The event ids that lead to it by nothing else: those that it corrects, or its own."""
    event_id = decision.cause.event_id
    return [event_id] if event_id is not None and _is_hard_to_find(decision) else decision.corrects


def _is_hard_to_find(decision: Decision) -> bool:
    """Whether its event id leads nowhere: of a repeat, of a rejected record, of the clock's work that was parked."""
    if decision.cause.topic is None:
        return decision.outcome == "parked" or decision.kind == "follow-up"
    return decision.outcome in {"duplicate", "rejected"}
