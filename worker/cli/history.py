"""`connects history`: a wallet in words and every change of it; what is coming up; or what a month brought and took."""

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from worker.cli._asking import answer_from_ledger
from worker.cli._options import LAST_SHOWN, Json
from worker.cli._output import print_page, table
from worker.cli._replies import print_reply_as_json, refuse_unknown
from worker.cli._values import instant, month_begins
from worker.cli._wallets import as_of_page, changes_table, known_at_page, left_out, lots_table
from worker.ledger.connections import Connection
from worker.plain_text import plain
from worker.queries import history as wallets
from worker.queries.as_of import HistoryAsOf, HistoryKnownAt, history_as_of, history_known_at
from worker.queries.history import History, Upcoming
from worker.queries.policies import policies
from worker.queries.questions import about_nobody
from worker.queries.wallets import month_of, upcoming_reply, wallet_reply
from worker.replies.months import Month, about_month
from worker.replies.reply import Reply
from worker.replies.wallets import about_the_past
from worker.settings import Settings


def command(
    freelancer: Annotated[str, typer.Argument(metavar="FREELANCER", help="The freelancer's id.")],
    *,
    upcoming: Annotated[
        bool, typer.Option("--upcoming", help="What is coming up, instead: grants, renewals, expiries.")
    ] = False,
    as_of: Annotated[
        str | None, typer.Option(metavar="T", help="The changes that took effect up to then, and what they make.")
    ] = None,
    known_at: Annotated[
        str | None, typer.Option(metavar="T", help="What could be read then: balance, lots, membership, changes.")
    ] = None,
    month: Annotated[
        str | None, typer.Option(metavar="YYYY-MM", help="What a month brought and took, by kind, and the balances.")
    ] = None,
    details: Annotated[
        bool, typer.Option("--details", help="Also the plan in words, versions, lots and times of day.")
    ] = False,
    last: Annotated[
        int | None, typer.Option(min=1, max=1_000_000_000, help="How many changes. Default: all in JSON, else 40.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Say how many Connects there are, what comes and what expires; below it what is held, and every change.

    Times need a zone: 2026-03-14T09:00:00Z. Exit 1 if no event has named the freelancer.

    Example: connects history f-1 --upcoming --json
    """
    effective, recorded = instant("--as-of", as_of), instant("--known-at", known_at)
    first = month_begins("--month", month)
    if upcoming + sum(option is not None for option in (as_of, known_at, month)) > 1:
        raise typer.BadParameter("give one of --upcoming, --as-of, --known-at and --month")
    shown = last if as_json or last else LAST_SHOWN
    if first is not None:
        _show_month(freelancer, first, as_json=as_json)
    elif upcoming:
        _show_upcoming(freelancer, as_json=as_json)
    elif effective is not None:
        _show_as_of(freelancer, effective, shown, as_json=as_json)
    elif recorded is not None:
        _show_known_at(freelancer, recorded, shown, as_json=as_json)
    else:
        _show_history(freelancer, shown, details=details, as_json=as_json)


def _show_history(freelancer: str, last: int | None, *, details: bool, as_json: bool) -> None:
    async def ask(connection: Connection, settings: Settings) -> tuple[History | None, Reply]:
        book = policies(settings)
        found = await wallets.history(connection, freelancer, last=last, policies=book)
        reply = await wallet_reply(connection, freelancer, book)
        return found, reply or await about_nobody(connection, freelancer, book)

    found, reply = answer_from_ledger(ask)
    if found is None:
        refuse_unknown(reply, History(freelancer, 0, 0, False, [], []), as_json=as_json)
    elif as_json:
        print_reply_as_json(reply, found)
    else:
        print_page(_history_page(reply, found, details=details))


def _show_upcoming(freelancer: str, *, as_json: bool) -> None:
    async def ask(connection: Connection, settings: Settings) -> tuple[Upcoming | None, Reply]:
        book = policies(settings)
        found = await wallets.upcoming(connection, freelancer, book)
        reply = await upcoming_reply(connection, freelancer, book)
        return found, reply or await about_nobody(connection, freelancer, book)

    found, reply = answer_from_ledger(ask)
    if found is None:
        refuse_unknown(reply, Upcoming([]), as_json=as_json)
    elif as_json:
        print_reply_as_json(reply, found)
    else:
        print_page(_upcoming_page(reply, found, freelancer))


def _show_month(freelancer: str, first: datetime, *, as_json: bool) -> None:
    async def ask(connection: Connection, settings: Settings) -> Month | Reply:
        book = policies(settings)
        found = await month_of(connection, freelancer, first, book)
        return found or await about_nobody(connection, freelancer, book)

    found = answer_from_ledger(ask)
    if isinstance(found, Reply):
        refuse_unknown(found, as_json=as_json)
    elif as_json:
        print_reply_as_json(about_month(found), found)
    else:
        print_page(_month_page(found))


def _show_as_of(freelancer: str, at: datetime, last: int | None, *, as_json: bool) -> None:
    async def ask(connection: Connection, settings: Settings) -> HistoryAsOf | Reply:
        found = await history_as_of(connection, freelancer, at, settings.earliest_event, last=last)
        return found or await about_nobody(connection, freelancer, policies(settings))

    found = answer_from_ledger(ask)
    if isinstance(found, Reply):
        refuse_unknown(found, as_json=as_json)
    elif as_json:
        print_reply_as_json(about_the_past(found.balance, at), found)
    else:
        print_page(as_of_page(found))


def _show_known_at(freelancer: str, at: datetime, last: int | None, *, as_json: bool) -> None:
    async def ask(connection: Connection, settings: Settings) -> HistoryKnownAt | Reply:
        found = await history_known_at(connection, freelancer, at, last=last)
        return found or await about_nobody(connection, freelancer, policies(settings), at)

    found = answer_from_ledger(ask)
    if isinstance(found, Reply):
        refuse_unknown(found, as_json=as_json)
    elif as_json:
        print_reply_as_json(about_the_past(found.balance, at), found)
    else:
        print_page(known_at_page(found))


def _history_page(reply: Reply, history: History, *, details: bool) -> RenderableType:
    """A wallet: in words, then what it holds and its changes, oldest first."""
    parts = [*_in_words(reply, history.freelancer_id)]
    if details and history.membership is not None:
        parts.append(Text(plain(history.membership.explanation)))
    if history.lots:
        parts += ["", lots_table(history.lots, details=details)]
    if history.changes:
        parts += ["", changes_table(history.changes, details=details)]
    return Group(*parts, *left_out(len(history.changes), history.version))


def _in_words(reply: Reply, freelancer: str) -> Iterator[RenderableType]:
    """A reply in one paragraph, and where the rules behind it are."""
    yield Text(plain(reply.reply.replace("\n", " ")), style="bold")
    topics = ", ".join(standing.topic for standing in reply.if_they_object)
    if topics:
        yield Text(f"If they object: connects answer TOPIC --freelancer {plain(freelancer)} ({topics})", style="dim")


def _upcoming_page(reply: Reply, upcoming: Upcoming, freelancer: str) -> RenderableType:
    page = table("on", "what", "connects", "")
    for expected in upcoming.upcoming:
        page.add_row(str(expected.on), expected.kind, str(expected.connects), plain(expected.explanation))
    parts = [*_in_words(reply, freelancer)]
    if upcoming.upcoming:
        parts += ["", page]
    return Group(*parts)


def _month_page(month: Month) -> RenderableType:
    """A month: from which balance to which, and what lies between, by kind."""
    page = table("", "connects", "changes")
    page.add_row("before", str(month.opening), "")
    for one in month.kinds:
        page.add_row(plain(one.kind), f"{one.connects:+d}", str(one.changes))
    page.add_row("after", str(month.closing), "")
    if month.later:
        page.add_row("later", f"{month.later:+d}", "")
        page.add_row("now", str(month.balance), "")
    reply = about_month(month)
    rest = [line for line in reply.reply.splitlines()[1:] if not line.startswith("- ")]
    return Group(Text(plain(reply.headline), style="bold"), *(Text(plain(line)) for line in rest), "", page)
