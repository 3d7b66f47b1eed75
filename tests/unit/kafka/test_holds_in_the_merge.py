"""What a hold does to the order of records and to business time."""

from datetime import UTC, datetime, timedelta

from tests.unit.kafka.test_alignment import A, B, C, alignment_of, at, names, record
from worker.kafka.input.merge import Merge

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


def live() -> Merge:
    """Two partitions that are read to their ends, of which one record each was taken."""
    merge = alignment_of(A, B)
    for source in (A, B):
        merge.add(record(source, 0, 1))
        merge.read_to(source, 1, 1, NOW)
    merge.take(9, NOW)
    assert merge.frontier(NOW) == NOW
    return merge


def test_what_is_buffered_of_a_partition_on_hold_is_discarded_and_the_others_go_on() -> None:
    merge = alignment_of(A, B)
    merge.extend(A, [record(A, 0, 1), record(A, 1, 5)])
    merge.extend(B, [record(B, 0, 2), record(B, 1, 6)])
    assert names(merge.take(1, NOW)) == [(A, 0)]
    merge.hold(A, lets_time_go_on=False)
    assert (merge.buffered(A), merge.buffered_total) == (0, 2)
    merge.read_to(B, 2, 2, NOW)
    taken = merge.take(9, NOW)
    assert names(taken) == [(B, 0), (B, 1)]
    assert [one.business_time for one in taken] == [at(1), at(1)], "business time waits where A was taken"
    assert merge.frontier(NOW) == at(1)
    assert merge.held_back_by(NOW) == A


def test_business_time_stands_still_at_a_live_partition_on_hold() -> None:
    merge = live()
    merge.hold(A, lets_time_go_on=False)
    merge.add(record(B, 1, 2))
    merge.read_to(B, 2, 2, LATER)
    (taken,) = merge.take(9, LATER)
    assert taken.business_time == merge.frontier(LATER) == NOW
    assert merge.held_back_by(LATER) == A


def test_business_time_goes_on_beside_a_hold_if_that_is_wanted() -> None:
    merge = live()
    merge.hold(A, lets_time_go_on=True)
    merge.read_to(B, 1, 1, LATER)
    assert merge.frontier(LATER) == LATER
    assert merge.held_back_by(LATER) is None


def test_beside_a_hold_records_are_taken_as_they_come_once_the_others_are_live() -> None:
    merge = alignment_of(A, B, C)
    merge.hold(A, lets_time_go_on=False)
    merge.extend(B, [record(B, 0, 9)])
    merge.read_to(B, 1, 1, NOW)
    assert not merge.is_live(NOW), "C may have older records"
    assert merge.take(9, NOW) == []
    merge.read_to(C, 0, 0, NOW)
    assert names(merge.take(9, NOW)) == [(B, 0)]
    assert merge.is_live(NOW)
    assert merge.take(9, NOW) == []
    just_now = (NOW - at(0)).total_seconds()
    merge.extend(C, [record(C, 0, just_now - 1)])
    merge.extend(B, [record(B, 1, just_now - 5)])
    taken = merge.take(9, NOW)
    assert names(taken) == [(C, 0), (B, 1)], "as they came, not by event time"
    assert merge.frontier(NOW) is None, "business time waits all the same"
    assert [one.business_time for one in taken] == [None, None]
    merge.resume(A)
    assert not merge.is_live(NOW)


def test_a_hold_may_change_what_it_means_for_business_time() -> None:
    merge = live()
    merge.hold(A, lets_time_go_on=False)
    merge.read_to(B, 1, 1, LATER)
    assert merge.frontier(LATER) == NOW
    merge.hold(A, lets_time_go_on=True)
    assert merge.frontier(LATER) == LATER
    merge.hold(A, lets_time_go_on=False)
    assert merge.frontier(LATER + timedelta(hours=1)) == LATER


def test_a_partition_that_was_never_read_has_no_clock_on_hold() -> None:
    merge = alignment_of(A, B)
    merge.hold(A, lets_time_go_on=False)
    merge.add(record(B, 0, 2))
    merge.read_to(B, 1, 1, NOW)
    assert names(merge.take(9, NOW)) == [(B, 0)]
    assert merge.frontier(NOW) is None
    merge.hold(A, lets_time_go_on=True)
    assert merge.frontier(NOW) == NOW


def test_after_a_hold_a_partition_is_awaited_from_where_it_was_taken() -> None:
    merge = live()
    merge.hold(A, lets_time_go_on=False)
    merge.resume(A)
    merge.add(record(B, 1, 8))
    merge.read_to(B, 2, 2, LATER)
    assert merge.take(9, LATER) == [], "what was written to A meanwhile may be older"
    merge.add(record(A, 1, 5))
    merge.read_to(A, 2, 2, LATER)
    taken = merge.take(9, LATER)
    assert names(taken) == [(A, 1), (B, 1)]
    assert merge.frontier(LATER) == LATER


def test_what_comes_late_because_time_went_on_is_taken_at_the_time_there_was() -> None:
    merge = live()
    merge.hold(A, lets_time_go_on=True)
    merge.read_to(B, 1, 1, LATER)
    assert merge.frontier(LATER) == LATER
    merge.resume(A)
    merge.add(record(A, 1, 5))
    merge.read_to(A, 2, 2, LATER)
    (taken,) = merge.take(9, LATER)
    assert taken.business_time == LATER
