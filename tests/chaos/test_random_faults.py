"""Any fault may follow any other, under load: when the last one is over, what was sent is decided, once (F1 to F19).

TEST_CHAOS_SECONDS (200 when whole) and TEST_CHAOS_SEED say how long and which; `make chaos SECONDS=600` runs it alone.
"""

import os
import random
import time
from itertools import islice
from typing import Final

import pytest

from tests.kit.chaos import Chaos
from tests.kit.histories import History
from tests.kit.invariants import check_everything
from tests.kit.load import not_decided
from tests.kit.proxy import proxied
from tests.kit.sizes import size
from tests.kit.world import World
from worker.embedded.stack import LocalStack

SECONDS: Final = size("CHAOS_SECONDS", 200, least=20)
SEED: Final = int(os.environ.get("TEST_CHAOS_SEED") or random.SystemRandom().randrange(1_000_000))
EVENTS_A_STRIKE: Final = 150
HEALED_SECONDS: Final = 120


@pytest.mark.in_turn
@pytest.mark.soak
@pytest.mark.own_servers
@pytest.mark.timeout(7_200)
async def test_faults_of_every_kind_one_after_the_other_lose_and_repeat_nothing(
    world: World, stack: LocalStack, capsys: pytest.CaptureFixture[str]
) -> None:
    world.grace_seconds = 30
    history = iter(History(SEED, freelancers=200, jobs=2_000, events=100_000))
    async with proxied(world.database_url) as (proxy, url):
        chaos = Chaos(world, stack, proxy, url, SEED)
        told = f"TEST_CHAOS_SEED={SEED} TEST_CHAOS_SECONDS={SECONDS}"
        try:
            await chaos.begin()
            begun = time.monotonic()
            while time.monotonic() - begun < SECONDS:
                await chaos.send(list(islice(history, EVENTS_A_STRIKE)))
                await chaos.strike()
            await chaos.heal()
            await world.settled(HEALED_SECONDS)
        except BaseException as error:
            error.add_note(f"{told}: {dict(chaos.happened)}")
            raise
        await check_everything(world)
        verified = await world.asking()("verify")
        assert verified.code == 0, verified.out + verified.err
        lost = await not_decided(world, chaos.sent)
        assert lost == [], f"{told}: {len(lost)} of {len(chaos.sent)} events were lost"
        for worker in world.workers:
            await worker.kill()
    with capsys.disabled():
        changes = len(world.reader.records)
        print(f"\n{told}: {len(chaos.sent)} events, {changes} messages, 0 lost, 0 repeated; {dict(chaos.happened)}")  # noqa: T201
