"""The worker under test: a process of its own against an embedded stack of its own, and what is read from it."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from benchmarks.processes import parent_of
from worker.embedded.stack import LocalStack
from worker.kafka.topics import create_topics
from worker.ledger.migrate import migrate


@dataclass(frozen=True, slots=True)
class Ground:
    """One fresh ledger and one fresh set of topics on a running stack."""

    kafka: dict[str, Any]
    prefix: str
    database_url: str
    broker_pid: int
    postgres_pid: int


async def fresh_ground(stack: LocalStack, partitions: int) -> Ground:
    """Make a ledger and topics that nobody has used."""
    if stack.kafka_pid is None:
        raise AssertionError("the stack has not been started")
    prefix = f"b{uuid.uuid4().hex[:8]}-"
    url = stack.create_database(f"bench_{uuid.uuid4().hex[:8]}")
    await migrate(url)
    kafka = {"bootstrap_servers": stack.addresses.kafka_bootstrap}
    await create_topics(kafka, prefix, partitions=partitions, replication=1, inputs=True)
    connection = await asyncpg.connect(url)
    try:
        checkpointer = await connection.fetchval("SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'")
    finally:
        await connection.close()
    return Ground(kafka, prefix, url, stack.kafka_pid, parent_of(checkpointer))


def environment_of(ground: Ground) -> dict[str, str]:
    """The settings of the worker and of every command, beside this process's own environment."""
    return {
        **os.environ,
        "KAFKA_BOOTSTRAP_SERVERS": ground.kafka["bootstrap_servers"],
        "DATABASE_URL": ground.database_url,
        "CONNECTS_TOPIC_PREFIX": ground.prefix,
        "LOG_LEVEL": "warning",
    }


class Worker:
    """`connects run` as a process."""

    def __init__(self, ground: Ground, log: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        environment = {**environment_of(ground), "CONNECTS_HTTP_PORT": str(self._port)}
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "worker", "run"], env=environment, stdout=output, stderr=subprocess.STDOUT
            )
        self.pid = self.process.pid

    def metrics(self) -> dict[str, float]:
        """Its metrics, by name and labels; nothing while it is not up yet."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/metrics", timeout=5) as answer:
                lines = answer.read().decode().splitlines()
        except OSError:
            return {}
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}

    async def metric(self, name: str) -> float:
        """One of them, asked without blocking; 0 when it is not shown."""
        return (await asyncio.to_thread(self.metrics)).get(name, 0.0)

    async def leads(self) -> None:
        """Wait until it leads the ledger."""
        async with asyncio.timeout(60):
            while not await self.metric("connects_active"):  # noqa: ASYNC110 - another process, which tells no event
                await asyncio.sleep(0.1)

    def stop(self) -> None:
        """End it in order."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=20)


@contextmanager
def running_worker(ground: Ground, log: Path) -> Iterator[Worker]:
    """A worker for as long as the block lasts."""
    worker = Worker(ground, log)
    try:
        yield worker
    finally:
        if worker.process.poll() is None:
            worker.stop()
