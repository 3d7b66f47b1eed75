"""`connects replay status`: which plans were begun, and what became of their triggers."""

from datetime import datetime
from typing import Final

import msgspec

from worker.errors import OperatorNeeded, UsageError
from worker.ledger.connections import Connection
from worker.ledger.sql import load
from worker.queries.replay_log import PlanState, state_of

_SQL: Final = load("replay.sql")
_ASKING: Final = load("asking.sql")
_MOST_NOT_BOOKED: Final = 20
LEAST_OF_A_HASH: Final = 6
"""This many characters of a plan's hash name it, if no other plan begins with them."""


class NotBooked(msgspec.Struct, frozen=True):
    """A trigger that was not booked, and why: it adds, settles or voids what is about that event.

    `source` and `line` are where that was found; line 0: its selection has no lines.
    """

    number: int
    kind: str
    outcome: str
    reason: str
    detail: str | None
    topic: str
    event_id: str
    source: str
    line: int


class PlanRecord(msgspec.Struct, frozen=True):
    """A plan that was begun: by whom, why and when, and how many of its triggers have which outcome.

    `left` is how many have no answer yet. `not_booked` are the first of those that deviated or were left out. Of a plan
    that was stopped and did not go on: by whom, and why.
    """

    plan: str
    state: PlanState
    actor: str
    why: str
    begun_at: datetime
    triggers: int
    booked: int
    deviated: int
    left_out: int
    left: int
    not_booked: list[NotBooked]
    stopped_by: str | None = None
    stopped_because: str | None = None


class Plans(msgspec.Struct, frozen=True):
    """Every plan that was begun, the last one first."""

    plans: list[PlanRecord]


async def plans_begun(connection: Connection, hash_begins: str = "") -> Plans:
    """The plans whose hash begins with this; all of them, if it is empty."""
    found = []
    for row in await connection.fetch(_SQL["plans"], hash_begins):
        answered = row["booked"] + row["deviated"] + row["left_out"]
        rows = await connection.fetch(_SQL["not_booked"], row["plan"], _MOST_NOT_BOOKED)
        left = row["triggers"] - answered
        named = dict(row)
        named["state"] = state_of(row["state"], left, row["booked"], named.pop("undone"))
        if row["state"] == "stopped" and (stop := await connection.fetchrow(_SQL["stopped"], row["plan"])) is not None:
            named |= {"stopped_by": stop["actor"], "stopped_because": stop["why"]}
        found.append(PlanRecord(**named, left=left, not_booked=[NotBooked(*one) for one in rows]))
    return Plans(found)


def require_enough_of_a_hash(name: str) -> None:
    """Refuse what is too short to name a plan by its hash.

    Raises:
        UsageError: it is.
    """
    if len(name) < LEAST_OF_A_HASH:
        raise UsageError(
            f"no file is called {name!r}, and it is too short for a hash: name at least {LEAST_OF_A_HASH} characters"
        )


async def plan_named(connection: Connection, name: str) -> PlanRecord:
    """The plan that was begun and whose hash is this, or begins with it.

    Raises:
        UsageError: there is none, or there are several, or too little of the hash is named.
    """
    require_enough_of_a_hash(name)
    found = (await plans_begun(connection, name)).plans
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(f"{len(found)} plans begin with {name}: name more of the hash")
    raise UsageError(f"no plan {name} was begun in this ledger: `connects replay status` lists those that were")


async def answered_triggers(connection: Connection, plan: str) -> dict[int, bool]:
    """The numbers of the triggers that have an answer, each with whether it was booked."""
    return {row["number"]: row["booked"] for row in await connection.fetch(_SQL["answered"], plan)}


async def require_active_worker(connection: Connection) -> None:
    """Refuse to go on without a worker that leads the ledger: it carries out a plan.

    Raises:
        OperatorNeeded: there is none.
    """
    leader = await connection.fetchrow(_ASKING["leader"])
    if leader is None or not leader["held"]:
        raise OperatorNeeded("no worker is active, and it carries out a plan. Start one: `connects run`")
