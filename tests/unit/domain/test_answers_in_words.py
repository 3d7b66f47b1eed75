"""What people read: the contract's own examples to the letter, and the answers to the thread's complaints."""

from tests.kit.story import Story, answer, day, explained, only_change
from worker.words.explanations import explain_change


def test_a_refund_reads_as_the_contract_says(story: Story) -> None:
    story.registered("f-1")
    story.proposed("p-1", by="f-1", on="j-1", connects=12)
    story.closed("j-1", "closed-by-client")
    story.settled()
    settlement = story.decisions[-1]
    change = only_change(settlement)
    assert explain_change(change) == "12 Connects returned: the client closed job j-1 without hiring anyone."
    assert (change.version, change.delta, change.debt_delta) == (3, 12, 0)
    assert (change.balance_before, change.balance_after) == (28, 40)
    assert (change.rule, change.reason) == ("refund.job-closed-without-hire", "closed-without-hire")
    assert (change.policy_version, change.about) == ("2026-01-01", {"job_id": "j-1", "proposal_id": "p-1"})
    assert settlement.cause.topic == "job-closed"
    assert explained(settlement) == explain_change(change)


def test_why_was_this_not_refunded(story: Story) -> None:
    story.registered("f-1", at=day(0))
    story.proposed("p-1", by="f-1", on="j-1", connects=12, at=day(1))
    story.closed("j-1", "expired", at=day(2))
    story.settled()
    assert explained(story.decisions[-1]) == (
        "No Connects returned: job j-1 expired on 7 January 2026; the client did not close it. Connects come back when "
        "the client closes the job without hiring anyone, or when the marketplace removes it before anyone is hired."
    )


def test_i_withdrew_and_expected_a_refund(story: Story) -> None:
    story.registered("f-1", at=day(0))
    story.proposed("p-1", by="f-1", on="j-1", connects=12, at=day(1))
    assert explained(story.withdrew("p-1", by="f-1", on="j-1", at=day(2))) == (
        "No Connects returned: proposal p-1 was withdrawn on 7 January 2026. "
        "Withdrawing a proposal does not return its Connects."
    )


def test_i_was_deducted_twice(story: Story) -> None:
    story.registered("f-1", at=day(0))
    story.proposed("p-1", by="f-1", on="j-1", connects=12, at=day(1))
    again = story.proposed("p-1", by="f-1", on="j-1", connects=12, at=day(1, 1))
    assert explained(again) == (
        "Nothing spent again: proposal p-1 was submitted on 6 January 2026 already, for 12 Connects."
    )


def test_i_won_an_interview_and_got_nothing(story: Story) -> None:
    shown = [
        explained(story.interviewed("f-1", on="j-1", origin="invite")),
        explained(story.interviewed("f-1", on="j-2", hires=0)),
        explained(story.interviewed("f-1", on="j-3", spent=0)),
    ]
    assert shown == [
        (
            "Nothing granted: the interview for job j-1 came from an invitation. "
            "Only interviews won with a proposal bring Connects."
        ),
        (
            "Nothing granted: the client of job j-2 had not hired anybody before. "
            "Interviews bring Connects when the client has hired and paid somebody."
        ),
        (
            "Nothing granted: the client of job j-3 had not spent anything before. "
            "Interviews bring Connects when the client has hired and paid somebody."
        ),
    ]


def test_which_connects_expired_when(story: Story) -> None:
    story.registered("f-1", at=day(0))
    expiry = next(decision for decision in story.until(day(366)) if decision.rule == "expire.lot")
    assert explain_change(only_change(expiry)) == (
        "40 Connects expired on 5 January 2027: they came in on 5 January 2026 (registration) "
        "and were not used in time."
    )


def test_every_decision_is_put_into_words_of_its_own(story: Story) -> None:
    story.registered("f-1")
    story.registered("f-1")
    story.earned_badge("f-1", "top-rated")
    story.certified("f-1", kind="learning-path")
    story.bought("f-1", 0)
    story.adjusted("f-1", -1000)
    story.outbid("p-1", by="f-1", on="j-1")
    story.proposed("p-1", by="f-1", on="j-1", connects=4)
    story.outbid("p-1", by="f-2", on="j-1")
    story.hired("j-1")
    story.closed("j-1")
    story.closed("j-1", at=story.now)
    story.settled()
    for decision in story.decisions:
        words = explained(decision)
        assert words.endswith("."), answer(decision)
        assert not words.startswith(decision.outcome.capitalize() + ": " + decision.reason), answer(decision)
        assert "None" not in words
