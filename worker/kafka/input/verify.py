"""Detects a recreated or truncated topic: its log is not the one that the ledger knows."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from aiokafka import TopicPartition as KafkaPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from worker.kafka.broker import READ_UNCOMMITTED, Offsets, Probe, TopicLook
from worker.kafka.input.raw_batches import DamagedBatchesError, stored_at
from worker.kafka.records import Position, TopicPartition
from worker.kafka.troubles import what_error_says

_QUESTIONS_AT_ONCE: Final = 16
_LOOKS_AT_A_SHORT_LOG: Final = 4
_BETWEEN_LOOKS_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True)
class Verdict:
    """Where to read a partition from, or why not to.

    `wrong`: it must not be read. `unavailable`: it cannot be verified now, and is not read until it is.
    """

    offset: int
    wrong: str | None = None
    unavailable: str | None = None


def recreated(source: TopicPartition, why: str) -> str:
    """What to tell of a partition whose log is another one."""
    return (
        f"the topic was recreated or truncated: {why}; mend with: "
        f"connects positions set --recreated --topic {source.topic} --partition {source.partition}"
    )


def lost(source: TopicPartition, position: int, start: int) -> str:
    """What to tell of a partition whose unread records were deleted."""
    return (
        f"records {position} to {start - 1} were deleted before they were read (retention?); to go on without them: "
        f"connects positions set --topic {source.topic} --partition {source.partition} --offset {start}"
    )


def damaged(source: TopicPartition, offset: int, error: Exception) -> str:
    """The reason to stop a partition with records that cannot be read."""
    return (
        f"the records from offset {offset} on are damaged ({type(error).__name__}: {error}); to go on after them: "
        f"connects positions set --topic {source.topic} --partition {source.partition} --offset N"
    )


async def verify(
    probe: Probe,
    looks: Mapping[str, TopicLook],
    sources: Mapping[KafkaPartition, TopicPartition],
    positions: Mapping[TopicPartition, Position],
) -> dict[TopicPartition, Verdict]:
    """Compare each partition's log with the position to read it from; without one it is read from its beginning.

    Raises:
        KafkaError, OSError, TimeoutError: no broker answers.
    """
    starts = await probe.starts(looks)
    ends = await _settled_ends(probe, looks, sources, positions)
    turns = asyncio.Semaphore(_QUESTIONS_AT_ONCE)

    async def judge(tp: KafkaPartition, source: TopicPartition) -> Verdict:
        position = positions.get(source)
        offset = 0 if position is None else position.next_offset
        if why := starts.unavailable.get(tp) or ends.unavailable.get(tp):
            return Verdict(offset, unavailable=why)
        start, end = starts.known[tp], ends.known[tp]
        if position is None:
            return Verdict(start)
        if offset > end:
            return Verdict(offset, recreated(source, f"its log ends at {end}, the position is {offset}"))
        if offset < start:
            return Verdict(offset, lost(source, offset, start))
        if position.last_offset is None or position.last_offset < start:
            return Verdict(offset)
        async with turns:
            return await _recognised(probe, looks[tp.topic].leaders[tp.partition], tp, position, position.last_offset)

    verdicts = await asyncio.gather(*(judge(tp, source) for tp, source in sources.items()))
    return dict(zip(sources.values(), verdicts, strict=True))


async def _settled_ends(
    probe: Probe,
    looks: Mapping[str, TopicLook],
    sources: Mapping[KafkaPartition, TopicPartition],
    positions: Mapping[TopicPartition, Position],
) -> Offsets:
    """Where the logs end; for a moment after a partition's leader changed its end may lag behind."""
    ends = await probe.ends(looks)
    for _ in range(_LOOKS_AT_A_SHORT_LOG):
        if all(
            (position := positions.get(source)) is None
            or position.next_offset <= ends.known.get(tp, position.next_offset)
            for tp, source in sources.items()
        ):
            break
        await asyncio.sleep(_BETWEEN_LOOKS_SECONDS)
        ends = await probe.ends(looks)
    return ends


async def _recognised(probe: Probe, leader: int, tp: KafkaPartition, position: Position, offset: int) -> Verdict:
    """Whether the log still has at the offset what was decided last."""
    try:
        why_not = await _why_not_the_last_decided(probe, leader, tp, position, offset)
    except (KafkaError, OSError, TimeoutError) as error:
        return Verdict(position.next_offset, unavailable=what_error_says(error, leader))
    except DamagedBatchesError as error:
        return Verdict(position.next_offset, damaged(position.source, offset, error))
    return Verdict(position.next_offset, why_not and recreated(position.source, why_not))


async def _why_not_the_last_decided(
    probe: Probe, leader: int, tp: KafkaPartition, position: Position, offset: int
) -> str | None:
    """Why what is stored at the offset is not what was decided last; None: it is, or it is gone.

    A batch that was rejected as a whole is recognised by its fingerprint, expanded or not: the limit may have changed.
    """
    try:
        fetched = await probe.fetch(tp, leader, offset, isolation=READ_UNCOMMITTED, limit_bytes=1)
    except OffsetOutOfRangeError:
        return None  # deleted by retention just now
    stored = stored_at(fetched.batches, offset)
    if (position.last_timestamp, position.last_hash) in (stored.record, stored.batch):
        return None
    if stored.record is None and not stored.unexpanded:
        return (
            None
            if await probe.is_compacted(tp.topic)
            else f"there is no record at offset {offset}, the last one decided"
        )
    return f"the record at offset {offset} is not the one that was decided"
