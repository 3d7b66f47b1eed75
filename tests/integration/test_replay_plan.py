"""`connects replay plan --add`: an hour was lost and the archive has it. Planning it is right, and changes nothing."""

import asyncio
import gzip
import json
import os
import random
import signal
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import cramjam
import pytest

from schemas.reading import InvalidEvent, read_event
from tests.kit.asking import Asking
from tests.kit.decided import POLICY, as_reader, asking
from tests.kit.deciding import GRACE, SKEW, Deciding, as_read, deciding
from tests.kit.histories import History
from tests.kit.overlays import MemorySnapshot
from tests.kit.policies import policies
from tests.kit.produce import Sent
from tests.kit.stacks import new_ledger
from tests.kit.waiting import in_time
from tests.kit.world import Events, World
from tests.property.played import in_order
from worker.embedded.stack import LocalStack
from worker.kafka.input.reading import RecordReader
from worker.ledger.memory_store import MemoryStore
from worker.proof.checks import Progress
from worker.queries.asking import connected
from worker.repair.archives import read_archive
from worker.repair.candidates import Candidates
from worker.repair.overlay import Overlay
from worker.repair.plan_file import read_plan
from worker.repair.planning import Ground, Planned, plan_all
from worker.repair.snapshot import PostgresSnapshot
from worker.wall_clock import WallClock

LOST_HOURS = timedelta(hours=30)
Row = dict[str, Any]


class Hour:
    """A month of a marketplace, of which some hours never came; the archive has these days whole."""

    def __init__(self) -> None:
        rows = in_order(list(History(5, events=1_200, jobs=70)), POLICY)
        self.end: datetime = max(row["business_time"] for row in rows if row["business_time"])
        lost_from = self.end - timedelta(days=12)
        around = [row for row in rows if _is_event(row) and abs(_time_of(row) - lost_from) < 3 * LOST_HOURS]
        lost = {id(row) for row in around if lost_from <= _time_of(row) < lost_from + LOST_HOURS}
        self.came = [row for row in rows if id(row) not in lost]
        self.archive = [{"topic": row["topic"], **json.loads(row["payload"])} for row in around]

    async def decide(self, decides: Deciding) -> None:
        decides.add_policies()
        await decides.decide(as_read(self.came))
        await decides.until(self.end + GRACE)
        await decides.writer.advance({})
        await decides.commit()


def _is_event(row: Row) -> bool:
    try:
        read_event(row["topic"], row["payload"])
    except InvalidEvent:
        return False
    return True


def _time_of(row: Row) -> datetime:
    return read_event(row["topic"], row["payload"]).occurred_at


@pytest.fixture(scope="module")
def hour() -> Hour:
    return Hour()


@pytest.fixture(scope="module")
def url(shared_stack: LocalStack, hour: Hour) -> str:
    url = new_ledger(shared_stack, "replay_plan")

    async def decide() -> None:
        async with deciding(url, policies(POLICY), batch_size=100) as decides:
            await hour.decide(decides)

    asyncio.run(decide())
    return url


@pytest.fixture
async def connects(url: str, tmp_path: Path) -> Asking:
    """The command of a role that may only read."""
    return asking(await as_reader(url), tmp_path)


@pytest.fixture
def archive(tmp_path: Path, hour: Hour) -> Path:
    lines = list(hour.archive)
    random.Random(3).shuffle(lines)
    path = tmp_path / "days.jsonl.gz"
    path.write_bytes(gzip.compress(as_lines(lines)))
    return path


def as_lines(values: Sequence[object]) -> bytes:
    return b"".join(json.dumps(value).encode() + b"\n" for value in values)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def everything_in(url: str) -> dict[str, str]:
    """A hash of the rows of each table."""
    connection = await asyncpg.connect(url)
    try:
        names = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")
        hashed = "SELECT count(*) || '/' || coalesce(sum(hashtextextended(t::text, 7)), 0) FROM {} t"
        return {row[0]: await connection.fetchval(hashed.format(row[0])) for row in names}
    finally:
        await connection.close()


async def test_the_plan_over_postgresql_is_the_plan_over_the_same_ledger_in_memory(
    connects: Asking, url: str, hour: Hour, archive: Path
) -> None:
    before = await everything_in(url)
    answer = await connects(f"replay plan --add {archive.name} --out hour.plan --json")
    assert answer.code == 0, answer.err
    assert await everything_in(url) == before, "planning changes nothing"
    plan = read_plan(archive.parent / "hour.plan")
    expected = await _planned_in_memory(hour, archive.name, archive)
    assert list(plan.triggers()) == expected.triggers
    assert list(plan.wallets()) == expected.wallets
    assert plan.summary == expected.summary
    assert plan.summary.inert == len(hour.archive) - len(expected.triggers) - plan.summary.conflicts
    assert plan.summary.will_follow
    assert answer.json["hash"] == plan.hash
    assert {name: answer.json[name] for name in ("wallets", "given", "taken", "shortfall", "inert", "replaced")} == {
        "wallets": plan.summary.wallets,
        "given": plan.summary.given,
        "taken": plan.summary.taken,
        "shortfall": 0,
        "inert": plan.summary.inert,
        "replaced": 0,
    }
    assert answer.json["triggers"]["add"] == len(expected.triggers)
    assert plan.header.through_seq == (await _value(url, "SELECT max(seq) FROM decisions"))
    assert plan.header.ledger_id == str(await _value(url, "SELECT ledger_id FROM leader"))


async def _planned_in_memory(hour: Hour, name: str, archive: Path) -> Planned:
    place, reader = MemoryStore(), RecordReader(WallClock(), SKEW)
    async with deciding(place, policies(POLICY), batch_size=100) as decides:
        await hour.decide(decides)
    found = Candidates(MemorySnapshot(place), reader, Progress())
    await found.add(line._replace(source=name) for line in read_archive(str(archive)))
    overlay = Overlay(MemorySnapshot(place))
    await overlay.open()
    return await plan_all(overlay, found, Ground(policies(POLICY), GRACE, SKEW, reader, Progress(), datetime.now(UTC)))


async def _value(url: str, query: str) -> Any:  # noqa: ANN401
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def test_a_server_that_ends_idle_and_long_transactions_does_not_end_a_plan(
    url: str, archive: Path, tmp_path: Path
) -> None:
    reader = await as_reader(url)
    for limit in ("idle_in_transaction_session_timeout = 5", "transaction_timeout = 5000"):
        await _value(url, f"ALTER ROLE {urlsplit(reader).username} SET {limit}")
    answer = await asking(reader, tmp_path)(f"replay plan --add {archive.name} --out hour.plan")
    assert answer.code == 0, answer.err
    async with connected(reader) as connection:
        assert await connection.fetchval("SHOW transaction_timeout") == "5s"
        await PostgresSnapshot(connection).begin()
        assert await connection.fetchval("SHOW transaction_timeout") == "0"


async def test_a_plan_is_shown_for_people(connects: Asking, archive: Path) -> None:
    planned = await connects(f"replay plan --add {archive.name} --out hour.plan")
    assert planned.code == 0
    assert "Connects given" in planned.text
    assert "inert by event id" in planned.text
    shown = await connects("replay show hour.plan", DATABASE_URL="", KAFKA_BOOTSTRAP_SERVERS="")
    assert "Will follow, by the clock" in shown.text
    wallet = next(wallet for wallet in read_plan(archive.parent / "hour.plan").wallets() if wallet.steps[0].delta)
    one = await connects(f"replay show hour.plan --freelancer {wallet.freelancer_id}")
    assert wallet.steps[0].sentence.split(",")[0] in one.text
    assert (await connects("replay show hour.plan --csv")).out.startswith("freelancer,before,after,sentence")


async def test_nothing_is_to_be_done_when_all_was_decided(connects: Asking, hour: Hour, tmp_path: Path) -> None:
    row = next(row for row in hour.came if _is_event(row) and row["outcome"] == "applied")
    content = as_lines([{"topic": row["topic"], "value": json.loads(row["payload"])}]) * 7
    (tmp_path / "again.zst").write_bytes(bytes(cramjam.zstd.compress(content)))
    answer = await connects("replay plan --add again.zst --out again.plan")
    assert answer.code == 0
    assert "Nothing is to be done. Of 7 lines: 7 inert by event id" in answer.text
    assert list(read_plan(tmp_path / "again.plan").triggers()) == []


async def test_what_is_wrong_is_said_in_lines_and_leaves_no_file(connects: Asking, hour: Hour, tmp_path: Path) -> None:
    bad = as_lines([{"topic": "badge-earned"}] * 22 + [{"topic": "job-opened"}])
    (tmp_path / "bad.jsonl").write_bytes(as_lines(hour.archive[:3]) + bad)
    answer = await connects("replay plan --add bad.jsonl --out bad.plan")
    said = answer.err.splitlines()
    assert answer.code == 1
    assert said[0] == "bad.jsonl, line 4: badge-earned: event_id: missing"
    assert len(said) == 21
    assert said[-1] == (
        "connects: nothing was planned: 23 lines of 26 are no events of a topic. "
        "Correct the archive, or leave these lines out with --skip-bad"
    )
    assert names_in(tmp_path) == ["bad.jsonl"]
    skipped = await connects("replay plan --add bad.jsonl --skip-bad --out bad.plan --json")
    assert (skipped.code, skipped.json["bad_lines"]) == (0, 23)
    assert "23 of 26 lines were left out" in skipped.err
    again = await connects("replay plan --add bad.jsonl --skip-bad --out bad.plan")
    assert (again.code, again.err.count("\n")) == (2, 1)
    assert "bad.plan exists already" in again.err
    missing = await connects("replay plan --add nothing.jsonl --out new.plan")
    assert missing.code == 2
    assert missing.err == "connects: nothing.jsonl cannot be read (No such file or directory). Name another file\n"
    (tmp_path / "cut.gz").write_bytes(gzip.compress(bad)[:-20])
    cut = await connects("replay plan --add cut.gz --out new.plan")
    assert (cut.code, cut.err.count("\n")) == (1, 1)
    assert "is compressed and not whole" in cut.err


async def test_ctrl_c_ends_it_and_leaves_no_file(connects: Asking, hour: Hour, tmp_path: Path) -> None:
    pipe, content = tmp_path / "pipe", as_lines(hour.archive)
    os.mkfifo(pipe)
    process = await connects.start("replay plan --add pipe --out hour.plan")

    def write_until_nobody_reads() -> None:
        with pipe.open("wb") as file, suppress(BrokenPipeError):  # opened once the command reads
            file.write(content)
            process.send_signal(signal.SIGINT)
            while True:
                file.write(content)

    await in_time(asyncio.to_thread(write_until_nobody_reads))
    out, err = await in_time(process.communicate())
    assert (process.returncode, out, err) == (130, b"", b"")
    assert names_in(tmp_path) == ["pipe"]


async def test_live_traffic_goes_on_while_a_plan_is_made(world: World, tmp_path: Path) -> None:
    send, lost = Events(datetime.now(UTC) - timedelta(hours=2)), Events(datetime.now(UTC) - timedelta(hours=1))
    worker = await world.worker()
    await world.produce([send("freelancer-registered", freelancer_id=f"f-{number}") for number in range(50)])
    await world.settled()
    lines = [_lost(lost, number) for number in range(300)]
    (tmp_path / "hour.jsonl.gz").write_bytes(gzip.compress(as_lines(lines)))
    connects = world.asking()
    planning = asyncio.create_task(connects(f"replay plan --add {tmp_path}/hour.jsonl.gz --out {tmp_path}/p --json"))
    number = 1_000
    while not planning.done():
        await world.produce([_bought(send, f"f-{number % 50}", f"live-{(number := number + 1)}") for _ in range(20)])
        await asyncio.sleep(0)
    answer = await planning
    assert answer.code == 0, answer.err
    await world.settled()
    assert worker.runs
    assert (answer.json["triggers"]["add"], answer.json["inert"], answer.json["given"]) == (300, 0, 300 * 10)
    ids = [line["event_id"] for line in lines]
    assert await world.value("SELECT count(*) FROM decisions WHERE event_id = ANY($1::text[])", ids) == 0
    live = await world.value(
        "SELECT count(*) FROM decisions WHERE topic = 'connects-purchased' AND outcome = 'applied'"
    )
    assert live == number - 1_000
    plan = read_plan(tmp_path / "p")
    assert {trigger.expected.reason for trigger in plan.triggers()} == {"purchased"}


def _lost(events: Events, number: int) -> Row:
    sent = _bought(events, f"f-{number % 50}", f"lost-{number}")
    value: Row = json.loads(sent.value or b"")
    return {**value, "event_id": f"lost-{number}", "topic": sent.topic}


def _bought(events: Events, freelancer_id: str, purchase_id: str) -> Sent:
    return events("connects-purchased", freelancer_id=freelancer_id, purchase_id=purchase_id, connects=10)
