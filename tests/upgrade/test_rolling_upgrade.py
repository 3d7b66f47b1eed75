"""Two releases side by side under load (F6): the earlier one's own code leads and stands by while the schema changes.

It may not write the new schema. Both of its workers end with one line, and a worker of this release leads.
"""

import asyncio
import os
import sys
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import asyncpg
import pytest

from tests.kit.histories import History
from tests.kit.http import free_port
from tests.kit.invariants import check_by_verify, check_everything
from tests.kit.load import steady_load
from tests.kit.waiting import until
from tests.kit.worker_process import WorkerProcess
from tests.kit.world import World, a_world
from tests.upgrade.release import Release
from tests.upgrade.test_earlier_releases_are_refused import LATER
from worker.embedded.stack import LocalStack
from worker.ledger.migrate import migrate
from worker.ledger.place import NEWEST

pytestmark = pytest.mark.in_turn

EVENTS_A_SECOND: Final = 40.0
TAKEOVER_SECONDS: Final = 5.0
"""The lease of three seconds, and time for a busy machine."""
REFUSED: Final = 1
IN_ORDER: Final = 0


@pytest.fixture
def code(release: Release, tmp_path: Path) -> Path:
    """The folder of the earlier release's own code."""
    return release.restore_code(tmp_path / "code")


@pytest.fixture
async def world(stack: LocalStack, tmp_path: Path, prefix: str, release: Release, code: Path) -> AsyncIterator[World]:
    """An empty ledger with the schema of the earlier release, as its own `connects migrate` makes it."""
    database_url = stack.create_database(f"rolling_{uuid.uuid4().hex[:12]}")
    migrating = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "worker", "migrate"),
        cwd=code,
        env={**os.environ, "DATABASE_URL": database_url, "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"},
    )
    assert await migrating.wait() == 0
    async with a_world(stack, tmp_path, database_url, prefix) as world:
        world.policy_file = release.policy_file
        yield world


async def test_an_earlier_release_is_refused_and_this_one_takes_over(world: World, code: Path) -> None:
    """As in docs/kubernetes.md: the schema first, under the workers that run; then the workers one by one."""
    old = [await world.connects_run(free_port(), code=code) for _ in range(2)]
    async with steady_load(world, History(seed=61, freelancers=60, jobs=400, events=8_000), EVENTS_A_SECOND) as load:
        await world.has_decided(200)
        assert all(worker.runs for worker in old)
        migrated = await world.asking()("migrate")
        assert migrated.code == 0, migrated.err
        decided = await world.value("SELECT max(last_seq) FROM batches")
        new = await world.connects_run(free_port())
        await asyncio.gather(*(is_refused(worker) for worker in old))
        await until(lambda: new.said("http.listening"))
        await leads(world, new)
        by_the_earlier = "SELECT max(last_seq) FROM batches WHERE log_size IS NULL"
        assert await world.value(by_the_earlier) == decided, "an earlier release decided something after the migration"

        restarted = await world.connects_run(free_port(), code=code)
        second = await world.connects_run(free_port())
        await stands_by(world, restarted)
        await stands_by(world, second)
        second.pause()
        await new.kill()
        await is_refused(restarted)
        second.go_on()
        await leads(world, second)
    await world.settled()
    second.terminate()
    assert await second.ended() == IN_ORDER, second.tail()
    await check_everything(world, asked_for_nothing_through=decided)
    await check_by_verify(world)
    assert await load.lost() == []


async def is_refused(worker: WorkerProcess) -> None:
    assert await worker.ended() == REFUSED, worker.tail()
    assert worker.said(f"table batches, constraint batches_with_a_log: {LATER}"), worker.tail()


async def leads(world: World, worker: WorkerProcess) -> None:
    """Nobody holds the lease any more, or who does cannot renew it."""
    await world.comes_true(lambda: is_led_by(world, worker), TAKEOVER_SECONDS)


async def is_led_by(world: World, worker: WorkerProcess) -> bool:
    return f":{worker.pid}/" in await world.holder()


async def stands_by(world: World, worker: WorkerProcess) -> None:
    async def looks() -> bool:
        found = "datname = current_database() AND application_name LIKE $1"
        return await world.value(f"SELECT count(*) FROM pg_stat_activity WHERE {found}", f"%:{worker.pid}/%") > 0  # noqa: S608

    await world.comes_true(looks)


async def test_the_migration_waits_for_a_batch_and_survives_a_deadlock(world: World) -> None:
    """A batch that is being written is committed before anything is changed, and none between two revisions.

    Then a reader holds a table that the migration needs later, and asks for one that it has changed.
    """
    other = await asyncpg.connect(world.database_url)
    await other.execute("SET deadlock_timeout = '1h'")  # it is the migration that PostgreSQL ends
    async with other.transaction():
        await other.execute("LOCK TABLE decisions IN ACCESS SHARE MODE")
        writing = other.transaction()
        await writing.start()
        await other.execute("LOCK TABLE batches IN ROW EXCLUSIVE MODE")
        migrating = asyncio.create_task(migrate(world.database_url))
        await waits_for(world, "batches")
        assert await locked(world, "lots", "spends", "due") == 0
        await writing.rollback()  # which gives back the lock on batches alone
        await waits_for(world, "decisions")
        assert await locked(world, "batches", "lots") > 0
        await other.execute("LOCK TABLE lots IN ACCESS SHARE MODE")
    await migrating
    await other.close()
    assert await world.value("SELECT max(version_num) FROM alembic_version") == NEWEST


async def waits_for(world: World, table: str) -> None:
    async def waiting() -> bool:
        asked = "SELECT count(*) FROM pg_locks WHERE relation = $1::text::regclass AND NOT granted"
        return bool(await world.value(asked, table))

    await world.comes_true(waiting)


async def locked(world: World, *tables: str) -> int:
    """How many locks there are that forbid writing any of these."""
    found: int = await world.value(
        "SELECT count(*) FROM pg_locks WHERE granted AND relation = ANY ($1::text[]::regclass[])"
        " AND mode IN ('ShareLock', 'ShareRowExclusiveLock', 'AccessExclusiveLock')",
        tables,
    )
    return found
