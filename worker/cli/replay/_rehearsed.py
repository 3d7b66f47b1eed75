"""A plan that is rehearsed on a copy of the ledger, and what came of it as a page."""

from collections.abc import Iterator

import typer
from rich.console import Group, RenderableType

from worker.cli._progress import until_interrupted
from worker.cli.replay._pages import booked_table
from worker.cli.replay._plans import how_it_ended, not_booked_table
from worker.cli.replay._steps import in_steps
from worker.database_url import taken_apart
from worker.plain_text import plain
from worker.queries.commands import Answered
from worker.rehearsal import ON, Rehearsed, rehearsing
from worker.repair.applying import Way, begin
from worker.repair.plan_file import Plan
from worker.secrecy import remember
from worker.setting_values import is_database_url
from worker.settings import Settings
from worker.words.phrases import counted


def copy_named(url: str) -> str:
    """The URL of a copy as the driver takes it; its passwords are masked from now on.

    Raises:
        typer.BadParameter: it is no URL of a database.
    """
    try:
        remember(taken_apart(url).secrets)
        return is_database_url(url)
    except ValueError as error:
        raise typer.BadParameter(f"{ON}: {error}") from None


async def rehearsed(settings: Settings, plan: Plan, way: Way, copy: str, by: tuple[str, str]) -> Rehearsed:
    """Apply a plan to a copy; `by` says who does, and why.

    Raises:
        UsageError, OperatorNeeded, Transient: the copy is none, or the plan may not be applied to it.
    """
    stopping = until_interrupted()
    async with rehearsing(settings, copy, plan.header.through_seq, *by) as (rehearsal, conditions):

        async def stop(because: str) -> Answered:
            return await rehearsal.ask("replay-stop", {"plan": plan.hash, "close": False}, because)

        await begin(plan, rehearsal.ask)
        applied = await in_steps(rehearsal.connection, plan, way, rehearsal.ask, stop, stopping)
        return await rehearsal.what_came_of(applied, conditions)


def rehearsed_page(came: Rehearsed, plan: str) -> RenderableType:
    """What was booked on the copy, what was not, and what the clock did then."""
    return Group(*_parts(came, plan))


def _parts(came: Rehearsed, plan: str) -> Iterator[RenderableType]:
    effects = came.effects
    yield plain(f"Rehearsed on a copy; the ledger is as it was. {how_it_ended(came.applied, plan, on=ON)}")
    wallets, given = counted(effects.wallets, "wallet"), sum(one.given for one in effects.booked)
    taken = sum(one.taken for one in effects.booked)
    missing = f"; {effects.shortfall:,} that should be taken are not there" if effects.shortfall else ""
    yield f"{wallets} changed there: {given:,} Connects given, {taken:,} taken{missing}."
    if effects.booked:
        yield booked_table("What was booked", effects.booked)
    if came.followed:
        yield booked_table("Followed, by the clock", came.followed)
    if effects.not_booked:
        yield not_booked_table(effects.not_booked)
        if (more := effects.plan.deviated + effects.plan.left_out - len(effects.not_booked)) > 0:
            yield f"and {more:,} more"
