"""Applying what was recorded, where it is not what today's rules decide: the next decisions rest on the record.

Everything comes from the movements, the facts and what the decision answers. What the record does not say, a membership
apart from what was published of it, cannot be applied: see `again.py`.
"""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

import msgspec

from schemas.base import InputEvent
from schemas.fields import ClosureKind
from schemas.proposals import ProposalSubmitted
from schemas.reading import InvalidEvent, read_event
from worker.domain.draws import split_draws
from worker.domain.model import (
    BurnOrder,
    Closure,
    Draw,
    FreelancerId,
    Grant,
    Job,
    JobId,
    Lot,
    LotId,
    ProposalId,
    Spend,
    SpendLine,
    Wallet,
    natural_key_of,
)
from worker.domain.rules import corrections, refunds, replaces
from worker.domain.rules.expiry import EXPIRE
from worker.domain.rules.replaces import REPLACE, ToReplace
from worker.domain.rules.spends import lines_of
from worker.domain.rules.undone import UndoneSpendVoid
from worker.domain.rules.undos import UNDO
from worker.domain.rules.voids import VOID
from worker.domain.state import Awaited, State
from worker.ledger.tables import ChangeRow, DecisionRow
from worker.proof.following_undos import free, lines_given_back, note_undone, restore_spend, undone_by
from worker.proof.recorded import Recorded, due_at_of, is_settlement, movements_of
from worker.proof.wallets import drop_owing, known_lot, put_lot, put_owing
from worker.repair.plan import Replace, Void, correction_in

_ABOUT_PROPOSALS: Final = frozenset({"proposal-withdrawn", "boost-outbid"})


class _ClosureFacts(msgspec.Struct):
    closure: ClosureKind
    due_at: datetime


_closure_facts: Final = msgspec.json.Decoder(_ClosureFacts).decode
_read_facts: Final = msgspec.json.Decoder(dict[str, Any]).decode


class DoesNotFollow(Exception):
    """The record contradicts itself: the text says how.

    It becomes a finding where it is caught, in this room, so it is no `WorkerError`.
    """


def follow(state: State, recorded: Recorded, event: InputEvent | None, closure: Closure | None, seq: int) -> None:
    """Apply one recorded decision. `event` is what it answers, `closure` what a settlement settles.

    Raises:
        DoesNotFollow: what it moved is not there, or its sums do not agree.
    """
    row = recorded.row
    spend = _new_spend(state, recorded, event) if row.topic == "proposal-submitted" else None
    undone = undone_by(row)
    if undone is not None and isinstance(undone.what, UndoneSpendVoid):
        restore_spend(state, undone, undone.what)
    if spend is None and row.proposal_id is not None:
        spend = state.spends.get(row.proposal_id)
    _amend(row, spend)
    for change in recorded.changes:
        _Following(state, change, recorded).apply(spend)
        if change.natural_key is not None:
            at = change.occurred_at
            key, _ = natural_key_of(change.natural_key)
            state.keep_grant(Grant(change.rule, key, change.freelancer_id, at, change.delta, seq))
    _note_facts(state, recorded, event, spend, closure)


def _new_spend(state: State, recorded: Recorded, event: InputEvent | None) -> Spend | None:
    """The spend that a proposal made, before anything was drawn for it; None, if it was declined."""
    spend = None if event is None else spend_made(recorded.row, event)
    if spend is not None:
        state.keep_spend(spend)
    return spend


def spend_made(row: DecisionRow, event: InputEvent) -> Spend | None:
    """The spend that this decision on a proposal made, before anything was drawn for it; None, if it was declined."""
    if row.outcome not in {"applied", "recorded"}:
        return None
    named = event.__dict__
    free = row.outcome == "recorded"
    base = SpendLine("base", 0 if free else named["connects"])
    boost = SpendLine("boost", 0 if free else named["boost_connects"])
    at, origin = event.occurred_at, named["origin"]
    names = (ProposalId(named["proposal_id"]), FreelancerId(named["freelancer_id"]), JobId(named["job_id"]))
    return Spend(*names, row.seq, at, origin, base, boost)


def spend_of(row: DecisionRow) -> Spend | None:
    """The same of a decision with its payload; None also if that cannot be read, for it was altered."""
    with suppress(InvalidEvent):
        return spend_made(row, read_event(row.topic or "", row.payload))
    return None


class _Following:
    """One recorded change of one wallet, applied movement by movement."""

    def __init__(self, state: State, change: ChangeRow, recorded: Recorded) -> None:
        self._state, self._change, self._recorded = state, change, recorded
        self._wallet: Wallet = state.wallet(change.freelancer_id)
        self._ended: dict[LotId, Lot] = {}

    def apply(self, spend: Spend | None) -> None:
        change, wallet, movements = self._change, self._wallet, movements_of(self._change)
        where = f"version {change.version} of {change.freelancer_id}"
        if change.version != wallet.version + 1:
            raise DoesNotFollow(f"{where} follows version {wallet.version}")
        if sum(delta for *_, delta in movements) != change.delta:
            raise DoesNotFollow(f"the movements of {where} do not sum to its delta, {change.delta:+}")
        if wallet.balance + change.delta != change.balance_after:
            raise DoesNotFollow(
                f"{where} leaves {change.balance_after} Connects; {wallet.balance} {change.delta:+} were to be expected"
            )
        drawn = self._return_lines(spend)
        for lot_id, proposal_id, line, delta in movements:
            self._move(lot_id, proposal_id, line, delta, drawn)
        wallet.version, wallet.balance = change.version, change.balance_after

    def _return_lines(self, spend: Spend | None) -> Sequence[Draw]:
        """Mark the lines that the change returned; gives what they had drawn."""
        drawn = []
        if self._change.rule in {VOID, UNDO} and self._recorded.row.proposal_id is None:
            return self._move_draws()
        if self._change.rule == REPLACE:
            return self._return_parts()
        if spend is None:
            return ()
        for line in self._lines_returned(spend):
            drawn += line.draws
            line.draws, line.returned = [], True
        return drawn

    def _lines_returned(self, spend: Spend) -> Sequence[SpendLine]:
        rule, reason = self._change.rule, self._change.reason
        if rule in {refunds.SETTLEMENT, VOID}:
            return spend.open_lines
        if (undone := undone_by(self._recorded.row)) is not None:
            return lines_given_back(spend, undone, self._change.delta)
        if rule == refunds.OUTBID:
            return [spend.boost]
        if (rule, reason) == (corrections.SETTLE, corrections.SETTLED_ANEW):
            named = _read_facts(self._recorded.row.facts)
            return [line for line in spend.open_lines if line.name in named]
        return ()

    def _move_draws(self) -> Sequence[Draw]:
        """Of a grant that was voided: take away what lines had drawn from its lots; returns these draws."""
        moved: list[Draw] = []
        for lot_id, proposal_id, name, delta in movements_of(self._change):
            found = self._line(proposal_id, name) if lot_id is not None and delta > 0 else None
            if found is not None:
                draws = [draw for draw in found[1].draws if draw.lot.lot_id == lot_id]
                found[1].draws = [draw for draw in found[1].draws if draw.lot.lot_id != lot_id]
                moved += draws
        return moved

    def _return_parts(self) -> Sequence[Draw]:
        """Of an event that was replaced: take off lines what came back of them; returns these draws.

        What came back into a new lot was drawn from the one that this is linked to.
        """
        moved: list[Draw] = []
        for lot_id, proposal_id, name, delta in movements_of(self._change):
            found = self._line(proposal_id, name) if lot_id is not None and delta > 0 else None
            if lot_id is None or found is None:
                continue
            opened = self._recorded.lots.get(LotId(lot_id))
            of = LotId(lot_id) if opened is None or opened.linked_to is None else opened.linked_to
            found[1].draws, parts = split_draws(found[1].draws, delta, {of})
            moved += parts
        return moved

    def _move(
        self, lot_id: str | None, proposal_id: str | None, line_name: str | None, delta: int, drawn: Sequence[Draw]
    ) -> None:
        line = self._line(proposal_id, line_name)
        if lot_id is None:
            if line is None:
                raise DoesNotFollow("a movement of debt names no spend line that is known")
            line[1].debt -= delta
            line[1].returned = line[1].returned and delta > 0
            if not 0 <= line[1].debt <= line[1].connects:
                raise DoesNotFollow(f"proposal {proposal_id} would owe {line[1].debt} Connects of {line[1].connects}")
            put_owing(self._wallet, line[0])
            return
        lot = self._lot(LotId(lot_id), drawn, delta)
        if line is not None and delta < 0:
            line[1].draws.append(Draw(lot.order, -delta))
            line[1].returned = False
        lot.remaining += delta
        if not 0 <= lot.remaining <= lot.original:
            raise DoesNotFollow(f"lot {lot_id} would hold {lot.remaining} Connects of {lot.original}")
        if lot.lot_id in self._ended:
            return
        put_lot(self._wallet, lot)
        if self._change.rule == EXPIRE:
            self._wallet.drained.pop(lot.lot_id, None)

    def _line(self, proposal_id: str | None, name: str | None) -> tuple[Spend, SpendLine] | None:
        spend = None if proposal_id is None else self._state.spends.get(ProposalId(proposal_id))
        if spend is None:
            if proposal_id is not None:
                raise DoesNotFollow(f"a movement names proposal {proposal_id}, which was never submitted")
            return None
        return spend, spend.base if name == "base" else spend.boost

    def _lot(self, lot_id: LotId, drawn: Sequence[Draw], delta: int) -> Lot:
        lot = self._ended.get(lot_id) or known_lot(self._wallet, lot_id)
        if lot is not None:
            return lot
        if (opened := self._recorded.lots.get(lot_id)) is not None:
            return msgspec.structs.replace(opened, remaining=0)
        for draw in drawn:
            if draw.lot.lot_id == lot_id:  # its time is over: it holds what came back until that expires again
                lot = self._ended[lot_id] = Lot(draw.lot, self._wallet.freelancer_id, "", 2**62, 0)
                return lot
        if delta < 0 and self._change.rule == EXPIRE:
            at = self._change.occurred_at
            return Lot(BurnOrder(at, at, lot_id), self._wallet.freelancer_id, "", -delta, -delta)
        raise DoesNotFollow(f"lot {lot_id} moved by {delta:+}, and {self._wallet.freelancer_id} has no such lot")


def _note_facts(
    state: State, recorded: Recorded, event: InputEvent | None, spend: Spend | None, closure: Closure | None
) -> None:
    """Note what a decision recorded beside its movements: closures, hires, withdrawals, what waits."""
    row = recorded.row
    if row.kind == "correction":
        _note_correction(row, spend)
        _note_void(state, row)
        note_undone(state, row)
        _note_replaced(state, row, spend)
    elif is_settlement(row) and row.outcome == "applied" and spend is not None:
        spend.refunded_closing_at = row.occurred_at if closure is None else closure.closed_at
        if closure is not None:
            closure.returned_any = True
    elif row.topic == "boost-outbid" and spend is not None:
        spend.boost_outbid = spend.boost_outbid or row.reason in {"boost-outbid", "already-refunded"}
    elif event is not None and row.topic == "job-closed" and row.reason == "settlement-pending":
        _note_closure(state, recorded, event)
    elif event is not None and row.topic == "hire-made":
        _note_hire(state, recorded, event)
    elif event is not None and row.topic in _ABOUT_PROPOSALS and row.reason != "proposal-mismatch":
        _note_proposal(state, recorded, event, spend)


def _note_correction(row: DecisionRow, spend: Spend | None) -> None:
    """A spend that was settled again; that its closure returned something is noted for all wallets (closures.py)."""
    if spend is None or row.rule != corrections.SETTLE:
        return
    if row.reason == corrections.TAKEN_BACK:
        spend.refunded_closing_at = None
    elif row.follows != spend.decision_seq:
        closed_at = _read_facts(row.facts)["closed_at"]
        spend.refunded_closing_at = msgspec.convert(closed_at, datetime)


def _note_void(state: State, row: DecisionRow) -> None:
    """A grant or spend that is there no more: its natural key is free, and what named the proposal waits again."""
    correction = correction_in(row.payload) if row.rule == VOID and row.outcome == "applied" and row.payload else None
    if isinstance(correction, Void) and correction.found is not None:
        free(state, correction.found, row.seq)


def _note_replaced(state: State, row: DecisionRow, spend: Spend | None) -> None:
    """A spend whose proposal has other content: when it was made. What it costs is amended before its movements."""
    right = _right_proposal(row)
    if spend is None or right is None:
        return
    wallet, event = state.wallet(spend.freelancer_id), right[1]
    drop_owing(wallet, spend)
    spend.occurred_at, spend.origin = event.occurred_at, event.origin
    put_owing(wallet, spend)


def _amend(row: DecisionRow, spend: Spend | None) -> None:
    """Let the lines of a spend cost what its proposal's right content says."""
    right = _right_proposal(row)
    if spend is None or right is None:
        return
    found, event = right
    new = lines_of(event)
    replaces.amend_what_came_back(spend, new, found.what)
    for line, one in zip(spend.lines, new, strict=True):
        line.connects = one.connects


def _right_proposal(row: DecisionRow) -> tuple[ToReplace, ProposalSubmitted] | None:
    """The right content of a proposal that was replaced, and what the ledger said of it."""
    if row.rule != REPLACE or row.outcome != "applied" or row.payload is None:
        return None
    correction = correction_in(row.payload)
    if not isinstance(correction, Replace) or correction.found is None:
        return None
    event = read_event(correction.topic, correction.event.encode())
    return (correction.found, event) if isinstance(event, ProposalSubmitted) else None


def closure_of(recorded: Recorded) -> Closure | None:
    """The closure that a decision noted, by its row; None: that lacks something, for it was altered."""
    row = recorded.row
    if row.job_id is None or row.occurred_at is None:
        return None
    with suppress(msgspec.MsgspecError):
        facts = _closure_facts(row.facts)
        return Closure(row.job_id, row.occurred_at, facts.closure, row.seq, facts.due_at, recorded.cause)
    return None


def add_closure(state: State, job: Job, closure: Closure) -> None:
    """Have a closure among those of its job."""
    job.closures.append(closure)
    job.closures.sort(key=refunds.closing_order)
    state.changed.closures[closure.decision_seq] = closure


def _note_closure(state: State, recorded: Recorded, event: InputEvent) -> None:
    job, row = state.job(JobId(event.__dict__["job_id"])), recorded.row
    kind, due_at = event.__dict__["closure"], due_at_of(row)
    add_closure(state, job, Closure(job.job_id, event.occurred_at, kind, row.seq, due_at, recorded.cause))


def note_first_hire(job: Job, hired_at: datetime) -> None:
    """Keep the earliest hire."""
    if job.first_hired_at is None or hired_at < job.first_hired_at:
        job.first_hired_at = hired_at


def _note_hire(state: State, recorded: Recorded, event: InputEvent) -> None:
    job = state.job(JobId(event.__dict__["job_id"]))
    note_first_hire(job, event.occurred_at)
    for change in recorded.changes:
        for _, proposal_id, _, _ in movements_of(change):
            if change.rule == refunds.CLAW_BACK and proposal_id in state.spends:
                state.spends[ProposalId(proposal_id)].refunded_closing_at = None


def _note_proposal(state: State, recorded: Recorded, event: InputEvent, spend: Spend | None) -> None:
    """A withdrawal or an outbid; before its proposal is known it waits."""
    row, is_outbid = recorded.row, recorded.row.topic == "boost-outbid"
    if spend is None:
        named = event.__dict__
        names = (FreelancerId(named["freelancer_id"]), JobId(named["job_id"]), event.occurred_at, recorded.cause)
        state.await_proposal(Awaited(ProposalId(named["proposal_id"]), row.seq, is_outbid, *names))
    else:
        refunds.keep_withdrawal(state, spend, event.occurred_at)
