"""`connects parked list`: what is stopped."""

import typer
from rich.console import Group, RenderableType

from worker.cli._asking import answer_from_ledger
from worker.cli._errors import FOUND_SOMETHING
from worker.cli._options import Json
from worker.cli._output import print_found, table
from worker.plain_text import plain
from worker.queries.parked import Parked, list_parked
from worker.words.times import when


def command(*, as_json: Json = False) -> None:
    """List what is stopped, why, and how much waits. Exit 1 if anything is.

    Example: connects parked list --json
    """
    found = answer_from_ledger(lambda connection, _settings: list_parked(connection))
    print_found(found, _page, as_json=as_json)
    if found.parked:
        raise typer.Exit(FOUND_SOMETHING)


def _page(parked: Parked) -> RenderableType:
    """What is stopped, and how to go on."""
    if not parked.parked:
        return "Nothing is parked."
    page = table("scope", "key", "since", "waiting", "failed on", "error")
    for row in parked.parked:
        failed_on = row.event_id if row.offset is None else f"{row.topic}/{row.partition}/{row.offset}"
        page.add_row(row.scope, row.key, when(row.since), str(row.waiting), failed_on or "", plain(row.error))
    first = parked.parked[0]
    return Group(page, "", f"When the failure is repaired: connects parked release {first.scope} {first.key}")
