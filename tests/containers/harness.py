"""Testing against the worker: a real Kafka, a real PostgreSQL and the worker between them, for as long as a test needs.

Take this file and workers.py along; they need Docker, testcontainers, aiokafka, and the worker as image or package.

    with servers() as up, connects_worker(up, image="connects-worker") as worker:
        await publish(worker.topics, "freelancer-registered", freelancer_id="f-1")
        assert [update["delta"] for update in await wallet_updates(worker.topics, 1)] == [40]
"""

import asyncio
import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network
from testcontainers.core.wait_strategies import ExecWaitStrategy

from tests.containers.workers import LIMIT_SECONDS, WorkerContainer, WorkerProcess, answers, free_port, until

KAFKA = {
    "KAFKA_NODE_ID": "1",
    "KAFKA_PROCESS_ROLES": "broker,controller",
    "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
    "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
    "KAFKA_INTER_BROKER_LISTENER_NAME": "BROKER",
    "KAFKA_LISTENERS": "BROKER://:9092,CONTROLLER://:9093,HOST://:9094,NETWORK://:9095",
    "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT,HOST:PLAINTEXT,NETWORK:PLAINTEXT",
    "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
    "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
    "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
    "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
}


class KafkaContainer(DockerContainer):
    """One broker: for this machine at `bootstrap`, for containers of its network at kafka:9095."""

    def __init__(self, network: Network) -> None:
        super().__init__(
            os.environ.get("KAFKA_IMAGE", "apache/kafka:4.4.0"), network=network, network_aliases=["kafka"]
        )
        port = free_port()  # the broker sends its clients its address, so it must know the port before it starts
        self.bootstrap = f"127.0.0.1:{port}"
        self.ports["9094"] = ("127.0.0.1", port)
        advertised = f"BROKER://localhost:9092,HOST://{self.bootstrap},NETWORK://kafka:9095"
        self.with_envs(**KAFKA, KAFKA_ADVERTISED_LISTENERS=advertised)
        self.waiting_for(ExecWaitStrategy(["bash", "-c", ": </dev/tcp/127.0.0.1/9094"]))


class PostgresContainer(DockerContainer):
    """A server with as many databases as tests ask for; in its network it is postgres:5432."""

    def __init__(self, network: Network) -> None:
        super().__init__(os.environ.get("POSTGRES_IMAGE", "postgres:18"), network=network, network_aliases=["postgres"])
        self.ports["5432"] = ("127.0.0.1",)
        self.with_envs(POSTGRES_PASSWORD="test")  # noqa: S106 - for as long as a test runs
        self.waiting_for(ExecWaitStrategy(["pg_isready", "--host", "127.0.0.1", "--username", "postgres"]))

    def url(self, database: str, *, inside: bool) -> str:
        """The address of a database, for containers of the network or else for this machine."""
        address = "postgres:5432" if inside else f"127.0.0.1:{self.get_exposed_port(5432)}"
        return f"postgresql://postgres:test@{address}/{database}"

    def ask(self, sql: str, database: str = "postgres") -> str:
        """The server's answer to a statement."""
        code, output = self.exec(["psql", self.url(database, inside=True), "-v", "ON_ERROR_STOP=1", "-Atc", sql])
        assert code == 0, output.decode()
        return output.decode().strip()


@dataclass(frozen=True)
class Servers:
    network: Network
    kafka: KafkaContainer
    postgres: PostgresContainer


@dataclass(frozen=True)
class Topics:
    """A Kafka, and what the names of its topics begin with."""

    bootstrap: str
    prefix: str = ""


@dataclass(frozen=True)
class Worker:
    """A worker that runs, with topics and a ledger of its own; `running.connects("history", "f-1")` asks it."""

    running: WorkerContainer | WorkerProcess
    topics: Topics
    database: str


@contextmanager
def servers() -> Iterator[Servers]:
    """Kafka and PostgreSQL: once per test run will do."""
    with Network() as network, KafkaContainer(network) as kafka, PostgresContainer(network) as postgres:
        yield Servers(network, kafka, postgres)


@contextmanager
def connects_worker(up: Servers, *, image: str | None = None, **settings: str) -> Iterator[Worker]:
    """Start a worker, from its image or else as a process, and wait until it is ready."""
    name = f"t{uuid.uuid4().hex[:10]}"
    up.postgres.ask(f"CREATE DATABASE {name}")
    environment = {
        "KAFKA_BOOTSTRAP_SERVERS": "kafka:9095" if image else up.kafka.bootstrap,
        "DATABASE_URL": up.postgres.url(name, inside=bool(image)),
        "CONNECTS_TOPIC_PREFIX": f"{name}-",
        "CONNECTS_SETTLEMENT_GRACE": "1",  # seconds until a closed job is settled; 30 by default
        **settings,
    }
    worker = WorkerContainer(image, up.network, environment) if image else WorkerProcess(environment)
    worker.prepare("migrate")
    worker.prepare("topics", "create", "--inputs", "--partitions", "3")
    with worker as running:
        until(lambda: answers(f"{running.http}/health/ready"), running.log)
        yield Worker(running, Topics(up.kafka.bootstrap, f"{name}-"), name)


async def publish(topics: Topics, topic: str, **fields: Any) -> dict[str, Any]:  # noqa: ANN401 - whatever JSON holds
    """Send an event that happens now and has an id of its own, unless `fields` say otherwise; what was sent."""
    event = {"event_id": str(uuid.uuid4()), "occurred_at": datetime.now(UTC).isoformat(), **fields}
    async with AIOKafkaProducer(bootstrap_servers=topics.bootstrap, enable_idempotence=True) as producer:
        await producer.send_and_wait(topics.prefix + topic, json.dumps(event).encode())
    return event


async def wallet_updates(topics: Topics, count: int) -> list[dict[str, Any]]:
    """The first messages of wallet-updated, once there are that many; each wallet's in the order of its versions."""
    found: list[dict[str, Any]] = []
    place = {"bootstrap_servers": topics.bootstrap, "auto_offset_reset": "earliest"}
    async with (
        asyncio.timeout(LIMIT_SECONDS),
        AIOKafkaConsumer(f"{topics.prefix}wallet-updated", isolation_level="read_committed", **place) as consumer,
    ):
        while len(found) < count:
            found.append(json.loads((await consumer.getone()).value))
    return found
