"""`connects verify --against topics`: what Kafka has and what the ledger decided and published are the same."""

from collections.abc import Sequence
from typing import Any

import asyncpg
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from tests.kit.histories import History
from tests.kit.input_topics import input_topics
from tests.kit.invariants import check_by_verify
from tests.kit.produce import Sent
from tests.kit.world import PARTITIONS, Events, World
from worker.kafka.output.flush import source_of

PURCHASES = "connects-purchased"


async def against_topics(world: World) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What was compared, and the findings."""
    answer = await world.asking()("verify --against topics --json")
    assert answer.code == (1 if answer.json["findings"] else 0)
    return answer.json["against"], answer.json["findings"]


async def altered(world: World, *statements: str) -> None:
    """Run statements behind the triggers' back."""
    connection = await asyncpg.connect(world.database_url)
    await connection.execute("SET session_replication_role = replica")
    for statement in statements:
        await connection.execute(statement)
    await connection.close()


async def test_after_a_history_with_poison_and_duplicates_ledger_and_topics_agree(world: World) -> None:
    await world.produce(History(4, freelancers=15, jobs=20, events=300, poison=0.05))
    await world.worker()
    await world.settled()
    compared = await check_by_verify(world)
    assert compared["records"] == sum(world.produced.values())
    answer = await world.asking()("verify --against topics")
    assert answer.out.splitlines() == [
        "Ledger and topics agree.",
        f"Compared: {compared['records']} records of input topics, {compared['messages']} messages of wallet-updated.",
    ]


@pytest.fixture
async def decided(world: World) -> World:
    """Three purchases in one partition, two of them of one wallet; the worker has ended."""
    send = Events()
    for number, who in enumerate(("f-1", "f-2", "f-1")):
        event = send(PURCHASES, freelancer_id=who, purchase_id=f"b-{number}", connects=5)
        await world.produce([Sent(PURCHASES, event.value, event.key, (), 0)])
    worker = await world.worker()
    await world.settled()
    worker.terminate()
    assert await worker.ended() == 0
    return world


ALTERED: dict[str, tuple[str, str, str]] = {
    "UPDATE decisions SET payload = payload || ' '::bytea WHERE topic = 'connects-purchased' AND \"offset\" = 1": (
        *("inconsistent", PURCHASES),
        "partition 0, offset 1: the record has other content than the one that was decided",
    ),
    "DELETE FROM decisions WHERE topic = 'connects-purchased' AND \"offset\" = 0": (
        *("undecided", PURCHASES),
        "partition 0, offset 0: the record is below the position and has no decision",
    ),
    "UPDATE changes SET delta = delta + 1 WHERE freelancer_id = 'f-1' AND version = 1": (
        *("inconsistent", "wallet-updated"),
        "f-1, version 1: delta, balance_before of the message",
    ),
    "UPDATE changes SET explanation = 'Other words.' WHERE freelancer_id = 'f-2'": (
        *("inconsistent", "wallet-updated"),
        "f-2, version 1: explanation of the message",
    ),
    "DELETE FROM changes WHERE freelancer_id = 'f-2'": (
        *("not-in-topic", "changes"),
        "f-2, version 1 was published, and the ledger has no such change",
    ),
    "UPDATE changes SET version = 3 WHERE freelancer_id = 'f-1' AND version = 2": (
        *("not-published", "wallet-updated"),
        "f-1, version 3: the change was published, and is not in the topic",
    ),
}
"""What somebody alters; cause, table and the beginning of what is found."""


async def test_what_differs_is_named_wherever_it_is(decided: World) -> None:
    compared, findings = await against_topics(decided)
    assert (findings, compared["records"], compared["messages"]) == ([], 3, 3)
    tables = ("decisions", "changes", "positions")
    await altered(decided, "CREATE SCHEMA kept", *(f"CREATE TABLE kept.{table} AS TABLE {table}" for table in tables))
    for statement, (cause, table, words) in ALTERED.items():
        await altered(decided, statement)
        _, findings = await against_topics(decided)
        named = [finding for finding in findings if (finding["cause"], finding["table"]) == (cause, table)]
        assert any(finding["detail"].startswith(words) for finding in named), (statement, findings)
        for name in tables:
            await altered(decided, f"DELETE FROM {name}; INSERT INTO {name} SELECT * FROM kept.{name}")  # noqa: S608
    _, findings = await against_topics(decided)
    assert findings == []


@pytest.mark.parametrize("value", [None, b"", b"no JSON", b"[]", b"{}", b'{"freelancer_id": "f-1", "version": 1}'])
async def test_a_message_that_cannot_be_read_is_one_finding(decided: World, value: bytes | None) -> None:
    """Somebody wrote it in the ledger's name."""
    ledger_id = await decided.value("SELECT ledger_id FROM leader")
    await publish(decided, "wallet-updated", value, headers=[("ce_source", source_of(ledger_id).encode())])
    compared, findings = await against_topics(decided)
    assert compared["messages"] == 3
    assert {(one["cause"], one["table"]) for one in findings} == {("inconsistent", "wallet-updated")}
    assert any("cannot be read" in one["detail"] for one in findings)


async def test_a_change_that_cannot_be_read_costs_its_own_message(decided: World) -> None:
    await altered(decided, "UPDATE changes SET movements = '{}' WHERE freelancer_id = 'f-2'")
    compared, (finding,) = await against_topics(decided)
    assert compared["messages"] == 2
    assert finding["detail"].startswith("f-2, version 1: the message, or its change, cannot be read: ")
    answer = await decided.asking()("explain --freelancer f-2")
    assert (answer.code, answer.out, answer.err.count("\n")) == (1, "", 1)
    assert "cannot be read" in answer.err
    assert "`connects verify` names it" in answer.err


SKIPPED = """
    INSERT INTO commands (id, name, arguments, actor, why)
    VALUES ('00000000-0000-0000-0000-000000000001', 'positions-set', '{}', 'a', 'b');
    INSERT INTO decisions (seq, batch_no, kind, event_id, outcome, reason, facts, recorded_at)
    SELECT 1000, 1000, 'command', 'command:00000000-0000-0000-0000-000000000001', 'applied', 'position-set',
        '{"topic": "connects-purchased", "partition": 0, "incarnation": 0, "offset": 4, "before": 3}', recorded_at
    FROM batches LIMIT 1"""
"""An operator had the record of offset 3 skipped."""
NOT_PUBLISHED = """
    INSERT INTO batches (batch_no, epoch, last_seq, chain_head, recorded_at, outbox_seq)
    SELECT 1000, epoch, 1000, chain_head, recorded_at, 1000 FROM batches LIMIT 1;
    INSERT INTO changes SELECT freelancer_id, 3, 1000, 0, occurred_at, recorded_at, rule, reason, policy_version,
        delta, debt_delta, balance_after, explanation, NULL, movements FROM changes
    WHERE freelancer_id = 'f-1' AND version = 2"""
"""A change whose outbox row the relay has not sent."""


async def test_what_cannot_be_compared_is_counted_by_its_name(decided: World) -> None:
    """What an operator had skipped, what retention removed, what is in the outbox, and what is another ledger's."""
    event = Events()(PURCHASES, freelancer_id="f-9", purchase_id="b-9", connects=5)
    await decided.produce([Sent(PURCHASES, event.value, event.key, (), 0)])
    await altered(decided, "UPDATE positions SET next_offset = 4 WHERE topic = 'connects-purchased' AND partition = 0")
    _, (finding,) = await against_topics(decided)
    assert (finding["cause"], finding["detail"]) == (
        "undecided",
        "partition 0, offset 3: the record is below the position and has no decision",
    )
    await altered(decided, SKIPPED, NOT_PUBLISHED)
    await publish(decided, "wallet-updated", b"{}")
    admin = AIOKafkaAdminClient(**decided.kafka)
    await admin.start()
    await admin.delete_records({KafkaPartition(f"{decided.prefix}{PURCHASES}", 0): RecordsToDelete(1)})
    await admin.close()
    compared, findings = await against_topics(decided)
    assert findings == []
    assert (compared["skipped"], compared["below_retention"], compared["of_other_ledgers"]) == (1, 1, 1)
    assert (compared["records"], compared["messages"], compared["in_the_outbox"]) == (2, 3, 1)


@pytest.mark.in_turn
async def test_what_an_open_transaction_hides_and_what_was_aborted_are_no_findings(world: World) -> None:
    send = Events()
    async with input_topics(world.kafka, world.prefix) as topics:
        for commit in (False, True):
            async with topics.transaction(commit=commit) as within:
                await within.send(PURCHASES, purchase(send, f"f-{commit}"))
        await topics.send(PURCHASES, purchase(send, "f-2"))
        await world.worker()
        await world.comes_true(lambda: has_published(world, 2))
        async with topics.transaction(commit=False) as within:
            for partition in range(PARTITIONS):
                await within.send("wallet-updated", b"{}", partition=partition)
            await topics.send(PURCHASES, purchase(send, "f-3"))
            await world.comes_true(lambda: has_published(world, 3))
            compared, findings = await against_topics(world)
            assert (findings, compared["hidden"], compared["messages"]) == ([], 1, 2)
    await world.settled()
    compared = await check_by_verify(world)
    assert (compared["hidden"], compared["records"]) == (0, 3)


def purchase(send: Events, who: str) -> bytes:
    return send(PURCHASES, freelancer_id=who, purchase_id=f"b-{who}", connects=5).value or b""


async def has_published(world: World, changes: int) -> bool:
    """Whether that many changes were made, and the relay knows all of them as published."""
    made = await world.value("SELECT count(*) FROM changes")
    return bool(made == changes and not await world.value("SELECT count(*) FROM outbox"))


async def test_a_topic_that_is_not_there_and_a_wrong_use_are_one_line(decided: World) -> None:
    connects = decided.asking()
    answer = await connects("verify --against moon")
    assert (answer.code, "--against" in answer.err) == (2, True)
    answer = await connects("verify --against topics --from 3")
    assert answer.code == 2
    assert "checks nothing else" in answer.err
    answer = await connects("verify --against topics", CONNECTS_TOPIC_PREFIX="nowhere-")
    assert answer.code == 0
    assert f"{PURCHASES}, partition 0: the topic or partition is not there" in answer.out
    assert "wallet-updated: the topic nowhere-wallet-updated does not exist" in answer.out
    answer = await connects("verify --against topics", KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1")
    assert (answer.code != 0, answer.out, answer.err.count("\n")) == (True, "", 1)


async def publish(
    world: World, topic: str, value: bytes | None, headers: Sequence[tuple[str, bytes]] | None = None
) -> None:
    producer = AIOKafkaProducer(**world.kafka)
    await producer.start()
    try:
        await producer.send_and_wait(f"{world.prefix}{topic}", value, key=b"k", headers=headers)
    finally:
        await producer.stop()
