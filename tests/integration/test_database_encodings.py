"""A database that cannot hold every text is refused; in one that can, a note with an emoji is kept as it came."""

import uuid
from pathlib import Path
from typing import Final

import asyncpg
import pytest

from tests.kit.invariants import check_everything
from tests.kit.world import Events, World, a_world
from worker.embedded.stack import LocalStack
from worker.errors import UsageError
from worker.ledger.leadership import Leadership
from worker.ledger.migrate import migrate

NARROW: Final = ("LATIN1", "EUC_JP")
WIDE: Final = {
    "UTF8": "ENCODING 'UTF8' LOCALE 'C'",
    "UTF8 of another provider": "ENCODING 'UTF8' LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' LOCALE 'C'",
    "SQL_ASCII": "ENCODING 'SQL_ASCII' LOCALE 'C'",
}
EMOJI: Final = "sorry \N{PERSON WITH FOLDED HANDS}"


async def a_database(stack: LocalStack, options: str) -> str:
    name = f"encoded_{uuid.uuid4().hex[:12]}"
    owner = await asyncpg.connect(stack.addresses.database_url)
    await owner.execute(f"CREATE DATABASE {name} {options} TEMPLATE template0")
    await owner.close()
    return f"{stack.addresses.database_url.rpartition('/')[0]}/{name}"


@pytest.mark.parametrize("encoding", NARROW)
async def test_migrate_refuses_an_encoding_that_cannot_hold_every_text(
    stack: LocalStack, world: World, encoding: str
) -> None:
    url = await a_database(stack, f"ENCODING '{encoding}' LOCALE 'C'")
    for name, settings in (
        ("DATABASE_URL", {"DATABASE_URL": url}),
        ("CONNECTS_MIGRATE_URL", {"DATABASE_URL": world.database_url, "CONNECTS_MIGRATE_URL": url}),
    ):
        shown = await world.asking(**settings)("migrate")
        assert shown.code == 2
        (line,) = shown.err.splitlines()
        assert line.startswith(f"connects: {name}: the database's encoding is {encoding}")
        assert "CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0" in line
    left = await asyncpg.connect(url)
    assert await left.fetchval("SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace") == 0
    await left.close()


@pytest.fixture
async def of_before(stack: LocalStack, monkeypatch: pytest.MonkeyPatch) -> str:
    """A ledger in LATIN1, made by a release that did not check."""
    url = await a_database(stack, "ENCODING 'LATIN1' LOCALE 'C'")
    with monkeypatch.context() as earlier:
        earlier.setattr("worker.ledger.connections.ENCODINGS", frozenset({"UTF8", "SQL_ASCII", "LATIN1"}))
        await migrate(url)
    return url


async def test_a_ledger_that_is_already_there_is_not_led_but_can_be_asked(world: World, of_before: str) -> None:
    connects = world.asking(of_before)
    shown = await connects("run")
    assert shown.code == 2
    (line,) = shown.err.splitlines()
    assert line.startswith("connects: DATABASE_URL: the database's encoding is LATIN1")
    with pytest.raises(UsageError, match="LATIN1"):
        await Leadership(of_before, "a test").acquire()
    database = await asyncpg.connect(of_before)
    assert await database.fetchval("SELECT epoch FROM leader") == 0, "nobody took it"
    await database.close()
    status = await connects("status --json")
    assert status.code == 1
    (problem,) = [problem for problem in status.problems if "encoding" in problem]
    assert problem.startswith("the database's encoding is LATIN1")
    assert "UTF8" in problem
    assert (await connects("history nobody")).code == 1
    assert (await connects("positions list")).code == 0


@pytest.mark.parametrize("encoding", WIDE)
async def test_a_database_that_holds_every_text_keeps_it(
    stack: LocalStack, tmp_path: Path, prefix: str, encoding: str
) -> None:
    url = await a_database(stack, WIDE[encoding])
    async with a_world(stack, tmp_path, url, prefix) as world:
        connects = world.asking(url)
        assert (await connects("migrate")).code == 0
        send = Events()
        send("freelancer-registered", freelancer_id="a")
        send("connects-adjusted", freelancer_id="a", adjustment_id="1", connects=5, actor="Zoë 王", note=EMOJI)
        send("freelancer-registered", freelancer_id="b")
        await world.produce(send.messages)
        worker = await world.worker()
        await world.settled()
        assert worker.runs
        assert EMOJI in (await connects("history a")).out
        assert (await connects("history b --json")).json["balance"] == 40
        await world.comes_true(connects.is_well)
        await check_everything(world)
