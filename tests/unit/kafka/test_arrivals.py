"""Since when a record has been there, by the ends of the log that were seen."""

from hypothesis import given
from hypothesis import strategies as st

from worker.kafka.input.arrivals import Arrivals

LOOKS = st.lists(st.tuples(st.integers(0, 5), st.floats(0, 3)), max_size=300)


def test_a_record_arrived_when_the_log_was_first_seen_to_go_beyond_it() -> None:
    arrivals = Arrivals()
    for end, now in ((5, 100.0), (5, 150.0), (9, 200.0), (12, 300.0)):
        arrivals.see(end, now)
    assert [arrivals.since(offset) for offset in (0, 4, 5, 8, 9, 11)] == [100, 100, 200, 200, 300, 300]
    assert arrivals.since(12) is None
    arrivals.see(13, 400.0)
    assert arrivals.since(12) == 400


def test_of_a_log_that_was_never_looked_at_nothing_is_known() -> None:
    assert Arrivals().since(0) is None


@given(LOOKS)
def test_the_time_is_that_of_the_first_look_or_a_second_earlier(looks: list[tuple[int, float]]) -> None:
    arrivals, first_seen, now = Arrivals(), list[float](), 0.0
    for more, seconds in looks:
        now += seconds
        first_seen += [now] * more
        arrivals.see(len(first_seen), now)
    for offset, seen in enumerate(first_seen):
        since = arrivals.since(offset)
        assert since is not None
        assert seen - 1 < since <= seen
    assert arrivals.since(len(first_seen)) is None


def test_very_many_ends_are_kept_in_little_room() -> None:
    arrivals = Arrivals()
    for number in range(1, 100_001):
        arrivals.see(number, number * 2.0)
    assert arrivals.since(0) == 2
    middle, last = arrivals.since(50_000), arrivals.since(99_999)
    assert middle is not None
    assert 0 < middle <= 100_002
    assert last == 200_000
