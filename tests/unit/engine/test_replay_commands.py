"""Events that never came are added by a plan: each brings what was planned, once, or nothing of it is booked."""

from collections.abc import AsyncIterator
from datetime import datetime

import msgspec
import pytest

from tests.kit.deciding import Deciding
from tests.kit.policies import policies
from tests.kit.replaying import (
    Came,
    Refusing,
    add,
    apply,
    ask,
    balance,
    became,
    begin,
    bought,
    closed,
    event,
    expecting,
    leading,
    nothing_is_found,
    planned,
    proposed,
    registered,
    told,
)
from worker.domain.decisions import Subject
from worker.domain.rules import grants
from worker.kafka.output.messages import unpack
from worker.ledger.memory_store import MemoryStore
from worker.ledger.parked import ParkedKey
from worker.ledger.tables import DecisionRow
from worker.words.explanations import explain

BOOK = policies()


@pytest.fixture
async def decides() -> AsyncIterator[Deciding]:
    async with leading(Refusing(), BOOK, batch_size=4) as decides:
        yield decides


@pytest.fixture
def store(decides: Deciding) -> Refusing:
    assert isinstance(decides.store, Refusing)
    return decides.store


def added(store: MemoryStore) -> list[DecisionRow]:
    return [row for row in store.tables.decisions if row.kind == "added"]


async def test_an_added_event_is_decided_as_the_late_event_it_is(
    decides: Deciding, came: Came, store: Refusing
) -> None:
    await came(registered("f-1"))
    triggers = await planned(store, BOOK, [bought("f-1", "b-1")])
    await decides.until(msgspec.convert("2026-03-09T00:00:00Z", type=datetime))
    assert told(await apply(decides, BOOK, triggers)) == ("applied", "plan-applied", 1, 0, 0)
    (row,) = added(store)
    assert (row.topic, row.event_id, row.incarnation, row.partition, row.offset) == (
        *("connects-purchased", "e-b-1"),
        *(None, None, None),
    )
    assert (row.outcome, row.reason, row.payload) == ("applied", "purchased", triggers[0].event.encode())
    assert row.late_by_seconds is not None
    assert balance(store, "f-1") == 50
    assert became(store) == [(1, "booked", "purchased")]
    (plan,) = store.tables.replays
    assert (plan.actor, plan.why, plan.state, plan.triggers) == ("ana", "lost by the importer", "open", 1)
    await nothing_is_found(store)


async def test_its_messages_name_the_decision_that_added_it(decides: Deciding, came: Came, store: Refusing) -> None:
    await came(registered("f-1"), proposed("f-1", "p-1"))
    await apply(decides, BOOK, await planned(store, BOOK, [closed("j-1")]))
    await decides.until(msgspec.convert("2026-03-09T00:00:00Z", type=datetime))
    (row,) = added(store)
    rows = await store.outbox_rows(0, 10**6)
    messages = [msgspec.json.decode(one.value) for packed in rows for one in unpack(packed.messages)]
    refund = next(one for one in messages if one.get("rule") == "refund.job-closed-without-hire")
    assert refund["cause"] == {"topic": "job-closed", "event_id": "c-j-1", "added": row.seq}


async def test_what_had_waited_for_it_follows(decides: Deciding, came: Came, store: Refusing) -> None:
    named = {"freelancer_id": "f-1", "proposal_id": "p-1", "job_id": "j-1"}
    await came(registered("f-1"), event("boost-outbid", "o-1", "2026-03-05T10:00:00Z", **named))
    topic, fields = proposed("f-1", "p-1")
    triggers = await planned(store, BOOK, [(topic, {**fields, "boost_connects": 4})])
    assert triggers[0].expected.wallets == {"f-1": -6}
    assert told(await apply(decides, BOOK, triggers))[2:] == (1, 0, 0)
    assert [row.kind for row in store.tables.decisions][-3:] == ["added", "follow-up", "command"]
    assert balance(store, "f-1") == 34
    await nothing_is_found(store)


async def test_an_added_outbid_waits_for_its_proposal(decides: Deciding, came: Came, store: Refusing) -> None:
    named = {"freelancer_id": "f-1", "proposal_id": "p-1", "job_id": "j-1"}
    await came(registered("f-1"))
    await apply(decides, BOOK, await planned(store, BOOK, [event("boost-outbid", "o-1", **named)]))
    assert became(store) == [(1, "booked", "unknown-proposal")]
    await decides.restart()
    topic, fields = proposed("f-1", "p-1")
    await came((topic, {**fields, "boost_connects": 4}))
    follow_up = next(row for row in store.tables.decisions if row.kind == "follow-up")
    assert (follow_up.follows, follow_up.offset) == (added(store)[0].seq, None)
    await nothing_is_found(store)


async def test_an_added_closure_is_settled_in_its_time(decides: Deciding, came: Came, store: Refusing) -> None:
    await came(registered("f-1"), registered("f-2"), proposed("f-1", "p-1"), proposed("f-2", "p-2"))
    await apply(decides, BOOK, await planned(store, BOOK, [closed("j-1")]))
    await decides.restart()
    await decides.until(msgspec.convert("2026-03-09T00:00:00Z", type=datetime))
    settled = [row for row in store.tables.decisions if row.kind == "settlement"]
    assert [(row.proposal_id, row.outcome, row.event_id, row.offset) for row in settled] == [
        ("p-1", "applied", "c-j-1", None),
        ("p-2", "applied", "c-j-1", None),
    ]
    await came(closed("j-1"))
    await nothing_is_found(store)
    await nothing_is_found(store, 3)


async def test_a_settlement_of_an_added_closure_that_fails_is_released_later(
    decides: Deciding, came: Came, store: Refusing, monkeypatch: pytest.MonkeyPatch
) -> None:
    await came(registered("f-1"), proposed("f-1", "p-1"))
    await apply(decides, BOOK, await planned(store, BOOK, [closed("j-1")]))
    with monkeypatch.context() as broken:
        broken.setattr("worker.domain.rules.refunds._give_back", None)
        await decides.until(msgspec.convert("2026-03-09T00:00:00Z", type=datetime))
    assert len(decides.writer.parked) == 1
    ((scope, key),) = decides.writer.parked
    await decides.restart()
    assert (await ask(decides, "parked-release", {"scope": scope, "key": key})).reason == "released"
    assert balance(store, "f-1") == 40
    await nothing_is_found(store)


async def test_it_takes_its_id(decides: Deciding, came: Came, store: Refusing) -> None:
    await came(registered("f-1"))
    purchase = bought("f-1", "b-1")
    await apply(decides, BOOK, await planned(store, BOOK, [purchase]))
    await came(purchase)
    await decides.restart()
    await came(purchase, (purchase[0], {**purchase[1], "connects": 11}))
    repeats = [row for row in store.tables.decisions if row.outcome in {"duplicate", "rejected"}]
    assert [row.reason for row in repeats] == ["already-decided", "already-decided", "event-id-conflict"]
    facts = [msgspec.json.decode(row.facts) for row in repeats]
    assert {one["first_seq"] for one in facts} == {added(store)[0].seq}
    assert {(one["first_partition"], one["first_offset"]) for one in facts} == {(None, None)}
    words = [explain(row.reason, row.outcome, Subject(), one) for row, one in zip(repeats, facts, strict=True)]
    seq = added(store)[0].seq
    assert words[0] == (
        f"Nothing done again: this message was read before (the connects-purchased that was added as decision {seq}) "
        "and decided then."
    )
    assert f"that was added as decision {seq}" in facts[2]["detail"]
    assert balance(store, "f-1") == 50
    await nothing_is_found(store)


async def test_what_would_bring_something_else_books_nothing(decides: Deciding, came: Came, store: Refusing) -> None:
    await came(registered("f-1"), registered("f-2"))
    one, two, three = await planned(store, BOOK, [bought("f-1", "b-1"), bought("f-1", "b-2"), bought("f-2", "b-3")])
    wrong = expecting(one, "applied", "purchased", **{"f-1": 11})
    before = balance(store, "f-1")
    assert told(await apply(decides, BOOK, [wrong, two, three])) == ("applied", "plan-applied", 1, 1, 1)
    assert became(store) == [
        (1, "deviated", "other-amounts"),
        (2, "left-out", "after-deviation"),
        (3, "booked", "purchased"),
    ]
    rows = {row.number: row for row in store.tables.replayed}
    assert rows[1].detail == "it would bring applied (purchased), f-1 +10; planned was applied (purchased), f-1 +11"
    assert rows[2].detail == "trigger 1 of the same wallet was not booked"
    assert (balance(store, "f-1"), balance(store, "f-2")) == (before, 50)
    assert [row.event_id for row in added(store)] == ["e-b-3"]
    await nothing_is_found(store)


async def test_another_outcome_deviates_also_where_no_connects_move(
    decides: Deciding, came: Came, store: Refusing
) -> None:
    await came(registered("f-1"))
    (trigger,) = await planned(store, BOOK, [closed("j-1")])
    await apply(decides, BOOK, [expecting(trigger, "declined", "already-closed")])
    assert became(store) == [(1, "deviated", "other-outcome")]
    assert not list(store.tables.closures)
    assert not added(store)


async def test_an_event_of_an_unknown_wallet_that_deviates_leaves_no_trace(
    decides: Deciding, came: Came, store: Refusing
) -> None:
    await came(registered("f-1"))
    (trigger,) = await planned(store, BOOK, [registered("f-9")])
    await apply(decides, BOOK, [expecting(trigger, "applied", "registered", **{"f-9": 39})])
    assert not list(store.tables.changes_of.of("f-9"))
    assert store.tables.memberships.get("f-9") is None
    topic, fields = registered("f-9")
    await came((topic, fields))
    assert balance(store, "f-9") == 40
    await nothing_is_found(store)


async def test_a_job_is_left_out_after_a_deviation_in_a_later_command_too(
    decides: Deciding, came: Came, store: Refusing
) -> None:
    await came(registered("f-1"), registered("f-2"))
    events = [proposed("f-1", "p-1"), closed("j-1"), proposed("f-2", "p-2", "j-2")]
    one, two, three = await planned(store, BOOK, events)
    await begin(decides, BOOK, 3)
    await add(decides, [expecting(one, "applied", "proposal-submitted", **{"f-1": -5})])
    await decides.restart()
    await add(decides, [two, three])
    assert became(store) == [
        (1, "deviated", "other-amounts"),
        (2, "left-out", "after-deviation"),
        (3, "booked", "proposal-submitted"),
    ]


async def test_many_deviations_in_one_chunk_lose_nothing(decides: Deciding, came: Came, store: Refusing) -> None:
    names = [f"f-{number}" for number in range(12)]
    await came(*map(registered, names))
    triggers = await planned(store, BOOK, [bought(name, f"b-{name}") for name in names])
    wrong = [
        expecting(one, "applied", "purchased", **{f"f-{place}": 9}) if place % 3 == 0 else one
        for place, one in enumerate(triggers)
    ]
    assert told(await apply(decides, BOOK, wrong))[2:] == (8, 4, 0)
    assert [balance(store, name) for name in names] == [40 if place % 3 == 0 else 50 for place in range(12)]
    await nothing_is_found(store)


async def test_asked_twice_it_books_once_and_the_first_answer_stays(
    decides: Deciding, came: Came, store: Refusing
) -> None:
    await came(registered("f-1"), registered("f-2"))
    one, two = await planned(store, BOOK, [bought("f-1", "b-1"), bought("f-2", "b-2")])
    wrong = expecting(two, "applied", "purchased", **{"f-2": 1})
    first = await apply(decides, BOOK, [one, wrong])
    await decides.restart()
    again = await add(decides, [one, two])
    assert told(again) == told(first) == ("applied", "plan-applied", 1, 1, 0)
    assert became(store) == [(1, "booked", "purchased"), (2, "deviated", "other-amounts")]
    assert (balance(store, "f-1"), balance(store, "f-2")) == (50, 40)


async def test_an_id_that_was_decided_meanwhile_is_left_out(decides: Deciding, came: Came, store: Refusing) -> None:
    await came(registered("f-1"))
    one, two = await planned(store, BOOK, [bought("f-1", "b-1"), bought("f-1", "b-2")])
    await came(bought("f-1", "b-1"))
    await apply(decides, BOOK, [one, two])
    assert became(store) == [(1, "left-out", "already-decided"), (2, "booked", "purchased")]
    assert balance(store, "f-1") == 60


async def test_a_parked_wallet_is_left_out_and_what_comes_after_it(
    decides: Deciding, came: Came, store: Refusing, monkeypatch: pytest.MonkeyPatch
) -> None:
    await came(registered("f-1"))
    triggers = await planned(store, BOOK, [bought("f-1", "b-1"), bought("f-1", "b-2")])
    with monkeypatch.context() as broken:
        broken.setattr(grants, "grant", None)
        await came(bought("f-1", "b-0"))
    assert decides.writer.parked == {ParkedKey("wallet", "f-1"): set()}
    await begin(decides, BOOK, 2)
    await add(decides, triggers[:1])
    await ask(decides, "parked-release", {"scope": "wallet", "key": "f-1"})
    await add(decides, triggers[1:])
    assert became(store) == [(1, "left-out", "parked"), (2, "left-out", "after-deviation")]
    assert balance(store, "f-1") == 50


async def test_a_failure_in_a_rule_parks_nothing(
    decides: Deciding, came: Came, store: Refusing, monkeypatch: pytest.MonkeyPatch
) -> None:
    await came(registered("f-1"), registered("f-2"))
    triggers = await planned(store, BOOK, [bought("f-1", "b-1"), closed("j-1")])
    with monkeypatch.context() as broken:
        broken.setattr(grants, "grant", None)
        answer = await apply(decides, BOOK, triggers)
        assert told(answer)[2:] == (1, 1, 0), answer
    assert became(store) == [(1, "deviated", "failure-in-rule"), (2, "booked", "settlement-pending")]
    assert decides.writer.parked == {}
    await came(bought("f-1", "b-5"))
    assert balance(store, "f-1") == 50


async def test_what_the_ledger_refuses_parks_nothing(decides: Deciding, came: Came, store: Refusing) -> None:
    names = ("f-1", "f-2", "f-3")
    await came(*map(registered, names))
    triggers = await planned(store, BOOK, [bought(name, f"b-{name}") for name in names])
    store.refuses = "e-b-f-2"
    assert told(await apply(decides, BOOK, triggers))[2:] == (2, 1, 0)
    assert became(store)[1] == (2, "deviated", "refused-by-postgresql")
    assert decides.writer.parked == {}
    assert [balance(store, name) for name in names] == [50, 40, 50]


async def test_give_only_leaves_out_what_takes(decides: Deciding, came: Came, store: Refusing) -> None:
    await came(registered("f-1"))
    triggers = await planned(store, BOOK, [bought("f-1", "b-1"), proposed("f-1", "p-1")])
    await begin(decides, BOOK, 2)
    await add(decides, triggers, give_only=True)
    assert became(store) == [(1, "booked", "purchased"), (2, "left-out", "takes")]
    assert balance(store, "f-1") == 50


async def test_what_is_no_event_is_listed(decides: Deciding, came: Came, store: Refusing) -> None:
    await came(registered("f-1"))
    (good,) = await planned(store, BOOK, [bought("f-1", "b-1")])
    replace = msgspec.structs.replace
    bad = [
        replace(good, event="{}", event_id="e-1"),
        replace(good, number=2, event_id="e-2"),
        replace(good, number=3, event=good.event.replace("2026", "9026")),
        replace(good, number=4),
    ]
    await apply(decides, BOOK, bad)
    assert became(store) == [
        (1, "deviated", "invalid-event"),
        (2, "deviated", "invalid-event"),
        (3, "deviated", "occurred-in-the-future"),
        (4, "booked", "purchased"),
    ]


async def test_a_worker_that_is_to_end_leaves_the_rest(decides: Deciding, came: Came, store: Refusing) -> None:
    await came(registered("f-1"))
    triggers = await planned(store, BOOK, [bought("f-1", "b-1"), bought("f-1", "b-2")])
    await begin(decides, BOOK, 2)
    decides.writer.stop()
    answer = await add(decides, triggers)
    assert (answer.outcome, answer.reason, answer.told["left"]) == ("declined", "plan-interrupted", 2)
    await decides.restart()
    assert told(await add(decides, triggers))[2:] == (2, 0, 0)
