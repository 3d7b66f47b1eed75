"""Comparing what corrections left with the reference model, which was fed what truly happened.

But for what law 4 leaves out: a weekly cap, a refusal for lack of balance, or the end of a lot lay between.
"""

from collections.abc import Collection, Sequence
from typing import Any

from worker.ledger.memory_store import MemoryStore

UNEQUAL = frozenset({"weekly-cap", "insufficient-balance", "lot-expired"})
"""Reasons after which what somebody has depends on more than on what was theirs."""


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
    unequal = {row["freelancer_id"] for row in (*ours, *expected, *changes) if row["reason"] in UNEQUAL}
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
