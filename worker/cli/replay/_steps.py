"""Applying a plan in steps, each with a line about what became of it, until it is interrupted."""

import asyncio

from worker.cli._errors import say
from worker.cli.replay._plans import became
from worker.ledger.connections import Connection
from worker.queries.replays import answered_triggers
from worker.repair.applying import Applied, Ask, Way, apply
from worker.repair.plan_file import Plan


async def in_steps(connection: Connection, plan: Plan, way: Way, ask: Ask, stopping: asyncio.Event) -> Applied:
    """Have the triggers that have no answer decided; what became of them. `connection` is to the ledger they go to.

    Raises:
        OperatorNeeded, Transient: as `apply` does.
    """
    applied = Applied(plan.hash, 0)
    async for applied in apply(plan, await answered_triggers(connection, plan.hash), way, ask, stopping):
        say(became(applied))
    return applied
