"""`connects replay apply`: have the active worker carry out a plan."""

import asyncio
import signal
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from worker.cli._asking import answer
from worker.cli._changes import who
from worker.cli._errors import FOUND_SOMETHING, say
from worker.cli._options import Actor, Json, Why, require_reason
from worker.cli._output import print_found
from worker.cli.replay._plans import became, how_it_ended
from worker.errors import OperatorNeeded, UsageError
from worker.ledger.connections import Connection
from worker.queries import commands
from worker.queries.asking import connected
from worker.queries.commands import Answered
from worker.queries.replays import answered_triggers, require_active_worker
from worker.repair.applying import Applied, Ask, Way, apply, begin, takes_of
from worker.repair.plan_file import Plan, read_plan
from worker.settings import Settings


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
    actor: Actor = None,
    as_json: Json = False,
) -> None:
    """Have the active worker carry out a plan: each trigger brings what was planned, or nothing of it is booked.

    It begins with 1 trigger, then 10, 100 and 1,000, then 500 at a time, and shows after each step what was booked,
    what deviated from the plan and what was left out. Live traffic goes on meanwhile. Ctrl-C ends it between two
    chunks; run again it goes on where it stopped, and nothing is booked twice. A plan that takes Connects needs
    --give-only or --take-too.

    Exit 1 unless each trigger was booked.

    Example: connects replay apply hour.plan --why "the importer lost 09:00 to 10:00" --take-too
    """
    require_reason(why)
    if give_only and take_too:
        raise typer.BadParameter("choose one of --give-only and --take-too")

    async def run(settings: Settings) -> Applied:
        found = read_plan(plan)
        if not (give_only or take_too) and (takes := takes_of(found)):
            raise UsageError(
                f"{takes} of the plan's triggers take Connects away: add --take-too, or --give-only to leave them out"
            )
        way = Way(give_only, most_deviations / 100, rate)
        return await _apply(settings, found, way, who(actor), why)

    applied = answer(run)
    print_found(applied, lambda one: how_it_ended(one, str(plan)), as_json=as_json)
    if not applied.is_as_planned:
        raise typer.Exit(FOUND_SOMETHING)


async def _apply(settings: Settings, plan: Plan, way: Way, actor: str, why: str) -> Applied:
    stopping = _until_interrupted()
    async with connected(settings.database_url) as connection:
        await require_active_worker(connection)

        async def ask(name: str, arguments: dict[str, object]) -> Answered:
            return await commands.ask(settings, name, arguments, actor=actor, why=why, execute=_refuse)

        await begin(plan, ask)
        return await _in_steps(connection, plan, way, ask, stopping)


async def _in_steps(connection: Connection, plan: Plan, way: Way, ask: Ask, stopping: asyncio.Event) -> Applied:
    applied = Applied(plan.hash, 0)
    async for applied in apply(plan, await answered_triggers(connection, plan.hash), way, ask, stopping):
        say(became(applied))
    return applied


async def _refuse(_settings: Settings) -> None:
    """What is done instead of carrying a command out here, when the worker is gone."""
    raise OperatorNeeded(
        "no worker is active any more, and it carries out a plan. Start one (`connects run`), then apply the plan "
        "again: it goes on where it stopped"
    )


def _until_interrupted() -> asyncio.Event:
    """Set by the first Ctrl-C; a second one ends the command where it is."""
    stopping, loop = asyncio.Event(), asyncio.get_running_loop()

    def stop() -> None:
        say("stopping after this chunk; press Ctrl-C again to end now")
        stopping.set()
        loop.remove_signal_handler(signal.SIGINT)

    with suppress(RuntimeError, ValueError):  # not in the main thread: then Ctrl-C does not come here
        loop.add_signal_handler(signal.SIGINT, stop)
    return stopping
