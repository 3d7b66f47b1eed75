"""Taking back what was decided again, where the record says otherwise: the state is as it was before the trigger.

Memberships are not taken back, but for whether they have begun, by corrections of registrations: where a decision about
one differs, it cannot be executed any further (following.py).
"""

from bisect import insort
from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from worker.domain.decisions import Change, Decision
from worker.domain.model import Closure, Grant, InterviewGrant, Job, Lot, LotId, ProposalId, Spend, Wallet, freed_grant
from worker.domain.state import State
from worker.proof.wallets import copy_of, drop_lot, drop_owing, put_lot, put_owing, restore


class Before(msgspec.Struct, gc=False):
    """What movements do not say: the spends that a trigger is about, and its job, as they were before it."""

    seq: int
    """The first place in ledger order that the trigger's decisions get: what is newer was made by them."""
    spends: dict[ProposalId, Spend] = msgspec.field(default_factory=dict)
    job: Job | None = None
    first_hired_at: datetime | None = None
    returned_any: Sequence[Closure] = ()
    """The closures of the job that had returned something."""
    closures_voided: Sequence[Closure] = ()
    """Those that had been voided."""
    voided: Grant | None = None
    """The grant that is voided."""


def before(seq: int, spends: Iterable[Spend | None], job: Job | None) -> Before:
    """Note what deciding may change and movements do not say."""
    noted = Before(seq, {spend.proposal_id: copy_of(spend) for spend in spends if spend is not None}, job)
    if job is not None:
        noted.first_hired_at = job.first_hired_at
        if job.closures:
            noted.returned_any = [closure for closure in job.closures if closure.returned_any]
            noted.closures_voided = [closure for closure in job.closures if closure.voided]
    return noted


def undo(state: State, decisions: Sequence[Decision], noted: Before) -> None:
    """Take back everything that these decisions changed of wallets, spends and jobs; `state.changed` is theirs."""
    changed = state.changed
    moved: dict[LotId, tuple[Wallet, Lot]] = {}
    for decision in reversed(decisions):
        for change in reversed(decision.changes):
            _undo_change(state, change, noted, moved)
    for wallet, lot in moved.values():
        put_lot(wallet, lot)
    for lot in changed.new_lots.values():
        drop_lot(state.wallets[lot.freelancer_id], lot)
    for grant in changed.grants:
        del state.grants[grant.rule, grant.natural_key]
        if grant.voided:
            state.grants[grant.rule, grant.natural_key] = freed_grant(grant.rule, grant.natural_key, grant.voided)
        if grant.rule == "grant.interview":
            state.wallets[grant.freelancer_id].interviews.remove(InterviewGrant(grant.occurred_at, grant.connects))
    _undo_void(state, noted)
    for spend in changed.spends.values():
        _undo_spend(state, spend, noted)
    for name, cycle in changed.cycles_before.items():
        membership = state.memberships[name]
        membership.cycle_start, membership.next_renewal = cycle
    _undo_waiting(state)
    _undo_job(noted)


def _undo_change(state: State, change: Change, noted: Before, moved: dict[LotId, tuple[Wallet, Lot]]) -> None:
    wallet, changed = state.wallets[change.freelancer_id], state.changed
    wallet.version -= 1
    wallet.balance -= change.delta
    for lot_id, _, ref, delta in reversed(change.movements):
        lot = None if lot_id is None else changed.lots.get(lot_id)
        if lot is not None and lot.lot_id not in changed.new_lots:
            lot.remaining -= delta
            moved[lot.lot_id] = (wallet, lot)
        if ref is None or ref.proposal_id in noted.spends:
            continue
        spend = state.spends[ref.proposal_id]
        if spend.decision_seq >= noted.seq:
            continue  # it is new, and goes as a whole
        line = spend.base if ref.line == "base" else spend.boost
        if lot_id is None:
            line.debt += delta
        elif delta < 0:
            line.draws.pop()


def _undo_spend(state: State, spend: Spend, noted: Before) -> None:
    """A new spend goes; another one is as it was."""
    wallet = state.wallets[spend.freelancer_id]
    drop_owing(wallet, spend)
    if spend.proposal_id in state.changed.spends_restored:
        del state.spends[spend.proposal_id]
        state.jobs[spend.job_id].proposal_ids.remove(spend.proposal_id)
        return
    known = noted.spends.get(spend.proposal_id)
    if known is None and spend.decision_seq >= noted.seq:
        del state.spends[spend.proposal_id]
        state.jobs[spend.job_id].proposal_ids.remove(spend.proposal_id)
        return
    if known is not None:
        restore(spend, copy_of(known))
    put_owing(wallet, spend)


def _undo_void(state: State, noted: Before) -> None:
    """A grant or spend that was voided is there again."""
    grant = noted.voided
    if grant is not None and any(one.decision_seq == grant.decision_seq for one in state.changed.voided):
        state.grants[grant.rule, grant.natural_key] = grant
        if grant.rule == "grant.interview":
            granted = InterviewGrant(grant.occurred_at, grant.connects)
            insort(state.wallets[grant.freelancer_id].interviews, granted)
    for one in state.changed.grants_restored:
        state.grants[one.rule, one.natural_key] = freed_grant(one.rule, one.natural_key, one.voided + 1)
        if one.rule == "grant.interview":
            state.wallets[one.freelancer_id].interviews.remove(InterviewGrant(one.occurred_at, one.connects))
    for spend in state.changed.spends_voided:
        state.spends[spend.proposal_id] = spend
        state.absent_spends.discard(spend.proposal_id)
        names = state.jobs[spend.job_id].proposal_ids
        insort(names, spend.proposal_id, key=lambda name: state.spends[name].decision_seq)
        _undo_spend(state, spend, noted)


def _undo_waiting(state: State) -> None:
    for told in state.changed.awaiting_added:
        state.awaiting[told.proposal_id].remove(told)
    for told in state.changed.awaiting_done:
        state.awaiting.setdefault(told.proposal_id, []).append(told)


def _undo_job(noted: Before) -> None:
    job = noted.job
    if job is None:
        return
    job.first_hired_at = noted.first_hired_at
    job.closures = [closure for closure in job.closures if closure.decision_seq < noted.seq]
    for closure in job.closures:
        closure.returned_any = closure in noted.returned_any
        closure.voided = closure in noted.closures_voided
