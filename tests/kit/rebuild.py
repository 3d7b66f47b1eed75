"""A ledger recreated from the inputs that another one stored, and the two compared row by row.

All of those inputs were read far behind the wall clock, so their business times alone
say where clock work goes between them: the second ledger does not know where the first one had it, and must have the
same order of all.
"""

from itertools import zip_longest

import asyncpg

from tests.kit.deciding import as_read, deciding
from worker.domain.policy import PolicyBook

INPUTS = (
    'SELECT topic, incarnation, partition, "offset", payload, reason, business_time'
    " FROM decisions WHERE kind = 'first' ORDER BY seq"
)
KEYS = {
    "decisions": "seq",
    "changes": "decision_seq, ordinal",
    "movements": "decision_seq, ordinal, line_no",
    "wallets": "freelancer_id",
    "memberships": "freelancer_id",
    "charges": "freelancer_id, charge_id",
    "lots": "lot_id",
    "spends": "proposal_id",
    "grants": "rule, natural_key",
    "closures": "job_id, closed_at, closure",
    "hires": "job_id",
    "held": "decision_seq",
    "awaiting": "proposal_id, decision_seq",
    "due": "kind, key",
    "seen_events": "key",
    "mentions": "key, seq",
}
"""The compared tables: all decisions, and all state that follows from them."""
OF_ITS_OWN = ("batch_no", "recorded_at", "running_time")
"""Columns that show when and in which parts a ledger was written."""
COMPARED = (
    "SELECT array_agg(quote_ident(column_name)) FROM information_schema.columns"
    " WHERE table_schema = current_schema() AND table_name = $1 AND column_name <> ALL ($2)"
)
_AT_ONCE = 2_000
_MOST_TOLD = 5


async def rebuild(stored: str, empty: str, policies: PolicyBook) -> int:
    """Decide in the empty ledger, with the real writer, the inputs that the other one stored; return their number."""
    connection = await asyncpg.connect(stored)
    try:
        inputs = as_read(dict(row) for row in await connection.fetch(INPUTS))
        last = await connection.fetchval("SELECT max(business_time) FROM decisions")
    finally:
        await connection.close()
    async with deciding(empty, policies, batch_size=_AT_ONCE) as decides:
        for start in range(0, len(inputs), _AT_ONCE):
            await decides.decide(inputs[start : start + _AT_ONCE])
            decides.committed.clear()
        await decides.until(last)
    return len(inputs)


async def differences(stored: str, rebuilt: str) -> list[str]:
    """Return the differences of the two, in words: of each table the first few rows that differ."""
    first, second = await asyncpg.connect(stored), await asyncpg.connect(rebuilt)
    try:
        found = []
        for table, key in KEYS.items():
            columns = ", ".join(await first.fetchval(COMPARED, table, OF_ITS_OWN))
            query = f"SELECT {columns} FROM {table} ORDER BY {key}"  # noqa: S608 - from the list above
            pairs = zip_longest(await first.fetch(query), await second.fetch(query))
            differing = [f"{table}: {words}" for before, after in pairs if (words := _differ(before, after))]
            found += differing[:_MOST_TOLD]
            if len(differing) > _MOST_TOLD:
                found.append(f"{table}: {len(differing)} rows differ")
    finally:
        await first.close()
        await second.close()
    return found


def _differ(before: asyncpg.Record | None, after: asyncpg.Record | None) -> str | None:
    if before == after:
        return None
    if before is None or after is None:
        return f"is gone: {before}" if after is None else f"is new: {after}"
    names = [name for name, value in before.items() if value != after[name]]
    return f"{', '.join(f'{name} {before[name]!r}, now {after[name]!r}' for name in names)} of {before}"
