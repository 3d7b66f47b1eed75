"""`pip install .` without the extra `local`: commands that a production needs work, and two say what they lack."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.kit.asking import Answer
from tests.kit.bundles import exported
from tests.kit.http import ask, free_port
from tests.kit.installed import LOCAL_ROOMS, Installed
from tests.kit.waiting import in_time, until_async
from tests.kit.worker_process import ROOT
from tests.kit.world import Events, World
from tests.unit.bundle.conftest import written

pytestmark = pytest.mark.in_turn

EXTRA = "Install the extra `local`: pip install 'connects-worker[local]'"


@pytest.fixture(params=[True, False], ids=["without the packages", "without the rooms either"])
def installed(tmp_path: Path, request: pytest.FixtureRequest) -> Installed:
    return Installed(tmp_path / "installed", local_rooms=request.param)


@asynccontextmanager
async def started(installed: Installed, words: str, **settings: str) -> AsyncIterator[asyncio.subprocess.Process]:
    program, environment = installed.command(words, **settings)
    process = await asyncio.create_subprocess_exec(
        *program,
        cwd=installed.folder,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def connects(installed: Installed, words: str, **settings: str) -> Answer:
    async with started(installed, words, **settings) as process:
        out, err = await in_time(process.communicate())
    return Answer(process.returncode or 0, out.decode(), err.decode())


async def test_a_worker_is_set_up_runs_and_is_asked(installed: Installed, world: World) -> None:
    send = Events()
    send("freelancer-registered", freelancer_id="f-1")
    settings = world.asking().settings | {"CONNECTS_HTTP_PORT": str(port := free_port())}
    for command in ("migrate", "topics create", "schemas check", "policy check", "positions list", "settings"):
        done = await connects(installed, command, **settings)
        assert (done.code, done.err) == (0, ""), done
    console = await connects(installed, "console --host 0.0.0.0", **settings)
    assert (console.code, console.err.startswith("connects: CONNECTS_CONSOLE_TOKEN: not set")) == (2, True), console
    async with started(installed, "run", **settings) as worker:

        async def ready() -> bool:
            assert worker.returncode is None
            return (await ask(port, "/health/ready"))[0] == 200

        await until_async(ready)
        await world.produce(send.messages)

        async def decided() -> bool:
            return (await connects(installed, "history f-1 --json", **settings)).code == 0

        await until_async(decided)
        assert (await connects(installed, "explain --freelancer f-1", **settings)).code == 0
        assert json.loads((await connects(installed, "status --json", **settings)).out)["role"] == "active"
        worker.terminate()
        await in_time(worker.communicate())
    assert worker.returncode == 0
    released = await connects(installed, "parked release wallet f-1 --json", **settings)
    assert json.loads(released.out)["outcome"] == "declined", released


OFFLINE = """
import runpy, sys

def refuse(event, arguments):
    if event.startswith("socket.") or (event == "import" and arguments[0].partition(".")[0] in {"asyncpg", "aiokafka"}):
        raise SystemExit(f"not allowed: {event} {arguments[0]}")

sys.addaudithook(refuse)
runpy.run_module("worker", run_name="__main__")
"""
"""Runs the command in an interpreter that refuses to make a socket, and to import a driver."""


async def offline(installed: Installed, words: str) -> Answer:
    (python, *_), environment = installed.command(words)
    process = await asyncio.create_subprocess_exec(
        *(python, "-S", "-c", OFFLINE, *words.split()),
        cwd=installed.folder,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await in_time(process.communicate())
    return Answer(process.returncode or 0, out.decode(), err.decode())


async def test_a_bundle_is_checked_without_settings_drivers_or_network(installed: Installed, tmp_path: Path) -> None:
    path = tmp_path / "f-1.bundle"
    bundle = await exported(await written(), path, freelancer="f-1")
    checked = await offline(installed, f"bundle check {path} --head {bundle.head} --json")
    assert (checked.code, checked.err) == (0, "")
    found = json.loads(checked.out)
    assert (found["count"], found["proved"], found["decided_again"]) == (0, bundle.decisions, 11)
    for other in ("history f-1", "bundle export --job j-1 --out x"):
        assert "not allowed: " in (await offline(installed, other)).err, "nothing was refused that should be"


@pytest.mark.parametrize("command", ["demo", "demo --help", "local", "local up", "local status --json", "local --help"])
async def test_what_needs_the_extra_says_so_in_one_line(installed: Installed, command: str) -> None:
    name = command.split(maxsplit=1)[0]
    assert await connects(installed, command) == Answer(
        2,
        "",
        f"connects: `connects {name}` needs the embedded Kafka and PostgreSQL, which are not installed here. {EXTRA}\n",
    )


async def test_tracing_without_its_extra_is_refused_in_one_line(installed: Installed) -> None:
    settings = {"CONNECTS_TRACING": "1", "KAFKA_BOOTSTRAP_SERVERS": "k:9092", "DATABASE_URL": "postgresql://u@d/l"}
    assert await connects(installed, "run", **settings) == Answer(
        2,
        "",
        "connects: CONNECTS_TRACING: is on, and OpenTelemetry is not installed here. Install the extra `tracing`: "
        "pip install 'connects-worker[tracing]', or leave CONNECTS_TRACING out\n",
    )
    assert (await connects(installed, "settings", **settings)).code == 0


@pytest.mark.parametrize("command", ["run", "status", "migrate", "history f-1", "topics create"])
async def test_without_the_two_settings_it_is_said_that_there_is_nothing_to_use(
    installed: Installed, command: str
) -> None:
    assert await connects(installed, command) == Answer(
        2,
        "",
        "connects: KAFKA_BOOTSTRAP_SERVERS and DATABASE_URL are not set, and the embedded Kafka and PostgreSQL are not "
        f"installed here. Set both, or {EXTRA[0].lower()}{EXTRA[1:]}\n",
    )


async def test_the_list_of_commands_and_a_policy_need_nothing(installed: Installed) -> None:
    listed = await connects(installed, "--help")
    assert (listed.code, listed.err) == (0, "")
    assert "  demo " in listed.out
    checked = await connects(installed, "policy check")
    assert checked.code == 0
    assert "Checked the file only, not against a ledger: DATABASE_URL is not set" in checked.out


def test_nothing_that_a_production_needs_imports_the_demo_or_the_embedded_stack() -> None:
    """Also where it would be found: the two rooms are in the wheel, for the extra to use."""
    worker = ROOT / "worker"
    users = {
        path.relative_to(worker).parts[:2]
        for path in worker.rglob("*.py")
        if "from worker.demo" in path.read_text() or "from worker.embedded" in path.read_text()
    }
    outside = {parts for parts in users if parts[0] not in LOCAL_ROOMS}
    assert outside == {("cli", "_local.py"), ("cli", "demo.py"), ("cli", "local")}
