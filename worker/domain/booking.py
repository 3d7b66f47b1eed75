"""Moving Connects in one wallet: credits, draws, debts and returns, as the movements of one change."""

from bisect import insort
from collections.abc import Iterable, Mapping
from datetime import datetime

from worker.domain.books import Books
from worker.domain.decisions import Change, Fact, LineRef, Movement, Subject
from worker.domain.explanations import explain
from worker.domain.model import BurnOrder, Draw, Lot, LotId, Spend, SpendLine, Wallet
from worker.domain.policy import Policy


def burn_order(lot: Lot) -> BurnOrder:
    """Sort key: lots burn by earliest expiry, then earliest issue, then id."""
    return lot.order


def debt_order(spend: Spend) -> tuple[datetime, str]:
    """Sort key: debts are paid oldest line first, by when it was spent, not by when it was read."""
    return (spend.occurred_at, spend.proposal_id)


class Booking:
    """One change of one wallet in the making. Nothing is booked until `close`, which checks that the sums agree."""

    __slots__ = ("_books", "_credited", "_debt_delta", "_lots_opened", "_movements", "graced", "wallet")

    def __init__(self, books: Books, wallet: Wallet) -> None:
        self.wallet = wallet
        self.graced = 0
        """Connects that came back into new lots, because the lots they came from were about to end."""
        self._books = books
        self._movements: list[Movement] = []
        self._credited: list[Lot] = []
        self._lots_opened = 0
        self._debt_delta = 0

    def drawable(self, at: datetime) -> int:
        """Connects that may be drawn by something that happened then: of lots that expire later."""
        return sum(lot.remaining for lot in self.wallet.lots if lot.order.expires_at > at)

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
        self._books.touched.new_lots[lot_id] = lot
        self._credited.append(lot)
        self._movements.append(Movement(lot_id, expires_at, line, connects))
        return lot

    def spend(self, spend: Spend, line: SpendLine, at: datetime) -> None:
        """Draw a line in burn order, from lots that expire after `at`; what no lot covers becomes its debt."""
        left = self._draw(line.connects, at, LineRef(spend.proposal_id, line.name), line)
        if left:
            line.debt = left
            self._owe(spend, line, left)

    def debit(self, connects: int, at: datetime) -> None:
        """Draw Connects for an adjustment; the caller has made sure that they are there."""
        if self._draw(connects, at, None, None):
            raise AssertionError(f"{self.wallet.freelancer_id}: debit of more Connects than can be drawn")

    def give_back(self, spend: Spend, lines: Iterable[SpendLine], instant: datetime, policy: Policy) -> list[Lot]:
        """Give lines back whole: first their own unpaid debt, then to the lots that they drew.

        What would return to a lot with too few days left at `instant` enters a new lot, linked to it (policy
        `refund_to_ending_lot` = "grace"). With "expire", lots whose time is over are handed back, to be expired.
        """
        drawn = [(draw, LineRef(spend.proposal_id, line.name)) for line in lines for draw in line.draws]
        for line in lines:
            if line.debt:
                self._forgive(spend, line, line.debt)
            line.draws, line.returned = [], True
        expired: dict[LotId, Lot] = {}
        ending: dict[BurnOrder, list[tuple[Draw, LineRef]]] = {}
        for draw, ref in drawn:
            if policy.refund_to_ending_lot == "grace" and draw.lot.expires_at < instant + policy.ending_lot:
                ending.setdefault(draw.lot, []).append((draw, ref))
            else:
                self._put_back(draw, ref, instant, expired)
        for order in sorted(ending):
            connects = sum(draw.connects for draw, _ in ending[order])
            self.graced += connects
            self.credit(connects, "refund", instant, instant + policy.grace_lot, order.lot_id, ending[order][0][1])
        return list(expired.values())

    def expire(self, lot: Lot) -> None:
        """Take what remains out of a lot whose time is over."""
        self._movements.append(Movement(lot.lot_id, lot.expires_at, None, -lot.remaining))
        lot.remaining = 0
        if lot in self.wallet.lots:
            self.wallet.lots.remove(lot)
            self._books.touched.lots[lot.lot_id] = lot

    def close(
        self,
        occurred_at: datetime,
        rule: str,
        reason: str,
        policy: Policy,
        subject: Subject,
        facts: Mapping[str, Fact],
        about: Mapping[str, str],
        natural_key: str | None = None,
    ) -> Change:
        """Let what came in pay debts, oldest line first; then book: one version of the wallet.

        `natural_key` is a grant's.
        """
        wallet = self.wallet
        if self._credited and wallet.owing:
            self._pay_debts()
        delta = sum(movement.delta for movement in self._movements)
        if delta == 0:
            raise AssertionError(f"{wallet.freelancer_id}: a change of 0 under {rule}")
        wallet.version += 1
        wallet.balance += delta
        self._books.touched.wallets[wallet.freelancer_id] = wallet
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
            explain(reason, "applied", subject, facts),
            about,
            natural_key,
        )

    def _draw(self, connects: int, at: datetime, ref: LineRef | None, line: SpendLine | None) -> int:
        left = connects
        lots = self.wallet.lots
        place = 0
        while left and place < len(lots):
            lot = lots[place]
            if lot.order.expires_at <= at:
                place += 1
                continue
            taken = min(left, lot.remaining)
            left -= taken
            if not self._take(lot, taken, ref, line):
                place += 1
        return left

    def _take(self, lot: Lot, taken: int, ref: LineRef | None, line: SpendLine | None) -> bool:
        """Take from a lot; True if that drained it (it is no longer among the wallet's lots)."""
        lot.remaining -= taken
        self._movements.append(Movement(lot.order.lot_id, lot.order.expires_at, ref, -taken))
        self._books.touched.lots[lot.order.lot_id] = lot
        if line is not None:
            line.draws.append(Draw(lot.order, taken))
        if lot.remaining:
            return False
        self.wallet.lots.remove(lot)
        self.wallet.drained[lot.order.lot_id] = lot
        return True

    def _put_back(self, draw: Draw, ref: LineRef, instant: datetime, expired: dict[LotId, Lot]) -> None:
        lot_id = draw.lot.lot_id
        lot = expired.get(lot_id) or next((held for held in self.wallet.lots if held.order.lot_id == lot_id), None)
        if lot is None and draw.lot.expires_at <= instant:
            # Its expiry is booked or was not worth booking: it holds these Connects only until they expire again.
            lot = expired[lot_id] = Lot(draw.lot, self.wallet.freelancer_id, "", draw.connects, 0)
        if lot is None:
            lot = self.wallet.drained.pop(lot_id)
            insort(self.wallet.lots, lot, key=burn_order)
        lot.remaining += draw.connects
        if lot_id in expired:
            lot.original = max(lot.original, lot.remaining)
        else:
            self._books.touched.lots[lot_id] = lot
        if lot.remaining > lot.original:
            raise AssertionError(f"lot {lot_id}: more came back than was ever in it")
        if lot not in self._credited:
            self._credited.append(lot)
        self._movements.append(Movement(lot_id, draw.lot.expires_at, ref, draw.connects))

    def _owe(self, spend: Spend, line: SpendLine, connects: int) -> None:
        self._movements.append(Movement(None, None, LineRef(spend.proposal_id, line.name), -connects))
        self._debt_delta += connects
        if spend not in self.wallet.owing:
            insort(self.wallet.owing, spend, key=debt_order)
        self._books.touched.spends[spend.proposal_id] = spend

    def _forgive(self, spend: Spend, line: SpendLine, connects: int) -> None:
        line.debt -= connects
        self._debt_delta -= connects
        self._movements.append(Movement(None, None, LineRef(spend.proposal_id, line.name), connects))
        self._books.touched.spends[spend.proposal_id] = spend
        if not spend.owes:
            self.wallet.owing.remove(spend)

    def _pay_debts(self) -> None:
        for lot in sorted(self._credited, key=burn_order):
            for spend in list(self.wallet.owing):
                for line in spend.lines:
                    paid = min(line.debt, lot.remaining)
                    if not paid:
                        continue
                    ref = LineRef(spend.proposal_id, line.name)
                    if lot in self.wallet.lots:
                        self._take(lot, paid, ref, line)
                    else:
                        lot.remaining -= paid
                        line.draws.append(Draw(lot.order, paid))
                        self._movements.append(Movement(lot.order.lot_id, lot.order.expires_at, ref, -paid))
                    self._forgive(spend, line, paid)
                if not lot.remaining:
                    break
