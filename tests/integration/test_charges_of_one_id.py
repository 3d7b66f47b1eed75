"""Two freelancers whose charges have one id, through the real writer on a real PostgreSQL: nothing of them is shared.

`f` chooses Plus in event `1:up`, `f:1` in event `up`: both are asked to pay charge `f:1:up:1`.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from schemas.outputs import MembershipChargeRequested
from tests.kit.deciding import GRACE, Deciding, deciding
from tests.kit.policies import as_document, policies, policy_text
from tests.model.ledger import Ledger, check, read_ledger
from tests.property.test_writer_found_before import Timeline
from worker.demo.natural_keys import booked_twice
from worker.engine.loading import cache as memory
from worker.kafka.output.messages import unpack
from worker.kafka.records import InputRecord
from worker.ledger import at_once
from worker.ledger.sql import load
from worker.queries.explain import explain_event

REGISTERED = datetime(2026, 1, 10, 12, tzinfo=UTC)
MARCH = datetime(2026, 3, 10, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
ONE, OTHER, SHARED = "f", "f:1", "f:1:up:1"


class TimelineOfTwo(Timeline):
    """The events of the two, and the replies of the billing system."""

    def both_register(self) -> list[InputRecord]:
        return [self.registered(REGISTERED, ONE), self.registered(REGISTERED, OTHER)]

    def chose(self, who: str, minutes: int) -> InputRecord:
        event_id = {ONE: "1:up", OTHER: "up"}[who]
        at = REGISTERED + minutes * MINUTE
        return self.event("membership-plan-chosen", at, event_id=event_id, freelancer_id=who, plan="plus")

    def answered(self, who: str, outcome: str, minutes: int) -> InputRecord:
        said = {"freelancer_id": who, "charge_id": SHARED, "outcome": outcome, "source": "a card"}
        return self.event("membership-charge-settled", REGISTERED + minutes * MINUTE, **said)


@pytest.fixture
def timeline() -> TimelineOfTwo:
    return TimelineOfTwo()


async def decided(decides: Deciding, records: Sequence[InputRecord], *, one_by_one: bool) -> None:
    """All in one batch, or each in its own, with nothing left in memory after it."""
    if not one_by_one:
        await decides.decide(records)
        await decides.commit()
        return
    for record in records:
        await decides.decide([record])
        await decides.commit()
        await decides.restart()


async def checked(database_url: str) -> Ledger:
    ledger = await read_ledger(database_url)
    report = check(ledger, as_document(policy_text()), movements_in_order=False)
    assert report.ok, str(report)
    connection = await asyncpg.connect(database_url)
    try:
        for statement in (booked_twice(), load("demo.sql", "worker.demo")["grants_of_charges"]):
            assert await connection.fetch(statement) == []
    finally:
        await connection.close()
    return ledger


def became(ledger: Ledger) -> dict[tuple[str, str], str]:
    return {(row["freelancer_id"], row["charge_id"]): row["status"] for row in ledger.charges or ()}


def requests(decides: Deciding) -> list[MembershipChargeRequested]:
    """Every membership-charge-requested that was committed."""
    packed = [committed.batch.outbox for committed in decides.committed if committed.batch.outbox is not None]
    return [
        MembershipChargeRequested.model_validate_json(message.value)
        for messages in packed
        for message in unpack(messages)
        if message.topic == "membership-charge-requested"
    ]


@pytest.mark.parametrize("by_copy", [False, True])
@pytest.mark.parametrize("one_by_one", [False, True])
async def test_both_are_charged_answered_and_granted(
    database_url: str, timeline: TimelineOfTwo, monkeypatch: pytest.MonkeyPatch, *, one_by_one: bool, by_copy: bool
) -> None:
    if by_copy:
        monkeypatch.setattr(at_once, "SMALL_ROWS", 0)
    records = [
        *timeline.both_register(),
        timeline.chose(ONE, 1),
        timeline.chose(OTHER, 2),
        timeline.answered(OTHER, "paid", 3),
        timeline.answered(ONE, "paid", 4),
    ]
    async with deciding(database_url, policies()) as decides:
        await decided(decides, records, one_by_one=one_by_one)
        asked = requests(decides)
    ledger = await checked(database_url)
    assert became(ledger) == {(ONE, SHARED): "paid", (OTHER, SHARED): "paid"}
    assert {wallet["freelancer_id"]: wallet["balance"] for wallet in ledger.wallets} == {ONE: 40 + 70, OTHER: 40 + 70}
    assert [(one.freelancer_id, one.charge_id) for one in asked] == [(ONE, SHARED), (OTHER, SHARED)]
    assert len({one.event_id for one in asked}) == 2


@pytest.mark.parametrize("one_by_one", [False, True])
async def test_an_answer_counts_for_the_charge_of_its_own_freelancer_alone_also_when_it_lapses(
    database_url: str, timeline: TimelineOfTwo, monkeypatch: pytest.MonkeyPatch, *, one_by_one: bool
) -> None:
    monkeypatch.setattr(memory, "MOST_CHARGES", 1)
    records = [
        *timeline.both_register(),
        timeline.chose(ONE, 1),
        timeline.chose(OTHER, 2),
        timeline.answered(OTHER, "failed", 3),
        timeline.answered(OTHER, "paid", 4),
    ]
    async with deciding(database_url, policies()) as decides:
        await decided(decides, records, one_by_one=one_by_one)
        connection = await asyncpg.connect(database_url)
        waiting = [await explain_event(connection, event_id, policies=policies()) for event_id in ("1:up", "up")]
        await connection.close()
        await decides.until(MARCH + GRACE)
    ledger = await checked(database_url)
    assert became(ledger) == {(ONE, SHARED): "asked", (OTHER, SHARED): "failed"}
    assert [row["reason"] for row in ledger.decisions if row["topic"] == "membership-charge-settled"] == [
        "charge-failed",
        "charge-already-settled",
    ]
    assert [[one.subject["freelancer_id"] for one in about.awaited or ()] for about in waiting] == [[ONE], []]


@pytest.mark.parametrize("one_by_one", [False, True])
@pytest.mark.parametrize("known_before", [False, True])
async def test_an_answer_read_early_gets_its_follow_up_whoever_else_has_a_charge_of_that_id(
    database_url: str, timeline: TimelineOfTwo, *, known_before: bool, one_by_one: bool
) -> None:
    """It was kept waiting for good when the charge of that id was, or became, the other freelancer's."""
    chosen, early = timeline.chose(ONE, 1), timeline.answered(OTHER, "paid", 2)
    between = [chosen, early] if known_before else [early, chosen]
    records = [*timeline.both_register(), *between, timeline.chose(OTHER, 3)]
    async with deciding(database_url, policies()) as decides:
        await decided(decides, records, one_by_one=one_by_one)
    ledger = await checked(database_url)
    assert became(ledger) == {(ONE, SHARED): "asked", (OTHER, SHARED): "paid"}
    answer, follow_up = (row for row in ledger.decisions if row["topic"] == "membership-charge-settled")
    assert (answer["reason"], follow_up["reason"]) == ("unknown-charge", "upgraded")
    assert (follow_up["kind"], follow_up["follows"]) == ("follow-up", answer["seq"])
    connection = await asyncpg.connect(database_url)
    assert await connection.fetchval("SELECT count(*) FROM held") == 0
    await connection.close()
