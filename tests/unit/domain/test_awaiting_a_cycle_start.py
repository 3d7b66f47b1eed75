"""Events that are dated at or after a cycle start that is not booked yet, and the order in which they count (0008)."""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from itertools import permutations

import pytest

from schemas.memberships import AccountSuspended
from tests.kit.members import basic_member, cycle_starts, on, plan, plus_member, with_promo_codes
from tests.kit.story import GRACE, Story, answer, answers, explained
from worker.domain.decide import cycle_cause, decide_cycle, decide_event
from worker.domain.model import Cause, FreelancerId
from worker.domain.triggers import CycleDue, Received

MIDNIGHT = on(5, 10, 0)
SECOND = timedelta(seconds=1)


def chooses_basic(story: Story, at: datetime) -> None:
    story.chose("basic", "f-1", at=at)


def is_suspended(story: Story, at: datetime) -> None:
    story.suspended("f-1", at=at)


def earns(story: Story, at: datetime) -> None:
    story.has_earned("f-1", 5000, at=at)


def enters_a_code(story: Story, at: datetime) -> None:
    story.entered("FIVE", "f-1", at=at)


HAPPENS = [chooses_basic, is_suspended, earns, enters_a_code]


@pytest.mark.parametrize("happens", HAPPENS)
def test_what_is_dated_at_a_cycle_start_waits_for_it_and_does_not_count_for_it(
    happens: Callable[[Story, datetime], None],
) -> None:
    story = plus_member(with_promo_codes())
    happens(story, MIDNIGHT)
    waiting = story.decisions[-1]
    assert (answer(waiting), waiting.changes, waiting.membership) == ("recorded/awaits-cycle-start", [], None)
    renewal, follow_up = cycle_starts(story, 5, 10)
    assert answer(renewal) == "applied/charge-requested"
    assert renewal.charge is not None
    assert (renewal.charge.source, renewal.charge.amount_cents) == ("payment-method", 2000)
    assert (follow_up.kind, follow_up.follows, follow_up.cause) == ("follow-up", waiting.seq, waiting.cause)
    assert (follow_up.occurred_at, follow_up.business_time) == (MIDNIGHT, MIDNIGHT + GRACE)
    assert (follow_up.payload, waiting.payload) == (None, b"{}")
    assert follow_up.reason != "awaits-cycle-start"
    assert story.state.held["f-1"] == []


@pytest.mark.parametrize("happens", HAPPENS)
def test_what_is_dated_before_a_cycle_start_and_comes_within_the_grace_counts_for_it(
    happens: Callable[[Story, datetime], None],
) -> None:
    story = plus_member(with_promo_codes())
    story.until(MIDNIGHT + 29 * SECOND)
    happens(story, MIDNIGHT - SECOND)
    assert answer(story.decisions[-1]) != "recorded/awaits-cycle-start"
    renewal = cycle_starts(story, 5, 10)[0]
    if renewal.charge is None:
        assert answer(renewal) == "applied/downgraded"
    else:
        assert (renewal.charge.source, renewal.charge.amount_cents) != ("payment-method", 2000)


@pytest.mark.parametrize(
    ("happens", "rule", "what"),
    [
        (lambda story, at: story.chose("plus", "f-1", at=at), "membership.upgrade", "the choice of the plan"),
        (lambda story, at: story.chose("basic", "f-1", at=at), "membership.downgrade", "the choice of the plan"),
        (lambda story, at: story.entered("FIVE", "f-1", at=at), "membership.promo", "the promotion code"),
        (lambda story, at: story.paid("f-1:x:1", "f-1", at=at), "membership.charge", "the answer to the charge"),
        (lambda story, at: story.has_earned("f-1", 1, at=at), "membership.earnings", "the earnings balance"),
        (lambda story, at: story.suspended("f-1", at=at), "membership.suspension", "the suspension"),
        (lambda story, at: story.reinstated("f-1", at=at), "membership.suspension", "the end of the suspension"),
    ],
)
def test_all_six_topics_wait_under_the_rule_they_are_about(
    happens: Callable[[Story, datetime], object], rule: str, what: str
) -> None:
    story = basic_member()
    happens(story, on(5, 1, 0))
    waiting = story.decisions[-1]
    after = "after it, when the charge has been requested" if rule == "membership.charge" else "right after"
    assert (answer(waiting), waiting.rule) == ("recorded/awaits-cycle-start", rule)
    assert explained(waiting) == (
        f"Noted: {what} is dated on 1 May 2026, not before the cycle start on 1 May 2026. "
        f"That is decided first, this {after}."
    )


def test_registering_does_not_wait() -> None:
    story = Story(start=on(3, 31))
    story.chose("basic", "f-1", at=on(4, 1))
    assert answer(story.registered("f-1", at=on(5, 1, 0))) == "applied/registered"


def test_what_waits_counts_in_the_order_of_its_dates_whatever_the_order_it_was_read_in() -> None:
    for order in permutations(range(3)):
        story = plus_member()
        tells = [
            lambda story: story.suspended("f-1", at=MIDNIGHT + 1 * SECOND),
            lambda story: story.reinstated("f-1", at=MIDNIGHT + 2 * SECOND),
            lambda story: story.chose("basic", "f-1", at=MIDNIGHT + 3 * SECOND),
        ]
        for place in order:
            tells[place](story)
        assert answers(cycle_starts(story, 5, 10)) == [
            "applied/charge-requested",
            "applied/suspended",
            "applied/reinstated",
            "applied/downgrade-scheduled",
        ]


def test_what_waits_and_is_dated_alike_counts_in_the_order_it_was_read_in() -> None:
    story = plus_member()
    story.has_earned("f-1", 1, at=MIDNIGHT)
    story.has_earned("f-1", 2, at=MIDNIGHT)
    cycle_starts(story, 5, 10)
    assert story.membership("f-1").earnings == (MIDNIGHT, 2)


def test_an_answer_that_waits_for_its_cycle_start_counts_right_after_the_charge_is_asked() -> None:
    story = plus_member()
    waiting = story.paid("f-1:2026-05-10:1", "f-1", at=MIDNIGHT + 10 * SECOND)
    assert answer(waiting) == "recorded/awaits-cycle-start"
    assert answers(cycle_starts(story, 5, 10)) == ["applied/charge-requested", "applied/renewed"]


def test_an_answer_that_waits_for_its_cycle_start_and_its_charge_waits_on_in_silence() -> None:
    story = basic_member()
    story.paid("f-1:c-9:1", "f-1", at=on(5, 1, 0))
    assert answers(cycle_starts(story, 5, 1)) == ["applied/cycle-started"]
    story.chose("plus", "f-1", event_id="c-9", at=on(5, 1, 0, 1))
    assert answers(story.decisions[-2:]) == ["applied/charge-requested", "applied/upgraded"]


def test_an_answer_to_an_upgrade_dated_after_the_next_cycle_start_waits_for_that() -> None:
    story = basic_member()
    story.chose("plus", "f-1", at=on(4, 20))
    story.paid("f-1:e-2:1", "f-1", at=on(5, 1, 0))
    assert answers(cycle_starts(story, 5, 1)) == ["applied/cycle-started", "applied/upgraded"]
    assert plan(story) == ("plus", date(2026, 5, 1), date(2026, 6, 1))


def test_a_follow_up_that_moves_the_cycle_lets_the_next_one_wait_on() -> None:
    story = Story(start=on(4, 27))
    story.registered("f-1", at=on(4, 28))
    story.paid("f-1:c-1:1", "f-1", at=on(4, 30))
    story.unpaid("f-1:c-1:1", "f-1", at=on(5, 21))
    story.chose("plus", "f-1", event_id="c-1", at=on(4, 30))
    # Plus begins on 30 April and is to be renewed on 1 May, which the second answer is dated after.
    assert plan(story) == ("plus", date(2026, 4, 30), date(2026, 5, 1))
    assert answers(story.decisions[-2:]) == ["applied/charge-requested", "applied/upgraded"]
    assert answers(story.passes(seconds=0)) == ["applied/charge-requested", "declined/charge-already-settled"]


def test_what_waits_for_a_cycle_start_two_ahead_waits_on_after_the_first() -> None:
    story = basic_member()
    event = AccountSuspended(event_id="s-1", occurred_at=on(6, 1, 0), freelancer_id="f-1", scope="account")
    early = Received(event, "account-suspended", Cause("account-suspended", "s-1", 0, 0, 0), story.now, 2)
    membership = story.membership("f-1")
    assert answers(decide_event(story.state, early, story.policies, b"{}")) == ["recorded/awaits-cycle-start"]
    first = decide_cycle(story.state, CycleDue(membership, on(5, 1, 0) + GRACE, 3), story.policies)
    assert answers(first) == ["applied/cycle-started"]
    second = decide_cycle(story.state, CycleDue(membership, on(6, 1, 0) + GRACE, 4), story.policies)
    assert answers(second) == ["applied/cycle-started", "applied/suspended"]
    assert [(decision.seq, decision.follows) for decision in second] == [(4, None), (5, 2)]


def test_a_parked_event_that_is_released_may_wait_too() -> None:
    story = basic_member()
    event = AccountSuspended(event_id="s-1", occurred_at=on(5, 1, 0), freelancer_id="f-1", scope="account")
    released = Received(event, "account-suspended", Cause("account-suspended", "s-1", 0, 0, 0), story.now, 3)
    (waiting,) = decide_event(story.state, released, story.policies, None, follows=2)
    assert (waiting.kind, waiting.follows, answer(waiting)) == ("follow-up", 2, "recorded/awaits-cycle-start")
    due = CycleDue(story.membership("f-1"), on(5, 1, 0) + GRACE, 4)
    assert decide_cycle(story.state, due, story.policies)[-1].follows == 3


def test_the_same_events_in_any_order_within_the_grace_end_alike() -> None:
    tells: list[Callable[[Story], object]] = [
        lambda story: story.has_earned("f-1", 5000, at=MIDNIGHT - 3 * SECOND),
        lambda story: story.suspended("f-1", "billing-method", at=MIDNIGHT - 2 * SECOND),
        lambda story: story.reinstated("f-1", "billing-method", at=MIDNIGHT - 1 * SECOND),
        lambda story: story.chose("basic", "f-1", at=MIDNIGHT + 1 * SECOND),
        lambda story: story.paid("f-1:2026-05-10:1", "f-1", at=MIDNIGHT + 5 * SECOND),
    ]
    ends = set()
    for order in permutations(tells):
        story = plus_member()
        for send in order:
            send(story)
        cycle_starts(story, 5, 10)
        shown = story.updates("f-1")[-1]
        ends.add((plan(story), story.balance("f-1"), shown.scheduled_plan, shown.suspended, story.charge("f-1").source))
    assert ends == {(("plus", date(2026, 5, 10), date(2026, 6, 10)), 193, "basic", False, "earnings-balance")}


def test_a_parked_cycle_start_is_named_by_its_freelancer_and_day() -> None:
    assert cycle_cause(FreelancerId("f-1"), date(2026, 5, 1)) == Cause(None, "cycle:f-1:2026-05-01")
