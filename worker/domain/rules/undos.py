"""Undoing what a plan did: a correction, or an event that it added, is reversed as far as it goes, today.

What it gave is taken, what it took is given back, on the wallet as it is now; and what counts (grants, spends, lines
that came back, what waits for a proposal) is as it was before. Sources: ours (domain.md, Corrections).
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final, Literal

from worker.domain.booking import GIVES_BACK_BY, Booking
from worker.domain.cards import part, sources
from worker.domain.decisions import Change, Fact, Verdict
from worker.domain.model import (
    Grant,
    JobId,
    LineName,
    LotId,
    ProposalId,
    Spend,
    SpendLine,
)
from worker.domain.policy import Policy
from worker.domain.rules.cycles import begin_again
from worker.domain.rules.grants import ADJUST
from worker.domain.rules.refunds import SETTLEMENT, keep_withdrawal
from worker.domain.rules.undone import (
    ToUndo,
    UndoneAdd,
    UndoneAmount,
    UndoneForgetting,
    UndoneReplacement,
    UndoneSettle,
    UndoneSpendVoid,
    UndoneTold,
    UndoneVoid,
)
from worker.domain.rules.voids import ToVoid, take_back
from worker.domain.state import Amended, Awaited, Due, State

UNDO: Final = "correct.undo"
UNDONE, NOTHING = "undone", "nothing-to-do"


@part(
    id=UNDO,
    once_per=None,
    source=None,
    reasons=(UNDONE, NOTHING),
    found_by={},
    policy=(*GIVES_BACK_BY, "corrections.least_life_days"),
)
def undo(state: State, found: ToUndo, at: datetime, seq: int, policy: Policy) -> Verdict:
    """Reverse, at the instant `at`, what a decision of a plan did; `shortfall` should be taken and is not there."""
    undoing = _Undoing(state, found, at, seq, policy)
    match found.what:
        case UndoneAdd(what=added):
            verdict = undoing.take_back(added)
        case UndoneVoid() as what:
            verdict = undoing.let_grant_count(what)
        case UndoneSpendVoid() as what:
            verdict = undoing.let_spend_count(what)
        case UndoneForgetting() as what:
            verdict = undoing.remember(what)
        case UndoneTold() as what:
            verdict = undoing.let_told_count(what)
        case UndoneSettle() as what:
            verdict = undoing.reverse_settling(what)
        case UndoneAmount() as what:
            verdict = undoing.let_amount_stand(what)
        case UndoneReplacement() as what:
            verdict = undoing.let_content_count(what)
    return verdict


class _Undoing:
    def __init__(self, state: State, found: ToUndo, at: datetime, seq: int, policy: Policy) -> None:
        self._state, self._found, self._at, self._seq, self._policy = state, found, at, seq, policy
        self._facts: dict[str, Fact] = {
            "event_id": found.event_id,
            "undone": _NAMES[type(found.what)],
            "voided_rule": found.rule,
            "occurred_at": found.occurred_at,
            "ordered_at": found.ordered_at,
            "corrected_at": at,
            **found.about,
        }
        self._shortfall = 0

    def take_back(self, what: ToVoid) -> Verdict:
        """Of an event that was added."""
        self._facts["connects"] = abs(what.connects)
        return take_back(self._state, what, self._at, self._seq, self._policy, (UNDO, UNDONE), self._facts)

    def let_grant_count(self, what: UndoneVoid) -> Verdict:
        """Give back what a void took, or take what it gave; the grant has its natural key again."""
        known = self._state.grants.get((what.rule, what.natural_key))
        self._facts["connects"] = abs(what.connects)
        if known is None or known.stands or known.voided != what.voided + 1:
            return Verdict("declined", NOTHING, UNDO, self._facts)
        booking = self._booking()
        if what.connects < 0:
            self._take(booking, what.given, what.lots)
        elif what.taken and what.lot_id is not None and what.expires_at is not None:
            until = self._give(booking, what.taken, sources[what.rule], what.lot_id, what.expires_at)
            if until > what.expires_at:
                self._facts["graced"] = what.taken
        granted = (self._found.freelancer_id, what.granted_at, what.connects, what.decision_seq)
        self._state.restore_grant(Grant(what.rule, what.natural_key, *granted, voided=what.voided))
        if what.cycle is not None:
            self._facts["cycle_start"] = what.cycle[0].isoformat()
            begin_again(self._state, self._state.membership(self._found.freelancer_id), *what.cycle)
        return self._verdict([] if booking.is_empty else [self._close(booking)])

    def let_spend_count(self, what: UndoneSpendVoid) -> Verdict:
        """Charge again what a void returned; the proposal is there again, with all that names it."""
        found, state = self._found, self._state
        if found.proposal_id is None or found.job_id is None or state.spend(found.proposal_id) is not None:
            return Verdict("declined", NOTHING, UNDO, self._facts)
        spend = spend_of(found, what)
        state.restore_spend(spend, what.place)
        let_count(state, spend)
        for closure_seq in closures_missed(state, spend, what):
            key = f"{closure_seq}/{spend.proposal_id}"
            state.changed.due_added.append(Due(self._at + state.grace, "late-settlement", key))
        return self._verdict(self._charge(spend, _lines(spend, what.charge), what.lots))

    def remember(self, what: UndoneForgetting) -> Verdict:
        """Let a closure or a hire count again; what it did to wallets is undone, or settled again, for each."""
        self._facts["voided_topic"] = what.topic
        job = self._state.job(JobId(self._found.job_id or ""))
        if what.hired_at is not None:
            hires = (at for at in (job.first_hired_at, what.hired_at) if at is not None)
            job.first_hired_at = self._state.changed.hires[job.job_id] = min(hires)
        for closure in job.closures:
            if closure.decision_seq == what.closure_seq:
                closure.voided = False
                self._state.changed.closures[closure.decision_seq] = closure
        self._state.changed.jobs[job.job_id] = job
        self._state.changed.facts_restored.append(what.decision_seq)
        return self._verdict([])

    def let_told_count(self, what: UndoneTold) -> Verdict:
        """Let a withdrawal or an outbid count again, or wait for its proposal."""
        self._facts["voided_topic"] = "boost-outbid" if what.awaited.is_outbid else "proposal-withdrawn"
        count_again(self._state, what)
        self._state.changed.facts_restored.append(what.awaited.decision_seq)
        return self._verdict([])

    def let_amount_stand(self, what: UndoneAmount) -> Verdict:
        """Take what a correction of an amount gave, or give back what it took; what stood before it stands again.

        What expired of it in the wallet is `gone`. Neither that nor the shortfall was taken, so a later correction
        that gives leaves it out.
        """
        amended = what.amended
        self._facts |= {"amended_rule": amended.rule, "connects": what.stood, "stood": amended.verdict}
        booking = self._booking()
        source = sources[ADJUST] if amended.source is None else amended.source
        not_taken = what.not_taken + self._reverse(booking, what, source, amended.lot, amended.expires_at)
        self._state.changed.amended.append(Amended(amended.seq, self._seq, what.stood, what.policy, not_taken))
        return self._verdict([] if booking.is_empty else [self._close(booking)])

    def let_content_count(self, what: UndoneReplacement) -> Verdict:
        """Take what a replacement gave, or give back what it took; the content that the event had counts again."""
        self._facts["connects"] = what.connects
        booking = self._booking()
        self._reverse(booking, what, sources[self._found.rule], what.lot_id, what.expires_at)
        return self._verdict([] if booking.is_empty else [self._close(booking)])

    def reverse_settling(self, what: UndoneSettle) -> Verdict:
        """Charge again the lines that came back, and give back those that were taken."""
        spend = self._state.spend(ProposalId(self._found.proposal_id or ""))
        if spend is None:
            return Verdict("declined", NOTHING, UNDO, self._facts)
        charge = [line for line in _lines(spend, what.charge) if line.returned]
        give = [line for line in _lines(spend, what.give) if not line.returned]
        if (len(charge), len(give)) != (len(what.charge), len(what.give)):
            return Verdict("declined", NOTHING, UNDO, self._facts)
        changes = self._charge(spend, charge, what.lots)
        if give:
            booking = self._booking()
            booking.give_back(spend, give, self._at, self._policy, sources[SETTLEMENT], self._policy.least_life)
            self._facts["given"] = sum(line.connects for line in give)
            if booking.graced:
                self._facts["graced"] = booking.graced
            changes.append(self._close(booking))
        spend.refunded_closing_at = what.refunded_closing_at
        self._state.changed.spends[spend.proposal_id] = spend
        return self._verdict(changes)

    # Moving Connects.

    def _booking(self) -> Booking:
        return Booking(self._state, self._state.wallet(self._found.freelancer_id))

    def _give(
        self, booking: Booking, connects: int, source: str, linked_to: LotId | None, expires_at: datetime | None
    ) -> datetime:
        """Give back what was taken, with the end that it had, but for a least life; returns the end."""
        least = self._at + self._policy.least_life
        until = max(expires_at or least, least)
        booking.credit(connects, source, self._at, until, linked_to)
        self._facts["given"] = connects
        return until

    def _take(self, booking: Booking, connects: int, lots: Sequence[LotId]) -> None:
        self._shortfall = booking.take_from(frozenset(lots), connects, self._at)
        self._facts["taken"] = connects - self._shortfall
        if self._shortfall:
            self._facts["shortfall"] = self._shortfall

    def _reverse(
        self,
        booking: Booking,
        what: UndoneAmount | UndoneReplacement,
        source: str,
        linked_to: LotId | None,
        expires_at: datetime | None,
    ) -> int:
        """Take what a correction gave, or give back what it took; returns what should be taken, and cannot."""
        gone = min(what.given, what.expired)
        if what.given:
            self._take(booking, what.given - gone, what.lots)
        elif what.taken:
            self._give(booking, what.taken, source, linked_to, expires_at)
        if gone:
            self._facts["gone"] = gone
        return gone + self._shortfall

    def _charge(self, spend: Spend, lines: Sequence[SpendLine], lots: Sequence[LotId]) -> list[Change]:
        """Charge lines again: from the lots that they came back to, then as a late spend is, else as their debt."""
        if not lines:
            return []
        booking = self._booking()
        for line in lines:
            line.returned = False
            booking.spend(spend, line, self._at, frozenset(lots))
        self._state.changed.spends[spend.proposal_id] = spend
        self._facts["taken"] = sum(line.connects for line in lines)
        if debt := sum(line.debt for line in lines):
            self._facts["debt"] = debt
        return [self._close(booking)]

    def _close(self, booking: Booking) -> Change:
        subject, about = self._found.subject, self._found.about
        return booking.close(self._at, UNDO, UNDONE, self._policy, subject, dict(self._facts), about)

    def _verdict(self, changes: list[Change]) -> Verdict:
        return Verdict("applied", UNDONE, UNDO, self._facts, changes)


Name = Literal["add", "void", "spend", "fact", "settle", "decide", "replace"]
_NAMES: Final[dict[type, Name]] = {
    UndoneAdd: "add",
    UndoneVoid: "void",
    UndoneSpendVoid: "spend",
    UndoneForgetting: "fact",
    UndoneTold: "fact",
    UndoneSettle: "settle",
    UndoneAmount: "decide",
    UndoneReplacement: "replace",
}


def spend_of(found: ToUndo, what: UndoneSpendVoid) -> Spend:
    """The spend of a proposal that was voided, before anything is drawn for it: what the void left returned is so."""
    if found.proposal_id is None or found.job_id is None:
        raise AssertionError(f"decision {found.seq} voided a spend, and names no proposal or job")
    base, boost = SpendLine("base", what.base), SpendLine("boost", what.boost)
    for line in (base, boost):
        line.returned = bool(line.connects)
    names = (found.proposal_id, found.freelancer_id, found.job_id)
    spend = Spend(*names, what.decision_seq, found.occurred_at, what.origin, base, boost)
    spend.refunded_closing_at = what.refunded_closing_at
    return spend


def let_count(state: State, spend: Spend) -> None:
    """Let the withdrawals and outbids that wait for a proposal count for it again, without a decision."""
    for awaited in state.awaited_by(spend.proposal_id):
        _count_for(state, spend, awaited)


def count_again(state: State, what: UndoneTold) -> None:
    """Let one that was voided count for its proposal again, or wait for it if there is none, without a decision."""
    awaited = what.awaited
    if what.is_mismatch:
        return
    spend = state.spend(awaited.proposal_id)
    if spend is None:
        state.await_proposal(awaited)
    else:
        _count_for(state, spend, awaited)


def _count_for(state: State, spend: Spend, awaited: Awaited) -> None:
    if not awaited.names(spend):
        return
    if not awaited.is_outbid:
        keep_withdrawal(state, spend, awaited.occurred_at)
    elif spend.boost.connects:
        spend.boost_outbid = True
        state.changed.spends[spend.proposal_id] = spend


def closures_missed(state: State, spend: Spend, what: UndoneSpendVoid) -> list[int]:
    """The closures, by their decision, that were worked off past a spend while it was void."""
    return [
        closure.decision_seq
        for closure in state.job(spend.job_id).closures
        if (closure.settled or closure.settled_through >= spend.decision_seq)
        and closure.concerns(spend.occurred_at)
        and closure.decision_seq not in what.settled_by
    ]


def _lines(spend: Spend, names: Iterable[LineName]) -> list[SpendLine]:
    named = frozenset(names)
    return [line for line in spend.lines if line.name in named]
