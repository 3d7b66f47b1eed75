"""Partitions are put on hold and resumed while they are read: no record is lost, taken twice or kept in memory."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import cycle
from typing import Any

import pytest

from tests.kit.input_topics import InputTopics, at, closed, input_topics, registered
from tests.kit.waiting import until
from worker.kafka.holds import Hold, Holds, by_place, whole
from worker.kafka.input import session
from worker.kafka.input.intake import Intake
from worker.kafka.records import InputRecord, TopicPartition
from worker.wall_clock import WallClock

REGISTERED, CLOSED = "freelancer-registered", "job-closed"
HELD, OTHER, CLOSINGS = TopicPartition(REGISTERED, 0), TopicPartition(REGISTERED, 1), TopicPartition(CLOSED, 0)
NOTHING: Holds = {}


def on_hold(*places: TopicPartition, lets_time_go_on: bool = False) -> Holds:
    return by_place(Hold(place, lets_time_go_on, "ana", "garbage", datetime.now(UTC)) for place in places)


@pytest.fixture
async def topics(kafka: dict[str, Any], prefix: str) -> AsyncIterator[InputTopics]:
    async with input_topics(kafka, prefix) as topics:
        await topics.create(REGISTERED, 2)
        await topics.create(CLOSED, 1)
        yield topics


@pytest.fixture
async def intake(kafka: dict[str, Any], prefix: str, topics: InputTopics) -> AsyncIterator[Intake]:
    """An intake of the topics, which is not started."""
    assert topics
    intake = Intake(
        kafka=kafka,
        topics=(REGISTERED, CLOSED),
        prefix=prefix,
        group_id=f"{prefix}group",
        clock=WallClock(),
        grace=timedelta(seconds=30),
        max_clock_skew=timedelta(minutes=5),
        look_seconds=0.2,
    )
    yield intake
    await intake.stop()


async def taken(intake: Intake, count: int, limit: int = 500) -> list[InputRecord]:
    """So many records, and no more."""
    found: list[InputRecord] = []
    async with asyncio.timeout(40):
        while len(found) < count:
            found += await intake.take(min(limit, count - len(found)), wait_seconds=1)
    return found


def offsets(records: list[InputRecord], source: TopicPartition) -> list[int]:
    return [record.offset for record in records if record.source == source]


async def test_what_is_buffered_is_let_go_and_read_again_when_it_is_resumed(
    topics: InputTopics, intake: Intake
) -> None:
    for source in (HELD, OTHER):
        events = [registered(n, at(n)) for n in range(2_000)]
        await topics.send_all(source.topic, events, partition=source.partition)
    await intake.start({})
    first = await taken(intake, 100, limit=10)
    intake.hold(on_hold(HELD))
    assert intake._merge.buffered(HELD) == 0  # noqa: SLF001
    rest = await taken(intake, 2_000 - len(offsets(first, OTHER)))
    assert {record.source for record in rest} == {OTHER}
    await topics.send_all(CLOSED, [closed(n, at(n)) for n in range(10)])
    assert offsets(await taken(intake, 10), CLOSINGS) == list(range(10))
    assert HELD not in intake.advanced()
    waiting = 2_000 - len(offsets(first, HELD))
    await until(lambda: intake.lag()[HELD] == waiting)
    await topics.send_all(HELD.topic, [registered(n, at(n)) for n in range(2_000, 2_500)], partition=0)
    await until(lambda: intake.lag()[HELD] == waiting + 500)
    assert intake._merge.buffered(HELD) == 0  # noqa: SLF001
    assert intake.lag_seconds == 0
    frontier = intake.frontier()
    assert frontier is not None
    assert intake.held_back_by() == HELD

    intake.hold(NOTHING)
    last = await taken(intake, waiting + 500)
    assert offsets([*first, *last], HELD) == list(range(2_500))
    assert min(record.business_time for record in last if record.business_time) >= frontier
    await until(lambda: (intake.frontier() or frontier) > at(2_500))


async def test_holds_that_come_and_go_while_records_are_handed_over_lose_none(
    topics: InputTopics, intake: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also without that the consumer polls in between, and with what is handed over in the middle of a poll."""
    monkeypatch.setattr(session, "_SLICE_SECONDS", 0.0)
    monkeypatch.setattr(session, "_SLICE_RECORDS", 20)
    for partition in range(2):
        events = [registered(n, at(n)) for n in range(6_000)]
        await topics.send_all(REGISTERED, events, partition=partition)
    await intake.start({})
    turns = cycle([(HELD,), (HELD, OTHER), (whole(REGISTERED),), (OTHER,)])
    found: list[InputRecord] = []
    async with asyncio.timeout(60):
        for turn in range(300):
            intake.hold(on_hold(*next(turns)))
            for _ in range(turn % 3):
                await asyncio.sleep(0)
            intake.hold(NOTHING)
            found += await intake.take(30, wait_seconds=0.005)
        found += await taken(intake, 12_000 - len(found))
    for source in (HELD, OTHER):
        assert offsets(found, source) == list(range(6_000))


@pytest.mark.parametrize("running", [True, False])
async def test_all_partitions_may_be_on_hold(topics: InputTopics, intake: Intake, running: bool) -> None:  # noqa: FBT001
    """With a consumer that reads nothing, or without any; also of partitions that are added meanwhile."""
    everything = on_hold(whole(REGISTERED), whole(CLOSED))
    await intake.start({}, NOTHING if running else everything)
    intake.hold(everything)
    await topics.send_all(CLOSED, [closed(n, at(n)) for n in range(10)])
    await topics.add_partitions(CLOSED, 2)
    await until(lambda: len(intake.on_hold()) == 4)
    for n in range(10, 15):
        await topics.send(CLOSED, closed(n, at(n)), partition=1)
    await until(lambda: intake.lag().get(TopicPartition(CLOSED, 1)) == 5)
    assert await intake.take(1, wait_seconds=0.3) == []
    assert intake.healthy
    intake.hold(NOTHING)
    assert {record.source.topic for record in await taken(intake, 15)} == {CLOSED}


async def test_time_goes_on_beside_a_hold_if_that_is_wanted(topics: InputTopics, intake: Intake) -> None:
    await topics.send_all(REGISTERED, [registered(1, at(1))])
    await intake.start({}, on_hold(HELD))
    assert await intake.take(1, wait_seconds=0.2) == []
    assert intake.frontier() is None, "nothing of it was read: it has no clock"
    intake.hold(on_hold(HELD, lets_time_go_on=True))
    begun = datetime.now(UTC)
    await until(lambda: (intake.frontier() or at(0)) > begun)
    assert intake.held_back_by() is None
    intake.hold(NOTHING)
    (record,) = await taken(intake, 1)
    assert record.business_time is not None
    assert record.business_time > begun
