"""Jobs that were not settled, or settled too early, are settled again by a plan: once, as planned, or not at all."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import msgspec
import pytest

from tests.kit.deciding import Deciding
from tests.kit.deciding_again import decide_again
from tests.kit.passing_over import passing_over
from tests.kit.policies import policies
from tests.kit.replaying import (
    Came,
    Event,
    Refusing,
    add,
    apply,
    balance,
    became,
    begin,
    bought,
    closed,
    event,
    expecting,
    leading,
    nothing_is_found,
    planned_again,
    proposed,
    told,
)
from worker.domain.rules import corrections as rule
from worker.errors import BatchRefused
from worker.kafka.output.messages import unpack
from worker.ledger.batch import Batch
from worker.ledger.tables import DecisionRow
from worker.proof.memory_reader import MemoryReader
from worker.proof.memory_rows import MemoryRows
from worker.repair.plan import Settle, kind_of

BOOK = policies()
MARCH_9 = msgspec.convert("2026-03-09T00:00:00Z", type=datetime)


class RefusingCorrections(Refusing):
    """Refuses batches with a correction, as PostgreSQL might."""

    refuses_corrections = False

    async def commit(self, batch: Batch, epoch: int) -> None:
        if self.refuses_corrections and any(row.kind == "correction" for row in batch.decisions):
            raise BatchRefused("refused", "for a test")
        await super().commit(batch, epoch)


@pytest.fixture
async def decides() -> AsyncIterator[Deciding]:
    async with leading(RefusingCorrections(), BOOK, batch_size=4) as decides:
        yield decides


@pytest.fixture
def store(decides: Deciding) -> RefusingCorrections:
    assert isinstance(decides.store, RefusingCorrections)
    return decides.store


def corrections(store: Refusing) -> list[DecisionRow]:
    return [row for row in store.tables.decisions if row.kind == "correction"]


def hired(job: str, at: str) -> Event:
    return event("hire-made", f"h-{job}", at, job_id=job, freelancer_id="f-9", contract_id="k-1")


async def a_job_that_was_not_settled(decides: Deciding, came: Came) -> None:
    """f-1 and f-2 bought 10 and spent 6 each on j-1, which was closed; a fault passed p-1 over. It is 9 March."""
    for name in ("f-1", "f-2"):
        topic, fields = bought(name, f"b-{name}")
        await came((topic, {**fields, "occurred_at": "2026-03-01T10:00:00Z"}))
    await came(proposed("f-1", "p-1"), proposed("f-2", "p-2"), closed("j-1"))
    with passing_over(lambda spend, *_: spend.proposal_id == "p-1"):
        await decides.until(MARCH_9)


async def test_only_what_was_passed_over_is_planned_and_booked(decides: Deciding, came: Came, store: Refusing) -> None:
    await a_job_that_was_not_settled(decides, came)
    plan = await planned_again(store, BOOK, ["j-1"])
    (trigger,) = plan.triggers
    assert isinstance(trigger, Settle)
    assert (trigger.number, trigger.proposal_id, trigger.topic, trigger.corrects) == (1, "p-1", "job-closed", ["c-j-1"])
    assert trigger.expected.wallets == {"f-1": 6}
    assert (plan.summary.triggers["settle"], plan.summary.nothing_to_do, plan.summary.given) == (1, 1, 6)
    (wallet,) = plan.wallets
    assert (wallet.freelancer_id, wallet.before, wallet.after) == ("f-1", 4, 10)
    assert told(await apply(decides, BOOK, plan.triggers)) == ("applied", "plan-applied", 1, 0, 0)
    (row,) = corrections(store)
    (row_of_plan,) = store.tables.replayed
    assert (row_of_plan.kind, row_of_plan.topic, row_of_plan.event_id) == ("settle", "job-closed", "c-j-1")
    assert row_of_plan.decision_seq == row.seq
    assert (row.topic, row.reason, row.occurred_at, row.business_time) == (None, "settled-anew", MARCH_9, MARCH_9)
    assert balance(store, "f-1") == balance(store, "f-2") == 10
    assert not (await planned_again(store, BOOK, ["j-1"])).triggers
    await decides.restart()
    await nothing_is_found(store)
    await nothing_is_found(store, 3)


async def test_its_message_names_the_event_that_it_corrects(decides: Deciding, came: Came, store: Refusing) -> None:
    await a_job_that_was_not_settled(decides, came)
    await apply(decides, BOOK, (await planned_again(store, BOOK, ["j-1"])).triggers)
    rows = await store.outbox_rows(0, 10**6)
    messages = [msgspec.json.decode(one.value) for packed in rows for one in unpack(packed.messages)]
    (message,) = [one for one in messages if one["rule"] == "correct.settle"]
    (row,) = corrections(store)
    assert message["corrects"] == ["c-j-1"]
    assert message["cause"] == {"topic": None, "event_id": row.event_id}
    assert (row.event_id or "").startswith("command:")
    assert not any("corrects" in one for one in messages if one is not message)


async def test_what_was_settled_meanwhile_deviates(decides: Deciding, came: Came, store: Refusing) -> None:
    await a_job_that_was_not_settled(decides, came)
    plan = await planned_again(store, BOOK, ["j-1"])
    await came(event("hire-made", "h-1", "2026-03-03T12:00:00Z", job_id="j-1", freelancer_id="f-9", contract_id="k-1"))
    assert told(await apply(decides, BOOK, plan.triggers))[2:] == (0, 1, 0)
    assert became(store) == [(1, "deviated", "other-outcome")]
    (row,) = store.tables.replayed
    assert row.detail == ("it would bring declined (nothing-to-do); planned was applied (settled-anew), f-1 +6")
    assert not corrections(store)
    await nothing_is_found(store)


async def test_a_late_hire_is_taken_back_by_its_selection_alone(decides: Deciding, came: Came, store: Refusing) -> None:
    await came(bought("f-1", "b-1"), proposed("f-1", "p-1"), closed("j-1"))
    await decides.until(MARCH_9)
    await came(hired("j-1", "2026-03-03T12:00:00Z"))
    assert not (await planned_again(store, BOOK, ["j-1"])).triggers
    plan = await planned_again(store, BOOK, ["j-1"], late_hires=True)
    assert [one.expected.wallets for one in plan.triggers] == [{"f-1": -6}]
    assert (await apply(decides, BOOK, plan.triggers)).reason == "plan-applied"
    assert balance(store, "f-1") == 4
    await decides.restart()
    assert not (await planned_again(store, BOOK, ["j-1"], late_hires=True)).triggers
    await nothing_is_found(store, 3)


async def test_give_only_leaves_out_what_takes(decides: Deciding, came: Came, store: Refusing) -> None:
    await came(bought("f-1", "b-1"), proposed("f-1", "p-1"), closed("j-1"))
    await decides.until(MARCH_9)
    await came(hired("j-1", "2026-03-03T12:00:00Z"))
    plan = await planned_again(store, BOOK, ["j-1"], late_hires=True)
    await begin(decides, BOOK, 1)
    assert told(await add(decides, plan.triggers, give_only=True))[2:] == (0, 0, 1)
    assert became(store) == [(1, "left-out", "takes")]
    assert not corrections(store)


async def test_a_failure_in_the_rule_is_listed_and_parks_nothing(
    decides: Deciding, came: Came, store: Refusing, monkeypatch: pytest.MonkeyPatch
) -> None:
    await a_job_that_was_not_settled(decides, came)
    plan = await planned_again(store, BOOK, ["j-1"])
    with monkeypatch.context() as broken:
        broken.setattr("worker.domain.rules.corrections._give_back", None)
        assert told(await apply(decides, BOOK, plan.triggers))[2:] == (0, 1, 0)
        failing = await planned_again(store, BOOK, ["j-1"])
    assert became(store) == [(1, "deviated", "failure-in-rule")]
    assert not decides.writer.parked
    assert not failing.triggers
    (left,) = failing.summary.left_for_a_person
    assert (left.what, left.events, left.why.startswith("the rule for one of these")) == ("wallet f-1", 1, True)
    await nothing_is_found(store)


async def test_what_postgresql_refuses_is_listed(decides: Deciding, came: Came, store: RefusingCorrections) -> None:
    await a_job_that_was_not_settled(decides, came)
    plan = await planned_again(store, BOOK, ["j-1"])
    store.refuses_corrections = True
    assert told(await apply(decides, BOOK, plan.triggers))[2:] == (0, 1, 0)
    assert became(store) == [(1, "deviated", "refused-by-postgresql")]
    assert balance(store, "f-1") == 4


@pytest.mark.parametrize("scope", ["wallet", "job"])
async def test_parked_wallets_and_jobs_book_nothing(
    decides: Deciding, came: Came, store: Refusing, monkeypatch: pytest.MonkeyPatch, scope: str
) -> None:
    await a_job_that_was_not_settled(decides, came)
    plan = await planned_again(store, BOOK, ["j-1"])
    with monkeypatch.context() as broken:
        if scope == "wallet":
            broken.setattr("worker.domain.rules.grants.grant", None)
            await came(bought("f-1", "b-3"))
        else:
            broken.setattr("worker.domain.rules.refunds.closing_order", None)
            await came(
                event("job-closed", "c-9", "2026-03-09T10:00:00Z", job_id="j-1", client_id="c-1", closure="expired")
            )
    assert [key.scope for key in decides.writer.parked] == [scope]
    assert told(await apply(decides, BOOK, plan.triggers))[2:] == (0, 0, 1)
    assert became(store) == [(1, "left-out", "parked")]
    again = await planned_again(store, BOOK, ["j-1"])
    assert not again.triggers
    (left,) = again.summary.left_for_a_person
    assert left.next.startswith("Release it first: connects parked release ")


async def test_asked_twice_it_has_its_first_answer(decides: Deciding, came: Came, store: Refusing) -> None:
    await a_job_that_was_not_settled(decides, came)
    plan = await planned_again(store, BOOK, ["j-1"])
    first = told(await apply(decides, BOOK, plan.triggers))
    await decides.restart()
    assert told(await apply(decides, BOOK, plan.triggers)) == first
    assert len(corrections(store)) == 1


async def test_after_a_deviation_the_rest_of_the_job_is_left_out(
    decides: Deciding, came: Came, store: Refusing
) -> None:
    await came(
        bought("f-1", "b-1"), bought("f-2", "b-2"), proposed("f-1", "p-1"), proposed("f-2", "p-2"), closed("j-1")
    )
    with passing_over(lambda spend, *_: spend.proposal_id in {"p-1", "p-2"}):
        await decides.until(MARCH_9)
    one, two = (await planned_again(store, BOOK, ["j-1"])).triggers
    assert isinstance(one, Settle)
    wrong = expecting(one, "applied", "settled-anew", **{"f-1": 7})
    assert told(await apply(decides, BOOK, [wrong, two]))[2:] == (0, 1, 1)
    assert became(store) == [(1, "deviated", "other-amounts"), (2, "left-out", "after-deviation")]


async def test_another_policy_refuses_the_plan(decides: Deciding) -> None:
    assert policies(least_life_days=31).versions[0].hash != BOOK.versions[0].hash
    assert policies(least_life_days=30).versions[0].hash == BOOK.versions[0].hash
    assert decides.writer.policies is BOOK


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("helper", ["_amounts", "_first_that_returns"])
async def test_where_todays_rule_is_another_one_only_the_correction_is_found(
    decides: Deciding, came: Came, store: Refusing, monkeypatch: pytest.MonkeyPatch, helper: str, parts: int
) -> None:
    await a_job_that_was_not_settled(decides, came)
    await apply(decides, BOOK, (await planned_again(store, BOOK, ["j-1"])).triggers)
    (row,) = corrections(store)
    as_it_is = getattr(rule, helper)
    others = {"_amounts": lambda *given: {**as_it_is(*given), "connects": 7}, "_first_that_returns": lambda *_: None}
    monkeypatch.setattr(rule, helper, others[helper])
    found = await decide_again(MemoryReader(store, 50), parts, MemoryRows(store.tables))
    assert found.seqs("code-changed") == [row.seq], str(found)
    assert {one.cause for one in found.findings} == {"code-changed"}, str(found)
    assert found.tally.row_count == 0, str(found)


@pytest.mark.parametrize("parts", [1, 3])
async def test_what_was_taken_back_is_followed_where_todays_rule_keeps_it(
    decides: Deciding, came: Came, store: Refusing, monkeypatch: pytest.MonkeyPatch, parts: int
) -> None:
    topic, fields = proposed("f-1", "p-1")
    await came(bought("f-1", "b-1"), (topic, {**fields, "connects": 12, "boost_connects": 3}), closed("j-1"))
    await decides.until(MARCH_9)
    await came(hired("j-1", "2026-03-03T12:00:00Z"), proposed("f-1", "p-2", "j-2", connects=7))
    plan = await planned_again(store, BOOK, ["j-1"], late_hires=True)
    await apply(decides, BOOK, plan.triggers)
    assert balance(store, "f-1") == 10 - 15 - 7
    monkeypatch.setattr(rule, "_is_outbid", lambda *_: True)
    found = await decide_again(MemoryReader(store, 50), parts, MemoryRows(store.tables))
    assert found.seqs("code-changed") == [corrections(store)[0].seq], str(found)
    assert ({one.cause for one in found.findings}, found.tally.row_count) == ({"code-changed"}, 0), str(found)


async def test_settles_come_after_adds_and_leave_what_was_added_to_the_schedule(
    decides: Deciding, came: Came, store: Refusing
) -> None:
    await a_job_that_was_not_settled(decides, came)
    late, hire = proposed("f-2", "p-3"), hired("j-1", "2026-03-03T12:00:00Z")
    plan = await planned_again(store, BOOK, ["j-1"], adds=[late])
    assert [(kind_of(one), one.expected.wallets) for one in plan.triggers] == [
        ("add", {"f-2": -6}),
        ("settle", {"f-1": 6}),
    ]
    assert [(one.rule, one.given) for one in plan.summary.will_follow] == [("refund.job-closed-without-hire", 6)]
    with_hire = await planned_again(store, BOOK, ["j-1"], adds=[hire])
    assert [kind_of(one) for one in with_hire.triggers] == ["add"]
    assert told(await apply(decides, BOOK, plan.triggers))[2:] == (2, 0, 0)
    await decides.until(MARCH_9 + timedelta(days=1))
    assert balance(store, "f-1") == balance(store, "f-2") == 10
    await nothing_is_found(store, 3)


async def test_what_no_plan_has_is_refused_or_listed(decides: Deciding, came: Came, store: Refusing) -> None:
    await a_job_that_was_not_settled(decides, came)
    (trigger,) = (await planned_again(store, BOOK, ["j-1"])).triggers
    await begin(decides, BOOK, 1)
    for wrong in ({"corrects": []}, {"topic": "no-topic"}):
        assert (await add(decides, [msgspec.structs.replace(trigger, **wrong)])).reason == "wrong-arguments"
    unknown = msgspec.structs.replace(trigger, proposal_id="p-9")
    assert told(await add(decides, [unknown]))[2:] == (0, 1, 0)
    assert became(store) == [(1, "deviated", "failure-in-rule")]
    assert not decides.writer.parked
