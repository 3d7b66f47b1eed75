"""The model, which follows the ledger's order, against the fold, which knows only when things happened."""

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, note
from hypothesis import strategies as st

from tests.kit.histories import MEMBERSHIPS, History, MembershipYears, Record, listed, small_histories
from tests.kit.lives import small_lives
from tests.kit.policies import as_document, policy_text, with_promo_codes
from tests.model.event_time import Result, fold
from tests.model.ledger import check, grants_of, ledger_of
from tests.model.story import POLICY, START, Decided, policy_with
from tests.property.variety import looking

POLICIES = {
    "overdrafts allowed": POLICY,
    "overdrafts declined": policy_with(overdraft="decline"),
    "with promo codes": as_document(with_promo_codes(policy_text(late_cycle_start="after-anniversary"))),
}
many = looking(examples=500)


def folded(records: list[Record], policy: dict[str, Any]) -> Result:
    return fold([(topic, json.loads(value or b"null")) for topic, _, value, _ in records], policy)


def agree(decided: Decided, result: Result) -> None:
    closures = {row["offset"]: json.loads(row["payload"])["closure"] for row in decided.of("first", "job-closed")}
    settlements = {
        (row["job_id"], row["occurred_at"], closures[row["offset"]], row["proposal_id"]): row["reason"]
        for row in decided.of("settlement")
    }
    assert settlements == result.settlements
    spends = decided.driver.model.state.spends.values()
    returned = {spend.proposal_id: {name for name in spend.lines if spend.lines[name].returned} for spend in spends}
    assert _some(returned) == _some(result.returned)
    charges = decided.driver.model.charges.values()
    became = {(one.freelancer_id, one.charge_id): (one.amount_cents, one.source, one.status) for one in charges}
    assert became == result.charges
    members = [member for member in decided.driver.model.memberships.values() if member.has_begun]
    plans = {member.freelancer_id: (member.plan, member.cycle_start, member.next_renewal) for member in members}
    assert plans == result.plans
    if result.lots_may_expire:
        return
    answers = {
        (row["topic"], row["event_id"]): (row["outcome"], row["reason"])
        for row in decided.of("first")
        if row["outcome"] not in {"duplicate", "rejected"} and (row["topic"], row["event_id"]) in result.answers
    }
    assert answers == result.answers
    assert grants_of(decided.rows) == result.grants
    balances = {wallet.freelancer_id: wallet.balance for wallet in decided.driver.model.state.wallets.values()}
    assert _some(balances) == _some(result.balances)


def _some(table: dict[str, Any]) -> dict[str, Any]:
    return {name: item for name, item in table.items() if item}


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
@pytest.mark.parametrize("seed", range(4))
def test_a_marketplace_in_order_of_time_comes_out_the_same(seed: int, policy: dict[str, Any]) -> None:
    history = History(seed, 25, 60, 800, START, timedelta(days=20))
    agree(Decided(*history, policy=policy), folded(history.records, policy))


@many
@given(small_histories(in_order=True))
def test_small_histories_in_order_of_time_come_out_the_same(records: list[Record]) -> None:
    note(listed(records))
    agree(Decided(*records), folded(records, POLICY))


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
@pytest.mark.parametrize("seed", range(2))
def test_months_of_memberships_in_order_of_time_come_out_the_same(seed: int, policy: dict[str, Any]) -> None:
    history = MembershipYears(seed, freelancers=30, years=0.9, events_per_year=20)
    agree(Decided(*history, policy=policy), folded(history.records, policy))


@pytest.mark.parametrize("seed", range(2))
def test_years_of_memberships_are_charged_the_same(seed: int) -> None:
    history, policy = MembershipYears(seed, freelancers=20, years=4), POLICIES["with promo codes"]
    agree(Decided(*history, policy=policy), folded(history.records, policy))


@many
@given(small_lives(in_order=True), st.sampled_from(sorted(POLICIES)))
def test_small_lives_in_order_of_time_come_out_the_same(records: list[Record], policy: str) -> None:
    note(listed(records))
    agree(Decided(*records, policy=POLICIES[policy]), folded(records, POLICIES[policy]))


@many
@given(small_histories(in_order=True, months=True, topics=MEMBERSHIPS), st.sampled_from(sorted(POLICIES)))
def test_small_memberships_in_order_of_time_come_out_the_same(records: list[Record], policy: str) -> None:
    note(listed(records))
    agree(Decided(*records, policy=POLICIES[policy]), folded(records, POLICIES[policy]))


@many
@given(small_histories(in_order=True, years=True))
def test_settlements_come_out_the_same_even_when_lots_expire(records: list[Record]) -> None:
    note(listed(records))
    agree(Decided(*records), folded(records, POLICY))


@many
@given(
    small_histories(years=True),
    st.sampled_from(("allow", "decline")),
    st.sampled_from(("keep", "claw-back")),
    st.sampled_from(("grace", "expire")),
)
def test_whatever_comes_in_whatever_order_the_books_balance(
    records: list[Record], overdraft: str, late_hire: str, ending: str
) -> None:
    note(listed(records))
    policy = policy_with(overdraft=overdraft, late_hire=late_hire, refund_to_ending_lot=ending)
    report = check(ledger_of(Decided(*records, policy=policy).driver), policy)
    assert report.ok, str(report)


@many
@given(small_histories(years=True))
def test_the_same_records_again_change_nothing(records: list[Record]) -> None:
    note(listed(records))
    once, twice = Decided(*records, until=10**8), Decided(*records, *records, until=10**8)
    assert once.changes == twice.changes


def test_a_history_is_the_same_for_the_same_seed() -> None:
    assert History(3, events=300, poison=0.1).records == History(3, events=300, poison=0.1).records
    assert History(3, events=300).records != History(4, events=300).records


def test_a_history_is_in_order_of_time_within_each_topic() -> None:
    last: dict[str, Any] = {}
    for topic, _, value, at in History(5, events=2_000, duplicates=0):
        assert at >= last.get(topic, at), value
        last[topic] = at
