from datetime import date
from typing import Any

import pytest

from tests.model.ledger import check, ledger_of
from tests.model.memberships import next_cycle_start
from tests.model.story import (
    DAY,
    GRACE,
    POLICY,
    Decided,
    answered,
    bought,
    chose,
    earned,
    earning,
    entered,
    instant,
    policy_with,
    proposed,
    registered,
    reinstated,
    seconds_to,
    suspended,
)

FEBRUARY, MARCH, APRIL, MAY = (seconds_to(2026, month, 5) for month in (2, 3, 4, 5))
"""The cycle starts of somebody who registered at the beginning of the story, on 5 January."""
CODES = {
    "HALF": {"percent_off": 50, "charges": 2, "valid_from": "2026-01-01", "valid_until": "2026-07-01"},
    "FIVEOFF": {"cents_off": 500, "charges": 1, "valid_from": "2026-01-01", "valid_until": "2026-07-01"},
    "HUGE": {"cents_off": 99_999, "charges": 1, "valid_from": "2026-01-01", "valid_until": "2026-07-01"},
    "GONE": {"cents_off": 500, "charges": 1, "valid_from": "2025-01-01", "valid_until": "2026-01-05"},
}
WITH_CODES = policy_with(promo_codes=CODES)


def on_plus(*more: Any, source: float = 0, **how: Any) -> Decided:  # noqa: ANN401
    """Registered on 5 January, on Plus since the 10th: its cycle starts on the 10th."""
    begins = [registered(0), earning(1, int(source))] if source else [registered(0)]
    upgrade = [chose(5 * DAY, "plus", event_id="up"), answered(5 * DAY + 60, "f-1:up:1", event_id="up-paid")]
    return Decided(*begins, *upgrade, *more, **how)


def charged(decided: Decided) -> dict[str, str]:
    return {charge.charge_id: charge.status for charge in decided.driver.model.charges.values()}


def clock(decided: Decided) -> list[str]:
    return [f"{row['event_id']} {row['outcome']}/{row['reason']}" for row in decided.of("clock")]


# Beginning.


def test_registering_begins_a_basic_membership_whose_start_grants_nothing_more() -> None:
    decided = Decided(registered(0))
    assert decided.plan() == ("basic", "2026-01-05", "2026-02-05")
    assert decided.deltas == [40]
    assert decided.rows[0]["membership"] == {
        "version": 1,
        "plan": "basic",
        "cycle_start": date(2026, 1, 5),
        "next_renewal_on": date(2026, 2, 5),
        "scheduled_plan": None,
        "suspended": False,
        "reason": "registered",
    }


def test_the_first_choice_begins_a_membership_too() -> None:
    decided = Decided(chose(0, "basic", event_id="c"), registered(DAY), chose(2 * DAY, "basic", event_id="d"))
    assert decided.answer("c") == "applied/membership-began"
    assert decided.answer("d") == "declined/already-on-plan"
    assert decided.plan() == ("basic", "2026-01-05", "2026-02-05")


def test_a_choice_that_is_declined_begins_it_all_the_same() -> None:
    decided = Decided(suspended(0), chose(DAY, "plus", event_id="c"))
    assert decided.answer("c") == "declined/account-suspended"
    assert decided.plan() == ("basic", "2026-01-06", "2026-02-06")
    assert decided.named("c")["membership"]["suspended"]


def test_what_was_sent_before_it_began_is_kept() -> None:
    decided = Decided(earning(0, 2_000), entered(1, "HALF"), chose(2, "plus", event_id="c"), policy=WITH_CODES)
    assert decided.charges == [("f-1:c:1", 1_000, "earnings-balance")]


# Cycle days.


@pytest.mark.parametrize(
    ("day", "following", "after"),
    [
        (date(2026, 1, 1), date(2026, 2, 1), date(2026, 2, 1)),
        (date(2026, 1, 28), date(2026, 2, 28), date(2026, 2, 28)),
        (date(2026, 1, 29), date(2026, 2, 1), date(2026, 3, 1)),
        (date(2026, 1, 31), date(2026, 2, 1), date(2026, 3, 1)),
        (date(2026, 4, 30), date(2026, 5, 1), date(2026, 6, 1)),
        (date(2026, 12, 28), date(2027, 1, 28), date(2027, 1, 28)),
        (date(2026, 12, 31), date(2027, 1, 1), date(2027, 2, 1)),
        (date(2026, 11, 30), date(2026, 12, 1), date(2027, 1, 1)),
    ],
)
def test_nobody_is_billed_after_the_28th(day: date, following: date, after: date) -> None:
    assert next_cycle_start(day, "following-month") == following
    assert next_cycle_start(day, "after-anniversary") == after


def test_a_cycle_of_the_30th_of_april_is_renewed_on_the_1st_of_may_and_stays_on_the_1st() -> None:
    decided = Decided(registered(seconds_to(2026, 4, 30)), until=seconds_to(2026, 6, 2))
    assert [row["event_id"] for row in decided.of("clock")] == ["cycle:f-1:2026-05-01", "cycle:f-1:2026-06-01"]


# Basic.


def test_basic_gets_ten_connects_at_each_cycle_start_one_grace_later() -> None:
    decided = Decided(registered(0), until=MARCH + GRACE)
    assert clock(decided) == [
        "cycle:f-1:2026-02-05 applied/cycle-started",
        "cycle:f-1:2026-03-05 applied/cycle-started",
    ]
    row = decided.of("clock")[0]
    assert (row["business_time"], row["occurred_at"]) == (instant(FEBRUARY + GRACE), instant(FEBRUARY))
    assert (row["rule"], row["changes"][0]["occurred_at"]) == ("grant.monthly", instant(FEBRUARY))
    assert decided.deltas == [40, 10, 10]
    assert Decided(registered(0), until=FEBRUARY + GRACE - 1).deltas == [40]


def test_after_downtime_every_missed_cycle_is_granted_once_dated_at_its_start() -> None:
    decided = Decided(registered(MAY - DAY, "f-2"), registered(0), until=MAY)
    assert [change["occurred_at"] for change in decided.changes[2:]] == [instant(at) for at in (FEBRUARY, MARCH, APRIL)]


def test_a_suspended_account_gets_no_monthly_connects_and_not_later_either() -> None:
    decided = Decided(registered(0), suspended(FEBRUARY - 1), reinstated(FEBRUARY + DAY), until=MARCH + GRACE)
    assert clock(decided) == [
        "cycle:f-1:2026-02-05 withheld/account-suspended",
        "cycle:f-1:2026-03-05 applied/cycle-started",
    ]
    assert decided.deltas == [40, 10]


def test_a_suspended_billing_method_withholds_nothing() -> None:
    decided = Decided(registered(0), suspended(1, "billing-method"), until=FEBRUARY + GRACE)
    assert decided.deltas == [40, 10]


def test_one_time_grants_and_spends_go_on_while_suspended() -> None:
    decided = Decided(registered(0), suspended(1), earned(2), proposed(3, "p-1", 5))
    assert decided.deltas == [40, 30, -5]


def test_cycle_starts_of_one_instant_come_by_freelancer_after_settlements_and_expiries() -> None:
    lot_ends = FEBRUARY - 365 * DAY
    decided = Decided(
        bought(lot_ends, "b-1", 5, "f-9"), registered(0, "f-2"), registered(1, "f-10"), until=FEBRUARY + GRACE
    )
    assert [row["event_id"] for row in decided.of("clock")] == [
        "expiry:f-9:1",
        "cycle:f-10:2026-02-05",
        "cycle:f-2:2026-02-05",
    ]


# Upgrades.


def test_an_upgrade_asks_for_a_charge_and_stays_on_basic_until_it_is_paid() -> None:
    decided = Decided(registered(0), chose(5 * DAY, "plus", event_id="up"))
    assert decided.answer("up") == "applied/charge-requested"
    assert decided.charges == [("f-1:up:1", 2_000, "payment-method")]
    assert decided.named("up")["charge"]["cycle_start"] == date(2026, 1, 10)
    assert decided.plan()[0] == "basic"


def test_an_upgrade_that_is_paid_restarts_the_cycle_on_the_day_of_the_choice_prorated() -> None:
    decided = on_plus()
    assert decided.answer("up-paid") == "applied/upgraded"
    (grant,) = decided.named("up-paid")["changes"]
    assert (grant["rule"], grant["reason"], grant["delta"]) == ("grant.upgrade", "upgraded", 70 + 10 * 5 // 31)
    assert grant["occurred_at"] == instant(5 * DAY + 60)
    assert decided.plan() == ("plus", "2026-01-10", "2026-02-10")


@pytest.mark.parametrize(("day", "connects"), [(0, 70), (3, 70), (4, 71), (10, 73), (30, 79)])
def test_the_free_part_is_prorated_by_whole_days_into_the_basic_cycle(day: int, connects: int) -> None:
    decided = Decided(
        registered(0), chose(day * DAY + 86_399, "plus", event_id="up"), answered(day * DAY + 86_399.5, "f-1:up:1")
    )
    assert decided.deltas == [40, connects]


def test_an_upgrade_paid_after_a_basic_cycle_start_counts_from_the_day_of_the_payment() -> None:
    decided = Decided(
        registered(0), chose(5 * DAY, "plus", event_id="up"), answered(FEBRUARY + 7 * DAY, "f-1:up:1"), until=MARCH
    )
    assert decided.deltas == [40, 10, 70 + 10 * 7 // 28]
    assert decided.plan() == ("plus", "2026-02-12", "2026-03-12")


def test_a_payment_of_before_the_cycle_start_that_is_read_after_it_counts_from_that_cycles_first_day() -> None:
    decided = Decided(
        registered(0),
        chose(5 * DAY, "plus", event_id="up"),
        bought(FEBRUARY + DAY, "b-1", 5),
        answered(FEBRUARY + DAY, "x"),
        answered(FEBRUARY - DAY, "f-1:up:1"),
    )
    assert decided.deltas == [40, 10, 5, 70]
    assert decided.plan() == ("plus", "2026-02-05", "2026-03-05")


def test_an_upgrade_that_fails_changes_nothing() -> None:
    decided = Decided(
        registered(0), chose(5 * DAY, "plus", event_id="up"), answered(6 * DAY, "f-1:up:1", "failed", event_id="a")
    )
    assert decided.answer("a") == "applied/charge-failed"
    assert decided.plan() == ("basic", "2026-01-05", "2026-02-05")
    assert decided.deltas == [40]
    assert decided.named("a")["membership"] is None


def test_choosing_plus_twice_is_paid_once() -> None:
    decided = Decided(registered(0), chose(1, "plus", event_id="up"), chose(2, "plus", event_id="again"))
    assert decided.answer("again") == "declined/already-on-plan"
    assert on_plus(chose(9 * DAY, "plus", event_id="again")).answer("again") == "declined/already-on-plan"


def test_plus_is_not_to_be_had_while_suspended_whatever_the_scope() -> None:
    decided = Decided(
        registered(0),
        suspended(1, "billing-method"),
        chose(2, "plus", event_id="c"),
        reinstated(3, "billing-method"),
        chose(4, "plus", event_id="d"),
    )
    assert (decided.answer("c"), decided.answer("d")) == ("declined/account-suspended", "applied/charge-requested")


# Renewals.


RENEWAL = seconds_to(2026, 2, 10)


def test_a_renewal_asks_for_a_charge_and_grants_eighty_when_it_is_paid_dated_at_the_cycle_start() -> None:
    decided = on_plus(answered(RENEWAL + DAY, "f-1:2026-02-10:1", event_id="a"))
    assert clock(decided) == ["renewal:f-1:2026-02-10 applied/charge-requested"]
    assert decided.answer("a") == "applied/renewed"
    (grant,) = decided.named("a")["changes"]
    assert (grant["rule"], grant["reason"], grant["delta"]) == ("grant.monthly", "cycle-started", 80)
    assert grant["occurred_at"] == instant(RENEWAL)
    assert decided.plan() == ("plus", "2026-02-10", "2026-03-10")


def test_an_answer_within_the_grace_waits_for_the_cycle_start_and_then_counts() -> None:
    decided = on_plus(answered(RENEWAL + 5, "f-1:2026-02-10:1", event_id="a"), until=RENEWAL + GRACE)
    assert decided.answers("membership-charge-settled")[-1] == "recorded/awaits-cycle-start"
    assert decided.answers("membership-charge-settled", "follow-up") == ["applied/renewed"]
    assert decided.rows[-1]["business_time"] == instant(RENEWAL + GRACE)


def test_a_renewal_that_fails_leads_to_basic_immediately_with_its_ten_connects() -> None:
    decided = on_plus(answered(RENEWAL + DAY, "f-1:2026-02-10:1", "failed", event_id="a"))
    assert decided.answer("a") == "applied/charge-failed"
    (grant,) = decided.named("a")["changes"]
    assert (grant["rule"], grant["delta"], grant["occurred_at"]) == ("grant.monthly", 10, instant(RENEWAL))
    assert decided.plan() == ("basic", "2026-02-10", "2026-03-10")
    assert decided.named("a")["membership"]["plan"] == "basic"


def test_re_enrolling_works_at_any_time() -> None:
    decided = on_plus(
        answered(RENEWAL + DAY, "f-1:2026-02-10:1", "failed"),
        chose(RENEWAL + 2 * DAY, "plus", event_id="again"),
        answered(RENEWAL + 3 * DAY, "f-1:again:1"),
    )
    assert decided.plan() == ("plus", "2026-02-12", "2026-03-12")


def test_a_charge_of_the_earnings_balance_that_fails_is_asked_once_of_the_payment_method() -> None:
    decided = on_plus(
        answered(RENEWAL + DAY, "f-1:2026-02-10:1", "failed", event_id="a"),
        answered(RENEWAL + 2 * DAY, "f-1:2026-02-10:2", "failed", event_id="b"),
        source=2_000,
    )
    assert decided.charges[1:] == [
        ("f-1:2026-02-10:1", 2_000, "earnings-balance"),
        ("f-1:2026-02-10:2", 2_000, "payment-method"),
    ]
    assert (decided.answer("a"), decided.answer("b")) == ("applied/charge-retried", "applied/charge-failed")
    assert decided.plan()[0] == "basic"


def test_the_balance_pays_if_it_is_sufficient_and_the_one_last_reported_counts() -> None:
    decided = Decided(earning(10, 2_000), earning(5, 0), chose(20, "plus", event_id="c"))
    assert decided.charges == [("f-1:c:1", 2_000, "earnings-balance")]
    assert Decided(earning(10, 1_999), chose(20, "plus", event_id="c")).charges[0][2] == "payment-method"


def test_an_answer_to_a_charge_already_answered_changes_nothing() -> None:
    decided = on_plus(answered(9 * DAY, "f-1:up:1", "failed", event_id="a"))
    assert decided.answer("a") == "declined/charge-already-settled"
    assert decided.plan()[0] == "plus"


def test_a_renewal_unanswered_at_the_next_cycle_start_counts_as_failed_with_the_grants_of_basic() -> None:
    decided = on_plus(until=seconds_to(2026, 3, 10) + GRACE)
    assert clock(decided) == [
        "renewal:f-1:2026-02-10 applied/charge-requested",
        "renewal:f-1:2026-03-10 applied/charge-failed",
        "cycle:f-1:2026-02-10 applied/cycle-started",
        "cycle:f-1:2026-03-10 applied/cycle-started",
    ]
    assert decided.deltas[2:] == [10, 10]
    assert decided.changes[2]["occurred_at"] == instant(RENEWAL)
    assert decided.plan() == ("basic", "2026-03-10", "2026-04-10")
    assert charged(decided)["f-1:2026-02-10:1"] == "lapsed"


def test_a_lapsed_renewal_that_is_paid_after_all_grants_its_connects_at_the_payment_and_no_plan() -> None:
    paid = seconds_to(2026, 3, 12)
    decided = on_plus(
        answered(paid - DAY, "f-1:2026-02-10:1", "failed", event_id="a"),
        answered(paid, "f-1:2026-02-10:1", event_id="b"),
        answered(paid + 1, "f-1:2026-02-10:1", event_id="c"),
    )
    assert decided.answer("a") == "declined/charge-already-settled"
    assert decided.answer("b") == "applied/paid-after-lapse"
    assert decided.answer("c") == "declined/charge-already-settled"
    (grant,) = decided.named("b")["changes"]
    assert (grant["delta"], grant["reason"], grant["occurred_at"]) == (80, "paid-after-lapse", instant(paid))
    assert decided.plan()[0] == "basic"


def test_an_answer_read_before_its_charge_is_asked_counts_when_it_is() -> None:
    decided = on_plus(answered(9 * DAY, "f-1:2026-02-10:1", event_id="a"), until=RENEWAL + GRACE)
    assert decided.answers("membership-charge-settled")[-1] == "recorded/unknown-charge"
    assert decided.answers("membership-charge-settled", "follow-up") == ["applied/renewed"]


def test_an_answer_about_somebody_elses_charge_counts_for_nobody() -> None:
    decided = Decided(chose(0, "plus", event_id="up"), answered(1, "f-1:up:1", who="f-2"))
    assert decided.answers("membership-charge-settled") == ["recorded/unknown-charge"]
    assert charged(decided) == {"f-1:up:1": "asked"}


# Downgrades.


def test_a_downgrade_takes_effect_at_the_next_cycle_start_with_ten_not_eighty() -> None:
    decided = on_plus(chose(9 * DAY, "basic", event_id="d"), until=RENEWAL + GRACE)
    assert decided.answer("d") == "applied/downgrade-scheduled"
    assert decided.named("d")["membership"]["scheduled_plan"] == "basic"
    assert clock(decided) == ["renewal:f-1:2026-02-10 applied/downgraded", "cycle:f-1:2026-02-10 applied/cycle-started"]
    assert decided.deltas[2:] == [10]
    assert decided.plan()[0] == "basic"


def test_a_downgrade_on_the_renewal_day_is_too_late_and_takes_effect_one_cycle_on() -> None:
    decided = on_plus(
        chose(RENEWAL, "basic", event_id="d"),
        answered(RENEWAL + DAY, "f-1:2026-02-10:1"),
        until=seconds_to(2026, 3, 10) + GRACE,
    )
    assert decided.answers("membership-plan-chosen", "follow-up") == ["applied/downgrade-scheduled"]
    assert clock(decided)[0] == "renewal:f-1:2026-02-10 applied/charge-requested"
    assert clock(decided)[1] == "renewal:f-1:2026-03-10 applied/downgraded"


def test_re_upgrading_only_cancels_the_downgrade_and_moves_no_date() -> None:
    decided = on_plus(chose(9 * DAY, "basic"), chose(12 * DAY, "plus", event_id="u"), until=RENEWAL + GRACE)
    assert decided.answer("u") == "applied/downgrade-cancelled"
    assert clock(decided) == ["renewal:f-1:2026-02-10 applied/charge-requested"]
    assert decided.plan()[1] == "2026-02-10"


def test_a_downgrade_and_an_upgrade_in_the_following_cycle_move_the_date() -> None:
    again = RENEWAL + 4 * DAY
    decided = on_plus(chose(9 * DAY, "basic"), chose(again, "plus", event_id="u"), answered(again + 9, "f-1:u:1"))
    assert decided.plan() == ("plus", "2026-02-14", "2026-03-14")


def test_a_downgrade_chosen_twice_or_on_basic_is_declined() -> None:
    assert on_plus(chose(9 * DAY, "basic"), chose(10 * DAY, "basic", event_id="d")).answer("d") == (
        "declined/already-on-plan"
    )
    assert Decided(registered(0), chose(1, "basic", event_id="d")).answer("d") == "declined/already-on-plan"


def test_a_downgrade_while_the_upgrade_is_unanswered_ends_plus_at_its_first_cycle_start() -> None:
    decided = Decided(
        registered(0),
        chose(DAY, "plus", event_id="up"),
        chose(2 * DAY, "basic", event_id="d"),
        answered(3 * DAY, "f-1:up:1", event_id="paid"),
        until=seconds_to(2026, 2, 6) + GRACE,
    )
    assert decided.answer("d") == "applied/downgrade-scheduled"
    assert decided.named("paid")["membership"]["scheduled_plan"] == "basic"
    assert clock(decided)[0] == "renewal:f-1:2026-02-06 applied/downgraded"


def test_a_downgrade_lapses_with_the_upgrade_that_fails() -> None:
    decided = Decided(
        registered(0),
        chose(DAY, "plus", event_id="up"),
        chose(2 * DAY, "basic"),
        answered(3 * DAY, "f-1:up:1", "failed"),
        chose(4 * DAY, "plus", event_id="again"),
    )
    assert decided.answer("again") == "applied/charge-requested"


# Suspensions.


def test_a_suspension_downgrades_at_the_end_of_the_cycle_and_nothing_is_charged() -> None:
    decided = on_plus(suspended(9 * DAY, "billing-method"), until=RENEWAL + GRACE)
    assert clock(decided) == ["renewal:f-1:2026-02-10 applied/downgraded", "cycle:f-1:2026-02-10 applied/cycle-started"]
    assert len(decided.charges) == 1


def test_lifting_the_last_suspension_before_the_cycle_ends_keeps_plus() -> None:
    both = [suspended(9 * DAY), suspended(10 * DAY, "billing-method"), reinstated(11 * DAY)]
    assert clock(on_plus(*both, until=RENEWAL + GRACE))[0].endswith("applied/downgraded")
    lifted = reinstated(RENEWAL - 1, "billing-method")
    assert clock(on_plus(*both, lifted, until=RENEWAL + GRACE)) == ["renewal:f-1:2026-02-10 applied/charge-requested"]


def test_a_suspension_is_reported_and_a_second_one_of_another_scope_changes_nothing_for_others() -> None:
    decided = Decided(registered(0), suspended(1), suspended(2, "billing-method"), suspended(3), reinstated(4))
    rows = decided.rows[1:]
    assert [row["outcome"] for row in rows] == ["applied", "applied", "recorded", "applied"]
    assert [row["membership"] is not None for row in rows] == [True, False, False, False]


def test_of_suspensions_the_latest_counts_not_the_one_read_last() -> None:
    decided = Decided(registered(0), reinstated(100), suspended(50), chose(200, "plus", event_id="c"))
    assert decided.answer("c") == "applied/charge-requested"


# Promo codes.


def test_a_code_of_the_choice_counts_for_that_charge_and_those_it_has_left() -> None:
    code = chose(5 * DAY, "plus", event_id="up", promo_code="HALF")
    paid = [answered(6 * DAY, "f-1:up:1"), answered(RENEWAL + DAY, "f-1:2026-02-10:1")]
    decided = Decided(registered(0), code, *paid, until=seconds_to(2026, 3, 10) + GRACE, policy=WITH_CODES)
    assert [amount for _, amount, _ in decided.charges] == [1_000, 1_000, 2_000]


def test_a_code_entered_by_a_member_counts_for_the_next_charge() -> None:
    decided = on_plus(entered(9 * DAY, "FIVEOFF"), until=RENEWAL + GRACE, policy=WITH_CODES)
    assert decided.charges[1] == ("f-1:2026-02-10:1", 1_500, "payment-method")
    assert decided.of("clock")[0]["charge"]["promo_code"] == "FIVEOFF"


def test_a_code_is_refused_that_is_unknown_used_or_out_of_its_time() -> None:
    decided = Decided(entered(0, "NONE"), entered(1, "GONE"), entered(2, "HALF"), entered(3, "HALF"), policy=WITH_CODES)
    assert decided.answers("promo-code-entered") == [
        "declined/promo-code-unknown",
        "declined/promo-code-expired",
        "applied/promo-accepted",
        "declined/promo-code-already-used",
    ]


def test_a_choice_with_a_code_that_cannot_be_used_does_nothing() -> None:
    decided = Decided(registered(0), chose(1, "plus", event_id="up", promo_code="GONE"), policy=WITH_CODES)
    assert decided.answer("up") == "declined/promo-code-expired"
    assert decided.charges == []


def test_what_costs_nothing_is_never_less_and_is_not_asked() -> None:
    decided = Decided(earning(0, 0), chose(1, "plus", event_id="up", promo_code="HUGE"), policy=WITH_CODES)
    assert (decided.charges, decided.answer("up")) == ([], "applied/upgraded")
    (charge,) = decided.driver.model.charges.values()
    assert (charge.amount_cents, charge.status) == (0, "paid")


def test_a_renewal_that_costs_nothing_is_paid_as_it_starts() -> None:
    decided = on_plus(entered(9 * DAY, "HUGE"), until=RENEWAL + GRACE, policy=WITH_CODES)
    assert clock(decided) == ["cycle:f-1:2026-02-10 applied/renewed"]
    assert [change["rule"] for change in decided.changes][-1] == "grant.monthly"


def test_a_charge_that_fails_returns_its_code() -> None:
    decided = Decided(
        registered(0),
        chose(DAY, "plus", event_id="up", promo_code="FIVEOFF"),
        answered(2 * DAY, "f-1:up:1", "failed"),
        chose(3 * DAY, "plus", event_id="again", promo_code="FIVEOFF"),
        policy=WITH_CODES,
    )
    assert [amount for _, amount, _ in decided.charges] == [1_500, 1_500]
    entered_before = Decided(
        registered(0),
        entered(1, "FIVEOFF"),
        chose(DAY, "plus", event_id="up"),
        answered(2 * DAY, "f-1:up:1", "failed"),
        chose(3 * DAY, "plus", event_id="again"),
        policy=WITH_CODES,
    )
    assert [amount for _, amount, _ in entered_before.charges] == [1_500, 1_500]


def test_the_code_accepted_last_goes_first() -> None:
    decided = Decided(entered(0, "HALF"), entered(1, "FIVEOFF"), chose(2, "plus", event_id="up"), policy=WITH_CODES)
    assert decided.charges == [("f-1:up:1", 1_500, "payment-method")]


# What is held.


def test_what_was_held_counts_in_order_of_time_once_the_cycle_moves_whatever_moves_it() -> None:
    decided = Decided(
        registered(0),
        chose(20 * DAY, "plus", event_id="up"),
        bought(FEBRUARY + 1, "b-1", 5),
        chose(FEBRUARY + 2, "basic", event_id="d"),
        suspended(FEBRUARY + 1),
        answered(FEBRUARY + 3, "f-1:not-known:1"),
        answered(FEBRUARY - 10, "f-1:up:1"),
        until=FEBRUARY + 10,
    )
    assert decided.plan() == ("plus", "2026-01-25", "2026-02-25")
    assert [(row["topic"], row["reason"]) for row in decided.of("follow-up")] == [
        ("account-suspended", "suspended"),
        ("membership-plan-chosen", "downgrade-scheduled"),
    ]


def test_a_membership_ledger_as_it_should_be_has_no_differences() -> None:
    report = check(ledger_of(a_renewal().driver), POLICY)
    assert report.ok, str(report)


def a_renewal() -> Decided:
    return on_plus(answered(RENEWAL + 5, "f-1:2026-02-10:1"), bought(RENEWAL + DAY, "b-1", 5))


def test_a_follow_up_of_what_was_held_that_is_missing_is_found() -> None:
    ledger = ledger_of(a_renewal().driver)
    ledger.decisions = [row for row in ledger.decisions if row["kind"] != "follow-up"]
    assert "should have been followed up right here" in str(check(ledger, POLICY))


def test_a_cycle_start_that_is_missing_is_found() -> None:
    ledger = ledger_of(a_renewal().driver)
    ledger.decisions = ledger.decisions[:3]
    assert "missing: the cycle start of f-1 on 2026-02-10" in str(check(ledger, POLICY))


def test_a_decision_of_a_cycle_start_that_is_missing_is_found() -> None:
    ledger = ledger_of(on_plus(until=seconds_to(2026, 3, 10) + GRACE).driver)
    ledger.decisions = [row for row in ledger.decisions if row["event_id"] != "cycle:f-1:2026-02-10"]
    assert "cycle:f-1:2026-02-10 should have been decided right here" in str(check(ledger, POLICY))


def test_a_charge_and_a_membership_that_should_have_been_others_are_found() -> None:
    ledger = ledger_of(a_renewal().driver)
    ledger.decisions[1]["charge"]["amount_cents"] = 1
    ledger.decisions[2]["membership"]["plan"] = "basic"
    assert ledger.memberships
    ledger.memberships[0]["plan"] = "basic"
    words = str(check(ledger, POLICY))
    assert "charge's amount_cents should be 2000, is 1" in words
    assert "membership's plan should be plus, is basic" in words
    assert "membership of f-1: plan should be plus, is basic" in words
