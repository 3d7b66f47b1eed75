"""Topics and settings of the real brokers, through aiokafka's administration client."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient


@asynccontextmanager
async def administering(kafka: Mapping[str, Any]) -> AsyncIterator[AIOKafkaAdminClient]:
    """A client that is closed afterwards."""
    admin = AIOKafkaAdminClient(**kafka)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()
