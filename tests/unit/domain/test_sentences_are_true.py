"""Sentences that were not quite true, each about the very case in which it was wrong."""

import pytest

from tests.kit.members import basic_member, cycle_starts, on, plus_member, with_promo_codes
from tests.kit.policies import policies
from tests.kit.story import Story, answer, day, explained
from worker.words.upcoming import upcoming

RETURNED_BY = (
    "Connects come back when the client closes the job without hiring anyone, or when the marketplace removes it "
    "before anyone is hired."
)


@pytest.fixture
def story() -> Story:
    story = Story()
    story.registered("f-1", at=day(0))
    return story


# Refunds.


@pytest.mark.parametrize(
    ("closure", "how"),
    [("closed-by-client", "was closed by the client"), ("removed-by-marketplace", "was removed by the marketplace")],
)
def test_a_hire_does_not_say_that_only_a_closing_returns_connects(story: Story, closure: str, how: str) -> None:
    """(a) A removal does as well."""
    story.proposed("p-1", by="f-1", on="j-1", connects=12, at=day(1))
    story.hired("j-1", at=day(2))
    story.closed("j-1", closure, at=day(3))
    story.settled()
    assert explained(story.decisions[-1]) == (
        "No Connects returned: somebody was hired for job j-1 on 7 January 2026, before it "
        f"{how} on 8 January 2026. {RETURNED_BY}"
    )


def test_an_expired_job_says_that_a_removal_returns_connects_only_before_a_hire(story: Story) -> None:
    """(b)"""
    story.proposed("p-1", by="f-1", on="j-1", connects=12, at=day(1))
    story.closed("j-1", "expired", at=day(3))
    story.settled()
    assert explained(story.decisions[-1]).endswith(RETURNED_BY)


def test_an_outbid_before_its_proposal_promises_no_boost_that_there_may_not_be(story: Story) -> None:
    noted = story.outbid("p-1", by="f-1", on="j-1", at=day(1))
    assert explained(noted).endswith("If it has a boost, that comes back as soon as it does.")
    story.proposed("p-1", by="f-1", on="j-1", connects=12, at=day(2))
    assert answer(story.decisions[-1]) == "declined/no-boost"


def test_a_refund_to_a_lot_whose_time_is_over_does_not_say_that_it_is_still_to_come(story: Story) -> None:
    story.proposed("p-1", by="f-1", on="j-1", connects=12, at=day(1))
    story.closed("j-1", at=day(400))
    story.settled()
    assert explained(story.decisions[-1]).endswith("12 of them got a later expiry date: the old one was near, or over.")


def test_a_client_who_spent_too_little_is_not_said_to_have_spent_nothing() -> None:
    story = Story(policies(interview_tiers=[{"from_cents": 1_000, "connects": 5}]))
    story.registered("f-1", at=day(0))
    won = story.interviewed("f-1", on="j-1", spent=999, at=day(1))
    assert explained(won) == (
        "Nothing granted: the client of job j-1 had spent $9.99 before, which is not enough for an interview to bring "
        "Connects."
    )


@pytest.mark.parametrize(
    ("send", "what"),
    [
        (lambda story, at: story.registered("f-1", at=at), "registering brought 40 Connects"),
        (lambda story, at: story.earned_badge("f-1", at=at), "the badge rising-talent brought 30 Connects"),
        (lambda story, at: story.certified("f-1", "s-1", at=at), "the certification s-1 brought 20 Connects"),
        (lambda story, at: story.interviewed("f-1", on="j-1", at=at), "the interview for job j-1 brought 5 Connects"),
        (lambda story, at: story.bought("f-1", 7, "b-1", at=at), "purchase b-1 brought 7 Connects"),
        (lambda story, at: story.adjusted("f-1", 7, "a-1", at=at), "adjustment a-1 brought 7 Connects"),
    ],
)
def test_a_repeat_names_what_was_granted_before(send: object, what: str) -> None:
    """(g)"""
    story = Story()
    assert callable(send)
    send(story, day(1))
    again = send(story, day(2))
    assert explained(again) == f"Nothing granted: {what} on 6 January 2026 already; it is granted only once."


# Memberships.


def test_a_downgrade_on_the_renewal_day_says_that_the_charge_of_that_day_remains_due() -> None:
    """(e)"""
    story = plus_member()
    cycle_starts(story, 5, 10)
    story.paid("f-1:2026-05-10:1", "f-1", at=on(5, 10, 1))
    assert explained(story.chose("basic", "f-1", at=on(5, 10, 9))) == (
        "Basic was chosen on 10 May 2026. That is too late for the cycle that began on 10 May 2026: the charge "
        "for it remains due. Plus ends with its cycle, on 10 June 2026. Until then Plus stays; nothing is charged for "
        "the time after."
    )


def test_a_downgrade_in_time_that_was_read_after_the_renewal_says_so_too() -> None:
    story = plus_member()
    cycle_starts(story, 5, 10)
    late = story.chose("basic", "f-1", at=on(5, 9, 23))
    assert "That is too late for the cycle that began on 10 May 2026: the charge for it remains due." in explained(late)


def test_a_downgrade_while_the_renewal_is_not_answered_does_not_promise_that_plus_stays() -> None:
    story = plus_member()
    cycle_starts(story, 5, 10)
    chosen = story.chose("basic", "f-1", at=on(5, 12))
    assert explained(chosen).endswith(
        "nothing is charged for the time after. The charge for the cycle that began on 10 May 2026 is not answered "
        "yet; if it fails, Plus ends immediately."
    )
    story.unpaid("f-1:2026-05-10:1", "f-1", at=on(5, 13))
    assert story.membership("f-1").plan == "basic"


def test_who_never_had_plus_reads_nothing_about_its_coming_back() -> None:
    """(f)"""
    story = basic_member()
    story.suspended("f-1", at=on(4, 9))
    lifted = story.reinstated("f-1", at=on(4, 10))
    assert explained(lifted) == (
        "The suspension of the account was lifted on 10 April 2026. The plan is Basic until Plus is chosen."
    )


def test_who_has_no_membership_yet_reads_of_no_plan() -> None:
    story = Story(start=on(4, 1))
    story.suspended("f-1", at=on(4, 9))
    lifted = story.reinstated("f-1", at=on(4, 10))
    assert explained(lifted) == "The suspension of the account was lifted on 10 April 2026."


def test_who_waits_for_plus_is_not_asked_to_choose_it() -> None:
    story = basic_member()
    story.chose("plus", "f-1", at=on(4, 8))
    suspended = story.suspended("f-1", "billing-method", at=on(4, 9))
    assert explained(suspended).endswith(
        "If the charge for Plus is paid, Plus ends with its first cycle, unless that is lifted before."
    )
    lifted = story.reinstated("f-1", "billing-method", at=on(4, 10))
    assert explained(lifted).endswith("was lifted on 10 April 2026. Plus begins when its charge is paid.")


def test_a_suspended_account_does_not_say_that_everything_else_goes_on() -> None:
    story = basic_member()
    suspended = story.suspended("f-1", at=on(4, 9))
    assert "Plus cannot be chosen; one-time Connects, proposals and refunds go on." in explained(suspended)
    assert answer(story.chose("plus", "f-1", at=on(4, 10))) == "declined/account-suspended"


def test_with_two_suspensions_lifting_the_one_that_is_named_is_not_said_to_be_enough() -> None:
    story = basic_member()
    story.suspended("f-1", "account", at=on(4, 8))
    story.suspended("f-1", "billing-method", at=on(4, 9))
    refused = story.chose("plus", "f-1", at=on(4, 10))
    assert explained(refused).endswith("Plus may be chosen again when no suspension is in force any more.")


def test_a_balance_is_shown_in_the_currency_of_the_policy() -> None:
    story = basic_member(policies(currency="EUR"))
    assert "the earnings balance was 12.34 EUR on" in explained(story.has_earned("f-1", 1_234, at=on(4, 2)))


def test_a_suspended_plus_member_does_not_say_that_lifting_it_brings_basics_connects() -> None:
    story = plus_member()
    story.suspended("f-1", at=on(4, 20))
    (_, basic) = upcoming(story.membership("f-1"), story.policies)
    assert basic.explanation == "No Connects for the Basic cycle that begins on 10 May 2026: the account is suspended."
    story.chose("basic", "f-1", at=on(4, 21))
    (_, basic) = upcoming(story.membership("f-1"), story.policies)
    assert basic.explanation.endswith("unless the suspension of the account is lifted before.")


def test_what_costs_nothing_is_not_said_to_have_been_paid() -> None:
    story = basic_member(with_promo_codes())
    chosen = story.chose("plus", "f-1", promo="GIFT", at=on(4, 10))
    assert "paid on" not in explained(chosen)
    assert "that are paid for" not in explained(chosen)
