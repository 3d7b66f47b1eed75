"""Topics that are deleted and made again, as after a cluster was lost."""

from aiokafka.admin import NewTopic

from tests.kit.administering import administering, create_topic, delete_topics
from tests.kit.world import PARTITIONS, World


async def make_anew(world: World, topic: str) -> None:
    """Delete a topic and make it again under its name, empty."""
    name = f"{world.prefix}{topic}"
    async with administering(world.kafka) as admin:
        await delete_topics(admin, name)
        await create_topic(admin, NewTopic(name, PARTITIONS, 1))
    for partition in range(PARTITIONS):
        world.produced.pop((topic, partition), None)
