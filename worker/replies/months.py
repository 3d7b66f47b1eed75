"""A month of a wallet: what came in and what went out, by kind, from the balance before it to the balance after it."""

from collections.abc import Iterator, Mapping
from datetime import date, datetime
from typing import Final

import msgspec

from worker.replies.reply import Draft, Reply, composed
from worker.replies.writing import sentences
from worker.words.phrases import agreeing, connects, counted, day

_KINDS: Final[Mapping[tuple[str, bool], str]] = {
    ("grant.registration", True): "registering",
    ("grant.badge", True): "badges",
    ("grant.certification", True): "certifications",
    ("grant.interview", True): "interviews",
    ("grant.monthly", True): "monthly Connects",
    ("grant.upgrade", True): "upgrades to Plus",
    ("grant.purchase", True): "bought",
    ("adjust", True): "added by support",
    ("adjust", False): "taken off by support",
    ("spend.proposal", False): "proposals",
    ("refund.job-closed-without-hire", True): "came back from proposals",
    ("refund.boost-outbid", True): "came back from boosts",
    ("refund.clawed-back", False): "taken back after a late hire",
    ("correct.settle", True): "came back from proposals, as a correction",
    ("correct.settle", False): "taken back, as a correction",
    ("correct.void", True): "given back, as a correction",
    ("correct.void", False): "taken back, as a correction of what should not have been booked",
    ("correct.undo", True): "given back, as a correction was undone",
    ("correct.undo", False): "taken back, as a correction was undone",
    ("correct.replace", True): "given, as a correction of what had been booked wrongly",
    ("correct.replace", False): "taken, as a correction of what had been booked wrongly",
    ("correct.decide", True): "added, as a correction of an amount",
    ("correct.decide", False): "taken back, as a correction of an amount",
    ("expire.lot", False): "expired",
}
_MONTHS_IN_A_YEAR: Final = 12


class OfKind(msgspec.Struct, frozen=True):
    """What the changes of one kind come to, signed, and how many they are."""

    kind: str
    rule: str
    connects: int
    changes: int


class Month(msgspec.Struct, frozen=True):
    """A wallet in one month, by when its changes took effect: `opening` + the kinds = `closing`.

    `closing` + `later` = `balance`, which is that of now; `later` is what took effect after the month. The month's
    `proposals` cost `spent`, of which by now, in this month or later, `back` came back, `kept` did not, and `open` is
    undecided.
    """

    freelancer_id: str
    month: str
    opening: int
    kinds: list[OfKind]
    closing: int
    later: int
    balance: int
    proposals: int = 0
    spent: int = 0
    back: int = 0
    kept: int = 0
    open: int = 0


def kind_of(rule: str, *, came_in: bool) -> str:
    """What changes under a rule are called; a rule that was added has its own name."""
    return _KINDS.get((rule, came_in), rule)


def month_after(first: datetime) -> datetime:
    """The first instant of the next month."""
    years, month = divmod(first.month, _MONTHS_IN_A_YEAR)
    return first.replace(year=first.year + years, month=month + 1)


def about_month(month: Month) -> Reply:
    """The reply about a month: from what to what, and a line for each kind."""
    first = date.fromisoformat(f"{month.month}-01")
    named = day(datetime(first.year, first.month, 1)).partition(" ")[2]  # noqa: DTZ001 - a day, in words
    if not month.kinds:
        headline = f"Nothing changed in {named}: you had {connects(month.closing)} all the time."
    else:
        headline = f"In {named} your balance went from {month.opening} to {connects(month.closing)}."
    now = f"You have {connects(month.balance)} now." if month.balance != month.closing else ""
    numbers = {"opening": month.opening, "closing": month.closing, "balance": month.balance}
    if month.spent:
        of_them = f"of your {connects(month.spent)} on {counted(month.proposals, 'proposal')} of {named}"
        rest = [f"{month.kept} did not"] * bool(month.kept)
        rest += [f"{month.open} {agreeing(month.open, 'is', 'are')} still undecided"] * bool(month.open)
        but = f"; {' and '.join(rest)}" if rest else ""
        now = sentences(f"{month.back or 'None'} {of_them} came back so far{but}.", now)
        numbers |= {name: getattr(month, name) for name in ("proposals", "spent", "back", "kept", "open")}
    return composed(Draft("info", headline, then=now, endings=list(_lines(month)), numbers=numbers), {})


def _lines(month: Month) -> Iterator[str]:
    for one in month.kinds:
        yield f"{one.kind}: {one.connects:+d} in {counted(one.changes, 'change')}."
