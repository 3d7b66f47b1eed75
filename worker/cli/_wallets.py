"""Pages of a wallet at another time, and the tables that they share with `connects history`."""

from collections.abc import Sequence
from datetime import datetime

from rich.console import Group, RenderableType
from rich.text import Text

from worker.cli._output import table
from worker.plain_text import plain
from worker.queries.as_of import HistoryAsOf, HistoryKnownAt
from worker.queries.history import ChangeRecord
from worker.replies.recorded import LotHeld
from worker.words.phrases import connects, moment
from worker.words.times import when


def as_of_page(history: HistoryAsOf) -> RenderableType:
    """The balance by then and how sure it is, and the changes in the order in which they took effect."""
    has = f"By what had taken effect at {moment(history.as_of)}, {plain(history.freelancer_id)} has"
    parts: list[RenderableType] = [
        Text(f"{has} {connects(history.balance)}.", style="bold"),
        Text(history.explanation),
    ]
    if history.changes:
        page = table("version", "when (UTC)", "change", "balance by then", "why")
        for change in history.changes:
            page.add_row(
                str(change.version),
                when(change.occurred_at),
                f"{change.delta:+d}",
                str(change.balance_by_then),
                plain(change.explanation),
            )
        parts += ["", page]
    return Group(*parts, *left_out(len(history.changes), history.of_all))


def known_at_page(history: HistoryKnownAt) -> RenderableType:
    """What could be read then."""
    had = f"At {moment(history.known_at)} the ledger said: {plain(history.freelancer_id)} has"
    parts: list[RenderableType] = [Text(f"{had} {connects(history.balance)}.", style="bold")]
    if history.membership is not None:
        parts.append(Text(plain(history.membership.explanation)))
    elif not history.membership_stored:
        parts.append(Text("The release of that time did not store how the membership was."))
    if not history.final:
        parts.append(Text("Nothing was recorded later, so what is recorded next may still count."))
    if history.lots:
        parts += ["", lots_table(history.lots)]
    if history.changes:
        parts += ["", changes_table(history.changes)]
    return Group(*parts, *left_out(len(history.changes), history.version))


def lots_table(lots: Sequence[LotHeld], *, details: bool = True) -> RenderableType:
    """What a wallet holds; with `details` also the lots' names, and times of day."""
    page = table("remaining", "expires", "source", "came in", *(["lot"] if details else []))
    for lot in lots:
        dated = [_on(lot.expires_at, details), lot.source, _on(lot.issued_at, details)]
        page.add_row(str(lot.remaining), *dated, *([lot.lot_id] if details else []))
    return page


def _on(instant: datetime, details: bool) -> str:  # noqa: FBT001 - of the table
    """An instant to the second, or its day in UTC."""
    return when(instant) if details else f"{instant:%Y-%m-%d}"


def changes_table(changes: Sequence[ChangeRecord], *, details: bool = True) -> RenderableType:
    """Changes, with the balance after each; with `details` also their versions, and times of day."""
    page = table(*(["version"] if details else []), "when (UTC)", "change", "balance", "why")
    for change in changes:
        page.add_row(
            *([str(change.version)] if details else []),
            _on(change.occurred_at, details),
            f"{change.delta:+d}",
            str(change.balance_after),
            plain(change.explanation),
        )
    return page


def left_out(shown: int, of_all: int) -> list[str]:
    """How many changes are not shown, and how to see them; nothing if all are."""
    return [f"The last {shown} of {of_all} changes. --last {of_all} shows all."] if shown < of_all else []
