"""`connects replay status`: what became of plans."""

from typing import Annotated

import typer

from worker.cli._asking import answer_from_ledger
from worker.cli._options import Json
from worker.cli._output import print_found
from worker.cli.replay._plans import find_plan, plans_page
from worker.ledger.connections import Connection
from worker.queries.replays import Plans, plans_begun
from worker.settings import Settings


def command(
    plan: Annotated[
        str | None, typer.Argument(metavar="PLAN", help="A plan's file, its hash, or the beginning of its hash.")
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """Show which plans were begun, by whom and why, and what became of their triggers; the last one first.

    Of each plan the first 20 triggers that were not booked are shown, with the reason.

    Example: connects replay status hour.plan
    """

    async def ask(connection: Connection, _settings: Settings) -> Plans:
        return await plans_begun(connection) if plan is None else Plans([await find_plan(connection, plan)])

    print_found(answer_from_ledger(ask), plans_page, as_json=as_json)
