"""Relays of a real ledger at a real broker, and what came of the rows that they were offered."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.kit.ledger import Ledger, wallet_updated
from tests.kit.reading import everything
from worker.kafka.output.relay import Relay


@asynccontextmanager
async def running_relay(kafka: dict[str, Any], prefix: str, ledger: Ledger, **options: Any) -> AsyncIterator[Relay]:  # noqa: ANN401
    """Open a relay under the next epoch and let it run; whatever ended it is raised at the end."""
    relay = Relay(kafka, prefix, ledger.ledger_id, ledger, **options)
    await relay.open(await ledger.take_over())
    task = asyncio.create_task(relay.run())
    try:
        yield relay
    finally:
        task.cancel()
        await asyncio.wait({task})
        if not task.cancelled():
            task.result()


async def commit_and_offer(ledger: Ledger, relay: Relay, versions: range, *, freelancers: int = 5) -> None:
    for version in versions:
        relay.offer(await ledger.commit(*(wallet_updated(f"f-{n}", version) for n in range(freelancers))))


def each_once(count: int, *, freelancers: int = 5) -> dict[str, list[int]]:
    return {f"f-{n}": list(range(1, count + 1)) for n in range(freelancers)}


async def published(kafka: dict[str, Any], prefix: str) -> dict[str, list[int]]:
    """The versions that a reader of committed messages sees of each freelancer, in order."""
    return (await everything(kafka, f"{prefix}wallet-updated")).versions
