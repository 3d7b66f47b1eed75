"""Which lines of archives are planned: what the ledger never decided, by time."""

from datetime import timedelta

import pytest

from tests.unit.repair.planned import MARCH, a_ledger, bought, sorted_out
from worker.errors import UsageError
from worker.repair import candidates
from worker.repair.archives import BadLine
from worker.repair.candidates import BadLines


async def test_events_are_planned_by_time_and_of_one_instant_as_they_were_found() -> None:
    lines = [
        bought("e-3", at=MARCH + timedelta(seconds=2)),
        bought("e-1", at=MARCH - timedelta(days=3)),
        bought("e-4", at=MARCH + timedelta(seconds=2)),
        bought("e-2", at=MARCH + timedelta(seconds=1)),
    ]
    found = await sorted_out(await a_ledger(), lines)
    assert [one.line for one in found.in_order()] == [2, 4, 1, 3]


async def test_an_event_that_was_decided_is_inert_and_with_other_content_a_conflict() -> None:
    place = await a_ledger(bought("e-1"), bought("e-2"))
    topic, value = bought("e-1")
    spelled = topic, b" " + value.replace(b'"connects": 40', b'"connects":  40')
    found = await sorted_out(place, [bought("e-1"), spelled, bought("e-2", connects=41), bought("e-3")])
    assert (found.inert, found.conflicts, [one.line for one in found.in_order()]) == (2, 1, [4])
    assert found.conflicting == [
        "hour, line 3: event e-2 of connects-purchased was decided (decision 2) with other content"
    ]


async def test_an_event_that_comes_twice_in_the_archives_is_planned_once() -> None:
    found = await sorted_out(await a_ledger(), [bought("e-1"), bought("e-1"), bought("e-1", connects=41)])
    assert (found.inert, found.conflicts, [one.line for one in found.in_order()]) == (1, 1, [1])
    assert found.conflicting == [
        "hour, line 3: event e-1 of connects-purchased is in an earlier line with other content"
    ]


async def test_one_id_of_two_topics_is_two_events() -> None:
    badge = ("badge-earned", bought("e-1")[1].replace(b'"purchase_id": "b-e-1"', b'"badge": "top-rated"'))
    found = await sorted_out(await a_ledger(), [bought("e-1"), badge])
    assert len(found.in_order()) == 2


async def test_lines_that_are_no_event_are_counted_and_the_first_are_named() -> None:
    topic, value = bought("e-1", at=MARCH.replace(year=3001))
    too_old = bought("e-2", at=MARCH.replace(year=1999))
    lines = [bought("e-3"), BadLine("hour", 2, "it names no topic"), (topic, b"{}"), (topic, value), too_old]
    found = await sorted_out(await a_ledger(), [*lines, *([(topic, b"[]")] * 30)])
    assert found.bad_lines == 34
    assert len(found.bad) == 20
    assert [str(bad) for bad in found.bad[:2]] == [
        "hour, line 2: it names no topic",
        "hour, line 3: connects-purchased: event_id: missing",
    ]
    assert "3001-03-14T09:00:00+00:00 is " in str(found.bad[2])
    assert "after the wall clock" in str(found.bad[2])
    assert "no event before that counts (CONNECTS_EARLIEST_EVENT)" in str(found.bad[3])
    with pytest.raises(BadLines, match=r"nothing was planned: 34 lines of 35 are no events of a topic\. Correct"):
        found.require_no_bad_lines()


async def test_a_good_archive_is_not_refused() -> None:
    (await sorted_out(await a_ledger(), [bought("e-1")])).require_no_bad_lines()


async def test_a_plan_has_so_many_triggers_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidates, "MOST_TRIGGERS", 3)
    place = await a_ledger(bought("e-0"))
    lines = [bought("e-0"), bought("e-1"), bought("e-2"), bought("e-3"), bought("e-1")]
    assert len((await sorted_out(place, lines)).in_order()) == 3
    with pytest.raises(UsageError, match="more than 3 events were never decided"):
        await sorted_out(place, [*lines, bought("e-4")])
