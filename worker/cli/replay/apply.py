"""`connects replay apply`: have the active worker carry out a plan."""

from pathlib import Path
from typing import Annotated

import typer

from worker.cli._asking import answer
from worker.cli._changes import who
from worker.cli._errors import FOUND_SOMETHING, refusals
from worker.cli._options import Actor, Json, Why, require_reason
from worker.cli._output import print_found
from worker.cli.replay._applying import Orderer, apply_by_worker
from worker.cli.replay._plans import how_it_ended, nothing_to_apply
from worker.cli.replay._rehearsed import copy_named, rehearsed, rehearsed_page
from worker.errors import UsageError
from worker.repair.applying import Applied, Way, takes_of, triggers_of
from worker.repair.plan_file import Plan, read_plan


def command(
    plan: Annotated[Path, typer.Argument(metavar="PLAN", help="The file that `connects replay plan` wrote.")],
    *,
    why: Why,
    give_only: Annotated[
        bool, typer.Option("--give-only", help="Leave out each trigger that takes Connects away on balance.")
    ] = False,
    take_too: Annotated[bool, typer.Option("--take-too", help="Decide also what takes Connects away.")] = False,
    most_deviations: Annotated[
        float,
        typer.Option(min=0, max=100, metavar="PERCENT", help="Stop when more of what was asked for deviates."),
    ] = 1.0,
    rate: Annotated[
        float | None,
        typer.Option(min=0.01, metavar="N", help="At most this many triggers a second [as fast as it goes]."),
    ] = None,
    on: Annotated[
        str | None,
        typer.Option(
            "--on",
            metavar="DATABASE_URL",
            help="Rehearse the plan on this copy of the ledger, and leave the ledger alone.",
        ),
    ] = None,
    actor: Actor = None,
    as_json: Json = False,
) -> None:
    """Have the active worker carry out a plan: each trigger brings what was planned, or nothing of it is booked.

    It begins with 1 trigger, then 10, 100 and 1,000, then 500 at a time, and shows after each step what was booked,
    what deviated from the plan and what was left out. Then it checks the wallets and jobs that the step touched, by the
    checks of `connects verify`, and stops the plan if something is wrong. Live traffic goes on meanwhile. Ctrl-C ends
    it between two chunks; run again it goes on where it stopped, and nothing is booked twice. A plan that takes
    Connects needs --give-only or --take-too.

    --on rehearses the plan on a copy of the ledger: this command applies it there by itself, then does what the clock
    has due, and shows what came of it. Nothing is published from the copy, and no worker can lead it afterwards; look
    at it with DATABASE_URL set to it. It has to be a copy of the ledger of DATABASE_URL, which stays as it is.

    A plan without triggers has nothing to apply, and is not begun.

    Exit 1 unless each trigger was booked.

    Example: connects replay apply hour.plan --why "the importer lost 09:00 to 10:00" --take-too
    """
    require_reason(why)
    if give_only and take_too:
        raise typer.BadParameter("choose one of --give-only and --take-too")

    way, copy = Way(give_only, most_deviations / 100, rate), None if on is None else copy_named(on)

    def ready() -> Plan:
        found = read_plan(plan)
        if not (give_only or take_too) and (takes := takes_of(found)):
            raise UsageError(
                f"{takes} of the plan's triggers take Connects away: add --take-too, or --give-only to leave them out"
            )
        return found

    with refusals():
        found = ready()
    if not triggers_of(found):
        print_found(Applied(found.hash, 0), lambda _: nothing_to_apply(str(plan)), as_json=as_json)
        return
    if copy is not None:
        came = answer(lambda settings: rehearsed(settings, found, way, copy, (who(actor), why)))
        print_found(came, lambda one: rehearsed_page(one, str(plan)), as_json=as_json)
        applied = came.applied
    else:
        applied = answer(lambda settings: apply_by_worker(settings, found, way, Orderer(who(actor), why)))
        print_found(applied, lambda one: how_it_ended(one, str(plan)), as_json=as_json)
    if not applied.is_as_planned:
        raise typer.Exit(FOUND_SOMETHING)
