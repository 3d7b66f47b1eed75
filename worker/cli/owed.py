"""`connects owed`: the refunds that closures owe and nobody made."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated, Final

import typer
from rich.console import Group, RenderableType

from worker.cli._asking import answer
from worker.cli._errors import FOUND_SOMETHING, say
from worker.cli._options import Json
from worker.cli._output import print_found, table
from worker.cli._values import duration
from worker.pace import Pace
from worker.plain_text import plain
from worker.queries.asking import connected
from worker.queries.lookups import require_known
from worker.queries.owed import Owed, Scope, Tally, business_time_of, owed_in_parts
from worker.replies.known import Asked
from worker.settings import Settings
from worker.words.phrases import connects, counted
from worker.words.times import lasting, when

_SHOWN: Final = 100
_MOST_SHOWN: Final = 100_000


def command(
    *,
    older_than: Annotated[
        str | None, typer.Option(metavar="D", help="Only those owed for at least so long: 90s, 15m, 1h, 2d.")
    ] = None,
    job: Annotated[str | None, typer.Option(help="Of this job only.")] = None,
    freelancer: Annotated[str | None, typer.Option(help="Of this freelancer only.")] = None,
    limit: Annotated[
        int, typer.Option(min=1, max=_MOST_SHOWN, help="How many to list, oldest first; all are counted.")
    ] = _SHOWN,
    as_json: Json = False,
) -> None:
    """Compare what closures owe, by all that is known now, with what was returned. Exit 1 if a refund is owed.

    Not owed is what waits for its grace, or behind a parked wallet or job. Without --job or --freelancer it reads the
    whole ledger.

    Example: connects owed --older-than 1h
    """
    if job is not None and freelancer is not None:
        raise typer.BadParameter("give one of --job and --freelancer, not both")
    age = duration("--older-than", older_than) or timedelta(0)

    async def ask(settings: Settings) -> Owed:
        tally = Tally(limit)
        pace = Pace()
        async with connected(settings.database_url) as connection:
            for role, key in _named(job, freelancer):
                await require_known(connection, role, key)
            at = await business_time_of(connection)
            if at is not None:
                async for part in owed_in_parts(connection, Scope(job, freelancer, age), at, settings.grace):
                    tally.add(part)
                    if pace.is_due():
                        say(f"{tally.jobs:,} jobs read; {tally.refunds:,} refunds are owed so far")
            return tally.total(at)

    found = answer(ask)
    print_found(found, _page, as_json=as_json)
    if found.refunds:
        raise typer.Exit(FOUND_SOMETHING)


def _named(job: str | None, freelancer: str | None) -> Iterator[tuple[Asked, str]]:
    """Whom the options name, and as what."""
    if job is not None:
        yield "job", job
    if freelancer is not None:
        yield "freelancer", freelancer


def _page(found: Owed) -> RenderableType:
    """What is owed, oldest first, and the sums."""
    made = f"{counted(found.made, 'refund')} of {connects(found.connects_made)} made, on {counted(found.jobs, 'job')}"
    if not found.owed:
        return f"Nothing is owed. {made}."
    page = table("owed for", "connects", "freelancer", "job", "proposal", "due (UTC)", "on the schedule")
    for one in found.owed:
        page.add_row(
            lasting(one.age_seconds),
            str(one.connects),
            plain(one.freelancer_id),
            plain(one.job_id),
            plain(one.proposal_id),
            when(one.due_at),
            "yes" if one.on_schedule else "no",
        )
    more = found.refunds - len(found.owed)
    owed_in_all = f"{counted(found.refunds, 'refund')} of {connects(found.connects)} owed"
    return Group(page, *([f"... and {more} more"] if more else []), "", f"{owed_in_all}. {made}.")
