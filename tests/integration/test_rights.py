"""A user whose rights cover some topics only, on a cluster that makes topics when somebody asks about them."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.admin import CreateAclsRequest

from schemas.catalogue import INPUT_TOPICS
from tests.kit.asking import Asking
from tests.kit.brokers import OddKafka
from tests.kit.http import ask, free_port
from tests.kit.ledger import Ledger
from tests.kit.produce import Sent, by_key, produce
from tests.kit.waiting import in_time, until, until_async
from tests.kit.worker_process import WorkerProcess
from worker.kafka.output.relay import Relay
from worker.kafka.topics import create_topics, output_topic_specs

pytestmark = pytest.mark.in_turn
TOPIC, TRANSACTIONAL_ID = 2, 5
LITERAL, PREFIXED = 3, 4
READ, WRITE, DESCRIBE, DESCRIBE_CONFIGS = 3, 4, 8, 10
ALLOW = 3


async def grant(odd: OddKafka, kind: int, name: str, *operations: int, pattern: int = LITERAL) -> None:
    client = AIOKafkaClient(**odd.kafka)
    await client.bootstrap()
    try:
        for operation in operations:
            request = CreateAclsRequest(kind, name, pattern, "User:limited", "*", operation, ALLOW)
            answer = await client.send(client.get_random_node(), request)
            assert [response[0] for response in answer.creation_responses] == [0], answer
    finally:
        await client.close()


def settings(odd: OddKafka, ledger_url: str, prefix: str) -> dict[str, str]:
    return {**odd.settings_of_limited(ledger_url, prefix), "CONNECTS_SETTLEMENT_GRACE": "2"}


async def test_topics_that_this_user_may_not_read_are_named_and_the_others_are_read(
    odd: OddKafka, ledger_url: str, prefix: str, tmp_path: Path
) -> None:
    """One topic is not visible, another is visible and not readable. With the rights, reading goes on by itself."""
    await create_topics(odd.kafka, prefix, partitions=1, replication=None, inputs=True)
    for topic in set(INPUT_TOPICS) - {"badge-earned", "hire-made"}:
        await grant(odd, TOPIC, prefix + topic, READ, DESCRIBE)
    await grant(odd, TOPIC, f"{prefix}hire-made", DESCRIBE)
    for spec in output_topic_specs():
        await grant(odd, TOPIC, prefix + spec.name, READ, WRITE, DESCRIBE)
    await grant(odd, TRANSACTIONAL_ID, prefix, WRITE, DESCRIBE, pattern=PREFIXED)
    given = settings(odd, ledger_url, prefix)
    connects = Asking(tmp_path, **given)
    environment = {**given, "CONNECTS_HTTP_PORT": str(port := free_port())}
    worker = await WorkerProcess.start("w1", environment, tmp_path / "w1.log", "worker", "run")
    try:
        at = (datetime.now(UTC) - timedelta(seconds=60)).isoformat()
        event = {"event_id": "e-1", "occurred_at": at, "freelancer_id": "f"}
        sent = [Sent("freelancer-registered", json.dumps(event).encode(), partition=0)]
        await produce(odd.kafka, prefix, sent, by_key(1))

        async def decided() -> bool:
            return (await connects("history f")).code == 0

        await until_async(decided)
        may_not = "cannot be read: this user has no right to it (READ and DESCRIBE on the topic)"
        expected = [f"badge-earned, partition 0 {may_not}", f"hire-made, partition 0 {may_not}"]

        async def both_are_named() -> bool:
            status, body = await ask(port, "/health/ready")
            problems = json.loads(body or "{}").get("problems", [])
            given = sorted(problem.partition(", since")[0] for problem in problems)
            return status == HTTPStatus.OK and given == expected

        await until_async(both_are_named)
        status = await connects("status --json")
        assert status.code == 1
        assert sorted(row["topic"] for row in status.json["unavailable_partitions"]) == ["badge-earned", "hire-made"]
        assert status.json["held_back_by"]["topic"] == "badge-earned"
        assert sorted(status.problems) == [
            f"{named}; settlements, expiries and cycle starts wait for it. Reading goes on by itself when it can."
            for named in expected
        ]
        assert "Kafka at" not in status.out
        await until(lambda: worker.said('"topics.not_seen"'))
        assert not worker.said('"topics.wrong"')
        assert worker.tail(1_000).count("topics.not_seen") == 1, "it is a line in the log, and no error"
        for topic in ("badge-earned", "hire-made"):
            await grant(odd, TOPIC, prefix + topic, READ, DESCRIBE)

        async def all_is_well() -> bool:
            return json.loads((await ask(port, "/health/ready"))[1])["problems"] == []

        await until_async(all_is_well)
        await until_async(connects.is_well)
    finally:
        await worker.kill()


async def test_a_marker_that_this_user_may_not_read_is_named(odd: OddKafka, ledger_url: str, prefix: str) -> None:
    await create_topics(odd.kafka, prefix, partitions=1, replication=None, inputs=False)
    await grant(odd, TRANSACTIONAL_ID, prefix, WRITE, DESCRIBE, pattern=PREFIXED)
    ledger = await Ledger.connect(ledger_url)
    relay = Relay(odd.limited, prefix, ledger.ledger_id, ledger)
    opening = asyncio.create_task(relay.open(await ledger.take_over()))
    words = f"the topic {prefix}connects-relay-marker cannot be read: this user has no right to it"
    await until(lambda: words in (relay.last_error or ""))
    for spec in output_topic_specs():
        await grant(odd, TOPIC, prefix + spec.name, READ, WRITE, DESCRIBE)
    await in_time(opening)
    await relay.close()
    await ledger.close()


async def test_nobody_makes_a_topic_by_asking_about_it(
    odd: OddKafka, ledger_url: str, prefix: str, tmp_path: Path
) -> None:
    """The marker's would be made with the cluster's policy, and what it holds deleted some day."""
    given = {
        "DATABASE_URL": ledger_url,
        "KAFKA_BOOTSTRAP_SERVERS": odd.kafka["bootstrap_servers"],
        "CONNECTS_TOPIC_PREFIX": prefix,
    }
    connects = Asking(tmp_path, **given)
    environment = {**given, "CONNECTS_HTTP_PORT": str(port := free_port())}
    worker = await WorkerProcess.start("w1", environment, tmp_path / "w1.log", "worker", "run")
    try:

        async def waits_for_topics() -> bool:
            return "does not exist. Run `connects topics create`" in (await ask(port, "/health/ready"))[1]

        await until_async(waits_for_topics)
        for command in ("status", "relay show"):
            assert (await connects(command)).code == 1
        assert await topics_of(odd, prefix) == set()
        assert (await connects("topics create --partitions 2")).code == 0
        await until_async(connects.is_well)
        assert await topics_of(odd, prefix) == {prefix + spec.name for spec in output_topic_specs()}
    finally:
        await worker.kill()


async def topics_of(odd: OddKafka, prefix: str) -> set[str]:
    admin = AIOKafkaAdminClient(**odd.kafka)
    await admin.start()
    try:
        return {topic for topic in await admin.list_topics() if topic.startswith(prefix)}
    finally:
        await admin.close()
