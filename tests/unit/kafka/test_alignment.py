"""In which order records are handed out, and what the frontier says meanwhile."""

from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.earning import FreelancerRegistered
from worker.kafka.input.merge import UNSEEN, Merge
from worker.kafka.records import InputRecord, Rejection, TopicPartition

GRACE = timedelta(seconds=30)
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
START = datetime(2026, 1, 1, tzinfo=UTC)
A = TopicPartition("badge-earned", 0)
B = TopicPartition("job-closed", 0)
C = TopicPartition("job-closed", 1)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def record(source: TopicPartition, offset: int, seconds: float | None) -> InputRecord:
    """A record that happened that many seconds after the start; None: one that is no event."""
    event = rejection = None
    if seconds is None:
        rejection = Rejection("invalid-event", None, "not JSON")
    else:
        event = FreelancerRegistered(event_id=f"e-{offset}", occurred_at=at(seconds), freelancer_id="f-1")
    return InputRecord(source, 0, offset, 0, None, b"{}", (), event, rejection, None)


def alignment_of(*sources: TopicPartition) -> Merge:
    merge = Merge(GRACE)
    for source in sources:
        merge.open(source, running_max=None)
    return merge


def names(records: list[InputRecord]) -> list[tuple[TopicPartition, int]]:
    return [(record.source, record.offset) for record in records]


def test_records_of_a_catch_up_come_by_event_time() -> None:
    merge = alignment_of(A, B)
    merge.extend(A, [record(A, 0, 1), record(A, 1, 5)])
    merge.extend(B, [record(B, 0, 2), record(B, 1, 6)])
    assert names(merge.take(3, NOW)) == [(A, 0), (B, 0), (A, 1)]


def test_at_the_same_instant_topic_and_partition_decide() -> None:
    merge = alignment_of(C, B, A)
    for source in (C, B, A):
        merge.add(record(source, 0, 1))
        merge.read_to(source, 1, 1, NOW)
    assert names(merge.take(9, NOW)) == [(A, 0), (B, 0), (C, 0)]


def test_a_partition_that_is_not_read_to_its_end_is_waited_for() -> None:
    merge = alignment_of(A, B)
    merge.add(record(A, 0, 1))
    assert merge.take(9, NOW) == []
    merge.read_to(B, 0, 0, NOW)
    assert names(merge.take(9, NOW)) == [(A, 0)]


def test_what_an_awaited_partition_cannot_precede_any_more_is_not_held_up() -> None:
    merge = alignment_of(A, B)
    merge.extend(B, [record(B, 0, 10)])
    merge.read_to(B, 1, 5, NOW)
    merge.extend(A, [record(A, 0, 1), record(A, 1, 9), record(A, 2, 11)])
    assert names(merge.take(9, NOW)) == [(A, 0), (A, 1), (B, 0)]
    assert merge.take(9, NOW) == [], "the next of B may be at second 10"


def test_an_event_that_is_older_than_one_before_it_keeps_its_place_in_the_partition() -> None:
    merge = alignment_of(A, B)
    merge.extend(A, [record(A, 0, 9), record(A, 1, 1)])
    merge.extend(B, [record(B, 0, 5)])
    for source, end in ((A, 2), (B, 1)):
        merge.read_to(source, end, end, NOW)
    taken = merge.take(9, NOW)
    assert names(taken) == [(B, 0), (A, 0), (A, 1)]
    assert [record.business_time for record in taken] == [at(5), at(9), at(9)]


def test_a_rejected_record_moves_no_clock() -> None:
    merge = alignment_of(A)
    merge.extend(A, [record(A, 0, None), record(A, 1, 3), record(A, 2, None)])
    taken = merge.take(9, NOW)
    assert [record.running_max for record in taken] == [None, at(3), at(3)]
    assert [record.business_time for record in taken] == [None, at(3), at(3)]


def test_a_rejected_event_with_a_date_moves_no_clock() -> None:
    merge = alignment_of(A)
    ahead = record(A, 0, 100)
    ahead.rejection = Rejection("occurred-in-the-future", "occurred_at", "")
    merge.add(ahead)
    assert ahead.running_max is None


def test_running_maximum_goes_on_from_the_position() -> None:
    merge = Merge(GRACE)
    merge.open(A, running_max=at(50))
    merge.add(record(A, 7, 3))
    assert merge.take(1, NOW)[0].running_max == at(50)


def test_business_time_is_never_beyond_the_wall_clock() -> None:
    merge = alignment_of(A, B)
    now = at(100)
    merge.add(record(A, 0, 300))
    merge.read_to(A, 1, 1, now)
    merge.read_to(B, 0, 5, now)  # holds the frontier, so this is no live intake
    merge.add(record(B, 0, 10))
    taken = merge.take(9, now)
    assert [taken.business_time for taken in taken] == [at(10)], "B may still have one before second 300"
    merge.read_to(B, 1, 1, now - GRACE * 2)
    assert [taken.business_time for taken in merge.take(9, now)] == [at(100)]


def test_frontier_is_the_slowest_partition() -> None:
    merge = alignment_of(A, B, C)
    merge.extend(A, [record(A, 0, 7)])
    merge.extend(B, [record(B, 0, 3)])
    merge.read_to(C, 0, 0, NOW)
    assert merge.frontier(NOW) == at(3)
    assert merge.held_back_by(NOW) == B


def test_frontier_is_unknown_until_every_partition_was_looked_at() -> None:
    merge = alignment_of(A, B)
    merge.add(record(A, 0, 7))
    assert merge.frontier(NOW) is None
    assert merge.held_back_by(NOW) == B
    merge.read_to(B, 0, 0, NOW)
    assert merge.frontier(NOW) == at(7)


def test_frontier_of_finished_partitions_is_the_oldest_look() -> None:
    merge = alignment_of(A, B)
    merge.read_to(A, 4, 4, NOW - timedelta(seconds=2))
    merge.read_to(B, 0, 0, NOW)
    assert merge.frontier(NOW) == NOW - timedelta(seconds=2)
    assert merge.held_back_by(NOW) is None


def test_frontier_does_not_go_back_when_an_old_event_arrives() -> None:
    merge = alignment_of(A)
    merge.read_to(A, 0, 0, NOW)
    assert merge.frontier(NOW) == NOW
    merge.add(record(A, 0, 1))
    assert merge.frontier(NOW + timedelta(seconds=1)) == NOW


def test_frontier_is_never_beyond_the_wall_clock() -> None:
    merge = alignment_of(A)
    merge.add(record(A, 0, 300))
    assert merge.frontier(at(100)) == at(100)


def test_live_records_are_taken_as_they_come_without_waiting() -> None:
    merge = alignment_of(A, B)
    for source in (A, B):
        merge.read_to(source, 0, 0, NOW)
    assert merge.take(9, NOW) == []
    merge.add(record(B, 0, 50))
    merge.read_to(B, 1, 9, NOW)  # there is more to come, and nobody waits for it
    merge.add(record(A, 0, 40))
    merge.add(record(B, 1, 10))
    taken = merge.take(9, NOW + timedelta(seconds=1))
    assert names(taken) == [(B, 0), (A, 0), (B, 1)]
    assert {record.business_time for record in taken} == {NOW}


def test_live_records_over_the_limit_keep_their_turn() -> None:
    merge = alignment_of(A, B)
    for source in (A, B):
        merge.read_to(source, 0, 0, NOW)
    merge.take(1, NOW)
    merge.extend(B, [record(B, offset, 50) for offset in range(3)])
    merge.extend(A, [record(A, offset, 40) for offset in range(2)])
    taken = [merge.take(2, NOW) for _ in range(3)]
    assert [names(part) for part in taken] == [[(B, 0), (B, 1)], [(B, 2), (A, 0)], [(A, 1)]]


def test_a_live_intake_that_falls_behind_merges_again() -> None:
    merge = alignment_of(A, B)
    for source in (A, B):
        merge.read_to(source, 0, 0, NOW)
    merge.take(1, NOW)
    merge.extend(B, [record(B, 0, 50)])
    merge.extend(A, [record(A, 0, 40)])
    assert names(merge.take(9, NOW + GRACE * 2)) == [(A, 0), (B, 0)]


def test_what_was_buffered_before_going_live_comes_first_and_by_event_time() -> None:
    merge = alignment_of(A, B)
    now = at(60)
    merge.extend(B, [record(B, 0, 50), record(B, 1, 59)])
    merge.extend(A, [record(A, 0, 40)])
    assert names(merge.take(9, now)) == [(A, 0), (B, 0), (B, 1)]


def test_a_stopped_partition_holds_the_clock_and_nobody_else() -> None:
    merge = alignment_of(A, B)
    merge.extend(A, [record(A, 0, 5), record(A, 1, 6)])
    merge.take(1, NOW)
    merge.extend(B, [record(B, 0, 1), record(B, 1, 9)])
    merge.read_to(B, 2, 2, NOW)
    assert names(merge.take(9, NOW)) == [(B, 0), (A, 0), (A, 1)]
    merge.stop(A, discard=False)
    taken = merge.take(9, NOW)
    assert names(taken) == [(B, 1)]
    assert taken[0].business_time == at(6)
    assert merge.frontier(NOW) == at(6)
    assert merge.held_back_by(NOW) == A


def test_what_a_stopped_partition_had_buffered_can_be_thrown_away() -> None:
    merge = alignment_of(A, B)
    merge.extend(A, [record(A, 0, 5), record(A, 1, 6)])
    merge.extend(B, [record(B, 0, 1)])
    merge.read_to(B, 1, 1, NOW)
    assert names(merge.take(2, NOW)) == [(B, 0), (A, 0)]
    merge.stop(A, discard=True)
    assert merge.take(9, NOW) == []
    assert merge.buffered_total == 0
    assert merge.frontier(NOW) == at(5)


def test_a_stopped_partition_of_which_nothing_is_known_leaves_business_time_unknown() -> None:
    merge = alignment_of(A, B)
    merge.stop(A, discard=True)
    merge.add(record(B, 0, 1))
    taken = merge.take(9, NOW)
    assert names(taken) == [(B, 0)]
    assert taken[0].business_time is None
    assert merge.frontier(NOW) is None


def test_the_others_go_on_without_a_withheld_partition_which_holds_the_clock() -> None:
    merge = alignment_of(A, B)
    merge.extend(A, [record(A, 0, 5)])
    merge.read_to(A, 1, 9, NOW)
    merge.extend(B, [record(B, 0, 1), record(B, 1, 20)])
    merge.read_to(B, 2, 2, NOW)
    assert not merge.waits_only_for(A), "there is something to take"
    assert names(merge.take(9, NOW)) == [(B, 0), (A, 0)]
    assert merge.waits_only_for(A)
    assert not merge.waits_only_for(B)
    assert merge.take(9, NOW) == [], "what A has next may be before it"
    merge.withhold(A, withheld=True)
    assert not merge.waits_only_for(A)
    (taken,) = merge.take(9, NOW)
    assert (taken.source, taken.business_time) == (B, at(5))
    assert merge.frontier(NOW) == at(5)
    assert merge.held_back_by(NOW) == A
    merge.withhold(A, withheld=False)
    merge.extend(B, [record(B, 2, 30)])
    assert merge.take(9, NOW) == [], "it is waited for again"
    merge.extend(A, [record(A, n, 5 + n) for n in range(1, 9)])
    merge.read_to(A, 9, 9, NOW)
    assert names(merge.take(99, NOW)) == [*((A, n) for n in range(1, 9)), (B, 2)]
    assert merge.frontier(NOW) == NOW


def test_a_partition_that_was_read_to_its_end_and_is_withheld_holds_the_clock_at_that_look() -> None:
    merge = alignment_of(A, B)
    looked_at = at(50)
    merge.read_to(A, 0, 0, looked_at)
    merge.withhold(A, withheld=True)
    merge.extend(B, [record(B, 0, 40), record(B, 1, 60)])
    merge.read_to(B, 2, 2, NOW)
    assert [record.business_time for record in merge.take(9, NOW)] == [at(40), looked_at]
    assert merge.frontier(NOW) == looked_at


def test_what_a_withheld_partition_had_buffered_is_taken_in_its_place() -> None:
    merge = alignment_of(A, B)
    merge.extend(A, [record(A, 0, 5)])
    merge.extend(B, [record(B, 0, 4), record(B, 1, 6)])
    merge.read_to(B, 2, 2, NOW)
    merge.withhold(A, withheld=True)
    assert names(merge.take(9, NOW)) == [(B, 0), (A, 0), (B, 1)]


def test_a_closed_partition_holds_nothing_back() -> None:
    merge = alignment_of(A, B)
    merge.add(record(A, 0, 1))
    merge.add(record(B, 0, 5))
    merge.close(A)
    assert names(merge.take(9, NOW)) == [(B, 0)]
    assert merge.buffered_total == 0


def test_buffers_are_counted() -> None:
    merge = alignment_of(A, B)
    merge.extend(A, [record(A, 0, 1), record(A, 1, 2)])
    merge.add(record(B, 0, 9))
    assert (merge.buffered(A), merge.buffered(B), merge.buffered_total) == (2, 1, 3)
    merge.take(2, NOW)
    assert (merge.buffered(A), merge.buffered_total) == (0, 1)


def test_a_partition_is_opened_once() -> None:
    merge = alignment_of(A)
    with pytest.raises(AssertionError):
        merge.open(A, running_max=None)


HISTORIES = st.dictionaries(
    st.builds(TopicPartition, st.sampled_from(["badge-earned", "hire-made", "job-closed"]), st.integers(0, 2)),
    st.lists(st.one_of(st.none(), st.integers(0, 12)), max_size=12),
    min_size=1,
    max_size=5,
)


def keys_of(history: list[int | None]) -> list[datetime]:
    keys, largest = [], UNSEEN
    for seconds in history:
        largest = largest if seconds is None else max(largest, at(seconds))
        keys.append(largest)
    return keys


@given(histories=HISTORIES, schedule=st.randoms(use_true_random=True))
def test_the_order_of_a_catch_up_depends_on_nothing_but_the_topics(
    histories: dict[TopicPartition, list[int | None]], schedule: Random
) -> None:
    expected = sorted(
        (key, source.topic, source.partition, offset)
        for source, history in histories.items()
        for offset, key in enumerate(keys_of(history))
    )
    merge = alignment_of(*schedule.sample(list(histories), len(histories)))
    read = dict.fromkeys(histories, 0)
    taken: list[InputRecord] = []
    frontiers: list[tuple[int, datetime]] = []
    unfinished = set(histories)
    while len(taken) < len(expected) or unfinished:
        if unfinished and schedule.random() < 0.5:
            source = schedule.choice(sorted(unfinished, key=str))
            history = histories[source]
            start = read[source]
            until = schedule.randint(start, len(history))
            merge.extend(source, [record(source, offset, history[offset]) for offset in range(start, until)])
            read[source] = until
            merge.read_to(source, until, len(history), NOW)
            if until == len(history):
                unfinished.discard(source)
        else:
            taken += merge.take(schedule.randint(1, 5), NOW)
        if len(taken) < len(expected) and (frontier := merge.frontier(NOW)) is not None:
            frontiers.append((len(taken), frontier))
    got = [(r.running_max or UNSEEN, r.source.topic, r.source.partition, r.offset) for r in taken]
    assert got == expected
    assert [r.business_time or UNSEEN for r in taken] == [key for key, *_ in expected]
    for count, frontier in frontiers:
        assert frontier <= expected[count][0], "nothing that is still to come is older than a frontier"
    assert [frontier for _, frontier in frontiers] == sorted(frontier for _, frontier in frontiers)


@given(
    arrivals=st.lists(st.tuples(st.sampled_from([A, B, C]), st.integers(0, 100), st.integers(1, 4)), max_size=20),
    data=st.data(),
)
def test_nothing_is_lost_or_reordered_within_a_partition_while_modes_change(
    arrivals: list[tuple[TopicPartition, int, int]], data: st.DataObject
) -> None:
    merge = alignment_of(A, B, C)
    offsets = {A: 0, B: 0, C: 0}
    now = NOW
    taken: list[InputRecord] = []
    for source, seconds, count in arrivals:
        first = offsets[source]
        offsets[source] += count
        merge.extend(source, [record(source, first + n, seconds) for n in range(count)])
        for each, end in offsets.items():
            merge.read_to(each, end, end, now)
        now += data.draw(st.sampled_from([timedelta(0), timedelta(seconds=20), timedelta(minutes=2)]))
        taken += merge.take(data.draw(st.integers(1, 6)), now)
    while more := merge.take(3, now):
        taken += more
    for source, end in offsets.items():
        assert [r.offset for r in taken if r.source == source] == list(range(end))
    times = [r.business_time or UNSEEN for r in taken]
    assert times == sorted(times)
    assert merge.buffered_total == 0
