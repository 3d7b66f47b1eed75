"""Grants: how much, once for what, and the reason when nothing is granted (domain.md, Grants)."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.kit.policies import later_version, policies, policy_text
from tests.kit.story import Story, answer, day, explained, only_change
from worker.words.explanations import explain_change

A_MICROSECOND = timedelta(microseconds=1)


# Registration.


def test_registering_brings_40_connects(story: Story) -> None:
    decision = story.registered("f-1")
    assert answer(decision) == "applied/registered"
    assert (decision.rule, only_change(decision).delta, story.balance("f-1")) == ("grant.registration", 40, 40)


def test_registering_again_brings_nothing_whatever_the_event_id(story: Story) -> None:
    story.registered("f-1")
    assert answer(story.registered("f-1")) == "declined/already-granted"
    assert story.balance("f-1") == 40


def test_each_freelancer_registers_for_themselves(story: Story) -> None:
    story.registered("f-1")
    assert answer(story.registered("f-2")) == "applied/registered"


def test_an_agency_has_a_wallet_like_anybody(story: Story) -> None:
    story.registered("agency:77")
    assert story.balance("agency:77") == 40


@pytest.mark.parametrize("amount", ["registration", "certification"])
def test_a_policy_that_grants_nothing_has_nothing_to_do(amount: str) -> None:
    story = Story(policies(**{amount: 0}))
    happens = story.registered if amount == "registration" else story.certified
    assert answer(happens("f-1")) == "declined/nothing-to-do"
    assert (story.balance("f-1"), story.wallet("f-1").version) == (0, 0)


# Badges.


def test_rising_talent_brings_30_connects(story: Story) -> None:
    decision = story.earned_badge("f-1", "rising-talent")
    assert answer(decision) == "applied/badge-earned"
    assert (decision.rule, story.balance("f-1")) == ("grant.badge", 30)


def test_losing_a_badge_and_earning_it_again_pays_nothing(story: Story) -> None:
    story.earned_badge("f-1", "rising-talent")
    story.passes(days=90)
    assert answer(story.earned_badge("f-1", "rising-talent")) == "declined/already-granted"
    assert story.balance("f-1") == 30


def test_another_badge_has_no_award(story: Story) -> None:
    assert answer(story.earned_badge("f-1", "top-rated")) == "declined/no-award-for-badge"
    assert (story.balance("f-1"), story.wallet("f-1").version) == (0, 0)


def test_a_badge_without_award_may_get_one_from_a_later_policy() -> None:
    dearer = later_version("2026-07-01").replace("rising-talent = 30", "rising-talent = 30\ntop-rated = 15")
    story = Story(policies(policy_text() + dearer))
    assert answer(story.earned_badge("f-1", "top-rated")) == "declined/no-award-for-badge"
    decision = story.earned_badge("f-1", "top-rated", at=datetime(2026, 8, 1, tzinfo=UTC))
    assert (answer(decision), decision.policy_version) == ("applied/badge-earned", "2026-07-01")


# Certifications.


def test_a_skill_certification_brings_20_connects(story: Story) -> None:
    decision = story.certified("f-1", "s-1")
    assert answer(decision) == "applied/certified"
    assert (decision.rule, story.balance("f-1")) == ("grant.certification", 20)


def test_the_same_certification_again_brings_nothing(story: Story) -> None:
    story.certified("f-1", "s-1")
    assert answer(story.certified("f-1", "s-1")) == "declined/already-granted"
    assert answer(story.certified("f-1", "s-2")) == "applied/certified"
    assert story.balance("f-1") == 40


def test_a_learning_path_brings_nothing(story: Story) -> None:
    decision = story.certified("f-1", "upwork-101", kind="learning-path")
    assert answer(decision) == "declined/not-a-skill-certification"
    assert story.balance("f-1") == 0


def test_a_learning_path_does_not_use_up_the_certification(story: Story) -> None:
    story.certified("f-1", "s-1", kind="learning-path")
    assert answer(story.certified("f-1", "s-1")) == "applied/certified"


# Interviews.


@pytest.mark.parametrize(("cents", "connects"), [(1, 5), (999_999, 5), (1_000_000, 10), (5_000_000, 10)])
def test_an_interview_brings_connects_by_what_its_client_has_spent(story: Story, cents: int, connects: int) -> None:
    decision = story.interviewed("f-1", on="j-1", spent=cents)
    assert answer(decision) == "applied/interview-won"
    assert (decision.rule, story.balance("f-1")) == ("grant.interview", connects)


def test_an_interview_from_an_invitation_brings_nothing(story: Story) -> None:
    assert answer(story.interviewed("f-1", on="j-1", origin="invite")) == "declined/interview-from-invitation"


@pytest.mark.parametrize(("hires", "spent"), [(0, 100), (1, 0), (0, 0)])
def test_a_client_who_never_hired_or_never_paid_is_not_established(story: Story, hires: int, spent: int) -> None:
    decision = story.interviewed("f-1", on="j-1", hires=hires, spent=spent)
    assert answer(decision) == "declined/client-not-established"


def test_a_client_who_spent_nothing_is_not_established_whatever_the_tiers_say() -> None:
    story = Story(policies(interview_tiers=[{"from_cents": 0, "connects": 3}]))
    assert answer(story.interviewed("f-1", on="j-1", spent=0)) == "declined/client-not-established"
    assert answer(story.interviewed("f-1", on="j-1", spent=1)) == "applied/interview-won"


def test_an_interview_counts_once_for_a_freelancer_and_a_job(story: Story) -> None:
    story.interviewed("f-1", on="j-1")
    assert answer(story.interviewed("f-1", on="j-1", spent=2_000_000)) == "declined/already-granted"
    assert answer(story.interviewed("f-2", on="j-1")) == "applied/interview-won"
    assert answer(story.interviewed("f-1", on="j-2")) == "applied/interview-won"


def test_a_refused_interview_does_not_use_up_the_job(story: Story) -> None:
    story.interviewed("f-1", on="j-1", hires=0)
    assert answer(story.interviewed("f-1", on="j-1")) == "applied/interview-won"


def test_the_reasons_against_an_interview_come_in_their_order(story: Story) -> None:
    five_dear_interviews(story)
    refusals = [
        story.interviewed("f-1", on="j-1", origin="invite", hires=0, spent=0),
        story.interviewed("f-1", on="j-1", hires=0),
        story.interviewed("f-1", on="j-1"),
        story.interviewed("f-1", on="j-9"),
    ]
    assert [decision.reason for decision in refusals] == [
        "interview-from-invitation",
        "client-not-established",
        "already-granted",
        "weekly-cap",
    ]


def five_dear_interviews(story: Story, freelancer: str = "f-1") -> None:
    """The cap of 50, used up one day after the other from day 0 on."""
    for number in range(1, 6):
        story.interviewed(freelancer, on=f"j-{number}", spent=1_000_000, at=day(number - 1))
    assert story.balance(freelancer) == 50


def test_interviews_bring_at_most_50_connects_in_seven_days(story: Story) -> None:
    five_dear_interviews(story)
    assert answer(story.interviewed("f-1", on="j-6", at=day(6))) == "declined/weekly-cap"
    assert story.balance("f-1") == 50


def test_the_cap_is_each_freelancers_own(story: Story) -> None:
    five_dear_interviews(story)
    assert answer(story.interviewed("f-2", on="j-6", at=day(4, 60))) == "applied/interview-won"


def test_what_was_granted_exactly_seven_days_ago_counts_no_more(story: Story) -> None:
    five_dear_interviews(story)
    assert answer(story.interviewed("f-1", on="j-6", at=day(7) - A_MICROSECOND)) == "declined/weekly-cap"
    decision = story.interviewed("f-1", on="j-6", at=day(7))
    assert (answer(decision), only_change(decision).delta) == ("applied/interview-won", 5)


def test_what_was_granted_at_the_same_instant_counts(story: Story) -> None:
    five_dear_interviews(story)
    assert answer(story.interviewed("f-1", on="j-6", spent=1, at=day(4))) == "declined/weekly-cap"


def test_a_grant_above_the_cap_is_cut_to_what_is_left(story: Story) -> None:
    for number in range(1, 5):
        story.interviewed("f-1", on=f"j-{number}", spent=1_000_000)
    story.interviewed("f-1", on="j-5", spent=1)
    decision = story.interviewed("f-1", on="j-6", spent=1_000_000)
    assert (answer(decision), only_change(decision).delta) == ("applied/interview-won", 5)
    assert story.balance("f-1") == 50
    assert "It would have been 10" in explain_change(only_change(decision))


def test_the_weekly_cap_does_not_use_up_the_job(story: Story) -> None:
    five_dear_interviews(story)
    assert answer(story.interviewed("f-1", on="j-6", at=day(5))) == "declined/weekly-cap"
    assert answer(story.interviewed("f-1", on="j-6", at=day(8))) == "applied/interview-won"


def test_an_interview_read_late_is_held_against_the_days_before_it_only(story: Story) -> None:
    five_dear_interviews(story)
    decision = story.interviewed("f-1", on="j-6", at=day(0) - A_MICROSECOND)
    assert (answer(decision), only_change(decision).delta) == ("applied/interview-won", 5)


# Purchases.


def test_a_purchase_brings_what_was_bought(story: Story) -> None:
    decision = story.bought("f-1", 60)
    assert answer(decision) == "applied/purchased"
    assert (decision.rule, story.balance("f-1")) == ("grant.purchase", 60)


def test_a_purchase_counts_once_whoever_is_named_the_second_time(story: Story) -> None:
    story.bought("f-1", 60, "b-1")
    assert answer(story.bought("f-1", 60, "b-1")) == "declined/already-granted"
    assert answer(story.bought("f-2", 60, "b-1")) == "declined/already-granted"
    assert (story.balance("f-1"), story.balance("f-2")) == (60, 0)


def test_a_purchase_id_that_was_used_is_reported_before_an_amount_of_nothing(story: Story) -> None:
    story.bought("f-1", 60, "b-1")
    assert answer(story.bought("f-1", 0, "b-1")) == "declined/already-granted"


def test_a_purchase_of_nothing_has_nothing_to_do(story: Story) -> None:
    assert answer(story.bought("f-1", 0, "b-1")) == "declined/nothing-to-do"
    assert answer(story.bought("f-1", 60, "b-1")) == "applied/purchased"


# Adjustments.


def test_an_adjustment_adds(story: Story) -> None:
    decision = story.adjusted("f-1", 500)
    assert answer(decision) == "applied/adjusted"
    assert (decision.rule, story.balance("f-1")) == ("adjust", 500)


def test_an_adjustment_takes_in_burn_order(story: Story) -> None:
    story.registered("f-1", at=day(0))
    story.bought("f-1", 10, at=day(1))
    decision = story.adjusted("f-1", -45)
    assert (answer(decision), only_change(decision).delta) == ("applied/adjusted", -45)
    assert story.remaining("f-1") == [5]


def test_an_adjustment_may_take_everything(story: Story) -> None:
    story.registered("f-1")
    assert answer(story.adjusted("f-1", -40)) == "applied/adjusted"
    assert story.balance("f-1") == 0


def test_an_adjustment_below_zero_is_refused_and_may_come_again(story: Story) -> None:
    story.registered("f-1")
    assert answer(story.adjusted("f-1", -41, "a-1")) == "declined/insufficient-balance"
    assert story.balance("f-1") == 40
    story.bought("f-1", 1)
    assert answer(story.adjusted("f-1", -41, "a-1")) == "applied/adjusted"


def test_an_adjustment_never_makes_a_debt_of_a_lot_whose_time_is_over(story: Story) -> None:
    story.bought("f-1", 40, at=day(0))
    decision = story.adjusted("f-1", -1, at=day(365))
    assert answer(decision) == "declined/insufficient-balance"
    assert (story.balance("f-1"), story.debt("f-1")) == (40, 0)
    assert "only 0 were available" in explained(decision)


def test_an_adjustment_counts_once(story: Story) -> None:
    story.adjusted("f-1", 10, "a-1")
    assert answer(story.adjusted("f-1", -5, "a-1")) == "declined/already-granted"
    assert story.balance("f-1") == 10


def test_an_adjustment_id_that_was_used_is_reported_before_an_amount_of_nothing(story: Story) -> None:
    story.adjusted("f-1", 10, "a-1")
    assert answer(story.adjusted("f-1", 0, "a-1")) == "declined/already-granted"


def test_an_adjustment_of_nothing_has_nothing_to_do(story: Story) -> None:
    assert answer(story.adjusted("f-1", 0)) == "declined/nothing-to-do"


# All of them.


def test_every_grant_is_a_lot_of_its_own_issued_when_it_happened(story: Story) -> None:
    story.registered("f-1", at=day(1))
    story.earned_badge("f-1", at=day(2))
    story.certified("f-1", at=day(3))
    story.interviewed("f-1", on="j-1", at=day(4))
    story.bought("f-1", 7, at=day(5))
    story.adjusted("f-1", 9, at=day(6))
    assert story.lots("f-1") == [
        ("registration", 40, day(1).replace(year=2027)),
        ("badge", 30, day(2).replace(year=2027)),
        ("certification", 20, day(3).replace(year=2027)),
        ("interview", 5, day(4).replace(year=2027)),
        ("purchase", 7, day(5).replace(year=2027)),
        ("adjustment", 9, day(6).replace(year=2027)),
    ]
    assert [lot.lot_id for lot in story.wallet("f-1").lots] == [f"f-1:{version}" for version in range(1, 7)]


def test_a_refusal_moves_nothing_but_opens_the_wallet(story: Story) -> None:
    story.earned_badge("f-1", "top-rated")
    assert (story.balance("f-1"), story.wallet("f-1").version, story.lots("f-1")) == (0, 0, [])


def test_an_event_is_decided_under_the_policy_of_the_day_it_happened() -> None:
    dearer = later_version("2026-07-01", registration=55)
    story = Story(policies(policy_text() + dearer))
    before, after = datetime(2026, 6, 30, 23, 59, 59, 999_999, tzinfo=UTC), datetime(2026, 7, 1, tzinfo=UTC)
    story.until(after + timedelta(days=30))
    decided = [story.registered("f-1", at=before), story.registered("f-2", at=after)]
    assert [(only_change(decision).delta, decision.policy_version) for decision in decided] == [
        (40, "2026-01-01"),
        (55, "2026-07-01"),
    ]


def test_the_first_policy_also_covers_the_time_before_it() -> None:
    story = Story(start=datetime(2020, 1, 1, tzinfo=UTC))
    decision = story.registered("f-1")
    assert (answer(decision), decision.policy_version) == ("applied/registered", "2026-01-01")
