"""`connects balances`: what all wallets hold together, by source and month of end."""

from datetime import date, datetime
from typing import Annotated, Final, get_args

import typer
from rich.console import Group, RenderableType

from worker.cli._asking import answer
from worker.cli._errors import say
from worker.cli._options import Json
from worker.cli._output import csv_line, print_json, print_page, table
from worker.cli._values import instant, require_one_of
from worker.ledger.connections import Connection
from worker.pace import Pace
from worker.plain_text import plain
from worker.queries.asking import connected, snapshot
from worker.queries.balances import Balances, By, balances, outstanding
from worker.settings import Settings
from worker.words.phrases import connects, moment

_FORMATS: Final = ("table", "csv")


def command(
    *,
    known_at: Annotated[
        str | None, typer.Option(metavar="T", help="As it could be read then, with a time zone. Default: now.")
    ] = None,
    by: Annotated[str | None, typer.Option(help="source or expiry-month. Default: both.")] = None,
    as_what: Annotated[str | None, typer.Option("--format", help="table (default) or csv.")] = None,
    as_json: Json = False,
) -> None:
    """Add up what all wallets hold, by where it came from and by the month in which it ends; debts are a row below 0.

    For a past time it is computed from the history, and is the same whenever it is asked for.

    Example: connects balances --known-at 2026-04-01T00:00:00Z --format csv
    """
    at = instant("--known-at", known_at)
    require_one_of("--by", by, get_args(By))
    require_one_of("--format", as_what, _FORMATS)
    if as_json and as_what is not None:
        raise typer.BadParameter("give one of --format and --json")
    narrowed: By | None = "source" if by == "source" else "expiry-month" if by == "expiry-month" else None

    async def ask(settings: Settings) -> Balances:
        # What is current is of one instant; history stays as it is, so reading it needs no snapshot.
        async with (snapshot if at is None else connected)(settings.database_url) as connection:
            return await _added_up(connection, at, narrowed)

    found = answer(ask)
    if as_json:
        print_json(found)
    elif as_what == "csv":
        typer.echo(_csv(found), nl=False)
    else:
        print_page(_page(found))


async def _added_up(connection: Connection, at: datetime | None, by: By | None) -> Balances:
    pace = Pace()
    async for summing in outstanding(connection, at):
        if pace.is_due():
            say(f"added up to decision {summing.through:,} of {summing.end:,}")
    return await balances(connection, at, summing, by)


def _page(found: Balances) -> RenderableType:
    when = "now" if found.known_at is None else f"as known at {moment(found.known_at)}"
    page = table("source", "ends in", "connects")
    for row in found.rows:
        page.add_row(plain(row.source or "all"), _month(row.ends_in), str(row.connects))
    parts: list[RenderableType] = [page, ""] if found.rows else []
    parts.append(f"{connects(found.total)} outstanding {when}, by the decisions up to {found.through_seq}.")
    if not found.final and found.known_at is not None:
        parts.append("Nothing was recorded later: it may still change.")
    return Group(*parts)


def _csv(found: Balances) -> str:
    """A month is named by its first day."""
    rows = ((plain(row.source or ""), row.ends_in or "", row.connects) for row in found.rows)
    return "".join(map(csv_line, (("source", "ends_in", "connects"), *rows)))


def _month(month: date | None) -> str:
    return "" if month is None else f"{month:%Y-%m}"
