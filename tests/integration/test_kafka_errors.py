"""Kafka answers single requests with errors, or not at all, while everything is at work (F12)."""

from pathlib import Path
from typing import Final

import pytest

from tests.kit.histories import History
from tests.kit.invariants import check_everything
from tests.kit.produce import by_key
from tests.kit.worker_process import WorkerProcess
from tests.kit.world import PARTITIONS, World

pytestmark = pytest.mark.in_turn

KINDS: Final = ("ProduceRequest", "FetchRequest", "EndTxnRequest", "AddPartitionsToTxnRequest")


@pytest.mark.parametrize("seed", [1, 2])
async def test_requests_that_are_answered_wrongly_lose_and_repeat_nothing(
    world: World, tmp_path: Path, seed: int
) -> None:
    """Each seventh request of a kind, of two workers, until all were; then none, and all is decided and published."""
    world.grace_seconds = 30
    trouble = tmp_path / "trouble"
    trouble.touch()
    history = History(seed=12 + seed, freelancers=40, jobs=400, events=10_000)
    workers = [
        await world.worker(batch_size=20, kafka_errors=f"{seed * 10 + number}:7:{trouble}") for number in range(2)
    ]
    sent = 0
    while missing := not_wrong_yet(workers):
        assert sent < len(history), f"these never went wrong: {missing}"
        await world.produce(history[sent : sent + 50], by_key(PARTITIONS))
        sent += 50
        await world.has_decided(min(sent, len(history)), 90)
    trouble.unlink()
    await world.settled(90)
    assert all(worker.runs for worker in workers)
    await check_everything(world)


def not_wrong_yet(workers: list[WorkerProcess]) -> list[str]:
    """In which way no request of a kind went wrong until now."""
    ways = (f"{kind}, {how}\n" for kind in KINDS for how in ("refused", "lost on the way", "lost on the way back"))
    return [way.strip() for way in ways if not any(worker.said(way) for worker in workers)]
