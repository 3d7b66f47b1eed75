"""What deciding the history again needs, as each store has it."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest

from tests.contract.conftest import Kept
from tests.kit.story import Story, day
from worker.domain.model import FreelancerId
from worker.ledger.memory_store import MemoryStore
from worker.ledger.tables import MentionRow, PolicyRow

Read = Callable[[str], Awaitable[list[Any]]]


@pytest.fixture
def read(kept: Kept, ledger_url: str) -> Read:
    """All rows of a table, by name."""

    async def rows(table: str) -> list[Any]:
        if isinstance(kept.store, MemoryStore):
            return [row._asdict() for row in getattr(kept.store.tables, table)]
        connection = await asyncpg.connect(ledger_url)
        found = await connection.fetch(f"SELECT * FROM {table} ORDER BY 1")  # noqa: S608
        await connection.close()
        return found

    return rows


async def test_a_batch_says_what_it_was_decided_under(kept: Kept, story: Story, read: Read) -> None:
    story.registered("f-1", at=day(0))
    await kept.keep(story)
    story.registered("f-2", at=day(1))
    await kept.keep(story)
    first, second = await read("batches")
    for row in (first, second):
        shown = [row[name] for name in ("epoch", "release", "grace_seconds", "skew_seconds")]
        assert shown == [kept.epoch, "0.0.0", 30.0, 300.0]
        assert list(row["policy_versions"]) == ["2026-01-01", "2026-07-01"]
        assert len(row["salt"]) == 16
        assert (row["closures_worked"], row["released_void"]) == (None, None)
    assert (first["time_before"], first["business_time"]) == (None, day(0))
    assert (second["time_before"], second["business_time"]) == (day(0), day(1))
    assert first["salt"] != second["salt"]


async def test_closures_worked_off_and_triggers_released_without_effect_are_read_back(
    kept: Kept, story: Story, read: Read
) -> None:
    story.registered("f-1")
    batch = await kept.open_batch(story)
    batch.closures_worked += [(7, 11, 9, 0), (7, 12, 10, 1)]
    batch.released_void += [(3, 12)]
    await kept.commit(batch)
    (row,) = await read("batches")
    assert [tuple(part) for part in row["closures_worked"]] == [(7, 11, 9, 0), (7, 12, 10, 1)]
    assert [tuple(one) for one in row["released_void"]] == [(3, 12)]


async def test_a_policy_names_the_batch_that_stored_it(kept: Kept, story: Story, read: Read) -> None:
    batch = await kept.open_batch(story)
    batch.policies.append(PolicyRow("2026-01-01", day(0), b"hash", "{}", batch.batch_no))
    await kept.commit(batch)
    (row,) = await read("policies")
    assert row["batch_no"] == 1


async def test_a_decision_names_the_one_before_it_and_what_it_showed(kept: Kept, story: Story, read: Read) -> None:
    story.registered("f-1", at=day(0))
    story.earned_badge("f-2")
    await kept.keep(story)
    story.earned_badge("f-1", at=day(1))
    story.closed("j-1")
    await kept.keep(story)
    rows = await read("decisions")
    assert [row["previous_seq"] for row in rows] == [0, 0, 1, None]
    shown = [json.loads(row["membership_updated"] or "null") for row in rows]
    assert shown == [[1, "basic", "2026-01-05", "2026-02-05", None, False, "registered"], None, None, None]
    assert [row["running_time"] for row in rows] == [None] * 4


async def test_a_decision_taken_after_it_was_due_says_when(kept: Kept, story: Story, read: Read) -> None:
    story.registered("f-1", at=day(0))
    await kept.keep(story)
    story.until(day(40))
    batch = await kept.open_batch(story)
    batch.decisions = [row._replace(running_time=day(50)) for row in batch.decisions]
    await kept.commit(batch)
    assert {row["running_time"] for row in (await read("decisions"))[1:]} == {day(50)}


async def test_the_last_decision_of_a_freelancer_is_read_back(kept: Kept, story: Story) -> None:
    ids = [FreelancerId(name) for name in ("f-1", "f-2", "f-3", "nobody")]
    assert await kept.store.last_decisions(ids) == dict.fromkeys(ids, 0)
    story.registered("f-1")  # 1: found by its change
    story.registered("f-2")
    story.earned_badge("f-2", badge="top-rated")  # 3: declined, found by what mentions it
    await kept.keep(story)
    assert list((await kept.store.last_decisions(ids)).values()) == [1, 3, 0, 0]
    story.earned_badge("f-2")  # 4: found by its change again
    await kept.keep(story)
    assert list((await kept.store.last_decisions(ids)).values()) == [1, 4, 0, 0]


async def test_a_change_by_a_decision_on_another_freelancer_is_not_one_on_this_freelancer(
    kept: Kept, story: Story
) -> None:
    """A late hire takes refunds back of everybody who bid: those are decisions on whom it names."""
    story.registered("f-1")
    story.registered("f-2")
    batch = await kept.open_batch(story)
    second = batch.decisions[1]
    batch.decisions[1] = second._replace(freelancer_id=FreelancerId("f-3"))
    batch.mentions.append(MentionRow("f:f-3", second.seq))
    await kept.commit(batch)
    ids = [FreelancerId(name) for name in ("f-1", "f-2", "f-3")]
    assert list((await kept.store.last_decisions(ids)).values()) == [1, 0, 2]
