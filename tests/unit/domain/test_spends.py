"""Spends: what a proposal costs, which lots pay it, and what happens when they do not cover it (domain.md, Spends)."""

from datetime import timedelta
from itertools import permutations

import pytest

from tests.kit.policies import policies
from tests.kit.story import Story, answer, answers, day, explained, only_change
from worker.words.explanations import explain_change

A_MICROSECOND = timedelta(microseconds=1)


def a_year_after(number: float) -> float:
    """The day on which a lot of that day expires."""
    return number + 365


# What it costs.


def test_a_proposal_spends_base_and_boost(story: Story) -> None:
    story.registered("f-1")
    decision = story.proposed("p-1", by="f-1", on="j-1", connects=12, boost=5)
    assert answer(decision) == "applied/proposal-submitted"
    assert (decision.rule, only_change(decision).delta, story.balance("f-1")) == ("spend.proposal", -17, 23)


def test_a_second_event_about_the_same_proposal_takes_nothing(story: Story) -> None:
    story.registered("f-1")
    story.proposed("p-1", by="f-1", on="j-1", connects=12)
    assert answer(story.proposed("p-1", by="f-1", on="j-1", connects=12)) == "declined/already-spent"
    assert story.balance("f-1") == 28


def test_a_proposal_id_is_used_up_whoever_and_whatever_job_is_named_the_second_time(story: Story) -> None:
    story.registered("f-1")
    story.registered("f-2")
    story.proposed("p-1", by="f-1", on="j-1", connects=12)
    assert answer(story.proposed("p-1", by="f-2", on="j-2", connects=4)) == "declined/already-spent"
    assert (story.balance("f-1"), story.balance("f-2")) == (28, 40)


def test_answering_an_invitation_is_free_whatever_the_fields_say(story: Story) -> None:
    story.registered("f-1")
    decision = story.proposed("p-1", by="f-1", on="j-1", connects=12, boost=5, origin="invite")
    assert answer(decision) == "recorded/free-from-invitation"
    assert story.balance("f-1") == 40


def test_a_proposal_that_costs_nothing_is_recorded(story: Story) -> None:
    assert answer(story.proposed("p-1", by="f-1", on="j-1", connects=0)) == "recorded/cost-nothing"
    assert (story.balance("f-1"), story.wallet("f-1").version) == (0, 0)


@pytest.mark.parametrize("origin", ["proposal", "invite"])
def test_a_free_proposal_uses_up_its_id_too(story: Story, origin: str) -> None:
    story.registered("f-1")
    story.proposed("p-1", by="f-1", on="j-1", connects=0, origin=origin)
    assert answer(story.proposed("p-1", by="f-1", on="j-1", connects=12)) == "declined/already-spent"


def test_a_boost_alone_is_a_spend(story: Story) -> None:
    story.registered("f-1")
    decision = story.proposed("p-1", by="f-1", on="j-1", connects=0, boost=5)
    assert (answer(decision), only_change(decision).delta) == ("applied/proposal-submitted", -5)


# Burn order.


def test_the_lot_that_expires_first_burns_first(story: Story) -> None:
    story.bought("f-1", 10, "later", at=day(2))
    story.bought("f-1", 10, "earlier", at=day(1))
    story.proposed("p-1", by="f-1", on="j-1", connects=4)
    assert story.lots("f-1") == [
        ("purchase", 6, day(a_year_after(1))),
        ("purchase", 10, day(a_year_after(2))),
    ]


def test_of_lots_that_expire_together_the_one_issued_first_burns_first(story: Story) -> None:
    # 28 and 29 February 2028 expire on the same day.
    story.until(day(783))
    leap_day = day(785)
    assert (leap_day.month, leap_day.day) == (2, 29)
    story.bought("f-1", 10, at=leap_day)
    story.bought("f-1", 20, at=leap_day - timedelta(days=1))
    assert {lot.expires_at for lot in story.lots("f-1")} == {day(1150)}
    story.proposed("p-1", by="f-1", on="j-1", connects=4)
    assert story.remaining("f-1") == [16, 10]


def test_of_lots_alike_the_lower_id_burns_first(story: Story) -> None:
    story.bought("f-1", 10, at=day(1))
    story.bought("f-1", 20, at=day(1))
    story.proposed("p-1", by="f-1", on="j-1", connects=4)
    assert [(lot.lot_id, lot.remaining) for lot in story.wallet("f-1").lots] == [("f-1:1", 6), ("f-1:2", 20)]


def test_lots_burn_in_the_same_order_however_they_came_in() -> None:
    came_in = [(1, 10), (2, 20), (3, 30), (4, 40)]
    ends = set()
    for shuffled in permutations(came_in):
        story = Story()
        story.until(day(5))
        for number, connects in shuffled:
            story.bought("f-1", connects, at=day(number))
        story.proposed("p-1", by="f-1", on="j-1", connects=47, at=day(6))
        ends.add(tuple(story.lots("f-1")))
    assert ends == {(("purchase", 13, day(368)), ("purchase", 40, day(369)))}


def test_the_base_line_draws_before_the_boost_line(story: Story) -> None:
    story.bought("f-1", 10, at=day(1))
    story.bought("f-1", 10, at=day(2))
    story.proposed("p-1", by="f-1", on="j-1", connects=8, boost=6)
    base, boost = story.spend("p-1").lines
    assert [(draw.lot.lot_id, draw.connects) for draw in base.draws] == [("f-1:1", 8)]
    assert [(draw.lot.lot_id, draw.connects) for draw in boost.draws] == [("f-1:1", 2), ("f-1:2", 4)]


def test_a_lot_is_not_drawn_at_the_instant_it_expires(story: Story) -> None:
    story.bought("f-1", 10, at=day(0))
    story.bought("f-1", 10, at=day(1))
    story.proposed("p-1", by="f-1", on="j-1", connects=4, at=day(365) - A_MICROSECOND)
    story.proposed("p-2", by="f-1", on="j-1", connects=4, at=day(365))
    assert story.remaining("f-1") == [6, 6]


def test_a_late_spend_draws_the_lots_that_are_open_now(story: Story) -> None:
    story.until(day(400))
    story.bought("f-1", 10, at=day(399))
    decision = story.proposed("p-1", by="f-1", on="j-1", connects=4, at=day(10))
    assert (answer(decision), story.remaining("f-1")) == ("applied/proposal-submitted", [6])


# Debts.


def test_what_no_lot_covers_becomes_debt_and_the_balance_goes_below_zero(story: Story) -> None:
    story.registered("f-1")
    decision = story.proposed("p-1", by="f-1", on="j-1", connects=38, boost=10)
    change = only_change(decision)
    assert (change.delta, change.debt_delta, change.balance_after) == (-48, 8, -8)
    base, boost = story.spend("p-1").lines
    assert (base.debt, boost.debt) == (0, 8)
    assert "8 of them were not in the wallet" in explain_change(change)


def test_a_proposal_of_somebody_unknown_is_a_fact_too(story: Story) -> None:
    decision = story.proposed("p-1", by="f-1", on="j-1", connects=12)
    assert (answer(decision), story.balance("f-1")) == ("applied/proposal-submitted", -12)


def test_a_later_credit_enters_its_lot_whole_and_then_pays_the_debt(story: Story) -> None:
    story.proposed("p-1", by="f-1", on="j-1", connects=12)
    change = only_change(story.registered("f-1"))
    assert (change.delta, change.debt_delta, change.balance_after) == (40, -12, 28)
    assert [(move.lot_id, move.line, move.delta) for move in change.movements] == [
        ("f-1:2", None, 40),
        ("f-1:2", ("p-1", "base"), -12),
        (None, ("p-1", "base"), 12),
    ]
    assert [(lot.original, lot.remaining) for lot in story.wallet("f-1").lots] == [(40, 28)]
    assert [(draw.lot.lot_id, draw.connects) for draw in story.spend("p-1").base.draws] == [("f-1:2", 12)]


def test_a_credit_that_is_less_than_the_debt_pays_what_it_can(story: Story) -> None:
    story.proposed("p-1", by="f-1", on="j-1", connects=12)
    change = only_change(story.bought("f-1", 5))
    assert (change.delta, change.balance_after) == (5, -7)
    assert (story.debt("f-1"), story.lots("f-1")) == (7, [])


def test_debts_are_paid_oldest_line_first_however_they_arrived(story: Story) -> None:
    story.until(day(5))
    story.proposed("p-3", by="f-1", on="j-1", connects=10, at=day(3))
    story.proposed("p-2", by="f-1", on="j-1", connects=10, boost=10, at=day(1))
    story.proposed("p-1", by="f-1", on="j-1", connects=10, at=day(1))
    story.bought("f-1", 25)
    owed = {name: [line.debt for line in story.spend(name).lines] for name in ("p-1", "p-2", "p-3")}
    assert owed == {"p-1": [0, 0], "p-2": [0, 5], "p-3": [10, 0]}


def test_one_credit_pays_several_debts(story: Story) -> None:
    story.proposed("p-1", by="f-1", on="j-1", connects=10)
    story.proposed("p-2", by="f-1", on="j-1", connects=10)
    story.bought("f-1", 60)
    assert (story.debt("f-1"), story.balance("f-1"), story.remaining("f-1")) == (0, 40, [40])


def test_debts_do_not_expire(story: Story) -> None:
    story.proposed("p-1", by="f-1", on="j-1", connects=10)
    story.passes(days=800)
    assert (story.balance("f-1"), story.debt("f-1")) == (-10, 10)


def test_only_what_the_present_change_brought_pays_debts(story: Story) -> None:
    # At day 365 the first lot's time is over, though its expiry is not booked yet: the spend is owed beside it.
    story.bought("f-1", 10, at=day(0))
    story.proposed("p-1", by="f-1", on="j-1", connects=8, at=day(365))
    assert (story.remaining("f-1"), story.debt("f-1")) == ([10], 8)
    story.bought("f-1", 5, at=day(365, 1))
    assert (story.remaining("f-1"), story.debt("f-1"), story.balance("f-1")) == ([10], 3, 7)


# Policy overdraft = "decline".


def test_policy_decline_refuses_what_the_lots_do_not_cover() -> None:
    story = Story(policies(overdraft="decline"))
    story.registered("f-1")
    decision = story.proposed("p-1", by="f-1", on="j-1", connects=38, boost=3)
    assert answer(decision) == "declined/insufficient-balance"
    assert explained(decision) == "Not booked: proposal p-1 costs 41 Connects, but only 40 were available."
    assert story.balance("f-1") == 40
    assert answer(story.proposed("p-2", by="f-1", on="j-1", connects=38, boost=2)) == "applied/proposal-submitted"
    assert story.balance("f-1") == 0


def test_policy_decline_leaves_no_spend_and_does_not_use_up_the_id() -> None:
    story = Story(policies(overdraft="decline"))
    story.proposed("p-1", by="f-1", on="j-1", connects=4)
    story.registered("f-1")
    assert answer(story.proposed("p-1", by="f-1", on="j-1", connects=4)) == "applied/proposal-submitted"
    story.closed("j-1")
    assert story.settled() == ["applied/closed-without-hire"]


def test_policy_decline_does_not_count_lots_whose_time_is_over() -> None:
    story = Story(policies(overdraft="decline"))
    story.bought("f-1", 40, at=day(0))
    decision = story.proposed("p-1", by="f-1", on="j-1", connects=4, at=day(365))
    assert answer(decision) == "declined/insufficient-balance"


def test_policy_decline_lets_free_proposals_through() -> None:
    story = Story(policies(overdraft="decline"))
    decisions = [
        story.proposed("p-1", by="f-1", on="j-1", connects=0),
        story.proposed("p-2", by="f-1", on="j-1", connects=9, origin="invite"),
    ]
    assert answers(decisions) == ["recorded/cost-nothing", "recorded/free-from-invitation"]


def test_an_outbid_of_a_declined_proposal_waits_for_the_proposal() -> None:
    story = Story(policies(overdraft="decline"))
    story.outbid("p-1", by="f-1", on="j-1")
    story.proposed("p-1", by="f-1", on="j-1", connects=4, boost=3)
    assert answers(story.decisions) == ["recorded/unknown-proposal", "declined/insufficient-balance"]
    story.registered("f-1")
    story.proposed("p-1", by="f-1", on="j-1", connects=4, boost=3)
    assert answers(story.decisions[-2:]) == ["applied/proposal-submitted", "applied/boost-outbid"]


# Boosts that are outbid.


def test_an_outbid_boost_comes_back_alone(story: Story) -> None:
    story.registered("f-1")
    story.proposed("p-1", by="f-1", on="j-1", connects=12, boost=5)
    decision = story.outbid("p-1", by="f-1", on="j-1")
    assert answer(decision) == "applied/boost-outbid"
    assert (decision.rule, only_change(decision).delta, story.balance("f-1")) == ("refund.boost-outbid", 5, 28)


def test_a_boost_comes_back_once(story: Story) -> None:
    story.registered("f-1")
    story.proposed("p-1", by="f-1", on="j-1", connects=12, boost=5)
    story.outbid("p-1", by="f-1", on="j-1")
    assert answer(story.outbid("p-1", by="f-1", on="j-1")) == "declined/already-refunded"
    assert story.balance("f-1") == 28


def test_a_proposal_without_boost_has_none_that_could_be_outbid(story: Story) -> None:
    story.registered("f-1")
    story.proposed("p-1", by="f-1", on="j-1", connects=12)
    assert answer(story.outbid("p-1", by="f-1", on="j-1")) == "declined/no-boost"


def test_the_boost_of_a_free_proposal_cost_nothing_and_does_not_come_back(story: Story) -> None:
    story.proposed("p-1", by="f-1", on="j-1", connects=12, boost=5, origin="invite")
    assert answer(story.outbid("p-1", by="f-1", on="j-1")) == "declined/no-boost"


@pytest.mark.parametrize(("closure", "again"), [("closed-by-client", "already-refunded"), ("expired", "boost-outbid")])
def test_an_outbid_after_the_settlement_returns_what_has_not_come_back(story: Story, closure: str, again: str) -> None:
    story.registered("f-1")
    story.proposed("p-1", by="f-1", on="j-1", connects=12, boost=5)
    story.closed("j-1", closure)
    story.settled()
    assert story.outbid("p-1", by="f-1", on="j-1").reason == again
    assert story.balance("f-1") == (40 if closure == "closed-by-client" else 28)


def test_an_outbid_whose_proposal_is_unknown_counts_when_the_proposal_arrives(story: Story) -> None:
    story.registered("f-1")
    first = story.outbid("p-1", by="f-1", on="j-1")
    assert answer(first) == "recorded/unknown-proposal"
    story.proposed("p-1", by="f-1", on="j-1", connects=12, boost=5)
    spend, follow_up = story.decisions[-2:]
    assert answers([spend, follow_up]) == ["applied/proposal-submitted", "applied/boost-outbid"]
    assert (follow_up.kind, follow_up.follows, follow_up.cause) == ("follow-up", first.seq, first.cause)
    assert (only_change(follow_up).occurred_at, story.balance("f-1")) == (first.occurred_at, 28)


def test_an_outbid_dated_before_its_proposal_counts_all_the_same(story: Story) -> None:
    story.registered("f-1")
    story.proposed("p-1", by="f-1", on="j-1", connects=12, boost=5)
    assert answer(story.outbid("p-1", by="f-1", on="j-1", at=day(0) - timedelta(days=3))) == "applied/boost-outbid"


def test_outbids_sent_twice_before_their_proposal_count_once(story: Story) -> None:
    story.registered("f-1")
    story.outbid("p-1", by="f-1", on="j-1")
    story.outbid("p-1", by="f-1", on="j-1")
    story.proposed("p-1", by="f-1", on="j-1", connects=12, boost=5)
    assert answers(story.decisions[-2:]) == ["applied/boost-outbid", "declined/already-refunded"]
    assert story.balance("f-1") == 28


def test_an_early_outbid_of_a_proposal_without_boost_is_declined_when_that_arrives(story: Story) -> None:
    story.outbid("p-1", by="f-1", on="j-1")
    story.proposed("p-1", by="f-1", on="j-1", connects=12)
    assert answers(story.decisions[-2:]) == ["applied/proposal-submitted", "declined/no-boost"]


def test_an_outbid_that_names_another_freelancer_or_job_has_no_effect(story: Story) -> None:
    story.registered("f-1")
    story.proposed("p-1", by="f-1", on="j-1", connects=12, boost=5)
    wrong = [story.outbid("p-1", by="f-2", on="j-1"), story.outbid("p-1", by="f-1", on="j-2")]
    assert answers(wrong) == ["recorded/proposal-mismatch"] * 2
    assert story.balance("f-1") == 23


def test_an_early_outbid_that_names_another_job_has_no_effect_either(story: Story) -> None:
    story.registered("f-1")
    story.outbid("p-1", by="f-1", on="j-2")
    story.proposed("p-1", by="f-1", on="j-1", connects=12, boost=5)
    assert answers(story.decisions[-2:]) == ["applied/proposal-submitted", "recorded/proposal-mismatch"]
    assert story.balance("f-1") == 23


def test_an_outbid_boost_returns_to_its_lot_and_cancels_its_own_debt(story: Story) -> None:
    story.registered("f-1")
    story.proposed("p-1", by="f-1", on="j-1", connects=36, boost=10)
    change = only_change(story.outbid("p-1", by="f-1", on="j-1"))
    assert (change.delta, change.debt_delta, change.balance_after) == (10, -6, 4)
    assert (story.debt("f-1"), story.remaining("f-1")) == (0, [4])
