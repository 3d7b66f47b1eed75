import pytest

from tests.model.story import (
    DAY,
    GRACE,
    Decided,
    bought,
    closed,
    hired,
    instant,
    outbid,
    policy_with,
    proposed,
    registered,
    withdrawn,
)


def test_a_job_closed_without_a_hire_returns_base_and_boost_as_one_change() -> None:
    decided = Decided(registered(0), proposed(10, "p-1", 12, 5), closed(100))
    assert decided.answers("job-closed") == ["recorded/settlement-pending"]
    assert decided.settlements == ["applied/closed-without-hire"]
    (refund,) = decided.of("settlement")[0]["changes"]
    assert refund["rule"] == "refund.job-closed-without-hire"
    assert (refund["delta"], refund["occurred_at"]) == (17, instant(100))
    assert decided.left() == {"f-1:1": 40}


def test_a_job_removed_by_the_marketplace_returns_everything() -> None:
    decided = Decided(registered(0), proposed(10, "p-1", 12, 5), closed(100, "removed-by-marketplace"))
    assert decided.settlements == ["applied/removed-by-marketplace"]
    assert decided.balance() == 40


def test_a_job_that_expires_returns_nothing() -> None:
    decided = Decided(registered(0), proposed(10, "p-1", 12), closed(100, "expired"))
    assert decided.settlements == ["declined/job-expired"]
    assert decided.balance() == 28


def test_a_hire_in_time_keeps_every_spend_on_the_job() -> None:
    decided = Decided(proposed(10, "p-1", 12), proposed(20, "p-2", 4, who="f-2"), hired(100), closed(100))
    assert decided.answers("hire-made") == ["recorded/hire-noted"]
    assert decided.settlements == ["declined/somebody-was-hired"] * 2


def test_a_hire_after_the_closing_changes_nothing() -> None:
    decided = Decided(proposed(10, "p-1", 12), closed(100), hired(100.000001))
    assert decided.settlements == ["applied/closed-without-hire"]


def test_a_proposal_submitted_after_the_closing_time_is_untouched_and_one_at_it_is_not() -> None:
    decided = Decided(proposed(100, "p-1", 12), proposed(100.000001, "p-2", 12), closed(100))
    assert [row["proposal_id"] for row in decided.of("settlement")] == ["p-1"]


def test_what_cost_nothing_says_so() -> None:
    decided = Decided(proposed(0, "p-1", 12, origin="invite"), proposed(1, "p-2", 0), closed(100, "expired"))
    assert decided.settlements == ["declined/free-from-invitation", "declined/cost-nothing"]


@pytest.mark.parametrize(("at", "reason"), [(99, "declined/proposal-withdrawn"), (100, "applied/closed-without-hire")])
def test_a_proposal_withdrawn_before_the_closing_time_returns_nothing(at: float, reason: str) -> None:
    decided = Decided(proposed(0, "p-1", 12), withdrawn(at, "p-1"), closed(100))
    assert decided.answers("proposal-withdrawn") == ["recorded/withdrawal-is-not-refunded"]
    assert decided.settlements == [reason]


def test_a_withdrawal_read_before_its_proposal_counts_at_the_settlement() -> None:
    decided = Decided(
        withdrawn(0, "p-1"), withdrawn(0, "p-2", who="f-3"), proposed(1, "p-1", 12), proposed(2, "p-2", 1), closed(9)
    )
    assert decided.settlements == ["declined/proposal-withdrawn", "applied/closed-without-hire"]


def test_a_withdrawal_goes_before_an_expired_job_and_that_before_a_hire() -> None:
    decided = Decided(proposed(0, "p-1", 4), proposed(1, "p-2", 4), withdrawn(2, "p-1"), hired(3), closed(9, "expired"))
    assert decided.settlements == ["declined/proposal-withdrawn", "declined/job-expired"]


def test_a_closing_settles_one_grace_later_and_not_before() -> None:
    assert Decided(proposed(0, "p-1", 12), closed(100), until=100 + GRACE - 1e-6).settlements == []
    (settlement,) = Decided(proposed(0, "p-1", 12), closed(100), until=100 + GRACE).of("settlement")
    assert settlement["business_time"] == instant(100 + GRACE)


def test_a_closing_read_late_settles_one_grace_after_it_was_read() -> None:
    decided = Decided(proposed(0, "p-1", 12), closed(5_000, job="j-9"), closed(100))
    assert decided.of("settlement")[0]["business_time"] == instant(5_000 + GRACE)
    assert decided.of("first", "job-closed")[1]["late_by_seconds"] == 4_900
    assert decided.changes[-1]["occurred_at"] == instant(100)


def test_an_expired_job_reopened_and_closed_again_returns_what_was_left_open() -> None:
    decided = Decided(proposed(0, "p-1", 12), closed(100, "expired"), proposed(150, "p-2", 4), closed(200), closed(300))
    assert decided.settlements == [
        "declined/job-expired",
        "applied/closed-without-hire",
        "applied/closed-without-hire",
        "declined/already-refunded",
        "declined/already-refunded",
    ]
    assert decided.balance() == 0


def test_the_same_closing_sent_twice_is_one_closing() -> None:
    decided = Decided(proposed(0, "p-1", 12), closed(100), closed(100), closed(100, "expired"))
    assert decided.answers("job-closed") == [
        "recorded/settlement-pending",
        "declined/already-closed",
        "recorded/settlement-pending",
    ]
    assert decided.settlements == ["applied/closed-without-hire", "declined/already-refunded"]


def test_what_an_outbid_brought_back_does_not_come_back_again() -> None:
    decided = Decided(registered(0), proposed(1, "p-1", 12, 5), outbid(2, "p-1"), closed(100), outbid(500, "p-1"))
    assert decided.changes[-1]["delta"] == 12
    assert decided.answers("boost-outbid") == ["applied/boost-outbid", "declined/already-refunded"]
    assert decided.balance() == 40


def test_an_outbid_after_the_settlement_finds_the_boost_returned() -> None:
    decided = Decided(registered(0), proposed(1, "p-1", 12, 5), closed(100), outbid(200, "p-1"))
    assert decided.answers("boost-outbid") == ["declined/already-refunded"]
    assert decided.balance() == 40


def test_a_late_spend_is_settled_one_grace_after_it_was_read_for_each_closing() -> None:
    decided = Decided(
        closed(100, "expired"), closed(200), closed(250), proposed(5_000, "p-9", 1, job="j-9"), proposed(90, "p-1", 12)
    )
    assert decided.settlements == ["declined/job-expired", "applied/closed-without-hire", "declined/already-refunded"]
    assert [row["business_time"] for row in decided.of("settlement")] == [instant(5_000 + GRACE)] * 3
    assert [row["occurred_at"] for row in decided.of("settlement")] == [instant(100), instant(200), instant(250)]


def test_two_late_spends_of_one_grace_are_each_settled_one_grace_after_they_were_read() -> None:
    decided = Decided(
        closed(100),
        proposed(5_000, "p-1", 12),
        proposed(90, "p-2", 12),
        proposed(5_010, "p-3", 1),
        proposed(90, "p-4", 12),
    )
    assert [(row["proposal_id"], row["business_time"]) for row in decided.of("settlement")] == [
        ("p-2", instant(5_000 + GRACE)),
        ("p-4", instant(5_010 + GRACE)),
    ]


def test_a_spend_read_before_the_settlement_belongs_to_it() -> None:
    decided = Decided(closed(100), proposed(120, "p-9", 1, job="j-9"), proposed(90, "p-1", 12))
    assert decided.of("settlement")[0]["business_time"] == instant(100 + GRACE)


def test_a_hire_after_the_settlement_is_noted_and_nothing_taken_back() -> None:
    decided = Decided(proposed(0, "p-1", 12), closed(100), hired(500, "j-9"), hired(90), closed(600))
    assert decided.answers("hire-made") == ["recorded/hire-noted", "recorded/hire-after-settlement"]
    assert decided.settlements == ["applied/closed-without-hire", "declined/already-refunded"]
    assert decided.balance() == 0


def test_a_late_hire_on_a_job_that_returned_nothing_is_just_noted() -> None:
    decided = Decided(proposed(0, "p-1", 12), closed(100, "expired"), hired(500, "j-9"), hired(90))
    assert decided.answers("hire-made")[1] == "recorded/hire-noted"


def test_a_late_hire_counts_for_the_next_closing() -> None:
    decided = Decided(closed(100), hired(500, "j-9"), hired(90), proposed(550, "p-1", 12), closed(600))
    assert decided.settlements == ["declined/somebody-was-hired"]


def test_where_policy_claws_back_a_late_hire_draws_the_refunds_again() -> None:
    policy = policy_with(late_hire="claw-back")
    decided = Decided(
        registered(0),
        proposed(1, "p-1", 12, 5),
        proposed(2, "p-2", 4, who="f-2"),
        proposed(3, "p-3", 30),
        closed(100),
        proposed(200, "p-4", 35, job="j-5"),
        hired(500, "j-9"),
        hired(90),
        closed(600),
        policy=policy,
    )
    clawed_back = decided.of("first", "hire-made")[1]
    assert (clawed_back["outcome"], clawed_back["reason"]) == ("applied", "hire-after-settlement")
    first, second = clawed_back["changes"]
    assert first["rule"] == second["rule"] == "refund.clawed-back"
    assert first["movements"] == [
        ("f-1:1", None, -5),
        (None, ("p-1", "base"), -7),
        (None, ("p-1", "boost"), -5),
        (None, ("p-3", "base"), -30),
    ]
    assert second["movements"] == [(None, ("p-2", "base"), -4)]
    assert decided.settlements[3:] == ["declined/somebody-was-hired"] * 3
    assert decided.balance() == 40 - 17 - 30 - 35


def test_a_withdrawal_dated_before_a_closing_that_returned_its_connects_says_so() -> None:
    decided = Decided(
        proposed(0, "p-1", 12), closed(100), withdrawn(500, "p-9"), withdrawn(90, "p-1"), withdrawn(101, "p-1")
    )
    assert decided.answers("proposal-withdrawn") == [
        "recorded/withdrawal-is-not-refunded",
        "recorded/withdrawal-after-settlement",
        "recorded/withdrawal-is-not-refunded",
    ]


def test_a_refund_first_cancels_the_lines_own_debt_and_then_fills_its_lots() -> None:
    decided = Decided(bought(0, "b-1", 10), proposed(1, "p-1", 12, 5), closed(100))
    assert decided.changes[-1]["movements"] == [
        (None, ("p-1", "base"), 2),
        (None, ("p-1", "boost"), 5),
        ("f-1:1", None, 10),
    ]
    assert decided.changes[-1]["debt_delta"] == -7
    assert decided.left() == {"f-1:1": 10}


def test_a_refund_returns_to_the_lot_that_paid_the_debt_and_pays_what_else_is_owed() -> None:
    decided = Decided(
        proposed(0, "p-1", 12),
        bought(1, "b-1", 12),
        proposed(2, "p-2", 5, job="j-2"),
        closed(100),
        bought(500, "b-2", 1),
    )
    refund = decided.of("settlement")[0]["changes"][0]
    assert refund["movements"] == [("f-1:2", None, 12), ("f-1:2", None, -5), (None, ("p-2", "base"), 5)]
    assert decided.left() == {"f-1:2": 7, "f-1:5": 1}


def test_connects_that_return_to_an_ending_lot_get_thirty_days_in_a_new_one() -> None:
    closing = 340 * DAY
    decided = Decided(bought(0, "b-0", 40), bought(DAY, "b-1", 5), proposed(2 * DAY, "p-1", 43), closed(closing))
    assert decided.of("settlement")[0]["changes"][0]["movements"] == [("f-1:4", None, 40), ("f-1:4.2", None, 3)]
    lots = decided.driver.model.state.lots
    assert [lots[name].linked_to for name in ("f-1:4", "f-1:4.2")] == ["f-1:1", "f-1:2"]
    assert lots["f-1:4"].issued_at == instant(closing + GRACE)
    assert lots["f-1:4"].expires_at == instant(closing + GRACE + 30 * DAY)


def test_a_lot_with_just_thirty_days_left_is_not_ending() -> None:
    last = 335 * DAY - GRACE
    assert Decided(bought(0, "b-0", 40), proposed(1, "p-1", 4), closed(last)).left() == {"f-1:1": 40}
    assert Decided(bought(0, "b-0", 40), proposed(1, "p-1", 4), closed(last + 1)).left() == {"f-1:1": 36, "f-1:3": 4}


def test_where_policy_lets_them_expire_connects_that_return_to_an_ended_lot_end_immediately() -> None:
    decided = Decided(
        bought(0, "b-0", 40),
        proposed(1, "p-1", 12),
        closed(400 * DAY),
        policy=policy_with(refund_to_ending_lot="expire"),
    )
    refund, expiry = decided.of("settlement")[0]["changes"]
    assert (refund["delta"], refund["rule"]) == (12, "refund.job-closed-without-hire")
    assert (expiry["delta"], expiry["rule"], expiry["reason"]) == (-12, "expire.lot", "lot-expired")
    assert expiry["occurred_at"] == instant(365 * DAY)
    assert decided.balance() == 0


def test_where_policy_lets_them_expire_a_lot_that_has_not_ended_yet_takes_its_connects_back() -> None:
    decided = Decided(
        bought(0, "b-0", 40),
        proposed(1, "p-1", 12),
        closed(360 * DAY),
        policy=policy_with(refund_to_ending_lot="expire"),
    )
    assert decided.left() == {"f-1:1": 40}


def test_an_outbid_long_after_a_lot_ended_opens_a_new_one_at_business_time() -> None:
    decided = Decided(bought(0, "b-0", 40), proposed(1, "p-1", 12, 5), outbid(400 * DAY, "p-9"), outbid(2, "p-1"))
    lot = decided.driver.model.state.lots["f-1:4"]
    assert (lot.issued_at, lot.remaining, lot.linked_to) == (instant(400 * DAY), 5, "f-1:1")
