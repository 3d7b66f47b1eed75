"""Refunds: one decision for each spend on a closed job, first match wins (domain.md, Refunds)."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.kit.policies import later_version, policies, policy_text
from tests.kit.story import GRACE, Story, answer, answers, day, explained, only_change
from worker.words.explanations import explain_change

A_MICROSECOND = timedelta(microseconds=1)
REFUND = "refund.job-closed-without-hire"
RETURNING = ["closed-by-client", "removed-by-marketplace"]
TOLD = ["closed-without-hire", "removed-by-marketplace"]


@pytest.fixture
def spent(story: Story) -> Story:
    """f-1 has registered and spent 12 + 5 of 40 on j-1, on day 1."""
    story.registered("f-1", at=day(0))
    story.proposed("p-1", by="f-1", on="j-1", connects=12, boost=5, at=day(1))
    return story


# The table, line by line.


def test_a_spend_after_the_closing_time_is_not_touched(spent: Story) -> None:
    spent.proposed("p-2", by="f-1", on="j-1", connects=4, at=day(3))
    spent.closed("j-1", at=day(2))
    spent.settled()
    assert [decision.subject.proposal_id for decision in spent.decisions if decision.kind == "settlement"] == ["p-1"]


def test_a_spend_at_the_closing_time_is_settled(spent: Story) -> None:
    spent.proposed("p-2", by="f-1", on="j-1", connects=4, at=day(2))
    spent.closed("j-1", at=day(2))
    assert spent.settled() == ["applied/closed-without-hire"] * 2


def test_what_cost_nothing_returns_nothing(story: Story) -> None:
    story.proposed("p-1", by="f-1", on="j-1", connects=0)
    story.proposed("p-2", by="f-2", on="j-1", connects=9, origin="invite")
    story.closed("j-1")
    assert story.settled() == ["declined/cost-nothing", "declined/free-from-invitation"]


def test_what_came_back_before_does_not_come_back_again(spent: Story) -> None:
    spent.closed("j-1")
    spent.settled()
    spent.closed("j-1", "removed-by-marketplace")
    assert spent.settled() == ["declined/already-refunded"]
    assert spent.balance("f-1") == 40


def test_a_withdrawn_proposal_returns_nothing(spent: Story) -> None:
    spent.withdrew("p-1", by="f-1", on="j-1")
    spent.closed("j-1")
    assert spent.settled() == ["declined/proposal-withdrawn"]
    assert spent.balance("f-1") == 23


@pytest.mark.parametrize(
    ("withdrawn", "settled"),
    [
        (day(2) - A_MICROSECOND, "declined/proposal-withdrawn"),
        (day(2), "applied/closed-without-hire"),
        (day(2, 1), "applied/closed-without-hire"),
    ],
)
def test_only_a_withdrawal_before_the_closing_time_counts(spent: Story, withdrawn: datetime, settled: str) -> None:
    spent.closed("j-1", at=day(2))
    spent.withdrew("p-1", by="f-1", on="j-1", at=withdrawn)
    assert spent.settled() == [settled]


def test_a_withdrawal_counts_at_the_earliest_time_reported(spent: Story) -> None:
    spent.until(day(5))
    spent.withdrew("p-1", by="f-1", on="j-1", at=day(4))
    spent.withdrew("p-1", by="f-1", on="j-1", at=day(2))
    spent.closed("j-1", at=day(3))
    assert spent.settled() == ["declined/proposal-withdrawn"]


def test_a_job_that_expires_returns_nothing(spent: Story) -> None:
    spent.closed("j-1", "expired")
    assert spent.settled() == ["declined/job-expired"]
    assert spent.balance("f-1") == 23


@pytest.mark.parametrize("closure", RETURNING)
def test_a_job_on_which_somebody_was_hired_returns_nothing(spent: Story, closure: str) -> None:
    spent.hired("j-1")
    spent.closed("j-1", closure)
    assert spent.settled() == ["declined/somebody-was-hired"]


@pytest.mark.parametrize(
    ("hired", "settled"),
    [
        (day(2) - A_MICROSECOND, "declined/somebody-was-hired"),
        (day(2), "declined/somebody-was-hired"),
        (day(2, 1), "applied/closed-without-hire"),
    ],
)
def test_a_hire_counts_up_to_the_closing_time(spent: Story, hired: datetime, settled: str) -> None:
    spent.closed("j-1", at=day(2))
    spent.hired("j-1", at=hired)
    assert spent.settled() == [settled]


def test_the_earliest_hire_counts(spent: Story) -> None:
    spent.until(day(5))
    spent.hired("j-1", at=day(4))
    spent.hired("j-1", at=day(2))
    spent.hired("j-1", at=day(3))
    spent.closed("j-1", at=day(2))
    assert spent.settled() == ["declined/somebody-was-hired"]


def test_a_hire_on_another_job_does_not_count(spent: Story) -> None:
    spent.hired("j-2")
    spent.closed("j-1")
    assert spent.settled() == ["applied/closed-without-hire"]


@pytest.mark.parametrize(("closure", "reason"), [*zip(RETURNING, TOLD, strict=True)])
def test_base_and_boost_come_back_in_full_as_one_change(spent: Story, closure: str, reason: str) -> None:
    spent.closed("j-1", closure, at=day(2))
    spent.settled()
    settlement = spent.decisions[-1]
    change = only_change(settlement)
    assert answer(settlement) == f"applied/{reason}"
    assert (settlement.rule, change.rule, change.reason) == (REFUND, REFUND, reason)
    assert (change.delta, change.balance_after, change.occurred_at) == (17, 40, day(2))


def test_of_several_reasons_against_a_refund_the_first_in_the_table_is_reported(story: Story) -> None:
    story.registered("f-1")
    for number in range(1, 6):
        story.proposed(f"p-{number}", by="f-1", on=f"j-{number}", connects=4 if number > 1 else 0)
    story.closed("j-2")
    story.settled()
    for number in range(1, 4):
        story.withdrew(f"p-{number}", by="f-1", on=f"j-{number}")
    for number in range(1, 5):
        story.hired(f"j-{number}")
        story.closed(f"j-{number}", "expired")
    story.hired("j-5")
    story.closed("j-5")
    assert story.settled() == [
        "declined/cost-nothing",
        "declined/already-refunded",
        "declined/proposal-withdrawn",
        "declined/job-expired",
        "declined/somebody-was-hired",
    ]


# When it is decided.


def test_a_closure_is_settled_one_grace_after_its_closing_time(spent: Story) -> None:
    decision = spent.closed("j-1", at=day(2))
    assert answer(decision) == "recorded/settlement-pending"
    assert spent.until(day(2) + GRACE - A_MICROSECOND) == []
    (settlement,) = spent.until(day(2) + GRACE)
    assert (settlement.kind, settlement.business_time) == ("settlement", day(2) + GRACE)
    assert settlement.cause == decision.cause


def test_a_settlement_is_decided_under_the_policy_of_the_closing_time() -> None:
    midsummer = datetime(2026, 7, 1, tzinfo=UTC)
    story = Story(policies(policy_text() + later_version("2026-07-01", refund_to_ending_lot="expire")))
    story.registered("f-1")
    story.proposed("p-1", by="f-1", on="j-1", connects=12)
    story.proposed("p-2", by="f-1", on="j-2", connects=12)
    story.closed("j-1", at=midsummer - A_MICROSECOND)
    story.closed("j-2", at=midsummer)
    story.settled()
    assert [decision.policy_version for decision in story.decisions[-2:]] == ["2026-01-01", "2026-07-01"]


def test_a_closure_read_late_is_settled_one_grace_after_it_was_read(spent: Story) -> None:
    spent.until(day(5))
    decision = spent.closed("j-1", at=day(2))
    assert decision.late_by_seconds == timedelta(days=3).total_seconds()
    assert spent.until(day(5) + GRACE - A_MICROSECOND) == []
    (settlement,) = spent.until(day(5) + GRACE)
    assert only_change(settlement).occurred_at == day(2)


def test_an_event_within_the_grace_is_not_late(spent: Story) -> None:
    spent.until(day(2))
    on_time = spent.hired("j-1", at=day(2) - GRACE)
    late = spent.hired("j-1", at=day(2) - GRACE - A_MICROSECOND)
    assert (on_time.late_by_seconds, late.late_by_seconds) == (None, 30.000001)


def test_a_closure_of_an_unknown_job_is_pending_too(story: Story) -> None:
    assert answer(story.closed("j-unknown")) == "recorded/settlement-pending"
    assert story.settled() == []


def test_every_spend_on_the_job_gets_a_decision_of_its_own_in_ledger_order(story: Story) -> None:
    for number in (3, 1, 2):
        story.registered(f"f-{number}")
        story.proposed(f"p-{number}", by=f"f-{number}", on="j-1", connects=number)
    story.withdrew("p-1", by="f-1", on="j-1")
    story.closed("j-1")
    story.settled()
    settlements = [decision for decision in story.decisions if decision.kind == "settlement"]
    assert [decision.subject for decision in settlements] == [(f"f-{n}", "j-1", f"p-{n}") for n in (3, 1, 2)]
    assert answers(settlements) == [
        "applied/closed-without-hire",
        "declined/proposal-withdrawn",
        "applied/closed-without-hire",
    ]


def test_a_freelancers_proposals_on_one_job_are_settled_each_on_its_own(spent: Story) -> None:
    spent.proposed("p-2", by="f-1", on="j-1", connects=3)
    spent.closed("j-1")
    assert spent.settled() == ["applied/closed-without-hire"] * 2
    assert [change.delta for change in spent.changes("f-1")[-2:]] == [17, 3]


def test_spends_on_other_jobs_are_left_alone(spent: Story) -> None:
    spent.proposed("p-2", by="f-1", on="j-2", connects=3)
    spent.closed("j-2")
    assert spent.settled() == ["applied/closed-without-hire"]
    assert spent.balance("f-1") == 23


# Several closures.


def test_a_refusal_leaves_the_spend_open_for_a_later_closure(spent: Story) -> None:
    spent.closed("j-1", "expired")
    assert spent.settled() == ["declined/job-expired"]
    spent.closed("j-1")
    assert spent.settled() == ["applied/closed-without-hire"]
    assert spent.balance("f-1") == 40


def test_a_job_reopened_and_closed_again_settles_old_and_new_spends(spent: Story) -> None:
    spent.closed("j-1")
    spent.settled()
    spent.proposed("p-2", by="f-1", on="j-1", connects=6)
    spent.closed("j-1")
    assert spent.settled() == ["declined/already-refunded", "applied/closed-without-hire"]
    assert spent.balance("f-1") == 40


def test_the_same_closing_sent_twice_is_one_closure(spent: Story) -> None:
    spent.closed("j-1", at=day(2))
    assert answer(spent.closed("j-1", at=day(2))) == "declined/already-closed"
    assert spent.settled() == ["applied/closed-without-hire"]
    assert answer(spent.closed("j-1", at=day(2))) == "declined/already-closed"
    assert spent.settled() == []


def test_another_closing_of_the_same_instant_is_another_closure(spent: Story) -> None:
    spent.closed("j-1", "expired", at=day(2))
    assert answer(spent.closed("j-1", at=day(2))) == "recorded/settlement-pending"
    assert sorted(spent.settled()) == ["applied/closed-without-hire", "declined/job-expired"]


@pytest.mark.parametrize("times", [2, 3, 10])
def test_however_often_a_job_is_closed_its_connects_come_back_once(spent: Story, times: int) -> None:
    for _ in range(times):
        spent.closed("j-1")
    assert spent.settled() == ["applied/closed-without-hire"] + ["declined/already-refunded"] * (times - 1)
    assert spent.balance("f-1") == 40
    assert len(spent.changes("f-1")) == 3


# Withdrawals.


def test_withdrawing_returns_nothing(spent: Story) -> None:
    decision = spent.withdrew("p-1", by="f-1", on="j-1")
    assert answer(decision) == "recorded/withdrawal-is-not-refunded"
    assert spent.balance("f-1") == 23


def test_withdrawing_an_unknown_proposal_is_recorded_and_asked_at_settlement(story: Story) -> None:
    story.registered("f-1")
    assert answer(story.withdrew("p-1", by="f-1", on="j-1")) == "recorded/withdrawal-is-not-refunded"
    story.proposed("p-1", by="f-1", on="j-1", connects=4, at=day(0))
    assert [decision.kind for decision in story.decisions] == ["first"] * 3
    story.closed("j-1")
    assert story.settled() == ["declined/proposal-withdrawn"]


def test_an_unknown_proposals_withdrawal_by_somebody_else_is_not_kept(story: Story) -> None:
    story.withdrew("p-1", by="f-2", on="j-1")
    story.withdrew("p-1", by="f-1", on="j-2")
    story.proposed("p-1", by="f-1", on="j-1", connects=4, at=day(0))
    story.closed("j-1")
    assert story.settled() == ["applied/closed-without-hire"]


def test_a_withdrawal_that_names_another_freelancer_or_job_has_no_effect(spent: Story) -> None:
    wrong = [spent.withdrew("p-1", by="f-2", on="j-1"), spent.withdrew("p-1", by="f-1", on="j-2")]
    assert answers(wrong) == ["recorded/proposal-mismatch"] * 2
    spent.closed("j-1")
    assert spent.settled() == ["applied/closed-without-hire"]


def test_a_withdrawal_read_after_the_refund_and_dated_before_the_closing_keeps_the_refund(spent: Story) -> None:
    spent.closed("j-1", at=day(2))
    spent.settled()
    assert answer(spent.withdrew("p-1", by="f-1", on="j-1", at=day(1, 60))) == "recorded/withdrawal-after-settlement"
    assert answer(spent.withdrew("p-1", by="f-1", on="j-1", at=day(2))) == "recorded/withdrawal-is-not-refunded"
    assert spent.balance("f-1") == 40


def test_a_withdrawal_after_a_closure_that_returned_nothing_is_an_ordinary_one(spent: Story) -> None:
    spent.closed("j-1", "expired", at=day(2))
    spent.settled()
    assert answer(spent.withdrew("p-1", by="f-1", on="j-1", at=day(1, 60))) == "recorded/withdrawal-is-not-refunded"


# Hires.


def test_a_hire_in_time_is_noted(spent: Story) -> None:
    assert answer(spent.hired("j-1")) == "recorded/hire-noted"


def test_a_hire_after_the_refunds_is_shown_to_operators_and_keeps_them(spent: Story) -> None:
    spent.closed("j-1", at=day(2))
    spent.settled()
    decision = spent.hired("j-1", at=day(1, 60))
    assert answer(decision) == "recorded/hire-after-settlement"
    assert (decision.changes, spent.balance("f-1")) == ([], 40)
    assert explained(decision).endswith("freelancers keep them.")


def test_a_late_hire_counts_for_later_settlements(spent: Story) -> None:
    spent.closed("j-1", at=day(2))
    spent.settled()
    spent.hired("j-1", at=day(1, 60))
    spent.proposed("p-2", by="f-1", on="j-1", connects=3)
    spent.closed("j-1")
    assert spent.settled() == ["declined/already-refunded", "declined/somebody-was-hired"]


def test_a_hire_after_the_closing_time_is_an_ordinary_one(spent: Story) -> None:
    spent.closed("j-1", at=day(2))
    spent.settled()
    assert answer(spent.hired("j-1", at=day(2, 1))) == "recorded/hire-noted"


def test_a_hire_after_a_closure_that_returned_nothing_is_an_ordinary_one(spent: Story) -> None:
    spent.closed("j-1", "expired", at=day(2))
    spent.settled()
    assert answer(spent.hired("j-1", at=day(1, 60))) == "recorded/hire-noted"


def test_policy_claw_back_draws_the_refunds_again_one_change_for_each_wallet() -> None:
    story = Story(policies(late_hire="claw-back"))
    for name in ("f-1", "f-2"):
        story.registered(name)
    story.proposed("p-1", by="f-1", on="j-1", connects=12, boost=5)
    story.proposed("p-2", by="f-1", on="j-1", connects=3)
    story.proposed("p-3", by="f-2", on="j-1", connects=4)
    closed = story.closed("j-1")
    story.settled()
    decision = story.hired("j-1", at=closed.occurred_at)
    assert answer(decision) == "recorded/hire-after-settlement"
    assert [(change.freelancer_id, change.rule, change.delta) for change in decision.changes] == [
        ("f-1", "refund.clawed-back", -20),
        ("f-2", "refund.clawed-back", -4),
    ]
    assert (story.balance("f-1"), story.balance("f-2")) == (20, 36)


def test_policy_claw_back_leaves_an_outbid_boost_with_its_freelancer() -> None:
    story = Story(policies(late_hire="claw-back"))
    story.registered("f-1")
    story.proposed("p-1", by="f-1", on="j-1", connects=12, boost=5)
    story.outbid("p-1", by="f-1", on="j-1")
    closed = story.closed("j-1")
    story.settled()
    story.hired("j-1", at=closed.occurred_at)
    assert story.balance("f-1") == 28


def test_an_outbid_that_was_read_after_the_refund_counts_when_the_refund_is_taken_back() -> None:
    """A proposal of 10 and a boost of 3: the wallet ends as if everything had been read in time."""
    story = Story(policies(late_hire="claw-back"))
    story.registered("f-1")
    proposed = story.proposed("p-1", by="f-1", on="j-1", connects=10, boost=3)
    closed = story.closed("j-1")
    assert story.settled() == ["applied/closed-without-hire"]
    assert answer(story.outbid("p-1", by="f-1", on="j-1", at=proposed.occurred_at)) == "declined/already-refunded"
    hired = story.hired("j-1", at=closed.occurred_at)
    assert [(change.rule, change.delta) for change in hired.changes] == [("refund.clawed-back", -10)]
    assert explained(hired).endswith("10 Connects taken back.")
    assert (story.balance("f-1"), story.spend("p-1").boost.returned) == (30, True)
    story.closed("j-1", "removed-by-marketplace")
    assert story.settled() == ["declined/somebody-was-hired"]


def test_where_an_outbid_leaves_nothing_to_take_back_the_hire_is_noted_alone() -> None:
    story = Story(policies(late_hire="claw-back"))
    story.registered("f-1")
    story.proposed("p-1", by="f-1", on="j-1", connects=0, boost=3)
    closed = story.closed("j-1")
    story.settled()
    story.outbid("p-1", by="f-1", on="j-1")
    hired = story.hired("j-1", at=closed.occurred_at)
    assert (answer(hired), hired.changes, story.balance("f-1")) == ("recorded/hire-after-settlement", [], 40)
    assert explained(hired).endswith(
        "had been returned; nothing is taken back, because that was done before or they come back in another way."
    )


def test_a_closing_before_the_hire_that_was_read_after_the_refund_counts_when_the_refund_is_taken_back() -> None:
    story = Story(policies(late_hire="claw-back"))
    story.registered("f-1")
    story.proposed("p-1", by="f-1", on="j-1", connects=10, boost=3, at=day(1))
    story.closed("j-1", at=day(4))
    story.settled()
    story.closed("j-1", "removed-by-marketplace", at=day(2))
    assert story.settled() == ["declined/already-refunded"]
    assert story.hired("j-1", at=day(3)).changes == []
    assert story.balance("f-1") == 40
    assert story.hired("j-1", at=day(1.5)).changes[0].delta == -13


@pytest.mark.parametrize("forbidden", ["expired", "withdrawn", "hired", "spent later"])
def test_a_closing_that_would_have_returned_nothing_keeps_nothing_from_being_taken_back(forbidden: str) -> None:
    story = Story(policies(late_hire="claw-back"))
    story.registered("f-1")
    story.proposed("p-1", by="f-1", on="j-1", connects=10, at=day(2.5) if forbidden == "spent later" else day(1))
    story.closed("j-1", at=day(4))
    story.settled()
    story.closed("j-1", "expired" if forbidden == "expired" else "closed-by-client", at=day(2))
    story.settled()
    if forbidden == "withdrawn":
        story.withdrew("p-1", by="f-1", on="j-1", at=day(1.5))
    hired = story.hired("j-1", at=day(2) if forbidden == "hired" else day(3))
    assert [change.delta for change in hired.changes] == [-10]
    assert story.balance("f-1") == 30


def test_policy_claw_back_makes_a_debt_of_what_was_spent_meanwhile() -> None:
    story = Story(policies(late_hire="claw-back"))
    story.registered("f-1")
    story.proposed("p-1", by="f-1", on="j-1", connects=12)
    closed = story.closed("j-1")
    story.settled()
    story.proposed("p-2", by="f-1", on="j-2", connects=38)
    story.hired("j-1", at=closed.occurred_at)
    assert (story.balance("f-1"), story.debt("f-1")) == (-10, 10)
    assert story.spend("p-1").base.debt == 10


def test_policy_claw_back_opens_the_line_for_a_later_closure_and_takes_back_once() -> None:
    story = Story(policies(late_hire="claw-back"))
    story.registered("f-1")
    story.proposed("p-1", by="f-1", on="j-1", connects=12)
    closed = story.closed("j-1")
    story.settled()
    story.hired("j-1", at=closed.occurred_at)
    again = story.hired("j-1", at=closed.occurred_at)
    assert (again.changes, story.balance("f-1")) == ([], 28)
    story.closed("j-1")
    assert story.settled() == ["declined/somebody-was-hired"]


# Late spends.


def test_a_spend_read_after_its_closure_was_settled_is_settled_one_grace_later(story: Story) -> None:
    story.registered("f-1")
    closed = story.closed("j-1", at=day(2))
    assert story.settled() == []
    story.until(day(4))
    story.proposed("p-1", by="f-1", on="j-1", connects=12, at=day(1))
    assert story.balance("f-1") == 28
    assert story.until(day(4) + GRACE - A_MICROSECOND) == []
    (settlement,) = story.until(day(4) + GRACE)
    assert (answer(settlement), settlement.cause) == ("applied/closed-without-hire", closed.cause)
    assert (only_change(settlement).occurred_at, story.balance("f-1")) == (day(2), 40)


def test_a_late_spend_is_settled_by_the_same_table(story: Story) -> None:
    story.registered("f-1")
    story.hired("j-1", at=day(1))
    story.closed("j-1", at=day(2))
    story.settled()
    story.proposed("p-1", by="f-1", on="j-1", connects=12, at=day(1))
    assert story.settled() == ["declined/somebody-was-hired"]


def test_a_late_spend_dated_at_the_closing_is_settled(story: Story) -> None:
    story.closed("j-1", at=day(2))
    story.settled()
    story.until(day(3))
    story.proposed("p-1", by="f-1", on="j-1", connects=12, at=day(2))
    assert story.settled() == ["applied/closed-without-hire"]


def test_a_late_spend_dated_after_the_closing_is_not_settled(story: Story) -> None:
    story.closed("j-1", at=day(2))
    story.settled()
    story.proposed("p-1", by="f-1", on="j-1", connects=12, at=day(2, 0.000001))
    assert story.settled() == []


def test_a_late_spend_is_settled_for_every_settled_closure_in_closing_order(story: Story) -> None:
    story.closed("j-1", at=day(2))
    story.closed("j-1", "expired", at=day(3))
    story.settled()
    story.proposed("p-1", by="f-1", on="j-1", connects=12, at=day(1))
    assert story.settled() == ["applied/closed-without-hire", "declined/already-refunded"]


def test_the_closing_order_decides_also_where_the_closures_were_read_the_other_way_round(story: Story) -> None:
    story.closed("j-1", "removed-by-marketplace", at=day(3))
    story.closed("j-1", "closed-by-client", at=day(2))
    story.settled()
    story.proposed("p-1", by="f-1", on="j-1", connects=12, at=day(1))
    assert story.settled() == ["applied/closed-without-hire", "declined/already-refunded"]


def test_a_late_spend_belongs_to_a_closure_that_is_not_settled_yet(story: Story) -> None:
    story.closed("j-1", at=day(2))
    story.proposed("p-1", by="f-1", on="j-1", connects=12, at=day(1))
    assert story.settled() == ["applied/closed-without-hire"]


# Where the Connects go.


def test_connects_go_back_to_the_very_lots_they_came_from(story: Story) -> None:
    story.bought("f-1", 10, at=day(1))
    story.bought("f-1", 10, at=day(2))
    story.bought("f-1", 10, at=day(3))
    before = story.lots("f-1")
    story.proposed("p-1", by="f-1", on="j-1", connects=12, boost=5)
    assert story.remaining("f-1") == [3, 10]
    story.closed("j-1")
    story.settled()
    assert story.lots("f-1") == before


def test_a_refund_first_cancels_the_lines_own_debt(story: Story) -> None:
    story.registered("f-1")
    story.proposed("p-1", by="f-1", on="j-1", connects=50)
    story.closed("j-1")
    story.settled()
    change = story.changes("f-1")[-1]
    assert (change.delta, change.debt_delta, change.balance_after) == (50, -10, 40)
    assert (story.debt("f-1"), story.remaining("f-1")) == (0, [40])


def test_a_refund_returns_what_paid_the_debt_to_the_lot_that_paid(story: Story) -> None:
    story.proposed("p-1", by="f-1", on="j-1", connects=12)
    story.bought("f-1", 20)
    story.closed("j-1")
    story.settled()
    assert (story.balance("f-1"), story.remaining("f-1")) == (20, [20])


def test_a_refund_pays_other_debts(story: Story) -> None:
    story.registered("f-1")
    story.proposed("p-1", by="f-1", on="j-1", connects=40)
    story.proposed("p-2", by="f-1", on="j-2", connects=15)
    story.closed("j-1")
    story.settled()
    change = story.changes("f-1")[-1]
    assert (change.delta, change.debt_delta, change.balance_after) == (40, -15, 25)
    assert (story.debt("f-1"), story.remaining("f-1")) == (0, [25])
    story.closed("j-2")
    story.settled()
    assert (story.balance("f-1"), story.remaining("f-1")) == (40, [40])


def test_of_the_lots_a_refund_returns_to_the_one_that_burns_first_pays_other_debts(story: Story) -> None:
    story.bought("f-1", 3, at=day(0))
    story.bought("f-1", 100, at=day(200))
    story.proposed("p-1", by="f-1", on="j-1", connects=103, at=day(201))
    story.proposed("p-2", by="f-1", on="j-2", connects=2, at=day(202))
    story.closed("j-1", at=day(360))
    story.settled()
    # The 3 would return to a lot that is about to end, and are in a new one that ends before the other.
    assert story.lots("f-1") == [("refund", 1, day(390) + GRACE), ("purchase", 100, day(565))]


def test_the_base_comes_back_when_only_the_boost_did_before(spent: Story) -> None:
    spent.outbid("p-1", by="f-1", on="j-1")
    spent.closed("j-1")
    assert spent.settled() == ["applied/closed-without-hire"]
    assert [change.delta for change in spent.changes("f-1")] == [40, -17, 5, 12]


def test_a_boost_alone_that_was_outbid_has_come_back_before(story: Story) -> None:
    story.registered("f-1")
    story.proposed("p-1", by="f-1", on="j-1", connects=0, boost=5)
    story.outbid("p-1", by="f-1", on="j-1")
    story.closed("j-1")
    assert story.settled() == ["declined/already-refunded"]


# Lots that are about to end, or have ended.


@pytest.fixture
def ending(story: Story) -> Story:
    """f-1 spent 12 of the 40 that expire at day 365."""
    story.bought("f-1", 40, at=day(0))
    story.proposed("p-1", by="f-1", on="j-1", connects=12, at=day(1))
    return story


def test_a_lot_with_thirty_days_left_takes_its_connects_back(ending: Story) -> None:
    ending.closed("j-1", at=day(335) - GRACE)
    ending.settled()
    assert ending.lots("f-1") == [("purchase", 40, day(365))]


def test_what_would_return_to_a_lot_with_less_than_thirty_days_left_gets_a_new_lot(ending: Story) -> None:
    ending.closed("j-1", at=day(335) - GRACE + A_MICROSECOND)
    ending.settled()
    due = day(335) + A_MICROSECOND
    assert ending.lots("f-1") == [("purchase", 28, day(365)), ("refund", 12, due + timedelta(days=30))]
    old, new = ending.wallet("f-1").lots
    assert (new.linked_to, new.order.issued_at) == (old.lot_id, due)


def test_a_new_lot_keeps_what_would_return_to_a_lot_that_has_ended(ending: Story) -> None:
    ending.closed("j-1", at=day(400))
    ending.settled()
    assert ending.lots("f-1") == [("refund", 12, day(430) + GRACE)]
    assert [change.rule for change in ending.changes("f-1")][2:] == ["expire.lot", "refund.job-closed-without-hire"]


def test_the_grace_is_counted_from_when_a_late_closure_was_due(ending: Story) -> None:
    ending.until(day(350))
    ending.closed("j-1", at=day(2))
    ending.settled()
    assert ending.lots("f-1")[-1] == ("refund", 12, day(380) + GRACE)
    assert ending.changes("f-1")[-1].occurred_at == day(2)


def test_each_ending_lot_gets_a_new_lot_of_its_own_in_burn_order(story: Story) -> None:
    story.bought("f-1", 3, at=day(0))
    story.bought("f-1", 4, at=day(1))
    story.bought("f-1", 100, at=day(200))
    story.proposed("p-1", by="f-1", on="j-1", connects=5, boost=10)
    story.closed("j-1", at=day(360))
    story.settled()
    due = day(360) + GRACE
    assert [(lot.lot_id, lot.remaining, lot.linked_to) for lot in story.wallet("f-1").lots] == [
        ("f-1:5", 3, "f-1:1"),
        ("f-1:5.2", 4, "f-1:2"),
        ("f-1:3", 100, None),
    ]
    assert {lot.expires_at for lot in story.wallet("f-1").lots[:2]} == {due + timedelta(days=30)}


def test_an_outbid_asks_whether_a_lot_is_ending_when_it_is_decided(story: Story) -> None:
    story.bought("f-1", 40, at=day(0))
    story.proposed("p-1", by="f-1", on="j-1", connects=4, boost=12, at=day(1))
    story.until(day(350))
    decision = story.outbid("p-1", by="f-1", on="j-1", at=day(2))
    assert only_change(decision).occurred_at == day(2)
    assert story.lots("f-1") == [("purchase", 24, day(365)), ("refund", 12, day(380))]


def test_a_new_lot_can_be_spent_and_returned_like_any_other(ending: Story) -> None:
    ending.closed("j-1", at=day(360))
    ending.settled()
    ending.proposed("p-2", by="f-1", on="j-2", connects=30, at=day(361))
    ending.closed("j-2", at=day(362))
    ending.settled()
    # Both lots are about to end: each gets a successor, linked to it.
    assert [lot.source for lot in ending.wallet("f-1").lots] == ["refund"] * 3
    assert ending.remaining("f-1") == [10, 28, 2]
    assert ending.balance("f-1") == 40


def test_policy_expire_returns_to_the_lot_itself_which_then_ends() -> None:
    story = Story(policies(refund_to_ending_lot="expire"))
    story.bought("f-1", 40, at=day(0))
    story.proposed("p-1", by="f-1", on="j-1", connects=12, at=day(1))
    story.closed("j-1", at=day(350))
    story.settled()
    assert story.lots("f-1") == [("purchase", 40, day(365))]
    (expiry,) = story.until(day(366))
    assert only_change(expiry).delta == -40


@pytest.mark.parametrize("connects", [12, 40])
def test_policy_expire_expires_immediately_what_returns_to_a_lot_that_has_ended(connects: int) -> None:
    story = Story(policies(refund_to_ending_lot="expire"))
    story.bought("f-1", 40, at=day(0))
    story.proposed("p-1", by="f-1", on="j-1", connects=connects, at=day(1))
    story.closed("j-1", at=day(400))
    assert story.settled() == ["applied/closed-without-hire"]
    refund, expiry = story.decisions[-1].changes
    assert (refund.rule, refund.delta, refund.occurred_at) == ("refund.job-closed-without-hire", connects, day(400))
    assert (expiry.rule, expiry.delta, expiry.occurred_at) == ("expire.lot", -connects, day(365))
    assert explain_change(expiry) == f"{connects} Connects expired on 5 January 2027: their time was over."
    assert (story.balance("f-1"), story.lots("f-1")) == (0, [])


def test_policy_expire_lets_what_returns_pay_debts_before_it_ends() -> None:
    story = Story(policies(refund_to_ending_lot="expire"))
    story.bought("f-1", 40, at=day(0))
    story.proposed("p-1", by="f-1", on="j-1", connects=40, at=day(1))
    story.proposed("p-2", by="f-1", on="j-2", connects=15, at=day(2))
    story.closed("j-1", at=day(400))
    story.settled()
    assert [change.delta for change in story.decisions[-1].changes] == [40, -25]
    assert (story.balance("f-1"), story.debt("f-1")) == (0, 0)


# Never twice, never more.


def test_a_repeated_refund_changes_no_balance(spent: Story) -> None:
    spent.outbid("p-1", by="f-1", on="j-1")
    spent.closed("j-1")
    spent.settled()
    balance, version, lots = spent.balance("f-1"), spent.wallet("f-1").version, spent.lots("f-1")
    spent.outbid("p-1", by="f-1", on="j-1")
    spent.closed("j-1")
    spent.closed("j-1", "removed-by-marketplace")
    spent.settled()
    spent.outbid("p-1", by="f-1", on="j-1")
    assert (spent.balance("f-1"), spent.wallet("f-1").version, spent.lots("f-1")) == (balance, version, lots)
    assert balance == 40


def test_nothing_a_wallet_does_changes_another_wallet(story: Story) -> None:
    story.registered("f-1")
    story.registered("f-2")
    story.proposed("p-1", by="f-1", on="j-1", connects=12)
    story.closed("j-1")
    story.settled()
    assert (story.balance("f-2"), len(story.changes("f-2"))) == (40, 1)


def test_a_wallet_is_opened_by_whatever_first_names_the_freelancer(story: Story) -> None:
    story.withdrew("p-1", by="f-1", on="j-1")
    story.outbid("p-1", by="f-2", on="j-1")
    story.hired("j-1", "f-3")
    assert {(name, story.balance(name), story.wallet(name).version) for name in ("f-1", "f-2", "f-3")} == {
        ("f-1", 0, 0),
        ("f-2", 0, 0),
        ("f-3", 0, 0),
    }
