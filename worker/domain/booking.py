"""Moving Connects in one wallet: credits, draws, debts and returns, as the movements of one change.

The work of a change grows with the lots and debts that it touches (n log n), not with those that the wallet has: they
are found by bisection, and those that leave or enter a sorted list do so together.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, TypeVar

from worker.domain.decisions import Change, Facts, LineRef, Movement, Subject
from worker.domain.draws import split_draws
from worker.domain.model import BurnOrder, Draw, Lot, LotId, Spend, SpendLine, Wallet
from worker.domain.policy import Policy
from worker.domain.state import State


def burn_order(lot: Lot) -> BurnOrder:
    """Sort key: lots burn by earliest expiry, then earliest issue, then id."""
    return lot.order


def debt_order(spend: Spend) -> tuple[datetime, str]:
    """Sort key: debts are paid oldest line first, by when it was spent, not by when it was read."""
    return (spend.occurred_at, spend.proposal_id)


def expiry_of(lot: Lot) -> datetime:
    """The first part of the burn order: when the lot expires."""
    return lot.order.expires_at


def find_lot(lots: Sequence[Lot], order: BurnOrder) -> Lot | None:
    """The lot at that place in the burn order, of lots that are sorted by it."""
    place = bisect_left(lots, order, key=burn_order)
    return lots[place] if place < len(lots) and lots[place].order == order else None


def lot_that_expires(lots: Sequence[Lot], expires_at: datetime, lot_id: LotId) -> Lot | None:
    """The lot of that id, of lots in burn order; only those that expire at that instant are looked at."""
    for place in range(bisect_left(lots, expires_at, key=expiry_of), len(lots)):
        if lots[place].expires_at > expires_at:
            return None
        if lots[place].lot_id == lot_id:
            return lots[place]
    return None


GIVES_BACK_BY: Final = ("refunds.refund_to_ending_lot", "refunds.ending_lot_days", "refunds.grace_lot_days")
"""The policy keys by which Connects are given back: for the cards of all rules that do so."""
_FEW: Final = 16
"""Up to this many are moved in or out of a sorted list one by one; more of them together, in one pass."""


class Booking:
    """One change of one wallet in the making. Nothing is booked until `close`, which checks that the sums agree."""

    __slots__ = ("_credited", "_debt_delta", "_ended", "_lots_opened", "_movements", "_state", "graced", "wallet")

    def __init__(self, state: State, wallet: Wallet) -> None:
        self.wallet = wallet
        self.graced = 0
        """Connects that came back into new lots, because the lots they came from were about to end."""
        self._state = state
        self._movements: list[Movement] = []
        self._credited: dict[LotId, Lot] = {}
        self._ended: dict[LotId, Lot] = {}
        """Lots whose time is over and that Connects came back to all the same: they are not among the wallet's."""
        self._lots_opened = 0
        self._debt_delta = 0

    @property
    def is_empty(self) -> bool:
        """Whether nothing was moved: then there is nothing to close."""
        return not self._movements

    def drawable(self, at: datetime) -> int:
        """Connects that may be drawn by something that happened then: of lots that expire later."""
        return sum(lot.remaining for lot in self._drawable_lots(at))

    def covers(self, connects: int, at: datetime) -> bool:
        """Whether at least that many Connects are drawable; looks at no more lots than it needs."""
        for lot in self._drawable_lots(at):
            connects -= lot.remaining
            if connects <= 0:
                return True
        return connects <= 0

    def credit(
        self,
        connects: int,
        source: str,
        issued_at: datetime,
        expires_at: datetime,
        linked_to: LotId | None = None,
        line: LineRef | None = None,
    ) -> Lot:
        """Open a lot with that many Connects (1 or more)."""
        self._lots_opened += 1
        suffix = "" if self._lots_opened == 1 else f".{self._lots_opened}"
        lot_id = LotId(f"{self.wallet.freelancer_id}:{self.wallet.version + 1}{suffix}")
        lot = Lot(
            BurnOrder(expires_at, issued_at, lot_id), self.wallet.freelancer_id, source, connects, connects, linked_to
        )
        insort(self.wallet.lots, lot, key=burn_order)
        self._state.changed.new_lots[lot_id] = lot
        self._credited[lot_id] = lot
        self._movements.append(Movement(lot_id, expires_at, line, connects))
        return lot

    def spend(self, spend: Spend, line: SpendLine, at: datetime, first: Container[LotId] = ()) -> None:
        """Draw a line in burn order, from lots that expire after `at`; what no lot covers becomes its debt.

        The lots `first` are drawn before all others.
        """
        ref = LineRef(spend.proposal_id, line.name)
        left = self._draw_first(first, line.connects, at, ref, line) if first else line.connects
        left = self._draw(left, at, ref, line)
        if left:
            line.debt = left
            self._owe(spend, line, left)

    def debit(self, connects: int, at: datetime) -> None:
        """Draw Connects for an adjustment; the caller has made sure that they are there."""
        if self.take(connects, at):
            raise AssertionError(f"{self.wallet.freelancer_id}: debit of more Connects than can be drawn")

    def give_back(
        self,
        spend: Spend,
        lines: Iterable[SpendLine],
        instant: datetime,
        policy: Policy,
        source: str,
        least_life: timedelta | None = None,
    ) -> list[Lot]:
        """Give lines back whole: first their own unpaid debt, then to the lots that they drew.

        What would return to a lot with too few days left at `instant` enters a new lot of this source, linked to it
        (policy `refund_to_ending_lot` = "grace"). With "expire", lots whose time is over are returned, to be
        expired. With `least_life`, a correction's, it enters a new lot also if the old one does not last that long, a
        lot for each line: then movements say what came back of which.
        """
        drawn = [(draw, LineRef(spend.proposal_id, line.name)) for line in lines for draw in line.draws]
        for line in lines:
            if line.debt:
                self._forgive(spend, line, line.debt)
                if not spend.owes:
                    _leave(self.wallet.owing, [spend], debt_order)
            line.draws, line.returned = [], True
        reopened: dict[LotId, Lot] = {}
        ending: dict[tuple[BurnOrder, str], list[tuple[Draw, LineRef]]] = {}
        too_soon, until = _new_lots(instant, policy, least_life)
        for draw, ref in drawn:
            if too_soon is not None and draw.lot.expires_at < too_soon:
                ending.setdefault((draw.lot, "" if least_life is None else ref.line), []).append((draw, ref))
            else:
                self._put_back(draw, ref, instant, reopened)
        _enter(self.wallet.lots, list(reopened.values()), burn_order)
        for order, line_name in sorted(ending):
            returned = ending[order, line_name]
            connects = sum(draw.connects for draw, _ in returned)
            self.graced += connects
            self.credit(connects, source, instant, until, order.lot_id, returned[0][1])
        return list(self._ended.values())

    def spend_more(self, spend: Spend, line: SpendLine, connects: int, at: datetime) -> None:
        """Draw more for a line that costs more; the caller has set what it costs now."""
        left = self._draw(connects, at, LineRef(spend.proposal_id, line.name), line)
        if left:
            line.debt += left
            self._owe(spend, line, left)

    def empty(self, lot: Lot) -> int:
        """Take all that remains out of a lot that should never have been; returns how much that is."""
        return self.take_out_of(lot, lot.remaining)

    def take_out_of(self, lot: Lot, most: int) -> int:
        """Take up to so many Connects out of one lot; returns how many."""
        taken = min(lot.remaining, most)
        if taken:
            self._take(lot, taken, None, None)
            if not lot.remaining:
                _leave(self.wallet.lots, [lot], burn_order)
                self._drain([lot])
        return taken

    def take(self, connects: int, at: datetime) -> int:
        """Take Connects in burn order from lots that expire after `at`; returns how many were not there."""
        return self._draw(connects, at, None, None)

    def take_from(self, first: Container[LotId], connects: int, at: datetime) -> int:
        """Take Connects as `take` does, but from the lots `first` before all others; returns how many are missing."""
        return self.take(self._draw_first(first, connects, at, None, None), at)

    def draw_from_others(
        self, spend: Spend, line: SpendLine, lots: Container[LotId], at: datetime, most: int | None = None
    ) -> int:
        """Have what a line drew from these lots, which are empty, paid by others, else as its debt; returns how much.

        It comes back to each lot, which it leaves at once; then the line draws again. `most`: only so many Connects.
        """
        kept, moved = split_draws(line.draws, line.connects if most is None else most, lots)
        if not moved:
            return 0
        ref, connects = LineRef(spend.proposal_id, line.name), sum(draw.connects for draw in moved)
        line.draws = kept
        for order, drawn in moved:
            self._movements.append(Movement(order.lot_id, order.expires_at, ref, drawn))
            self._movements.append(Movement(order.lot_id, order.expires_at, None, -drawn))
        left = self._draw(connects, at, ref, line)
        if left:
            line.debt += left
            self._owe(spend, line, left)
        self._state.changed.spends[spend.proposal_id] = spend
        return connects

    def expire(self, lot: Lot) -> None:
        """Take what remains out of a lot whose time is over."""
        self._movements.append(Movement(lot.lot_id, lot.expires_at, None, -lot.remaining))
        lot.remaining = 0
        if _leave(self.wallet.lots, [lot], burn_order):
            self._state.changed.lots[lot.lot_id] = lot

    def close(
        self,
        occurred_at: datetime,
        rule: str,
        reason: str,
        policy: Policy,
        subject: Subject,
        facts: Facts,
        about: Mapping[str, str],
        natural_key: str | None = None,
    ) -> Change:
        """Let what came in pay debts, oldest line first; then book: one version of the wallet.

        `natural_key` is a grant's.
        """
        wallet = self.wallet
        if self._credited and wallet.owing:
            self._pay_debts()
        delta = 0
        for movement in self._movements:
            delta += movement.delta
        if delta == 0:
            raise AssertionError(f"{wallet.freelancer_id}: a change of 0 under {rule}")
        wallet.version += 1
        wallet.balance += delta
        self._state.changed.wallets[wallet.freelancer_id] = wallet
        return Change(
            wallet.freelancer_id,
            wallet.version,
            occurred_at,
            rule,
            reason,
            policy.version,
            delta,
            self._debt_delta,
            wallet.balance,
            self._movements,
            subject,
            facts,
            about,
            natural_key,
        )

    def _drawable_lots(self, at: datetime) -> Iterable[Lot]:
        lots = self.wallet.lots
        for place in range(bisect_right(lots, at, key=expiry_of), len(lots)):
            yield lots[place]

    def _draw(self, connects: int, at: datetime, ref: LineRef | None, line: SpendLine | None) -> int:
        """Draw in burn order from lots that expire after `at`; returns what they did not cover."""
        left = connects
        lots = self.wallet.lots
        if not lots:
            return left
        first = place = bisect_right(lots, at, key=expiry_of)
        while left and place < len(lots):
            lot = lots[place]
            taken = min(left, lot.remaining)
            left -= taken
            self._take(lot, taken, ref, line)
            place += not lot.remaining
        if place > first:
            self._drain(lots[first:place])
            del lots[first:place]
        return left

    def _draw_first(
        self, lots: Container[LotId], connects: int, at: datetime, ref: LineRef | None, line: SpendLine | None
    ) -> int:
        """Draw from those of these lots that expire after `at`; returns what they did not cover."""
        if not lots:
            return connects
        left, emptied = connects, list[Lot]()
        for lot in [lot for lot in self._drawable_lots(at) if lot.lot_id in lots]:
            if taken := min(left, lot.remaining):
                left -= taken
                self._take(lot, taken, ref, line)
                if not lot.remaining:
                    emptied.append(lot)
        _leave(self.wallet.lots, emptied, burn_order)
        self._drain(emptied)
        return left

    def _take(self, lot: Lot, taken: int, ref: LineRef | None, line: SpendLine | None) -> None:
        """Take from a lot. The caller moves it out of the wallet's lots if nothing remains in it."""
        lot.remaining -= taken
        self._movements.append(Movement(lot.order.lot_id, lot.order.expires_at, ref, -taken))
        if line is not None:
            line.draws.append(Draw(lot.order, taken))
        if lot.order.lot_id not in self._ended:
            self._state.changed.lots[lot.order.lot_id] = lot

    def _drain(self, lots: Iterable[Lot]) -> None:
        """Keep lots with nothing remaining where a refund finds them."""
        for lot in lots:
            self.wallet.drained[lot.order.lot_id] = lot

    def _put_back(self, draw: Draw, ref: LineRef, instant: datetime, reopened: dict[LotId, Lot]) -> None:
        """Return Connects to the lot that they came from. `reopened` collects lots that were drained."""
        lot_id = draw.lot.lot_id
        lot = self._ended.get(lot_id) or reopened.get(lot_id) or find_lot(self.wallet.lots, draw.lot)
        if lot is None and draw.lot.expires_at <= instant:
            # Its expiry is booked or was not worth booking: it holds these Connects only until they expire again.
            lot = self._ended[lot_id] = Lot(draw.lot, self.wallet.freelancer_id, "", draw.connects, 0)
        if lot is None:
            lot = reopened[lot_id] = self.wallet.drained.pop(lot_id)
        lot.remaining += draw.connects
        if lot_id in self._ended:
            lot.original = max(lot.original, lot.remaining)
        else:
            self._state.changed.lots[lot_id] = lot
        if lot.remaining > lot.original:
            raise AssertionError(f"lot {lot_id}: more came back than was ever in it")
        self._credited[lot_id] = lot
        self._movements.append(Movement(lot_id, draw.lot.expires_at, ref, draw.connects))

    def _owe(self, spend: Spend, line: SpendLine, connects: int) -> None:
        self._movements.append(Movement(None, None, LineRef(spend.proposal_id, line.name), -connects))
        self._debt_delta += connects
        owing = self.wallet.owing
        if not owing or debt_order(owing[-1]) < debt_order(spend):  # as nearly always: it is the latest
            owing.append(spend)
        elif owing[-1] is not spend:
            place = bisect_left(owing, debt_order(spend), key=debt_order)
            if owing[place] is not spend:
                owing.insert(place, spend)
        self._state.changed.spends[spend.proposal_id] = spend

    def _forgive(self, spend: Spend, line: SpendLine, connects: int) -> None:
        """Cancel debt of a line. The caller takes the spend out of those that owe if nothing is left of it."""
        line.debt -= connects
        self._debt_delta -= connects
        self._movements.append(Movement(None, None, LineRef(spend.proposal_id, line.name), connects))
        self._state.changed.spends[spend.proposal_id] = spend

    def _pay_debts(self) -> None:
        """Pay debts from the lots that were credited, in burn order; the oldest line first."""
        owing, paid_off = self.wallet.owing, 0
        drained: list[Lot] = []
        for lot in sorted(self._credited.values(), key=burn_order):
            while lot.remaining and paid_off < len(owing):
                self._pay(owing[paid_off], lot)
                paid_off += not owing[paid_off].owes
            if not lot.remaining and lot.order.lot_id not in self._ended:
                drained.append(lot)
        del owing[:paid_off]
        _leave(self.wallet.lots, drained, burn_order)
        self._drain(drained)

    def _pay(self, spend: Spend, lot: Lot) -> None:
        """Pay what the lot can of one spend's debt, the base line before the boost line."""
        for line in spend.lines:
            paid = min(line.debt, lot.remaining)
            if paid:
                self._take(lot, paid, LineRef(spend.proposal_id, line.name), line)
                self._forgive(spend, line, paid)


def _new_lots(instant: datetime, policy: Policy, least_life: timedelta | None) -> tuple[datetime | None, datetime]:
    """Before when a lot must end for its returned Connects to enter a new one (None: never), and when that expires."""
    if policy.refund_to_ending_lot == "grace":
        least = least_life or timedelta(0)
        return instant + max(policy.ending_lot, least), instant + max(policy.grace_lot, least)
    return (None, instant) if least_life is None else (instant + least_life, instant + least_life)


Item = TypeVar("Item")
Order = TypeVar("Order", BurnOrder, tuple[datetime, str])


def _enter(items: list[Item], new: Sequence[Item], key: Callable[[Item], Order]) -> None:
    """Put new items into a list that is sorted by `key`."""
    if len(new) <= _FEW:
        for item in new:
            insort(items, item, key=key)
    else:
        items.extend(new)
        items.sort(key=key)  # a sorted run and the new ones: the sort merges them


def _leave(items: list[Item], gone: Sequence[Item], key: Callable[[Item], Order]) -> int:
    """Take items out of a list that is sorted by `key`, those of them that are in it; returns how many."""
    before = len(items)
    if len(gone) > _FEW:
        known = set(map(id, gone))
        items[:] = [item for item in items if id(item) not in known]
        return before - len(items)
    for item in gone:
        place = bisect_left(items, key(item), key=key)
        if place < len(items) and items[place] is item:
            del items[place]
    return before - len(items)
