"""Comparing what corrections left with the reference model, which was fed what truly happened.

But for what law 4 leaves out: a weekly cap, a refusal for lack of balance, or the end of a lot lay between.
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

from tests.kit.deciding import GRACE, WALL_CLOCK, Deciding, as_read
from tests.kit.histories import Record
from tests.kit.policies import as_document
from tests.model.answers import Row
from tests.model.driver import simulate
from worker.ledger.memory_store import MemoryStore

UNEQUAL = frozenset({"weekly-cap", "insufficient-balance", "lot-expired"})
"""Reasons after which what somebody has depends on more than on what was theirs."""


async def decided_through(decides: Deciding, rows: Sequence[Row], days_more: int = 0) -> datetime | None:
    """Decide the records, then let so many days and two graces pass; the instant then. None: no time is known yet."""
    await decides.decide(as_read(rows))
    await decides.commit()
    if decides.writer.business_time is None:
        return None
    until = decides.writer.business_time + timedelta(days=days_more) + 2 * GRACE
    await decides.until(until)
    return until


def truly(records: Sequence[Record], text: str, until: datetime) -> list[Row]:
    """The model's decisions on these records, up to that instant."""
    return simulate(records, as_document(text), GRACE.total_seconds(), until=until, wall=WALL_CLOCK)


def balances_are_the_models(
    store: MemoryStore,
    expected: Sequence[dict[str, Any]],
    triggers: Sequence[Any],
    shown: str,
    but: Collection[str] = (),
) -> int:
    """Balances less shortfalls are those of the model's decisions, `but` these; returns how many were compared."""
    changes = [change for row in expected for change in row["changes"]]
    ours = [row._asdict() for row in (*store.tables.decisions, *store.tables.changes)]
    rows = (*ours, *expected, *changes)
    refused = {row["proposal_id"] for row in rows if row["reason"] in UNEQUAL and row.get("proposal_id")}
    # Of two people with one proposal id, the second's spend counts where the first's is refused.
    unequal = {row["freelancer_id"] for row in rows if row["reason"] in UNEQUAL or row.get("proposal_id") in refused}
    model: dict[str, int] = {}
    for change in changes:
        model[change["freelancer_id"]] = model.get(change["freelancer_id"], 0) + change["delta"]
    balances: dict[str, int] = {}
    for row in store.tables.changes:
        balances[row.freelancer_id] = balances.get(row.freelancer_id, 0) + row.delta
    for trigger in triggers:
        for name, missing in trigger.expected.shortfall.items():
            balances[name] -= missing
    names = {*balances, *model} - unequal - {*but}
    assert {name: balances.get(name, 0) for name in names} == {name: model.get(name, 0) for name in names}, shown
    return len(names)
