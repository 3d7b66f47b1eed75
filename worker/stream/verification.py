"""Is the log still the one that was read? A topic made anew, or cut, must not pass for the one the ledger knows."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from aiokafka import TopicPartition as KafkaPartition
from aiokafka.errors import OffsetOutOfRangeError

from worker.stream.fingerprints import record_hash
from worker.stream.probe import READ_UNCOMMITTED, Probe, TopicLook
from worker.stream.raw_batches import stored_record
from worker.stream.records import Position, TopicPartition

_QUESTIONS_AT_ONCE: Final = 16
_LOOKS_AT_A_SHORT_LOG: Final = 4
_BETWEEN_LOOKS_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True)
class Verdict:
    """Where to read a partition from, or why not to."""

    offset: int
    wrong: str | None


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


async def verify(
    probe: Probe,
    looks: Mapping[str, TopicLook],
    sources: Mapping[KafkaPartition, TopicPartition],
    positions: Mapping[TopicPartition, Position],
) -> dict[TopicPartition, Verdict]:
    """Compare each partition's log with the position to read it from; without one it is read from its beginning.

    Raises:
        KafkaError: the broker does not answer.
    """
    starts = await probe.starts(looks)
    ends = await probe.ends(looks)
    # The end may lag behind for a moment after a partition's leader changed.
    for _ in range(_LOOKS_AT_A_SHORT_LOG):
        if all(
            (position := positions.get(source)) is None or position.next_offset <= ends[tp]
            for tp, source in sources.items()
        ):
            break
        await asyncio.sleep(_BETWEEN_LOOKS_SECONDS)
        ends = await probe.ends(looks)
    turns = asyncio.Semaphore(_QUESTIONS_AT_ONCE)

    async def judge(tp: KafkaPartition, source: TopicPartition) -> Verdict:
        position = positions.get(source)
        if position is None:
            return Verdict(starts[tp], None)
        if position.next_offset > ends[tp]:
            why = f"its log ends at {ends[tp]}, the position is {position.next_offset}"
            return Verdict(position.next_offset, recreated(source, why))
        if position.next_offset < starts[tp]:
            return Verdict(position.next_offset, lost(source, position.next_offset, starts[tp]))
        if position.last_offset is None or position.last_offset < starts[tp]:
            return Verdict(position.next_offset, None)
        async with turns:
            why_not = await _why_not_the_last_decided(probe, looks[tp.topic], tp, position, position.last_offset)
        return Verdict(position.next_offset, why_not and recreated(source, why_not))

    verdicts = await asyncio.gather(*(judge(tp, source) for tp, source in sources.items()))
    return dict(zip(sources.values(), verdicts, strict=True))


async def _why_not_the_last_decided(
    probe: Probe, look: TopicLook, tp: KafkaPartition, position: Position, offset: int
) -> str | None:
    """Why the record stored at the offset is not the one that was decided last; None: it is, or it is gone."""
    leader = look.leaders[tp.partition]
    try:
        fetched = await probe.fetch(tp, leader, offset, isolation=READ_UNCOMMITTED, limit_bytes=1)
    except OffsetOutOfRangeError:
        return None  # deleted by retention just now
    record = stored_record(fetched.batches, offset)
    if record is None:
        compacted = await probe.is_compacted(tp.topic)
        return None if compacted else f"there is no record at offset {offset}, the last one decided"
    if record_hash(record.key, record.value) != position.last_hash or record.timestamp != position.last_timestamp:
        return f"the record at offset {offset} is not the one that was decided"
    return None
