"""Words for what proposals cost."""

from collections.abc import Mapping
from typing import Final

from worker.domain.decisions import Facts, Subject
from worker.words.operators import Words
from worker.words.phrases import connects, on_day, the_job, the_proposal
from worker.words.shared import cost_nothing, free_from_invitation, insufficient_balance


def _proposal_submitted(_outcome: str, subject: Subject, facts: Facts) -> str:
    base, boost, debt = facts.get("base"), facts.get("boost"), facts.get("debt")
    if type(base) is not int or type(boost) is not int:
        return f"Connects spent on {the_proposal(subject)} for {the_job(subject)}."
    total = base + boost
    unit = "Connect" if total == 1 else "Connects"
    words = f"{total} {unit} spent on proposal {subject.proposal_id} for job {subject.job_id}"
    if boost:
        words = f"{words}: {base} for the proposal and {boost} for its boost"
    if debt:
        return f"{words}. {debt} of them were not in the wallet: the next Connects that come in pay for them first."
    return words + "."


def _already_spent(_outcome: str, subject: Subject, facts: Facts) -> str:
    return (
        f"Nothing spent again: {the_proposal(subject)} was submitted{on_day(facts, 'spent_at')} already, "
        f"for {connects(facts.get('connects'))}."
    )


WORDS: Final[Mapping[str, Mapping[str, Words]]] = {
    "spend.proposal": {
        "proposal-submitted": _proposal_submitted,
        "already-spent": _already_spent,
        "insufficient-balance": insufficient_balance,
        "free-from-invitation": free_from_invitation,
        "cost-nothing": cost_nothing,
    },
}
