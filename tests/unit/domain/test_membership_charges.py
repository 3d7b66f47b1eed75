"""Charges, sentence by sentence (domain.md, Memberships): where the money is asked, and what no money leads to."""

from datetime import date

import pytest

from schemas.outputs import MembershipChargeRequested
from tests.kit.members import basic_member, caused, cycle_starts, granted, on, plan, plus_member
from tests.kit.policies import later_version, policies, policy_text
from tests.kit.story import GRACE, Story, answer, answers, explained, only_change
from worker.domain.decisions import MembershipUpdate
from worker.domain.rules import memberships

RENEWAL = "f-1:2026-05-10:1"


def renewing() -> Story:
    """f-1's Plus was renewed on 10 May; the charge is not answered yet."""
    story = plus_member()
    cycle_starts(story, 5, 10)
    return story


def lapsed() -> Story:
    """The same charge has lapsed: the cycle of 10 June has begun."""
    story = renewing()
    cycle_starts(story, 6, 10)
    return story


# Sources.


@pytest.mark.parametrize(
    ("cents", "source"),
    [(2000, "earnings-balance"), (9000, "earnings-balance"), (1999, "payment-method"), (0, "payment-method")],
)
def test_charge_source_the_whole_price_from_the_earnings_balance_if_it_is_sufficient_else_from_the_payment_method(
    cents: int, source: str
) -> None:
    story = basic_member()
    noted = story.has_earned("f-1", cents, at=on(4, 2))
    assert (answer(noted), noted.rule, noted.membership) == ("recorded/earnings-noted", "membership.earnings", None)
    story.chose("plus", "f-1", at=on(4, 10))
    assert (story.charge("f-1").source, story.charge("f-1").amount_cents) == (source, 2000)


def test_of_balances_the_latest_counts_whatever_the_order_they_are_shown_in() -> None:
    story = basic_member()
    story.has_earned("f-1", 5000, at=on(4, 4))
    assert answer(story.has_earned("f-1", 0, at=on(4, 3))) == "recorded/earnings-noted"
    story.chose("plus", "f-1", at=on(4, 10))
    assert story.charge("f-1").source == "earnings-balance"


def test_of_balances_dated_alike_the_one_sent_later_counts() -> None:
    story = basic_member()
    story.has_earned("f-1", 0, at=on(4, 3))
    story.has_earned("f-1", 5000, at=on(4, 3))
    story.chose("plus", "f-1", at=on(4, 10))
    assert story.charge("f-1").source == "earnings-balance"


def test_without_a_balance_reported_the_payment_method_is_charged() -> None:
    assert plus_member().charge("f-1").source == "payment-method"


def test_a_balance_counts_for_the_renewal_of_its_day() -> None:
    story = plus_member()
    story.has_earned("f-1", 2000, at=on(5, 9, 23, 59))
    cycle_starts(story, 5, 10)
    assert story.charge("f-1").source == "earnings-balance"


# Answers.


@pytest.mark.parametrize("kind", ["upgrade", "renewal"])
def test_any_failed_charge_whose_source_was_the_earnings_balance_is_asked_once_of_the_payment_method_as_attempt_2(
    kind: str,
) -> None:
    story = plus_member() if kind == "renewal" else basic_member()
    story.has_earned("f-1", 2000, at=on(4, 10, 11))
    if kind == "renewal":
        cycle_starts(story, 5, 10)
    else:
        story.chose("plus", "f-1", at=on(5, 1))
    first = story.charge("f-1")
    decision = story.unpaid(first.charge_id, "f-1", at=on(5, 11))
    assert (answer(decision), decision.rule, decision.membership) == (
        "applied/charge-retried",
        f"membership.{kind}",
        None,
    )
    second = story.charge("f-1")
    assert second is decision.charge
    assert second.charge_id == f"{first.charge_id.removesuffix(':1')}:2"
    assert (first.status, second.status) == ("failed", "asked")
    assert (second.attempt, second.source, second.amount_cents) == (2, "payment-method", 2000)
    assert (second.cycle_start, second.kind, second.requested_at) == (first.cycle_start, kind, on(5, 11))
    assert answer(story.unpaid(second.charge_id, "f-1", at=on(5, 12))) == "applied/charge-failed"
    assert story.charge("f-1") is second


def test_a_second_attempt_that_is_paid_counts_like_the_first() -> None:
    story = plus_member()
    story.has_earned("f-1", 2000, at=on(4, 20))
    cycle_starts(story, 5, 10)
    story.unpaid(RENEWAL, "f-1", at=on(5, 10, 1))
    decision = story.paid("f-1:2026-05-10:2", "f-1", at=on(5, 10, 2))
    assert granted([decision]) == [("grant.monthly", 80, on(5, 10, 0))]
    assert ("grant.monthly", "f-1/f-1:2026-05-10:2") in story.state.grants


def test_an_upgrade_paid_at_the_second_attempt_is_prorated_by_the_choice() -> None:
    story = basic_member()
    story.has_earned("f-1", 2000, at=on(4, 2))
    story.chose("plus", "f-1", at=on(4, 10))
    story.unpaid("f-1:e-3:1", "f-1", at=on(4, 15))
    decision = story.paid("f-1:e-3:2", "f-1", at=on(4, 20))
    assert granted([decision]) == [("grant.upgrade", 73, on(4, 20))]
    assert plan(story) == ("plus", date(2026, 4, 10), date(2026, 5, 10))


def test_charge_id_is_the_freelancer_and_the_cycle_start_or_the_choices_event_id_and_the_attempt() -> None:
    story = basic_member()
    story.chose("plus", "f-1", event_id="c-77", at=on(4, 10))
    assert story.charge("f-1").charge_id == "f-1:c-77:1"
    story.paid("f-1:c-77:1", "f-1", at=on(4, 10))
    cycle_starts(story, 5, 10)
    assert story.charge("f-1").charge_id == "f-1:2026-05-10:1"


def test_up_to_160_characters() -> None:
    story = Story(start=on(3, 31))
    story.chose("plus", "f" * 64, event_id="e" * 64, at=on(4, 1))
    charge = story.charge("f" * 64)
    assert len(charge.charge_id) <= 160
    MembershipChargeRequested(
        event_id="e-1",
        freelancer_id=charge.freelancer_id,
        occurred_at=charge.requested_at,
        charge_id=charge.charge_id,
        amount_cents=charge.amount_cents,
        currency=charge.currency,
        source=charge.source,
        cycle_start=charge.cycle_start,
    )


def test_a_renewal_that_fails_basic_immediately_no_more_attempts_basics_grant_for_that_cycle_follows() -> None:
    story = renewing()
    decision = story.unpaid(RENEWAL, "f-1", at=on(5, 12))
    change = only_change(decision)
    assert (answer(decision), decision.rule, decision.charge) == (
        "applied/charge-failed",
        "membership.renewal",
        None,
    )
    assert (change.rule, change.reason, change.delta, change.occurred_at) == (
        "grant.monthly",
        "cycle-started",
        10,
        on(5, 10, 0),
    )
    assert decision.membership == MembershipUpdate(
        4, "basic", date(2026, 5, 10), date(2026, 6, 10), None, suspended=False, reason="charge-failed"
    )
    assert ("grant.monthly", "f-1/2026-05-10") in story.state.grants
    assert caused(cycle_starts(story, 6, 10)) == [("cycle:f-1:2026-06-10", "applied/cycle-started")]


def test_a_downgrade_scheduled_too_late_lapses_with_it() -> None:
    story = renewing()
    story.chose("basic", "f-1", at=on(5, 11))
    story.unpaid(RENEWAL, "f-1", at=on(5, 12))
    story.chose("plus", "f-1", at=on(5, 20))
    story.paid(story.charge("f-1").charge_id, "f-1", at=on(5, 20))
    assert answers(cycle_starts(story, 6, 20)) == ["applied/charge-requested"]


def test_re_enrolling_works_at_any_time() -> None:
    story = renewing()
    story.unpaid(RENEWAL, "f-1", at=on(5, 12))
    assert answer(story.chose("plus", "f-1", at=on(5, 12, 13))) == "applied/charge-requested"
    decision = story.paid(story.charge("f-1").charge_id, "f-1", at=on(5, 13))
    assert only_change(decision).delta == 70  # floor(10 x 2 / 31)
    assert plan(story) == ("plus", date(2026, 5, 12), date(2026, 6, 12))


def test_a_renewal_still_unanswered_when_the_next_cycle_starts_counts_as_failed() -> None:
    story = renewing()
    decisions = cycle_starts(story, 6, 10)
    assert caused(decisions) == [
        ("renewal:f-1:2026-06-10", "applied/charge-failed"),
        ("cycle:f-1:2026-05-10", "applied/cycle-started"),
        ("cycle:f-1:2026-06-10", "applied/cycle-started"),
    ]
    failed, missed, _ = decisions
    assert (failed.rule, failed.facts["lapsed"], failed.occurred_at) == ("membership.renewal", True, on(6, 10, 0))
    assert (missed.occurred_at, missed.business_time) == (on(5, 10, 0), on(6, 10, 0) + GRACE)
    assert story.state.charges[story.charge("f-1").key].status == "lapsed"


def test_basic_from_the_cycle_start_it_was_for_its_grants_with_it() -> None:
    story = renewing()
    decisions = cycle_starts(story, 6, 10)
    assert granted(decisions) == [("grant.monthly", 10, on(5, 10, 0)), ("grant.monthly", 10, on(6, 10, 0))]
    assert [decision.membership for decision in decisions] == [
        MembershipUpdate(
            4, "basic", date(2026, 5, 10), date(2026, 6, 10), None, suspended=False, reason="charge-failed"
        ),
        None,
        MembershipUpdate(
            5, "basic", date(2026, 6, 10), date(2026, 7, 10), None, suspended=False, reason="cycle-started"
        ),
    ]


def test_if_it_is_paid_after_all_its_connects_are_granted_dated_at_the_payment_the_plan_stays_as_it_is_paid_after_lapse() -> (  # noqa: E501 - a sentence of the rules
    None
):
    story = lapsed()
    before = plan(story)
    decision = story.paid(RENEWAL, "f-1", at=on(6, 12))
    change = only_change(decision)
    assert (answer(decision), decision.rule) == ("applied/paid-after-lapse", "membership.renewal")
    assert (change.rule, change.reason, change.delta, change.occurred_at) == (
        "grant.monthly",
        "paid-after-lapse",
        80,
        on(6, 12),
    )
    assert (decision.membership, plan(story)) == (None, before)
    assert answer(story.paid(RENEWAL, "f-1", at=on(6, 13))) == "declined/charge-already-settled"


def test_a_lapsed_charge_that_fails_is_decided_already() -> None:
    story = lapsed()
    decision = story.unpaid(RENEWAL, "f-1", at=on(6, 12))
    assert (answer(decision), decision.rule) == ("declined/charge-already-settled", "membership.renewal")
    assert answer(story.paid(RENEWAL, "f-1", at=on(6, 13))) == "applied/paid-after-lapse"


def test_a_lapsed_charge_of_the_earnings_balance_is_not_asked_of_the_payment_method() -> None:
    story = plus_member()
    story.has_earned("f-1", 2000, at=on(4, 20))
    cycle_starts(story, 6, 10)
    assert answer(story.unpaid(RENEWAL, "f-1", at=on(6, 12))) == "declined/charge-already-settled"


def test_a_downgrade_chosen_in_the_cycle_of_a_lapsed_charge_lapses_with_it() -> None:
    story = renewing()
    story.chose("basic", "f-1", at=on(5, 20))
    assert answers(cycle_starts(story, 6, 10)) == [
        "applied/charge-failed",
        "applied/cycle-started",
        "applied/cycle-started",
    ]
    assert story.membership("f-1").downgrade_chosen_at is None


def test_after_two_missed_cycle_starts_the_first_charge_lapses() -> None:
    story = plus_member()
    assert answers(story.until(on(6, 15))) == [
        "applied/charge-requested",
        "applied/charge-failed",
        "applied/cycle-started",
        "applied/cycle-started",
    ]
    assert answer(story.paid(RENEWAL, "f-1", at=on(6, 15))) == "applied/paid-after-lapse"


@pytest.mark.parametrize("outcomes", [("paid", "failed"), ("paid", "paid"), ("failed", "paid"), ("failed", "failed")])
def test_an_answer_to_a_charge_already_answered_changes_nothing(outcomes: tuple[str, str]) -> None:
    story = renewing()
    send = {"paid": story.paid, "failed": story.unpaid}
    send[outcomes[0]](RENEWAL, "f-1", at=on(5, 11))
    before, balance = plan(story), story.balance("f-1")
    decision = send[outcomes[1]](RENEWAL, "f-1", at=on(5, 12))
    assert (answer(decision), decision.rule) == ("declined/charge-already-settled", "membership.renewal")
    assert (decision.membership, plan(story), story.balance("f-1")) == (None, before, balance)


def test_an_upgrade_answered_twice_is_decided_already() -> None:
    story = plus_member()
    decision = story.paid("f-1:e-2:1", "f-1", at=on(4, 11))
    assert (answer(decision), decision.rule) == ("declined/charge-already-settled", "membership.upgrade")


# Charges that are not known.


def test_an_answer_to_a_charge_that_nobody_asked_for_is_recorded() -> None:
    story = basic_member()
    decision = story.paid("f-1:c-9:1", "f-1", at=on(4, 10))
    assert (answer(decision), decision.rule, decision.changes) == ("recorded/unknown-charge", "membership.charge", [])


def test_an_answer_read_before_its_charge_is_asked_counts_when_it_is() -> None:
    story = basic_member()
    early = story.paid("f-1:c-9:1", "f-1", at=on(4, 10, 9))
    chosen = story.chose("plus", "f-1", event_id="c-9", at=on(4, 10, 8))
    assert answer(chosen) == "applied/charge-requested"
    follow_up = story.decisions[-1]
    assert (follow_up.kind, follow_up.follows, answer(follow_up)) == ("follow-up", early.seq, "applied/upgraded")
    assert (follow_up.cause, follow_up.occurred_at) == (early.cause, on(4, 10, 9))
    assert (follow_up.payload, follow_up.late_by_seconds) == (None, None)
    assert plan(story) == ("plus", date(2026, 4, 10), date(2026, 5, 10))
    assert story.state.held["f-1"] == []


def test_another_freelancers_charge_is_unknown_and_waited_for_like_any_other() -> None:
    story = plus_member()
    story.registered("f-2", at=on(4, 11))
    decision = story.paid("f-1:e-2:1", "f-2", at=on(4, 12))
    assert answer(decision) == "recorded/unknown-charge"
    assert [held.decision_seq for held in story.state.held["f-2"]] == [decision.seq]
    assert "of this freelancer yet" in explained(decision)


def test_an_answer_in_the_wrong_name_does_not_count_when_the_charge_is_asked_of_its_owner() -> None:
    story = basic_member()
    story.registered("f-2", at=on(4, 2))
    assert answer(story.paid("f-1:c-9:1", "f-2", at=on(4, 10))) == "recorded/unknown-charge"
    story.chose("plus", "f-1", event_id="c-9", at=on(4, 11))
    assert answer(story.decisions[-1]) == "applied/charge-requested"


def test_an_answer_read_before_a_second_attempt_is_asked_counts_right_after_it() -> None:
    story = plus_member()
    story.has_earned("f-1", 2000, at=on(4, 20))
    cycle_starts(story, 5, 10)
    story.paid("f-1:2026-05-10:2", "f-1", at=on(5, 11))
    story.unpaid("f-1:2026-05-10:1", "f-1", at=on(5, 10, 18))
    assert answers(story.decisions[-2:]) == ["applied/charge-retried", "applied/renewed"]


# One charge id, two freelancers: `f` who chooses in event `1:up`, and `f:1` who chooses in event `up`.

SHARED = "f:1:up:1"


def two_members() -> Story:
    story = Story(start=on(3, 31))
    story.registered("f", at=on(4, 1, 9))
    story.registered("f:1", at=on(4, 1, 10))
    return story


def two_who_chose() -> Story:
    story = two_members()
    story.chose("plus", "f", event_id="1:up", at=on(4, 10, 9))
    story.chose("plus", "f:1", event_id="up", at=on(4, 11, 9))
    assert [story.charge(who).charge_id for who in ("f", "f:1")] == [SHARED, SHARED]
    return story


def test_two_freelancers_whose_charges_have_one_id_are_both_charged_and_both_granted() -> None:
    story = two_who_chose()
    decisions = [story.paid(SHARED, "f", at=on(4, 12)), story.paid(SHARED, "f:1", at=on(4, 13))]
    assert answers(decisions) == ["applied/upgraded", "applied/upgraded"]
    assert granted(decisions) == [("grant.upgrade", 73, on(4, 12)), ("grant.upgrade", 73, on(4, 13))]
    assert [(charge.freelancer_id, charge.status) for charge in story.state.changed.charges.values()] == [
        ("f", "paid"),
        ("f:1", "paid"),
    ]


@pytest.mark.parametrize("who", ["f", "f:1"])
def test_an_answer_is_about_the_charge_of_the_freelancer_whom_it_names(who: str) -> None:
    story = two_who_chose()
    assert answer(story.unpaid(SHARED, who, at=on(4, 12))) == "applied/charge-failed"
    status = {charge.freelancer_id: charge.status for charge in story.state.charges.values()}
    assert status == {"f": "asked", "f:1": "asked"} | {who: "failed"}
    assert answer(story.paid(SHARED, who, at=on(4, 13))) == "declined/charge-already-settled"


@pytest.mark.parametrize("other_first", [True, False])
def test_an_answer_waits_for_its_own_freelancers_charge_whoever_else_has_one_of_that_id(*, other_first: bool) -> None:
    story = two_members()
    if other_first:
        story.chose("plus", "f", event_id="1:up", at=on(4, 10, 9))
    early = story.paid(SHARED, "f:1", at=on(4, 11))
    assert answer(early) == "recorded/unknown-charge"
    if not other_first:
        story.chose("plus", "f", event_id="1:up", at=on(4, 10, 9))
        assert answer(story.decisions[-1]) == "applied/charge-requested"
    story.chose("plus", "f:1", event_id="up", at=on(4, 11))
    follow_up = story.decisions[-1]
    assert (follow_up.kind, follow_up.follows, answer(follow_up)) == ("follow-up", early.seq, "applied/upgraded")
    assert story.state.held["f:1"] == []
    assert [story.membership(who).plan for who in ("f", "f:1")] == ["basic", "plus"]


def test_natural_keys_name_the_freelancer_and_a_charge_is_no_day() -> None:
    story = two_who_chose()
    story.paid(SHARED, "f", at=on(4, 12))
    story.paid(SHARED, "f:1", at=on(4, 13))
    cycle_starts(story, 5, 10)
    story.unpaid("f:2026-05-10:1", "f", at=on(5, 10))
    cycle_starts(story, 5, 11)
    story.paid("f:1:2026-05-11:1", "f:1", at=on(5, 12))
    assert [key for key in story.state.grants if key[0] in {"grant.upgrade", "grant.monthly"}] == [
        ("grant.upgrade", "f/f:1:up:1"),
        ("grant.upgrade", "f:1/f:1:up:1"),
        ("grant.monthly", "f/2026-05-10"),
        ("grant.monthly", "f:1/f:1:2026-05-11:1"),
    ]


# The policy of a charge.


def test_the_price_is_that_of_the_policy_in_force_at_the_choice_or_at_the_cycle_start() -> None:
    dearer = later_version("2026-05-01", plus_price_cents=2500)
    story = plus_member(policies(policy_text() + dearer))
    assert story.charge("f-1").amount_cents == 2000
    cycle_starts(story, 5, 10)
    assert story.charge("f-1").amount_cents == 2500


def test_what_a_renewal_brings_is_that_of_the_policy_at_the_cycle_start() -> None:
    richer = later_version("2026-05-11", plus_paid=90, basic=11)
    story = plus_member(policies(policy_text() + richer))
    cycle_starts(story, 5, 10)
    decision = story.paid(RENEWAL, "f-1", at=on(5, 12))
    assert (only_change(decision).delta, only_change(decision).policy_version) == (80, "2026-01-01")
    assert decision.policy_version == "2026-05-11"


def test_what_basic_brings_after_a_failed_renewal_is_that_of_the_policy_at_the_cycle_start() -> None:
    richer = later_version("2026-05-11", basic=11)
    story = plus_member(policies(policy_text() + richer))
    cycle_starts(story, 5, 10)
    decision = story.unpaid(RENEWAL, "f-1", at=on(5, 12))
    assert (only_change(decision).delta, only_change(decision).policy_version) == (10, "2026-01-01")


def test_what_an_upgrade_brings_is_that_of_the_policy_at_the_payment() -> None:
    richer = later_version("2026-04-11", plus_paid=90)
    story = basic_member(policies(policy_text() + richer))
    story.chose("plus", "f-1", at=on(4, 10))
    decision = story.paid(story.charge("f-1").charge_id, "f-1", at=on(4, 11))
    assert only_change(decision).delta == 93


def test_each_cycle_of_a_lapse_is_decided_under_the_policy_of_its_own_start() -> None:
    richer = later_version("2026-06-01", basic=11)
    story = plus_member(policies(policy_text() + richer))
    decisions = cycle_starts(story, 6, 10)[1:]
    assert [(decision.policy_version, [change.delta for change in decision.changes]) for decision in decisions] == [
        ("2026-06-01", []),
        ("2026-01-01", [10]),
        ("2026-06-01", [11]),
    ]


def test_a_choice_whose_event_id_is_a_day_does_not_take_the_name_of_that_days_renewal() -> None:
    """Ids are the producers' own; a charge's id is made of them."""
    assert memberships._named("2026-02-10") == "choice:2026-02-10"  # noqa: SLF001 - what others see of it is a charge id
    assert memberships._named("choice:2026-02-10") == "choice:choice:2026-02-10"  # noqa: SLF001 - nor another choice's
    assert memberships._named("e-2026-02-10") == "e-2026-02-10"  # noqa: SLF001
