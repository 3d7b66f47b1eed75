"""Reading real topics: the order, the positions, and everything that topics do to those who read them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.client import AIOKafkaClient
from aiokafka.consumer.fetcher import Fetcher, PartitionRecords
from aiokafka.errors import CorruptRecordException, GroupCoordinatorNotAvailableError
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.structs import ConsumerRecord

from tests.kit.input_topics import InputTopics, at, closed, input_topics, registered
from tests.kit.waiting import PATIENCE_SECONDS, in_time, until, until_async
from worker.embedded.stack import LocalStack
from worker.kafka.broker import Probe
from worker.kafka.fingerprints import record_hash
from worker.kafka.input import buffers as feeds
from worker.kafka.input import intake, session
from worker.kafka.input.buffers import BufferLimits
from worker.kafka.input.intake import Intake
from worker.kafka.input.merge import Merge
from worker.kafka.input.session import ReadingSession
from worker.kafka.records import InputRecord, Position, TopicPartition
from worker.wall_clock import WallClock

GRACE = timedelta(seconds=30)
REGISTERED, CLOSED = "freelancer-registered", "job-closed"
FIRST = TopicPartition(REGISTERED, 0)

StartIntake = Callable[..., "Any"]


class Reader:
    """An intake, and what was taken from it."""

    def __init__(self, intake: Intake, positions: Mapping[TopicPartition, Position]) -> None:
        self.intake = intake
        self.taken: list[InputRecord] = []
        self._positions = dict(positions)

    async def take(self, count: int, limit: int = 500, seconds: float = PATIENCE_SECONDS) -> list[InputRecord]:
        """Take that many records, and no more, within the time."""
        taken: list[InputRecord] = []
        async with asyncio.timeout(seconds):
            while len(taken) < count:
                taken += await self.intake.take(min(limit, count - len(taken)), wait_seconds=1)
        self.taken += taken
        return taken

    async def nothing_comes(self, seconds: float = 0.4) -> bool:
        return await self.intake.take(1, wait_seconds=seconds) == []

    def positions(self) -> dict[TopicPartition, Position]:
        """The positions that a ledger would have stored."""
        for record in self.taken:
            self._positions[record.source] = Position(
                record.source,
                record.incarnation,
                record.offset + 1,
                record.offset,
                record.timestamp_ms,
                record_hash(record.key, record.value),
                record.running_max,
            )
        return self._positions


@pytest.fixture
async def topics(kafka: dict[str, Any], prefix: str) -> AsyncIterator[InputTopics]:
    async with input_topics(kafka, prefix) as topics:
        yield topics


@pytest.fixture
async def start(kafka: dict[str, Any], prefix: str) -> AsyncIterator[StartIntake]:
    """Starts an intake of two topics; all are stopped at the end."""
    async with AsyncExitStack() as exits:

        async def start(
            positions: Mapping[TopicPartition, Position] | None = None,
            *,
            names: tuple[str, ...] = (REGISTERED, CLOSED),
            look_seconds: float = 30,
            limits: BufferLimits | None = None,
            request_timeout_ms: int = 10_000,
        ) -> Reader:
            reading = Intake(
                kafka=kafka | {"request_timeout_ms": request_timeout_ms},
                topics=names,
                prefix=prefix,
                group_id=f"{prefix}group",
                clock=WallClock(),
                grace=GRACE,
                max_clock_skew=timedelta(minutes=5),
                limits=limits,
                look_seconds=look_seconds,
            )
            await reading.start(positions or {})
            exits.push_async_callback(reading.stop)
            return Reader(reading, positions or {})

        yield start


def values(records: list[InputRecord]) -> list[bytes | None]:
    return [record.value for record in records]


def now() -> datetime:
    return datetime.now(UTC)


async def test_topics_are_merged_by_event_time_whatever_fits_into_the_buffers(
    topics: InputTopics, start: StartIntake
) -> None:
    await topics.create(REGISTERED, 3)
    await topics.create(CLOSED, 2)
    expected = []
    for partition in range(3):
        events = [registered(n, at(n)) for n in range(partition, 3_000, 5)]
        await topics.send_all(REGISTERED, events, partition=partition)
        expected += [(n, event) for n, event in zip(range(partition, 3_000, 5), events, strict=True)]
    for partition in range(2):
        events = [closed(n, at(n)) for n in range(3 + partition, 3_000, 5)]
        await topics.send_all(CLOSED, events, partition=partition)
        expected += [(n, event) for n, event in zip(range(3 + partition, 3_000, 5), events, strict=True)]
    in_order = [event for _, event in sorted(expected)]
    for limits in (BufferLimits(), BufferLimits(records=100), BufferLimits(memory_bytes=200_000)):
        reader = await start(limits=limits)
        taken = await reader.take(3_000, limit=70)
        assert values(taken) == in_order
        assert [record.business_time for record in taken] == [at(n) for n in range(3_000)]
        await reader.intake.stop()


async def test_no_fetch_leaves_out_the_partitions_that_have_something(
    topics: InputTopics, start: StartIntake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker keeps such a fetch until an idle partition has a record; new ones of the busy ones wait meanwhile."""
    await topics.create(REGISTERED, 2)
    await topics.create(CLOSED, 1)
    asked: list[set[tuple[str, int]]] = []
    send = Fetcher._proc_fetch_request  # noqa: SLF001

    async def noted(fetcher: Fetcher, assignment: object, node_id: int, request: Any) -> bool:  # noqa: ANN401
        asked.append({(topic, entry[0]) for topic, entries in request.topics for entry in entries})
        answered: bool = await send(fetcher, assignment, node_id, request)
        return answered

    monkeypatch.setattr(Fetcher, "_proc_fetch_request", noted)
    reader = await start()
    for n in range(5):
        await topics.send(REGISTERED, registered(n, now()), partition=0)
        await reader.take(1)
    assert len(asked) >= 5
    assert {len(partitions) for partitions in asked} == {3}


async def test_buffers_stay_within_their_bounds(topics: InputTopics, start: StartIntake) -> None:
    await topics.create(REGISTERED, 4, compression_type="gzip")
    for partition in range(4):
        await topics.send_all(REGISTERED, [registered(n, at(n)) for n in range(4_000)], partition=partition)
    reader = await start(names=(REGISTERED,), limits=BufferLimits(records=1_000))
    most = 0
    for _ in range(160):
        await reader.take(100)
        most = max(most, sum(reader.intake._merge.buffered(TopicPartition(REGISTERED, p)) for p in range(4)))  # noqa: SLF001
    assert 300 < most <= 1_250
    assert await reader.nothing_comes()


async def test_reading_goes_on_where_it_ended(topics: InputTopics, start: StartIntake) -> None:
    await topics.create(REGISTERED, 2)
    for n in range(10):
        await topics.send(REGISTERED, registered(n, at(n)), partition=n % 2, key=b"k")
    reader = await start()
    await reader.take(5)
    await reader.intake.stop()
    again = await start(reader.positions())
    assert values(await again.take(5)) == [registered(n, at(n)) for n in range(5, 10)]
    assert await again.nothing_comes()
    assert again.intake.stopped == {}


async def test_an_intake_can_be_stopped_and_started_again(topics: InputTopics, start: StartIntake) -> None:
    await topics.create(REGISTERED)
    await topics.send_all(REGISTERED, [registered(n, at(n)) for n in range(6)])
    reader = await start()
    await reader.take(2)
    await reader.intake.stop()
    assert reader.intake.frontier() is None
    assert not reader.intake.healthy
    await reader.intake.start(reader.positions())
    assert [record.offset for record in await reader.take(4)] == [2, 3, 4, 5]


async def test_a_live_event_comes_immediately_and_the_frontier_follows_the_clock(
    topics: InputTopics, start: StartIntake
) -> None:
    await topics.create(REGISTERED, 2)
    await topics.create(CLOSED)
    reader = await start()
    await until(lambda: (reader.intake.frontier() or at(0)) > now() - timedelta(seconds=2))
    assert reader.intake.held_back_by() is None
    first = reader.intake.frontier()
    await topics.send(REGISTERED, registered(1, now()))
    (record,) = await reader.take(1, seconds=2)
    assert first <= record.business_time <= now()
    await until(lambda: reader.intake.frontier() > first)
    assert reader.intake.healthy
    assert reader.intake.last_error is None


async def test_aborted_records_are_stepped_over(topics: InputTopics, start: StartIntake) -> None:
    await topics.create(REGISTERED)
    async with topics.transaction(commit=True) as transaction:
        await transaction.send(REGISTERED, registered(1, at(1)))
    async with topics.transaction(commit=False) as transaction:
        await transaction.send(REGISTERED, registered(2, at(2)))
    reader = await start()
    assert values(await reader.take(1)) == [registered(1, at(1))]
    await until(lambda: reader.intake.advanced().get(FIRST) == 4)
    assert await reader.nothing_comes()
    assert reader.intake.frontier() > now() - timedelta(seconds=5)
    assert reader.intake.lag()[FIRST] == 0


async def test_a_position_behind_a_control_record_is_verified_and_read_on_from(
    topics: InputTopics, start: StartIntake
) -> None:
    await topics.create(REGISTERED)
    async with topics.transaction(commit=True) as transaction:
        await transaction.send(REGISTERED, registered(1, at(1)))
    reader = await start()
    (record,) = await reader.take(1)
    await until(lambda: reader.intake.advanced().get(FIRST) == 2)
    await reader.intake.stop()
    await topics.send(REGISTERED, registered(2, at(2)))
    decided = reader.positions()[FIRST]
    stored = Position(
        FIRST, 0, 2, record.offset, decided.last_timestamp, decided.last_hash, running_max=decided.running_max
    )
    again = await start({FIRST: stored})
    assert values(await again.take(1)) == [registered(2, at(2))]
    assert again.intake.stopped == {}


async def test_somebody_elses_open_transaction_stalls_nobody_and_holds_the_clock(
    topics: InputTopics, start: StartIntake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "ALARM_SECONDS", 1.0)
    await topics.create(REGISTERED)
    await topics.create(CLOSED)
    await topics.send(REGISTERED, registered(0, at(1)))
    async with topics.transaction(commit=True) as transaction:
        await transaction.send(REGISTERED, registered(1, at(5)))
        await topics.send(REGISTERED, registered(2, at(6)))
        await topics.send(CLOSED, closed(1, at(9)))
        reader = await start()
        assert values(await reader.take(2)) == [registered(0, at(0 + 1)), closed(1, at(9))]
        await topics.send(CLOSED, closed(2, now()))
        (live,) = await reader.take(1)
        assert live.business_time == at(1), "business time does not pass what is hidden"
        assert {source: hidden.records for source, hidden in reader.intake.hidden().items()} == {FIRST: 2}
        assert reader.intake.held_back_by() == FIRST
        assert reader.intake.frontier() == at(1)
    assert values(await reader.take(2)) == [registered(1, at(5)), registered(2, at(6))]
    await until(lambda: reader.intake.frontier() > now() - timedelta(seconds=5))
    assert reader.intake.hidden() == {}


async def test_a_transaction_of_a_moment_raises_no_alarm_and_the_order_waits_for_it(
    topics: InputTopics, start: StartIntake
) -> None:
    await topics.create(REGISTERED)
    await topics.create(CLOSED)
    async with topics.transaction(commit=True) as transaction:
        await transaction.send(REGISTERED, registered(1, at(5)))
        await topics.send(CLOSED, closed(1, at(9)))
        reader = await start()
        assert await reader.nothing_comes(1.0), "its next record is the next of all"
        assert reader.intake.hidden() == {}
    assert values(await reader.take(2, seconds=3)) == [registered(1, at(5)), closed(1, at(9))]


POISON: list[tuple[bytes | None, str | None]] = [
    (None, None),
    (b"", None),
    (b"\xff\xfe", None),
    (b"{", None),
    (b"[]", None),
    (b'{"event_id": "e-1", "occurred_at": "2026-01-01T00:00:00Z"}', "freelancer_id"),
    (b'{"event_id": "e 1", "occurred_at": "2026-01-01T00:00:00Z", "freelancer_id": "f-1"}', "event_id"),
    (b'{"event_id": "e-1", "occurred_at": "2026-01-01", "freelancer_id": "f-1"}', "occurred_at"),
    (registered(1, at(1), note="x" * 300_000), None),
    (b"[" * 100_000, None),
]


async def test_what_cannot_be_read_is_rejected_with_the_field_and_the_others_go_on(
    topics: InputTopics, start: StartIntake
) -> None:
    await topics.create(REGISTERED)
    for value, _ in POISON:
        await topics.send(REGISTERED, value, key=b"the key")
    await topics.send(REGISTERED, registered(1, at(1)))
    reader = await start()
    *poison, fine = await reader.take(len(POISON) + 1)
    for record, (value, field) in zip(poison, POISON, strict=True):
        assert record.event is None
        assert record.rejection is not None
        assert (record.rejection.code, record.rejection.field) == ("invalid-event", field)
        assert (record.key, record.value, record.running_max) == (b"the key", value, None)
    assert fine.event is not None
    assert fine.rejection is None


async def test_an_event_too_far_in_the_future_is_rejected_and_moves_no_clock(
    topics: InputTopics, start: StartIntake
) -> None:
    await topics.create(REGISTERED)
    await topics.send(REGISTERED, registered(1, now() + timedelta(minutes=6)))
    await topics.send(REGISTERED, registered(2, now() + timedelta(minutes=4)))
    reader = await start()
    ahead, fine = await reader.take(2)
    assert ahead.rejection is not None
    assert (ahead.rejection.code, ahead.rejection.field) == ("occurred-in-the-future", "occurred_at")
    assert (ahead.event, ahead.running_max) == (None, None)
    assert fine.event is not None
    assert fine.running_max == fine.event.occurred_at
    assert fine.business_time is None or fine.business_time <= now()


async def test_an_event_too_long_ago_is_rejected_and_moves_no_clock(topics: InputTopics, start: StartIntake) -> None:
    await topics.create(REGISTERED)
    for year in (1, 1970, 1999):
        await topics.send(REGISTERED, registered(1, datetime(year, 12, 31, tzinfo=UTC)))
    await topics.send(REGISTERED, registered(2, datetime(2000, 1, 1, tzinfo=UTC)))
    reader = await start()
    *ago, fine = await reader.take(4)
    for record in ago:
        assert record.rejection is not None
        assert (record.rejection.code, record.rejection.field) == ("occurred-too-long-ago", "occurred_at")
        assert (record.event, record.running_max) == (None, None)
    assert fine.running_max == datetime(2000, 1, 1, tzinfo=UTC)


async def test_odd_headers_make_no_difference(topics: InputTopics, start: StartIntake) -> None:
    await topics.create(REGISTERED)
    many = [(f"h{n}", b"x") for n in range(500)]
    for headers in ([("null", None)], [("bytes", b"\xff\xfe")], [("", b"")], many):
        await topics.send(REGISTERED, registered(1, at(1)), headers=headers)
    reader = await start()
    taken = await reader.take(4)
    assert all(record.event is not None for record in taken)
    assert taken[0].headers == (("null", None),)
    assert taken[3].headers == tuple(many)


@pytest.mark.parametrize("compressed", [False, True])
async def test_a_header_key_that_is_no_text_costs_its_own_record_alone(
    topics: InputTopics, start: StartIntake, *, compressed: bool
) -> None:
    await topics.create(REGISTERED)
    await topics.create(CLOSED)
    await topics.send(REGISTERED, registered(0, at(0)))
    batch = {registered(n, at(n)): n in (2, 3, 5) for n in range(1, 6)}
    await topics.send_with_bad_header_keys(REGISTERED, batch, compressed=compressed)
    await topics.send(REGISTERED, registered(6, at(6)))
    await topics.send_all(CLOSED, [closed(n, at(n)) for n in range(7)])
    reader = await start()
    taken = await reader.take(14)
    of_topic = [record for record in taken if record.source == FIRST]
    assert values(of_topic) == [registered(n, at(n)) for n in range(7)]
    assert [n for n, record in enumerate(of_topic) if record.rejection] == [2, 3, 5]
    for n in (2, 3, 5):
        rejected = of_topic[n]
        assert rejected.rejection is not None
        assert rejected.rejection.code == "unreadable-record"
        assert (rejected.event, rejected.key) == (None, b"key")
        assert rejected.headers == (("fine", b"1"), ("??-no-text", b"2"))
    assert values([record for record in taken if record.source != FIRST]) == [closed(n, at(n)) for n in range(7)]
    await topics.send(REGISTERED, registered(7, now()))
    assert values(await reader.take(1)) == [registered(7, now())] or reader.taken[-1].offset == 7
    assert reader.intake.stopped == {}


async def test_a_header_key_that_is_no_text_in_an_aborted_transaction_is_nobodys(
    topics: InputTopics, start: StartIntake
) -> None:
    await topics.create(REGISTERED)
    async with topics.transaction(commit=False) as transaction:
        await transaction.send(REGISTERED, registered(1, at(1)))
    await topics.send_with_bad_header_keys(REGISTERED, {registered(2, at(2)): True}, compressed=False)
    async with topics.transaction(commit=False) as transaction:
        await transaction.send(REGISTERED, registered(3, at(3)))
    reader = await start()
    assert values(await reader.take(1)) == [registered(2, at(2))]
    await until(lambda: reader.intake.advanced().get(FIRST) == 5)


async def test_a_failure_while_buffering_loses_nothing(
    topics: InputTopics, start: StartIntake, monkeypatch: pytest.MonkeyPatch
) -> None:
    await topics.create(REGISTERED)
    await topics.create(CLOSED)
    await topics.send_all(REGISTERED, [registered(n, at(n)) for n in range(600)])
    await topics.send_all(CLOSED, [closed(n, at(n)) for n in range(600)])
    extend, calls = Merge.extend, []

    def fails_at_times(self: Merge, source: TopicPartition, records: Sequence[InputRecord]) -> None:
        calls.append(1)
        if len(calls) in (2, 4):
            raise RuntimeError("a bug")
        extend(self, source, records)

    monkeypatch.setattr(Merge, "extend", fails_at_times)
    reader = await start()
    taken = await reader.take(1_200)
    for topic in (REGISTERED, CLOSED):
        assert [record.offset for record in taken if record.source.topic == topic] == list(range(600))


async def test_topics_that_do_not_exist_count_as_empty_and_are_named(topics: InputTopics, start: StartIntake) -> None:
    await topics.create(REGISTERED)
    await topics.send(REGISTERED, registered(1, at(1)))
    reader = await start()
    assert reader.intake.missing_topics == {CLOSED}
    assert values(await reader.take(1)) == [registered(1, at(1))]
    await until(lambda: reader.intake.frontier() > now() - timedelta(seconds=5))


async def test_with_no_topic_at_all_it_waits_for_one_to_be_made(topics: InputTopics, start: StartIntake) -> None:
    reader = await start(look_seconds=0.1)
    assert reader.intake.missing_topics == {REGISTERED, CLOSED}
    assert reader.intake.healthy
    assert reader.intake.frontier() > now() - timedelta(seconds=5)
    await topics.create(REGISTERED)
    await topics.send(REGISTERED, registered(1, now()))
    assert len(await reader.take(1)) == 1
    assert reader.intake.missing_topics == {CLOSED}
    admin = AIOKafkaAdminClient(**topics.kafka)
    await admin.start()
    assert topics.prefix + CLOSED not in await admin.list_topics(), "nobody made the missing topic by asking"
    await admin.close()


async def test_new_partitions_and_topics_are_read_from_their_beginning(topics: InputTopics, start: StartIntake) -> None:
    await topics.create(REGISTERED)
    await topics.send(REGISTERED, registered(1, at(1)))
    reader = await start(look_seconds=0.1)
    await reader.take(1)
    await topics.add_partitions(REGISTERED, 2)
    await topics.send(REGISTERED, registered(2, now()), partition=1)
    await topics.create(CLOSED)
    await topics.send(CLOSED, closed(3, now()))
    taken = await reader.take(2)
    assert {record.source for record in taken} == {TopicPartition(REGISTERED, 1), TopicPartition(CLOSED, 0)}
    assert [record.offset for record in taken] == [0, 0]
    await topics.send(REGISTERED, registered(4, now()))
    assert [record.offset for record in await reader.take(1)] == [1]
    assert reader.intake.missing_topics == set()


async def refill(topics: InputTopics, count: int) -> None:
    await topics.delete(REGISTERED)
    await topics.create(REGISTERED)
    if count:
        await topics.send_all(REGISTERED, [registered(100 + n, at(100 + n)) for n in range(count)])


@pytest.mark.parametrize("refilled", [0, 2, 3, 9])
async def test_a_topic_recreated_while_nobody_read_stops_its_partition(
    topics: InputTopics, start: StartIntake, refilled: int
) -> None:
    await topics.create(REGISTERED)
    await topics.create(CLOSED)
    await topics.send_all(REGISTERED, [registered(n, at(n)) for n in range(3)])
    reader = await start()
    await reader.take(3)
    await reader.intake.stop()
    await refill(topics, refilled)
    await topics.send(CLOSED, closed(1, at(50)))
    again = await start(reader.positions())
    assert set(again.intake.stopped) == {FIRST}
    assert (
        "connects positions set --recreated --topic freelancer-registered --partition 0" in again.intake.stopped[FIRST]
    )
    (record,) = await again.take(1)
    assert (record.source.topic, record.business_time) == (CLOSED, at(2)), "the clock is held"
    assert again.intake.held_back_by() == FIRST
    assert await again.nothing_comes()


@pytest.mark.parametrize("refilled", [0, 9])
async def test_a_topic_recreated_while_it_is_read_stops_its_partition(
    topics: InputTopics, start: StartIntake, refilled: int
) -> None:
    await topics.create(REGISTERED)
    await topics.create(CLOSED)
    await topics.send_all(REGISTERED, [registered(n, at(n)) for n in range(3)])
    reader = await start(look_seconds=0.1)
    await reader.take(3)
    await refill(topics, refilled)
    await until(lambda: FIRST in reader.intake.stopped)
    assert "--recreated" in reader.intake.stopped[FIRST]
    await topics.send(CLOSED, closed(1, now()))
    (record,) = await reader.take(1)
    assert record.source.topic == CLOSED
    assert await reader.nothing_comes()


async def test_an_unread_topic_may_be_recreated(topics: InputTopics, start: StartIntake) -> None:
    await topics.create(REGISTERED)
    await topics.create(CLOSED)
    reader = await start(look_seconds=0.1)
    await refill(topics, 2)
    assert [record.offset for record in await reader.take(2)] == [0, 1]
    assert reader.intake.stopped == {}


async def test_a_deleted_topic_counts_as_empty(topics: InputTopics, start: StartIntake) -> None:
    await topics.create(REGISTERED)
    await topics.create(CLOSED)
    await topics.send_all(REGISTERED, [registered(n, at(n)) for n in range(3)])
    reader = await start(look_seconds=0.1)
    await reader.take(1)
    await topics.delete(REGISTERED)
    await until(lambda: reader.intake.missing_topics == {REGISTERED})
    assert [record.offset for record in await reader.take(2)] == [1, 2], "what was read is decided"
    await topics.send(CLOSED, closed(1, now()))
    await reader.take(1)
    await until(lambda: reader.intake.frontier() > now() - timedelta(seconds=5))


async def test_fewer_partitions_than_positions_stop_those_that_are_gone(
    topics: InputTopics, start: StartIntake
) -> None:
    await topics.create(REGISTERED, 1)
    gone = TopicPartition(REGISTERED, 1)
    reader = await start({gone: Position(gone, 0, 3, 2, 0, bytes(16), at(2))})
    assert "--recreated --topic freelancer-registered --partition 1" in reader.intake.stopped[gone]
    await until(lambda: reader.intake.frontier() == at(2))


async def test_a_position_whose_last_record_retention_deleted_is_fine(topics: InputTopics, start: StartIntake) -> None:
    await topics.create(REGISTERED)
    await topics.send_all(REGISTERED, [registered(n, at(n)) for n in range(5)])
    reader = await start()
    await reader.take(3)
    await reader.intake.stop()
    await topics.delete_records(REGISTERED, before=3)
    again = await start(reader.positions())
    assert again.intake.stopped == {}
    assert [record.offset for record in await again.take(2)] == [3, 4]


async def test_retention_beyond_the_position_stops_the_partition(topics: InputTopics, start: StartIntake) -> None:
    await topics.create(REGISTERED)
    await topics.send_all(REGISTERED, [registered(n, at(n)) for n in range(5)])
    reader = await start()
    await reader.take(2)
    await reader.intake.stop()
    await topics.delete_records(REGISTERED, before=4)
    again = await start(reader.positions())
    assert "records 2 to 3 were deleted before they were read" in again.intake.stopped[FIRST]
    assert await again.nothing_comes()


async def test_without_a_position_reading_begins_where_the_log_begins(topics: InputTopics, start: StartIntake) -> None:
    await topics.create(REGISTERED)
    await topics.send_all(REGISTERED, [registered(n, at(n)) for n in range(5)])
    await topics.delete_records(REGISTERED, before=4)
    reader = await start()
    assert [record.offset for record in await reader.take(1)] == [4]


async def test_retention_overtaking_a_reader_stops_the_partition(topics: InputTopics, start: StartIntake) -> None:
    await topics.create(REGISTERED)
    await topics.create(CLOSED)
    await topics.send_all(REGISTERED, [registered(n, at(n)) for n in range(20_000)])
    reader = await start(limits=BufferLimits(records=1_000))
    await reader.take(10)
    await topics.delete_records(REGISTERED, before=19_990)
    taken = []
    async with asyncio.timeout(PATIENCE_SECONDS):
        while FIRST not in reader.intake.stopped:
            taken += await reader.intake.take(500, wait_seconds=0.2)
    assert "were deleted before they were read" in reader.intake.stopped[FIRST]
    while more := await reader.intake.take(500, wait_seconds=0.2):
        taken += more
    offsets = [record.offset for record in taken]
    assert offsets == list(range(10, 10 + len(offsets))), "what was read before is decided, and nothing is skipped"
    assert len(offsets) < 19_980
    await topics.send(CLOSED, closed(1, now()))
    assert len(await reader.take(1)) == 1


async def test_offsets_are_committed_for_those_who_watch_lag(topics: InputTopics, start: StartIntake) -> None:
    await topics.create(REGISTERED)
    await topics.send_all(REGISTERED, [registered(n, at(n)) for n in range(5)])
    reader = await start()
    await reader.take(5)
    admin = AIOKafkaAdminClient(**topics.kafka)
    await admin.start()
    committed: dict[Any, Any] = {}
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not committed:
            await reader.intake.commit_offsets({FIRST: 5, TopicPartition("elsewhere", 0): 1})
            with suppress(GroupCoordinatorNotAvailableError):  # a cluster's first group waits for its topic
                committed = await admin.list_consumer_group_offsets(f"{topics.prefix}group")
    await admin.close()
    assert {tp.topic: offset.offset for tp, offset in committed.items()} == {topics.prefix + REGISTERED: 5}


async def test_a_group_with_another_member_is_named_until_it_has_left(topics: InputTopics, start: StartIntake) -> None:
    await topics.create(REGISTERED)
    await topics.send_all(REGISTERED, [registered(n, at(n)) for n in range(5)])
    reader = await start()
    await reader.take(5)
    group = f"{topics.prefix}group"
    member = AIOKafkaConsumer(topics.prefix + REGISTERED, group_id=group, **topics.kafka)
    await member.start()

    async def commit_is_tried(*, shared: bool) -> bool:
        await reader.intake.commit_offsets({FIRST: 5})
        return (reader.intake.shared_group is not None) is shared

    try:
        await until_async(lambda: commit_is_tried(shared=True))
        assert reader.intake.shared_group is not None
        assert group in reader.intake.shared_group
        assert "KAFKA_GROUP_ID" in reader.intake.shared_group
    finally:
        await member.stop()
    await until_async(lambda: commit_is_tried(shared=False))
    assert reader.intake.healthy


async def test_lag_is_shown_in_records_and_seconds(topics: InputTopics, start: StartIntake) -> None:
    await topics.create(REGISTERED)
    await topics.send_all(REGISTERED, [registered(n, at(n)) for n in range(50)])
    reader = await start(limits=BufferLimits(records=16))
    await until(lambda: reader.intake.lag().get(FIRST) == 50)
    assert 0 < reader.intake.lag_seconds < 60
    await reader.take(20)
    assert reader.intake.lag()[FIRST] == 30
    await reader.take(30)
    await until(lambda: reader.intake.lag()[FIRST] == 0)
    assert reader.intake.lag_seconds == 0


ODD_TIMESTAMPS_MS = (0, 1, 1_700_000_000, 4_102_444_800_000, 2**62)
"""Never set, seconds in the place of milliseconds, a time to come, and one that no calendar has."""


@pytest.mark.parametrize("timestamp_ms", ODD_TIMESTAMPS_MS)
async def test_what_a_producer_says_of_the_time_of_sending_makes_no_lag(
    topics: InputTopics, start: StartIntake, timestamp_ms: int
) -> None:
    await topics.create(REGISTERED, message_timestamp_after_max_ms=str(2**63 - 1))
    for n in range(20):
        await topics.send(REGISTERED, registered(n, at(n)), timestamp_ms=timestamp_ms)
    reader = await start(limits=BufferLimits(records=16))
    await until(lambda: reader.intake.lag().get(FIRST) == 20)
    assert 0 < reader.intake.lag_seconds < 60
    seen = reader.intake.lag_seconds
    await until(lambda: reader.intake.lag_seconds > seen + 0.2)
    await reader.take(20)
    await until(lambda: reader.intake.lag()[FIRST] == 0)
    assert reader.intake.lag_seconds == 0


@pytest.mark.in_turn
@pytest.mark.own_servers
async def test_a_broker_that_dies_is_waited_for(stack: LocalStack, topics: InputTopics, start: StartIntake) -> None:
    await topics.create(REGISTERED)
    await topics.send_all(REGISTERED, [registered(n, at(n)) for n in range(500)])
    reader = await start(limits=BufferLimits(records=100))
    await reader.take(50)
    stack.kill_kafka()
    try:
        await until(lambda: not reader.intake.healthy)
        assert reader.intake.last_error is not None
    finally:
        await asyncio.to_thread(stack.start_kafka)
    taken = await reader.take(450, seconds=40)
    assert [record.offset for record in reader.taken] == list(range(500))
    assert values(taken) == [registered(n, at(n)) for n in range(50, 500)]
    await until(lambda: reader.intake.healthy)
    assert reader.intake.last_error is None
    assert reader.intake.stopped == {}


@pytest.mark.own_servers
async def test_a_broker_that_is_silent_for_long_is_connected_to_again(
    stack: LocalStack, topics: InputTopics, start: StartIntake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "RECONNECT_SECONDS", 1.0)
    monkeypatch.setattr(intake, "_SILENCE_SECONDS", 0.7)
    reconnected = []
    reconnect = ReadingSession.reconnect

    async def noted(self: ReadingSession, probe: Probe) -> None:
        await reconnect(self, probe)
        reconnected.append(probe)

    monkeypatch.setattr(ReadingSession, "reconnect", noted)
    await topics.create(REGISTERED)
    await topics.send_all(REGISTERED, [registered(n, at(n)) for n in range(500)])
    reader = await start(limits=BufferLimits(records=100), look_seconds=0.3, request_timeout_ms=1_000)
    await reader.take(50)
    stack.pause_kafka()
    try:
        await until(lambda: not reader.intake.healthy and reader.intake.last_error is not None)
        await until(lambda: reader.intake._session.silent_seconds() > 2)  # noqa: SLF001
    finally:
        stack.resume_kafka()
    await until(lambda: bool(reconnected))
    await reader.take(450)
    assert [record.offset for record in reader.taken] == list(range(500))
    await until(lambda: reader.intake.healthy)


async def test_records_that_are_damaged_stop_their_partition_alone(
    topics: InputTopics, start: StartIntake, monkeypatch: pytest.MonkeyPatch
) -> None:
    decode = PartitionRecords._consumer_record  # noqa: SLF001

    def damaged(self: PartitionRecords, tp: object, record: ConsumerRecord) -> object:
        if record.value == registered(3, at(3)):
            raise CorruptRecordException("bits fell over")
        return decode(self, tp, record)

    monkeypatch.setattr(PartitionRecords, "_consumer_record", damaged)
    await topics.create(REGISTERED)
    await topics.create(CLOSED)
    for n in range(5):
        await topics.send(REGISTERED, registered(n, at(n)))
    await topics.send_all(CLOSED, [closed(n, at(n)) for n in range(5)])
    reader = await start()
    taken = await reader.take(5)
    assert values([record for record in taken if record.source.topic == CLOSED]) == [closed(n, at(n)) for n in range(5)]
    assert "damaged" in reader.intake.stopped[FIRST]
    assert "--topic freelancer-registered --partition 0" in reader.intake.stopped[FIRST]


async def test_a_compacted_topic_is_not_taken_for_another_one(topics: InputTopics, start: StartIntake) -> None:
    await topics.create(REGISTERED, cleanup_policy="compact")
    async with topics.transaction(commit=True) as transaction:
        await transaction.send(REGISTERED, registered(1, at(1)), key=b"k")
    await until_async(lambda: topics.ends_at(REGISTERED, 2))
    await topics.send(REGISTERED, registered(2, at(2)), key=b"k")
    # As if the last decided record had been the one where compaction left a gap: here, where the control record is.
    stored = Position(FIRST, 0, 2, 1, 0, bytes(16), at(1))
    reader = await start({FIRST: stored})
    assert reader.intake.stopped == {}
    assert values(await reader.take(1)) == [registered(2, at(2))]


@pytest.mark.in_turn
@pytest.mark.own_servers
async def test_an_intake_started_while_the_broker_is_away_begins_when_it_is_back(
    stack: LocalStack, kafka: dict[str, Any], topics: InputTopics, prefix: str
) -> None:
    await topics.create(REGISTERED)
    await topics.send(REGISTERED, registered(1, at(1)))
    waiting = Intake(
        kafka=kafka,
        topics=(REGISTERED,),
        prefix=prefix,
        group_id="g",
        clock=WallClock(),
        grace=GRACE,
        max_clock_skew=timedelta(minutes=5),
    )
    await asyncio.to_thread(stack.stop_kafka)
    try:
        starting = asyncio.create_task(waiting.start({}))
        await until(lambda: waiting.last_error is not None)
        assert not waiting.healthy
        assert await waiting.take(1, wait_seconds=0) == []
    finally:
        await asyncio.to_thread(stack.start_kafka)
    await in_time(starting)
    assert len(await Reader(waiting, {}).take(1)) == 1
    await waiting.stop()


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (56, "cannot be read: the disk of its leader fails (KAFKA_STORAGE_ERROR)"),
        (-1, "cannot be read: its leader answers UNKNOWN"),
        (75, "cannot be read: its leader answers error 75"),
        (9, "has no leader"),
    ],
)
async def test_a_partition_whose_fetches_fail_is_named_and_the_others_go_on(
    *, topics: InputTopics, start: StartIntake, monkeypatch: pytest.MonkeyPatch, code: int, words: str
) -> None:
    """While it is read, and when reading begins; it goes on by itself when they fail no longer."""
    monkeypatch.setattr(feeds, "ALARM_SECONDS", 1.0)
    monkeypatch.setattr(session, "ALARM_SECONDS", 1.0)
    failing: set[tuple[str, int]] = set()
    fetches = []
    send = AIOKafkaClient.send

    async def spoiled(self: AIOKafkaClient, node: int, request: Any, **options: Any) -> Any:  # noqa: ANN401
        answer = await send(self, node, request, **options)
        if isinstance(request, FetchRequest):
            fetches.append(1)
            answer.topics = [
                (topic, [(part[0], code, *part[2:]) if (topic, part[0]) in failing else part for part in parts])
                for topic, parts in answer.topics
            ]
        return answer

    monkeypatch.setattr(AIOKafkaClient, "send", spoiled)
    await topics.create(REGISTERED, 2)
    await topics.create(CLOSED)
    await topics.send(REGISTERED, registered(0, at(0)))
    reader = await start()
    assert values(await reader.take(1)) == [registered(0, at(0))]
    failing.add((topics.prefix + REGISTERED, 0))
    await topics.send(REGISTERED, registered(1, at(1)))
    await topics.send(CLOSED, closed(1, at(9)))
    assert values(await reader.take(1)) == [closed(1, at(9))]
    await until(lambda: FIRST in reader.intake.unavailable())
    assert reader.intake.unavailable()[FIRST].why == words
    assert len(fetches) < 100, "nobody asks without a pause"
    assert reader.intake.healthy
    held_at = reader.intake.frontier()
    again = await start(reader.positions())
    await until(lambda: FIRST in again.intake.unavailable())
    await topics.send(CLOSED, closed(2, now()))
    assert values(await again.take(1)) == values(await reader.take(1))
    assert reader.intake.frontier() == held_at
    assert set(again.intake.unavailable()) == {FIRST}
    failing.clear()
    for one in (reader, again):
        assert values(await one.take(1)) == [registered(1, at(1))]
        await until(lambda one=one: one.intake.frontier() > now() - timedelta(seconds=5))  # type: ignore[misc]
        assert one.intake.unavailable() == {}
