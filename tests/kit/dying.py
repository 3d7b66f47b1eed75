"""Workers that follow each other in death, as far as there is work for them."""

import random

from tests.kit.killable import POINTS
from tests.kit.waiting import until
from tests.kit.worker_process import WorkerProcess
from tests.kit.world import World


async def work_off_while_dying(world: World, decisions: int, kills: int, seed: int) -> None:
    """Kill each worker after its share of decisions, at a point drawn from the seed, with the next one standing by.

    Each is an interpreter of its own, whose sets have an order of their own. The last one goes on. `decisions` is how
    many there will be, at least: each share is less than what that leaves.
    """
    chance = random.Random(seed)
    share = decisions // (kills + 2)
    batch_size = max(10, min(2_000, share // 4))  # each point is passed some times within a share
    points = [chance.choice(POINTS) for _ in range(kills)]
    faults = [{"kill_after": f"{chance.randrange(share // 2, share)}:{point}"} for point in points]
    active = await world.worker(**(faults[0] if faults else {}), batch_size=batch_size, fresh=True)
    for place, point in enumerate(points):
        await begins_to_lead(active)  # or the next one might, and the last one has nothing to die of
        following = faults[place + 1] if place + 1 < kills else {}
        standby = await world.worker(**following, batch_size=batch_size, fresh=True)
        await active.died_at(point)
        await world.end_lease_of(active)
        active = standby


async def begins_to_lead(worker: WorkerProcess) -> None:
    """Wait until a worker has led; by then it may have died of it."""
    await until(lambda: worker.said("leadership.taken") or not worker.runs)
