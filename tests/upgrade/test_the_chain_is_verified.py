"""The hash chain of an earlier release, checked by its own rule, and as the first leaf of the log that follows it."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.kit.deciding import as_read, deciding
from tests.kit.world import World
from worker.bundle.check import check
from worker.bundle.format import Subject
from worker.bundle.postgres_source import export_ledger
from worker.bundle.writing import write_bundle
from worker.domain.policy_file import read_policy
from worker.errors import OperatorNeeded
from worker.proof.checks import Finding, Ground, Progress, Range, run_checks
from worker.proof.hash_check import hash_check, head
from worker.proof.heads import Head

pytestmark = pytest.mark.in_turn


async def findings(url: str, outside: Head | None = None) -> list[Finding]:
    return [one async for one in run_checks([hash_check(outside)], Ground(url, Range(), Progress()))]


async def test_the_chain_of_an_earlier_release_is_verified_and_begins_the_log(world: World) -> None:
    url = world.database_url
    connection = await asyncpg.connect(url)
    before = await head(connection)
    assert before == Head(0, await world.value("SELECT chain_head FROM batches ORDER BY batch_no DESC LIMIT 1"))
    assert await findings(url) == []
    assert await findings(url, before) == []

    policies = read_policy(world.policy_file.read_text(), str(world.policy_file))
    async with deciding(url, policies) as decides:
        await decides.writer.advance({})
        await decides.commit()
    assert (await head(connection)).size == 2, "the first leaf, and the batch"
    assert await findings(url) == []
    assert await findings(url, before) == []
    assert [one.cause for one in await findings(url, Head(0, bytes(32)))] == ["tampered"]

    await connection.execute("SET session_replication_role = replica")
    batch = await world.value("SELECT batch_no FROM decisions WHERE seq = 1000")
    row = await connection.fetchrow("SELECT reason, late_by_seconds FROM decisions WHERE seq = 1000")
    for alter in ("reason = reason || 'x'", "late_by_seconds = coalesce(late_by_seconds, 0) + 1"):
        await connection.execute(f"UPDATE decisions SET {alter} WHERE seq = 1000")  # noqa: S608
        (finding,) = await findings(url)
        assert (finding.cause, finding.batch_no) == ("tampered", batch)
        await connection.execute("UPDATE decisions SET reason = $1, late_by_seconds = $2 WHERE seq = 1000", *row)
    await connection.execute("UPDATE policies SET hash = 'another'")
    (finding,) = await findings(url)
    assert (finding.cause, finding.table) == ("tampered", "policies")
    await connection.close()


async def test_a_bundle_of_an_earlier_release_names_what_is_older_than_the_log(world: World, tmp_path: Path) -> None:
    url, path = world.database_url, tmp_path / "a.bundle"
    connection = await asyncpg.connect(url)
    before = await head(connection)
    freelancer = await world.value("SELECT freelancer_id FROM changes GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 1")
    count = await world.value(f"SELECT count(*) FROM decisions WHERE freelancer_id = '{freelancer}'")  # noqa: S608
    asked = Subject(freelancer=freelancer)
    with pytest.raises(OperatorNeeded, match=r"no log of single decisions yet.*run this release's worker once"):
        await write_bundle(path, export_ledger(url, asked, None, Progress()))

    policies = read_policy(world.policy_file.read_text(), str(world.policy_file))
    async with deciding(url, policies) as decides:
        await decides.writer.advance({})
        await decides.decide(as_read([registered(freelancer, await world.value(LAST_TIME))]))
        await decides.commit()
    bundle = await write_bundle(path, export_ledger(url, asked, before, Progress()))
    found = check(path, str(before), Progress())
    assert found.findings == []
    assert (found.decisions, found.proved) == (bundle.decisions, 1)
    assert bundle.decisions > count
    assert any("of the hash chain of 0.1.0, which is older than the log" in remark for remark in found.remarks)
    await connection.close()


LAST_TIME = "SELECT business_time FROM batches ORDER BY batch_no DESC LIMIT 1"


def registered(freelancer: str, at: datetime) -> dict[str, Any]:
    """A record of a partition that the earlier release did not read."""
    value = {"event_id": "e-after-the-log", "occurred_at": at.isoformat(), "freelancer_id": freelancer}
    place = {"topic": "freelancer-registered", "partition": 900, "offset": 0, "business_time": at}
    return {**place, "payload": json.dumps(value).encode()}
