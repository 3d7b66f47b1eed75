"""Topics recreated or cut: their partitions stop and say what repairs them, the others go on, the clock is held."""

import json
from collections.abc import Sequence

from tests.kit.invariants import check_by_verify, check_log, check_published
from tests.kit.produce import Sent
from tests.kit.recreating import make_anew
from tests.kit.waiting import until
from tests.kit.world import Events, World

TOPIC = "connects-purchased"


def purchases(send: Events, freelancer_id: str, count: int, first: int = 0) -> list[Sent]:
    return [
        send(TOPIC, freelancer_id=freelancer_id, purchase_id=f"b-{freelancer_id}-{first + number}", connects=1)
        for number in range(count)
    ]


def in_partition(messages: Sequence[Sent], partition: int) -> list[Sent]:
    return [Sent(message.topic, message.value, message.key, (), partition) for message in messages]


async def test_a_topic_recreated_stops_until_an_operator_says_that_it_is_another_one(world: World) -> None:
    """F9, refilled beyond the stored position: nothing of it is taken for what was read before."""
    send = Events()
    await world.produce(in_partition(purchases(send, "f-1", 5), 0))
    await world.produce([send("freelancer-registered", freelancer_id="f-2")])
    first = await world.worker()
    await world.settled()
    first.terminate()
    assert await first.ended() == 0
    held_at = send.now

    await make_anew(world, TOPIC)
    send.now = held_at
    await world.produce(in_partition(purchases(send, "f-3", 8, first=100), 0))
    await world.produce([send("badge-earned", freelancer_id="f-2", badge="rising-talent")])
    await world.produce(
        [
            send(
                "proposal-submitted",
                freelancer_id="f-2",
                job_id="j-1",
                proposal_id="p-1",
                connects=10,
                origin="proposal",
            ),
            send("job-closed", job_id="j-1", client_id="c-1", closure="closed-by-client"),
        ]
    )
    second = await world.worker()

    async def others_went_on() -> bool:
        return await world.balance("f-2") == 60 and await world.value("SELECT count(*) FROM closures") == 1

    await world.comes_true(others_went_on)
    await until(lambda: second.said("positions set --recreated --topic connects-purchased --partition 0"))
    assert await world.balance("f-3") is None, "nothing of the new topic was decided"
    (closing,) = await world.decisions("topic = 'job-closed'")
    assert closing["reason"] == "settlement-pending"
    assert await world.value("SELECT count(*) FROM due") == 1, "the clock is held: the refund waits"
    business_time = await world.value("SELECT business_time FROM batches ORDER BY batch_no DESC LIMIT 1")
    stopped_at = await world.value("SELECT running_max FROM positions WHERE topic = $1 AND partition = 0", TOPIC)
    assert business_time is not None
    assert stopped_at <= held_at

    answer = await world.command("positions-set", {"topic": TOPIC, "partition": 0, "recreated": True})
    assert (answer["outcome"], answer["reason"], answer["incarnation"]) == ("applied", "position-set", 1)
    await world.settled()
    assert await world.balance("f-3") == 8
    assert await world.balance("f-2") == 70, "the clock goes on: the refund was made"
    rows = await world.decisions("topic = $1 AND incarnation = 1", TOPIC)
    assert [row["offset"] for row in rows] == list(range(8))
    assert {json.loads(row["payload"])["freelancer_id"] for row in rows} == {"f-3"}
    assert await world.value("SELECT sum(remaining) FROM lots WHERE freelancer_id = 'f-1'") == 5
    await check_published(world)
    await check_log(world)
    compared = await check_by_verify(world)
    assert (compared["earlier_incarnations"], compared["below_retention"]) == (5, 0)


async def test_a_position_set_to_where_it_is_changes_nothing(world: World) -> None:
    send = Events()
    await world.produce(in_partition(purchases(send, "f-1", 6), 1))
    await world.worker()
    await world.settled()
    answer = await world.command("positions-set", {"topic": TOPIC, "partition": 1, "offset": -1})
    assert (answer["outcome"], answer["reason"]) == ("declined", "wrong-arguments")

    answer = await world.command("positions-set", {"topic": TOPIC, "partition": 1, "offset": 6})
    assert (answer["outcome"], answer["before"]) == ("applied", 6)
    await world.produce(in_partition(purchases(send, "f-1", 2, first=50), 1))
    await world.settled()
    assert await world.balance("f-1") == 8
    await check_published(world)
    await check_log(world)


async def test_records_read_again_after_a_position_was_set_back_write_nothing(world: World) -> None:
    send = Events()
    await world.worker()
    await world.produce(in_partition(purchases(send, "f-1", 6), 1))
    await world.settled()
    decided = await world.decisions("kind = 'first'")
    await world.command("positions-set", {"topic": TOPIC, "partition": 1, "offset": 2})
    await world.produce(in_partition(purchases(send, "f-1", 3, first=50), 1))
    await world.settled()

    rows = await world.decisions("kind = 'first'")
    assert rows[:6] == decided
    assert [row["offset"] for row in rows] == list(range(9))
    assert {row["outcome"] for row in rows} == {"applied"}
    assert await world.balance("f-1") == 9
    await check_published(world)
    await check_log(world)


async def test_a_position_set_ahead_leaves_records_out(world: World) -> None:
    """An operator skips records that must not be decided."""
    send = Events()
    await world.worker()
    answer = await world.command("positions-set", {"topic": TOPIC, "partition": 2, "offset": 2})
    assert answer["outcome"] == "applied"
    await world.produce(in_partition(purchases(send, "f-1", 5), 2))
    await world.settled()
    assert await world.balance("f-1") == 3
    await check_published(world)
