"""A batch leaves exactly what its changes say in the outbox, in the words of the contract."""

import json
from datetime import date
from uuid import UUID, uuid5

from schemas.outputs import MembershipChargeRequested, MembershipUpdated, WalletUpdated
from tests.contract.conftest import RECORDED_AT, Kept
from tests.kit.policies import policies, policy_text, with_promo_codes
from tests.kit.story import Story, day
from worker.domain.decisions import MembershipUpdate
from worker.domain.model import Charge, ChargeId, FreelancerId
from worker.kafka.output.messages import Message, unpack

NAMESPACE = UUID("6f1e3c1e-6f0b-5a64-9a0e-0c5d3b1f7a11")
"""For good: event ids of wallet-updated are made with it."""


async def published(kept: Kept) -> list[Message]:
    rows = await kept.store.outbox_rows(0, 10**9)
    assert [row.seq for row in rows] == list(range(1, len(rows) + 1))
    return [message for row in rows for message in unpack(row.messages)]


async def wallet_updates(kept: Kept) -> list[WalletUpdated]:
    messages = await published(kept)
    return [WalletUpdated.model_validate_json(one.value) for one in messages if one.topic == "wallet-updated"]


async def test_the_contracts_example_is_published_to_the_letter(kept: Kept, story: Story) -> None:
    story.registered("f-1", at=day(0))
    story.proposed("p-1", by="f-1", on="j-1", connects=12, at=day(1))
    story.closed("j-1", at=day(2), event_id="e-9")
    story.settled()
    await kept.keep(story)
    *_, message = await published(kept)
    assert json.loads(message.value) == {
        "event_id": str(uuid5(NAMESPACE, "f-1/3")),
        "freelancer_id": "f-1",
        "version": 3,
        "occurred_at": "2026-01-07T12:00:00Z",
        "recorded_at": "2026-11-01T09:30:00Z",
        "delta": 12,
        "debt_delta": 0,
        "balance_before": 28,
        "balance_after": 40,
        "overdrawn": False,
        "rule": "refund.job-closed-without-hire",
        "reason": "closed-without-hire",
        "policy_version": "2026-01-01",
        "cause": {"topic": "job-closed", "incarnation": 0, "partition": 0, "offset": 0, "event_id": "e-9"},
        "subject": {"job_id": "j-1", "proposal_id": "p-1"},
        "lots": [{"lot_id": "f-1:1", "delta": 12, "expires_at": "2027-01-05T12:00:00Z"}],
        "explanation": "12 Connects returned: the client closed job j-1 without hiring anyone.",
    }
    assert (message.topic, message.key, message.ce_time) == ("wallet-updated", b"f-1", "2026-01-07T12:00:00Z")
    assert message.ce_id == str(uuid5(NAMESPACE, "f-1/3"))


async def test_an_expiry_names_the_instant_of_the_clock_as_its_cause(kept: Kept, story: Story) -> None:
    story.registered("f-1", at=day(0))
    story.until(day(366))
    await kept.keep(story)
    *_, message = await published(kept)
    assert json.loads(message.value)["cause"] == {"topic": None, "event_id": "expiry:f-1:1"}


async def test_every_change_is_published_once_in_order_and_keeps_the_contract(kept: Kept, story: Story) -> None:
    story.registered("f-1")
    story.proposed("p-1", by="f-1", on="j-1", connects=44, boost=2)
    await kept.keep(story)
    story.bought("f-2", 10)
    story.bought("f-1", 10)
    story.closed("j-1")
    story.settled()
    story.passes(days=400)
    await kept.keep(story)
    updates = await wallet_updates(kept)
    changes = [change for decision in story.decisions for change in decision.changes]
    assert [(one.freelancer_id, one.version, one.delta) for one in updates] == [
        (change.freelancer_id, change.version, change.delta) for change in changes
    ]
    for update in updates:
        assert update.delta == sum(lot.delta for lot in update.lots) - update.debt_delta
        assert update.balance_after == update.balance_before + update.delta
        assert update.overdrawn == (update.balance_after < 0)
        assert update.recorded_at == RECORDED_AT


async def test_a_lot_that_went_to_debts_immediately_is_shown_with_what_remains_of_it(kept: Kept, story: Story) -> None:
    story.proposed("p-1", by="f-1", on="j-1", connects=10)
    story.bought("f-1", 10)
    story.proposed("p-2", by="f-1", on="j-1", connects=4)
    story.bought("f-1", 10)
    await kept.keep(story)
    updates = await wallet_updates(kept)
    assert [(one.delta, one.debt_delta, [(lot.lot_id, lot.delta) for lot in one.lots]) for one in updates] == [
        (-10, 10, []),
        (10, -10, [("f-1:2", 0)]),
        (-4, 4, []),
        (10, -4, [("f-1:4", 6)]),
    ]


async def test_a_batch_that_changes_no_wallet_publishes_nothing(kept: Kept, story: Story) -> None:
    story.hired("j-1")
    batch = await kept.keep(story)
    assert (batch.outbox, batch.outbox_seq, batch.batch_uid) == (None, None, None)
    assert await published(kept) == []


async def test_a_membership_and_its_charge_are_shown_to_the_letter(kept: Kept, story: Story) -> None:
    decision = story.registered("f-1", at=day(0))
    decision.membership = MembershipUpdate(2, "plus", date(2026, 1, 5), date(2026, 2, 5), "basic", True, "suspended")
    start = date(2026, 2, 5)
    charge_id = ChargeId("f-1:2026-02-05:2")
    asked = (charge_id, FreelancerId("f-1"), "renewal", start, None, 2, 1_500, "USD", "payment-method", "SPRING", False)
    decision.charge = Charge(*asked, requested_at=day(0, 0.25), decision_seq=1)
    await kept.keep(story)
    _, membership, charge = await published(kept)
    assert json.loads(membership.value) == {
        "event_id": str(uuid5(NAMESPACE, "membership/f-1/2")),
        "freelancer_id": "f-1",
        "occurred_at": "2026-01-05T12:00:00Z",
        "version": 2,
        "plan": "plus",
        "cycle_start": "2026-01-05",
        "next_renewal_on": "2026-02-05",
        "scheduled_plan": "basic",
        "suspended": True,
        "reason": "suspended",
    }
    assert (membership.topic, membership.key) == ("membership-updated", b"f-1")
    assert (membership.ce_id, membership.ce_time) == (
        str(uuid5(NAMESPACE, "membership/f-1/2")),
        "2026-01-05T12:00:00Z",
    )
    assert json.loads(charge.value) == {
        "event_id": str(uuid5(NAMESPACE, "charge/f-1/f-1:2026-02-05:2")),
        "freelancer_id": "f-1",
        "occurred_at": "2026-01-05T12:00:00.250000Z",
        "charge_id": "f-1:2026-02-05:2",
        "amount_cents": 1_500,
        "currency": "USD",
        "source": "payment-method",
        "cycle_start": "2026-02-05",
        "promo_code": "SPRING",
    }
    assert (charge.topic, charge.key) == ("membership-charge-requested", b"f-1")
    MembershipUpdated.model_validate_json(membership.value)
    MembershipChargeRequested.model_validate_json(charge.value)


async def test_all_that_a_membership_goes_through_is_published_once_and_in_order(kept: Kept, story: Story) -> None:
    story.registered("f-1")
    story.chose("plus", "f-1", at=day(10))
    await kept.keep(story)
    story.paid(story.charge("f-1").charge_id, "f-1")
    story.passes(days=31)
    story.unpaid(story.charge("f-1").charge_id, "f-1")
    await kept.keep(story)
    shown, asked = [], []
    for message in await published(kept):
        if message.topic == "membership-updated":
            shown.append(MembershipUpdated.model_validate_json(message.value))
        elif message.topic == "membership-charge-requested":
            asked.append(MembershipChargeRequested.model_validate_json(message.value))
    assert [(one.version, one.plan, one.reason) for one in shown] == [
        (1, "basic", "registered"),
        (2, "plus", "upgraded"),
        (3, "plus", "charge-requested"),
        (4, "basic", "charge-failed"),
    ]
    assert [(one.freelancer_id, one.charge_id) for one in asked] == list(story.state.charges)
    assert len({one.event_id for one in (*shown, *asked)}) == 6


async def test_what_costs_nothing_is_reported_and_not_asked_of_the_billing_system(kept: Kept) -> None:
    story = Story(policies(with_promo_codes(policy_text())))
    story.registered("f-1")
    story.chose("plus", "f-1", promo="FREE", at=day(10), event_id="up")
    await kept.keep(story)
    story.passes(days=31)
    await kept.keep(story)
    messages = await published(kept)
    shown = [MembershipUpdated.model_validate_json(one.value) for one in messages if one.topic == "membership-updated"]
    assert [(one.version, one.plan, one.reason) for one in shown] == [
        (1, "basic", "registered"),
        (2, "plus", "upgraded"),
        (3, "plus", "renewed"),
    ]
    assert [one.topic for one in messages if one.topic == "membership-charge-requested"] == []
    updates = await wallet_updates(kept)
    assert [(one.rule, one.cause.topic, one.cause.event_id) for one in updates[1:]] == [
        ("grant.upgrade", "membership-plan-chosen", "up"),
        ("grant.monthly", None, "cycle:f-1:2026-02-15"),
    ]
    rows = await kept.store.charges(list(story.state.charges))
    assert [(row.charge_id, row.amount_cents, row.status) for row in rows] == [
        ("f-1:up:1", 0, "paid"),
        ("f-1:2026-02-15:1", 0, "paid"),
    ]


async def test_without_a_promotion_a_charge_names_none_and_no_change_of_plan_is_null(kept: Kept, story: Story) -> None:
    decision = story.registered("f-1", at=day(0))
    decision.membership = MembershipUpdate(1, "basic", date(2026, 1, 5), date(2026, 2, 5), None, False, "registered")
    asked = (ChargeId("f-1:e-1:1"), FreelancerId("f-1"), "upgrade", date(2026, 1, 5), day(0), 1, 2_000, "USD")
    decision.charge = Charge(*asked, "earnings-balance", None, False, requested_at=day(0), decision_seq=1)
    await kept.keep(story)
    _, membership, charge = await published(kept)
    assert json.loads(membership.value)["scheduled_plan"] is None
    assert "promo_code" not in json.loads(charge.value)
    assert MembershipChargeRequested.model_validate_json(charge.value).promo_code is None
    assert MembershipUpdated.model_validate_json(membership.value).scheduled_plan is None


async def test_rows_that_the_marker_is_past_are_dropped(kept: Kept, story: Story) -> None:
    for number in range(3):
        story.bought("f-1", number + 1)
        await kept.keep(story)
    story.bought("f-1", 9)
    batch = await kept.open_batch(story)
    batch.drop_outbox_through = 2
    await kept.commit(batch)
    assert [row.seq for row in await kept.store.outbox_rows(0, 10**9)] == [3, 4]
    assert await kept.store.outbox_state() == (4, 2)
    assert await kept.store.batch_uid_at(1) == kept.batches[0].batch_uid
