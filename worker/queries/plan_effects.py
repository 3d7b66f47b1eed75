"""What an applied plan came to in the ledger: when it was booked, sums by rule, wallets, and what was not there.

All of it is of the decisions on its triggers. What the clock did afterwards because of them, such as a settlement after
a closing that was added, is no part of a plan.
"""

from datetime import datetime
from typing import Final

import msgspec

from worker.errors import UsageError
from worker.ledger.connections import Connection
from worker.ledger.sql import load
from worker.queries.replay_log import LoggedPlan, plan_log
from worker.queries.replays import LEAST_OF_A_HASH, NotBooked, plan_named
from worker.repair.summary import Booked

MOST_LISTED: Final = 20
"""Steps, wallets, shortfalls and triggers that are listed."""
_SQL: Final = load("replay.sql")


class StepBooked(msgspec.Struct, frozen=True):
    """Triggers that were booked at once, of these numbers; those between them that were not booked are not counted."""

    recorded_at: datetime
    first: int
    last: int
    booked: int


class WalletChanged(msgspec.Struct, frozen=True):
    """What a wallet gained by all triggers of a plan together, in Connects; negative: what it lost."""

    freelancer_id: str
    connects: int


class Shortfall(msgspec.Struct, frozen=True):
    """Connects that a trigger should have taken from a wallet, and that were not there."""

    number: int
    freelancer_id: str
    connects: int


class TriggerBooked(msgspec.Struct, frozen=True):
    """A trigger that was booked, by the decision `seq`; `topic` and `event_id` name what it adds or corrects."""

    number: int
    kind: str
    reason: str
    topic: str
    event_id: str
    freelancer_id: str | None
    seq: int


class PlanEffects(msgspec.Struct, frozen=True):
    """An applied plan, and what it came to. Connects that are `given` and `taken` are both positive.

    `steps` are the last ones, `steps_left_out` counts earlier ones. `wallets` counts those whose balance changed, of
    which those that gained and lost most are listed. `shortfall` is in Connects; `shortfalls` are the largest.
    `samples` are the first triggers that were booked, `not_booked` the first that deviated or were left out.
    """

    plan: LoggedPlan
    steps: list[StepBooked]
    steps_left_out: int
    booked: list[Booked]
    wallets: int
    gain_most: list[WalletChanged]
    lose_most: list[WalletChanged]
    shortfall: int
    shortfalls: list[Shortfall]
    samples: list[TriggerBooked]
    not_booked: list[NotBooked]


class NoSuchPlan(UsageError):
    """No plan, or more than one, is meant; the text says what to do."""


async def plan_effects(connection: Connection, name: str) -> PlanEffects:
    """The plan that was begun and whose hash is this, or begins with it.

    Raises:
        NoSuchPlan: there is none, or there are several, or too little of the hash is named.
    """
    if len(name) < LEAST_OF_A_HASH:
        raise NoSuchPlan(f"A plan is named by its hash, or by at least {LEAST_OF_A_HASH} characters of its beginning.")
    try:
        named = await plan_named(connection, name)
    except UsageError as error:
        raise NoSuchPlan(str(error)) from None
    (logged,) = (await plan_log(connection, plan=named.plan)).plans
    about = (named.plan, MOST_LISTED)
    steps = await connection.fetch(_SQL["steps_of_plan"], *about)
    wallets = await connection.fetch(_SQL["wallets_of_plan"], *about)
    shortfalls = await connection.fetch(_SQL["shortfalls_of_plan"], *about)
    changed = [WalletChanged(row["freelancer_id"], row["delta"]) for row in wallets]
    return PlanEffects(
        logged,
        [StepBooked(row["recorded_at"], row["first"], row["last"], row["booked"]) for row in steps],
        steps[0]["steps"] - len(steps) if steps else 0,
        [Booked(*row) for row in await connection.fetch(_SQL["booked_of_plan"], named.plan)],
        wallets[0]["wallets"] if wallets else 0,
        [one for one in changed if one.connects > 0],
        [one for one in reversed(changed) if one.connects < 0],
        shortfalls[0]["together"] if shortfalls else 0,
        [Shortfall(row["number"], row["freelancer_id"], row["connects"]) for row in shortfalls],
        [TriggerBooked(*row) for row in await connection.fetch(_SQL["first_booked"], *about)],
        named.not_booked,
    )
