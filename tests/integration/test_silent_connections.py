"""PostgreSQL's connections fall silent without RST or FIN, and new ones work: as after a failover."""

import json
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

import pytest

from tests.kit.histories import History
from tests.kit.http import ask, free_port
from tests.kit.invariants import check_everything
from tests.kit.produce import by_key
from tests.kit.silence import Link, falling_silent
from tests.kit.waiting import until
from tests.kit.world import PARTITIONS, Events, World

pytestmark = pytest.mark.in_turn

DECIDED_SECONDS: Final = 40
NOTICED_SECONDS: Final = 30

WHICH: Final[dict[str, Callable[[Link], bool]]] = {
    "all": lambda _: True,
    "idle": lambda link: link.idle_seconds > 1,
}


async def is_ready(port: int) -> tuple[bool, str]:
    code, body = await ask(port, "/health/ready")
    return code == HTTPStatus.OK, " ".join(json.loads(body)["problems"]) if body else ""


@pytest.mark.parametrize("which", WHICH)
async def test_an_event_is_decided_in_time_and_nothing_claims_that_all_is_well(world: World, which: str) -> None:
    """As users run it, with the limits that they have."""
    port = free_port()
    connects = world.asking()
    send = Events()
    async with falling_silent(world.database_url) as (proxy, url):
        worker = await world.connects_run(port, database_url=url)
        await world.produce([send("freelancer-registered", freelancer_id="f-before")])
        await world.settled()
        await until(lambda: any(link.idle_seconds > 1 and link.says(b"/writer") for link in proxy.links))
        assert proxy.fall_silent(WHICH[which]) > (5 if which == "all" else 0)
        fell = time.monotonic()
        await world.produce([send("freelancer-registered", freelancer_id="f-after")])
        late_and_well = []
        while await world.balance("f-after") != 40:
            assert time.monotonic() - fell < DECIDED_SECONDS, worker.tail()
            since = time.monotonic() - fell
            ready, problems = await is_ready(port)
            status = await connects("status")
            if since > NOTICED_SECONDS and (ready or "PostgreSQL" not in problems or status.code == 0):
                late_and_well.append((since, ready, problems, status))
        assert not late_and_well
        assert worker.runs
        assert worker.said("PostgreSQL did not answer within 22 s"), worker.tail()
        await world.settled()
        await check_everything(world)
        assert (await is_ready(port))[0]
        await worker.kill()


PARTS: Final[dict[str, Callable[[Link, bytes, bool], bool]]] = {
    "in the middle of a COPY": lambda _, data, to_server: to_server and b"COPY" in data and b"FROM STDIN" in data,
    "between COMMIT and its answer": lambda _, data, to_server: to_server and data.endswith(b"COMMIT\0"),
}


@pytest.mark.parametrize("where", PARTS)
async def test_silence_while_a_batch_is_written_loses_and_repeats_nothing(world: World, where: str) -> None:
    """Two times; with shorter limits than in production."""
    history = History(seed=31, freelancers=40, jobs=80, events=1_500)
    await world.produce(history, by_key(PARTITIONS))
    async with falling_silent(world.database_url) as (proxy, url):
        times = 0

        def silence_when(link: Link, data: bytes, to_server: bool) -> bool:  # noqa: FBT001 - as the proxy calls it
            nonlocal times
            if times < 2 and link.says(b"/writer") and PARTS[where](link, data, to_server):
                times += 1
                return True
            return False

        proxy.silence_when = silence_when
        worker = await world.worker(database_url=url, batch_size=500, patience_seconds="3")
        await until(lambda: times == 2 or not worker.runs)
        await world.settled()
        assert worker.runs
        assert worker.said("did not answer within"), worker.tail()
        await check_everything(world)
        await worker.kill()


async def test_only_the_letters_connection_falls_silent(world: World) -> None:
    """Its own matter: the next letter goes out in time, under the same leadership."""
    send = Events()
    async with falling_silent(world.database_url) as (proxy, url):
        worker = await world.worker(database_url=url, patience_seconds="3")
        await world.leads(worker)
        await until(lambda: any(link.says(b"/letters") for link in proxy.links))
        assert proxy.fall_silent(lambda link: link.says(b"/letters")) == 1
        broken = send("freelancer-registered", freelancer_id="")
        await world.produce([broken, send("freelancer-registered", freelancer_id="f-1")])

        async def letter_sent() -> bool:
            return await world.value("SELECT count(*) FROM dead_letters WHERE sent_at IS NOT NULL") == 1

        await world.comes_true(letter_sent)
        await world.settled()
        assert await world.value("SELECT epoch FROM leader") == 1
        assert not worker.said("recovering"), worker.tail()
        await worker.kill()


async def test_only_the_relays_connection_falls_silent(world: World) -> None:
    """It reads rows from the ledger when its queue overflowed, or again after a transaction that failed."""
    send = Events()
    async with falling_silent(world.database_url) as (proxy, url):
        worker = await world.worker(database_url=url, patience_seconds="3", fail_at="before-kafka-transaction:1")
        await world.leads(worker)
        await until(lambda: worker.said("relay.open") and any(link.says(b"/relay") for link in proxy.links))
        assert proxy.fall_silent(lambda link: link.says(b"/relay")) == 1
        await world.produce([send("freelancer-registered", freelancer_id="f-1")])
        await world.settled()
        assert worker.said("relay.not_open"), worker.tail()
        assert await world.value("SELECT epoch FROM leader") == 1
        await check_everything(world)
        await worker.kill()


@pytest.mark.parametrize("patience_seconds", ["3", "22"])
async def test_a_worker_that_is_stopped_while_all_is_silent_ends(world: World, patience_seconds: str) -> None:
    """In ten seconds, give or take what a busy machine needs, also where a statement may take longer."""
    async with falling_silent(world.database_url) as (proxy, url):
        worker = await world.worker(database_url=url, patience_seconds=patience_seconds)
        await world.leads(worker)
        proxy.silence_when = lambda _link, _data, _to_server: True  # new ones too
        proxy.fall_silent()
        await world.produce([Events()("freelancer-registered", freelancer_id="f-1")])
        await until(lambda: any(link.silent and link.asked_in_vain for link in proxy.links))
        worker.terminate()
        begun = time.monotonic()
        assert await worker.ended(20) == 0, worker.tail()
        assert time.monotonic() - begun < 15


async def test_a_standby_takes_over_from_a_leader_whose_new_connections_are_silent_too(world: World) -> None:
    """Then the leader cannot renew its lease; it stands by, and nothing is decided twice."""
    send = Events()
    async with falling_silent(world.database_url) as (proxy, url):
        cut_off = await world.worker(database_url=url, patience_seconds="3")
        await world.leads(cut_off)
        standby = await world.worker()
        await world.stands_by(standby)
        proxy.silence_when = lambda _link, _data, _to_server: True
        proxy.fall_silent()
        await world.produce([send("freelancer-registered", freelancer_id=f"f-{n}") for n in range(20)])
        await world.leads(standby, 10)
        await world.settled()
        proxy.silence_when = lambda _link, _data, _to_server: False
        await until(lambda: cut_off.said("standing by"))
        assert cut_off.runs
        await check_everything(world)
        await cut_off.kill()


async def test_readiness_names_postgresql_while_nothing_answers_and_is_well_afterwards(world: World) -> None:
    port = free_port()
    async with falling_silent(world.database_url) as (proxy, url):
        worker = await world.connects_run(port, database_url=url)

        async def well() -> bool:
            return (await is_ready(port))[0]

        async def named() -> bool:
            ready, problems = await is_ready(port)
            return not ready and "PostgreSQL" in problems

        await world.comes_true(well)
        proxy.silence_when = lambda _link, _data, _to_server: True
        proxy.fall_silent()
        await world.comes_true(named, NOTICED_SECONDS)
        proxy.silence_when = lambda _link, _data, _to_server: False
        await world.comes_true(well)
        assert worker.runs
        await worker.kill()
