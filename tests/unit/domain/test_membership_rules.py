"""Memberships, sentence by sentence (domain.md, Memberships): plans, upgrades, renewals, downgrades."""

from collections.abc import Callable
from datetime import date, datetime, timedelta

import pytest

from tests.kit.members import basic_member, caused, cycle_starts, granted, on, plan, plus_member, with_promo_codes
from tests.kit.policies import policies
from tests.kit.story import GRACE, Story, answer, answers, explained, only_change
from worker.domain.decisions import MembershipUpdate
from worker.domain.rule_catalogue import RULES
from worker.words.explanations import explain_change

A_MICROSECOND = timedelta(microseconds=1)


# Beginning.


def test_plans_basic_free_and_plus_20_00_dollars_a_month() -> None:
    story = basic_member()
    cycle_starts(story, 5, 1)
    assert story.state.charges == {}
    story.chose("plus", "f-1", at=on(5, 2))
    charge = story.charge("f-1")
    assert (charge.amount_cents, charge.currency) == (2000, "USD")


def test_a_membership_begins_with_freelancer_registered_basic_its_cycle_on_that_day_that_start_granting_nothing() -> (
    None
):
    story = Story(start=on(3, 31))
    decision = story.registered("f-1", at=on(4, 1, 23, 59))
    assert answer(decision) == "applied/registered"
    assert decision.membership == MembershipUpdate(
        1, "basic", date(2026, 4, 1), date(2026, 5, 1), None, suspended=False, reason="registered"
    )
    story.until(on(4, 30, 23, 59))
    assert granted(story.decisions) == [("grant.registration", 40, on(4, 1, 23, 59))]


def test_or_else_with_the_first_membership_plan_chosen_agencies_imported_accounts() -> None:
    story = Story(start=on(3, 31))
    decision = story.chose("basic", "agency:77", at=on(4, 1))
    assert (answer(decision), decision.rule) == ("applied/membership-began", "membership.began")
    assert decision.membership == MembershipUpdate(
        1, "basic", date(2026, 4, 1), date(2026, 5, 1), None, suspended=False, reason="membership-began"
    )
    assert (story.balance("agency:77"), decision.changes) == (0, [])
    (first,) = cycle_starts(story, 5, 1)
    assert only_change(first).delta == 10


def test_a_choice_of_plus_begins_a_membership_and_requests_a_charge() -> None:
    story = Story(start=on(3, 31))
    decision = story.chose("plus", "f-1", at=on(4, 1))
    assert answer(decision) == "applied/charge-requested"
    assert plan(story) == ("basic", date(2026, 4, 1), date(2026, 5, 1))
    assert [shown.reason for shown in story.updates("f-1")] == ["charge-requested"]
    paid = story.paid("f-1:e-1:1", "f-1", at=on(4, 1, 13))
    assert only_change(paid).delta == 70


def test_a_choice_of_plus_that_is_declined_begins_a_membership_all_the_same() -> None:
    story = Story(start=on(3, 31))
    story.suspended("f-1", at=on(3, 31, 13))
    assert story.updates("f-1") == []
    decision = story.chose("plus", "f-1", at=on(4, 1))
    assert answer(decision) == "declined/account-suspended"
    assert decision.membership == MembershipUpdate(
        1, "basic", date(2026, 4, 1), date(2026, 5, 1), None, suspended=True, reason="account-suspended"
    )


def test_a_registration_that_grants_nothing_begins_a_membership() -> None:
    story = Story(policies(registration=0), start=on(3, 31))
    decision = story.registered("f-1", at=on(4, 1))
    assert answer(decision) == "declined/nothing-to-do"
    assert plan(story) == ("basic", date(2026, 4, 1), date(2026, 5, 1))
    assert decision.membership is not None
    assert decision.membership.reason == "nothing-to-do"


def test_a_membership_begins_once_with_whichever_is_decided_first() -> None:
    story = Story(start=on(3, 31))
    story.chose("basic", "f-1", at=on(4, 10))
    registered = story.registered("f-1", at=on(4, 2))
    assert (answer(registered), registered.membership) == ("applied/registered", None)
    assert plan(story) == ("basic", date(2026, 4, 10), date(2026, 5, 10))
    again = story.registered("f-1", at=on(4, 20))
    assert (answer(again), again.membership) == ("declined/already-granted", None)


def test_what_was_sent_before_a_membership_began_is_kept() -> None:
    story = Story(start=on(3, 31))
    story.has_earned("f-1", 5000, at=on(3, 31, 13))
    story.suspended("f-1", "billing-method", at=on(3, 31, 14))
    registered = story.registered("f-1", at=on(4, 1))
    assert registered.membership is not None
    assert registered.membership.suspended
    story.reinstated("f-1", "billing-method", at=on(4, 2))
    story.chose("plus", "f-1", at=on(4, 3))
    assert story.charge("f-1").source == "earnings-balance"


def test_a_membership_is_not_begun_by_any_other_event(story: Story) -> None:
    story.bought("f-1", 10)
    story.has_earned("f-1", 100)
    story.passes(days=100)
    assert story.balance("f-1") == 10


# Upgrades.


def test_upgrade_a_charge_is_requested_immediately_while_it_is_unanswered_still_basic() -> None:
    story = basic_member()
    decision = story.chose("plus", "f-1", at=on(4, 10))
    assert (answer(decision), decision.rule) == ("applied/charge-requested", "membership.upgrade")
    charge = story.charge("f-1")
    assert (charge.kind, charge.attempt, charge.status) == ("upgrade", 1, "asked")
    assert (charge.cycle_start, charge.requested_at) == (date(2026, 4, 10), on(4, 10))
    assert (decision.changes, decision.membership) == ([], None)
    assert plan(story) == ("basic", date(2026, 4, 1), date(2026, 5, 1))
    assert caused(cycle_starts(story, 5, 1)) == [("cycle:f-1:2026-05-01", "applied/cycle-started")]


def test_when_it_is_paid_rule_grant_upgrade_dated_at_the_payment_the_70_paid_whole_the_10_free_prorated() -> None:
    story = basic_member()
    story.chose("plus", "f-1", at=on(4, 10))
    decision = story.paid(story.charge("f-1").charge_id, "f-1", at=on(4, 12, 15))
    change = only_change(decision)
    assert (answer(decision), decision.rule) == ("applied/upgraded", "membership.upgrade")
    assert (change.rule, change.reason, change.delta) == ("grant.upgrade", "upgraded", 73)  # 70 + floor(10 x 9 / 30)
    assert change.occurred_at == on(4, 12, 15)
    assert story.lots("f-1")[-1] == ("upgrade", 73, on(4, 12, 15, year=2027))
    assert story.state.grants["grant.upgrade", "f-1/f-1:e-2:1"].connects == 73


@pytest.mark.parametrize(
    ("day", "connects"), [(1, 70), (3, 70), (4, 71), (9, 72), (10, 73), (16, 75), (28, 79), (30, 79)]
)
def test_floor_10_x_whole_utc_days_from_the_basic_cycles_start_to_the_choice_by_days_in_that_cycle_also_in_the_first(
    day: int, connects: int
) -> None:
    story = basic_member()
    story.chose("plus", "f-1", at=on(4, day, 23, 59))
    decision = story.paid(story.charge("f-1").charge_id, "f-1", at=on(4, day, 23, 59))
    assert only_change(decision).delta == connects


def test_the_cycle_restarts_on_the_day_of_the_choice_the_balance_is_kept() -> None:
    story = basic_member()
    story.chose("plus", "f-1", at=on(4, 10))
    decision = story.paid(story.charge("f-1").charge_id, "f-1", at=on(4, 12))
    assert plan(story) == ("plus", date(2026, 4, 10), date(2026, 5, 10))
    assert decision.membership == MembershipUpdate(
        2, "plus", date(2026, 4, 10), date(2026, 5, 10), None, suspended=False, reason="upgraded"
    )
    assert story.balance("f-1") == 40 + 73
    assert cycle_starts(story, 5, 1) == []


def test_if_a_basic_cycle_start_passed_since_the_choice_the_cycle_restarts_on_the_day_of_the_payment_and_is_prorated_against_the_basic_cycle_of_that_day() -> (  # noqa: E501 - a sentence of the rules
    None
):
    story = basic_member()
    story.chose("plus", "f-1", at=on(4, 20))
    cycle_starts(story, 5, 1)
    decision = story.paid(story.charge("f-1").charge_id, "f-1", at=on(5, 11))
    assert only_change(decision).delta == 70 + 3  # floor(10 x 10 / 31)
    assert plan(story) == ("plus", date(2026, 5, 11), date(2026, 6, 11))


def test_a_payment_dated_before_the_running_basic_cycle_counts_from_that_cycles_first_day() -> None:
    story = basic_member()
    story.chose("plus", "f-1", at=on(4, 20))
    cycle_starts(story, 5, 1)
    decision = story.paid(story.charge("f-1").charge_id, "f-1", at=on(4, 21))
    assert (only_change(decision).delta, only_change(decision).occurred_at) == (70, on(4, 21))
    assert plan(story) == ("plus", date(2026, 5, 1), date(2026, 6, 1))


def test_a_choice_read_late_and_dated_before_the_running_cycle_goes_by_the_day_of_the_payment() -> None:
    story = basic_member()
    cycle_starts(story, 5, 1)
    story.chose("plus", "f-1", at=on(4, 20))
    assert story.charge("f-1").cycle_start == date(2026, 4, 20)
    decision = story.paid(story.charge("f-1").charge_id, "f-1", at=on(5, 17))
    assert only_change(decision).delta == 70 + 5
    assert plan(story) == ("plus", date(2026, 5, 17), date(2026, 6, 17))


def test_an_upgrade_that_fails_changes_nothing() -> None:
    story = basic_member()
    before = plan(story)
    story.chose("plus", "f-1", at=on(4, 10))
    decision = story.unpaid(story.charge("f-1").charge_id, "f-1", at=on(4, 11))
    assert (answer(decision), decision.rule) == ("applied/charge-failed", "membership.upgrade")
    assert (decision.changes, decision.membership, plan(story)) == ([], None, before)
    assert answer(story.chose("plus", "f-1", at=on(4, 12))) == "applied/charge-requested"


# Renewals.


def test_renewal_at_0000_utc_of_the_cycle_day_for_as_long_as_the_plan_lasts_a_charge_is_requested() -> None:
    story = plus_member()
    for month in (5, 6, 7):
        (renewal,) = cycle_starts(story, month, 10)
        day = f"2026-{month:02}-10"
        assert caused([renewal]) == [(f"renewal:f-1:{day}", "applied/charge-requested")]
        assert (renewal.kind, renewal.rule, renewal.changes) == ("clock", "membership.renewal", [])
        assert (renewal.occurred_at, renewal.business_time) == (on(month, 10, 0), on(month, 10, 0) + GRACE)
        assert renewal.charge is not None
        assert (renewal.charge.charge_id, renewal.charge.kind) == (f"f-1:{day}:1", "renewal")
        assert (renewal.charge.cycle_start, renewal.charge.amount_cents) == (date(2026, month, 10), 2000)
        assert plan(story) == ("plus", date(2026, month, 10), date(2026, month + 1, 10))
        story.paid(f"f-1:{day}:1", "f-1", at=on(month, 10, 1))


def test_nothing_is_renewed_before_the_grace_has_passed() -> None:
    story = plus_member()
    assert story.until(on(5, 10, 0) + GRACE - A_MICROSECOND) == []
    assert answers(story.until(on(5, 10, 0) + GRACE)) == ["applied/charge-requested"]


def test_connects_are_granted_when_it_is_paid_dated_at_the_cycle_start() -> None:
    story = plus_member()
    cycle_starts(story, 5, 10)
    decision = story.paid("f-1:2026-05-10:1", "f-1", at=on(5, 10, 18))
    change = only_change(decision)
    assert (answer(decision), decision.rule) == ("applied/renewed", "membership.renewal")
    assert (change.rule, change.reason, change.delta) == ("grant.monthly", "cycle-started", 80)
    assert change.occurred_at == on(5, 10, 0)
    assert story.lots("f-1")[-1] == ("monthly", 80, on(5, 10, 0, year=2027))
    assert story.state.grants["grant.monthly", "f-1/f-1:2026-05-10:1"].connects == 80
    assert decision.membership is None


def test_basic_needs_no_charge() -> None:
    story = basic_member()
    decisions = cycle_starts(story, 8, 1)
    assert caused(decisions) == [(f"cycle:f-1:2026-0{month}-01", "applied/cycle-started") for month in (5, 6, 7, 8)]
    assert granted(decisions) == [("grant.monthly", 10, on(month, 1, 0)) for month in (5, 6, 7, 8)]
    assert {decision.charge for decision in decisions} == {None}


def test_credited_within_24_hours_of_the_billing_date() -> None:
    story = basic_member()
    (decision,) = cycle_starts(story, 5, 1)
    assert decision.business_time is not None
    assert decision.business_time - on(5, 1, 0) == GRACE


def test_a_cycle_start_is_published_as_a_change_of_the_membership() -> None:
    story = basic_member()
    (decision,) = cycle_starts(story, 5, 1)
    assert (decision.kind, decision.rule, decision.subject.freelancer_id) == ("clock", "grant.monthly", "f-1")
    assert decision.membership == MembershipUpdate(
        2, "basic", date(2026, 5, 1), date(2026, 6, 1), None, suspended=False, reason="cycle-started"
    )
    assert story.state.grants["grant.monthly", "f-1/2026-05-01"].decision_seq == decision.seq


def test_after_downtime_every_missed_cycle_is_granted_once_dated_at_its_cycle_start() -> None:
    story = basic_member()
    decisions = story.until(on(4, 20, year=2027))
    months = [(month, 2026) for month in range(5, 13)] + [(month, 2027) for month in range(1, 5)]
    monthly = [decision for decision in decisions if decision.rule == "grant.monthly"]
    assert granted(monthly) == [("grant.monthly", 10, on(month, 1, 0, year=year)) for month, year in months]
    assert story.until(on(4, 30, year=2027)) == []


def test_a_registration_read_a_year_late_gets_every_cycle_since() -> None:
    story = Story(start=on(4, 20, year=2027))
    story.registered("f-1", at=on(4, 1))
    monthly = [decision for decision in story.passes(seconds=0) if decision.rule == "grant.monthly"]
    assert [decision.occurred_at for decision in monthly][0::11] == [on(5, 1, 0), on(4, 1, 0, year=2027)]
    assert len(monthly) == 12


def test_memberships_of_one_day_start_their_cycles_by_freelancer_id_after_settlements_and_expiries() -> None:
    story = basic_member(name="f-2")
    story.registered("f-1", at=on(4, 1, 9))
    story.proposed("p-1", by="f-2", on="j-1", connects=4)
    story.closed("j-1", at=on(5, 1, 0))
    assert caused(cycle_starts(story, 5, 1)) == [
        ("e-4", "applied/closed-without-hire"),
        ("cycle:f-1:2026-05-01", "applied/cycle-started"),
        ("cycle:f-2:2026-05-01", "applied/cycle-started"),
    ]


# Downgrades.


def test_downgrade_chosen_takes_effect_at_the_next_cycle_start_plus_is_kept_until_then() -> None:
    story = plus_member()
    decision = story.chose("basic", "f-1", at=on(4, 20))
    assert (answer(decision), decision.rule) == ("applied/downgrade-scheduled", "membership.downgrade")
    assert decision.membership == MembershipUpdate(
        3, "plus", date(2026, 4, 10), date(2026, 5, 10), "basic", suspended=False, reason="downgrade-scheduled"
    )
    decisions = cycle_starts(story, 5, 10)
    assert caused(decisions) == [
        ("renewal:f-1:2026-05-10", "applied/downgraded"),
        ("cycle:f-1:2026-05-10", "applied/cycle-started"),
    ]
    downgraded, cycle = decisions
    assert (downgraded.rule, downgraded.facts["why"]) == ("membership.downgrade", "chosen")
    assert downgraded.membership == MembershipUpdate(
        4, "basic", date(2026, 4, 10), date(2026, 5, 10), None, suspended=False, reason="downgraded"
    )
    assert cycle.membership == MembershipUpdate(
        5, "basic", date(2026, 5, 10), date(2026, 6, 10), None, suspended=False, reason="cycle-started"
    )
    assert only_change(cycle).delta == 10
    assert len(story.state.charges) == 1


def test_chosen_on_the_renewal_day_or_later_too_late_the_renewal_remains_and_it_takes_effect_one_cycle_on() -> None:
    story = plus_member()
    cycle_starts(story, 5, 10)
    assert answer(story.chose("basic", "f-1", at=on(5, 10, 0, 1))) == "applied/downgrade-scheduled"
    assert answer(story.paid("f-1:2026-05-10:1", "f-1", at=on(5, 11))) == "applied/renewed"
    assert plan(story) == ("plus", date(2026, 5, 10), date(2026, 6, 10))
    assert answers(cycle_starts(story, 6, 10)) == ["applied/downgraded", "applied/cycle-started"]


def test_a_second_choice_of_basic_is_on_plan_already() -> None:
    story = plus_member()
    story.chose("basic", "f-1", at=on(4, 20))
    again = story.chose("basic", "f-1", at=on(4, 21))
    assert (answer(again), again.rule) == ("declined/already-on-plan", "membership.downgrade")


def test_basic_on_basic_is_on_plan_already() -> None:
    story = basic_member()
    again = story.chose("basic", "f-1", at=on(4, 10))
    assert (answer(again), again.rule, again.membership) == ("declined/already-on-plan", "membership.downgrade", None)


def test_plus_on_plus_is_on_plan_already() -> None:
    story = plus_member()
    again = story.chose("plus", "f-1", at=on(4, 20))
    assert (answer(again), again.rule) == ("declined/already-on-plan", "membership.upgrade")


def test_nobody_pays_twice_for_one_upgrade() -> None:
    story = basic_member()
    story.chose("plus", "f-1", at=on(4, 10))
    again = story.chose("plus", "f-1", at=on(4, 10, 13))
    assert (answer(again), again.rule, again.charge) == ("declined/already-on-plan", "membership.upgrade", None)


@pytest.mark.parametrize("paid_first", [True, False])
def test_a_downgrade_dated_after_a_cycle_start_that_a_late_payment_moves_ahead_does_not_end_plus_there(
    paid_first: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    story = Story(start=on(1, 1))
    story.registered("f-1", at=on(1, 15, 9))
    story.chose("plus", "f-1", at=on(1, 30), event_id="up")
    midnight = on(2, 1, 0)
    story.until(midnight + timedelta(seconds=6))  # within the grace: neither of these is late
    paid, chosen = midnight - timedelta(seconds=1), midnight + timedelta(seconds=5)
    if paid_first:
        story.paid("f-1:up:1", "f-1", at=paid)
        story.chose("basic", "f-1", at=chosen)
    else:
        story.chose("basic", "f-1", at=chosen)
        story.paid("f-1:up:1", "f-1", at=paid)
    [renewal] = [decision for decision in cycle_starts(story, 2, 1) if decision.charge is not None]
    assert answer(renewal) == "applied/charge-requested"
    assert (story.membership("f-1").plan, story.membership("f-1").downgrade_chosen_at) == ("plus", chosen)
    story.paid("f-1:2026-02-01:1", "f-1", at=on(2, 2))
    assert "applied/downgraded" in answers(cycle_starts(story, 3, 1))


def test_changing_the_cycle_date_is_to_downgrade_before_the_billing_date_and_upgrade_again_in_the_following_cycle() -> (
    None
):
    story = plus_member()
    story.chose("basic", "f-1", at=on(5, 9))
    cycle_starts(story, 5, 10)
    story.chose("plus", "f-1", at=on(5, 25))
    decision = story.paid(story.charge("f-1").charge_id, "f-1", at=on(5, 25, 13))
    assert only_change(decision).delta == 70 + 4  # floor(10 x 15 / 31)
    assert plan(story) == ("plus", date(2026, 5, 25), date(2026, 6, 25))


def test_re_upgrading_within_the_cycle_in_which_the_downgrade_was_chosen_does_not_move_the_date_it_only_cancels_the_downgrade() -> (  # noqa: E501 - a sentence of the rules
    None
):
    story = plus_member()
    story.chose("basic", "f-1", at=on(4, 20))
    decision = story.chose("plus", "f-1", at=on(5, 9))
    assert (answer(decision), decision.rule) == ("applied/downgrade-cancelled", "membership.downgrade")
    assert (decision.charge, decision.changes) == (None, [])
    assert decision.membership == MembershipUpdate(
        4, "plus", date(2026, 4, 10), date(2026, 5, 10), None, suspended=False, reason="downgrade-cancelled"
    )
    assert answers(cycle_starts(story, 5, 10)) == ["applied/charge-requested"]


def test_basic_chosen_while_an_upgrade_is_unanswered_ends_plus_at_its_first_cycle_start() -> None:
    story = basic_member()
    story.chose("plus", "f-1", at=on(4, 10))
    chosen = story.chose("basic", "f-1", at=on(4, 11))
    assert (answer(chosen), chosen.membership) == ("applied/downgrade-scheduled", None)
    assert answer(story.chose("basic", "f-1", at=on(4, 11, 13))) == "declined/already-on-plan"
    paid = story.paid(story.charge("f-1").charge_id, "f-1", at=on(4, 12))
    assert paid.membership is not None
    assert (paid.membership.plan, paid.membership.scheduled_plan) == ("plus", "basic")
    assert answers(cycle_starts(story, 5, 10)) == ["applied/downgraded", "applied/cycle-started"]


def test_plus_chosen_again_while_its_charge_is_unanswered_cancels_a_downgrade_chosen_since() -> None:
    story = basic_member()
    story.chose("plus", "f-1", at=on(4, 10))
    story.chose("basic", "f-1", at=on(4, 11))
    again = story.chose("plus", "f-1", at=on(4, 12))
    assert (answer(again), again.charge) == ("applied/downgrade-cancelled", None)
    story.paid("f-1:e-2:1", "f-1", at=on(4, 13))
    assert answers(cycle_starts(story, 5, 10)) == ["applied/charge-requested"]


def test_basic_chosen_while_an_upgrade_is_unanswered_lapses_if_that_fails() -> None:
    story = basic_member()
    story.chose("plus", "f-1", at=on(4, 10))
    story.chose("basic", "f-1", at=on(4, 11))
    story.unpaid("f-1:e-2:1", "f-1", at=on(4, 12))
    story.chose("plus", "f-1", at=on(4, 13))
    story.paid("f-1:e-5:1", "f-1", at=on(4, 14))
    assert answers(cycle_starts(story, 5, 13)) == ["applied/charge-requested"]


# All of it.


def test_a_policy_of_no_monthly_connects_moves_the_cycle_and_books_nothing() -> None:
    story = basic_member(policies(basic=0))
    (decision,) = cycle_starts(story, 5, 1)
    assert (answer(decision), decision.changes) == ("declined/nothing-to-do", [])
    assert plan(story) == ("basic", date(2026, 5, 1), date(2026, 6, 1))
    assert decision.membership is not None
    assert decision.membership.reason == "nothing-to-do"


def test_a_policy_in_which_plus_brings_nothing_renews_all_the_same() -> None:
    story = plus_member(policies(plus_paid=0, plus_free=0))
    assert answer(story.decisions[-1]) == "applied/upgraded"
    cycle_starts(story, 5, 10)
    decision = story.paid("f-1:2026-05-10:1", "f-1", at=on(5, 10))
    assert (answer(decision), decision.changes, story.balance("f-1")) == ("applied/renewed", [], 40)


def test_every_membership_topic_has_a_rule() -> None:
    topics = {
        "membership-plan-chosen",
        "promo-code-entered",
        "membership-charge-settled",
        "earnings-balance-updated",
        "account-suspended",
        "account-reinstated",
    }
    assert topics <= set(RULES)


def test_a_monthly_grant_pays_debts_like_any_credit() -> None:
    story = basic_member()
    story.proposed("p-1", by="f-1", on="j-1", connects=46)
    (decision,) = cycle_starts(story, 5, 1)
    change = only_change(decision)
    assert (change.delta, change.debt_delta, story.remaining("f-1")) == (10, -6, [4])
    assert explained(decision) == explain_change(change)


@pytest.mark.parametrize(
    ("chosen", "paid", "cycle", "connects"),
    [
        (on(1, 30), on(1, 31, 23, 59), (date(2026, 1, 30), date(2026, 2, 1)), 70 + 10 * 15 // 31),
        (on(1, 30), on(2, 1, 0), (date(2026, 2, 1), date(2026, 3, 1)), 70 + 10 * 17 // 31),
        (on(1, 30), on(2, 10), (date(2026, 2, 10), date(2026, 3, 10)), 70 + 10 * 26 // 31),
        (on(1, 28), on(2, 10), (date(2026, 1, 28), date(2026, 2, 28)), 70 + 10 * 13 // 31),
    ],
)
def test_nobody_pays_for_a_plus_cycle_that_was_over_before_the_payment(
    chosen: datetime, paid: datetime, cycle: tuple[date, date], connects: int
) -> None:
    story = Story(start=on(1, 1))
    story.registered("f-1", at=on(1, 15, 9))
    before = story.balance("f-1")
    story.chose("plus", "f-1", at=chosen, event_id="up")
    story.paid("f-1:up:1", "f-1", at=paid)
    assert plan(story) == ("plus", *cycle)
    assert story.balance("f-1") == before + connects


@pytest.mark.parametrize("paid_first", [True, False])
@pytest.mark.parametrize(
    "happens",
    [
        lambda story: story.has_earned("f-1", 5000, at=on(2, 9)),
        lambda story: story.entered("HALF", "f-1", at=on(2, 9)),
        lambda story: story.suspended("f-1", at=on(2, 9)),
        lambda story: story.chose("basic", "f-1", at=on(2, 9)),
    ],
)
def test_what_comes_before_a_late_payment_or_after_it_ends_alike(
    happens: Callable[[Story], object],
    paid_first: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    story = Story(with_promo_codes(), start=on(1, 1))
    story.registered("f-1", at=on(1, 15, 9))
    story.chose("plus", "f-1", at=on(1, 30), event_id="up")
    story.until(on(2, 10))
    if not paid_first:
        happens(story)
    story.paid("f-1:up:1", "f-1", at=on(2, 10))
    if paid_first:
        happens(story)
    assert plan(story) == ("plus", date(2026, 2, 10), date(2026, 3, 10))
    assert story.charge("f-1").charge_id == "f-1:up:1"
    assert story.balance("f-1") == 40 + 78
