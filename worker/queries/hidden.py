"""Which records are hidden behind open transactions of other producers, asked of Kafka."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from aiokafka import TopicPartition as KafkaPartition
from aiokafka.errors import KafkaError

from worker.kafka.broker import READ_UNCOMMITTED, Probe, TopicLook
from worker.kafka.input.raw_batches import first_producer, first_written_at
from worker.kafka.troubles import ALARM_SECONDS, Hidden

_LOOK_AGAIN_SECONDS: Final = 1.0
_AT_ONCE: Final = 16
_AGES_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST_MS: Final = 2**47
"""A timestamp may be anything; this one has a date."""


async def hidden_records(
    probe: Probe,
    looks: Mapping[str, TopicLook],
    stable_ends: Mapping[KafkaPartition, int],
    log_ends: Mapping[KafkaPartition, int],
) -> dict[KafkaPartition, Hidden]:
    """The partitions of which a transaction that has been open for long hides records.

    When it began only its producer says, whose timestamp may be anything; so `since` is this moment, and a worker that
    watches knows better. A transaction of a moment must raise no alarm: one that claims to be young is believed, and
    all others are looked at a second time.

    Raises:
        KafkaError, OSError, TimeoutError: the broker is away.
    """
    behind = {tp: log_ends[tp] - end for tp, end in stable_ends.items() if log_ends.get(tp, end) > end}
    turns = asyncio.Semaphore(_AT_ONCE)

    async def look(tp: KafkaPartition) -> Hidden | None:
        async with turns:
            return await _began(probe, looks[tp.topic].leaders[tp.partition], tp, stable_ends[tp], behind[tp])

    found = dict(zip(behind, await asyncio.gather(*map(look, behind)), strict=True))
    now = datetime.now(UTC)
    old = {
        tp: replace(hidden, since=now)
        for tp, hidden in found.items()
        if hidden is not None and not timedelta(0) <= now - hidden.since < timedelta(seconds=ALARM_SECONDS)
    }
    if not old:
        return {}
    await asyncio.sleep(_LOOK_AGAIN_SECONDS)
    again = (await probe.stable_ends({tp.topic: looks[tp.topic] for tp in old})).known
    return {tp: hidden for tp, hidden in old.items() if again.get(tp) == stable_ends[tp]}


async def _began(probe: Probe, leader: int, tp: KafkaPartition, stable_end: int, behind: int) -> Hidden | None:
    """What is hidden from that offset on, since the timestamp of its first batch; None if that cannot be read."""
    try:
        fetched = await probe.fetch(tp, leader, stable_end, isolation=READ_UNCOMMITTED, limit_bytes=1)
    except (KafkaError, OSError, TimeoutError):
        return None
    milliseconds = first_written_at(fetched.batches)
    if milliseconds is None:
        return None
    began = _AGES_AGO + timedelta(milliseconds=min(max(milliseconds, 0), _LATEST_MS))
    return Hidden(behind, began, first_producer(fetched.batches))
