"""Random memberships, decided by the rules and by the reference model: no decision, charge or grant may differ."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kit.histories import MembershipYears, Record
from tests.model.story import (
    DAY,
    answered,
    bought,
    chose,
    earning,
    registered,
    seconds_to,
    suspended,
)
from tests.property.test_rules_against_reference import agree
from tests.property.variety import POLICIES, SEEDS, looking, membership_histories


@looking(examples=200)
@given(membership_histories(in_order=True), st.sampled_from(sorted(POLICIES)), st.sampled_from((0, 20, 70)))
def test_rules_decide_memberships_as_the_model_does(records: list[Record], policy: str, days_more: int) -> None:
    agree(records, policy, days_more)


@looking(examples=200)
@given(membership_histories(), st.sampled_from(sorted(POLICIES)), st.sampled_from((0, 40)))
def test_rules_decide_memberships_that_arrive_in_any_order_as_the_model_does(
    records: list[Record], policy: str, days_more: int
) -> None:
    agree(records, policy, days_more)


@looking(examples=100)
@given(membership_histories(years=True), st.sampled_from(sorted(POLICIES)))
def test_rules_decide_memberships_that_arrive_years_late_as_the_model_does(records: list[Record], policy: str) -> None:
    agree(records, policy, 400)


@pytest.mark.parametrize("policy", sorted(POLICIES))
def test_rules_decide_years_of_memberships_as_the_model_does(policy: str) -> None:
    for seed in SEEDS:
        in_order = MembershipYears(seed, freelancers=12, years=3)
        agree(list(in_order), policy, 40, replay=f"TEST_SEED={seed}")
        late = MembershipYears(seed, freelancers=12, years=2, late=0.1, late_by=timedelta(days=45), poison=0.05)
        agree(list(late), policy, 400, replay=f"TEST_SEED={seed}")


# Where chance hardly goes.

LATE_JANUARY, FEBRUARY, RENEWAL = seconds_to(2026, 1, 28), seconds_to(2026, 2, 5), seconds_to(2026, 2, 10)
ON_PLUS = [registered(0), chose(5 * DAY, "plus", event_id="up"), answered(5 * DAY + 60, "f-1:up:1")]
RENEWED, FAILED = (
    answered(RENEWAL + 2 * DAY, "f-1:2026-02-10:1"),
    answered(RENEWAL + 2 * DAY, "f-1:2026-02-10:1", "failed"),
)
READ_LATE = [suspended(RENEWAL + DAY, who="f-2"), suspended(RENEWAL - DAY)]
"""In one topic: the second is read a day after the renewal was asked for, and would have prevented it."""

STORIES = {
    "a downgrade chosen after the cycle start to which the upgrade moves the membership back": [
        registered(LATE_JANUARY),
        chose(LATE_JANUARY + DAY, "plus", event_id="up"),
        chose(LATE_JANUARY + 6 * DAY, "basic"),
        answered(LATE_JANUARY + 7 * DAY, "f-1:up:1"),
    ],
    "a suspension between the renewal and its failure": [*ON_PLUS, suspended(RENEWAL + DAY), FAILED],
    "a suspension read too late for a renewal that fails": [*ON_PLUS, *READ_LATE, FAILED],
    "a suspension read too late for a renewal that is paid": [*ON_PLUS, *READ_LATE, RENEWED],
    "a suspension read too late for a renewal that lapses": [*ON_PLUS, *READ_LATE],
    "a suspension and a downgrade": [*ON_PLUS, suspended(RENEWAL - DAY), chose(RENEWAL - DAY, "basic")],
    "a suspension at the very cycle start": [*ON_PLUS, suspended(RENEWAL)],
    "a second attempt that is answered after the lapse": [
        earning(0, 5_000),
        *ON_PLUS,
        answered(RENEWAL + 27 * DAY, "f-1:2026-02-10:1", "failed"),
        answered(RENEWAL + 29 * DAY, "f-1:2026-02-10:2"),
    ],
    "an upgrade with a code that fails twice, with a downgrade between": [
        registered(0),
        earning(1, 5_000),
        chose(DAY, "plus", event_id="up", promo_code="FIVEOFF"),
        chose(2 * DAY, "basic"),
        answered(3 * DAY, "f-1:up:1", "failed"),
        answered(4 * DAY, "f-1:up:2", "failed"),
        chose(5 * DAY, "plus", promo_code="FIVEOFF"),
    ],
    "an answer to the second attempt before the first": [
        registered(0),
        earning(1, 5_000),
        chose(DAY, "plus", event_id="up"),
        answered(2 * DAY, "f-1:up:2"),
        answered(3 * DAY, "f-1:up:1", "failed"),
    ],
    "an answer before the choice": [answered(0, "f-1:up:1"), registered(0), chose(DAY, "plus", event_id="up")],
    "an answer that waits for its cycle start and for its charge": [
        *ON_PLUS,
        answered(RENEWAL - 9, "f-1:2026-02-10:1"),
        answered(RENEWAL + 5, "f-1:2026-03-10:1", "failed"),
        bought(RENEWAL + 40 * DAY, "b-1", 1),
    ],
    "an answer to somebody else's charge, within the grace of a cycle start": [
        *ON_PLUS,
        registered(1, "f-2"),
        answered(FEBRUARY + 5, "f-1:up:1", who="f-2"),
        suspended(FEBRUARY + 2 * DAY, who="f-2"),
    ],
    "a cancelled downgrade with a code": [
        *ON_PLUS,
        chose(9 * DAY, "basic"),
        chose(DAY * 10, "plus", promo_code="FREE"),
    ],
    "a downgrade that a bad code does not cancel": [
        *ON_PLUS,
        chose(9 * DAY, "basic"),
        chose(10 * DAY, "plus", promo_code="NOSUCH"),
    ],
    "an upgrade on the last day of January": [
        registered(seconds_to(2026, 1, 31)),
        chose(seconds_to(2026, 1, 31, 5), "plus", event_id="up"),
        answered(seconds_to(2026, 2, 1), "f-1:up:1"),
    ],
    "somebody who registered years ago": [registered(-3_000 * DAY)],
    "names with colons": [
        registered(0, "f:1"),
        chose(1, "plus", "f:1", event_id="a:b"),
        answered(2, "f:1:a:b:1", who="f:1"),
    ],
    "two freelancers whose charges have one id": [
        registered(0, "f"),
        registered(0, "f:1"),
        answered(1, "f:1:up:1", who="f:1"),
        chose(2, "plus", "f", event_id="1:up"),
        chose(3, "plus", "f:1", event_id="up"),
        answered(4, "f:1:up:1", who="f"),
        answered(5, "f:1:up:1", "failed", who="f:1"),
    ],
}


@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES)
@pytest.mark.parametrize("policy", ["as it is", "all the other way"])
def test_rules_decide_what_chance_hardly_finds_as_the_model_does(story: list[Record], policy: str) -> None:
    agree(story, policy, 70)
