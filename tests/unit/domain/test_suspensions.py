"""Suspensions of memberships, sentence by sentence (domain.md, Memberships)."""

from datetime import date, timedelta

import pytest

from tests.kit.members import basic_member, caused, cycle_starts, granted, on, plan, plus_member
from tests.kit.story import Story, answer, answers
from worker.domain.decisions import MembershipUpdate

A_MICROSECOND = timedelta(microseconds=1)
SCOPES = ["account", "billing-method"]


@pytest.mark.parametrize("scope", SCOPES)
def test_choosing_plus_while_suspended_is_declined_account_suspended(scope: str) -> None:
    story = basic_member()
    story.suspended("f-1", scope, at=on(4, 5))
    decision = story.chose("plus", "f-1", at=on(4, 10))
    assert (answer(decision), decision.rule, decision.charge) == (
        "declined/account-suspended",
        "membership.upgrade",
        None,
    )
    story.reinstated("f-1", scope, at=on(4, 11))
    assert answer(story.chose("plus", "f-1", at=on(4, 12))) == "applied/charge-requested"


def test_a_suspension_holds_from_its_own_instant_until_that_of_its_lifting() -> None:
    story = basic_member()
    story.suspended("f-1", at=on(4, 5))
    assert answer(story.chose("plus", "f-1", at=on(4, 5))) == "declined/account-suspended"
    story.reinstated("f-1", at=on(4, 6))
    assert answer(story.chose("plus", "f-1", at=on(4, 6))) == "applied/charge-requested"


def test_a_choice_dated_before_a_suspension_and_read_after_it_counts() -> None:
    story = basic_member()
    story.suspended("f-1", at=on(4, 5))
    assert answer(story.chose("plus", "f-1", at=on(4, 5) - A_MICROSECOND)) == "applied/charge-requested"


def test_plus_chosen_on_plus_while_suspended_does_not_cancel_a_downgrade() -> None:
    story = plus_member()
    story.chose("basic", "f-1", at=on(4, 20))
    story.suspended("f-1", "billing-method", at=on(4, 21))
    assert answer(story.chose("plus", "f-1", at=on(4, 22))) == "declined/account-suspended"
    assert story.membership("f-1").downgrade_chosen_at == on(4, 20)


def test_basic_may_be_chosen_while_suspended() -> None:
    story = plus_member()
    story.suspended("f-1", at=on(4, 20))
    assert answer(story.chose("basic", "f-1", at=on(4, 21))) == "applied/downgrade-scheduled"


@pytest.mark.parametrize("scope", SCOPES)
def test_suspended_scope_account_or_billing_method_downgraded_at_the_end_of_the_cycle_not_charged_for_the_next_one(
    scope: str,
) -> None:
    story = plus_member()
    decision = story.suspended("f-1", scope, at=on(5, 9))
    assert (answer(decision), decision.rule) == ("applied/suspended", "membership.suspension")
    assert decision.membership == MembershipUpdate(
        3, "plus", date(2026, 4, 10), date(2026, 5, 10), "basic", suspended=True, reason="suspended"
    )
    downgraded, cycle = cycle_starts(story, 5, 10)
    assert (answer(downgraded), downgraded.rule) == ("applied/downgraded", "membership.downgrade")
    assert (downgraded.facts["why"], downgraded.charge) == ("suspended", None)
    assert cycle.cause.event_id == "cycle:f-1:2026-05-10"
    assert plan(story) == ("basic", date(2026, 5, 10), date(2026, 6, 10))
    assert len(story.state.charges) == 1


def test_scope_account_monthly_grants_are_withheld_meanwhile() -> None:
    story = basic_member()
    story.suspended("f-1", at=on(4, 20))
    (decision,) = cycle_starts(story, 5, 1)
    assert (answer(decision), decision.rule) == ("withheld/account-suspended", "grant.monthly")
    assert (decision.changes, story.balance("f-1")) == ([], 40)
    assert decision.membership == MembershipUpdate(
        3, "basic", date(2026, 5, 1), date(2026, 6, 1), None, suspended=True, reason="account-suspended"
    )


def test_what_was_withheld_is_not_made_up_later() -> None:
    story = basic_member()
    story.suspended("f-1", at=on(4, 20))
    cycle_starts(story, 5, 1)
    story.reinstated("f-1", at=on(5, 2))
    assert granted(cycle_starts(story, 6, 1)) == [("grant.monthly", 10, on(6, 1, 0))]
    assert ("grant.monthly", "f-1/2026-05-01") not in story.state.grants


def test_a_suspended_billing_method_withholds_nothing_of_basic() -> None:
    story = basic_member()
    story.suspended("f-1", "billing-method", at=on(4, 20))
    assert answers(cycle_starts(story, 5, 1)) == ["applied/cycle-started"]


def test_one_time_grants_spends_and_refunds_go_on() -> None:
    story = basic_member()
    story.suspended("f-1", at=on(4, 2))
    assert answer(story.earned_badge("f-1")) == "applied/badge-earned"
    assert answer(story.proposed("p-1", by="f-1", on="j-1", connects=12)) == "applied/proposal-submitted"
    story.closed("j-1")
    assert story.settled() == ["applied/closed-without-hire"]


@pytest.mark.parametrize("scope", SCOPES)
def test_lifting_the_last_suspension_before_the_cycle_ends_cancels_the_downgrade(scope: str) -> None:
    story = plus_member()
    story.suspended("f-1", scope, at=on(4, 20))
    decision = story.reinstated("f-1", scope, at=on(5, 9))
    assert (answer(decision), decision.rule) == ("applied/reinstated", "membership.suspension")
    assert decision.membership == MembershipUpdate(
        4, "plus", date(2026, 4, 10), date(2026, 5, 10), None, suspended=False, reason="reinstated"
    )
    assert answers(cycle_starts(story, 5, 10)) == ["applied/charge-requested"]


def test_lifting_one_of_two_suspensions_does_not_cancel_the_downgrade() -> None:
    story = plus_member()
    story.suspended("f-1", "account", at=on(4, 20))
    second = story.suspended("f-1", "billing-method", at=on(4, 21))
    assert (answer(second), second.membership) == ("applied/suspended", None)
    lifted = story.reinstated("f-1", "account", at=on(4, 22))
    assert (answer(lifted), lifted.membership) == ("applied/reinstated", None)
    assert answers(cycle_starts(story, 5, 10)) == ["applied/downgraded", "applied/cycle-started"]


def test_lifting_a_suspension_does_not_cancel_a_downgrade_that_was_chosen() -> None:
    story = plus_member()
    story.suspended("f-1", at=on(4, 20))
    story.chose("basic", "f-1", at=on(4, 21))
    lifted = story.reinstated("f-1", at=on(4, 22))
    assert lifted.membership is not None
    assert lifted.membership.scheduled_plan == "basic"
    downgraded, _ = cycle_starts(story, 5, 10)
    assert downgraded.facts["why"] == "chosen"


def test_after_it_the_account_stays_on_basic_until_it_chooses_again() -> None:
    story = plus_member()
    story.suspended("f-1", at=on(4, 20))
    cycle_starts(story, 5, 10)
    story.reinstated("f-1", at=on(5, 10, 1))
    assert caused(cycle_starts(story, 6, 10)) == [("cycle:f-1:2026-06-10", "applied/cycle-started")]
    assert answer(story.chose("plus", "f-1", at=on(6, 11))) == "applied/charge-requested"


def test_a_suspension_dated_at_the_cycle_start_counts_for_the_next() -> None:
    story = plus_member()
    waits = story.suspended("f-1", at=on(5, 10, 0))
    assert answer(waits) == "recorded/awaits-cycle-start"
    assert answers(cycle_starts(story, 5, 10)) == ["applied/charge-requested", "applied/suspended"]
    assert answer(story.paid("f-1:2026-05-10:1", "f-1", at=on(5, 11))) == "applied/renewed"
    assert answers(cycle_starts(story, 6, 10)) == ["applied/downgraded", "withheld/account-suspended"]


def test_a_suspension_dated_a_microsecond_before_the_cycle_start_counts_for_it() -> None:
    story = plus_member()
    story.suspended("f-1", at=on(5, 10, 0) - A_MICROSECOND)
    assert answers(cycle_starts(story, 5, 10)) == ["applied/downgraded", "withheld/account-suspended"]


def test_a_suspension_read_within_the_grace_counts_for_the_cycle_start_it_was_dated_before() -> None:
    story = plus_member()
    story.until(on(5, 10, 0) + timedelta(seconds=29))
    story.suspended("f-1", at=on(5, 9, 23, 59))
    assert answers(cycle_starts(story, 5, 10)) == ["applied/downgraded", "withheld/account-suspended"]


def test_a_suspension_read_after_the_cycle_start_changes_nothing_that_was_booked() -> None:
    story = basic_member()
    cycle_starts(story, 5, 1)
    late = story.suspended("f-1", at=on(4, 30))
    assert answer(late) == "applied/suspended"
    assert story.balance("f-1") == 50
    assert answers(cycle_starts(story, 6, 1)) == ["withheld/account-suspended"]


def test_suspended_again_is_recorded() -> None:
    story = basic_member()
    story.suspended("f-1", at=on(4, 5))
    again = story.suspended("f-1", at=on(4, 6))
    assert (answer(again), again.rule, again.membership) == ("recorded/suspended", "membership.suspension", None)


def test_reinstated_without_a_suspension_is_recorded() -> None:
    story = basic_member()
    decision = story.reinstated("f-1", at=on(4, 5))
    assert (answer(decision), decision.membership) == ("recorded/reinstated", None)


def test_a_suspension_that_was_lifted_before_it_was_reported_is_recorded() -> None:
    story = plus_member()
    assert answer(story.reinstated("f-1", at=on(4, 21))) == "recorded/reinstated"
    assert answer(story.suspended("f-1", at=on(4, 20))) == "recorded/suspended"
    assert answers(cycle_starts(story, 5, 10)) == ["applied/charge-requested"]


@pytest.mark.parametrize(("last", "renewed"), [("suspended", False), ("reinstated", True)])
def test_of_two_dated_alike_the_one_decided_later_counts(last: str, renewed: bool) -> None:  # noqa: FBT001
    story = plus_member()
    first = "reinstated" if last == "suspended" else "suspended"
    for topic in (first, last):
        story.send(f"account-{topic}", freelancer_id="f-1", scope="account", at=on(4, 20))
    assert (answers(cycle_starts(story, 5, 10)) == ["applied/charge-requested"]) is renewed


def test_a_renewal_is_paid_in_full_whether_or_not_a_suspension_began_since() -> None:
    story = plus_member()
    cycle_starts(story, 5, 10)
    story.suspended("f-1", at=on(5, 11))
    decision = story.paid("f-1:2026-05-10:1", "f-1", at=on(5, 12))
    assert granted([decision]) == [("grant.monthly", 80, on(5, 10, 0))]


def test_basics_grant_after_a_failed_renewal_is_withheld_if_the_account_was_suspended_at_the_cycle_start() -> None:
    story = plus_member()
    cycle_starts(story, 5, 10)
    story.suspended("f-1", at=on(5, 9))
    decision = story.unpaid("f-1:2026-05-10:1", "f-1", at=on(5, 12))
    assert (answer(decision), decision.changes, decision.facts["withheld"]) == ("applied/charge-failed", [], True)
    assert plan(story)[0] == "basic"


def test_basics_grant_after_a_failed_renewal_is_not_withheld_for_a_suspension_since() -> None:
    story = plus_member()
    cycle_starts(story, 5, 10)
    story.suspended("f-1", at=on(5, 11))
    decision = story.unpaid("f-1:2026-05-10:1", "f-1", at=on(5, 12))
    assert granted([decision]) == [("grant.monthly", 10, on(5, 10, 0))]


def test_each_cycle_of_a_lapse_asks_whether_the_account_was_suspended_at_its_own_start() -> None:
    story = plus_member()
    cycle_starts(story, 5, 10)
    story.suspended("f-1", at=on(5, 20))
    assert caused(cycle_starts(story, 6, 10)) == [
        ("renewal:f-1:2026-06-10", "applied/charge-failed"),
        ("cycle:f-1:2026-05-10", "applied/cycle-started"),
        ("cycle:f-1:2026-06-10", "withheld/account-suspended"),
    ]


def test_an_upgrade_paid_while_suspended_begins_plus_and_ends_with_its_cycle() -> None:
    story = basic_member()
    story.chose("plus", "f-1", at=on(4, 10))
    story.suspended("f-1", at=on(4, 11))
    paid = story.paid(story.charge("f-1").charge_id, "f-1", at=on(4, 12))
    assert granted([paid]) == [("grant.upgrade", 73, on(4, 12))]
    assert paid.membership == MembershipUpdate(
        3, "plus", date(2026, 4, 10), date(2026, 5, 10), "basic", suspended=True, reason="upgraded"
    )
    assert answers(cycle_starts(story, 5, 10)) == ["applied/downgraded", "withheld/account-suspended"]


def test_suspensions_of_somebody_without_a_membership_are_noted_and_published_to_nobody() -> None:
    story = Story(start=on(3, 31))
    assert answer(story.suspended("f-1", at=on(4, 1))) == "applied/suspended"
    assert answer(story.reinstated("f-1", at=on(4, 2))) == "applied/reinstated"
    assert story.updates("f-1") == []
