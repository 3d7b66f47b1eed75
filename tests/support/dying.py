"""Workers that follow each other in death, as far as there is work for them."""

import random

from tests.support.killable import POINTS
from tests.support.world import World


async def work_off_while_dying(world: World, decisions: int, kills: int, seed: int, batch_size: int = 2_000) -> None:
    """Kill each worker after its share of decisions, at a point drawn from the seed, with the next one standing by.

    The last one goes on. `decisions` is how many there will be, at least: each share is less than what that leaves.
    """
    chance = random.Random(seed)
    share = decisions // (kills + 2)
    points = [chance.choice(POINTS) for _ in range(kills)]
    faults = [{"kill_after": f"{chance.randrange(share // 2, share)}:{point}"} for point in points]
    active = await world.worker(**(faults[0] if faults else {}), batch_size=batch_size)
    for place, point in enumerate(points):
        following = faults[place + 1] if place + 1 < kills else {}
        standby = await world.worker(**following, batch_size=batch_size)
        await active.died_at(point, limit_seconds=60)
        await world.end_lease_of(active)
        active = standby
