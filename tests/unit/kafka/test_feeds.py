"""How much is read ahead."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random

from aiokafka import TopicPartition as KafkaPartition
from aiokafka.structs import ConsumerRecord
from hypothesis import given
from hypothesis import strategies as st

from worker.kafka.input.buffers import BufferLimits, FlowControl, PartitionBuffer
from worker.kafka.records import TopicPartition
from worker.kafka.troubles import Hidden

LIMITS = BufferLimits(records=800, memory_bytes=4_000_000)


def feed(partition: int = 0) -> PartitionBuffer:
    source = TopicPartition("badge-earned", partition)
    return PartitionBuffer(source, KafkaPartition(source.topic, partition), incarnation=0, position=0, topic_id=None)


def records(count: int, size: int = 100) -> list[ConsumerRecord]:
    return [ConsumerRecord("badge-earned", 0, n, 0, 0, None, bytes(size), None, 0, size, ()) for n in range(count)]


def test_partitions_that_have_something_share_the_buffer() -> None:
    flow, one = FlowControl(LIMITS), feed()
    flow.share(9, 1)
    assert flow.room(one) == 800
    flow.share(9, 4)
    assert flow.room(one) == 200
    flow.add(one, records(150))
    assert flow.room(one) == 50
    flow.add(one, records(50))
    assert flow.room(one) == 0
    flow.settle(one, 120)
    assert flow.room(one) == 80


def test_large_records_fill_a_partition_by_their_bytes() -> None:
    flow, one = FlowControl(LIMITS), feed()
    flow.share(4, 4)
    flow.add(one, records(60, size=20_000))
    assert flow.room(one) == 0


def test_when_the_buffer_is_full_a_partition_with_nothing_may_still_bring_a_few() -> None:
    flow = FlowControl(LIMITS)
    flow.share(5, 4)
    for n in range(4):
        flow.add(feed(n), records(200))
    last = feed(4)
    assert flow.room(last) == 20
    flow.add(last, records(20))
    assert flow.room(last) == 0


def test_taken_records_return_what_they_weighed() -> None:
    flow, one = FlowControl(LIMITS), feed()
    flow.share(1, 1)
    flow.add(one, records(10, size=1_000))
    flow.add(one, records(10, size=5_000))
    flow.settle(one, 10)
    assert one.weight == 10 * 6_500
    flow.settle(one, 0)
    assert (one.weight, flow.weight, flow.records) == (0, 0, 0)


@given(
    partitions=st.integers(1, 204),
    polls=st.lists(st.lists(st.integers(0, 203), max_size=30), max_size=40),
    taken=st.randoms(use_true_random=True),
)
def test_the_bound_holds_whatever_is_polled_and_taken(partitions: int, polls: list[list[int]], taken: Random) -> None:
    limits = BufferLimits(records=8_000)
    flow = FlowControl(limits)
    feeds = [feed(n) for n in range(partitions)]
    for poll in polls:
        flow.share(partitions, taken.randint(0, partitions))
        rooms = [(feeds[which % partitions], flow.room(feeds[which % partitions])) for which in set(poll)]
        left = flow.most_at_once
        for one, room in rooms:
            count = min(room, left)
            left -= count
            flow.add(one, records(count, size=1))
        assert flow.records <= limits.records * 1.2 + 16 * partitions
        some = feeds[taken.randrange(partitions)]
        flow.settle(some, taken.randint(0, some.held))
    for one in feeds:
        flow.settle(one, 0)
    assert (flow.records, flow.weight) == (0, 0)


def test_a_partition_of_huge_records_may_bring_a_few_only_while_it_has_hardly_any() -> None:
    flow = FlowControl(LIMITS)
    flow.share(10, 10)
    flow.add(feed(0), records(1, size=LIMITS.memory_bytes))
    last = feed(1)
    assert flow.room(last) == 16
    flow.add(last, records(1, size=LIMITS.memory_bytes))
    assert flow.room(last) == 0


def test_from_a_bound_on_only_what_is_awaited_may_come() -> None:
    flow, one = FlowControl(BufferLimits(memory_bytes=1_000, most_memory_bytes=50_000)), feed()
    flow.share(2, 2)
    flow.add(one, records(1, size=40_000))
    assert not flow.is_overfull
    flow.add(one, records(1, size=40_000))
    assert flow.is_overfull
    flow.settle(one, 0)
    assert not flow.is_overfull


def test_headers_weigh_too() -> None:
    flow, one = FlowControl(LIMITS), feed()
    flow.share(1, 1)
    record = records(1, size=0)[0]
    flow.add(one, [replace(record, headers=(("", None),) * 1_000)])
    assert one.weight > 100_000


BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


def later(seconds: float) -> datetime:
    return BEGAN + timedelta(seconds=seconds)


def test_what_a_transaction_hides_is_counted_since_the_last_stable_offset_stands_still() -> None:
    one = feed()
    one.see_end(10, 10, 0.0, later(0))
    assert one.hidden is None
    one.see_end(10, 13, 1.0, later(1))
    one.see_end(10, 17, 4.0, later(4))
    assert one.hidden == Hidden(7, later(1))
    assert not one.is_held_up(5.9)
    assert one.is_held_up(6.0)
    one.see_end(15, 17, 7.0, later(7))
    assert one.hidden == Hidden(2, later(7)), "another transaction, open since then"
    assert not one.is_held_up(7.0)
    one.see_end(18, 18, 8.0, later(8))
    assert one.hidden is None
    one.see_end(18, None, 9.0, later(9))
    assert one.hidden is None, "a broker that reports no end hides nothing that can be seen"
