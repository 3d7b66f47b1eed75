"""After a database was restored from a backup: `connects relay adopt`, with real topics and a real copy."""

from datetime import timedelta

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import RecordsToDelete

from tests.integration.test_rehearsal import copy_of
from tests.kit.administering import administering
from tests.kit.decided import rows_of
from tests.kit.histories import History
from tests.kit.produce import by_key
from tests.kit.recreating import make_anew
from tests.kit.restoring import (
    ADOPT,
    CHANGES,
    Restored,
    after,
    all_is_made_again,
    before,
    each_is_published_once,
    is_whole_again,
    refused,
    restored,
    stop,
    use,
)
from tests.kit.world import PARTITIONS, Events, World
from worker import offline
from worker.errors import Transient
from worker.queries.adopt import Adopting

HISTORY = {"freelancers": 15, "jobs": 25, "events": 600}


@pytest.mark.in_turn
async def test_a_restored_ledger_is_refused_then_adopted_and_publishes_each_version_once(world: World) -> None:
    async with restored(world) as was:
        await refused(world)
        asked = await was.connects("relay adopt --why x")
        assert (asked.code, "add --yes" in asked.err, "of wallet-updated" in asked.err) == (2, True, True), asked
        assert await world.value("SELECT count(*) FROM adopted") == 0
        assert await world.value("SELECT count(*) FROM commands") == 0
        await refused(world)

        adopted = await was.connects(ADOPT)
        assert adopted.code == 0, adopted
        assert "Asked for by ana: restored the backup of 04:00" in adopted.text
        (command,) = await world.decisions("kind = 'command'")
        assert (command["reason"], command["facts"]["actor"]) == ("outputs-adopted", "ana")
        again = await was.connects(ADOPT)
        assert (again.code, "nothing is to be adopted" in again.err) == (1, True), again

        await world.worker()
        await is_whole_again(world, was)
        await goes_on(world, was)
        await stop(world)
        for command_line in ("verify", "verify --against topics", "relay show"):
            proved = await was.connects(command_line)
            assert proved.code == 0, proved


async def goes_on(world: World, was: Restored) -> None:
    """What comes after is published, and nothing is adopted beside a worker."""
    was.happens("connects-purchased", freelancer_id="f-1", purchase_id="b-9", connects=1)
    await world.produce(was.happens.messages)
    await world.settled()
    published = await each_is_published_once(world)
    assert published == was.published | {"wallet-updated": was.published["wallet-updated"] + 1}
    busy = await was.connects(ADOPT)
    assert (busy.code, "a worker leads the ledger" in busy.err) == (1, True), busy


@pytest.mark.in_turn
async def test_a_backup_of_before_anything_was_published_makes_everything_again(world: World) -> None:
    def nothing(_happens: Events) -> None:
        pass

    def all_of_it(happens: Events) -> None:
        before(happens)
        after(happens)

    async with restored(world, nothing, all_of_it) as was:
        assert (await was.connects(ADOPT)).code == 0
        for _ in range(2):
            await world.worker()
            await is_whole_again(world, was)
            await stop(world)


async def all_is_read(world: World) -> bool:
    rows = await world.rows("SELECT topic, partition, next_offset FROM positions")
    read = {(row["topic"], row["partition"]): row["next_offset"] for row in rows}
    return all(read.get(place, 0) >= count for place, count in world.produced.items())


@pytest.mark.in_turn
@pytest.mark.parametrize("point", ["before-commit", "after-commit", "inside-kafka-transaction", "after-kafka-commit"])
async def test_a_history_is_made_again_through_kills(world: World, point: str) -> None:
    """A copy in the middle of a history; its worker is killed while it makes the rest again."""
    world.grace_seconds = 30
    records = list(History(77, **HISTORY))
    half = len(records) // 2
    world.it_is(records[half - 1][3])  # nothing of the rest is late: where clock work goes between it is defined
    await world.produce(records[:half], by_key(PARTITIONS))
    await world.worker()
    await world.comes_true(lambda: all_is_read(world))
    await stop(world)
    async with copy_of(world.database_url) as copy:
        world.it_is(records[-1][3] + timedelta(hours=1))
        await world.produce(records[half:], by_key(PARTITIONS))
        await world.worker()
        await world.settled()
        await stop(world)
        changes, published = await rows_of(world.database_url, CHANGES), await each_is_published_once(world)
        await use(world, copy)
        connects = world.asking()
        adopted = await connects(ADOPT)
        assert adopted.code == 0, adopted
        killed = await world.worker(kill_at=f"{point}:2", batch_size=20)
        await killed.died_at(point)
        await world.end_lease_of(killed)
        await world.worker(batch_size=20)
        await all_is_made_again(world)
        await world.settled()
        assert await rows_of(copy, CHANGES) == changes
        assert await each_is_published_once(world) == published
        await stop(world)
        proved = await connects("verify --against topics")
        assert proved.code == 0, proved
        await world.close()


@pytest.mark.in_turn
async def test_the_first_wallet_that_differs_is_named_and_nothing_wrong_is_published(world: World) -> None:
    """The copy passes over a purchase, as if its record were gone; then it is read after all."""

    def two_purchases(happens: Events) -> None:
        for number in (3, 4):
            happens("connects-purchased", freelancer_id="f-1", purchase_id=f"b-{number}", connects=number)

    async with restored(world, later=two_purchases) as was:
        assert (await was.connects(ADOPT)).code == 0
        lost = "SELECT partition, \"offset\" FROM decisions WHERE event_id = 'e-6'"
        (record,) = await rows_of(was.original, lost)
        partition, offset = record["partition"], record["offset"]
        read_on = f"positions set --topic connects-purchased --partition {partition} --why 'a test' --offset"
        assert (await was.connects(f"{read_on} {offset + 1}")).code == 0
        worker = await world.worker()

        async def is_named() -> bool:
            assert worker.runs, worker.tail()
            found = (await was.connects("status --json")).problems
            return any("version 4 of f-1 (wallet-updated)" in what for what in found)

        await world.comes_true(is_named)
        assert worker.said("Now it would be +4 Connects, to a balance of"), worker.tail()
        assert await each_is_published_once(world) == was.published
        shown = await was.connects("relay show --json")
        assert shown.json["next_to_be_made"] == "wallet-updated, f-1, 4"
        await stop(world)
        assert (await was.connects(f"{read_on} {offset}")).code == 0
        await world.worker()
        await is_whole_again(world, was)


@pytest.mark.in_turn
async def test_an_adoption_that_ends_before_its_marker_is_written_is_run_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def gone(*_: object) -> None:
        raise Transient("the broker went away")

    async with restored(world) as was:
        with monkeypatch.context() as patched:
            patched.setattr(Adopting, "write_marker", gone)
            failed = await was.connects(ADOPT)
        assert (failed.code, "the broker went away" in failed.err) == (1, True), failed
        await refused(world)
        assert (await was.connects(ADOPT)).code == 0
        await world.worker()
        await is_whole_again(world, was)


async def test_an_adoption_that_ends_before_it_is_recorded_counts_for_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ends(*_: object) -> None:
        raise Transient("it was killed")

    async def forgets_nothing(_adopting: Adopting) -> None:
        pass

    async with restored(world) as was:
        with monkeypatch.context() as patched:
            patched.setattr(offline, "_answered", ends)
            patched.setattr(Adopting, "forget", forgets_nothing)
            assert (await was.connects(ADOPT)).code == 1
        assert await world.value("SELECT count(*) FROM adopted") > 0
        assert (await was.connects("relay show --json")).json["adopted"] == 0
        await refused(world)
        assert (await was.connects(ADOPT)).code == 0
        await world.worker()
        await is_whole_again(world, was)


async def test_what_the_retention_of_a_topic_has_passed_is_not_guessed(world: World) -> None:
    async with restored(world) as was:
        name = f"{world.prefix}wallet-updated"
        places = [TopicPartition(name, partition) for partition in range(PARTITIONS)]
        async with AIOKafkaConsumer(**world.kafka) as asking:
            ends = await asking.end_offsets(places)
        async with administering(world.kafka) as admin:
            await admin.delete_records({place: RecordsToDelete(end) for place, end in ends.items() if end})
        passed = await was.connects(ADOPT)
        assert (passed.code, f"{name}, partition" in passed.err) == (1, True), passed
        assert "Restore a newer database" in passed.err
        assert await world.value("SELECT count(*) FROM adopted") == 0
        await refused(world)


@pytest.mark.in_turn
async def test_a_lost_marker_is_no_obstacle_and_a_deleted_topic_is(world: World) -> None:
    async with restored(world) as was:
        await make_anew(world, "connects-relay-marker")
        fixed = await was.connects("topics create --fix")
        assert (fixed.code, "connects relay adopt" in fixed.err) == (1, True), fixed
        adopted = await was.connects(ADOPT)
        assert adopted.code == 0, adopted
        await world.worker()
        await is_whole_again(world, was)
        await stop(world)
        await make_anew(world, "membership-updated")
        await world.execute("UPDATE batches SET batch_uid = gen_random_uuid() WHERE batch_uid IS NOT NULL")
        deleted = await was.connects(ADOPT)
        assert (deleted.code, "the topic was deleted" in deleted.err) == (1, True), deleted
