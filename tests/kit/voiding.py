"""Voids in memory: planned over an overlay, and applied by the commands of a plan."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from tests.kit import replaying
from tests.kit.deciding import GRACE, SKEW, WALL_CLOCK, Deciding
from tests.kit.overlays import MemorySnapshot
from worker.domain.policy import PolicyBook
from worker.kafka.input.reading import RecordReader
from worker.ledger.memory_store import MemoryStore
from worker.proof.checks import Progress
from worker.repair.candidates import Candidates
from worker.repair.decision_selection import DecisionSelection
from worker.repair.overlay import Overlay
from worker.repair.planning import Ground, Planned, plan_all
from worker.repair.selecting import JobToSettle
from worker.repair.voiding import refusal
from worker.wall_clock import WallClock


class _LongAfter(WallClock):
    def now(self) -> datetime:
        return WALL_CLOCK


READER = RecordReader(_LongAfter(), SKEW)


async def plan(store: MemoryStore, book: PolicyBook, seqs: Sequence[int], jobs: Sequence[JobToSettle] = ()) -> Planned:
    """Plan to void the decisions of these seqs, and to settle jobs again; the ledger is left as it is."""
    rows = MemorySnapshot(store)
    selection = DecisionSelection(rows, UUID(int=0))
    await selection.add_seqs("a test", seqs)
    overlay = Overlay(rows)
    await overlay.open()
    ground = Ground(book, GRACE, SKEW, READER, Progress(), datetime.now(UTC))
    return await plan_all(overlay, Candidates(rows, READER, Progress()), ground, jobs, selection)


def seqs_of(store: MemoryStore, *event_ids: str) -> list[int]:
    """The first decisions on events of these ids."""
    found = {row.event_id: row.seq for row in store.tables.decisions if row.kind in {"first", "added"}}
    return [found[event_id] for event_id in event_ids]


async def void(decides: Deciding, book: PolicyBook, *event_ids: str, name: str = replaying.PLAN) -> Planned:
    """Plan to void the decisions on these events, and apply all of the plan."""
    assert isinstance(decides.store, MemoryStore)
    return await void_decisions(decides, book, seqs_of(decides.store, *event_ids), name)


def some_of(store: MemoryStore, chance: random.Random, part: float) -> list[int]:
    """About this part of the decisions on events that can be voided."""
    seqs = [row.seq for row in store.tables.decisions if refusal(row) is None and row.kind == "first"]
    return [seq for seq in seqs if chance.random() < part]


async def void_decisions(
    decides: Deciding, book: PolicyBook, seqs: Sequence[int], name: str = replaying.PLAN
) -> Planned:
    """Plan to void these decisions, and apply all of the plan."""
    assert isinstance(decides.store, MemoryStore)
    planned = await plan(decides.store, book, seqs)
    if planned.triggers:
        answer = await replaying.apply(decides, book, planned.triggers, name)
        assert (answer.reason, answer.told["booked"]) == ("plan-applied", len(planned.triggers)), answer
    return planned
