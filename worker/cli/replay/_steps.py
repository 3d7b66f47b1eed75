"""Applying a plan in steps, each with a line about what became of it and a check of what it touched, until it ends."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Final

from worker.cli._errors import say
from worker.cli.replay._plans import became
from worker.ledger.connections import Connection
from worker.proof.step_check import check_step
from worker.queries.replays import answered_triggers
from worker.repair.applying import Applied, Ask, Way, apply
from worker.repair.plan_file import Plan

Stop = Callable[[str], Awaitable[object]]
"""Stops the plan, for this reason."""
_CHECKED_BEFORE: Final = 1_000
"""Of what was answered before so many triggers are checked with the first step: the last one may not have been."""
_MOST_OF_A_REASON: Final = 500
"""How many characters of what is wrong are kept with the plan."""


async def in_steps(
    connection: Connection, plan: Plan, way: Way, ask: Ask, stop: Stop, stopping: asyncio.Event
) -> Applied:
    """Have the triggers that have no answer decided; what became of them. `connection` is to the ledger they go to.

    After each step the wallets and jobs that it touched are checked. The plan is stopped when something is wrong.

    Raises:
        OperatorNeeded, Transient: as `apply` does.
    """
    answered = await answered_triggers(connection, plan.hash)
    before, applied = max(answered, default=0), Applied(plan.hash, 0)
    checked = max(0, before - _CHECKED_BEFORE)
    async with aclosing(apply(plan, answered, way, ask, stopping)) as steps:
        async for applied in steps:
            say(became(applied))
            through = max(before, applied.through)  # nothing may be left to ask for, and the last step not be checked
            if through <= checked:
                continue
            found = await check_step(connection, plan.hash, checked + 1, through)
            checked = through
            if found.wrong:
                applied.stopped, applied.wrong, applied.through = "wrong", found.wrong, through
                await stop(f"after trigger {checked:,}: {found.wrong[0]}"[:_MOST_OF_A_REASON])
                break
    return applied
