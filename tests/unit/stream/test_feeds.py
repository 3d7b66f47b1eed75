"""How much is read ahead."""

import pytest
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.structs import ConsumerRecord
from hypothesis import given
from hypothesis import strategies as st

from worker.stream.feeds import BufferLimits, Feed, Flow
from worker.stream.records import TopicPartition

LIMITS = BufferLimits(records=800, memory_bytes=4_000_000)


def feed(partition: int = 0) -> Feed:
    source = TopicPartition("badge-earned", partition)
    return Feed(source, KafkaPartition(source.topic, partition), incarnation=0, position=0, topic_id=None)


def records(count: int, size: int = 100) -> list[ConsumerRecord]:
    return [ConsumerRecord("badge-earned", 0, n, 0, 0, None, bytes(size), None, 0, size, ()) for n in range(count)]


def test_a_partition_pauses_at_its_share_and_resumes_at_half_of_it() -> None:
    flow, one = Flow(LIMITS), feed()
    flow.share(2)
    flow.add(one, records(199), 199)
    assert not flow.pauses(one)
    flow.add(one, records(1), 1)
    assert flow.pauses(one)
    one.paused = True
    flow.settle(one, 101)
    assert flow.pauses(one)
    flow.settle(one, 100)
    assert not flow.pauses(one)


def test_large_records_pause_a_partition_by_their_bytes() -> None:
    flow, one = Flow(LIMITS), feed()
    flow.share(2)
    flow.add(one, records(60, size=20_000), 60)
    assert flow.pauses(one)
    assert flow.room(one) == 0


def test_when_the_buffer_is_full_a_partition_with_nothing_may_still_bring_a_few() -> None:
    flow = Flow(LIMITS)
    flow.share(5)
    for n in range(4):
        flow.add(feed(n), records(200), 200)
    last = feed(4)
    assert not flow.pauses(last)
    assert flow.room(last) == 20


def test_taken_records_give_back_what_they_weighed() -> None:
    flow, one = Flow(LIMITS), feed()
    flow.share(1)
    flow.add(one, records(10, size=1_000), 10)
    flow.add(one, records(10, size=5_000), 10)
    flow.settle(one, 10)
    assert one.weight == 10 * 6_500
    flow.settle(one, 0)
    assert (one.weight, flow.weight, flow.records) == (0, 0, 0)


@given(st.integers(1, 204), st.lists(st.tuples(st.integers(0, 203), st.integers(1, 400)), max_size=200))
def test_the_bound_holds_whatever_is_fetched(partitions: int, fetches: list[tuple[int, int]]) -> None:
    limits = BufferLimits(records=8_000)
    flow = Flow(limits)
    flow.share(partitions)
    feeds = [feed(n) for n in range(partitions)]
    for which, count in fetches:
        one = feeds[which % partitions]
        room = min(flow.room(one), count)
        flow.add(one, records(room), room)
        assert room
        or_pauses = flow.pauses(one) or flow.room(one)
        assert or_pauses, "a partition without room is paused"
        if flow.pauses(one):
            flow.settle(one, 0)
    assert flow.records <= limits.records * 1.25 + 16 * partitions


@pytest.mark.parametrize("partitions", [1, 12, 204])
def test_all_partitions_full_stay_within_the_bound(partitions: int) -> None:
    limits = BufferLimits()
    flow = Flow(limits)
    flow.share(partitions)
    feeds = [feed(n) for n in range(partitions)]
    for _ in range(50):
        for one in feeds:
            room = min(flow.room(one), 500)
            flow.add(one, records(room, size=10), room)
    assert flow.records <= limits.records * 1.25
