"""Tests of the consumer that need no broker."""

import asyncio
from contextlib import suppress

import pytest
from aiokafka import client
from aiokafka.protocol.metadata import MetadataRequest_v5

from worker.kafka.input.consumer import GuardedConsumer, forbid_topic_creation


def test_no_client_of_this_process_makes_topics_by_asking_for_them() -> None:
    forbid_topic_creation()
    for topics in ([], ["badge-earned"], None):
        request = client.MetadataRequest(topics).build(MetadataRequest_v5)
        assert request.allow_auto_topic_creation is False


async def test_a_fetch_that_is_over_ends_without_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fetches of the next assignment wait for it."""
    monkeypatch.setattr("worker.kafka.input.consumer._AFTER_ERROR_SECONDS", 3_600)

    async def fetch() -> bool:
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return False

    consumer = GuardedConsumer.__new__(GuardedConsumer)
    consumer._closed = True  # noqa: SLF001
    fetching = asyncio.create_task(consumer._fetch_paced(fetch))  # noqa: SLF001
    await asyncio.sleep(0)
    fetching.cancel()
    async with asyncio.timeout(30):
        assert await fetching is False
