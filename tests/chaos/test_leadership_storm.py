"""Workers come and go at random under a live stream: somebody always takes over in time, and nothing is lost (F5).

TEST_STORM_SECONDS (20 when whole) and TEST_STORM_SEED say how long and which.
"""

import os
import random
import signal
import time
from typing import Final

import pytest

from tests.kit.histories import History
from tests.kit.invariants import check_everything
from tests.kit.sizes import size
from tests.kit.worker_process import WorkerProcess
from tests.kit.world import World

STORM_SECONDS: Final = size("STORM_SECONDS", 20, least=8)
SEED: Final = int(os.environ.get("TEST_STORM_SEED", "5"))
TAKEOVER_SECONDS: Final = 5.0
WORKERS: Final = 3


class Storm:
    """Three workers at any time; the leader is killed or stopped, and another one has to take over."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.chance = random.Random(seed)
        self.alive: list[WorkerProcess] = []
        self.stopped: list[WorkerProcess] = []
        self.said: list[str] = []

    async def begin(self) -> None:
        await self._fill_up()

    async def strike(self) -> None:
        """End the leader, and wait for the next one."""
        leader = await self._leader()
        what = self.chance.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM))
        self.said.append(f"{what.name} for {leader.holder}")
        self.alive.remove(leader)
        if what is signal.SIGKILL:
            await leader.kill()
        elif what is signal.SIGSTOP:
            leader.pause()
            self.stopped.append(leader)
        else:
            leader.terminate()
        ended = time.monotonic()
        await self._leader()
        assert time.monotonic() - ended < TAKEOVER_SECONDS, f"seed {SEED}: {self.said}"
        if self.stopped and self.chance.random() < 0.7:
            woken = self.stopped.pop()
            woken.go_on()
            self.alive.append(woken)
        await self._fill_up()

    async def end(self) -> None:
        for worker in self.stopped:
            worker.go_on()

    async def _fill_up(self) -> None:
        while len(self.alive) < WORKERS:
            worker = await self.world.worker(batch_size=100)
            self.alive.append(worker)
        for worker in self.alive:
            await self.world.stands_by(worker)

    async def _leader(self) -> WorkerProcess:
        found: list[WorkerProcess] = []

        async def one_leads() -> bool:
            holder = (await self.world.holder()).split("/")[0]
            found[:] = [worker for worker in self.alive if worker.holder == holder]
            return bool(found)

        await self.world.comes_true(one_leads, 2 * TAKEOVER_SECONDS)
        return found[0]


@pytest.mark.in_turn
@pytest.mark.soak
@pytest.mark.timeout(1800)
async def test_leaders_fall_one_after_the_other_and_the_ledger_does_not_notice(world: World) -> None:
    history = History(SEED, freelancers=50, jobs=200, events=4_000)
    storm = Storm(world, SEED)
    await storm.begin()
    begun = time.monotonic()
    part, place = 250, 0
    while time.monotonic() - begun < STORM_SECONDS or place < len(history):
        await world.produce(history[place : place + part])
        place += part
        if time.monotonic() - begun < STORM_SECONDS:
            await storm.strike()
    await storm.end()
    await world.settled(30)
    await check_everything(world)
