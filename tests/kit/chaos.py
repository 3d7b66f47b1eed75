"""Faults of every kind, one after the other and at random, around workers that are under load."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final

from aiokafka.admin import NewPartitions

from tests.kit.administering import administering, delete_topics
from tests.kit.histories import Record
from tests.kit.kafka_errors import ERRORS
from tests.kit.produce import Sent, by_key
from tests.kit.proxy import Proxy
from tests.kit.worker_process import WorkerProcess
from tests.kit.world import PARTITIONS, World
from worker.embedded.stack import LocalStack

WORKERS: Final = 2
_LETTERS: Final = "connects-dead-letters"
_REQUESTS_BETWEEN_ERRORS: Final = 2 * len(ERRORS) + 1
_LATE_SECONDS: Final = (0.2, 2.0)
_SLOW_BYTES: Final = 100_000
_RANDOM_BYTES: Final = 50


class Chaos:
    """Workers of a world, behind a proxy of their database, and what may happen to them.

    `sent` is what Kafka has accepted, kept outside of the ledger; `happened` counts the faults by name, in order of the
    first. All that is random follows from the seed, but for how long each thing takes.
    """

    def __init__(self, world: World, stack: LocalStack, proxy: Proxy, url: str, seed: int) -> None:
        self.world, self.stack = world, stack
        self.sent: list[Record] = []
        self.happened: Counter[str] = Counter()
        self._proxy, self._url = proxy, url
        self._chance = random.Random(seed)
        self._seed = seed
        self._errors = world.folder / "errors"
        self._alive: list[WorkerProcess] = []
        self._paused: list[WorkerProcess] = []
        self._partitions = PARTITIONS

    @property
    def faults(self) -> list[Callable[[], Awaitable[None]]]:
        """What may happen; process faults more often, for they are the most common."""
        of_processes = [self.a_leader_is_killed, self.a_leader_is_stopped_for_a_while, self.a_leader_is_terminated]
        return [
            *of_processes,
            *of_processes,
            self.the_broker_is_killed,
            self.the_broker_hangs,
            self.the_database_is_shut_down_immediately,
            self.the_database_is_restarted,
            self.the_databases_answers_are_late,
            self.the_databases_connection_is_slow,
            self.the_databases_connections_fall_silent,
            self.the_database_cannot_be_reached,
            self.kafka_answers_with_errors,
            self.everything_is_sent_again,
            self.rubbish_is_sent,
            self.partitions_are_added,
            self.the_topic_of_dead_letters_is_lost,
        ]

    async def begin(self) -> None:
        await self._fill_up()

    async def send(self, records: list[Record]) -> None:
        await self.world.produce(records, by_key(PARTITIONS))
        self.sent += records

    async def strike(self) -> None:
        """Let one of the faults happen, and be over."""
        fault = self._chance.choice(self.faults)
        self.happened[fault.__name__] += 1
        await fault()
        await self._fill_up()

    async def heal(self) -> None:
        for worker in self._paused:
            worker.go_on()
        self._proxy.mend()
        await self._fill_up()

    # Processes

    async def a_leader_is_killed(self) -> None:
        """F1."""
        await (await self._leader()).kill()

    async def a_leader_is_terminated(self) -> None:
        """F2."""
        (await self._leader()).terminate()

    async def a_leader_is_stopped_for_a_while(self) -> None:
        """F3."""
        worker = await self._leader()
        worker.pause()
        self._paused.append(worker)
        await self._lasts(1.0, 6.0)
        worker.go_on()
        self._paused.remove(worker)

    # The broker

    async def the_broker_is_killed(self) -> None:
        """F7."""
        self.stack.kill_kafka()
        await asyncio.to_thread(self.stack.start_kafka)

    async def the_broker_hangs(self) -> None:
        """F7."""
        self.stack.pause_kafka()
        try:
            await self._lasts(1.0, 8.0)
        finally:
            self.stack.resume_kafka()

    async def kafka_answers_with_errors(self) -> None:
        """F12."""
        self._errors.touch()
        await self._lasts(3.0, 8.0)
        self._errors.unlink()

    async def partitions_are_added(self) -> None:
        """F11. To two topics at most six: each is one more to read."""
        if self._partitions < 2 * PARTITIONS:
            self._partitions += 1
            more = NewPartitions(self._partitions)
            names = ("freelancer-registered", "proposal-submitted")
            async with administering(self.world.kafka) as admin:
                await admin.create_partitions({self.world.prefix + name: more for name in names})

    async def the_topic_of_dead_letters_is_lost(self) -> None:
        """F19."""
        name = self.world.prefix + _LETTERS
        async with administering(self.world.kafka) as admin:
            await delete_topics(admin, name)
        await self.rubbish_is_sent()
        await self._lasts(1.0, 4.0)
        assert (await self.world.asking()("topics create --partitions 3")).code == 0

    # The database

    async def the_database_is_shut_down_immediately(self) -> None:
        """F13."""
        await asyncio.to_thread(self.stack.restart_postgres, immediate=True)

    async def the_database_is_restarted(self) -> None:
        """F13."""
        await asyncio.to_thread(self.stack.restart_postgres, immediate=False)

    async def the_databases_answers_are_late(self) -> None:
        """F8."""
        self._proxy.delay_seconds = self._chance.uniform(*_LATE_SECONDS)
        await self._lasts(2.0, 8.0)
        self._proxy.mend()

    async def the_databases_connection_is_slow(self) -> None:
        """F8."""
        self._proxy.bytes_per_second = _SLOW_BYTES
        await self._lasts(2.0, 8.0)
        self._proxy.mend()

    async def the_databases_connections_fall_silent(self) -> None:
        """F8."""
        self._proxy.fall_silent()

    async def the_database_cannot_be_reached(self) -> None:
        """F8."""
        self._proxy.cut()
        await self._lasts(1.0, 10.0)
        self._proxy.mend()

    # Input

    async def everything_is_sent_again(self) -> None:
        """F17: a part of what was sent, in another order."""
        start = self._chance.randrange(max(len(self.sent), 1))
        again = self.sent[start : start + 200]
        self._chance.shuffle(again)
        await self.world.produce(again, by_key(PARTITIONS))

    async def rubbish_is_sent(self) -> None:
        """F18."""
        topics = self._chance.choices(("job-closed", "hire-made", "certification-completed"), k=20)
        await self.world.produce([Sent(topic, self._chance.randbytes(_RANDOM_BYTES)) for topic in topics])

    # What it needs

    async def _lasts(self, least: float, most: float) -> None:
        """The length of a fault, not a wait for something to happen."""
        await asyncio.sleep(self._chance.uniform(least, most))

    async def _leader(self) -> WorkerProcess:
        """Who leads; while nobody does, who was started first."""
        holder = (await self.world.holder()).split("/")[0]
        return next((worker for worker in self._alive if worker.holder == holder), self._alive[0])

    async def _fill_up(self) -> None:
        self._alive = [worker for worker in self.world.workers if worker.runs and worker not in self._paused]
        while len(self._alive) < WORKERS:
            number = len(self.world.workers)
            errors = f"{self._seed + number}:{_REQUESTS_BETWEEN_ERRORS}:{self._errors}"
            self._alive.append(await self.world.worker(database_url=self._url, batch_size=50, kafka_errors=errors))
