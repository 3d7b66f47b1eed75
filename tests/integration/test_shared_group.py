"""Somebody else reads in the workers' consumer group: tools that show lag are wrong then, and the worker says so."""

from http import HTTPStatus

from aiokafka import AIOKafkaConsumer

from tests.kit.http import ask, free_port
from tests.kit.produce import Sent
from tests.kit.world import World

EVENT = b'{"event_id": "e-1", "occurred_at": "2026-02-01T12:00:00Z", "freelancer_id": "f-1"}'


async def test_another_member_of_the_group_is_named_and_hinders_nothing(world: World) -> None:
    group = f"{world.prefix}worker"
    connects = world.asking(KAFKA_GROUP_ID=group)
    worker = await world.connects_run(port := free_port())
    member = AIOKafkaConsumer(f"{world.prefix}freelancer-registered", group_id=group, **world.kafka)
    await member.start()

    async def readiness() -> tuple[int, bool]:
        status, body = await ask(port, "/health/ready")
        return status, f"consumer group {group} has another member" in body

    async def is_named() -> bool:
        return await readiness() == (HTTPStatus.OK, True)

    try:
        await world.produce([Sent("freelancer-registered", EVENT)])
        await world.comes_true(is_named)
        await world.settled()
        assert len(await world.decisions("reason = 'registered'")) == 1, "deciding needs no group"
        answer = await connects("status --json")
        assert answer.code == 1
        (problem,) = answer.problems
        assert f"consumer group {group} has another member" in problem
        assert "KAFKA_GROUP_ID" in problem
    finally:
        await member.stop()

    async def is_over() -> bool:
        return await readiness() == (HTTPStatus.OK, False) and await connects.is_well()

    await world.comes_true(is_over)
    assert worker.log.read_text().count("intake.group-has-another-member") == 1
