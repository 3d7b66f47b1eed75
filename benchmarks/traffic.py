"""Live events, produced at a steady rate, and the time from producing one until its wallet-updated can be read."""

import asyncio
import json
import time
from bisect import bisect_right
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from benchmarks.events import FREELANCERS, Produced, events
from benchmarks.subject import Ground, Worker, running_worker

WARM_UP_SECONDS: Final = 3.0
_BY_THE_CLOCK: Final = b'"cause":{"topic":null'
_STILL_SECONDS: Final = 2.0
"""When nothing has come for that long after the last event, nothing more comes."""
_A_MOMENT_SECONDS: Final = 1.0
_LAST_READ: Final = 100
_LAST_SECONDS: Final = 120.0
"""How long is waited for what was produced last."""


@dataclass(frozen=True, slots=True)
class Live:
    """Latencies in milliseconds, of events that changed a wallet immediately (settlements wait out their grace)."""

    events: int
    events_per_second: float
    measured: int
    p50_ms: float
    p99_ms: float
    worst_ms: float


@dataclass(frozen=True, slots=True)
class Window:
    """A part of a run, by the monotonic clock in seconds."""

    begin: float
    end: float


@dataclass
class Traffic:
    """The events that were produced so far, and those of them that were read; `stop` ends it."""

    worker: Worker
    stop: asyncio.Event
    began: float = field(default_factory=time.monotonic)
    produced: list[float] = field(default_factory=list)
    """When each message was produced, those that were produced twice included."""
    sent: dict[str, float] = field(default_factory=dict)
    seen: dict[str, float] = field(default_factory=dict)
    producing: "asyncio.Task[None] | None" = None

    async def warm_up(self) -> None:
        """Let it go on until what is read was produced a moment ago: after a long catch-up the clock has much to do."""
        await self.pass_time(WARM_UP_SECONDS)
        async with asyncio.timeout(_LAST_SECONDS):
            while time.monotonic() - self._newest_read() > _A_MOMENT_SECONDS:
                await self.pass_time(_A_MOMENT_SECONDS)

    def _newest_read(self) -> float:
        """When the newest of the last events that were read was produced."""
        last = list(self.seen)[-_LAST_READ:]
        return max((self.sent.get(event, 0.0) for event in last), default=0.0)

    async def pass_time(self, seconds: float) -> Window:
        """Let it go on for that long; returns the window."""
        begin = time.monotonic()
        await asyncio.sleep(seconds)
        return Window(begin, time.monotonic())

    def within(self, window: Window) -> Live:
        """The latencies of what was produced in a window, however late it could be read; to be asked after the end."""
        count = bisect_right(self.produced, window.end) - bisect_right(self.produced, window.begin)
        produced = ((event, at) for event, at in self.sent.items() if window.begin < at <= window.end)
        taken = sorted((self.seen[event] - at) * 1e3 for event, at in produced if event in self.seen)
        if not taken:
            raise SystemExit("nothing was measured: no event changed a wallet in that time. Let it take longer")
        return Live(
            count,
            round(count / (window.end - window.begin)),
            len(taken),
            round(taken[len(taken) // 2], 1),
            round(taken[int(len(taken) * 0.99)], 1),
            round(taken[-1], 1),
        )


def in_words(live: Live) -> str:
    """The figures of a window in words."""
    return f"at {live.events_per_second:,.0f}/s: p50 {live.p50_ms} ms, p99 {live.p99_ms} ms, worst {live.worst_ms} ms"


@asynccontextmanager
async def traffic(
    ground: Ground,
    folder: Path,
    rate: int,
    seconds: float,
    seed: int,
    *,
    first: int = 0,
    registrations: int | None = None,
    stop: asyncio.Event | None = None,
) -> AsyncIterator[Traffic]:
    """A worker and `rate` events a second for at most `seconds`, read with read_committed, while the block runs.

    `first` is the number of the first event, so that none has an id of events before. All of it can be asked of the
    `Traffic` once the block is left: what was produced last has been read then.
    """
    if registrations is None:
        # They are over before anything is measured: however long a run may last, what it measures is the same mix.
        registrations = min(FREELANCERS, int(rate * WARM_UP_SECONDS / 2))
    consumer = AIOKafkaConsumer(
        f"{ground.prefix}wallet-updated",
        **ground.kafka,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        fetch_max_wait_ms=50,
    )
    await consumer.start()
    try:
        await consumer.seek_to_end()
        with running_worker(ground, folder / "worker-live.log") as worker:
            await worker.leads()
            going = Traffic(worker, stop or asyncio.Event())
            span = timedelta(seconds=seconds)
            stream = events(
                int(rate * seconds), seed, start=datetime.now(UTC), span=span, registrations=registrations, first=first
            )
            reading = asyncio.create_task(_read(consumer, going.seen))
            going.producing = asyncio.create_task(_produce(ground, rate, stream, going))
            try:
                yield going
                going.stop.set()
                await going.producing
                await _until_still(going, reading)
            finally:
                for task in (reading, going.producing):
                    task.cancel()
                await asyncio.gather(reading, going.producing, return_exceptions=True)
    finally:
        await consumer.stop()


async def _until_still(going: Traffic, reading: "asyncio.Task[None]") -> None:
    """Wait until nothing more is read; whatever ended the reading is raised."""
    async with asyncio.timeout(_LAST_SECONDS):
        before = -1
        while len(going.seen) != before:
            before = len(going.seen)
            await asyncio.sleep(_STILL_SECONDS)
    if reading.done():
        reading.result()
    if going.worker.process.poll() is not None:
        raise RuntimeError("the worker ended; see worker-live.log in the benchmark's folder")


async def _produce(ground: Ground, rate: int, stream: Iterator[Produced], going: Traffic) -> None:
    producer = AIOKafkaProducer(**ground.kafka, linger_ms=5)
    await producer.start()
    began = going.began = time.monotonic()
    pending: set[asyncio.Future[Any]] = set()
    try:
        for topic, key, value in stream:
            if going.stop.is_set():
                break
            if (ahead := (len(going.produced) + 1) / rate - (time.monotonic() - began)) > 0:
                await asyncio.sleep(ahead)
            now = time.monotonic()
            going.produced.append(now)
            going.sent.setdefault(_event_id((topic, key, value)), now)
            pending.add(await producer.send(ground.prefix + topic, value, key=key))
            if len(pending) > rate:
                pending = {future for future in pending if not future.done()}
        await asyncio.gather(*pending)
    finally:
        await producer.stop()


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
