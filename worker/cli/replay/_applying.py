"""Having the active worker carry out a plan: what `replay apply` and `dead-letters redrive` have in common."""

import asyncio
from typing import NamedTuple

from worker.cli._progress import until_interrupted
from worker.cli.replay._steps import in_steps
from worker.errors import OperatorNeeded
from worker.queries import commands
from worker.queries.asking import connected
from worker.queries.commands import Answered
from worker.queries.replays import require_active_worker
from worker.repair.applying import Applied, Way, begin
from worker.repair.plan_file import Plan
from worker.settings import Settings


class Orderer(NamedTuple):
    """Who has a plan applied, and why; `again` says how to go on when the worker is gone."""

    actor: str
    why: str
    again: str = "apply the plan again: it goes on where it stopped"


async def apply_by_worker(
    settings: Settings, plan: Plan, way: Way, by: Orderer, stopping: asyncio.Event | None = None
) -> Applied:
    """Begin a plan, or go on with it; what became of its triggers. It ends early when it is `stopping` (None: Ctrl-C).

    Raises:
        OperatorNeeded: no worker is active, or it does not take the plan.
        Transient: nobody answered in time.
    """
    stopping = until_interrupted() if stopping is None else stopping
    async with connected(settings.database_url) as connection:
        await require_active_worker(connection)

        async def ask(name: str, arguments: dict[str, object]) -> Answered:
            return await asked(settings, name, arguments, by)

        async def stop(because: str) -> Answered:
            arguments: dict[str, object] = {"plan": plan.hash, "close": False}
            return await asked(settings, "replay-stop", arguments, by._replace(why=because))

        await begin(plan, ask)
        return await in_steps(connection, plan, way, ask, stop, stopping)


async def asked(settings: Settings, name: str, arguments: dict[str, object], by: Orderer) -> Answered:
    """Have the active worker carry out a command of a plan; without one nothing is done.

    Raises:
        OperatorNeeded: no worker is active any more.
        Transient: nobody answered in time.
    """

    async def refuse(_settings: Settings) -> None:
        raise OperatorNeeded(
            f"no worker is active any more, and it carries out a plan. Start one (`connects run`), then {by.again}"
        )

    return await commands.ask(settings, name, arguments, actor=by.actor, why=by.why, execute=refuse)
