"""Records that can never be decided reach their topic as they came, and their topic being away stops nothing."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
from aiokafka.admin import NewTopic

from tests.kit.administering import administering, create_topic
from tests.kit.ledger import Ledger, wallet_updated
from tests.kit.reading import everything, reading
from tests.kit.waiting import until, until_async
from worker.embedded.stack import LocalStack
from worker.errors import OperatorNeeded
from worker.kafka.output.dead_letters import DeadLetterLane
from worker.kafka.output.relay import Relay
from worker.kafka.topics import LETTER_BYTES, create_topics, input_topic_specs, output_topic_specs

Running = Callable[[], AbstractAsyncContextManager[DeadLetterLane]]


@pytest.fixture
def running(kafka: dict[str, Any], prefix: str, ledger: Ledger) -> Running:
    @asynccontextmanager
    async def running() -> AsyncIterator[DeadLetterLane]:
        lane = DeadLetterLane(kafka, prefix, ledger)
        task = asyncio.create_task(lane.run())
        try:
            yield lane
        finally:
            task.cancel()
            await asyncio.wait({task})
            if not task.cancelled():
                task.result()

    return running


async def all_sent(ledger: Ledger) -> None:
    async def none_is_left() -> bool:
        return await ledger.unsent() == 0

    await until_async(none_is_left)


async def create_dead_letter_topic(kafka: dict[str, Any], prefix: str, **settings: str) -> None:
    async with administering(kafka) as admin:
        await create_topic(admin, NewTopic(f"{prefix}connects-dead-letters", 3, 1, topic_configs=settings))


async def test_a_letter_is_the_record_as_it_came_and_says_why(
    kafka: dict[str, Any], topics: str, ledger: Ledger, running: Running
) -> None:
    headers = (("trace", b"1"), ("trace", None), ("bad-\udcff", b"\xff"))
    await ledger.reject(key=b"j-1", value=b"{", headers=headers)
    async with running():
        await all_sent(ledger)
    (letter,) = (await everything(kafka, f"{topics}connects-dead-letters")).letters
    assert (letter.key, letter.value) == (b"j-1", b"{")
    assert letter.headers == (
        ("trace", b"1"),
        ("trace", None),
        ("bad-\\xff", b"\xff"),
        ("x-original-topic", f"{topics}job-closed".encode()),
        ("x-original-partition", b"2"),
        ("x-original-offset", b"7"),
        ("x-original-timestamp", b"1000"),
        ("x-error-code", b"invalid-event"),
        ("x-error-detail", "no é".encode()),
        ("x-attempts", b"1"),
    )


async def test_letters_keep_their_order_and_new_ones_follow(
    kafka: dict[str, Any], topics: str, ledger: Ledger, running: Running
) -> None:
    for offset in range(150):  # more than are sent together
        await ledger.reject(offset=offset)
    async with running() as lane, reading(kafka, f"{topics}connects-dead-letters") as reader:
        await all_sent(ledger)
        await ledger.reject(offset=150)
        lane.wake()
        await reader.has_read(151, limit_seconds=4)  # sooner than the lane polls by itself
        assert [int(dict(record.headers)["x-original-offset"]) for record in reader.letters] == list(range(151))


async def test_an_empty_record_and_an_endless_one_become_letters(
    kafka: dict[str, Any], topics: str, ledger: Ledger, running: Running
) -> None:
    await ledger.reject(offset=0, key=None, value=None)
    await ledger.reject(offset=1, value=bytes(LETTER_BYTES))
    await ledger.reject(offset=2, value=bytes(LETTER_BYTES + 1_000_000))
    await ledger.reject(offset=3, key=bytes(LETTER_BYTES + 1_000_000), headers=(("kept", b"no"),))
    async with running():
        await all_sent(ledger)
    letters = {}
    for record in (await everything(kafka, f"{topics}connects-dead-letters")).letters:
        headers = dict(record.headers)
        letters[int(headers["x-original-offset"])] = (
            len(record.key or b""),
            len(record.value or b""),
            headers.get("x-truncated"),
            "kept" in headers,
        )
    assert letters == {
        0: (0, 0, None, False),
        1: (1, LETTER_BYTES, None, False),
        2: (1, 0, b"value", False),
        3: (0, 0, b"value,key,headers", False),
    }


async def test_a_topic_made_for_small_messages_gets_truncated_letters_and_is_named(
    kafka: dict[str, Any], prefix: str, ledger: Ledger, running: Running
) -> None:
    await create_dead_letter_topic(kafka, prefix, **{"max.message.bytes": "100000"})
    await ledger.reject(offset=0, value=bytes(1_000_000))
    await ledger.reject(offset=1, value=b"small")
    async with running() as lane:
        await until(lambda: "max.message.bytes" in (lane.last_error or ""))
        await all_sent(ledger)
    letters = (await everything(kafka, f"{prefix}connects-dead-letters")).letters
    assert [(record.value, dict(record.headers).get("x-truncated")) for record in letters] == [
        (None, b"value"),
        (b"small", None),
    ]


async def test_letters_wait_for_their_topic_while_wallets_go_on(
    kafka: dict[str, Any], prefix: str, ledger: Ledger, running: Running
) -> None:
    await ledger.reject()
    outputs = [spec.name for spec in output_topic_specs() if spec.name != "connects-dead-letters"]
    async with administering(kafka) as admin:
        for name in outputs:
            await create_topic(admin, NewTopic(prefix + name, 3, 1))
    relay = Relay(kafka, prefix, ledger.ledger_id, ledger)
    await relay.open(await ledger.take_over())
    relaying = asyncio.create_task(relay.run())
    async with running() as lane:
        await until(lambda: not lane.healthy)
        relay.offer(await ledger.commit(wallet_updated("f-0", 1)))
        await asyncio.wait_for(relay.drain(), 10)
        assert "connects topics create" in (lane.last_error or "")
        await create_dead_letter_topic(kafka, prefix)
        await all_sent(ledger)
        await until(lambda: lane.healthy)
    relaying.cancel()
    await asyncio.wait({relaying})


@pytest.mark.in_turn
@pytest.mark.own_servers
async def test_a_broker_that_was_killed_is_waited_for(
    stack: LocalStack, kafka: dict[str, Any], topics: str, ledger: Ledger, running: Running
) -> None:
    async with running() as lane:
        await ledger.reject(offset=0)
        await all_sent(ledger)
        await asyncio.to_thread(stack.kill_kafka)
        await ledger.reject(offset=1)
        lane.wake()
        await asyncio.to_thread(stack.start_kafka)
        await all_sent(ledger)
    letters = (await everything(kafka, f"{topics}connects-dead-letters")).letters
    assert {int(dict(record.headers)["x-original-offset"]) for record in letters} == {0, 1}


async def test_topics_are_created_once(kafka: dict[str, Any], prefix: str) -> None:
    outputs = tuple(prefix + spec.name for spec in output_topic_specs())
    inputs = tuple(prefix + spec.name for spec in input_topic_specs())
    first = await create_topics(kafka, prefix, partitions=2, replication=1, inputs=False)
    assert (sorted(first.created), first.existing) == (sorted(outputs), ())
    second = await create_topics(kafka, prefix, partitions=2, replication=1, inputs=True)
    assert (sorted(second.created), sorted(second.existing)) == (sorted(inputs), sorted(outputs))


async def test_a_broker_that_refuses_a_topic_is_quoted(kafka: dict[str, Any], prefix: str) -> None:
    with pytest.raises(OperatorNeeded, match=r"did not create topic .*replication"):
        await create_topics(kafka, prefix, partitions=1, replication=99, inputs=False)
