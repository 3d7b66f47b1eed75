"""`connects replay undo`: what reversing a plan would bring, before anything is changed."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from worker.cli._asking import answer
from worker.cli._options import Json
from worker.cli._output import print_json, print_page
from worker.cli._progress import progress_shown
from worker.cli.replay._pages import nothing_to_undo, summary_page
from worker.cli.replay._plans import find_plan
from worker.errors import UsageError
from worker.plain_text import plain
from worker.queries.asking import connected
from worker.queries.replays import PlanRecord
from worker.repair.making import Made, make_undo
from worker.settings import Settings
from worker.words.operators import SHOWN_OF_A_HASH


def command(
    plan: Annotated[str, typer.Argument(metavar="PLAN", help="A plan's file, its hash, or the beginning of its hash.")],
    *,
    out: Annotated[Path, typer.Option("--out", metavar="UNDO", dir_okay=False, help="The new file for the plan.")],
    as_json: Json = False,
) -> None:
    """Decide what reversing a plan that was applied would bring, and write that as a plan. Changes nothing else.

    `connects replay show UNDO` shows it, and `connects replay apply UNDO` carries it out. Each trigger that was booked
    is reversed as far as it goes, the latest first: what it gave is taken, what it took is given back, and grants and
    proposals count again, or no longer, as before. What was corrected again later is left out: undo that plan first. An
    undo is not undone: make the first plan again.

    A plan that is being applied is refused: stop it first. A role that may only read is enough.

    Example: connects replay undo 2f0c7c7f1e0a --out undo.plan
    """

    async def make(settings: Settings) -> Made:
        async with connected(settings.database_url) as connection:
            found = await find_plan(connection, plan)
        _require_not_open(found)
        return await make_undo(settings, found.plan, out, progress_shown())

    made = answer(make)
    if as_json:
        print_json({"hash": made.hash} | msgspec.to_builtins(made.summary))
        return
    if not sum(made.summary.triggers.values()):
        typer.echo(plain(nothing_to_undo(made.summary)))
    typer.echo(plain(f"{out}: plan {made.hash}"))
    print_page(summary_page(made.summary))


def _require_not_open(found: PlanRecord) -> None:
    """Refuse a plan whose triggers are being decided.

    Raises:
        UsageError: it is open, and triggers are left.
    """
    if found.state == "open" and found.left:
        raise UsageError(
            f"plan {found.plan[:SHOWN_OF_A_HASH]} is open, and {found.left:,} of its triggers have no answer: stop it "
            "first (`connects replay stop`), so that no more of it is booked meanwhile"
        )
