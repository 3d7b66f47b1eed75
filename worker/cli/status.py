"""`connects status`: how the ledger and its workers are."""

from collections.abc import Iterable

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from worker.cli._asking import answer
from worker.cli._errors import FOUND_SOMETHING
from worker.cli._options import Json
from worker.cli._output import print_found, table
from worker.plain_text import plain
from worker.queries import status as statuses
from worker.queries.figures import figures_of
from worker.queries.status import Status
from worker.words.phrases import money
from worker.words.times import when


def command(*, as_json: Json = False) -> None:
    """Show how the ledger and its workers are. Exit 1 if something needs a person: the lines that begin with `!`.

    Example: connects status --json
    """
    found = answer(statuses.status)
    print_found(found, status_page, as_json=as_json)
    if found.problems:
        raise typer.Exit(FOUND_SOMETHING)


def status_page(status: Status) -> RenderableType:
    """Figures, then problems, then information that needs no action."""
    figures = table("", "", header=False)
    for name, value in figures_of(status).items():
        if value != "":
            figures.add_row(name, plain(value))
    problems = [Text(f"! {plain(problem.what)}", style="bold red") for problem in status.problems]
    charges = list(_charges(status))
    listed = [
        Text(f"{when(row.recorded_at)}  decision {row.seq}: {plain(row.explanation)}") for row in status.for_operators
    ]
    return Group(
        figures,
        *([""] if problems else []),
        *problems,
        *(["", *charges] if charges else []),
        *(["", "Worth knowing (decided; nothing waits for it):"] if listed else []),
        *listed,
    )


def _charges(status: Status) -> Iterable[RenderableType]:
    """The charges that have waited longest for the billing system."""
    if not status.charges_waiting:
        return
    page = table("unanswered charge", "freelancer", "amount", "asked (UTC)", "lapses on")
    for charge in status.charges_waiting:
        page.add_row(
            charge.charge_id,
            charge.freelancer_id,
            money(charge.amount_cents, charge.currency),
            when(charge.requested_at),
            "never (an upgrade)" if charge.lapses_on is None else str(charge.lapses_on),
        )
    yield page
    more = status.charges_unanswered - len(status.charges_waiting)
    if more > 0:
        yield f"... and {more} more"
