"""Random histories, decided by the rules and by the reference model: no decision, change or lot may differ."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kit.histories import History, Record, listed
from tests.kit.policies import as_document
from tests.model.ledger import check
from tests.property.played import in_order, played
from tests.property.variety import POLICIES, SEEDS, histories, looking


def agree(records: list[Record], policy: str, days_more: int = 0, replay: str = "") -> None:
    text = POLICIES[policy]
    report = check(played(in_order(records, text), text, days_more), as_document(text), movements_in_order=False)
    assert report.ok, f"{replay}\n{report}\npolicy {policy!r}, {len(records)} records:\n{listed(records)}"


@looking(examples=150)
@given(histories(), st.sampled_from(sorted(POLICIES)))
def test_rules_decide_what_arrives_in_any_order_as_the_model_does(records: list[Record], policy: str) -> None:
    agree(records, policy)


@looking(examples=150)
@given(histories(in_order=True, years=True), st.sampled_from(sorted(POLICIES)), st.sampled_from((0, 40, 800)))
def test_rules_decide_over_years_as_the_model_does(records: list[Record], policy: str, days_more: int) -> None:
    agree(records, policy, days_more)


@looking(examples=150)
@given(histories(years=True), st.sampled_from(sorted(POLICIES)))
def test_rules_decide_what_arrives_years_late_as_the_model_does(records: list[Record], policy: str) -> None:
    agree(records, policy, 800)


@pytest.mark.parametrize("policy", sorted(POLICIES))
def test_rules_decide_a_marketplaces_month_as_the_model_does(policy: str) -> None:
    for seed in SEEDS:
        history = History(seed, events=600, jobs=40, late=0.05, poison=0.05)
        agree(list(history), policy, 400, replay=f"TEST_SEED={seed}")
