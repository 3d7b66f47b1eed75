"""A batch that PostgreSQL refuses: what one event holds costs that event only; all others are decided."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Final

import asyncpg
import pytest

from tests.kit.deciding import GRACE, Deciding, deciding
from tests.kit.http import ask, free_port, metric
from tests.kit.invariants import check_everything
from tests.kit.policies import policies
from tests.kit.produce import by_key
from tests.kit.world import PARTITIONS, Events, World
from tests.property.test_writer_found_before import Timeline
from worker.engine.commands import Answer, Command, CommandRunner
from worker.errors import OperatorNeeded
from worker.ledger import at_once
from worker.ledger.parked import ParkedKey

REGISTERED = datetime(2026, 1, 10, 12, tzinfo=UTC)
FEBRUARY = datetime(2026, 2, 10, tzinfo=UTC)
MINUTE = timedelta(minutes=1)

FORBIDDEN: Final = {
    "a constraint": "ALTER TABLE changes ADD CONSTRAINT no_bad CHECK (freelancer_id NOT LIKE 'f-bad%') NOT VALID",
    "a value": (
        "ALTER TABLE changes ADD CONSTRAINT no_bad CHECK (1 / (freelancer_id NOT LIKE 'f-bad%')::int = 1) NOT VALID"
    ),
}
"""What makes PostgreSQL refuse each change of some wallets, with an error of class 23 or 22."""
SAID: Final = {"a constraint": "constraint no_bad", "a value": "division by zero"}
kinds = pytest.mark.parametrize("kind", FORBIDDEN)


@asynccontextmanager
async def sql(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url)
    try:
        yield connection
    finally:
        await connection.close()


async def forbid(database_url: str, kind: str) -> None:
    async with sql(database_url) as connection:
        await connection.execute(FORBIDDEN[kind])


async def allow(database_url: str) -> None:
    async with sql(database_url) as connection:
        await connection.execute("ALTER TABLE changes DROP CONSTRAINT no_bad")


async def balances(database_url: str) -> dict[str, int]:
    async with sql(database_url) as connection:
        rows = await connection.fetch("SELECT freelancer_id, balance FROM wallets WHERE balance <> 0")
    return {row["freelancer_id"]: row["balance"] for row in rows}


async def parked_for(database_url: str, what: str = "freelancer_id") -> list[str | None]:
    """Whom the first decisions on what PostgreSQL refused are about."""
    async with sql(database_url) as connection:
        rows = await connection.fetch(
            f"SELECT {what} FROM decisions WHERE reason = 'refused-by-postgresql' ORDER BY seq"  # noqa: S608
        )
    return [row[0] for row in rows]


async def why_parked(database_url: str, key: str) -> str:
    async with sql(database_url) as connection:
        words: str = await connection.fetchval("SELECT error FROM parked WHERE key = $1", key)
    return words


async def released(decides: Deciding, database_url: str, wallet: str) -> Answer:
    async with sql(database_url) as connection:
        asked = await connection.fetchval(
            "INSERT INTO commands (id, name, arguments, actor, why) VALUES (gen_random_uuid(), 'x', '{}', 'a', 'b')"
            " RETURNING id"
        )
    command = Command(asked, "parked-release", {"scope": "wallet", "key": wallet}, "a", "b")
    return await CommandRunner(decides.writer).run(command)


@pytest.mark.parametrize(
    ("kind", "small_rows", "place"),
    [
        ("a constraint", 0, 76),
        ("a constraint", 2_000, 0),
        ("a value", 2_000, 76),
        ("a value", 0, 149),
    ],
)
async def test_the_one_event_of_a_batch_that_is_refused_is_found_and_all_others_are_decided(
    database_url: str, monkeypatch: pytest.MonkeyPatch, kind: str, small_rows: int, place: int
) -> None:
    monkeypatch.setattr(at_once, "SMALL_ROWS", small_rows)
    await forbid(database_url, kind)
    timeline = Timeline()
    who = [f"f-{number}" for number in range(150)]
    who[place] = "f-bad"
    records = [timeline.registered(REGISTERED + number * MINUTE, name) for number, name in enumerate(who)]
    records.append(timeline.bought(REGISTERED + 200 * MINUTE, 7, "f-bad"))
    async with deciding(database_url, policies()) as decides:
        await decides.decide(records)
        await decides.commit()
        assert await balances(database_url) == {name: 40 for name in who if name != "f-bad"}
        assert list(decides.writer.parked) == [ParkedKey("wallet", "f-bad")]
        assert SAID[kind] in await why_parked(database_url, "f-bad")
        assert await parked_for(database_url) == ["f-bad"], "what came later waits behind it"
        sizes = [len(committed.batch.decisions) for committed in decides.committed]
        assert sum(sizes) == len(records), "each is decided once"
        assert len(sizes) < 20, "halving finds it in few steps"
        await decides.decide([timeline.registered(REGISTERED + 300 * MINUTE, f"f-{n}") for n in range(150, 400)])
        await decides.commit()
        assert max(len(committed.batch.decisions) for committed in decides.committed[len(sizes) :]) > 100, (
            "batches grow again"
        )


@pytest.mark.in_turn
@kinds
async def test_many_events_that_are_refused_are_each_found(database_url: str, kind: str) -> None:
    await forbid(database_url, kind)
    timeline = Timeline()
    who = [f"f-bad-{number}" if number % 7 == 3 else f"f-{number}" for number in range(120)]
    async with deciding(database_url, policies()) as decides:
        await decides.decide([timeline.registered(REGISTERED, name) for name in who])
        await decides.commit()
        bad = [name for name in who if "bad" in name]
        assert await parked_for(database_url) == bad
        assert set(await balances(database_url)) == set(who) - set(bad)


async def test_a_refusal_that_comes_while_a_later_batch_is_decided_loses_and_repeats_nothing(
    database_url: str,
) -> None:
    await forbid(database_url, "a constraint")
    timeline = Timeline()
    who = [f"f-bad-{number}" if number in {5, 31} else f"f-{number}" for number in range(60)]
    async with deciding(database_url, policies(), batch_size=7) as decides:
        for number, name in enumerate(who):
            await decides.decide([timeline.registered(REGISTERED + number * MINUTE, name)])
            if number % 3 == 2:
                await decides.writer.flush()  # which does not wait for the commit that it begins
        await decides.writer.advance({})
        await decides.commit()
        assert await parked_for(database_url) == ["f-bad-5", "f-bad-31"]
        assert set(await balances(database_url)) == {name for name in who if "bad" not in name}
        async with sql(database_url) as connection:
            assert await connection.fetchval("SELECT count(*) FROM decisions") == len(who)


@kinds
async def test_a_settlement_that_is_refused_stops_that_wallet_and_the_rest_of_the_closure_goes_on(
    database_url: str, kind: str
) -> None:
    """Beside it: of hundreds that one closure brings together."""
    timeline = Timeline()
    who = [*(f"f-{number}" for number in range(30)), "f-bad", *(f"f-{number}" for number in range(30, 60))]
    async with deciding(database_url, policies()) as decides:
        await decides.decide([timeline.registered(REGISTERED, name) for name in who])
        await decides.decide(
            [
                timeline.event(
                    "proposal-submitted",
                    REGISTERED + MINUTE,
                    freelancer_id=name,
                    job_id="j-1",
                    proposal_id=f"p-{name}",
                    connects=10,
                    origin="proposal",
                )
                for name in who
            ]
        )
        await decides.decide([timeline.closed(REGISTERED + 2 * MINUTE)])
        await decides.commit()
        await forbid(database_url, kind)
        await decides.until(REGISTERED + 10 * MINUTE)
        assert await balances(database_url) == dict.fromkeys(who, 40) | {"f-bad": 30}
        assert await parked_for(database_url) == ["f-bad"]
        await allow(database_url)
        answer = await released(decides, database_url, "f-bad")
        assert (answer.outcome, answer.told["released"], answer.told["left"]) == ("applied", 1, 0)
        assert await balances(database_url) == dict.fromkeys(who, 40)


@kinds
@pytest.mark.parametrize(
    ("before", "then", "stopped_by"),
    [
        (REGISTERED + MINUTE, FEBRUARY + GRACE, "cycle:f-bad:2026-02-10"),
        (REGISTERED + timedelta(days=364, hours=20), REGISTERED + timedelta(days=365, hours=1), "expiry:f-bad:1"),
    ],
    ids=["a cycle start", "an expiry"],
)
async def test_clock_work_that_is_refused_stops_that_wallet(
    database_url: str, kind: str, before: datetime, then: datetime, stopped_by: str
) -> None:
    who = ["f-1", "f-bad", "f-2"]
    async with deciding(database_url, policies()) as decides:
        timeline = Timeline()
        await decides.decide([timeline.registered(REGISTERED, name) for name in who])
        await decides.until(before)
        were = await balances(database_url)
        await forbid(database_url, kind)
        await decides.until(then)
        are = await balances(database_url)
        assert are["f-1"] == are["f-2"] != were["f-1"]
        assert are["f-bad"] == were["f-bad"]
        assert (await parked_for(database_url, "event_id"))[0] == stopped_by
        assert list(decides.writer.parked) == [ParkedKey("wallet", "f-bad")]


async def test_a_cycle_that_was_granted_behind_the_writers_back_is_refused_and_not_granted_again(
    database_url: str,
) -> None:
    """Nothing looks a monthly grant up before it is made: only the index prevents a second one."""
    async with deciding(database_url, policies()) as decides:
        timeline = Timeline()
        await decides.decide([timeline.registered(REGISTERED), timeline.registered(REGISTERED, "f-3")])
        await decides.commit()
        async with sql(database_url) as connection:
            await connection.execute(
                "INSERT INTO changes"
                " VALUES ('f-2', 1, 0, 0, $1, $1, 'grant.monthly', 'r', 'v', 10, 0, 10, '', $2, '[]')",
                FEBRUARY,
                "f-1/2026-02-10",
            )
        await decides.until(FEBRUARY + GRACE)
        assert (await balances(database_url))["f-1"] == 40
        assert (await balances(database_url))["f-3"] == 50
        assert "Key (rule, natural_key)=(grant.monthly, f-1/2026-02-10)" in await why_parked(database_url, "f-1")


@kinds
async def test_what_is_released_and_refused_again_stays_and_says_so(database_url: str, kind: str) -> None:
    await forbid(database_url, kind)
    timeline = Timeline()
    async with deciding(database_url, policies(), batch_size=3) as decides:
        await decides.decide(
            [
                timeline.registered(REGISTERED, "f-bad"),
                timeline.bought(REGISTERED + MINUTE, 1, "f-bad"),
                timeline.registered(REGISTERED + 2 * MINUTE, "f-1"),
            ]
        )
        await decides.commit()
        again = await released(decides, database_url, "f-bad")
        assert (again.outcome, again.reason) == ("declined", "fails-again")
        assert (again.told["released"], again.told["left"]) == (0, 2)
        assert SAID[kind] in str(again.told["error"])
        assert await balances(database_url) == {"f-1": 40}
        await allow(database_url)
        answer = await released(decides, database_url, "f-bad")
        assert (answer.outcome, answer.told["released"]) == ("applied", 2)
        assert await balances(database_url) == {"f-1": 40, "f-bad": 41}


async def test_what_cannot_even_be_parked_ends_the_worker_and_writes_nothing(database_url: str) -> None:
    """Then it is not what the event holds: somebody has forbidden every decision on it."""
    async with sql(database_url) as connection:
        await connection.execute("ALTER TABLE decisions ADD CHECK (freelancer_id <> 'f-bad') NOT VALID")
    timeline = Timeline()
    async with deciding(database_url, policies()) as decides:
        await decides.decide([timeline.registered(REGISTERED, name) for name in ("f-1", "f-2", "f-bad", "f-3")])
        with pytest.raises(OperatorNeeded, match=r"^PostgreSQL refused batch \d+ \(decision 3\): table decisions"):
            await decides.commit()
        assert await balances(database_url) == {"f-1": 40, "f-2": 40}


async def test_a_batch_that_decides_nothing_and_is_refused_ends_the_worker(database_url: str) -> None:
    async with deciding(database_url, policies()) as decides:
        await decides.decide([Timeline().registered(REGISTERED)])
        await decides.commit()
        async with sql(database_url) as connection:
            await connection.execute("ALTER TABLE batches ADD CHECK (batch_no < 2)")
        await decides.writer.advance({})
        with pytest.raises(OperatorNeeded, match=r"batch 2 \(no decisions\): table batches"):
            await decides.writer.settle_down()


@kinds
async def test_a_worker_goes_on_past_what_postgresql_refuses(world: World, kind: str) -> None:
    """In a catch-up and live; under one leadership; and operators see it."""
    await world.execute(FORBIDDEN[kind])
    send = Events()
    for number in range(300):
        send("freelancer-registered", freelancer_id="f-bad" if number == 171 else f"f-{number}")
    await world.produce(send.messages, by_key(PARTITIONS))
    port = free_port()
    worker = await world.connects_run(port)
    await world.settled()
    await world.produce([send("connects-purchased", freelancer_id="f-bad", purchase_id="b-1", connects=10)])
    await world.produce([send("connects-purchased", freelancer_id="f-1", purchase_id="b-2", connects=10)])
    await world.settled()
    assert worker.runs, worker.tail()
    assert await world.value("SELECT epoch FROM leader") == 1
    assert await world.value("SELECT count(*) FROM wallets WHERE balance = 40") == 298
    assert await world.balance("f-1") == 50
    assert metric((await ask(port, "/metrics"))[1], "connects_failures_in_rules_total") == 1
    connects = world.asking()
    listed = await connects("parked list --json")
    (stopped,) = listed.json["parked"]
    assert (stopped["key"], stopped["waiting"]) == ("f-bad", 2)
    assert SAID[kind] in stopped["error"]
    explained = await connects("explain --freelancer f-bad")
    assert "PostgreSQL refused to store what was decided" in explained.text
    status = await connects("status")
    assert status.code == 1
    assert "1 wallet or job is stopped by a failure" in status.text
    await check_everything(world, model=False)


async def test_connects_run_ends_with_one_line_where_no_event_is_to_blame(world: World) -> None:
    """Again and again, for as long as what is in the way is there; and then it goes on."""
    send = Events()
    await world.execute("ALTER TABLE batches ADD CONSTRAINT none CHECK (batch_no < 1)")
    await world.produce([send("connects-purchased", freelancer_id="f-1", purchase_id="b-1", connects=10)])
    for _ in range(2):
        worker = await world.connects_run(free_port())
        assert await worker.ended(40) == 1, worker.tail()
        assert worker.said("connects: PostgreSQL refused batch"), worker.tail()
        assert worker.said("table batches, constraint none: Failing row contains")
        assert not worker.said("Traceback"), worker.tail()
        assert not worker.said("unexpectedly"), worker.tail()
        assert await world.value("SELECT count(*) FROM decisions") == 0
    await world.execute("ALTER TABLE batches DROP CONSTRAINT none")
    await world.connects_run(free_port())
    await world.settled()
    assert await world.balance("f-1") == 10
