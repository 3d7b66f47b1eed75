"""`connects replay log`: the plans that were ever applied, one line each."""

from collections.abc import Iterable
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Any, Final, Literal

import msgspec

from worker.ledger.connections import Connection
from worker.ledger.sql import load

_SQL: Final = load("replay.sql")

PlanState = Literal["open", "done", "stopped", "closed", "undone"]


class LoggedPlan(msgspec.Struct, frozen=True):
    """A plan that was applied: by whom, why and when, and how many of its triggers have which outcome.

    `state` is `done` once each trigger has an answer, and `undone` once all that was booked was undone. `kinds` counts
    the answered triggers by kind. `booked_at` is when the last of them was booked. `left` is how many have no answer
    yet, `undone` how many were undone.
    """

    plan: str
    state: PlanState
    actor: str
    why: str
    begun_at: datetime
    booked_at: datetime | None
    kinds: dict[str, int]
    triggers: int
    booked: int
    deviated: int
    left_out: int
    left: int
    undone: int


class PlanLog(msgspec.Struct, frozen=True):
    """Every plan that was applied, the last one first."""

    plans: list[LoggedPlan]


async def plan_log(connection: Connection, most: int | None = None, plan: str = "") -> PlanLog:
    """The plans that were applied in this ledger, the last one first: the last `most` of them, or the one of a hash."""
    rows = [dict(row) for row in await connection.fetch(_SQL["plans_in_order"], plan, most)]
    return PlanLog([_logged(list(some)) for _, some in groupby(rows, key=itemgetter("plan"))])


def _logged(rows: list[dict[str, Any]]) -> LoggedPlan:
    """One plan, of its rows for each kind of trigger."""
    first = rows[0]
    booked, deviated, left_out = (sum(row[name] for row in rows) for name in ("booked", "deviated", "left_out"))
    left, undone = first["triggers"] - booked - deviated - left_out, sum(row["undone"] for row in rows)
    return LoggedPlan(
        first["plan"],
        state_of(first["state"], left, booked, undone),
        first["actor"],
        first["why"],
        first["begun_at"],
        _last(row["booked_at"] for row in rows),
        {row["kind"]: row["booked"] + row["deviated"] + row["left_out"] for row in rows if row["kind"] is not None},
        first["triggers"],
        booked,
        deviated,
        left_out,
        left,
        undone,
    )


def state_of(stored: PlanState, left: int, booked: int, undone: int) -> PlanState:
    """The state of a plan whose row has the state `stored`, by how many of its triggers have which answer."""
    if booked and undone == booked:
        return "undone"
    return "done" if not left and stored != "closed" else stored


def _last(instants: Iterable[datetime | None]) -> datetime | None:
    return max((one for one in instants if one is not None), default=None)
