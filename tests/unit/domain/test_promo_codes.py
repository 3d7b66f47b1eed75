"""Promotion codes, sentence by sentence (domain.md, Memberships)."""

from datetime import UTC, datetime

import pytest

from tests.kit.members import PROMO_CODES, basic_member, cycle_starts, on, plan, plus_member, with_promo_codes
from tests.kit.policies import later_version, policies, policy_text
from tests.kit.story import Story, answer, answers
from worker.domain.decisions import Decision


def renewed(story: Story, month: int, day: int = 10) -> int:
    """Let Plus be renewed and pay for it; returns the cents that were asked."""
    cycle_starts(story, month, day)
    charge = story.charge("f-1")
    assert charge.kind == "renewal"
    assert charge.cycle_start.month == month
    story.paid(charge.charge_id, "f-1", at=on(month, day, 1))
    return charge.amount_cents


def chosen_with(code: str) -> tuple[Story, Decision]:
    story = basic_member(with_promo_codes())
    return story, story.chose("plus", "f-1", promo=code, at=on(4, 10))


@pytest.mark.parametrize(("code", "cents"), [("HALF", 1000), ("THIRD", 1340), ("FIVE", 1500)])
def test_promo_code_percentage_or_amount_off(code: str, cents: int) -> None:
    story, decision = chosen_with(code)
    assert answer(decision) == "applied/charge-requested"
    assert (story.charge("f-1").amount_cents, story.charge("f-1").promo_code) == (cents, code)


def test_the_discount_of_a_percentage_is_rounded_down() -> None:
    story = basic_member(with_promo_codes(plus_price_cents=1999))
    story.chose("plus", "f-1", promo="HALF", at=on(4, 10))
    assert story.charge("f-1").amount_cents == 1999 - 999


def test_for_n_charges() -> None:
    story = plus_member(with_promo_codes())
    accepted = story.entered("HALF", "f-1", at=on(4, 20))
    assert (answer(accepted), accepted.rule, accepted.membership) == (
        "applied/promo-accepted",
        "membership.promo",
        None,
    )
    assert [renewed(story, month) for month in (5, 6, 7)] == [1000, 1000, 2000]


@pytest.mark.parametrize(
    ("at", "reason"),
    [
        (datetime(2025, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), "declined/promo-code-expired"),
        (datetime(2026, 1, 1, tzinfo=UTC), "applied/promo-accepted"),
        (datetime(2026, 6, 30, 23, 59, 59, 999_999, tzinfo=UTC), "applied/promo-accepted"),
        (datetime(2026, 7, 1, tzinfo=UTC), "declined/promo-code-expired"),
    ],
)
def test_validity_window(at: datetime, reason: str) -> None:
    story = Story(with_promo_codes(), start=at)
    assert answer(story.entered("FIVE", "f-1", at=at)) == reason


def test_once_per_freelancer() -> None:
    story = plus_member(with_promo_codes())
    story.entered("FIVE", "f-1", at=on(4, 20))
    again = story.entered("FIVE", "f-1", at=on(4, 21))
    assert (answer(again), again.rule) == ("declined/promo-code-already-used", "membership.promo")
    assert answer(story.entered("FIVE", "f-2", at=on(4, 21))) == "applied/promo-accepted"
    assert [renewed(story, month) for month in (5, 6)] == [1500, 2000]
    assert answer(story.entered("FIVE", "f-1", at=on(6, 21))) == "declined/promo-code-already-used"


def test_in_the_choice_itself_it_applies_to_that_charge() -> None:
    story, _ = chosen_with("HALF")
    assert story.charge("f-1").amount_cents == 1000
    story.paid(story.charge("f-1").charge_id, "f-1", at=on(4, 10, 13))
    assert [renewed(story, month) for month in (5, 6)] == [1000, 2000]


def test_entered_by_a_member_to_the_next_charge_requested_after_it_was_decided() -> None:
    story = plus_member(with_promo_codes())
    assert story.charge("f-1").amount_cents == 2000
    story.entered("FIVE", "f-1", at=on(4, 20))
    assert [renewed(story, month) for month in (5, 6)] == [1500, 2000]


def test_a_code_read_after_a_charge_was_requested_does_not_change_it() -> None:
    story = plus_member(with_promo_codes())
    cycle_starts(story, 5, 10)
    assert answer(story.entered("FIVE", "f-1", at=on(5, 9))) == "applied/promo-accepted"
    assert story.charge("f-1").amount_cents == 2000
    story.paid(story.charge("f-1").charge_id, "f-1", at=on(5, 11))
    assert renewed(story, 6) == 1500


def test_a_code_entered_before_the_membership_began_counts_for_its_first_charge() -> None:
    story = Story(with_promo_codes(), start=on(3, 31))
    assert answer(story.entered("FIVE", "f-1", at=on(3, 31, 13))) == "applied/promo-accepted"
    story.chose("plus", "f-1", at=on(4, 1))
    assert (story.charge("f-1").amount_cents, story.charge("f-1").choice_promo) == (1500, False)


@pytest.mark.parametrize(
    ("code", "at", "reason"),
    [
        ("NOPE", on(4, 10), "promo-code-unknown"),
        ("FIVE", on(7, 10), "promo-code-expired"),
        ("THIRD", on(7, 10), "promo-code-already-used"),
    ],
)
def test_else_declined_promo_code_unknown_promo_code_expired_promo_code_already_used(
    code: str, at: datetime, reason: str
) -> None:
    story = basic_member(with_promo_codes())
    story.entered("THIRD", "f-1", at=on(4, 2))
    before = plan(story)
    entered = story.entered(code, "f-1", at=at)
    assert (answer(entered), entered.rule) == (f"declined/{reason}", "membership.promo")
    chosen = story.chose("plus", "f-1", promo=code, at=at)
    assert (answer(chosen), chosen.rule, chosen.charge) == (f"declined/{reason}", "membership.upgrade", None)
    assert (story.membership("f-1").upgrade, story.state.charges, plan(story)[0]) == (None, {}, before[0])


def test_a_code_used_before_says_so_even_when_its_time_is_over() -> None:
    story = basic_member(with_promo_codes())
    story.entered("FIVE", "f-1", at=on(4, 2))
    assert answer(story.entered("FIVE", "f-1", at=on(8, 2))) == "declined/promo-code-already-used"


def test_a_code_that_cannot_be_used_does_not_cancel_a_downgrade() -> None:
    story = plus_member(with_promo_codes())
    story.chose("basic", "f-1", at=on(4, 20))
    assert answer(story.chose("plus", "f-1", promo="NOPE", at=on(4, 21))) == "declined/promo-code-unknown"
    assert answers(cycle_starts(story, 5, 10))[0] == "applied/downgraded"


def test_where_the_choice_requests_no_charge_a_good_code_counts_for_the_next_one_as_if_entered() -> None:
    story = plus_member(with_promo_codes())
    story.chose("basic", "f-1", at=on(4, 20))
    assert answer(story.chose("plus", "f-1", promo="FIVE", at=on(4, 21))) == "applied/downgrade-cancelled"
    cycle_starts(story, 5, 10)
    assert (story.charge("f-1").amount_cents, story.charge("f-1").choice_promo) == (1500, False)


def test_a_choice_that_is_declined_anyway_does_not_use_its_code() -> None:
    story = plus_member(with_promo_codes())
    assert answer(story.chose("plus", "f-1", promo="FIVE", at=on(4, 20))) == "declined/already-on-plan"
    assert answer(story.entered("FIVE", "f-1", at=on(4, 21))) == "applied/promo-accepted"


def test_with_a_choice_of_basic_a_code_is_ignored() -> None:
    story = plus_member(with_promo_codes())
    assert answer(story.chose("basic", "f-1", promo="NOPE", at=on(4, 20))) == "applied/downgrade-scheduled"
    assert story.membership("f-1").promos == []


def test_a_requested_charge_uses_the_code_accepted_last_that_has_charges_left() -> None:
    story = plus_member(with_promo_codes())
    story.entered("HALF", "f-1", at=on(4, 20))
    story.entered("FIVE", "f-1", at=on(4, 21))
    assert [renewed(story, month) for month in (5, 6, 7, 8)] == [1500, 1000, 1000, 2000]


def test_terms_are_fixed_when_a_code_is_accepted() -> None:
    later = later_version("2026-05-01") + PROMO_CODES.replace(
        "percent_off = 50, charges = 2", "percent_off = 90, charges = 1"
    )
    story = plus_member(policies(policy_text() + PROMO_CODES + later))
    story.entered("HALF", "f-1", at=on(4, 20))
    assert [renewed(story, month) for month in (5, 6)] == [1000, 1000]


def test_a_code_is_known_by_the_policy_in_force_when_it_is_entered() -> None:
    story = plus_member(policies(policy_text() + later_version("2026-05-01") + PROMO_CODES))
    assert answer(story.entered("FIVE", "f-1", at=on(4, 20))) == "declined/promo-code-unknown"
    assert answer(story.entered("FIVE", "f-1", at=on(5, 2))) == "applied/promo-accepted"


def test_a_second_attempt_asks_the_same_and_uses_no_more_of_a_promotion() -> None:
    story = plus_member(with_promo_codes())
    story.has_earned("f-1", 1000, at=on(4, 20))
    story.entered("HALF", "f-1", at=on(4, 21))
    cycle_starts(story, 5, 10)
    first = story.charge("f-1")
    assert (first.source, first.amount_cents) == ("earnings-balance", 1000)
    story.unpaid(first.charge_id, "f-1", at=on(5, 11))
    second = story.charge("f-1")
    assert (second.amount_cents, second.promo_code, second.attempt) == (1000, "HALF", 2)
    story.paid(second.charge_id, "f-1", at=on(5, 12))
    assert [renewed(story, month) for month in (6, 7)] == [1000, 2000]


def test_a_charge_that_finally_fails_returns_its_use() -> None:
    story = plus_member(with_promo_codes())
    story.entered("FIVE", "f-1", at=on(4, 21))
    cycle_starts(story, 5, 10)
    story.unpaid(story.charge("f-1").charge_id, "f-1", at=on(5, 11))
    assert answer(story.entered("FIVE", "f-1", at=on(5, 12))) == "declined/promo-code-already-used"
    story.chose("plus", "f-1", at=on(5, 13))
    assert story.charge("f-1").amount_cents == 1500


def test_a_charge_that_lapses_does_not_return_its_use() -> None:
    story = plus_member(with_promo_codes())
    story.entered("FIVE", "f-1", at=on(4, 21))
    cycle_starts(story, 6, 10)
    story.chose("plus", "f-1", at=on(6, 13))
    assert story.charge("f-1").amount_cents == 2000


@pytest.mark.parametrize("earned", [0, 2000])
def test_a_code_that_came_with_the_choice_is_unused_again_if_the_upgrade_fails(earned: int) -> None:
    story = basic_member(with_promo_codes())
    story.has_earned("f-1", earned, at=on(4, 9))
    story.chose("plus", "f-1", promo="HALF", at=on(4, 10))
    story.unpaid(story.charge("f-1").charge_id, "f-1", at=on(4, 11))
    if earned:
        assert answer(story.decisions[-1]) == "applied/charge-retried"
        story.unpaid(story.charge("f-1").charge_id, "f-1", at=on(4, 12))
    assert answer(story.decisions[-1]) == "applied/charge-failed"
    story.chose("plus", "f-1", at=on(4, 13))
    assert story.charge("f-1").amount_cents == 2000
    assert answer(story.entered("HALF", "f-1", at=on(4, 14))) == "applied/promo-accepted"


def test_a_code_entered_before_an_upgrade_that_fails_counts_for_the_next_charge() -> None:
    story = basic_member(with_promo_codes())
    story.entered("FIVE", "f-1", at=on(4, 2))
    story.chose("plus", "f-1", at=on(4, 10))
    story.unpaid(story.charge("f-1").charge_id, "f-1", at=on(4, 11))
    story.chose("plus", "f-1", at=on(4, 13))
    assert story.charge("f-1").amount_cents == 1500


def test_the_earnings_balance_need_only_cover_what_is_asked() -> None:
    story = basic_member(with_promo_codes())
    story.has_earned("f-1", 1000, at=on(4, 2))
    story.chose("plus", "f-1", promo="HALF", at=on(4, 10))
    assert story.charge("f-1").source == "earnings-balance"
