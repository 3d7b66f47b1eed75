"""Expiry: a lot's time, and what is booked when business time passes it (domain.md, Expiry)."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.kit.policies import later_version, policies, policy_text
from tests.kit.story import GRACE, Story, answers, day, only_change

A_MICROSECOND = timedelta(microseconds=1)


def test_what_remains_expires_one_calendar_year_after_it_was_issued(story: Story) -> None:
    story.bought("f-1", 40, at=day(0))
    story.proposed("p-1", by="f-1", on="j-1", connects=12, at=day(1))
    (expiry,) = story.until(day(365) + GRACE)
    change = only_change(expiry)
    assert (expiry.kind, answers([expiry]), expiry.rule) == ("clock", ["applied/lot-expired"], "expire.lot")
    assert (change.delta, change.balance_after, change.occurred_at) == (-28, 0, day(365))
    assert (expiry.cause.topic, expiry.cause.event_id) == (None, "expiry:f-1:1")


def test_an_expiry_is_booked_one_grace_after_its_instant(story: Story) -> None:
    story.bought("f-1", 40, at=day(0))
    assert story.until(day(365) + GRACE - A_MICROSECOND) == []
    (expiry,) = story.until(day(365) + GRACE)
    assert expiry.business_time == day(365) + GRACE


@pytest.mark.parametrize(
    ("issued", "expires"),
    [
        (datetime(2028, 2, 29, 12, tzinfo=UTC), datetime(2029, 2, 28, 12, tzinfo=UTC)),
        (datetime(2028, 2, 28, 12, tzinfo=UTC), datetime(2029, 2, 28, 12, tzinfo=UTC)),
        (datetime(2027, 3, 1, 12, tzinfo=UTC), datetime(2028, 3, 1, 12, tzinfo=UTC)),
        (
            datetime(2027, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
            datetime(2028, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        ),
    ],
)
def test_a_year_is_a_calendar_year_and_29_february_becomes_28(issued: datetime, expires: datetime) -> None:
    story = Story(start=issued - timedelta(days=1))
    story.registered("f-1", at=issued)
    assert story.lots("f-1") == [("registration", 40, expires)]


def test_each_lot_expires_in_a_change_of_its_own(story: Story) -> None:
    story.bought("f-1", 10, at=day(1))
    story.bought("f-1", 20, at=day(1))
    story.bought("f-1", 30, at=day(2))
    expiries = story.until(day(400))
    assert [change.delta for decision in expiries for change in decision.changes] == [-10, -20, -30]
    assert story.balance("f-1") == 0


def test_connects_of_every_source_expire_alike(story: Story) -> None:
    story.registered("f-1")
    story.earned_badge("f-1")
    story.certified("f-1")
    story.interviewed("f-1", on="j-1")
    story.bought("f-1", 7)
    story.adjusted("f-1", 9)
    story.passes(days=800)
    left = story.lots("f-1")
    assert {lot.source for lot in left} == {"monthly"}
    assert story.balance("f-1") == 120
    assert all(lot.expires_at + GRACE > story.now for lot in left)


def test_a_drained_lot_has_nothing_that_could_expire(story: Story) -> None:
    story.bought("f-1", 40, at=day(0))
    story.proposed("p-1", by="f-1", on="j-1", connects=40)
    assert story.until(day(400)) == []


def test_a_lot_that_was_drained_and_got_connects_back_expires_in_its_time(story: Story) -> None:
    story.bought("f-1", 40, at=day(0))
    story.proposed("p-1", by="f-1", on="j-1", connects=40)
    story.closed("j-1")
    story.settled()
    (expiry,) = story.until(day(400))
    assert only_change(expiry).delta == -40


def test_an_expiry_leaves_debts_alone(story: Story) -> None:
    story.bought("f-1", 10, at=day(0))
    story.proposed("p-1", by="f-1", on="j-1", connects=8, at=day(365))
    story.passes(days=1)
    assert (story.balance("f-1"), story.debt("f-1"), story.lots("f-1")) == (-8, 8, [])


def test_there_is_no_cap_on_what_is_kept(story: Story) -> None:
    for number in range(20):
        story.bought("f-1", 1_000_000, at=day(number))
    assert story.balance("f-1") == 20_000_000


def test_settlements_of_an_instant_come_before_its_expiries(story: Story) -> None:
    story.registered("f-1", at=day(0))
    story.proposed("p-1", by="f-1", on="j-1", connects=12, at=day(1))
    story.closed("j-1", at=day(365))
    assert answers(story.until(day(366))) == ["applied/closed-without-hire", "applied/lot-expired"]


def test_a_booked_expiry_is_not_reversed_by_a_late_spend(story: Story) -> None:
    story.bought("f-1", 40, at=day(0))
    story.until(day(366))
    story.proposed("p-1", by="f-1", on="j-1", connects=12, at=day(100))
    assert (story.balance("f-1"), story.debt("f-1")) == (-12, 12)


def test_a_grant_read_more_than_a_year_late_comes_in_and_expires(story: Story) -> None:
    story.until(day(400))
    story.bought("f-1", 40, at=day(0))
    assert story.balance("f-1") == 40
    (expiry,) = story.passes(seconds=0)
    assert (only_change(expiry).occurred_at, story.balance("f-1")) == (day(365), 0)


def test_an_expiry_names_the_policy_under_which_its_lot_was_issued() -> None:
    text = policy_text() + later_version("2026-07-01", lot_lifetime_years=2)
    story = Story(policies(text))
    story.bought("f-1", 40, at=day(0))
    story.bought("f-2", 40, at=datetime(2026, 8, 1, tzinfo=UTC))
    expiries = story.until(datetime(2028, 9, 1, tzinfo=UTC))
    assert [(decision.policy_version, decision.occurred_at) for decision in expiries] == [
        ("2026-01-01", day(365)),
        ("2026-07-01", datetime(2028, 8, 1, tzinfo=UTC)),
    ]


def test_an_expiry_right_after_a_refund_names_the_policy_of_its_lot_too() -> None:
    text = policy_text(refund_to_ending_lot="expire") + later_version("2026-07-01", refund_to_ending_lot="expire")
    story = Story(policies(text))
    story.bought("f-1", 40, at=day(0))
    story.bought("f-2", 10, at=day(0))
    story.proposed("p-1", by="f-1", on="j-1", connects=12, boost=3, at=day(1))
    story.outbid("p-2", by="f-2", on="j-2", at=day(365, seconds=5))
    story.proposed("p-2", by="f-2", on="j-2", connects=6, boost=4, at=day(364))  # late, and outbid as it arrives
    story.outbid("p-1", by="f-1", on="j-1", at=day(400))
    story.closed("j-1", at=day(401))
    story.settled()
    both = [decision.changes for decision in story.decisions if len(decision.changes) > 1]
    assert [[(change.rule, change.delta, change.policy_version) for change in changes] for changes in both] == [
        [("refund.boost-outbid", 4, "2026-07-01"), ("expire.lot", -4, "2026-01-01")],
        [("refund.boost-outbid", 3, "2026-07-01"), ("expire.lot", -3, "2026-01-01")],
        [("refund.job-closed-without-hire", 12, "2026-07-01"), ("expire.lot", -12, "2026-01-01")],
    ]
