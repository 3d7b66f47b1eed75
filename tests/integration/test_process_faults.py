"""Workers that die, are stopped, or come back to life: what is decided and published stays the same."""

import re
import time
from collections.abc import AsyncIterator
from itertools import zip_longest
from pathlib import Path

import pytest

from tests.kit.histories import History
from tests.kit.invariants import check_everything, story
from tests.kit.killable import POINTS
from tests.kit.produce import by_key
from tests.kit.waiting import until, until_async
from tests.kit.world import PARTITIONS, Events, World, a_world, copy_of
from worker.embedded.stack import LocalStack
from worker.ledger.leadership import LEASE_SECONDS

TAKEOVER_SECONDS = 5.0
HISTORY = {"freelancers": 25, "jobs": 40, "events": 1_200}
SEED = 101

undisturbed_story: list[tuple[object, ...]] = []


@pytest.fixture
async def undisturbed(stack: LocalStack, tmp_path: Path, database_url: str, prefix: str) -> list[tuple[object, ...]]:
    """The ledger of an undisturbed worker; made once."""
    if not undisturbed_story:
        async with a_world(stack, tmp_path, database_url, f"{prefix}undisturbed-") as world:
            world.grace_seconds = 30
            await world.produce(History(SEED, **HISTORY), by_key(PARTITIONS))
            await world.worker(fresh=True)  # its sets have another order than those of the workers that are disturbed
            await world.settled()
            undisturbed_story.extend(await story(world))
    return undisturbed_story


@pytest.fixture
async def busy(stack: LocalStack, tmp_path: Path, prefix: str, migrated: str) -> AsyncIterator[World]:
    """A world whose topics hold the history that the undisturbed worker read."""
    async with copy_of(stack, migrated) as url, a_world(stack, tmp_path, url, prefix) as world:
        world.grace_seconds = 30
        await world.produce(History(SEED, **HISTORY), by_key(PARTITIONS))
        yield world


async def same_in_the_end(world: World, undisturbed: list[tuple[object, ...]]) -> None:
    await world.settled()
    await check_everything(world, model=False)
    shown = await story(world)
    differing = next((pair for pair in zip_longest(shown, undisturbed) if pair[0] != pair[1]), None)
    assert differing is None, f"{differing[0]}\nshould be\n{differing[1]}\nHistory({SEED}, **{HISTORY})"


@pytest.mark.parametrize("point", [*POINTS, "between-chunks"])
async def test_a_worker_killed_at_any_point_leaves_nothing_half_done(
    busy: World, undisturbed: list[tuple[object, ...]], point: str
) -> None:
    """F1."""
    first = await busy.worker(kill_at=f"{point}:2", batch_size=20)
    await first.died_at(point)
    await busy.end_lease_of(first)
    await busy.worker()
    await same_in_the_end(busy, undisturbed)


@pytest.mark.parametrize("point", ["after-read", "before-commit"])
async def test_a_worker_whose_event_loop_hangs_names_the_line_and_ends_and_its_standby_takes_over(
    busy: World, undisturbed: list[tuple[object, ...]], point: str
) -> None:
    first = await busy.worker(hang_at=f"{point}:3", batch_size=20)
    await busy.leads(first)
    second = await busy.worker()
    await until(lambda: first.said(f"at {point}: hanging"))
    hung = time.monotonic()
    await busy.leads(second)
    assert time.monotonic() - hung < 10
    assert await first.ended() == 1, first.tail()
    assert first.said("the event loop has not turned"), first.tail()
    assert re.search(r"killable\.py\W+ line \d+, in hang\b", first.log.read_text(encoding="utf-8")), first.tail()
    await same_in_the_end(busy, undisturbed)


async def test_a_terminated_worker_finishes_its_batch_and_hands_over_immediately(
    busy: World, undisturbed: list[tuple[object, ...]]
) -> None:
    """F2: within 10 s, and the next one does not wait for a lease to run out."""
    first = await busy.worker(batch_size=20)
    await busy.has_decided(100)
    second = await busy.worker()
    first.terminate()
    begun = time.monotonic()
    assert await first.ended() == 0, first.tail()
    assert time.monotonic() - begun < 10
    left = await busy.value("SELECT count(*) FROM outbox WHERE outbox_seq > (SELECT dropped_through FROM relay_state)")
    assert left == 0, "what was committed is published before the worker goes"
    handed_over = time.monotonic()
    await busy.leads(second)
    assert time.monotonic() - handed_over < 2.5, "the lease was handed back"
    await same_in_the_end(busy, undisturbed)


ZOMBIES = {
    "between transactions": "after-commit:3",
    "after the epoch check": "after-epoch-check:3",
    "in the middle of COPY": "inside-copy:3",
    "before COMMIT": "before-commit:3",
    "inside a Kafka transaction": "inside-kafka-transaction:2",
}
LAPSES = "in the middle of COPY"
"""Here its lease runs out by itself; the others' are ended, and the rest of the five seconds is what it may take."""


@pytest.mark.parametrize("where", ZOMBIES)
async def test_a_worker_stopped_past_its_lease_writes_nothing_when_it_wakes(
    busy: World, undisturbed: list[tuple[object, ...]], where: str
) -> None:
    """F3: the standby takes over within 5 s; the zombie finds itself replaced, on either side."""
    place = ZOMBIES[where]
    zombie = await busy.worker(stop_at=place, batch_size=20)
    await busy.leads(zombie)
    standby = await busy.worker()
    await zombie.stopped_at(place.partition(":")[0])
    await busy.stands_by(standby)
    stopped, limit = time.monotonic(), TAKEOVER_SECONDS
    if where != LAPSES:
        await busy.end_lease_of(zombie)
        limit -= LEASE_SECONDS
    await busy.leads(standby)
    assert time.monotonic() - stopped < limit
    await busy.settled()
    decided = await busy.value("SELECT max(last_seq) FROM batches")
    read = len(busy.reader.records)

    zombie.go_on()
    await until(lambda: zombie.said("standing by"))
    assert zombie.runs, "it stands by for the next time"
    assert not await busy.rows(
        "SELECT batch_no FROM batches b WHERE epoch < (SELECT max(epoch) FROM batches WHERE batch_no < b.batch_no)"
    )
    assert await busy.value("SELECT max(last_seq) FROM batches") == decided
    assert len(busy.reader.records) == read
    await same_in_the_end(busy, undisturbed)


@pytest.mark.in_turn
async def test_a_zombie_takes_over_again_when_its_successor_dies(busy: World) -> None:
    first = await busy.worker(stop_at="before-commit:3", batch_size=20)
    await busy.leads(first)
    second = await busy.worker(kill_at="before-commit:12", batch_size=20)
    await first.stopped_at("before-commit")
    await second.died_at("before-commit")
    first.go_on()
    await busy.settled()
    assert (await busy.holder()).startswith(first.holder)
    await check_everything(busy)


@pytest.mark.in_turn
async def test_a_closure_with_many_proposals_killed_between_chunks_refunds_each_once(world: World) -> None:
    count = 10_000
    send = Events()
    send("freelancer-registered", freelancer_id="f-last")
    for number in range(count):
        send(
            "proposal-submitted",
            freelancer_id=f"f-{number % 500}",
            job_id="j-1",
            proposal_id=f"p-{number}",
            connects=4,
            origin="proposal",
        )
    send("job-closed", job_id="j-1", client_id="c-1", closure="closed-by-client")
    await world.produce(send.messages)
    first = await world.worker(batch_size=1_000, kill_after=f"{len(send.messages) + 1_500}:between-chunks")
    await first.died_at("between-chunks")
    assert 0 < await settlements(world) < count
    second = await world.worker(batch_size=1_000, kill_after="2000:between-chunks")
    await second.died_at("between-chunks")
    assert await settlements(world) < count
    await world.worker(batch_size=1_000)

    async def all_settled() -> bool:
        return await settlements(world) == count

    await until_async(all_settled)
    await world.settled()
    assert await world.value("SELECT count(*) FROM wallets WHERE balance <> 0") == 1
    await check_everything(world)


async def settlements(world: World) -> int:
    count: int = await world.value("SELECT count(*) FROM decisions WHERE kind = 'settlement'")
    return count
