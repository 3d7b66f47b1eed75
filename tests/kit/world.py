"""One ledger, its topics and its workers: the surroundings of a test of the whole worker."""

import json
import tomllib
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg

from tests.kit.asking import Asking
from tests.kit.produce import Partitioner, Record, Sent, anywhere, messages_of, produce
from tests.kit.reading import Reader, reading
from tests.kit.waiting import PATIENCE_SECONDS, until_async, while_it_goes_on
from tests.kit.worker_process import ROOT, WorkerProcess
from worker.embedded.stack import LocalStack
from worker.kafka.topics import create_topics

PARTITIONS = 3
LAST_MONTHLY_DAY = 28
POLICY_FILE = ROOT / "policies" / "connects.toml"
POLICY: dict[str, Any] = tomllib.loads(POLICY_FILE.read_text(encoding="utf-8"))


class World:
    """Produces, starts workers, and reads the ledger as an operator would: through SQL and the output topics."""

    def __init__(self, kafka: dict[str, Any], database_url: str, prefix: str, folder: Path, reader: Reader) -> None:
        self.kafka, self.database_url, self.prefix, self.folder = kafka, database_url, prefix, folder
        self.reader = reader
        self.grace_seconds = 1.0  # 30 where a history is decided: it has much happen within that many seconds
        self.policy_file = POLICY_FILE
        self.produced: Counter[tuple[str, int]] = Counter()
        self.workers: list[WorkerProcess] = []
        self._ahead = timedelta(0)
        self._connection: asyncpg.Connection | None = None

    # Producing

    async def produce(self, records: Iterable[Record | Sent], partitioner: Partitioner | None = None) -> None:
        messages = [record if isinstance(record, Sent) else messages_of([record])[0] for record in records]
        partitioner = partitioner or anywhere(PARTITIONS, seed=7)
        self.produced += await produce(self.kafka, self.prefix, messages, partitioner)

    # Time

    def it_is(self, now: datetime) -> None:
        """Let workers that start from here on live in another time than we do, which passes as ours."""
        self._ahead = now - datetime.now(UTC)

    def now(self) -> datetime:
        """What time it is for the workers."""
        return datetime.now(UTC) + self._ahead

    # Workers

    async def worker(
        self,
        *,
        database_url: str | None = None,
        batch_size: int = 100,
        at: datetime | None = None,
        fresh: bool = False,
        settings: Mapping[str, str] | None = None,
        **faults: str,
    ) -> WorkerProcess:
        """Start a worker, as of now or `at` a time gone by, from which its clock runs on.

        `faults` are settings of tests/kit/killable.py without TEST_, in lower case; `settings` are more of its own.
        `fresh`: see WorkerProcess.
        """
        at = at or (self.now() if self._ahead else None)
        clock = {"CONNECTS_CLOCK": f"{at.isoformat()}@1"} if at else {}
        environment = {
            "DATABASE_URL": database_url or self.database_url,
            "KAFKA_BOOTSTRAP_SERVERS": self.kafka["bootstrap_servers"],
            "CONNECTS_TOPIC_PREFIX": self.prefix,
            "CONNECTS_SETTLEMENT_GRACE": str(self.grace_seconds),
            "CONNECTS_BATCH_SIZE": str(batch_size),
            "CONNECTS_POLICY": str(self.policy_file),
            **clock,
            **(settings or {}),
            **{f"TEST_{name.upper()}": value for name, value in faults.items()},
        }
        holder = f"w{len(self.workers) + 1}"
        started = await WorkerProcess.start(holder, environment, self.folder / f"{holder}.log", fresh=fresh)
        self.workers.append(started)
        return started

    async def connects_run(
        self, http_port: int, *, database_url: str | None = None, code: Path = ROOT, **settings: str
    ) -> WorkerProcess:
        """Start `connects run`, as of now. `code`: the folder of another release's code."""
        clock = {"CONNECTS_CLOCK": f"{self.now().isoformat()}@1", "CONNECTS_ALLOW_SIMULATED_TIME": "1"}
        environment = {
            "DATABASE_URL": database_url or self.database_url,
            "KAFKA_BOOTSTRAP_SERVERS": self.kafka["bootstrap_servers"],
            "KAFKA_GROUP_ID": f"{self.prefix}worker",
            "CONNECTS_TOPIC_PREFIX": self.prefix,
            "CONNECTS_SETTLEMENT_GRACE": str(int(self.grace_seconds)),
            "CONNECTS_HTTP_PORT": str(http_port),
            "CONNECTS_POLICY": str(self.policy_file),
            **(clock if self._ahead else {}),
            **settings,
        }
        name = f"w{len(self.workers) + 1}"
        log = self.folder / f"{name}.log"
        started = await WorkerProcess.start(name, environment, log, "worker", "run", folder=code)
        self.workers.append(started)
        return started

    def asking(self, database_url: str | None = None, **settings: str) -> Asking:
        """`connects` with the settings that its workers have."""
        named = {
            "DATABASE_URL": database_url or self.database_url,
            "KAFKA_BOOTSTRAP_SERVERS": self.kafka["bootstrap_servers"],
            "CONNECTS_TOPIC_PREFIX": self.prefix,
            "CONNECTS_SETTLEMENT_GRACE": f"{self.grace_seconds:g}",
            "CONNECTS_HTTP_PORT": "0",
        }
        return Asking(self.folder, **{**named, **settings})

    async def leads(self, worker: WorkerProcess, limit_seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until a worker leads."""

        async def leading() -> bool:
            assert worker.runs, worker.tail()
            return (await self.holder()).split("/")[0] == worker.holder

        await until_async(leading, limit_seconds)

    async def stands_by(self, worker: WorkerProcess, limit_seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until a worker stands by and polls the lease."""

        async def looking() -> bool:
            assert worker.runs, worker.tail()
            looks = "datname = current_database() AND application_name LIKE $1"
            counted = f"SELECT count(*) FROM pg_stat_activity WHERE {looks}"  # noqa: S608
            return await self.value(counted, f"%:{worker.holder}/%") > 0

        await until_async(looking, limit_seconds)

    async def holder(self) -> str:
        """Who leads, as long as the lease lasts."""
        return await self.value("SELECT CASE WHEN lease_until > clock_timestamp() THEN holder ELSE '' END FROM leader")

    async def end_lease_of(self, worker: WorkerProcess) -> None:
        """Spare a test the three seconds that the lease of a dead or stopped worker would still last."""
        assert not worker.runs or worker.said(": SIGSTOP")
        await self.execute("UPDATE leader SET lease_until = '-infinity' WHERE holder LIKE $1", f"{worker.holder}/%")

    # Looking

    async def settled(self, limit_seconds: float = PATIENCE_SECONDS, *, but: Iterable[tuple[str, int]] = ()) -> None:
        """Wait until all that was produced is decided, nothing is due, and every change was read from wallet-updated.

        As long as it goes on: the limit is how long nothing may be decided or read. `but` are partitions that are
        stopped.
        """
        try:
            await while_it_goes_on(lambda: self._is_settled(set(but)), self._how_far, limit_seconds)
        except TimeoutError:
            raise AssertionError(await self._what_does_not_come(limit_seconds)) from None

    async def comes_true(
        self, condition: Callable[[], Awaitable[bool]], limit_seconds: float = PATIENCE_SECONDS
    ) -> None:
        """Wait for a condition; if it does not come true, report the state of everything."""
        try:
            await until_async(condition, limit_seconds)
        except TimeoutError:
            raise AssertionError(await self._what_does_not_come(limit_seconds)) from None

    async def _what_does_not_come(self, limit_seconds: float) -> str:
        tails = "\n".join(worker.tail(12) for worker in self.workers[-3:])
        return f"not after {limit_seconds} s: {await self._how_it_stands()}\n{tails}"

    async def _how_far(self) -> object:
        """How much is decided, and how much was read; None while the database is away."""
        try:
            decided = await self.value("SELECT coalesce(max(last_seq), 0) FROM batches")
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
            decided = None
        return decided, len(self.reader.records)

    async def _is_settled(self, but: set[tuple[str, int]]) -> bool:
        try:
            positions = {
                (row["topic"], row["partition"]): row["next_offset"]
                for row in await self.rows("SELECT topic, partition, next_offset FROM positions")
            }
            waits = any(positions.get(place, 0) < count for place, count in self.produced.items() if place not in but)
            if waits:
                return False
            if await self.value("SELECT count(*) FROM due"):
                return False
            if not but and await self._clock_owes():  # a partition that is stopped holds the clock
                return False
            changes = await self.value("SELECT count(*) FROM changes")  # last: nothing makes another one by itself
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
            return False
        return len(self.reader.records) >= changes

    async def _clock_owes(self) -> int:
        """Expiries and cycle starts that are due by the wall clock, but for those that wait for a parked wallet."""
        now = self.now() - timedelta(seconds=self.grace_seconds)
        return await self.value(
            "WITH stopped AS (SELECT key FROM parked WHERE scope = 'wallet')"
            " SELECT (SELECT count(*) FROM lots WHERE open AND expires_at <= $1"
            "         AND freelancer_id NOT IN (TABLE stopped))"
            " + (SELECT count(*) FROM memberships WHERE next_renewal <= $2 AND freelancer_id NOT IN (TABLE stopped))",
            *(now, now.date()),
        )

    async def _how_it_stands(self) -> str:
        rows = await self.rows("SELECT topic, partition, next_offset FROM positions ORDER BY topic, partition")
        behind = {
            (row["topic"], row["partition"]): (row["next_offset"], self.produced[row["topic"], row["partition"]])
            for row in rows
            if row["next_offset"] < self.produced[row["topic"], row["partition"]]
        }
        due = await self.value("SELECT count(*) FROM due WHERE due_at <= clock_timestamp()")
        changes = await self.value("SELECT count(*) FROM changes")
        unsent = await self.value("SELECT count(*) FROM outbox, relay_state WHERE outbox_seq > dropped_through")
        decisions = await self.value("SELECT count(*) FROM decisions")
        last = await self.rows(
            'SELECT seq, kind, topic, partition, "offset", freelancer_id, outcome, reason FROM decisions'
            " ORDER BY seq DESC LIMIT 8"
        )
        return (
            f"{decisions} decisions, the last {[tuple(row) for row in last]}, "
            f"{len(rows)} positions, behind {behind}, {due} due, {changes} changes, "
            f"{unsent} rows to publish, {len(self.reader.records)} read, led by {await self.holder()!r}"
        )

    async def decisions(self, where: str = "true", *arguments: object) -> list[dict[str, Any]]:
        rows = await self.rows(f"SELECT * FROM decisions WHERE {where} ORDER BY seq", *arguments)  # noqa: S608
        return [{**row, "facts": json.loads(row["facts"])} for row in rows]

    async def has_decided(self, count: int, limit_seconds: float = PATIENCE_SECONDS) -> None:
        """Wait for that many decisions."""

        async def reached() -> bool:
            return await self.value("SELECT coalesce(max(last_seq), 0) FROM batches") >= count

        await until_async(reached, limit_seconds)

    async def balance(self, freelancer_id: str) -> int | None:
        return await self.value("SELECT balance FROM wallets WHERE freelancer_id = $1", freelancer_id)

    async def command(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Ask the one writer for something, as the commands do, and wait for its answer."""
        asked = await self.value(
            "INSERT INTO commands (id, name, arguments, actor, why)"
            " VALUES (gen_random_uuid(), $1, $2, 'a-tester', 'a test') RETURNING id",
            *(name, json.dumps(arguments)),
        )

        async def answered() -> bool:
            return await self.value("SELECT answered_at IS NOT NULL FROM commands WHERE id = $1", asked)

        await until_async(answered)
        answer: dict[str, Any] = json.loads(await self.value("SELECT answer FROM commands WHERE id = $1", asked))
        return answer

    # SQL

    async def value(self, query: str, *arguments: object) -> Any:  # noqa: ANN401
        return await (await self._connected()).fetchval(query, *arguments)

    async def rows(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        return await (await self._connected()).fetch(query, *arguments)

    async def execute(self, query: str, *arguments: object) -> None:
        await (await self._connected()).execute(query, *arguments)

    async def _connected(self) -> asyncpg.Connection:
        if self._connection is None or self._connection.is_closed():
            self._connection = await asyncpg.connect(self.database_url, timeout=5, command_timeout=30)
        return self._connection

    async def close(self) -> None:
        for worker in self.workers:
            await worker.kill()
        if self._connection is not None:
            self._connection.terminate()
        for worker in self.workers:
            print(worker.tail())  # noqa: T201 - shown when the test failed


@asynccontextmanager
async def a_world(
    stack: LocalStack, folder: Path, database_url: str, prefix: str, *, bootstrap: str | None = None
) -> AsyncIterator[World]:
    """Fresh topics of all names and a ledger, with a read_committed reader that follows wallet-updated all along.

    `bootstrap`: other brokers than the stack's one.
    """
    kafka = {"bootstrap_servers": bootstrap or stack.addresses.kafka_bootstrap}
    made = await create_topics(kafka, prefix, partitions=PARTITIONS, replication=1, inputs=True)
    async with reading(kafka, f"{prefix}wallet-updated", PARTITIONS, new=made.created) as reader:
        world = World(kafka, database_url, prefix, folder, reader)
        try:
            yield world
        finally:
            await world.close()


@asynccontextmanager
async def copy_of(stack: LocalStack, template: str) -> AsyncIterator[str]:
    """A ledger of its own, for as long as it is needed."""
    name = f"ledger_{uuid.uuid4().hex[:12]}"
    server = stack.addresses.database_url
    connection = await asyncpg.connect(server)
    try:
        await connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        yield urlsplit(server)._replace(path=f"/{name}").geturl()
        await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await connection.close()


def a_while_ago() -> datetime:
    """Two days ago or some more: who registers then has no cycle start before today, at a month's end either."""
    start = datetime.now(UTC) - timedelta(days=2)
    return start if start.day <= LAST_MONTHLY_DAY else start.replace(day=LAST_MONTHLY_DAY)


class Events:
    """Events one after the other, a second apart, as any team would write them."""

    def __init__(self, start: datetime | None = None) -> None:
        self.now = start or a_while_ago()
        self.messages: list[Sent] = []
        self._count = 0

    def __call__(self, topic: str, *, key: bytes | None = None, **fields: Any) -> Sent:  # noqa: ANN401
        self._count += 1
        self.now += timedelta(seconds=1)
        body = {"event_id": f"e-{self._count}", "occurred_at": self.now.isoformat(), **fields}
        message = Sent(topic, json.dumps(body).encode(), key)
        self.messages.append(message)
        return message
