"""Settling a spend again by what is known now: only the difference to what came back is booked, and dated now."""

from datetime import datetime, timedelta

import pytest

from tests.kit.policies import later_version, policies, policy_text
from tests.kit.story import Story, answer, day, explained, only_change
from worker.domain.decisions import Decision
from worker.domain.state import Due
from worker.words.explanations import explain_change

NOTHING = "declined/nothing-to-do"
RETURNED = "applied/settled-anew"
TAKEN = "applied/taken-back"


class Faulty(Story):
    """A ledger whose worker passes some spends over when it settles a job, for a fault."""

    def __init__(self, *passed_over: str, **changes: object) -> None:
        super().__init__(policies(**changes))
        self.passed_over = set(passed_over)

    def _settle(self, due: Due) -> None:
        job = self.state.jobs[self._closure(int(due.key.partition("/")[0])).job_id]
        kept, job.proposal_ids = job.proposal_ids, [one for one in job.proposal_ids if one not in self.passed_over]
        super()._settle(due)
        job.proposal_ids = kept


def spent(story: Story, *, boost: int = 5) -> Story:
    """f-1 has bought 40 Connects and spent 12 + 5 on j-1, on day 1."""
    story.bought("f-1", 40, at=day(0))
    story.proposed("p-1", by="f-1", on="j-1", connects=12, boost=boost, at=day(1))
    return story


def never_settled(**changes: object) -> Story:
    """The same; the client closed j-1 on day 2, and a fault passed p-1 over. It is day 3."""
    story = spent(Faulty("p-1", **changes))
    story.closed("j-1", at=day(2))
    story.until(day(3))
    assert story.balance("f-1") == 23
    return story


def settled_anew(story: Story, proposal: str = "p-1", **how: bool) -> Decision:
    decision = story.settles_again(proposal, **how)
    assert answer(decision) == RETURNED
    return decision


def taken_back(story: Story, proposal: str = "p-1", *, late_hires: bool = True) -> Decision:
    decision = story.settles_again(proposal, late_hires=late_hires)
    assert answer(decision) == TAKEN
    return decision


# What had not come back.


def test_what_a_fault_passed_over_comes_back_whole_and_is_dated_now() -> None:
    story = never_settled()
    decision = settled_anew(story)
    change = only_change(decision)
    assert (change.delta, change.balance_after, change.occurred_at, change.rule) == (17, 40, day(3), "correct.settle")
    assert (decision.kind, decision.follows) == ("correction", 3)
    assert story.spend("p-1").refunded_closing_at == day(2)
    assert story.remaining("f-1") == [40]
    assert explain_change(change) == (
        "17 Connects returned on 8 January 2026, as a correction: job j-1 was closed by the client on 7 January 2026, "
        "and the Connects of proposal p-1 had not come back."
    )


def test_settled_twice_is_nothing_the_second_time() -> None:
    story = never_settled()
    settled_anew(story)
    assert answer(story.settles_again("p-1")) == NOTHING
    assert answer(story.settles_again("p-1", late_hires=True)) == NOTHING
    story.check()


def test_what_was_settled_as_it_should_be_is_left_as_it_is() -> None:
    story = spent(Story())
    story.closed("j-1", at=day(2))
    assert story.settled() == ["applied/closed-without-hire"]
    decision = story.settles_again("p-1", late_hires=True)
    assert answer(decision) == NOTHING
    assert explained(decision) == (
        "Nothing to correct: what came back of proposal p-1 is what is known of job j-1 now."
    )


def test_a_job_that_is_open_returns_nothing() -> None:
    assert answer(spent(Story()).settles_again("p-1")) == NOTHING


def test_a_closure_that_is_not_due_yet_does_not_count() -> None:
    story = spent(Story())
    story.closed("j-1", at=day(2))
    assert answer(story.settles_again("p-1")) == NOTHING
    assert story.settled() == ["applied/closed-without-hire"]


@pytest.mark.parametrize("closure", ["expired", "closed-by-client"])
def test_a_closure_that_returns_nothing_returns_nothing_now(closure: str) -> None:
    story = spent(Faulty("p-1"))
    if closure == "closed-by-client":
        story.hired("j-1", at=day(1, 1))
    story.closed("j-1", closure, at=day(2))
    story.until(day(3))
    assert answer(story.settles_again("p-1", late_hires=True)) == NOTHING


def test_a_withdrawal_before_the_closing_returns_nothing_now() -> None:
    story = spent(Faulty("p-1"))
    story.withdrew("p-1", by="f-1", on="j-1", at=day(1, 1))
    story.closed("j-1", at=day(2))
    story.until(day(3))
    assert answer(story.settles_again("p-1")) == NOTHING


def test_a_proposal_after_the_closing_is_not_touched_by_it() -> None:
    story = spent(Faulty("p-1", "p-2"))
    story.proposed("p-2", by="f-1", on="j-1", connects=4, at=day(2, 1))
    story.until(day(3))
    story.closed("j-1", at=day(2))
    story.until(day(4))
    assert answer(story.settles_again("p-2")) == NOTHING
    settled_anew(story)


def test_of_several_closures_the_first_that_returns_it_counts() -> None:
    story = spent(Faulty("p-1"))
    story.closed("j-1", "expired", at=day(2))
    story.closed("j-1", at=day(3))
    story.closed("j-1", "removed-by-marketplace", at=day(4))
    story.until(day(5))
    decision = settled_anew(story)
    assert (decision.follows, story.spend("p-1").refunded_closing_at) == (4, day(3))


def test_what_a_boost_brought_before_does_not_come_back_again() -> None:
    story = spent(Faulty("p-1"))
    story.outbid("p-1", by="f-1", on="j-1", at=day(1, 1))
    story.closed("j-1", at=day(2))
    story.until(day(3))
    assert story.balance("f-1") == 28
    decision = settled_anew(story)
    assert (only_change(decision).delta, decision.facts["base"], "boost" in decision.facts) == (12, 12, False)
    assert story.balance("f-1") == 40


def test_a_boost_that_was_outbid_and_had_not_come_back_comes_back_alone() -> None:
    story = spent(Story())
    story.spend("p-1").boost_outbid = True  # a fault noted the outbid, and returned nothing
    decision = settled_anew(story)
    assert (only_change(decision).delta, decision.follows) == (5, 2)
    assert story.spend("p-1").refunded_closing_at is None
    assert explained(decision) == (
        "5 Connects returned on 6 January 2026, as a correction: the boost of proposal p-1 for job j-1 was outbid, and "
        "had not come back."
    )
    story.closed("j-1", at=day(4))
    assert story.settled() == ["applied/closed-without-hire"]
    assert story.balance("f-1") == 40


def test_a_free_proposal_has_nothing_to_correct() -> None:
    story = Faulty("p-1")
    story.proposed("p-1", by="f-1", on="j-1", connects=9, origin="invite")
    story.closed("j-1")
    story.passes(days=1)
    assert answer(story.settles_again("p-1")) == NOTHING


def test_a_line_in_debt_is_forgiven_first() -> None:
    story = Faulty("p-1")
    story.bought("f-1", 40, at=day(0))
    story.proposed("p-1", by="f-1", on="j-1", connects=50, boost=5, at=day(1))
    story.closed("j-1", at=day(2))
    story.until(day(3))
    assert (story.balance("f-1"), story.debt("f-1")) == (-15, 15)
    change = only_change(settled_anew(story))
    assert (change.delta, change.debt_delta, story.balance("f-1"), story.debt("f-1")) == (55, -15, 40, 0)


def test_what_comes_back_pays_other_debts_first() -> None:
    story = never_settled()
    story.proposed("p-2", by="f-1", on="j-2", connects=30, at=day(3, 1))
    assert story.debt("f-1") == 7
    settled_anew(story)
    assert (story.balance("f-1"), story.debt("f-1")) == (10, 0)


# Lots that ended meanwhile.


@pytest.mark.parametrize("policy", ["grace", "expire"])
def test_what_ended_meanwhile_is_given_all_the_same_and_lasts_long_enough(policy: str) -> None:
    story = never_settled(refund_to_ending_lot=policy)
    story.until(day(400))
    assert story.balance("f-1") == 0
    decision = settled_anew(story)
    lots = [(lot.remaining, lot.expires_at) for lot in story.lots("f-1")]
    assert lots == [(12, day(430)), (5, day(430))]  # a lot for each line
    assert decision.facts["graced"] == 17
    assert explained(decision).endswith("17 of them got a later expiry date: the old one was near, or over.")
    assert {movement.line for movement in only_change(decision).movements} == {("p-1", "base"), ("p-1", "boost")}
    story.until(day(431))
    assert story.balance("f-1") == 0


@pytest.mark.parametrize(("policy", "days"), [("grace", 90), ("expire", 45)])
def test_the_longer_of_both_lives_counts(policy: str, days: int) -> None:
    story = never_settled(refund_to_ending_lot=policy, grace_lot_days=90, least_life_days=45)
    story.until(day(350))
    settled_anew(story)
    assert [lot.expires_at for lot in story.lots("f-1")] == [day(365), day(350 + days), day(350 + days)]


@pytest.mark.parametrize("policy", ["grace", "expire"])
def test_a_lot_that_lasts_long_enough_gets_its_connects_back(policy: str) -> None:
    story = never_settled(refund_to_ending_lot=policy)
    story.until(day(335))
    assert "graced" not in settled_anew(story).facts
    assert [(lot.remaining, lot.expires_at) for lot in story.lots("f-1")] == [(40, day(365))]


def test_a_new_life_has_the_policy_of_the_day_of_the_correction() -> None:
    text = policy_text(refund_to_ending_lot="expire") + later_version("2026-06-01", least_life_days=100)
    story = Faulty("p-1")
    story.policies = policies(text)
    spent(story).closed("j-1", at=day(2))
    story.until(day(400))
    settled_anew(story)
    assert {lot.expires_at for lot in story.lots("f-1")} == {day(500)}


# Late hires and withdrawals.


def refunded_before_the_hire_came(**changes: object) -> Story:
    """A refund of day 2, and a hire of day 1, an hour after the proposal, that came on day 3."""
    story = spent(Story(policies(**changes)))
    story.closed("j-1", at=day(2))
    assert story.settled() == ["applied/closed-without-hire"]
    story.until(day(3))
    story.hired("j-1", at=day(1, 1))
    return story


def test_a_late_hire_is_kept_unless_late_hires_are_selected() -> None:
    story = refunded_before_the_hire_came()
    assert (answer(story.settles_again("p-1")), story.balance("f-1")) == (NOTHING, 40)
    decision = taken_back(story)
    change = only_change(decision)
    assert (change.delta, change.balance_after, change.occurred_at, decision.follows) == (-17, 23, day(3), 3)
    assert explain_change(change) == (
        "17 Connects taken back on 8 January 2026, as a correction: somebody had been hired for job j-1 on 6 January "
        "2026, before it was closed."
    )
    assert answer(story.settles_again("p-1", late_hires=True)) == NOTHING
    assert story.spend("p-1").refunded_closing_at is None


def test_a_late_withdrawal_likewise() -> None:
    story = spent(Story())
    story.closed("j-1", at=day(2))
    story.settled()
    story.until(day(3))
    story.withdrew("p-1", by="f-1", on="j-1", at=day(1, 1))
    assert answer(story.settles_again("p-1")) == NOTHING
    assert explained(taken_back(story)) == (
        "17 Connects taken back on 8 January 2026, as a correction: proposal p-1 had been withdrawn on 6 January 2026, "
        "before job j-1 was closed."
    )
    assert story.balance("f-1") == 23


def test_the_policy_of_the_day_of_the_hire_says_whether_it_is_kept() -> None:
    text = policy_text(late_hire="keep") + later_version("2026-01-07", late_hire="claw-back")
    story = spent(Story(policies(text)))
    story.closed("j-1", at=day(2))
    story.settled()
    story.until(day(5))
    story.hired("j-1", at=day(1, 1))
    assert answer(story.settles_again("p-1")) == NOTHING
    taken_back(story)


def test_under_claw_back_nothing_is_left_to_take() -> None:
    story = refunded_before_the_hire_came(late_hire="claw-back")
    assert story.balance("f-1") == 23
    assert answer(story.settles_again("p-1", late_hires=True)) == NOTHING


def test_under_claw_back_a_hire_that_a_fault_passed_over_is_taken_back_by_any_selection() -> None:
    story = refunded_before_the_hire_came()
    story.policies = policies(late_hire="claw-back")
    taken_back(story, late_hires=False)
    assert story.balance("f-1") == 23


def test_a_boost_that_was_outbid_stays_when_a_late_hire_takes_the_rest() -> None:
    story = spent(Story())
    story.outbid("p-1", by="f-1", on="j-1", at=day(1, 2))
    story.closed("j-1", at=day(2))
    story.settled()
    story.until(day(3))
    story.hired("j-1", at=day(1, 1))
    assert only_change(taken_back(story)).delta == -12
    assert [line.returned for line in story.spend("p-1").lines] == [False, True]


def test_what_an_earlier_closure_returns_stays_when_the_hire_came_between_two() -> None:
    story = spent(Story())
    story.closed("j-1", at=day(2))
    story.settled()
    story.closed("j-1", at=day(6))
    story.settled()
    story.hired("j-1", at=day(4))
    assert answer(story.settles_again("p-1", late_hires=True)) == NOTHING


def test_what_is_not_there_any_more_becomes_debt_even_where_that_is_declined() -> None:
    story = refunded_before_the_hire_came(overdraft="decline")
    story.proposed("p-2", by="f-1", on="j-2", connects=30, at=day(3, 1))
    decision = story.settles_again("p-1", late_hires=True)
    assert answer(decision) == TAKEN
    assert (story.balance("f-1"), story.debt("f-1"), decision.facts["debt"]) == (-7, 7, 7)
    assert explained(decision).endswith("7 of them were not there: the wallet owes that many.")


def test_it_is_charged_from_lots_that_are_open_now() -> None:
    story = refunded_before_the_hire_came()
    story.bought("f-1", 10, at=day(100))
    story.until(day(400))
    assert story.remaining("f-1") == [10]
    taken_back(story)
    assert (story.remaining("f-1"), story.debt("f-1")) == ([], 7)


# What comes afterwards.


def test_a_hire_after_the_correction_claws_back_what_it_returned() -> None:
    story = never_settled(late_hire="claw-back")
    settled_anew(story)
    hired = story.hired("j-1", at=day(1, 1))
    assert (hired.reason, story.balance("f-1")) == ("hire-after-settlement", 23)
    assert answer(story.settles_again("p-1")) == NOTHING


def test_a_hire_after_the_correction_is_seen_as_late_and_can_be_taken_back() -> None:
    story = never_settled()
    settled_anew(story)
    assert story.hired("j-1", at=day(1, 1)).reason == "hire-after-settlement"
    assert answer(story.settles_again("p-1")) == NOTHING
    taken_back(story)


def test_a_withdrawal_after_the_correction_is_seen_as_late() -> None:
    story = never_settled()
    settled_anew(story)
    assert story.withdrew("p-1", by="f-1", on="j-1", at=day(1, 1)).reason == "withdrawal-after-settlement"


def test_a_closure_after_the_correction_finds_it_returned() -> None:
    story = never_settled()
    settled_anew(story)
    assert isinstance(story, Faulty)
    story.passed_over.clear()
    story.closed("j-1", "removed-by-marketplace", at=day(4))
    assert story.settled() == ["declined/already-refunded"]


def test_a_closure_after_a_refund_was_taken_back_finds_the_hire() -> None:
    story = refunded_before_the_hire_came()
    taken_back(story)
    story.closed("j-1", "removed-by-marketplace", at=day(4))
    assert story.settled() == ["declined/somebody-was-hired"]


def test_an_outbid_after_a_refund_was_taken_back_returns_the_boost_once() -> None:
    story = refunded_before_the_hire_came()
    taken_back(story)
    assert answer(story.outbid("p-1", by="f-1", on="j-1")) == "applied/boost-outbid"
    assert answer(story.settles_again("p-1", late_hires=True)) == NOTHING
    assert story.balance("f-1") == 28


def test_returned_taken_back_and_returned_again_keeps_the_sums() -> None:
    story = refunded_before_the_hire_came()
    taken_back(story)
    story.state.jobs["j-1"].first_hired_at = None  # type: ignore[index]  # the hire was another job's
    settled_anew(story)
    assert story.balance("f-1") == 40
    story.check()


@pytest.mark.parametrize("at", [day(2), day(2) + timedelta(microseconds=1)])
def test_a_hire_counts_up_to_the_closing_time(at: datetime) -> None:
    story = never_settled()
    story.hired("j-1", at=at)
    assert answer(story.settles_again("p-1")) == (NOTHING if at == day(2) else RETURNED)
