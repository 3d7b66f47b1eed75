"""On which days cycles start (domain.md, Memberships; S0), and what a membership has ahead."""

from datetime import UTC, date, datetime, timedelta

import pytest

from tests.kit.members import basic_member, cycle_starts, on, plan, plus_member, with_promo_codes
from tests.kit.policies import later_version, policies, policy_text
from tests.kit.story import Story, answers
from worker.domain.model import ChargeKey, FreelancerId, Membership, midnight
from worker.domain.policy import Policy
from worker.domain.rules.cycles import next_cycle_start, what_is_due
from worker.words.upcoming import Upcoming, upcoming

FOLLOWING = policies().in_force(on(1, 1))
AFTER = policies(late_cycle_start="after-anniversary").in_force(on(1, 1))


@pytest.mark.parametrize(
    ("day", "following", "after"),
    [
        (date(2026, 4, 29), date(2026, 5, 1), date(2026, 6, 1)),
        (date(2026, 4, 30), date(2026, 5, 1), date(2026, 6, 1)),
        (date(2026, 1, 29), date(2026, 2, 1), date(2026, 3, 1)),
        (date(2026, 1, 30), date(2026, 2, 1), date(2026, 3, 1)),
        (date(2026, 1, 31), date(2026, 2, 1), date(2026, 3, 1)),
        (date(2028, 2, 29), date(2028, 3, 1), date(2028, 4, 1)),
        (date(2026, 11, 30), date(2026, 12, 1), date(2027, 1, 1)),
        (date(2026, 12, 29), date(2027, 1, 1), date(2027, 2, 1)),
        (date(2026, 12, 31), date(2027, 1, 1), date(2027, 2, 1)),
    ],
)
def test_cycle_days_29_30_and_31_the_cycle_is_renewed_on_the_1st_of_the_month_that_follows_its_start(
    day: date, following: date, after: date
) -> None:
    assert (next_cycle_start(day, FOLLOWING), next_cycle_start(day, AFTER)) == (following, after)


@pytest.mark.parametrize("policy", [FOLLOWING, AFTER], ids=["following-month", "after-anniversary"])
@pytest.mark.parametrize(
    ("day", "expected"),
    [
        (date(2026, 1, 1), date(2026, 2, 1)),
        (date(2026, 1, 28), date(2026, 2, 28)),
        (date(2026, 2, 28), date(2026, 3, 28)),
        (date(2028, 2, 28), date(2028, 3, 28)),
        (date(2026, 12, 1), date(2027, 1, 1)),
        (date(2026, 12, 28), date(2027, 1, 28)),
    ],
)
def test_28_is_the_last_monthly_billing_day(policy: Policy, day: date, expected: date) -> None:
    assert next_cycle_start(day, policy) == expected


def test_from_then_on_day_1() -> None:
    story = Story(start=on(4, 29))
    story.registered("f-1", at=on(4, 30))
    starts = [decision.occurred_at for decision in story.until(on(8, 15))]
    assert starts == [on(month, 1, 0) for month in (5, 6, 7, 8)]


def test_the_full_amount_is_granted_then() -> None:
    story = Story(start=on(4, 29))
    story.registered("f-1", at=on(4, 30))
    cycle_starts(story, 5, 1)
    assert story.balance("f-1") == 50


def test_policy_late_cycle_start_after_anniversary_30_april_to_1_june_nobody_pays_twice_in_two_days() -> None:
    story = Story(policies(late_cycle_start="after-anniversary"), start=on(4, 29))
    story.registered("f-1", at=on(4, 1))
    story.chose("plus", "f-1", at=on(4, 30))
    story.paid(story.charge("f-1").charge_id, "f-1", at=on(4, 30, 13))
    assert plan(story) == ("plus", date(2026, 4, 30), date(2026, 6, 1))
    assert story.until(on(5, 31)) == []
    assert answers(cycle_starts(story, 6, 1)) == ["applied/charge-requested"]


def test_policy_late_cycle_start_following_month_is_read_literally() -> None:
    story = Story(start=on(4, 29))
    story.registered("f-1", at=on(4, 1))
    story.chose("plus", "f-1", at=on(4, 30))
    story.paid(story.charge("f-1").charge_id, "f-1", at=on(4, 30, 13))
    assert plan(story) == ("plus", date(2026, 4, 30), date(2026, 5, 1))


def test_the_policy_in_force_at_a_cycles_start_says_when_the_next_is() -> None:
    text = policy_text() + later_version("2026-05-01", late_cycle_start="after-anniversary")
    story = Story(policies(text), start=on(3, 1))
    story.registered("f-1", at=on(3, 29))
    story.registered("f-2", at=on(5, 29))
    assert (plan(story)[2], plan(story, "f-2")[2]) == (date(2026, 6, 1), date(2026, 7, 1))
    assert story.membership("f-1").cycle_start == date(2026, 5, 1)


@pytest.mark.parametrize("late_cycle_start", ["following-month", "after-anniversary"])
def test_after_downtime_every_missed_cycle_start_is_dated_right_leap_years_too(late_cycle_start: str) -> None:
    story = Story(policies(late_cycle_start=late_cycle_start), start=on(1, 1, year=2028))
    story.registered("f-1", at=on(2, 29, year=2028))
    first = 3 if late_cycle_start == "following-month" else 4
    decisions = [decision for decision in story.until(on(7, 1, year=2029)) if decision.rule == "grant.monthly"]
    days = [decision.occurred_at.date() for decision in decisions if decision.occurred_at is not None]
    assert days == [date(2028, month, 1) for month in range(first, 13)] + [
        date(2029, month, 1) for month in range(1, 8)
    ]


def test_a_cycle_starts_at_midnight_in_utc_wherever_the_freelancer_is() -> None:
    assert midnight(date(2026, 5, 1)) == datetime(2026, 5, 1, tzinfo=UTC)
    story = Story(start=on(3, 31))
    story.registered("f-1", at=datetime.fromisoformat("2026-04-01T23:30:00-05:00"))
    assert plan(story) == ("basic", date(2026, 4, 2), date(2026, 5, 2))


def test_what_is_due_are_the_cycle_starts_up_to_a_time() -> None:
    membership = Membership(FreelancerId("f-1"), 1, "basic", date(2026, 4, 30), date(2026, 5, 1))
    days = [date(2026, 5, 1), date(2026, 6, 1), date(2026, 7, 1)]
    assert what_is_due(membership, on(7, 1, 0), policies()) == days
    assert what_is_due(membership, on(7, 1, 0) - timedelta(microseconds=1), policies()) == days[:2]
    assert what_is_due(membership, on(4, 30), policies()) == []
    assert what_is_due(Membership(FreelancerId("f-2")), on(7, 1), policies()) == []


# What is ahead.


def ahead(story: Story) -> list[Upcoming]:
    membership = story.membership("f-1")
    unanswered = membership.upgrade or membership.renewal
    charge = story.state.charges[ChargeKey(membership.freelancer_id, unanswered)] if unanswered else None
    return upcoming(membership, story.policies, charge)


def test_a_basic_member_has_a_grant_ahead() -> None:
    assert ahead(basic_member()) == [
        Upcoming(date(2026, 5, 1), "grant", 10, "10 Connects for the Basic cycle that begins on 1 May 2026.")
    ]


def test_a_plus_member_has_a_renewal_ahead() -> None:
    story = plus_member(with_promo_codes())
    words = "80 Connects come in when that is paid."
    assert ahead(story) == [
        Upcoming(
            date(2026, 5, 10),
            "renewal",
            80,
            f"Plus is renewed on 10 May 2026: $20.00 is requested from the payment method. {words}",
        )
    ]
    story.has_earned("f-1", 1500, at=on(4, 20))
    story.entered("FIVE", "f-1", at=on(4, 21))
    assert ahead(story)[0].explanation == (
        f"Plus is renewed on 10 May 2026: $15.00 is requested from the earnings balance. {words}"
    )
    assert story.membership("f-1").promos[0].charges_left == 1


def test_a_downgrade_that_was_chosen_is_ahead_with_basics_grant() -> None:
    story = plus_member()
    story.chose("basic", "f-1", at=on(4, 20))
    assert ahead(story) == [
        Upcoming(
            date(2026, 5, 10),
            "downgrade",
            0,
            "Plus ends with its cycle on 10 May 2026: Basic was chosen on 20 April 2026.",
        ),
        Upcoming(date(2026, 5, 10), "grant", 10, "10 Connects for the Basic cycle that begins on 10 May 2026."),
    ]


def test_a_suspended_account_has_a_downgrade_and_nothing_else_ahead() -> None:
    story = plus_member()
    story.suspended("f-1", at=on(4, 20))
    assert ahead(story) == [
        Upcoming(
            date(2026, 5, 10),
            "downgrade",
            0,
            "Plus ends with its cycle on 10 May 2026: the account is suspended. Lifted before, Plus goes on.",
        ),
        Upcoming(
            date(2026, 5, 10),
            "grant",
            0,
            "No Connects for the Basic cycle that begins on 10 May 2026: the account is suspended.",
        ),
    ]
    story.suspended("f-1", "billing-method", at=on(4, 21))
    assert ahead(story)[0].explanation == (
        "Plus ends with its cycle on 10 May 2026: the account and the billing method are suspended. "
        "Both lifted before, Plus goes on."
    )


def test_a_suspended_billing_method_is_named() -> None:
    story = plus_member()
    story.suspended("f-1", "billing-method", at=on(4, 20))
    downgrade, grant = ahead(story)
    assert "the billing method is suspended" in downgrade.explanation
    assert grant.connects == 10


def test_an_upgrade_that_is_not_paid_yet_is_ahead() -> None:
    story = basic_member()
    story.chose("plus", "f-1", at=on(4, 10))
    assert ahead(story)[0] == Upcoming(
        date(2026, 4, 10),
        "grant",
        73,
        "73 Connects come in when the charge of $20.00 for the upgrade to Plus is paid.",
    )
    assert ahead(story)[1].explanation == (
        "If the upgrade is not paid before: 10 Connects for the Basic cycle that begins on 1 May 2026."
    )
    cycle_starts(story, 5, 1)
    assert ahead(story)[0].explanation == (
        "At least 70 Connects come in when the charge of $20.00 for the upgrade to Plus is paid. "
        "How many of the 10 free ones come in depends on its day."
    )


def test_an_upgrade_chosen_after_the_28th_and_not_paid_yet_shows_until_when_its_choice_counts() -> None:
    story = Story(start=on(1, 1))
    story.registered("f-1", at=on(1, 15, 9))
    story.chose("plus", "f-1", at=on(1, 30))
    assert ahead(story)[0].explanation == (
        "74 Connects come in when the charge of $20.00 for the upgrade to Plus is paid before 1 February 2026. "
        "Later, the day of the payment counts: there may be more."
    )


def test_a_renewal_that_is_not_paid_yet_has_two_ways_ahead() -> None:
    story = plus_member()
    cycle_starts(story, 5, 10)
    unpaid, renewal, missed, grant = ahead(story)
    assert (unpaid.on, unpaid.kind, unpaid.connects) == (date(2026, 5, 10), "grant", 80)
    assert unpaid.explanation == (
        "80 Connects for the Plus cycle that began on 10 May 2026 come in when its charge of $20.00 is paid; "
        "from 10 June 2026 on it counts as failed."
    )
    assert (renewal.on, renewal.kind, renewal.connects) == (date(2026, 6, 10), "renewal", 80)
    assert renewal.explanation.startswith(
        "If that is paid before: Plus is renewed on 10 June 2026: $20.00 is requested"
    )
    assert missed == Upcoming(
        date(2026, 6, 10),
        "grant",
        10,
        "If that is not paid before: 10 Connects for the Basic cycle that began on 10 May 2026, "
        "then or as soon as the charge fails for good.",
    )
    assert grant == Upcoming(
        date(2026, 6, 10),
        "grant",
        10,
        "If that is not paid before: 10 Connects for the Basic cycle that begins on 10 June 2026.",
    )


@pytest.mark.parametrize("pays", [True, False])
def test_both_ways_come_as_they_were_sent(pays: bool) -> None:  # noqa: FBT001 - a parameter of the test
    story = plus_member()
    cycle_starts(story, 5, 10)
    unpaid, renewal, missed, grant = ahead(story)
    before = story.balance("f-1")
    if pays:
        story.paid(story.charge("f-1").charge_id, "f-1", at=on(5, 11))
        assert story.balance("f-1") == before + unpaid.connects
        cycle_starts(story, 6, 10)
        story.paid(story.charge("f-1").charge_id, "f-1", at=on(6, 11))
        assert story.balance("f-1") == before + unpaid.connects + renewal.connects
    else:
        cycle_starts(story, 6, 10)
        assert story.balance("f-1") == before + missed.connects + grant.connects


def test_a_renewal_that_is_not_paid_yet_of_a_plus_that_ends_has_two_ways_ahead() -> None:
    story = plus_member()
    cycle_starts(story, 5, 10)
    story.chose("basic", "f-1", at=on(5, 20))
    assert [(one.kind, one.connects, one.explanation[:29]) for one in ahead(story)] == [
        ("grant", 80, "80 Connects for the Plus cycl"),
        ("downgrade", 0, "If that is paid before: Plus "),
        ("grant", 10, "If that is paid before: 10 Co"),
        ("grant", 10, "If that is not paid before: 1"),
        ("grant", 10, "If that is not paid before: 1"),
    ]


def test_who_is_no_member_has_nothing_ahead() -> None:
    assert upcoming(Membership(FreelancerId("f-1")), policies()) == []
