from tests.model.story import (
    DAY,
    Decided,
    adjusted,
    bought,
    certified,
    earned,
    interviewed,
    policy_with,
    proposed,
    registered,
)


def test_registering_grants_forty_connects_once() -> None:
    decided = Decided(registered(0), registered(60))
    assert decided.answers("freelancer-registered") == ["applied/registered", "declined/already-granted"]
    assert decided.balance() == 40


def test_a_badge_lost_and_earned_again_pays_nothing() -> None:
    decided = Decided(earned(0), earned(DAY), earned(2 * DAY, who="f-2"))
    assert decided.answers("badge-earned") == [
        "applied/badge-earned",
        "declined/already-granted",
        "applied/badge-earned",
    ]
    assert (decided.balance(), decided.balance("f-2")) == (30, 30)


def test_a_badge_without_an_amount_pays_nothing() -> None:
    assert Decided(earned(0, "top-rated")).answers("badge-earned") == ["declined/no-award-for-badge"]


def test_a_certification_is_rewarded_once() -> None:
    decided = Decided(certified(0, "python"), certified(1, "python"), certified(2, "sql"))
    assert decided.deltas == [20, 20]
    assert decided.answers("certification-completed")[1] == "declined/already-granted"


def test_a_learning_path_is_no_skill_certification() -> None:
    decided = Decided(certified(0, "upwork-101", "learning-path"), certified(1, "upwork-101"))
    assert decided.answers("certification-completed") == ["declined/not-a-skill-certification", "applied/certified"]


def test_an_interview_is_worth_five_or_with_a_large_client_ten() -> None:
    decided = Decided(
        interviewed(0, "j-1", cents=1), interviewed(1, "j-2", cents=999_999), interviewed(2, "j-3", cents=10**6)
    )
    assert decided.deltas == [5, 5, 10]


def test_an_interview_from_an_invitation_pays_nothing() -> None:
    assert Decided(interviewed(0, origin="invite")).answers("interview-won") == ["declined/interview-from-invitation"]


def test_an_interview_with_a_client_without_hires_or_spend_pays_nothing() -> None:
    decided = Decided(interviewed(0, hires=0), interviewed(1, cents=0))
    assert decided.answers("interview-won") == ["declined/client-not-established"] * 2


def test_a_second_interview_for_the_same_job_pays_nothing() -> None:
    decided = Decided(interviewed(0), interviewed(9 * DAY))
    assert decided.answers("interview-won") == ["applied/interview-won", "declined/already-granted"]


def test_interviews_of_a_week_are_cut_at_fifty_and_then_refused() -> None:
    large = [interviewed(number, f"j-{number}", cents=10**6) for number in range(4)]
    small = [interviewed(10, "j-10"), interviewed(11, "j-11", cents=10**6), interviewed(12, "j-12")]
    decided = Decided(*large, *small)
    assert decided.deltas == [10, 10, 10, 10, 5, 5]
    assert decided.answers("interview-won")[-1] == "declined/weekly-cap"


def test_the_week_rolls_and_a_capped_interview_may_be_won_again() -> None:
    large = [interviewed(number, f"j-{number}", cents=10**6) for number in range(5)]
    again = [
        interviewed(7 * DAY - 1, "j-9"),
        interviewed(7 * DAY, "j-9"),
        interviewed(7 * DAY + 1, "j-10", cents=10**6),
    ]
    decided = Decided(*large, *again)
    assert decided.answers("interview-won")[5:] == [
        "declined/weekly-cap",
        "applied/interview-won",
        "applied/interview-won",
    ]
    assert decided.deltas[5:] == [5, 10]


def test_a_purchase_enters_once_and_a_purchase_of_nothing_not_at_all() -> None:
    decided = Decided(bought(0, "b-1", 60), bought(1, "b-1", 60), bought(2, "b-2", 0))
    assert decided.answers("connects-purchased") == [
        "applied/purchased",
        "declined/already-granted",
        "declined/nothing-to-do",
    ]
    assert decided.balance() == 60


def test_an_adjustment_may_add_or_take_but_not_below_zero() -> None:
    decided = Decided(adjusted(0, "a-1", 25), adjusted(1, "a-2", -10), adjusted(2, "a-3", -16), adjusted(3, "a-4", 0))
    assert decided.answers("connects-adjusted") == [
        "applied/adjusted",
        "applied/adjusted",
        "declined/insufficient-balance",
        "declined/nothing-to-do",
    ]
    assert decided.balance() == 15


def test_a_refused_adjustment_may_be_made_later() -> None:
    decided = Decided(adjusted(0, "a-1", -5), adjusted(1, "a-2", 10), adjusted(2, "a-1", -5), adjusted(3, "a-1", -5))
    assert decided.answers("connects-adjusted")[2:] == ["applied/adjusted", "declined/already-granted"]
    assert decided.balance() == 5


def test_a_debit_of_somebody_in_debt_makes_no_more_debt() -> None:
    decided = Decided(proposed(0, "p-1", 10), adjusted(1, "a-1", -1))
    assert decided.answers("connects-adjusted") == ["declined/insufficient-balance"]
    assert decided.balance() == -10


def test_a_policy_version_decides_what_happened_in_its_time_and_the_first_one_all_before() -> None:
    policy = policy_with(registration=40)
    later = {**policy["version"][0], "version": "2026-02-01", "grants": {**policy["version"][0]["grants"]}}
    later["effective_from"] = policy["version"][0]["effective_from"].replace(month=2)
    later["grants"]["registration"] = 99
    decided = Decided(
        registered(-400 * DAY),
        registered(0, "f-2"),
        registered(40 * DAY, "f-3"),
        policy={"version": [later, policy["version"][0]]},
    )
    assert [(row["policy_version"], row["changes"][0]["delta"]) for row in decided.of("first")] == [
        ("2026-01-01", 40),
        ("2026-01-01", 40),
        ("2026-02-01", 99),
    ]
