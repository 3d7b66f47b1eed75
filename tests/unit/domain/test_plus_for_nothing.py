"""A charge of nothing is not requested: Plus begins, or goes on, immediately (domain.md, Memberships; ours)."""

from datetime import UTC, date, datetime

from tests.kit.members import basic_member, caused, cycle_starts, granted, on, plan, plus_member, with_promo_codes
from tests.kit.policies import policies
from tests.kit.story import Story, answer, answers, explained
from worker.domain.model import Charge, ChargeId, ChargeKey, FreelancerId
from worker.words.explanations import explain_change
from worker.words.upcoming import upcoming

GIFT = "the promotion code GIFT brings its price of $20.00 to nothing"


def charge_of(story: Story, charge_id: str) -> Charge:
    return story.state.charges[ChargeKey(FreelancerId("f-1"), ChargeId(charge_id))]


def test_an_upgrade_that_costs_nothing_takes_effect_with_the_choice() -> None:
    story = basic_member(with_promo_codes())
    chosen = story.chose("plus", "f-1", promo="GIFT", at=on(4, 10), event_id="up")
    assert (answer(chosen), chosen.rule, chosen.charge) == ("applied/upgraded", "membership.upgrade", None)
    assert granted([chosen]) == [("grant.upgrade", 73, on(4, 10))]
    assert plan(story) == ("plus", date(2026, 4, 10), date(2026, 5, 10))
    assert [(shown.version, shown.plan, shown.reason) for shown in story.updates("f-1")][-1] == (2, "plus", "upgraded")
    assert (charge_of(story, "f-1:up:1").amount_cents, charge_of(story, "f-1:up:1").status) == (0, "paid")
    assert chosen.changes[0].natural_key == "f-1/f-1:up:1"
    assert explained(chosen) == (
        "73 Connects granted for the upgrade to Plus, chosen on 10 April 2026: 70 that are otherwise paid for + 3 of "
        "the 10 free ones. The free ones are prorated, 10 x 9 / 30 rounded down: 9 of the 30 days of the Basic cycle "
        f"had passed, from 1 April 2026 to 10 April 2026. Nothing has to be paid for it: {GIFT}. The next renewal is "
        "on 10 May 2026; it brings 80."
    )


def test_a_renewal_that_costs_nothing_brings_its_connects_at_the_cycle_start() -> None:
    story = plus_member(with_promo_codes())
    story.entered("GIFT", "f-1", at=on(4, 20))
    decisions = cycle_starts(story, 5, 10)
    assert caused(decisions) == [("cycle:f-1:2026-05-10", "applied/renewed")]
    assert granted(decisions) == [("grant.monthly", 80, datetime(2026, 5, 10, tzinfo=UTC))]
    (renewed,) = decisions
    assert (renewed.rule, renewed.charge) == ("membership.renewal", None)
    assert (renewed.changes[0].reason, renewed.changes[0].natural_key) == ("cycle-started", "f-1/f-1:2026-05-10:1")
    assert plan(story) == ("plus", date(2026, 5, 10), date(2026, 6, 10))
    assert explained(renewed) == (
        "Plus is renewed on 10 May 2026: 80 Connects granted (70 that are otherwise paid for and 10 free). Nothing has "
        f"to be paid for it: {GIFT}. The next renewal is on 10 June 2026."
    )
    assert explain_change(renewed.changes[0]) == (
        "80 Connects granted for the Plus cycle that began on 10 May 2026 (70 that are otherwise paid for and 10 "
        f"free). Nothing has to be paid for it: {GIFT}. The next renewal is on 10 June 2026."
    )


def test_the_promotion_is_used_up_by_it() -> None:
    story = basic_member(with_promo_codes())
    story.chose("plus", "f-1", promo="GIFT", at=on(4, 10))
    assert answers(cycle_starts(story, 5, 10)) == ["applied/charge-requested"]
    assert story.charge("f-1").amount_cents == 2000


def test_a_price_of_nothing_needs_no_promotion() -> None:
    story = basic_member(policies(plus_price_cents=0))
    chosen = story.chose("plus", "f-1", at=on(4, 10))
    assert answer(chosen) == "applied/upgraded"
    assert " Nothing has to be paid for it. " in explained(chosen)
    assert answers(cycle_starts(story, 5, 10)) == ["applied/renewed"]
    assert answers(cycle_starts(story, 6, 10)) == ["applied/renewed"]


def test_an_answer_that_nobody_asked_for_changes_nothing() -> None:
    story = basic_member(with_promo_codes())
    story.chose("plus", "f-1", promo="GIFT", at=on(4, 10), event_id="up")
    for answered in (story.unpaid("f-1:up:1", "f-1", at=on(4, 11)), story.paid("f-1:up:1", "f-1", at=on(4, 12))):
        assert answer(answered) == "declined/charge-already-settled"
        assert explained(answered) == (
            "Nothing done: the charge of $0.00 for the upgrade to Plus is decided already: there is nothing to pay."
        )
    assert plan(story)[0] == "plus"


def test_an_answer_that_came_before_it_is_followed_up_though_the_cycle_does_not_move() -> None:
    story = basic_member(with_promo_codes())
    assert answer(story.paid("f-1:up:1", "f-1", at=on(4, 1, 10))) == "recorded/unknown-charge"
    story.chose("plus", "f-1", promo="GIFT", at=on(4, 1, 11), event_id="up")
    assert answers(story.decisions[-2:]) == ["applied/upgraded", "declined/charge-already-settled"]
    assert story.decisions[-1].kind == "follow-up"
    assert story.balance("f-1") == 40 + 70


def test_an_answer_to_a_renewal_that_came_before_it_is_followed_up_at_the_cycle_start() -> None:
    story = plus_member(with_promo_codes())
    story.entered("GIFT", "f-1", at=on(4, 20))
    story.paid("f-1:2026-05-10:1", "f-1", at=on(4, 21))
    assert answers(cycle_starts(story, 5, 10)) == ["applied/renewed", "declined/charge-already-settled"]


def test_a_choice_that_waits_for_a_cycle_start_takes_effect_right_after_it() -> None:
    story = basic_member(with_promo_codes())
    assert answer(story.chose("plus", "f-1", promo="GIFT", at=on(5, 1, 0))) == "recorded/awaits-cycle-start"
    assert answers(cycle_starts(story, 5, 1)) == ["applied/cycle-started", "applied/upgraded"]
    assert plan(story) == ("plus", date(2026, 5, 1), date(2026, 6, 1))


def test_a_choice_read_after_the_next_cycle_start_counts_from_that() -> None:
    story = basic_member(with_promo_codes())
    cycle_starts(story, 5, 1)
    late = story.chose("plus", "f-1", promo="GIFT", at=on(4, 10))
    assert granted([late]) == [("grant.upgrade", 70, on(4, 10))]
    assert plan(story) == ("plus", date(2026, 5, 1), date(2026, 6, 1))
    assert "The Basic cycle began only after the choice on 10 April 2026, so its first day counts." in explained(late)


def test_what_ends_plus_ends_it_all_the_same_and_leaves_the_code() -> None:
    story = plus_member(with_promo_codes())
    story.entered("GIFT", "f-1", at=on(4, 20))
    story.chose("basic", "f-1", at=on(4, 21))
    assert answers(cycle_starts(story, 5, 10)) == ["applied/downgraded", "applied/cycle-started"]
    assert answer(story.chose("plus", "f-1", at=on(5, 11))) == "applied/upgraded"


def test_a_suspended_account_cannot_choose_it_either() -> None:
    story = basic_member(with_promo_codes())
    story.suspended("f-1", "account", at=on(4, 9))
    assert answer(story.chose("plus", "f-1", promo="GIFT", at=on(4, 10))) == "declined/account-suspended"


def test_what_lies_ahead_says_that_nothing_has_to_be_paid() -> None:
    story = plus_member(with_promo_codes())
    story.entered("GIFT", "f-1", at=on(4, 20))
    (renewal,) = upcoming(story.membership("f-1"), story.policies)
    assert (renewal.kind, renewal.connects) == ("renewal", 80)
    assert renewal.explanation == (
        "Plus is renewed on 10 May 2026; nothing has to be paid for it with the promotion code GIFT. "
        "80 Connects come in then."
    )


def test_a_charge_of_nothing_that_0_1_0_asked_for_is_answered_as_it_was_asked() -> None:
    story = basic_member(with_promo_codes())
    story.chose("plus", "f-1", at=on(4, 10), event_id="up")
    charge_of(story, "f-1:up:1").amount_cents = 0
    paid = story.paid("f-1:up:1", "f-1", at=on(4, 11))
    assert answer(paid) == "applied/upgraded"
    assert "granted for the upgrade to Plus, paid on 11 April 2026: 70 that are paid for + 3" in explained(paid)
