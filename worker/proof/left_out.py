"""Which earlier decisions are left out where only later ones are asked about, and what they did to the wallet.

An earlier decision on a grant, a proposal, a job's end or an expiry moves Connects, and its movements say all of that.
Beside that it matters to its proposal and its job alone. So it is not decided again if nothing that is decided names
these: its movements are applied to the lots. Decided are all decisions about memberships, whose record does not say
everything, and whatever moved debts. Corrections may name anything, so with one of them nothing is left out.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple

import msgspec

from worker.domain.cards import ALREADY_GRANTED, Need
from worker.domain.model import FreelancerId, Grant, Lot, LotId, Wallet, natural_key_of
from worker.domain.rule_catalogue import RULES
from worker.domain.rules.expiry import EXPIRE
from worker.domain.state import State
from worker.ledger.rows import Movements
from worker.proof.following import DoesNotFollow
from worker.proof.identity import is_opened_by
from worker.proof.wallets import drop_lot, known_lot, put_lot

_PLAIN: Final = frozenset(
    topic for topic, card in RULES.items() if not {Need.MEMBERSHIP, Need.CHARGE}.intersection(card.needs)
)
"""Topics of events that change nothing but lots and what is known of their proposal and job."""
_ON_EVENTS: Final = frozenset({"first", "added", "follow-up"})
_MOVE_NOTHING: Final = frozenset({"rejected", "duplicate"})


class Outline(NamedTuple):
    """What of a decision says whether others depend on it."""

    seq: int
    kind: str
    follows: int | None
    topic: str | None
    job_id: str | None
    proposal_id: str | None
    outcome: str
    reason: str
    rule: str | None


class Moved(NamedTuple):
    """What of a change says how it left the wallet."""

    decision_seq: int
    version: int
    occurred_at: datetime
    rule: str
    delta: int
    balance_after: int
    natural_key: str | None
    movements: Movements


class LeftOut(NamedTuple):
    """A decision that is not decided again, with its changes. `ends_lot`: it is the end of a lot, by the clock."""

    seq: int
    ends_lot: bool
    changes: Sequence[Moved]


class Needed:
    """Finds the decisions that have to be decided again for those from a place in ledger order on."""

    def __init__(self, moved: Mapping[int, Sequence[Moved]]) -> None:
        """`moved` are the changes of the freelancer's wallet by decision."""
        self._moved = moved
        self.seqs: set[int] = set()
        self._jobs: set[str | None] = set()
        self._proposals: set[str | None] = set()

    def find(self, outlines: Iterable[Outline], first: int) -> bool:
        """Find them among all decisions about a freelancer; False: nothing can be left out."""
        left: list[Outline] = []
        parked: set[int | None] = set()
        for row in outlines:
            if row.kind == "correction":
                return False
            if row.outcome == "parked":
                parked.add(row.seq)
            if row.seq < first and row.follows not in parked and self._may_be_left_out(row):
                left.append(row)
            else:
                self._take(row)
        while True:
            self._jobs.discard(None)
            self._proposals.discard(None)
            named = [row for row in left if row.job_id in self._jobs or row.proposal_id in self._proposals]
            if not named:
                return True
            for row in named:
                self._take(row)
            left = [row for row in left if row.seq not in self.seqs]

    def left_out(self, outlines: Iterable[Outline]) -> list[LeftOut]:
        """Those that moved something and are not decided again, in ledger order."""
        return [
            LeftOut(row.seq, row.kind == "clock", self._moved[row.seq])
            for row in outlines
            if row.seq not in self.seqs and row.seq in self._moved
        ]

    def _take(self, row: Outline) -> None:
        self.seqs.add(row.seq)
        self._jobs.add(row.job_id)
        self._proposals.add(row.proposal_id)
        for change in self._moved.get(row.seq, ()):
            self._proposals.update([proposal_id for _, proposal_id, _, _ in change.movements])

    def _may_be_left_out(self, row: Outline) -> bool:
        """Whether it matters to nothing but lots, a proposal and a job."""
        changes = self._moved.get(row.seq)
        if row.outcome == "parked":
            return False
        if changes is None and (row.outcome in _MOVE_NOTHING or row.kind == "command"):
            return True
        if row.kind in _ON_EVENTS:
            is_plain = row.topic in _PLAIN and row.reason != ALREADY_GRANTED
        else:
            is_plain = row.kind == "settlement" or (row.kind == "clock" and row.rule == EXPIRE)
        return is_plain and (changes is None or self._moved_lots_alone(row, changes))

    @staticmethod
    def _moved_lots_alone(row: Outline, changes: Sequence[Moved]) -> bool:
        is_hire = row.topic == "hire-made"  # it takes back what several proposals on its job got
        if row.outcome != ("recorded" if is_hire else "applied"):
            return False
        own = {None, row.proposal_id}
        return all(
            lot_id is not None and (is_hire or proposal_id in own)
            for change in changes
            for lot_id, proposal_id, _, _ in change.movements
        )


class LotsMoved:
    """Applies what decisions that are left out did to one wallet."""

    def __init__(self, state: State, freelancer_id: FreelancerId, opened: Mapping[LotId, Lot]) -> None:
        """`opened` are the lots that they opened, as they are now."""
        self._state, self._freelancer_id, self._opened = state, freelancer_id, opened
        self._lots: dict[LotId, Lot] = {}
        """Those of the wallet that were moved here; none that has ended."""

    def take(self, decisions: Iterable[LeftOut]) -> None:
        """Apply the next of them, in ledger order.

        Raises:
            DoesNotFollow: what they moved is not there, or their sums do not agree.
        """
        wallet, moved = self._state.wallet(self._freelancer_id), dict[LotId, Lot]()
        for decision in decisions:
            ended: dict[LotId, int] = {}
            for change in decision.changes:
                self._apply(wallet, change, moved, ended)
            if any(ended.values()):
                raise DoesNotFollow(f"decision {decision.seq} leaves Connects in a lot that is not known")
            if decision.ends_lot:
                for lot_id in [lot_id for change in decision.changes for lot_id, *_ in change.movements]:
                    self._end(wallet, LotId(lot_id or ""), moved)
        for lot in moved.values():
            put_lot(wallet, lot)

    def _apply(self, wallet: Wallet, change: Moved, moved: dict[LotId, Lot], ended: dict[LotId, int]) -> None:
        total = 0
        for name, _, _, delta in change.movements:
            total += delta
            lot_id = LotId(name or "")
            lot = self._lots.get(lot_id) or self._found(wallet, lot_id, change.version)
            if lot is None:  # its time is over: what comes back to it expires in the same decision
                ended[lot_id] = ended.get(lot_id, 0) + delta
                continue
            lot.remaining += delta
            moved[lot_id] = lot
            if not 0 <= lot.remaining <= lot.original:
                raise DoesNotFollow(f"lot {lot_id} would hold {lot.remaining} Connects of {lot.original}")
        wallet.version, wallet.balance = wallet.version + 1, wallet.balance + change.delta
        if (change.version, change.balance_after, change.delta) != (wallet.version, wallet.balance, total):
            raise DoesNotFollow(f"version {change.version} of {wallet.freelancer_id} does not follow the one before it")
        if change.natural_key is not None:
            key, voided = natural_key_of(change.natural_key)
            made = (wallet.freelancer_id, change.occurred_at, change.delta, change.decision_seq)
            self._state.keep_grant(Grant(change.rule, key, *made, voided=voided))

    def _found(self, wallet: Wallet, lot_id: LotId, version: int) -> Lot | None:
        """A lot that was not moved here before: it is opened by this version of the wallet, or the wallet has it."""
        opened = self._opened.get(lot_id) if is_opened_by(lot_id, wallet.freelancer_id, version) else None
        lot = known_lot(wallet, lot_id) if opened is None else msgspec.structs.replace(opened, remaining=0)
        if lot is not None:
            self._lots[lot_id] = lot
        return lot

    def _end(self, wallet: Wallet, lot_id: LotId, moved: dict[LotId, Lot]) -> None:
        moved.pop(lot_id, None)
        if (lot := self._lots.pop(lot_id, None)) is not None:
            drop_lot(wallet, lot)
