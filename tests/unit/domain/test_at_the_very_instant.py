"""Instants that meet exactly, and business time that is behind an event: where `<` and `<=` decide (domain.md)."""

from datetime import timedelta

import pytest

from schemas.proposals import BoostOutbid
from tests.kit.members import cycle_starts, on
from tests.kit.policies import policies
from tests.kit.story import GRACE, Story, answer, answers, day, only_change
from worker.domain.decide import decide_event
from worker.domain.model import Cause
from worker.domain.triggers import Received

MIDNIGHT = on(2, 1, 0)


def test_an_upgrade_chosen_on_the_first_day_of_a_cycle_and_paid_later_restarts_it_on_the_day_of_the_choice() -> None:
    story = Story(start=on(1, 1))
    story.registered("f-1", at=on(1, 15, 9))
    story.chose("plus", "f-1", at=on(2, 15, 0), event_id="up")  # at a cycle start: none has passed since
    paid = story.paid("f-1:up:1", "f-1", at=on(2, 20))
    membership = story.membership("f-1")
    assert (membership.cycle_start, membership.next_renewal) == (on(2, 15).date(), on(3, 15).date())
    assert only_change(paid).delta == 70


def chosen_on_the_30th() -> Story:
    """f-1 chose Plus on 30 January: paid by the 31st, it is renewed on 1 February, of which the first seconds pass."""
    story = Story(start=on(1, 1))
    story.registered("f-1", at=on(1, 15, 9))
    story.chose("plus", "f-1", at=on(1, 30), event_id="up")
    story.until(MIDNIGHT + timedelta(seconds=6))
    return story


def test_a_downgrade_chosen_at_the_very_start_of_a_cycle_that_a_late_payment_moves_ahead_is_too_late_for_it() -> None:
    story = chosen_on_the_30th()
    story.chose("basic", "f-1", at=MIDNIGHT)
    story.paid("f-1:up:1", "f-1", at=on(1, 31))
    assert answers(cycle_starts(story, 2, 1)) == ["applied/charge-requested"]
    story.paid("f-1:2026-02-01:1", "f-1", at=on(2, 2))
    assert answers(cycle_starts(story, 3, 1)) == ["applied/downgraded", "applied/cycle-started"]


@pytest.mark.parametrize(
    ("before", "expected"),
    [(0, ["applied/charge-requested"]), (1, ["applied/downgraded", "withheld/account-suspended"])],
)
def test_a_suspension_from_the_very_start_of_a_cycle_that_a_late_payment_moves_ahead_counts_for_the_next(
    before: int, expected: list[str]
) -> None:
    story = chosen_on_the_30th()
    story.suspended("f-1", at=MIDNIGHT - timedelta(microseconds=before))
    story.paid("f-1:up:1", "f-1", at=on(1, 31))
    assert answers(cycle_starts(story, 2, 1)) == expected


def test_what_returns_to_a_lot_that_ends_at_the_very_instant_its_settlement_is_due_ends_with_it() -> None:
    story = Story(policies(refund_to_ending_lot="expire"))
    story.bought("f-1", 40, at=day(0))
    story.proposed("p-1", by="f-1", on="j-1", connects=40, at=day(1))
    story.closed("j-1", at=day(365) - GRACE)
    story.settled()
    assert [(change.rule, change.delta) for change in story.decisions[-1].changes] == [
        ("refund.job-closed-without-hire", 40),
        ("expire.lot", -40),
    ]


@pytest.mark.parametrize(("earlier", "taken"), [(0, 0), (1, 12)])
def test_a_closing_returns_what_was_withdrawn_at_its_very_instant_when_a_late_hire_takes_back_the_next_ones_refund(
    earlier: int, taken: int
) -> None:
    story = Story(policies(late_hire="claw-back"))
    story.bought("f-1", 40, at=day(0))
    story.proposed("p-1", by="f-1", on="j-1", connects=12, at=day(1))
    story.closed("j-1", at=day(5))
    assert story.settled() == ["applied/closed-without-hire"]
    story.closed("j-1", "removed-by-marketplace", at=day(3))
    assert story.settled() == ["declined/already-refunded"]
    story.withdrew("p-1", by="f-1", on="j-1", at=day(3) - timedelta(microseconds=earlier))
    hired = story.hired("j-1", at=day(4))
    assert (answer(hired), hired.facts["clawed_back"]) == ("recorded/hire-after-settlement", taken)
    assert story.balance("f-1") == 40 - taken


@pytest.mark.parametrize("behind", [0, 60, 400])
def test_an_outbid_asks_whether_a_lot_is_ending_at_its_own_time_though_business_time_is_behind_it(behind: int) -> None:
    """Another topic may hold business time back for as long as it likes: what is known of this wallet decides."""
    story = Story()
    story.bought("f-1", 40, at=day(0))
    story.proposed("p-1", by="f-1", on="j-1", connects=10, boost=5, at=day(1))
    at = day(340)
    names = {"freelancer_id": "f-1", "job_id": "j-1", "proposal_id": "p-1"}
    event = BoostOutbid(event_id="e-outbid", occurred_at=at, **names)
    cause = Cause("boost-outbid", event.event_id, 0, 0, 0)
    trigger = Received(event, "boost-outbid", cause, at - timedelta(days=behind), len(story.decisions) + 1)
    (decision,) = decide_event(story.state, trigger, story.policies, b"{}")
    assert (answer(decision), decision.late_by_seconds) == ("applied/boost-outbid", None)
    assert story.lots("f-1") == [("purchase", 25, day(365)), ("refund", 5, at + timedelta(days=30))]
