"""Connections to Kafka that swallow what is sent, or pass it on late: every wait ends on our side, and work goes on."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.kit.asking import Asking
from tests.kit.brokers import OddKafka
from tests.kit.http import ask, free_port
from tests.kit.produce import Sent
from tests.kit.proxy import Proxy, proxy_at
from tests.kit.reading import everything
from tests.kit.waiting import PATIENCE_SECONDS
from tests.kit.worker_process import WorkerProcess
from tests.kit.world import PARTITIONS, World, a_world

pytestmark = pytest.mark.in_turn

RECOVERED_SECONDS = 40
COMMAND_SECONDS = 30
SLOW_SECONDS = 7.0


@pytest.fixture
async def proxy(odd: OddKafka) -> AsyncIterator[Proxy]:
    async with proxy_at(odd.proxy_port, "127.0.0.1", odd.behind_proxy) as (proxy, _):
        yield proxy


@pytest.fixture
async def world(odd: OddKafka, ledger_url: str, prefix: str, tmp_path: Path) -> AsyncIterator[World]:
    """Producers and readers of this world go to the broker directly."""
    async with a_world(odd.stack, tmp_path, ledger_url, prefix) as world:
        yield world


def settings(odd: OddKafka, world: World) -> dict[str, str]:
    return {
        "DATABASE_URL": world.database_url,
        "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{odd.proxy_port}",
        "CONNECTS_TOPIC_PREFIX": world.prefix,
        "CONNECTS_SETTLEMENT_GRACE": "2",
    }


async def started(odd: OddKafka, world: World, port: int) -> WorkerProcess:
    environment = {**settings(odd, world), "CONNECTS_HTTP_PORT": str(port)}
    name = f"w{len(world.workers) + 1}"
    worker = await WorkerProcess.start(name, environment, world.folder / f"{name}.log", "worker", "run")
    world.workers.append(worker)
    return worker


def registered(freelancer: str) -> Sent:
    at = (datetime.now(UTC) - timedelta(seconds=60)).isoformat()
    body = {"event_id": freelancer, "occurred_at": at, "freelancer_id": freelancer}
    return Sent("freelancer-registered", json.dumps(body).encode())


async def published(world: World, *freelancers: str, limit_seconds: float = PATIENCE_SECONDS) -> None:
    async def all_are() -> bool:
        return set(freelancers) <= set(world.reader.versions)

    await world.comes_true(all_are, limit_seconds)


async def letters(world: World, count: int) -> None:
    async def sent() -> bool:
        return await world.value("SELECT count(*) FROM dead_letters WHERE sent_at IS NOT NULL") == count

    await world.comes_true(sent, RECOVERED_SECONDS)
    read = await everything(world.kafka, f"{world.prefix}connects-dead-letters", PARTITIONS)
    assert len(read.letters) == count


@pytest.mark.parametrize("at_work", [False, True])
async def test_input_relay_and_letters_go_on_over_new_connections(
    odd: OddKafka, proxy: Proxy, world: World, *, at_work: bool
) -> None:
    """Connections that are idle when they fall silent, and ones in the midst of fetches and transactions."""
    worker = await started(odd, world, port := free_port())
    await world.produce([registered("before"), Sent("freelancer-registered", b"no event")])
    await published(world, "before")
    await letters(world, 1)
    if at_work:
        await world.produce([registered(f"many-{n}") for n in range(3_000)])

        async def some_are_published() -> bool:
            return len(world.reader.records) > 100

        await world.comes_true(some_are_published)
    assert proxy.fall_silent() >= 3
    fell = time.monotonic()
    await world.produce([registered("after"), Sent("freelancer-registered", b"no event either")])
    await published(world, "after", limit_seconds=RECOVERED_SECONDS)
    assert time.monotonic() - fell < RECOVERED_SECONDS
    await letters(world, 2)
    assert worker.runs
    if at_work:
        await published(world, *(f"many-{n}" for n in range(3_000)))
    assert all(versions == list(range(1, len(versions) + 1)) for versions in world.reader.versions.values())

    async def is_well() -> bool:
        return json.loads((await ask(port, "/health/ready"))[1])["problems"] == []

    await world.comes_true(is_well)


@pytest.mark.parametrize("how", [{"delay_seconds": 2.0}, {"bytes_per_second": 50_000}], ids=["late", "slow"])
@pytest.mark.parametrize("at_work", [False, True], ids=["idle", "busy"])
async def test_what_is_late_or_slow_for_a_while_is_made_up_for(
    odd: OddKafka, proxy: Proxy, world: World, how: dict[str, float], *, at_work: bool
) -> None:
    """F8, both ways: each answer comes 4 s later, or a twentieth of the bandwidth is left."""
    worker = await started(odd, world, free_port())
    await world.produce([registered("before")])
    await published(world, "before")
    many = [registered(f"many-{n}") for n in range(3_000)]
    if at_work:
        await world.produce(many)
    for setting, value in how.items():
        setattr(proxy, setting, value)
    await asyncio.sleep(SLOW_SECONDS)  # the length of the fault, not a wait for something to happen
    proxy.mend()
    if not at_work:
        await world.produce(many)
    await published(world, *(f"many-{n}" for n in range(3_000)))
    assert worker.runs
    assert all(versions == list(range(1, len(versions) + 1)) for versions in world.reader.versions.values())


async def test_a_worker_that_starts_into_silence_begins_when_it_ends(odd: OddKafka, proxy: Proxy, world: World) -> None:
    proxy.cut()
    worker = await started(odd, world, port := free_port())

    async def says_what_it_waits_for() -> bool:
        return "KAFKA_BOOTSTRAP_SERVERS" in (await ask(port, "/health/ready"))[1]

    await world.comes_true(says_what_it_waits_for, RECOVERED_SECONDS)
    proxy.fall_silent()
    proxy.mend()
    await world.produce([registered("f")])
    await published(world, "f", limit_seconds=RECOVERED_SECONDS)
    assert worker.runs


async def test_a_worker_is_stopped_in_time_though_kafka_is_silent(odd: OddKafka, proxy: Proxy, world: World) -> None:
    worker = await started(odd, world, free_port())
    await world.produce([registered("f")])
    await published(world, "f")
    proxy.cut()
    await world.produce([registered("g")])
    worker.terminate()
    assert await worker.ended(limit_seconds=25) == 0
    assert not worker.said("Traceback")


@pytest.mark.parametrize(
    "command", ["status", "topics create", "relay show", "positions set --topic hire-made --partition 9 --offset 1"]
)
async def test_commands_end_though_kafka_is_silent(odd: OddKafka, proxy: Proxy, world: World, command: str) -> None:
    proxy.cut()
    process = await Asking(world.folder, **settings(odd, world)).start(command)
    out, err = await asyncio.wait_for(process.communicate(), COMMAND_SECONDS)
    shown = out.decode() + err.decode()
    assert process.returncode == 1, shown
    assert f"127.0.0.1:{odd.proxy_port}" in " ".join(shown.split())
    assert "Traceback" not in shown
