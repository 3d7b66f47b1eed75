"""`connects replay apply --on`: a plan is rehearsed on a copy of the ledger, which stays as it is, as do its topics."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from tests.integration.test_replay import WHY, planned, the_hour_before, the_lost_hour
from tests.kit.applying import balances
from tests.kit.asking import Answer, Asking
from tests.kit.clusters import a_cluster
from tests.kit.decided import as_reader, asking, rows_of
from tests.kit.produce import Sent
from tests.kit.waiting import in_time, until_async
from tests.kit.world import Events, World
from worker.ledger.migrate import migrate

REHEARSE = f"replay apply hour.plan {WHY} --take-too --on"
LOOKS = (
    "SELECT query_start FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    " AND query LIKE '%lease_until < clock_timestamp() AS expired%'"
)
"""When standbys last looked at the lease; a leader renews it instead."""


@asynccontextmanager
async def copy_of(database_url: str) -> AsyncIterator[str]:
    """A copy of a ledger that nobody is connected to, for as long as it is needed."""
    name, of = f"copy_{uuid.uuid4().hex[:12]}", urlsplit(database_url).path[1:]
    server = await asyncpg.connect(urlsplit(database_url)._replace(path="/postgres").geturl())
    try:
        await server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = $1 AND backend_type = 'client backend'",
            of,
        )
        await server.execute(f"CREATE DATABASE {name} TEMPLATE {of}")
        yield urlsplit(database_url)._replace(path=f"/{name}").geturl()
        await server.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await server.close()


async def the_plan(world: World) -> tuple[Asking, list[Sent]]:
    """A ledger that no worker leads, and a plan of the hour that it lost."""
    happens = Events()
    await world.produce(the_hour_before(happens))
    worker = await world.worker()
    await world.settled()
    worker.terminate()
    assert await worker.ended() == 0
    lost, connects = the_lost_hour(happens), world.asking()
    await planned(world, connects, lost)
    return connects, lost


async def wallets_of(url: str) -> dict[str, int]:
    return {row["freelancer_id"]: row["balance"] for row in await rows_of(url, "SELECT * FROM wallets")}


async def test_a_plan_is_rehearsed_and_then_brings_the_same(world: World) -> None:
    connects, lost = await the_plan(world)
    async with copy_of(world.database_url) as copy:
        worker = await world.worker()
        await world.leads(worker)
        before, published = await balances(world), len(world.reader.records)
        rehearsed = await connects(f"{REHEARSE} {copy} --json")
        assert rehearsed.code == 0, rehearsed
        applied, effects = rehearsed.json["applied"], rehearsed.json["effects"]
        assert (applied["booked"], applied["deviated"], applied["left_out"], applied["left"]) == (len(lost), 0, 0, 0)
        assert effects["plan"]["state"] == "done"
        assert [(one["reason"], one["changes"]) for one in rehearsed.json["followed"]] == [
            ("closed-without-hire", 10)
        ], rehearsed
        assert (await connects("verify", DATABASE_URL=copy)).code == 0
        assert await balances(world) == before
        assert await world.value("SELECT count(*) FROM replays") == 0
        await nothing_is_published_from(copy, world, published)

        again = await connects(f"{REHEARSE} {copy}")
        assert (again.code, f"Before, {len(lost)} had been booked" in again.text) == (0, True), again
        refused = await connects(f"{REHEARSE} {world.database_url}", DATABASE_URL=copy)
        assert "DATABASE_URL is a copy that plans were rehearsed on" in refused.err, refused

        done = await connects(f"replay apply hour.plan {WHY} --take-too")
        assert done.code == 0, done
        await world.settled()
        assert await wallets_of(world.database_url) == await wallets_of(copy) != before


async def nothing_is_published_from(copy: str, world: World, published: int) -> None:
    """A worker of the copy does not lead it, though it looks at the lease again and again."""
    worker, looks = await world.worker(database_url=copy), set[object]()

    async def has_looked_often() -> bool:
        assert worker.runs, worker.tail()
        looks.update(row["query_start"] for row in await rows_of(copy, LOOKS))
        return len(looks) > 5

    await until_async(has_looked_often)
    (leader,) = await rows_of(copy, "SELECT holder FROM leader")
    assert leader["holder"].startswith("rehearsal:")
    assert len(world.reader.records) == published
    await worker.kill()


async def test_what_deviates_on_the_copy_is_shown_and_the_rest_can_be_tried(world: World) -> None:
    connects, lost = await the_plan(world)
    worker = await world.worker()
    again = json.loads(lost[0].value or b"") | {"event_id": "e-other"}
    await world.produce([Sent("connects-purchased", json.dumps(again).encode(), None)])
    await world.settled()
    worker.terminate()
    assert await worker.ended() == 0
    async with copy_of(world.database_url) as copy:
        stopped = await connects(f"{REHEARSE} {copy}")
        assert stopped.code == 1
        assert "1 asked for: 0 booked, 1 deviated from the plan" in stopped.text
        assert "too many deviate" in stopped.text
        rest = await connects(f"{REHEARSE} {copy} --most-deviations 100")
        assert rest.code == 1
        assert f"{len(lost) - 1} booked" in rest.text
        assert "deviated: other-outcome" in rest.text
        assert "hour.jsonl, line 1" in rest.text
        assert "Followed, by the clock" in rest.text
        assert (await connects("verify", DATABASE_URL=copy)).code == 0


async def test_a_rehearsal_that_was_killed_goes_on(world: World) -> None:
    connects, lost = await the_plan(world)
    async with copy_of(world.database_url) as copy:
        process = await connects.start(f"{REHEARSE} {copy} --rate 2")
        assert b"1 asked for: 1 booked" in await in_time(process.stderr.readline())
        process.kill()
        await process.wait()
        reader = await as_reader(world.database_url)
        rest = await connects(f"{REHEARSE} {copy} --json", DATABASE_URL=reader)
        assert rest.code == 0, rest
        assert rest.json["applied"]["answered_before"] >= 1
        assert rest.json["effects"]["plan"]["booked"] == len(lost)
        assert (await connects("verify", DATABASE_URL=copy)).code == 0


async def test_another_rehearsal_on_the_same_copy_ends_the_first(world: World) -> None:
    connects, lost = await the_plan(world)
    async with copy_of(world.database_url) as copy:
        first = await connects.start(f"{REHEARSE} {copy} --rate 1")
        assert b"1 asked for: 1 booked" in await in_time(first.stderr.readline())
        second = await connects(f"{REHEARSE} {copy} --json")
        assert (second.code, second.json["effects"]["plan"]["booked"]) == (0, len(lost)), second
        out, err = await in_time(first.communicate())
        assert (first.returncode, out) == (1, b"")
        assert err.decode().splitlines()[-1].endswith("another worker has taken the ledger"), err
        assert (await connects("verify", DATABASE_URL=copy)).code == 0


async def test_what_is_no_copy_is_refused_in_a_line_and_stays_as_it_is(world: World) -> None:
    connects, _ = await the_plan(world)
    live = world.database_url
    elsewhere = urlsplit(live)

    async def says(url: str, code: int = 2, **more: str) -> str:
        answer = await connects(f"{REHEARSE} {url}", **more)
        assert (answer.code, answer.out, answer.err.count("\n")) == (code, "", 1), answer
        return answer.err

    async with copy_of(live) as copy:
        assert "--on is the ledger of DATABASE_URL itself. " in await says(live)
        other_name = elsewhere._replace(netloc=elsewhere.netloc.replace("127.0.0.1", "localhost")).geturl()
        assert "--on is the ledger of DATABASE_URL itself. " in await says(other_name)
        assert "--on" in await says("postgresql://u:p@127.0.0.1:1/d", 1)
        await refuses_other_databases(live, says)
        assert "the role of --on may not write that ledger" in await says(await as_reader(copy))
        assert await rows_of(copy, "SELECT 1 FROM leader WHERE holder LIKE 'rehearsal:%'") == []

        worker = await world.worker(database_url=copy)

        async def leads() -> bool:
            return bool(await rows_of(copy, "SELECT 1 FROM leader WHERE lease_until > now()"))

        await until_async(leads)
        assert "a worker leads the ledger of --on: w" in await says(copy, 1)
        await worker.kill()


async def refuses_other_databases(live: str, says: Callable[..., Awaitable[str]]) -> None:
    """One that is no ledger, another ledger, one that is older than the plan, and one that has more decisions."""
    server = await asyncpg.connect(live)
    name = f"other_{uuid.uuid4().hex[:12]}"
    other = urlsplit(live)._replace(path=f"/{name}").geturl()
    try:
        await server.execute(f"CREATE DATABASE {name}")
        assert "connects migrate" in await says(other, 1)
        await migrate(other)
        assert "Rehearse on a copy of that one" in await says(other)
        ledger_id = await server.fetchval("SELECT ledger_id FROM leader")
        copied = await asyncpg.connect(other)
        await copied.execute("UPDATE leader SET ledger_id = $1", ledger_id)
        assert "--on ends with decision 0, and the plan was made after decision " in await says(other)
        await copied.close()
        assert "so it is no copy of it. Are they the wrong way round?" in await says(live, DATABASE_URL=other)
        await server.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await server.close()


@pytest.mark.parametrize(
    ("url", "words"),
    [("mysql://h/d", "--on: "), ("", "--on: "), ("postgresql://u:p@ss@h/d?sslmode=maybe", "--on: ")],
)
async def test_an_address_that_is_none_is_wrong_use(world: World, url: str, words: str) -> None:
    answer: Answer = await world.asking()(f"replay apply hour.plan {WHY} --on '{url}'")
    assert (answer.code, words in answer.err) == (2, True), answer


async def test_a_standby_server_is_neither_the_ledger_nor_a_copy_of_it(tmp_path: Path) -> None:
    with a_cluster(15) as primary:
        await migrate(primary.url())
        replica = await asyncio.to_thread(primary.replica)
        try:
            connects = asking(primary.url(), tmp_path)
            event = Events()("freelancer-registered", freelancer_id="f-1").value
            (tmp_path / "lost.jsonl").write_bytes((event or b"") + b"\n")
            made = await connects("replay plan --add lost.jsonl --topic freelancer-registered --out hour.plan")
            assert made.code == 0, made
            for live, copy, which in ((primary, replica, "--on"), (replica, primary, "DATABASE_URL")):
                refused = await connects(f"{REHEARSE} {copy.url()}", DATABASE_URL=live.url())
                assert (refused.code, f"{which} is a standby server. " in refused.err) == (2, True), refused
        finally:
            await asyncio.to_thread(replica.stop)
