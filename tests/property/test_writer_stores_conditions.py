"""What the writer stores with its batches and decisions so that they can be decided again, one case after another."""

from typing import Any
from uuid import UUID

import pytest

from tests.kit.deciding import GRACE, SKEW, Deciding, deciding
from tests.kit.policies import policies
from tests.kit.stored import check_what_is_stored
from tests.kit.story import day
from tests.model.ledger import read_ledger
from tests.property.test_writer_found_before import Timeline
from worker.domain.rules import grants
from worker.engine.commands import Command, CommandRunner
from worker.ledger.memory_store import MemoryStore
from worker.ledger.tables import BatchRow, DecisionRow
from worker.release import release


def batches(store: MemoryStore) -> list[BatchRow]:
    return list(store.tables.batches)


def decisions(store: MemoryStore) -> list[DecisionRow]:
    return list(store.tables.decisions)


async def test_a_batch_has_release_settings_policy_versions_and_time_before() -> None:
    store, timeline, book = MemoryStore(), Timeline(), policies()
    async with deciding(store, book) as decides:
        decides.add_policies()
        await decides.writer.advance({})
        for number in (1, 2):
            await decides.decide([timeline.registered(day(number), f"f-{number}")])
            await decides.commit()
    rows = batches(store)
    versions = [policy.version for policy in book.versions]
    stored = {(row.release, row.grace_seconds, row.skew_seconds, tuple(row.policy_versions or ())) for row in rows}
    assert stored == {(release(), GRACE.total_seconds(), SKEW.total_seconds(), tuple(versions))}
    assert [(row.time_before, row.business_time) for row in rows[-2:]] == [(None, day(1)), (day(1), day(2))]
    assert len({row.salt for row in rows}) == len(rows)
    assert [(row.version, row.batch_no) for row in store.tables.policies] == [(name, 1) for name in versions]


async def test_clock_work_has_its_due_instant_and_the_business_time_at_which_it_was_done() -> None:
    store, timeline = MemoryStore(), Timeline()
    async with deciding(store, policies()) as decides:
        await decides.decide([timeline.bought(day(0), 40)])
        await decides.until(day(500))
    bought, expired = decisions(store)
    assert (bought.business_time, bought.running_time) == (day(0), None)
    assert (expired.business_time, expired.running_time) == (day(365) + GRACE, day(500))


async def test_what_is_done_at_the_instant_when_it_is_due_has_no_second_time() -> None:
    store, timeline = MemoryStore(), Timeline()
    async with deciding(store, policies()) as decides:
        await decides.decide([timeline.bought(day(0), 40)])
        await decides.until(day(365) + GRACE)
    assert [row.running_time for row in decisions(store)] == [None, None]


@pytest.mark.parametrize("restarts", [False, True])
async def test_a_closure_is_stored_with_each_part_that_was_worked_off(*, restarts: bool) -> None:
    """Also one without spends, which leaves no decision; a spend that comes after it is settled later."""
    store, timeline = MemoryStore(), Timeline()
    async with deciding(store, policies(), batch_size=2) as decides:
        for number in range(3):
            named = {"freelancer_id": "f-1", "job_id": "j-2", "proposal_id": f"p-{number}", "origin": "proposal"}
            await decides.decide([timeline.event("proposal-submitted", day(0), connects=1, **named)])
        await decides.decide([timeline.closed(day(1), job="j-1"), timeline.closed(day(1), job="j-2")])
        await decides.commit()
        if restarts:
            await decides.restart()
        await decides.until(day(2))
    parts = [tuple(part) for row in batches(store) for part in row.closures_worked or ()]
    assert parts == [(4, 6, 0, 1), (5, 8, 2, 0), (5, 9, 3, 1)]
    assert [row.seq for row in decisions(store) if row.kind == "settlement"] == [6, 7, 8]


async def test_a_trigger_that_is_released_without_effect_is_stored_with_its_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The lot whose expiry waits is emptied by a proposal that waits before it."""
    store, timeline = MemoryStore(), Timeline()
    async with deciding(store, policies()) as decides:
        await decides.decide([timeline.bought(day(0), 10)])
        await decides.commit()
        with monkeypatch.context() as bug:
            bug.setattr(grants, "grant", fail)
            await decides.decide([timeline.event("badge-earned", day(1), freelancer_id="f-1", badge="rising-talent")])
        await decides.decide([timeline.proposed(day(2), 10)])
        await decides.until(day(370))
        assert await released(decides) == "released"
    assert [(row.seq, row.kind, row.outcome) for row in decisions(store)][1:] == [
        *((seq, kind, "parked") for seq, kind in ((2, "first"), (3, "first"), (4, "clock"))),
        *((seq, "follow-up", "applied") for seq in (5, 6)),
        (7, "command", "applied"),
    ]
    assert [tuple(one) for row in batches(store) for one in row.released_void or ()] == [(4, 7)]
    check_what_is_stored([row._asdict() for row in decisions(store)], [])


def fail(*_: object) -> None:
    raise ZeroDivisionError


async def released(decides: Deciding) -> str:
    arguments: dict[str, Any] = {"scope": "wallet", "key": "f-1"}
    command = Command(UUID(int=1), "parked-release", arguments, "ann", "corrected")
    return (await CommandRunner(decides.writer).run(command)).reason


async def test_a_decision_names_the_one_before_also_of_somebody_else_who_waits(database_url: str) -> None:
    """An outbid of another freelancer waits for the proposal: it is decided with it, and names who sent it."""
    timeline = Timeline()
    async with deciding(database_url, policies()) as decides:
        await decides.decide([timeline.registered(day(0), "f-2")])
        named = {"job_id": "j-1", "proposal_id": "p-1"}
        await decides.decide([timeline.event("boost-outbid", day(1), freelancer_id="f-2", **named)])
        await decides.commit()
        await decides.restart()
        await decides.decide([timeline.proposed(day(2), 10)])
        await decides.commit()
    ledger = await read_ledger(database_url)
    assert [(row["freelancer_id"], row["previous_seq"]) for row in ledger.decisions] == [
        ("f-2", 0),
        ("f-2", 1),
        ("f-1", 0),
        ("f-2", 2),
    ]
