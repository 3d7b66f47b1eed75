"""A ledger that was restored from a backup: a copy that lacks what was decided and published after it was taken."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg

from tests.integration.test_rehearsal import copy_of
from tests.kit.asking import Asking
from tests.kit.decided import rows_of
from tests.kit.reading import everything
from tests.kit.world import Events, World

ADOPT = "relay adopt --yes --why 'restored the backup of 04:00' --actor ana"
CHANGES = (
    "SELECT freelancer_id, version, occurred_at, rule, reason, policy_version, delta, debt_delta, balance_after,"
    " explanation, natural_key, movements FROM changes ORDER BY freelancer_id, version"
)
OUTPUTS = ("wallet-updated", "membership-updated", "membership-charge-requested")


@dataclass
class Restored:
    """`changes` are those that it should have in the end, `published` how many messages there are.

    `original` is the ledger that published them.
    """

    connects: Asking
    happens: Events
    changes: list[asyncpg.Record]
    published: dict[str, int]
    original: str


def before(happens: Events) -> None:
    """What the backup has: two wallets, one with a proposal on a job that is still open."""
    for name in ("f-1", "f-2"):
        happens("freelancer-registered", freelancer_id=name)
        happens("connects-purchased", freelancer_id=name, purchase_id=f"b-{name}", connects=40)
    named = {"freelancer_id": "f-1", "job_id": "j-1", "proposal_id": "p-1"}
    happens("proposal-submitted", **named, connects=12, origin="proposal")


def after(happens: Events) -> None:
    """What was decided after the backup: by events, by the clock (a settlement), of a new wallet and a membership."""
    happens("connects-purchased", freelancer_id="f-1", purchase_id="b-3", connects=7)
    happens("job-closed", job_id="j-1", client_id="c-1", closure="closed-by-client")
    happens("connects-purchased", freelancer_id="f-2", purchase_id="b-4", connects=9)
    happens("freelancer-registered", freelancer_id="f-3")
    happens("membership-plan-chosen", freelancer_id="f-3", plan="plus")


@asynccontextmanager
async def restored(
    world: World, earlier: Callable[[Events], None] = before, later: Callable[[Events], None] = after
) -> AsyncIterator[Restored]:
    """Have the world look at a backup that was taken between the two."""
    happens, original = Events(), world.database_url
    earlier(happens)
    await world.produce(happens.messages)
    await world.leads(await world.worker())  # before there is anything to decide it is settled at once
    await world.settled()
    await stop(world)
    async with copy_of(original) as copy:
        happens.messages.clear()
        later(happens)
        await world.produce(happens.messages)
        await world.worker()
        await world.settled()
        await stop(world)
        happens.messages.clear()
        changes, published = await rows_of(original, CHANGES), await each_is_published_once(world)
        await use(world, copy)
        yield Restored(world.asking(), happens, changes, published, original)
        await stop(world)
        await world.close()


async def stop(world: World) -> None:
    """End the workers that run."""
    for worker in world.workers:
        if worker.runs:
            worker.terminate()
            assert await worker.ended() == 0, worker.tail()


async def use(world: World, database_url: str) -> None:
    """Have the world look at another database, with workers of its own."""
    await world.close()
    world.database_url = database_url


async def refused(world: World) -> None:
    """A worker does not start, and names the command that mends it."""
    worker = await world.worker()
    assert await worker.ended() != 0
    assert worker.said("connects relay adopt"), worker.tail()


async def all_is_made_again(world: World) -> None:
    """Wait until everything that was published is made again."""

    async def none_left() -> bool:
        return await world.value("SELECT count(*) FROM adopted WHERE held_in IS NULL") == 0

    await world.comes_true(none_left)


async def each_is_published_once(world: World) -> dict[str, int]:
    """No reader sees a message of one name twice, and versions are in order; how many there are by topic."""
    counts = {}
    for topic in OUTPUTS:
        read = await everything(world.kafka, world.prefix + topic)
        ids = [json.loads(record.value)["event_id"] for record in read.records]
        assert len(ids) == len(set(ids)), topic
        counts[topic] = len(ids)
        if topic == OUTPUTS[0]:
            assert all(seen == list(range(1, len(seen) + 1)) for seen in read.versions.values())
    return counts


async def is_whole_again(world: World, was: Restored) -> None:
    """The ledger has made everything again, and nothing was published a second time."""
    await all_is_made_again(world)
    await world.settled()
    assert await rows_of(world.database_url, CHANGES) == was.changes
    assert await each_is_published_once(world) == was.published
