"""Applying undos as they were recorded, where today's rules decide otherwise (following.py)."""

from collections.abc import Sequence

from worker.domain.model import Grant, Job, JobId, ProposalId, Spend, SpendLine
from worker.domain.rules.cycles import begin_again, forget_beginning
from worker.domain.rules.undone import (
    ToUndo,
    UndoneAdd,
    UndoneForgetting,
    UndoneSettle,
    UndoneSpendVoid,
    UndoneTold,
    UndoneVoid,
)
from worker.domain.rules.undos import UNDO, count_again, let_count, spend_of
from worker.domain.rules.voids import ToVoid, forget_told
from worker.domain.state import State
from worker.ledger.tables import DecisionRow
from worker.repair.plan import Undo, correction_in


def undone_by(row: DecisionRow) -> ToUndo | None:
    """What a decision undid, as its payload has it; None: it is no undo that was applied."""
    if row.rule != UNDO or row.outcome != "applied" or not row.payload:
        return None
    correction = correction_in(row.payload)
    return correction.found if isinstance(correction, Undo) else None


def lines_given_back(spend: Spend, undone: ToUndo, delta: int) -> Sequence[SpendLine]:
    """The lines that a change of an undo returned, of those that were open."""
    what = undone.what
    if isinstance(what, UndoneAdd):
        return spend.open_lines
    if isinstance(what, UndoneSettle) and delta > 0:
        return [line for line in spend.open_lines if line.name in what.give]
    return ()


def restore_spend(state: State, undone: ToUndo, what: UndoneSpendVoid) -> None:
    """Have a spend that was voided among those of its job again; its lines are charged by movements."""
    spend = spend_of(undone, what)
    if spend.proposal_id in state.spends:
        return
    state.restore_spend(spend, what.place)
    state.job(spend.job_id).proposal_ids.sort(key=lambda name: state.spends[name].decision_seq)
    let_count(state, spend)


def note_undone(state: State, row: DecisionRow) -> None:
    """Note what an undo let count again, or no longer, beside what it moved."""
    undone = undone_by(row)
    what = None if undone is None else undone.what
    if undone is None or what is None:
        return
    if isinstance(what, UndoneAdd):
        free(state, what.what, row.seq)
    elif isinstance(what, UndoneVoid):
        granted = (undone.freelancer_id, what.granted_at, what.connects, what.decision_seq)
        state.restore_grant(Grant(what.rule, what.natural_key, *granted, voided=what.voided))
        if what.cycle is not None:
            begin_again(state, state.membership(undone.freelancer_id), *what.cycle)
    elif isinstance(what, UndoneForgetting):
        job = state.job(JobId(undone.job_id or ""))
        if what.hired_at is not None:
            job.first_hired_at = min(at for at in (job.first_hired_at, what.hired_at) if at is not None)
        _mark(job, what.closure_seq, voided=False)
    elif isinstance(what, UndoneTold):
        count_again(state, what)
    elif isinstance(what, UndoneSettle) and undone.proposal_id in state.spends:
        state.spends[undone.proposal_id].refunded_closing_at = what.refunded_closing_at


def free(state: State, found: ToVoid, seq: int) -> None:
    """Let a grant or spend be there no more: its natural key is free, and what named the proposal waits again."""
    if found.is_of_job:
        job = state.job(JobId(found.job_id or ""))
        if found.topic == "hire-made":
            job.first_hired_at = found.hired_at
        _mark(job, found.closure_seq, voided=True)
        return
    if found.is_of_proposal:
        forget_told(state, found)
        return
    grant = state.grants.get((found.rule, found.natural_key))
    spend = state.spends.get(ProposalId(found.natural_key)) if found.is_spend else None
    if spend is not None:
        state.void_spend(spend, found.rule, seq)
        for awaited in found.awaited:
            state.await_proposal(awaited)
    elif grant is not None and grant.stands:
        state.void_grant(grant, seq, found.job_id)
        if found.cycle is not None:
            forget_beginning(state, state.membership(found.freelancer_id))


def _mark(job: Job, closure_seq: int | None, *, voided: bool) -> None:
    for closure in job.closures:
        if closure.decision_seq == closure_seq:
            closure.voided = voided
