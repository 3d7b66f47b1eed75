"""Wallets, lots, debts and spends, and the few arithmetic steps that move Connects between them.

Slow on purpose: a balance is added up afresh from lots and debts after every change, and checked against what the
change said it did.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

BASE, BOOST = "base", "boost"

Movement = tuple[str | None, tuple[str, str] | None, int]


@dataclass
class Lot:
    lot_id: str
    freelancer_id: str
    source: str
    issued_at: datetime
    expires_at: datetime
    original: int
    remaining: int
    linked_to: str | None = None


@dataclass
class Line:
    """`draws` are the lots that carry this line now: [lot_id, Connects], in the order drawn."""

    connects: int
    debt: int = 0
    returned: bool = False
    returned_by: object = None
    draws: list[tuple[str, int]] = field(default_factory=list)


@dataclass
class Spend:
    proposal_id: str
    freelancer_id: str
    job_id: str
    seq: int
    occurred_at: datetime
    origin: str
    lines: dict[str, Line]

    @property
    def open_lines(self) -> list[str]:
        return [name for name in (BASE, BOOST) if self.lines[name].connects and not self.lines[name].returned]

    @property
    def cost(self) -> int:
        return self.lines[BASE].connects + self.lines[BOOST].connects


@dataclass
class Wallet:
    freelancer_id: str
    balance: int = 0
    version: int = 0


@dataclass
class Change:
    freelancer_id: str
    version: int
    occurred_at: datetime
    rule: str
    reason: str
    policy_version: str
    movements: list[Movement] = field(default_factory=list)
    opened: list[str] = field(default_factory=list)
    delta: int = 0
    debt_delta: int = 0
    balance_after: int = 0

    def move(self, lot: Lot | None, line: tuple[str, str] | None, amount: int) -> None:
        if amount:
            self.movements.append((lot.lot_id if lot else None, line, amount))


class State:
    def __init__(self) -> None:
        self.wallets: dict[str, Wallet] = {}
        self.lots: dict[str, Lot] = {}
        self.lots_of: dict[str, list[Lot]] = {}
        self.spends: dict[str, Spend] = {}
        self.spends_of: dict[str, list[Spend]] = {}

    def open_wallet(self, freelancer_id: str) -> Wallet:
        if freelancer_id not in self.wallets:
            self.wallets[freelancer_id] = Wallet(freelancer_id)
            self.lots_of[freelancer_id] = []
            self.spends_of[freelancer_id] = []
        return self.wallets[freelancer_id]

    def keep_spend(self, spend: Spend) -> None:
        self.spends[spend.proposal_id] = spend
        self.spends_of[spend.freelancer_id].append(spend)

    # A change, from its beginning to its end.

    def begin(self, freelancer_id: str, occurred_at: datetime, rule: str, reason: str, policy_version: str) -> Change:
        wallet = self.open_wallet(freelancer_id)
        return Change(freelancer_id, wallet.version + 1, occurred_at, rule, reason, policy_version)

    def end(self, change: Change) -> Change:
        wallet = self.wallets[change.freelancer_id]
        change.delta = sum(amount for _, _, amount in change.movements)
        change.debt_delta = -sum(amount for lot_id, _, amount in change.movements if lot_id is None)
        change.balance_after = self.balance(change.freelancer_id)
        assert change.delta != 0, f"a change of nothing: {change}"
        assert change.balance_after == wallet.balance + change.delta, f"the movements do not add up: {change}"
        wallet.balance = change.balance_after
        wallet.version = change.version
        return change

    def balance(self, freelancer_id: str) -> int:
        remaining = sum(lot.remaining for lot in self.lots_of[freelancer_id])
        owed = sum(line.debt for spend in self.spends_of[freelancer_id] for line in spend.lines.values())
        return remaining - owed

    # What happens inside a change.

    def drawable(self, freelancer_id: str, at: datetime) -> list[Lot]:
        """Lots in the order they are drawn, without those that had expired by `at`."""
        return [lot for lot in burn_order(self.lots_of[freelancer_id]) if lot.remaining and lot.expires_at > at]

    def draw(self, change: Change, amount: int, at: datetime, of: tuple[Spend, str] | None = None) -> int:
        """Take up to `amount` from the lots; what they did not cover is returned."""
        for lot in self.drawable(change.freelancer_id, at):
            taken = min(lot.remaining, amount)
            lot.remaining -= taken
            amount -= taken
            change.move(lot, None, -taken)
            if of and taken:
                spend, name = of
                spend.lines[name].draws.append((lot.lot_id, taken))
        return amount

    def spend_line(self, change: Change, spend: Spend, name: str, at: datetime) -> None:
        """Draw a line's Connects; what no lot covers becomes its debt."""
        line = spend.lines[name]
        line.debt = self.draw(change, line.connects, at, (spend, name))
        change.move(None, (spend.proposal_id, name), -line.debt)

    def open_lot(
        self,
        change: Change,
        *,
        source: str,
        amount: int,
        issued_at: datetime,
        expires_at: datetime,
        linked_to: str | None = None,
    ) -> Lot:
        nth = len(change.opened) + 1
        lot_id = f"{change.freelancer_id}:{change.version}" + (f".{nth}" if nth > 1 else "")
        lot = Lot(lot_id, change.freelancer_id, source, issued_at, expires_at, amount, amount, linked_to)
        self.lots[lot_id] = lot
        self.lots_of[change.freelancer_id].append(lot)
        change.opened.append(lot_id)
        change.move(lot, None, amount)
        return lot

    def pay_debts(self, change: Change, credited: Iterable[Lot]) -> None:
        """What is owed is paid from the lots just credited, the oldest line first."""
        owing = [
            (spend.occurred_at, spend.proposal_id, (BASE, BOOST).index(name), spend, name)
            for spend in self.spends_of[change.freelancer_id]
            for name in (BASE, BOOST)
            if spend.lines[name].debt
        ]
        lots = burn_order(credited)
        for _, proposal_id, _, spend, name in sorted(owing, key=lambda item: item[:3]):
            line = spend.lines[name]
            for lot in lots:
                paid = min(lot.remaining, line.debt)
                if paid:
                    lot.remaining -= paid
                    line.debt -= paid
                    line.draws.append((lot.lot_id, paid))
                    change.move(lot, None, -paid)
                    change.move(None, (proposal_id, name), paid)

    def cancel_debts(self, change: Change, spend: Spend, names: list[str]) -> None:
        for name in names:
            line = spend.lines[name]
            change.move(None, (spend.proposal_id, name), line.debt)
            line.debt = 0

    def return_draws(
        self,
        change: Change,
        spend: Spend,
        names: list[str],
        *,
        refunds: dict[str, Any],
        instant: datetime,
        returned_by: object,
    ) -> list[Lot]:
        """Bring back what the lines drew, each lot once, in burn order; the lots credited are returned."""
        drawn: dict[str, int] = {}
        for name in names:
            line = spend.lines[name]
            for lot_id, amount in line.draws:
                drawn[lot_id] = drawn.get(lot_id, 0) + amount
            line.draws, line.returned, line.returned_by = [], True, returned_by
        credited = []
        for lot in burn_order(self.lots[lot_id] for lot_id in drawn):
            ending = lot.expires_at - instant < timedelta(days=refunds["ending_lot_days"])
            if ending and refunds["refund_to_ending_lot"] == "grace":
                until = instant + timedelta(days=refunds["grace_lot_days"])
                grace_lot = self.open_lot(
                    change,
                    source="refund",
                    amount=drawn[lot.lot_id],
                    issued_at=instant,
                    expires_at=until,
                    linked_to=lot.lot_id,
                )
                credited.append(grace_lot)
            else:
                lot.remaining += drawn[lot.lot_id]
                assert lot.remaining <= lot.original, f"more came back than there ever was: {lot}"
                change.move(lot, None, drawn[lot.lot_id])
                credited.append(lot)
        return credited


def burn_order(lots: Iterable[Lot]) -> list[Lot]:
    """The order in which lots are drawn: what ends first goes first."""
    return sorted(lots, key=lambda lot: (lot.expires_at, lot.issued_at, lot.lot_id))


def years_later(at: datetime, years: int) -> datetime:
    """The same day of the year, 29 February becoming the 28th."""
    try:
        return at.replace(year=at.year + years)
    except ValueError:
        return at.replace(year=at.year + years, day=28)


def policy_instant(date: Any) -> datetime:  # noqa: ANN401
    """Dates of the policy file: a day means its first instant in UTC."""
    if isinstance(date, datetime):
        return date if date.tzinfo else date.replace(tzinfo=UTC)
    if isinstance(date, str):
        return policy_instant(datetime.fromisoformat(date))
    return datetime(date.year, date.month, date.day, tzinfo=UTC)
