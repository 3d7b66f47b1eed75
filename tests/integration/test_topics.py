"""The worker's own topics: made with what they need, checked before anything is written, repaired by a command."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from tests.kit.administering import create_topic, delete_topics
from tests.kit.asking import Asking
from tests.kit.http import ask, free_port
from tests.kit.ledger import Ledger, wallet_updated
from tests.kit.relays import published
from tests.kit.waiting import in_time, until, until_async
from tests.kit.worker_process import WorkerProcess
from worker.errors import OperatorNeeded
from worker.kafka.broker import probing
from worker.kafka.output import relay_opening
from worker.kafka.output.marker import MARKER_TOPIC, Figures, read_marker
from worker.kafka.output.messages import Message
from worker.kafka.output.relay import Relay
from worker.kafka.topics import OUTPUT_BYTES, create_topics, output_topic_specs

FATAL = [
    (MARKER_TOPIC, "delete", "compact"),
    (MARKER_TOPIC, "compact,delete", "compact"),
    ("wallet-updated", "compact", "delete"),
    ("connects-dead-letters", "compact,delete", "delete"),
]


class Admin:
    """What an operator does to topics by hand."""

    def __init__(self, client: AIOKafkaAdminClient, kafka: dict[str, Any], prefix: str) -> None:
        self._client, self._kafka, self._prefix = client, kafka, prefix

    async def create(self, name: str, partitions: int = 1, **settings: str) -> None:
        topic = NewTopic(
            self._prefix + name, partitions, 1, topic_configs={n.replace("_", "."): v for n, v in settings.items()}
        )
        await create_topic(self._client, topic)

    async def recreate(self, name: str, partitions: int) -> None:
        await delete_topics(self._client, self._prefix + name)
        await self.create(name, partitions)

    async def settings(self, name: str) -> dict[str, str]:
        resource = ConfigResource(ConfigResourceType.TOPIC, self._prefix + name)
        found: dict[str, str] = {}

        async def known() -> bool:  # a broker may not have heard of a topic yet that was made a moment ago
            (answer,) = await self._client.describe_configs([resource])
            found.update({entry[0]: entry[1] for entry in answer.resources[0][4]})
            return bool(found)

        await until_async(known)
        return found

    async def partitions(self, name: str) -> int:
        found = 0

        async def known() -> bool:
            nonlocal found
            (look,) = await self._client.describe_topics([self._prefix + name])
            found = len(look["partitions"])
            return found > 0

        await until_async(known)
        return found

    async def delete_all_records(self, name: str) -> None:
        """What retention does to a topic that is not compacted, and so this one is compacted no longer."""
        async with probing(self._kafka) as probe:
            assert await probe.set_settings({self._prefix + name: {"cleanup.policy": "delete"}}) == {}

        async def is_known() -> bool:  # a broker refuses until it has heard of the new settings
            return (await self.settings(name))["cleanup.policy"] == "delete"

        await until_async(is_known)
        places = [TopicPartition(self._prefix + name, number) for number in range(await self.partitions(name))]
        await self._client.delete_records({place: RecordsToDelete(-1) for place in places})


@pytest.fixture
async def admin(kafka: dict[str, Any], prefix: str) -> AsyncIterator[Admin]:
    client = AIOKafkaAdminClient(**kafka)
    await client.start()
    yield Admin(client, kafka, prefix)
    await client.close()


@pytest.fixture
def settings(kafka: dict[str, Any], prefix: str, database_url: str) -> dict[str, str]:
    return {
        "DATABASE_URL": database_url,
        "KAFKA_BOOTSTRAP_SERVERS": kafka["bootstrap_servers"],
        "CONNECTS_TOPIC_PREFIX": prefix,
    }


@pytest.fixture
def connects(settings: dict[str, str], tmp_path: Path) -> Asking:
    return Asking(tmp_path, **settings)


async def test_topics_are_made_with_what_they_need(kafka: dict[str, Any], prefix: str, admin: Admin) -> None:
    """With the cluster's number of copies, as nobody says another one."""
    await create_topics(kafka, prefix, partitions=2, replication=None, inputs=False)
    assert (await admin.settings(MARKER_TOPIC))["cleanup.policy"] == "compact"
    for spec in output_topic_specs():
        found = await admin.settings(spec.name)
        assert spec.settings.items() <= found.items()
    assert (await admin.settings("wallet-updated"))["max.message.bytes"] == str(OUTPUT_BYTES)


@pytest.mark.parametrize(("name", "policy", "right"), FATAL)
async def test_a_policy_that_loses_messages_is_refused_before_anything_is_written(
    *,
    admin: Admin,
    connects: Asking,
    ledger: Ledger,
    prefix: str,
    name: str,
    policy: str,
    right: str,
) -> None:
    await admin.create(name, cleanup_policy=policy, retention_ms="604800000", max_message_bytes=str(OUTPUT_BYTES))
    words = f"{prefix}{name} has cleanup.policy={policy} and must have cleanup.policy={right}"
    how = "`connects topics create --fix` repairs it"
    made = await connects("topics create --partitions 1")
    assert (made.code, made.err.count("\n")) == (1, 1)
    assert words in made.err
    assert how in made.err
    refused = await connects("run", CONNECTS_HTTP_PORT="0")
    assert (refused.code, refused.out) == (2, "")
    (line,) = refused.err.splitlines()
    assert line.startswith(f"connects: {words}")
    assert line.endswith(how)
    epoch = await ledger.connection.fetchval("SELECT epoch FROM leader")
    assert epoch == 0, "the ledger was not taken"
    status = await connects("status")
    assert status.code == 1
    assert f"! {words}" in status.text
    repaired = await connects("topics create --partitions 1 --fix")
    assert repaired.code == 0, repaired.err
    assert f"repaired {prefix}{name}: cleanup.policy={right}" in repaired.out
    found = await admin.settings(name)
    assert (found["cleanup.policy"], found["retention.ms"]) == (right, "604800000"), "others stay as they are"
    assert (await connects("status")).code == 0


async def test_a_topic_for_small_messages_is_reported_and_the_worker_works(
    admin: Admin, connects: Asking, settings: dict[str, str], prefix: str, tmp_path: Path
) -> None:
    await admin.create("wallet-updated")
    assert (await connects("topics create --partitions 1")).code == 1
    environment = {**settings, "CONNECTS_HTTP_PORT": str(port := free_port())}
    worker = await WorkerProcess.start("w1", environment, tmp_path / "w1.log", "worker", "run")
    words = f"{prefix}wallet-updated has max.message.bytes=1048588 and should have {OUTPUT_BYTES}"
    try:

        async def ready_though() -> bool:
            status, body = await ask(port, "/health/ready")
            problems = json.loads(body or "{}").get("problems", [])
            return status == HTTPStatus.OK and len(problems) == 1 and problems[0].startswith(words)

        await until_async(ready_though)
        assert worker.said('"topics.wrong"')
        assert f"! {words}" in (await connects("status")).text
    finally:
        await worker.kill()


def large(freelancer: str, version: int, size: int) -> Message:
    """A change with very many lots; it can hardly be compressed."""
    message = wallet_updated(freelancer, version)
    lots = secrets.token_hex(size // 2)
    value = json.dumps({"freelancer_id": freelancer, "version": version, "explanation": lots}).encode()
    return Message(message.topic, message.key, value, message.ce_id, message.ce_time)


async def test_a_change_of_twenty_thousand_lots_holds_nobody_up(
    kafka: dict[str, Any], topics: str, ledger: Ledger
) -> None:
    relay = Relay(kafka, topics, ledger.ledger_id, ledger)
    await relay.open(await ledger.take_over())
    running = asyncio.create_task(relay.run())
    for version, size in enumerate((100, 2_000_000, 8_000_000, 100), 1):
        relay.offer(await ledger.commit(large("f-0", version, size), wallet_updated("f-1", version)))
    await in_time(relay.drain())
    running.cancel()
    await asyncio.wait({running})
    assert await published(kafka, topics) == {"f-0": [1, 2, 3, 4], "f-1": [1, 2, 3, 4]}


async def test_a_message_that_a_topic_does_not_take_is_reported_and_goes_out_when_it_is_repaired(
    *, kafka: dict[str, Any], prefix: str, ledger: Ledger, admin: Admin, connects: Asking
) -> None:
    await admin.create("wallet-updated", 3)
    await create_topics(kafka, prefix, partitions=3, replication=1, inputs=False)
    relay = Relay(kafka, prefix, ledger.ledger_id, ledger)
    await relay.open(await ledger.take_over())
    running = asyncio.create_task(relay.run())
    relay.offer(await ledger.commit(large("f-0", 1, 4_000_000)))
    words = f"{prefix}wallet-updated, partition"
    await until(lambda: words in (relay.last_error or "") and "max.message.bytes" in (relay.last_error or ""))
    assert "`connects topics create --fix` raises it" in (relay.last_error or "")
    assert (await connects("topics create --fix")).code == 0
    await in_time(relay.drain())
    running.cancel()
    await asyncio.wait({running})
    assert await published(kafka, prefix) == {"f-0": [1]}


async def test_an_output_recreated_with_fewer_partitions_is_refused_and_repaired(
    *, kafka: dict[str, Any], topics: str, ledger: Ledger, admin: Admin, connects: Asking
) -> None:
    relay = Relay(kafka, topics, ledger.ledger_id, ledger)
    await relay.open(await ledger.take_over())
    running = asyncio.create_task(relay.run())
    relay.offer(await ledger.commit(wallet_updated("f-0", 1)))
    await in_time(relay.drain())
    running.cancel()
    await asyncio.wait({running})
    await admin.recreate("wallet-updated", 1)
    again = Relay(kafka, topics, ledger.ledger_id, ledger)
    with pytest.raises(OperatorNeeded, match=r"had 3 partitions and has 1.*topics create --fix"):
        await again.open(await ledger.take_over())
    words = f"! {topics}wallet-updated has 1 partitions and had 3: it was recreated with fewer."
    assert words in (await connects("status")).text
    assert (await connects("topics create --fix")).code == 0

    async def has_three() -> bool:
        return await admin.partitions("wallet-updated") == 3

    await until_async(has_three)
    assert words not in (await connects("status")).text
    await again.open(await ledger.take_over())
    await again.close()


async def publish(kafka: dict[str, Any], topics: str, ledger: Ledger, versions: range) -> None:
    relay = Relay(kafka, topics, ledger.ledger_id, ledger)
    await relay.open(await ledger.take_over())
    running = asyncio.create_task(relay.run())
    for version in versions:
        relay.offer(await ledger.commit(*(wallet_updated(f"f-{n}", version) for n in range(5))))
    await in_time(relay.drain())
    running.cancel()
    await asyncio.wait({running})


@pytest.mark.parametrize("left", [0, 2])
async def test_a_lost_marker_is_found_again_in_what_is_published(
    *, kafka: dict[str, Any], topics: str, ledger: Ledger, admin: Admin, connects: Asking, left: int
) -> None:
    """Some rows were published and not dropped yet, some committed and never published."""
    await publish(kafka, topics, ledger, range(1, 5))
    await ledger.drop_through(2)
    for version in range(5, 5 + left):
        await ledger.commit(*(wallet_updated(f"f-{n}", version) for n in range(5)))
    await admin.delete_all_records(MARKER_TOPIC)
    relay = Relay(kafka, topics, ledger.ledger_id, ledger)
    with pytest.raises(OperatorNeeded) as refused:
        await relay.open(await ledger.take_over())
    assert f"If {topics}{MARKER_TOPIC} lost the marker (it is not compacted" in str(refused.value)
    assert "run `connects topics create --fix`" in str(refused.value)
    repaired = await connects("topics create --fix")
    assert repaired.code == 0, repaired.err
    assert f"the marker: rows up to 4 are published, {left} are not yet" in repaired.out
    again = await connects("topics create --fix")
    assert (again.code, "marker" in again.out.replace(MARKER_TOPIC, "")) == (0, False), "there is one now"
    ledger.epoch = await ledger.connection.fetchval("SELECT epoch FROM leader")
    await publish(kafka, topics, ledger, range(5 + left, 6 + left))
    assert await published(kafka, topics) == {f"f-{n}": list(range(1, 6 + left)) for n in range(5)}


async def test_a_marker_is_not_made_up_for_a_ledger_that_is_an_older_copy(
    *, kafka: dict[str, Any], topics: str, ledger: Ledger, admin: Admin, connects: Asking
) -> None:
    await publish(kafka, topics, ledger, range(1, 5))
    await ledger.drop_through(3)
    await ledger.execute("DELETE FROM outbox WHERE outbox_seq = 4")
    await ledger.execute("DELETE FROM batches WHERE outbox_seq = 4")
    await admin.delete_all_records(MARKER_TOPIC)
    refused = await connects("topics create --fix")
    assert refused.code == 1
    assert "which this ledger does not know: it is an older copy" in refused.err
    assert "Restore the newest database" in refused.err
    assert await read_marker(kafka, topics + MARKER_TOPIC, ledger.ledger_id) is None


async def test_the_marker_is_written_again_when_nothing_is_published_for_long(
    kafka: dict[str, Any], topics: str, ledger: Ledger, admin: Admin
) -> None:
    relay = Relay(kafka, topics, ledger.ledger_id, ledger, marker_again_seconds=0.5)
    epoch = await ledger.take_over()
    await relay.open(epoch)
    running = asyncio.create_task(relay.run())
    relay.offer(await ledger.commit(wallet_updated("f-0", 1)))
    await in_time(relay.drain())
    await ledger.drop_through(1)
    await admin.delete_all_records(MARKER_TOPIC)

    async def is_back() -> bool:
        marker = await read_marker(kafka, topics + MARKER_TOPIC, ledger.ledger_id)
        return marker is not None and (marker.seq, marker.epoch) == (1, epoch)

    await until_async(is_back)
    relay.offer(await ledger.commit(wallet_updated("f-0", 2)))
    await in_time(relay.drain())
    running.cancel()
    await asyncio.wait({running})
    await publish(kafka, topics, ledger, range(3, 4))
    assert (await published(kafka, topics))["f-0"] == [1, 2, 3]


@pytest.mark.parametrize("point", ["inside-kafka-transaction", "after-kafka-commit"])
async def test_a_leader_that_finds_its_marker_lost_goes_on_from_what_it_knows(
    *, kafka: dict[str, Any], topics: str, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    """Also where its last commit was done and the answer lost: the outputs show it."""
    compare = relay_opening.compare
    fails, lost = [False], [False]

    def reached(here: str) -> None:
        if here == point and fails[0]:
            fails[0], lost[0] = False, True
            raise ConnectionResetError(f"a fault at {here}")

    async def without_marker(*arguments: Any) -> Figures:  # noqa: ANN401
        figures = await compare(*arguments)
        return msgspec.structs.replace(figures, marker=None, ledger_batch_uid=None) if lost[0] else figures

    monkeypatch.setattr(relay_opening, "compare", without_marker)
    relay = Relay(kafka, topics, ledger.ledger_id, ledger, reached=reached)
    await relay.open(await ledger.take_over())
    running = asyncio.create_task(relay.run())
    for version in (1, 2):
        relay.offer(await ledger.commit(wallet_updated("f-0", version)))
        await in_time(relay.drain())
    await ledger.drop_through(1)
    fails[0] = True
    relay.offer(await ledger.commit(wallet_updated("f-0", 3)))
    await in_time(relay.drain())
    assert lost[0]
    lost[0] = False
    relay.offer(await ledger.commit(wallet_updated("f-0", 4)))
    await in_time(relay.drain())
    running.cancel()
    await asyncio.wait({running})
    assert await published(kafka, topics) == {"f-0": [1, 2, 3, 4]}
    marker = await read_marker(kafka, topics + MARKER_TOPIC, ledger.ledger_id)
    assert marker is not None
    assert marker.seq == 4
