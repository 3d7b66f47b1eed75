"""The plans that were applied in a ledger, for operators: what the replay log has of them."""

from typing import Final

import msgspec

from worker.ledger.connections import Connection
from worker.queries.replay_log import LoggedPlan, plan_log

MOST_PLANS: Final = 50


class PlansView(msgspec.Struct, frozen=True):
    """The last plans that were applied, the last one first; `more`: there are earlier ones."""

    plans: list[LoggedPlan]
    more: bool


async def plans_view(connection: Connection) -> PlansView:
    """The replay log, as far as a page shows it."""
    found = (await plan_log(connection, MOST_PLANS + 1)).plans
    return PlansView(found[:MOST_PLANS], len(found) > MOST_PLANS)
