"""Events in, by any client; wallet-updated out, to the letter of the contract."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from schemas.outputs import WalletUpdated
from tests.kit.histories import History
from tests.kit.invariants import body_of, check_everything, headers_of
from tests.kit.produce import Sent, anywhere, by_key
from tests.kit.world import PARTITIONS, Events, World
from worker.kafka.output.partitioner import partition_of


@pytest.fixture
def send() -> Events:
    return Events()


async def test_a_job_closed_without_a_hire_returns_connects_as_the_contract_says(world: World, send: Events) -> None:
    send("freelancer-registered", freelancer_id="f-1")
    send("proposal-submitted", freelancer_id="f-1", job_id="j-1", proposal_id="p-1", connects=12, origin="proposal")
    closing = send("job-closed", event_id="e-9", job_id="j-1", client_id="c-1", closure="closed-by-client")
    closed_at = send.now
    await world.produce(send.messages, by_key(PARTITIONS))
    await world.worker()
    await world.settled()

    updates = [body_of(record) for record in world.reader.records]
    refund = updates[2]
    recorded_at = datetime.fromisoformat(refund.pop("recorded_at"))
    assert timedelta(0) <= datetime.now(UTC) - recorded_at < timedelta(minutes=1)
    lot = updates[0]["lots"][0]
    place = next(row for row in await world.decisions("topic = 'job-closed' AND kind = 'first'"))
    assert closing.value == place["payload"]
    assert refund == {
        "event_id": refund["event_id"],
        "freelancer_id": "f-1",
        "version": 3,
        "occurred_at": closed_at.isoformat().replace("+00:00", "Z"),
        "delta": 12,
        "debt_delta": 0,
        "balance_before": 28,
        "balance_after": 40,
        "overdrawn": False,
        "rule": "refund.job-closed-without-hire",
        "reason": "closed-without-hire",
        "policy_version": refund["policy_version"],
        "cause": {
            "topic": "job-closed",
            "incarnation": 0,
            "partition": place["partition"],
            "offset": place["offset"],
            "event_id": "e-9",
        },
        "subject": {"job_id": "j-1", "proposal_id": "p-1"},
        "lots": [{"lot_id": lot["lot_id"], "delta": 12, "expires_at": lot["expires_at"]}],
        "explanation": "12 Connects returned: the client closed job j-1 without hiring anyone.",
    }
    assert uuid.UUID(refund["event_id"]).version == 5
    assert [update["version"] for update in updates] == [1, 2, 3]
    assert [update["delta"] for update in updates] == [40, -12, 12]
    await check_everything(world)


async def test_every_message_has_cloudevents_headers_its_key_and_the_murmur2_partition(world: World) -> None:
    world.grace_seconds = 30
    history = History(seed=11, freelancers=20, jobs=30, events=400)
    await world.produce(history)
    await world.worker()
    await world.settled()

    assert len(world.reader.records) > 200, repr(history)
    for record in world.reader.records:
        update = WalletUpdated.model_validate_json(record.value)
        headers = headers_of(record)
        assert record.key == update.freelancer_id.encode()
        assert record.partition == partition_of(record.key, PARTITIONS)
        assert headers["ce_specversion"] == "1.0"
        assert headers["ce_id"] == update.event_id
        assert headers["ce_type"] == "connects.wallet-updated"
        assert headers["ce_source"].startswith("/connects-worker/")
        assert datetime.fromisoformat(headers["ce_time"]) == update.occurred_at
    assert len({body_of(record)["event_id"] for record in world.reader.records}) == len(world.reader.records)
    await check_everything(world)


def oddly_keyed(history: History) -> list[Sent]:
    keys: list[Any] = [None, b"", b"\xff\x00", "ключ".encode(), b"k" * 5_000]
    headers = [(), (("trace", None),), (("a", b"\xff\xfe"),) * 300, (("", b""),)]
    return [
        Sent(topic, value, keys[place % len(keys)], headers[place % len(headers)])
        for place, (topic, _, value, _) in enumerate(history)
    ]


async def test_only_the_body_counts_whatever_the_partitioner_keys_and_headers_are(world: World) -> None:
    """The same facts, spread at random with odd keys and headers, end in the balances they have when keyed as usual."""
    world.grace_seconds = 30
    history = History(seed=12, freelancers=15, jobs=20, events=300, duplicates=0.05)
    await world.produce(oddly_keyed(history), anywhere(PARTITIONS, seed=12))
    await world.worker()
    await world.settled()
    odd = {row["freelancer_id"]: row["balance"] for row in await world.rows("SELECT * FROM wallets")}
    await check_everything(world)
    assert odd == expected_balances(history), repr(history)


def expected_balances(history: History) -> dict[str, int]:
    from tests.kit.world import POLICY  # noqa: PLC0415
    from tests.model.driver import simulate  # noqa: PLC0415

    balances: dict[str, int] = {}
    for row in simulate(history, POLICY, until=datetime.now(UTC)):
        for change in row["changes"]:
            balances[change["freelancer_id"]] = change["balance_after"]
    return balances


async def test_events_produced_while_the_worker_runs_are_decided_as_they_come(world: World) -> None:
    send = Events(start=datetime.now(UTC) - timedelta(seconds=5))
    await world.worker()
    send("freelancer-registered", freelancer_id="f-1")
    await world.produce(send.messages)
    await world.settled()
    assert await world.balance("f-1") == 40

    spend = send(
        "proposal-submitted", freelancer_id="f-1", job_id="j-1", proposal_id="p-1", connects=50, origin="proposal"
    )
    await world.produce([spend])
    await world.settled()
    assert await world.balance("f-1") == -10
    assert body_of(world.reader.records[-1])["overdrawn"]

    await world.produce([send("job-closed", job_id="j-1", client_id="c-1", closure="removed-by-marketplace")])
    await world.reader.has_read(3)
    assert await world.balance("f-1") == 40
    await check_everything(world)
