"""Replacements in memory: planned over an overlay, and applied by the commands of a plan."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from tests.kit import replaying
from tests.kit.deciding import GRACE, SKEW, Deciding
from tests.kit.overlays import MemorySnapshot
from tests.kit.replaying import Event
from tests.kit.voiding import READER, seqs_of
from worker.domain.policy import PolicyBook
from worker.ledger.memory_store import MemoryStore
from worker.proof.checks import Progress
from worker.repair.archives import Line
from worker.repair.candidates import Candidates
from worker.repair.decision_selection import DecisionSelection
from worker.repair.overlay import Overlay
from worker.repair.planning import Ground, Planned, plan_all
from worker.repair.replacements import Replacements
from worker.repair.replacing import is_no_event


def other(event: Event, **fields: object) -> Event:
    """The same event with other content."""
    topic, was = event
    return topic, {**was, **fields}


async def plan(
    store: MemoryStore,
    book: PolicyBook,
    right: Sequence[Event] = (),
    *,
    shifted: Sequence[str] = (),
    by: timedelta = timedelta(0),
    adds: Sequence[Event] = (),
) -> Planned:
    """Plan to give events their right content, or another time; the ledger is left as it is."""
    rows = MemorySnapshot(store)
    replacements, events = Replacements(rows, READER, Progress()), Candidates(rows, READER, Progress())
    await replacements.add(_lines("right.jsonl", right))
    await events.add(_lines("lost.jsonl", adds))
    if shifted:
        selection = DecisionSelection(rows, UUID(int=0), refuses=is_no_event)
        await selection.add_seqs("a test", seqs_of(store, *shifted))
        await replacements.add_shifted(selection.in_order(), by)
    overlay = Overlay(rows)
    await overlay.open()
    ground = Ground(book, GRACE, SKEW, READER, Progress(), datetime.now(UTC))
    return await plan_all(overlay, events, ground, replacements=replacements)


def _lines(source: str, events: Sequence[Event]) -> list[Line]:
    return [
        Line(source, number, topic, json.dumps(fields).encode()) for number, (topic, fields) in enumerate(events, 1)
    ]


async def replace(decides: Deciding, book: PolicyBook, *right: Event, name: str = replaying.PLAN) -> Planned:
    """Plan to give these events their right content, and apply all of the plan."""
    assert isinstance(decides.store, MemoryStore)
    return await applied(decides, book, await plan(decides.store, book, right), name)


async def applied(decides: Deciding, book: PolicyBook, planned: Planned, name: str = replaying.PLAN) -> Planned:
    """Apply all of a plan."""
    if planned.triggers:
        answer = await replaying.apply(decides, book, planned.triggers, name)
        assert (answer.reason, answer.told["booked"]) == ("plan-applied", len(planned.triggers)), answer
    return planned
