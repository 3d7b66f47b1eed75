"""The calendar of memberships over years: cycles tile time, each is granted once, nobody is billed after the 28th."""

from collections import Counter
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tests.kit.policies import policies
from tests.kit.story import GRACE, Story
from tests.property.variety import looking
from worker.domain.decide import decide_cycle
from worker.domain.model import midnight
from worker.domain.policy import PolicyBook
from worker.domain.rules.cycles import next_cycle_start, what_is_due
from worker.domain.triggers import CycleDue

DAYS = st.one_of(
    st.dates(date(2020, 1, 1), date(2060, 12, 31)),
    # The ends of months and leap years' Februaries are where calendars go wrong.
    st.builds(
        lambda first, back: first - timedelta(days=back),
        st.dates(date(2020, 1, 1), date(2060, 12, 31)).map(lambda day: day.replace(day=1)),
        st.integers(-1, 4),
    ),
)
TIMES = st.sampled_from((time(0, 0), time(0, 0, 0, 1), time(12, 0), time(23, 59, 59, 999_999)))
BOOKS = st.sampled_from(("following-month", "after-anniversary")).map(lambda choice: policies(late_cycle_start=choice))


@looking(examples=500)
@given(DAYS, BOOKS)
def test_a_cycle_ends_where_the_next_begins_within_two_months(day: date, book: PolicyBook) -> None:
    policy = book.versions[0]
    until = next_cycle_start(day, policy)
    months = (until.year - day.year) * 12 + until.month - day.month
    if day.day <= 28:
        assert (months, until.day) == (1, day.day)
    else:
        assert (months, until.day) == (1 if policy.late_cycle_start == "following-month" else 2, 1)


@looking(examples=200)
@given(DAYS, BOOKS, st.integers(1, 120))
def test_from_the_second_cycle_on_the_day_never_changes(day: date, book: PolicyBook, cycles: int) -> None:
    policy = book.versions[0]
    second = next_cycle_start(day, policy)
    later = second
    for _ in range(cycles):
        later = next_cycle_start(later, policy)
        assert later.day == second.day <= 28
    assert (later.year - second.year) * 12 + later.month - second.month == cycles


def registered(at: datetime, book: PolicyBook) -> Story:
    story = Story(book, start=at)
    story.registered("f-1", at=at)
    return story


@looking(examples=60)
@given(DAYS, TIMES, BOOKS, st.integers(1, 40))
def test_cycles_tile_time_without_gap_or_overlap_and_each_is_granted_once(
    day: date, clock: time, book: PolicyBook, months: int
) -> None:
    story = registered(datetime.combine(day, clock, UTC), book)
    until = story.now + timedelta(days=30 * months)
    due = what_is_due(story.membership("f-1"), until - GRACE, book)
    story.until(until)
    shown = story.updates("f-1")
    assert [cycle.cycle_start for cycle in shown] == [day, *due]
    for earlier, later in pairwise(shown):
        assert earlier.next_renewal_on == later.cycle_start > earlier.cycle_start
        assert later.version == earlier.version + 1
    granted = Counter(change.occurred_at for change in story.changes("f-1") if change.rule == "grant.monthly")
    assert granted == Counter(midnight(start) for start in due)


@looking(examples=60)
@given(DAYS, TIMES, BOOKS, st.lists(st.integers(1, 100), min_size=1, max_size=12))
def test_it_does_not_matter_how_long_the_worker_was_down(
    day: date, clock: time, book: PolicyBook, away: list[int]
) -> None:
    at = datetime.combine(day, clock, UTC)
    often, once = registered(at, book), registered(at, book)
    for days in away:
        often.passes(days=days)
    once.passes(days=sum(away))
    assert often.updates("f-1") == once.updates("f-1")
    assert [(change.occurred_at, change.delta) for change in often.changes("f-1")] == [
        (change.occurred_at, change.delta) for change in once.changes("f-1")
    ]


@looking(examples=60)
@given(DAYS, BOOKS, st.integers(0, 90), st.integers(0, 90))
def test_an_upgrade_is_prorated_to_less_than_the_whole_and_its_cycle_goes_on_from_there(
    day: date, book: PolicyBook, choice_days: int, payment_days: int
) -> None:
    story = registered(datetime.combine(day, time(12), UTC), book)
    story.chose("plus", "f-1", at=story.now + timedelta(days=choice_days))
    basic = story.membership("f-1").cycle_start
    paid = story.paid(story.charge("f-1").charge_id, "f-1", at=story.now + timedelta(days=payment_days))
    (change,) = paid.changes
    assert 70 <= change.delta < 80
    (shown,) = [shown for shown in story.updates("f-1") if shown.reason == "upgraded"]
    assert shown.next_renewal_on == next_cycle_start(shown.cycle_start, book.versions[0])
    if payment_days == 0:
        assert shown.cycle_start == day + timedelta(days=choice_days)
        assert basic is not None
        assert shown.cycle_start >= basic


@looking(examples=60)
@given(DAYS, BOOKS, st.lists(st.sampled_from(("paid", "paid", "failed", "nothing")), min_size=1, max_size=12))
def test_whatever_becomes_of_the_charges_each_cycle_is_granted_once_for_each_plan_it_had(
    day: date, book: PolicyBook, fates: list[str]
) -> None:
    story = registered(midnight(day), book)
    story.chose("plus", "f-1", at=midnight(day))
    story.paid(story.charge("f-1").charge_id, "f-1", at=midnight(day))
    cycles: list[date] = []
    for fate in fates:
        start = story.membership("f-1").next_renewal
        assert start is not None
        story.until(midnight(start) + GRACE)
        cycles.append(start)
        renewal = story.membership("f-1").renewal
        if renewal is None:
            continue
        if fate == "paid":
            story.paid(renewal, "f-1")
        elif fate == "failed":
            story.unpaid(renewal, "f-1")
    monthly = [change for change in story.changes("f-1") if change.rule == "grant.monthly"]
    dates = Counter(change.occurred_at for change in monthly)
    unanswered = {midnight(cycles[-1])} if story.membership("f-1").renewal else set()
    assert set(dates) == {midnight(start) for start in cycles} - unanswered
    assert set(dates.values()) <= {1}


def test_a_cycle_start_books_the_whole_of_ten_years_when_it_is_asked_to() -> None:
    story = registered(datetime(2026, 1, 31, 12, tzinfo=UTC), policies())
    membership = story.membership("f-1")
    decisions = []
    for _ in range(120):
        due = CycleDue(membership, midnight(membership.next_renewal or date.max) + GRACE, len(decisions) + 2)
        decisions += decide_cycle(story.state, due, story.policies)
    assert len({decision.cause.event_id for decision in decisions}) == 120
    assert membership.cycle_start == date(2036, 1, 1)
