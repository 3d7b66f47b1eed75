"""Random memberships, decided by the rules and by the reference model: no decision, charge or grant may differ."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.property.test_rules_against_reference import agree
from tests.property.variety import POLICIES, SEEDS, looking, membership_histories
from tests.support.histories import MembershipYears, Record


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
