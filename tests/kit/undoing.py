"""Undos in memory: planned over an overlay, and applied by the commands of a plan."""

from datetime import UTC, datetime
from typing import Any

from tests.kit import replaying
from tests.kit.deciding import GRACE, SKEW, Deciding
from tests.kit.overlays import MemorySnapshot
from tests.kit.voiding import READER
from worker.domain.policy import PolicyBook
from worker.ledger.memory_store import MemoryStore
from worker.proof.checks import Progress
from worker.repair.candidates import Candidates
from worker.repair.overlay import Overlay
from worker.repair.planning import Ground, Planned, plan_all
from worker.repair.planning_undos import Booked

UNDO = "ee" * 32
"""The hash of a plan that undoes another one."""
_WHAT_COUNTS = (
    *("freelancer_id", "job_id", "decision_seq", "occurred_at", "origin", "base", "boost", "base_returned"),
    *("boost_returned", "boost_outbid", "refunded_closing_at", "withdrawn_at"),
)


async def plan(store: MemoryStore, book: PolicyBook, undoes: str = replaying.PLAN) -> Planned:
    """Plan to undo what the plan of this hash booked; the ledger is left as it is."""
    rows = MemorySnapshot(store)
    overlay = Overlay(rows)
    await overlay.open()
    ground = Ground(book, GRACE, SKEW, READER, Progress(), datetime.now(UTC))
    booked = Booked(undoes, await rows.booked(undoes))
    return await plan_all(overlay, Candidates(rows, READER, Progress()), ground, booked=booked)


async def undo(decides: Deciding, book: PolicyBook, undoes: str = replaying.PLAN, name: str = UNDO) -> Planned:
    """Plan to undo a plan, and apply all of that."""
    assert isinstance(decides.store, MemoryStore)
    planned = await plan(decides.store, book, undoes)
    if planned.triggers:
        answer = await replaying.apply(decides, book, planned.triggers, name)
        booked = (answer.reason, answer.told.get("booked"))
        assert booked == ("plan-applied", len(planned.triggers)), (answer, replaying.became(decides.store))
    return planned


def balances(store: MemoryStore) -> dict[str, int]:
    """Each wallet's balance."""
    found: dict[str, int] = {}
    for row in store.tables.changes:
        found[row.freelancer_id] = found.get(row.freelancer_id, 0) + row.delta
    return found


def what_counts(store: MemoryStore) -> dict[str, Any]:
    """What an undo brings back: spends without how they are paid, grants, what waits, and the jobs' facts."""
    tables = store.tables
    return {
        "spends": {row.proposal_id: {name: getattr(row, name) for name in _WHAT_COUNTS} for row in tables.spends},
        "grants": sorted(
            (row.rule, (row.natural_key or "").split("//")[0], row.decision_seq)
            for row in tables.changes
            if row.natural_key is not None and row.decision_seq not in tables.voided
        ),
        "awaiting": sorted((row.proposal_id, row.decision_seq) for row in tables.awaiting),
        "hires": sorted((row.job_id, row.first_hired_at) for row in tables.hires),
        "closures": sorted((row.job_id, row.closed_at, row.closure, row.decision_seq) for row in tables.closures),
        "voided": sorted(row.decision_seq for row in tables.voided),
    }
