"""Events as rows that the real writer reads, for small ledgers that a test is told event by event."""

import json
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from tests.kit.deciding import as_read
from worker.kafka.records import InputRecord

Row = dict[str, Any]


def event(topic: str, at: datetime, *, read_at: datetime | None = None, **fields: Any) -> Row:  # noqa: ANN401
    """An event of that instant, read when business time is `read_at` (default: at once)."""
    return {"topic": topic, "at": at, "business_time": read_at or at, "fields": fields}


def read_rows(events: Iterable[Row], first: int = 0) -> list[InputRecord]:
    """The events as records of partition 0 of their topics, in this order; `first` is the number of the first."""
    offsets: Counter[str] = Counter()
    rows = []
    for number, one in enumerate(events, start=first):
        body = {"event_id": f"e-{number}", "occurred_at": one["at"].isoformat(), **one["fields"]}
        place = {"topic": one["topic"], "partition": 0, "offset": first + offsets[one["topic"]]}
        offsets[one["topic"]] += 1
        rows.append({**place, "payload": json.dumps(body).encode(), "business_time": one["business_time"]})
    return as_read(rows)
