"""Lots and owing spends where the rules expect them, after a decision was taken back or a recorded one applied."""

from bisect import bisect_left, insort

import msgspec

from worker.domain.booking import burn_order, debt_order, find_lot
from worker.domain.model import Lot, LotId, Spend, SpendLine, Wallet


def known_lot(wallet: Wallet, lot_id: LotId) -> Lot | None:
    """A wallet's lot by its id, open or drained."""
    drained = wallet.drained.get(lot_id)
    return drained or next((lot for lot in wallet.lots if lot.lot_id == lot_id), None)


def put_lot(wallet: Wallet, lot: Lot) -> None:
    """Put a lot among the open ones if something remains in it, else among the drained ones."""
    drop_lot(wallet, lot)
    if lot.remaining:
        insort(wallet.lots, lot, key=burn_order)
    else:
        wallet.drained[lot.lot_id] = lot


def drop_lot(wallet: Wallet, lot: Lot) -> None:
    """Take a lot out of the wallet."""
    wallet.drained.pop(lot.lot_id, None)
    if find_lot(wallet.lots, lot.order) is not None:
        del wallet.lots[bisect_left(wallet.lots, lot.order, key=burn_order)]


def put_owing(wallet: Wallet, spend: Spend) -> None:
    """Have a spend among those that owe if it does, and only then."""
    drop_owing(wallet, spend)
    if spend.owes:
        insort(wallet.owing, spend, key=debt_order)


def drop_owing(wallet: Wallet, spend: Spend) -> None:
    """Take a spend out of those that owe."""
    place = bisect_left(wallet.owing, debt_order(spend), key=debt_order)
    if place < len(wallet.owing) and wallet.owing[place] is spend:
        del wallet.owing[place]


def copy_of(spend: Spend) -> Spend:
    """A copy that no rule changes."""
    return msgspec.structs.replace(spend, base=_copy_of(spend.base), boost=_copy_of(spend.boost))


def _copy_of(line: SpendLine) -> SpendLine:
    return msgspec.structs.replace(line, draws=[*line.draws])


def restore(spend: Spend, before: Spend) -> None:
    """Let a spend be as it was; it stays the same object, which its wallet and its proposal share."""
    for name in Spend.__struct_fields__:
        setattr(spend, name, getattr(before, name))
