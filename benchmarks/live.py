"""Live: a steady stream of events; how long from producing one until its wallet-updated can be read."""

import asyncio
import json
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from benchmarks.events import FREELANCERS, Produced, events
from benchmarks.subject import Ground, Worker, running_worker

_WARM_UP_SECONDS = 3.0
_BY_THE_CLOCK = b'"cause":{"topic":null'


@dataclass(frozen=True, slots=True)
class Live:
    """Latencies in milliseconds, of events that changed a wallet immediately (settlements wait out their grace)."""

    events: int
    events_per_second: float
    measured: int
    p50_ms: float
    p99_ms: float
    worst_ms: float


async def live(
    ground: Ground,
    folder: Path,
    rate: int,
    seconds: float,
    seed: int,
    watch: Callable[[Worker], Coroutine[None, None, None]] | None = None,
    until: asyncio.Event | None = None,
) -> Live:
    """Produce `rate` events a second for `seconds`, reading wallet-updated with read_committed all the while.

    `watch` runs beside it; `until` ends it before its time. Measured is what was produced before that.
    """
    consumer = AIOKafkaConsumer(
        f"{ground.prefix}wallet-updated",
        **ground.kafka,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        fetch_max_wait_ms=50,
    )
    sent: dict[str, float] = {}
    seen: dict[str, float] = {}
    await consumer.start()
    try:
        with running_worker(ground, folder / "worker-live.log") as worker:
            await worker.leads()
            reading = asyncio.create_task(_read(consumer, seen))
            watching = None if watch is None else asyncio.create_task(watch(worker))
            began = time.monotonic()
            count = await _produce(ground, rate, seconds + _WARM_UP_SECONDS, seed, sent, until)
            elapsed = time.monotonic() - began
            await asyncio.sleep(2)
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            if watching is not None:
                await watching
    finally:
        await consumer.stop()
    warm = began + _WARM_UP_SECONDS
    taken = sorted((seen[event] - at) * 1e3 for event, at in sent.items() if event in seen and at > warm)
    if not taken:
        raise SystemExit(f"nothing was measured: it ended within the first {_WARM_UP_SECONDS} s, which do not count")
    return Live(
        count,
        round(count / elapsed),
        len(taken),
        round(taken[len(taken) // 2], 1),
        round(taken[int(len(taken) * 0.99)], 1),
        round(taken[-1], 1),
    )


def report(result: Live) -> str:
    """The result in lines to read."""
    return (
        f"live at {result.events_per_second:,.0f} events/s ({result.measured:,} measured): produced to readable "
        f"wallet-updated p50 {result.p50_ms} ms, p99 {result.p99_ms} ms, worst {result.worst_ms} ms"
    )


async def _produce(
    ground: Ground, rate: int, seconds: float, seed: int, sent: dict[str, float], until: asyncio.Event | None
) -> int:
    producer = AIOKafkaProducer(**ground.kafka, linger_ms=5)
    await producer.start()
    count = int(rate * seconds)
    # Registrations are over before anything is measured: however long a run may last, what it measures is the same mix.
    span, registered = timedelta(seconds=seconds), min(FREELANCERS, int(rate * _WARM_UP_SECONDS / 2))
    stream = events(count, seed, start=datetime.now(UTC), span=span, registrations=registered)
    began = time.monotonic()
    produced = 0
    pending: set[asyncio.Future[Any]] = set()
    try:
        for topic, key, value in stream:
            if until is not None and until.is_set():
                break
            produced += 1
            if (ahead := produced / rate - (time.monotonic() - began)) > 0:
                await asyncio.sleep(ahead)
            sent.setdefault(_event_id((topic, key, value)), time.monotonic())
            pending.add(await producer.send(ground.prefix + topic, value, key=key))
            if len(pending) > rate:
                pending = {future for future in pending if not future.done()}
        await asyncio.gather(*pending)
    finally:
        await producer.stop()
    return produced


def _event_id(produced: Produced) -> str:
    return produced[2][13 : produced[2].index(b'"', 13)].decode()


async def _read(consumer: AIOKafkaConsumer, seen: dict[str, float]) -> None:
    while True:
        for messages in (await consumer.getmany(timeout_ms=50)).values():
            now = time.monotonic()
            for message in messages:
                if _BY_THE_CLOCK in message.value:
                    continue  # nobody produced what caused it, and reading all of it would be most of the load
                cause = json.loads(message.value)["cause"]
                if cause["topic"] is not None and cause["topic"] != "job-closed":
                    seen.setdefault(cause["event_id"], now)
