"""What due work waits for: which input partition holds business time back, and why."""

import asyncio
from typing import TYPE_CHECKING, Final

from worker.kafka.holds import hold_of
from worker.kafka.records import TopicPartition
from worker.ledger.connections import Connection
from worker.ledger.sql import load
from worker.settings import Settings
from worker.words.phrases import counted

if TYPE_CHECKING:
    from worker.queries.lag import Lag

_SECONDS: Final = 6.0
_SQL: Final = load("asking.sql")


async def what_holds_back(settings: Settings, connection: Connection) -> str | None:
    """What due work waits for while a worker runs, in a sentence. Asks Kafka, for some seconds at most.

    None: no worker runs, which `connects status` says first of all.
    """
    # Kafka's client takes long to import, and most questions are asked where nothing is due.
    from aiokafka.errors import KafkaError  # noqa: PLC0415

    from worker.queries.lag import measure_lag  # noqa: PLC0415
    from worker.queries.positions import stored_holds, stored_positions  # noqa: PLC0415

    leader = await connection.fetchrow(_SQL["leader"])
    if leader is None or not leader["held"]:
        return None
    positions, holds = await stored_positions(connection), await stored_holds(connection)
    try:
        async with asyncio.timeout(_SECONDS):
            lag = await measure_lag(settings, positions, holds)
    except (KafkaError, OSError, TimeoutError):
        return "Kafka cannot be asked which input it waits for."
    if lag.held_back_by is None:
        return "No input holds it back: it is done in a moment."
    where = (lag.held_back_by.topic, lag.held_back_by.partition)
    hold = hold_of(holds, TopicPartition(*where))
    why = _why(lag, *where) if hold is None else f"which is on hold ({hold.why})"
    return f"It waits for {where[0]}, partition {where[1]}, {why}."


def _why(lag: "Lag", topic: str, partition: int) -> str:
    """Why that partition is not read to its end: the end of a sentence about it."""
    here = (topic, partition)
    for hidden in lag.hidden:
        if (hidden.topic, hidden.partition) == here:
            return f"where {hidden.as_trouble.how_many} hidden by an open transaction of another producer"
    for away in lag.unavailable:
        if (away.topic, away.partition) == here:
            return f"which {away.reason}"
    for stopped in lag.stopped:
        if (stopped.topic, stopped.partition) == here:
            return f"which is not read: {stopped.reason}"
    waiting = counted(lag.by_topic.get(topic, 0), "record waits", "records wait")
    return f"which is not read to its end ({waiting} in that topic)"
