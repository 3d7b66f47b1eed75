"""The worker put together: settings in, a service with its HTTP page out; or one command carried out without one."""

import asyncio
import errno
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Final

import asyncpg
import msgspec
import structlog
import uvloop

from schemas.asyncapi import JsonObject, asyncapi_document
from worker import observability
from worker.engine.commands import Command, CommandRunner
from worker.engine.service import Service, Term, WorkerConfig, check_policies
from worker.engine.writer import Committed, Writer
from worker.errors import OperatorNeeded, PolicyRefused, Transient, WorkerError
from worker.http import HttpServer
from worker.ledger.budget import LEAST
from worker.ledger.leadership import Leadership
from worker.ledger.postgres import PostgresStore
from worker.ledger.sql import load
from worker.operations.asking import connected
from worker.operations.policies import compare_with_ledger, policies
from worker.settings import Settings, SettingsError

_SQL: Final = load("asking.sql")
_SAMPLE_SECONDS: Final = 30.0
_LEASE_SECONDS: Final = 15.0
_POLICY_CHECK_SECONDS: Final = 10.0
_LAST_PORT: Final = 65_535

_log = structlog.get_logger(__name__)


def run(settings: Settings) -> None:
    """Work until SIGTERM or SIGINT, then finish what was begun and hand the lease over.

    Raises:
        SettingsError: the policy, or the address of CONNECTS_HTTP_HOST and CONNECTS_HTTP_PORT, cannot be used.
        OperatorNeeded: going on would risk the ledger; the text says what to do.
    """
    config = worker_config(settings)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner, _policy_refusals(settings):
        runner.run(_run(settings, config))


def worker_config(settings: Settings) -> WorkerConfig:
    """What the engine needs of the settings.

    Raises:
        SettingsError: the policy cannot be used.
    """
    return WorkerConfig(
        kafka=settings.kafka_kwargs(),
        database_url=settings.database_url,
        policies=policies(settings),
        topic_prefix=settings.topic_prefix,
        group_id=settings.kafka_group_id,
        grace=settings.grace,
        max_clock_skew=settings.max_clock_skew,
        batch_size=settings.batch_size,
        clock=settings.wall_clock(),
        holder=f"{socket.gethostname()}:{os.getpid()}",
        simulated_time=bool(settings.clock),
        most_connections=settings.max_database_connections,
    )


async def execute_pending_commands(settings: Settings) -> None:
    """Take the ledger, carry open commands out, and hand it back: for when no worker runs.

    What they change is published by the next worker.

    Raises:
        OperatorNeeded: there is no ledger, or a constraint refused a commit.
        Transient: the database is away, or another worker was faster.
        SettingsError: the policy cannot be used, or contradicts the ledger.
    """
    with _policy_refusals(settings):
        await _execute_pending_commands(settings)


async def _execute_pending_commands(settings: Settings) -> None:
    config = worker_config(settings)
    await _check_policy(settings, config)
    leadership = Leadership(settings.database_url, f"command:{config.holder}")
    store = PostgresStore(settings.database_url, config.holder, most_connections=LEAST)
    try:
        async with asyncio.timeout(_LEASE_SECONDS):
            epoch = await leadership.acquire()
        writer = Writer(
            store, epoch, config.policies, config.grace, config.clock.now, lambda _committed: None, config.batch_size
        )
        await writer.open()
        await check_policies(store, writer, config.policies)
        for row in await store.open_commands():
            arguments = msgspec.json.decode(row["arguments"])
            await CommandRunner(writer).run(Command(row["id"], row["name"], arguments, row["actor"], row["why"]))
    except TimeoutError:
        raise Transient(leadership.trouble or "another worker has just taken the ledger; ask again") from None
    finally:
        await store.close()
        await leadership.release()


async def _check_policy(settings: Settings, config: WorkerConfig) -> None:
    """Refuse a policy that contradicts the ledger before the ledger is taken, where the ledger can be read by now.

    Where it cannot, the worker waits for it; it checks again each time it takes the ledger.
    """
    try:
        async with asyncio.timeout(_POLICY_CHECK_SECONDS):
            use = await compare_with_ledger(settings.database_url, config.policies)
    except (OperatorNeeded, Transient, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        _log.debug("the policy is compared with the ledger later", error=str(error))
        return
    if use.refusal is not None:
        raise PolicyRefused(use.refusal)


@contextmanager
def _policy_refusals(settings: Settings) -> Iterator[None]:
    """A policy that contradicts the ledger is a setting that cannot be used."""
    try:
        yield
    except PolicyRefused as error:
        raise SettingsError(f"CONNECTS_POLICY: {settings.policy}: {error}") from None


async def _run(settings: Settings, config: WorkerConfig) -> None:
    service = Service(config, _observe)
    metrics = _Metrics(service, config)
    server = HttpServer(service, observability.REGISTRY, asyncapi=lambda: asyncapi(settings), refresh=metrics.refresh)
    try:
        await server.start(settings.http_host, settings.http_port)
    except OSError as error:
        raise SettingsError(_no_page(settings, error)) from None
    sampling = asyncio.create_task(metrics.sample_for_good(settings.database_url), name="sampling")
    _stop_on_signals(service)
    try:
        await _check_policy(settings, config)
        await service.run()
    finally:
        sampling.cancel()
        await asyncio.gather(sampling, return_exceptions=True)
        await server.stop()


def _no_page(settings: Settings, error: OSError) -> str:
    """Why there can be no HTTP page, and which setting mends it."""
    why = f"{settings.http_host}:{settings.http_port} cannot be used ({error.strerror or error})"
    if error.errno == errno.EADDRINUSE:
        another = settings.http_port + 1 if settings.http_port < _LAST_PORT else settings.http_port - 1
        return (
            f"CONNECTS_HTTP_PORT: {why}. If another worker on this host has it, give this one another: "
            f"CONNECTS_HTTP_PORT={another}"
        )
    if error.errno in {errno.EACCES, errno.EPERM}:
        return f"CONNECTS_HTTP_PORT: {why}. Give one above 1023"
    return f"CONNECTS_HTTP_HOST: {why}. Give an address of this host: 127.0.0.1, or 0.0.0.0 for all of them"


def asyncapi(settings: Settings) -> JsonObject:
    """What this worker receives and sends, under its deployment's prefix."""
    try:
        release = version("connects-worker")
    except PackageNotFoundError:
        release = "0"  # run from a checkout that was never installed
    return asyncapi_document(title="connects-worker", version=release, prefix=settings.topic_prefix)


def _stop_on_signals(service: Service) -> None:
    """The first signal stops in order; a second one ends at once."""
    loop = asyncio.get_running_loop()

    def stop(which: signal.Signals) -> None:
        _log.info("stopping", signal=which.name)
        loop.remove_signal_handler(which)
        service.stop()

    for which in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(which, stop, which)


def _observe(committed: Committed) -> None:
    observability.observe_batch(
        outcomes=committed.outcomes,
        records_decided=committed.records,
        late=committed.late,
        loading_seconds=committed.load_seconds,
        deciding_seconds=committed.decide_seconds,
        encoding_seconds=committed.encode_seconds,
        committing_seconds=committed.commit_seconds,
    )


class _Metrics:
    """Reads from the service what is only known when it is asked for."""

    def __init__(self, service: Service, config: WorkerConfig) -> None:
        self._service, self._config = service, config
        self._seen_epoch: int | None = None

    def refresh(self) -> None:
        """Bring the gauges up to date."""
        term = self._service.term
        if term is None or not term.opened:
            observability.observe_role(leads=False, present_epoch=None)
            return
        epoch = self._service.leadership.epoch
        observability.observe_role(leads=True, present_epoch=epoch)
        if epoch != self._seen_epoch:
            self._seen_epoch = epoch
            observability.takeovers.inc()
        self._refresh_input(term)
        self._refresh_work(term)

    def _refresh_input(self, term: Term) -> None:
        lag: dict[str, int] = {}
        for source, records in term.intake.lag().items():
            lag[source.topic] = lag.get(source.topic, 0) + records
        observability.observe_input(
            lag_by_topic=lag,
            oldest_seconds=term.intake.lag_seconds,
            stopped=len(term.intake.stopped),
            missing=len(term.intake.missing_topics),
            at=term.writer.business_time,
        )

    def _refresh_work(self, term: Term) -> None:
        oldest = term.relay.oldest_pending_since
        waits = 0.0 if oldest is None else max(0.0, (self._config.clock.now() - oldest).total_seconds())
        observability.observe_work(
            due=term.writer.clock_due(term.writer.business_time),
            clock_is_stopped=term.clock_disagrees is not None,
            parked_keys=len(term.writer.parked),
            outbox=term.relay.pending_rows,
            outbox_seconds=waits,
        )

    async def sample_for_good(self, database_url: str) -> None:
        """Ask the ledger now and then what would cost too much to keep count of."""
        while True:
            if self._service.role == "active":
                try:
                    async with connected(database_url) as connection:
                        overdrawn, charges, oldest = await connection.fetchrow(_SQL["sampled"]) or (0, 0, 0.0)
                    observability.observe_sample(overdrawn=overdrawn, charges=charges, oldest_charge=oldest)
                except WorkerError as error:
                    _log.debug("not sampled", error=str(error))
            await asyncio.sleep(_SAMPLE_SECONDS)
