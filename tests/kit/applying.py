"""Applying a plan through the real commands while traffic goes on, and the worker and the command are killed."""

from tests.kit.asking import Asking
from tests.kit.produce import Sent
from tests.kit.waiting import PATIENCE_SECONDS
from tests.kit.worker_process import WorkerProcess
from tests.kit.world import Events, World

MEMBERS = [f"f-{number}" for number in range(20)]


def live(happens: Events, names: list[str]) -> list[Sent]:
    """What goes on meanwhile, about the same wallets too."""
    registered = [happens("freelancer-registered", freelancer_id=name) for name in names]
    earned = [happens("badge-earned", freelancer_id=name, badge="rising-talent") for name in (*names, *MEMBERS[:3])]
    return [*registered, *earned]


async def balances(world: World) -> dict[str, tuple[int, int]]:
    """Each wallet's balance and version."""
    rows = await world.rows("SELECT freelancer_id, balance, version FROM wallets")
    return {row["freelancer_id"]: (row["balance"], row["version"]) for row in rows}


async def balances_of(world: World, names: list[str]) -> dict[str, int]:
    """The balances of these freelancers."""
    rows = await world.rows("SELECT freelancer_id, balance FROM wallets WHERE freelancer_id = ANY($1)", names)
    return {row["freelancer_id"]: row["balance"] for row in rows}


async def apply_through_deaths(
    world: World,
    connects: Asking,
    happens: Events,
    dying: WorkerProcess,
    plan_and_why: str,
    limit_seconds: float = PATIENCE_SECONDS,
) -> None:
    """Apply a plan under a worker that leads and kills itself before a commit; then kill the command and begin again.

    In the end each trigger is booked, and all that came meanwhile is decided.
    """
    applying = await connects.start(f"replay apply {plan_and_why} --take-too")
    await world.produce(live(happens, ["f-live-1", "f-live-2"]))
    await dying.died_at("before-commit")
    applying.kill()
    await applying.wait()

    await world.end_lease_of(dying)
    last = await world.worker()
    await world.leads(last)
    await world.produce(live(happens, ["f-live-3"]))
    applied = await connects.as_process(f"replay apply {plan_and_why} --take-too --json", limit_seconds=limit_seconds)
    assert applied.code == 0, applied
    assert (applied.json["left"], applied.json["deviated"], applied.json["left_out"]) == (0, 0, 0)
    await world.settled()
