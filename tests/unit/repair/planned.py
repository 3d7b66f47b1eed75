"""Plans over a ledger in memory that some events were decided in."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from tests.kit.deciding import GRACE, SKEW, WALL_CLOCK, deciding
from tests.kit.overlays import MemorySnapshot
from tests.kit.policies import policies
from worker.kafka.input.reading import RecordReader
from worker.ledger.memory_store import MemoryStore
from worker.proof.checks import Progress
from worker.repair.archives import BadLine, Line
from worker.repair.candidates import Candidates, read_record
from worker.repair.overlay import Overlay
from worker.repair.planning import Ground, Planned, plan_all
from worker.wall_clock import WallClock

MARCH = datetime(2026, 3, 14, 9, tzinfo=UTC)


class _LongAfter(WallClock):
    def now(self) -> datetime:
        return WALL_CLOCK


READER = RecordReader(_LongAfter(), SKEW)


def event(topic: str, event_id: str, at: datetime = MARCH, **fields: Any) -> tuple[str, bytes]:  # noqa: ANN401
    value = {"event_id": event_id, "occurred_at": at.isoformat().replace("+00:00", "Z"), **fields}
    return topic, json.dumps(value).encode()


def bought(event_id: str, freelancer_id: str = "f-1", connects: int = 40, **others: Any) -> tuple[str, bytes]:  # noqa: ANN401
    fields = {"freelancer_id": freelancer_id, "purchase_id": f"b-{event_id}", "connects": connects}
    return event("connects-purchased", event_id, **{**fields, **others})


def proposed(event_id: str, proposal_id: str, connects: int, **others: Any) -> tuple[str, bytes]:  # noqa: ANN401
    fields = {"freelancer_id": "f-1", "job_id": "j-1", "proposal_id": proposal_id, "origin": "proposal"}
    return event("proposal-submitted", event_id, **{**fields, "connects": connects, **others})


async def a_ledger(*events: tuple[str, bytes], until: datetime = MARCH) -> MemoryStore:
    """A ledger that decided these events, and whose business time has come to `until`."""
    place = MemoryStore()
    async with deciding(place, policies()) as decides:
        decides.add_policies()
        records = [read_record(READER, topic, value, number) for number, (topic, value) in enumerate(events, 1)]
        for record in records:
            record.business_time = MARCH
        await decides.decide(records)
        await decides.commit()
        await decides.until(until)
        await decides.writer.advance({})  # business time is stored with the next batch
        await decides.commit()
    return place


async def sorted_out(place: MemoryStore, lines: Sequence[tuple[str, bytes] | BadLine]) -> Candidates:
    found = Candidates(MemorySnapshot(place), READER, Progress())
    numbered = enumerate(lines, 1)
    await found.add(one if isinstance(one, BadLine) else Line("hour", number, *one) for number, one in numbered)
    return found


async def planned(place: MemoryStore, *lines: tuple[str, bytes]) -> Planned:
    found = await sorted_out(place, lines)
    overlay = Overlay(MemorySnapshot(place))
    await overlay.open()
    return await plan_all(overlay, found, Ground(policies(), GRACE, SKEW, READER, Progress(), MARCH))
