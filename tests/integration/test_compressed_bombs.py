"""A small batch that expands to very much costs itself only: it is not expanded, and its neighbours do not notice."""

import asyncio
import json
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.kit.bombs import bomb, of_headers
from tests.kit.http import ask, free_port, metric
from tests.kit.input_topics import input_topics
from tests.kit.invariants import check_by_verify, check_everything
from tests.kit.produce import Sent, produce_raw
from tests.kit.reading import everything
from tests.kit.waiting import until, until_async
from tests.kit.worker_process import WorkerProcess, peak_bytes_of
from tests.kit.world import PARTITIONS, World

pytestmark = [
    pytest.mark.in_turn,
    pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process is read from /proc"),
]

TOPIC = "connects-purchased"
WORKER_BYTES = 10**9
COMMAND_BYTES = 300 * 1024 * 1024


def purchase(freelancer: str, partition: int = 0) -> Sent:
    at = (datetime.now(UTC) - timedelta(seconds=60)).isoformat()
    body = {"event_id": freelancer, "occurred_at": at, "freelancer_id": freelancer, "purchase_id": freelancer}
    return Sent(TOPIC, json.dumps({**body, "connects": 5}).encode(), partition=partition)


async def throw(world: World, batch: bytes, partition: int = 0) -> int:
    """Produce a batch, and a good event before and behind it; the batch's first offset."""
    await world.produce([purchase(f"before-{partition}", partition)])
    first = await produce_raw(world.kafka, world.prefix + TOPIC, batch, partition)
    await world.produce([purchase(f"after-{partition}", partition)])
    return first


async def letters_of(world: World) -> list[dict[str, str]]:
    """The letters in Kafka, once all are sent."""

    async def all_sent() -> bool:
        return await world.value("SELECT count(*) FROM dead_letters WHERE sent_at IS NULL") == 0

    await until_async(all_sent)
    read = await everything(world.kafka, f"{world.prefix}connects-dead-letters", PARTITIONS)
    return [{name: value.decode() for name, value in letter.headers} for letter in read.letters]


async def decided(world: World, *freelancers: str, limit_seconds: float = 60) -> None:
    async def all_are() -> bool:
        return await world.value("SELECT count(*) FROM wallets WHERE freelancer_id = ANY($1)", freelancers) == len(
            freelancers
        )

    await world.comes_true(all_are, limit_seconds)


def bounded(worker: WorkerProcess) -> None:
    assert worker.runs, worker.tail()
    assert 0 < worker.peak_bytes < WORKER_BYTES, f"{worker.peak_bytes >> 20} MiB"


@pytest.mark.parametrize(
    ("mebibytes", "codec", "records"),
    [(600, "gzip", None), (100, "gzip", 1), (100, "zstd", None), (600, "zstd", 1), (200, "lz4", None)],
)
async def test_a_batch_that_expands_to_very_much_costs_itself_only(
    world: World, mebibytes: int, codec: str, records: int | None
) -> None:
    world.grace_seconds = 2
    batch, count = bomb(mebibytes, codec, records=records)
    first = await throw(world, batch)
    last = first + count - 1
    worker = await world.connects_run(port := free_port())
    await decided(world, "before-0", "after-0")
    bounded(worker)
    (letter,) = await letters_of(world)
    assert (letter["x-error-code"], letter["x-original-partition"]) == ("batch-too-large", "0")
    assert letter["x-original-offset"] == str(first)
    assert letter["x-original-topic"] == world.prefix + TOPIC
    assert f"{TOPIC}, partition 0, offsets {first} to {last} ({count} records" in letter["x-error-detail"]
    assert "the limit is 67108864 bytes" in letter["x-error-detail"]
    (decision,) = await world.decisions("outcome = 'rejected'")
    assert (decision["reason"], decision["offset"], decision["payload"]) == ("batch-too-large", first, None)
    assert (decision["facts"]["last_offset"], decision["facts"]["records"]) == (last, count)
    _, metrics = await ask(port, "/metrics")
    assert metric(metrics, "connects_dead_letters_total") == count
    assert metric(metrics, "connects_records_total") == count + 2

    async def no_lag() -> bool:
        return (await status_of(world)).json["lag_records"] == 0

    await world.comes_true(no_lag)
    status = (await status_of(world)).json
    assert (status["stopped_partitions"], status["problems"]) == ([], [])
    await check_everything(world)
    assert (await check_by_verify(world))["without_content"] == 1
    assert await world.value("SELECT next_offset FROM positions WHERE topic = $1 AND partition = 0", TOPIC) == last + 2


async def status_of(world: World) -> Any:  # noqa: ANN401
    return await world.asking()("status --json")


async def test_one_batch_behind_the_other_and_in_all_partitions(world: World) -> None:
    """Also of those that are just small enough to be expanded, each as one record that is far too large."""
    fits, _ = bomb(63, "zstd", records=1)
    too_large, _ = bomb(200, "zstd")
    for partition in range(PARTITIONS):
        await world.produce([purchase(f"before-{partition}", partition)])
        for batch in (too_large, too_large, fits, fits, fits):
            await produce_raw(world.kafka, world.prefix + TOPIC, batch, partition)
        await world.produce([purchase(f"after-{partition}", partition)])
    worker = await world.connects_run(free_port())
    await decided(world, *(f"{when}-{n}" for when in ("before", "after") for n in range(PARTITIONS)), limit_seconds=120)
    bounded(worker)
    rejected = await world.rows("SELECT reason, count(*) FROM decisions WHERE outcome = 'rejected' GROUP BY 1")
    assert dict(map(tuple, rejected)) == {"batch-too-large": 2 * PARTITIONS, "invalid-event": 3 * PARTITIONS}
    letters = await letters_of(world)
    assert sorted(letter.get("x-truncated", "") for letter in letters) == [*[""] * 6, *["value"] * 9]
    kept = await world.value("SELECT min(octet_length(value)) FROM dead_letters WHERE error_code = 'invalid-event'")
    assert kept == 63 << 20, "the ledger has what no letter can carry"


async def test_a_record_of_countless_headers_costs_itself_only(world: World) -> None:
    first = await throw(world, of_headers(20_000_000))
    worker = await world.connects_run(free_port())
    await decided(world, "before-0", "after-0")
    bounded(worker)
    (letter,) = await letters_of(world)
    assert (letter["x-error-code"], letter["x-original-offset"]) == ("batch-too-large", str(first))
    assert "a record of it has 20000000 headers" in letter["x-error-detail"]


async def test_a_batch_below_the_limit_gets_its_letters_one_by_one(world: World) -> None:
    batch, count = bomb(8, "gzip")
    first = await throw(world, batch)
    await world.connects_run(free_port())
    await decided(world, "before-0", "after-0")
    letters = await letters_of(world)
    assert [letter["x-error-code"] for letter in letters] == ["invalid-event"] * count
    assert {int(letter["x-original-offset"]) for letter in letters} == set(range(first, first + count))


async def test_the_next_worker_knows_a_rejected_batch_again_and_goes_on_behind_it(world: World) -> None:
    world.grace_seconds = 2
    batch, count = bomb(300, "zstd")
    await world.produce([purchase("before")])
    first = await produce_raw(world.kafka, world.prefix + TOPIC, batch)

    async def passed() -> bool:
        return await world.value("SELECT next_offset FROM positions WHERE topic = $1", TOPIC) == first + count

    leader = await world.connects_run(free_port())
    await world.comes_true(passed)
    leader.terminate()
    await leader.ended()
    await world.connects_run(free_port())
    await world.produce([purchase("after")])
    await decided(world, "after")
    assert len(await world.decisions("outcome = 'rejected'")) == 1, "it is not read a second time"
    assert (await status_of(world)).json["stopped_partitions"] == []


async def test_a_topic_recreated_with_another_batch_in_its_place_is_reported(world: World) -> None:
    world.grace_seconds = 2
    batch, count = bomb(300, "zstd")
    other, _ = bomb(301, "zstd", records=count)
    first = await produce_raw(world.kafka, world.prefix + TOPIC, batch)

    async def passed() -> bool:
        return await world.value("SELECT next_offset FROM positions WHERE topic = $1", TOPIC) == first + count

    leader = await world.connects_run(free_port())
    await world.comes_true(passed)
    leader.terminate()
    await leader.ended()
    async with input_topics(world.kafka, world.prefix) as topics:
        await topics.delete(TOPIC)
        await topics.create(TOPIC, PARTITIONS)
    assert await produce_raw(world.kafka, world.prefix + TOPIC, other) == first
    (stopped,) = (await status_of(world)).json["stopped_partitions"]
    assert (stopped["topic"], stopped["partition"]) == (TOPIC, 0)
    assert "--recreated" in stopped["reason"]


@pytest.mark.parametrize("command", ["status", "positions set --topic connects-purchased --partition 0 --recreated"])
async def test_commands_that_read_records_do_not_expand_it_either(world: World, command: str) -> None:
    """One batch that is not read yet, one that was read last, and one that is just small enough to be expanded."""
    sent = [
        (0, bomb(600, "zstd")[0]),
        (1, bomb(63, "zstd", records=1)[0]),
        (2, bomb(200, "gzip", records=1)[0]),
    ]
    for partition, batch in sent:
        await produce_raw(world.kafka, world.prefix + TOPIC, batch, partition)
    leader = await world.connects_run(free_port())

    async def all_read() -> bool:
        return await world.value("SELECT count(*) FROM positions WHERE topic = $1 AND next_offset > 0", TOPIC) == 3

    await world.comes_true(all_read)
    leader.terminate()
    await leader.ended()
    for partition, batch in sent:
        await produce_raw(world.kafka, world.prefix + TOPIC, batch, partition)
    process = await world.asking().start(command)
    peak = 0

    def ended() -> bool:
        nonlocal peak
        peak = max(peak, peak_bytes_of(process.pid))
        return process.returncode is not None

    reading = asyncio.create_task(process.communicate())
    await until(ended)
    out, err = await reading
    assert process.returncode == 1, (out, err)
    assert b"Traceback" not in err
    assert 0 < peak < COMMAND_BYTES, f"{peak >> 20} MiB"
