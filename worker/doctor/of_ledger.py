"""The ledger: who leads, who stands by, and what `connects status` says that needs a person."""

from collections.abc import AsyncIterator
from typing import Final

from worker.doctor.looks import Look, ok, unknown, wrong
from worker.errors import OperatorNeeded, Transient, UsageError
from worker.problems import NEXT
from worker.queries.asking import connected
from worker.queries.status import reports_of_workers, status
from worker.settings import Settings

_FAILURES: Final = (UsageError, OperatorNeeded, Transient)
_TOLD_BY_KAFKA: Final = frozenset(
    {
        *("kafka", "topic-settings", "missing-outputs", "unwritable", "stopped-partition", "unavailable-partition"),
        *("shared-group", "hidden-records"),
    }
)
"""Kinds of problems that the looks at Kafka have named."""
_NO_WORKER: Final = NEXT["no-worker"]
_TOLD: Final = frozenset({NEXT[kind] for kind in _TOLD_BY_KAFKA} | {NEXT["encoding"], _NO_WORKER})


async def ledger_looks(settings: Settings) -> AsyncIterator[Look]:
    """Nothing where there is no ledger: that is a look at PostgreSQL."""
    try:
        found = await status(settings)
        async with connected(settings.database_url) as connection:
            reports = await reports_of_workers(connection)
    except _FAILURES:
        return
    if found.role == "active":
        yield ok("ledger", "leader", f"{found.holder} leads, epoch {found.epoch}")
    else:
        waits = next((problem.what for problem in found.problems if problem.next == _NO_WORKER), "no worker leads now")
        yield unknown("ledger", "leader", waits, _NO_WORKER)  # before it is deployed that is as it should be
    others = [one for one in reports if one.holder != found.holder]  # who leads may have reported before it led
    standing_by = [one.holder for one in others if one.report.role == "standby"]
    if standing_by:
        yield ok("ledger", "standby", f"{', '.join(standing_by)} {'stands' if len(standing_by) == 1 else 'stand'} by")
    elif found.role == "active":
        yield unknown("ledger", "standby", "no worker stands by", "Start a second one, which takes over when one ends")
    problems = [problem for problem in found.problems if problem.next not in _TOLD]
    for problem in problems:
        yield wrong("ledger", "problem", problem.what, problem.next)
    if not problems:
        yield ok("ledger", "problems", "nothing of the ledger needs a person")
