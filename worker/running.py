"""The worker put together: settings in, a service with its HTTP page out."""

import asyncio
import errno
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

import structlog
import uvloop

from schemas.asyncapi import JsonObject, asyncapi_document
from worker import observability
from worker.engine.commit import Committed
from worker.engine.service import Service
from worker.engine.term import Term, WorkerConfig
from worker.errors import WorkerError
from worker.http.application import application
from worker.http.server import HttpServer
from worker.ledger.sql import load
from worker.listeners import reason_of
from worker.offline import this_process
from worker.places import LAST_PORT
from worker.queries.asking import connected
from worker.queries.owed_watch import OwedWatch
from worker.queries.policies import policies, policy_refusals, refuse_contradiction
from worker.release import release
from worker.settings import Settings, SettingsError

_SQL: Final = load("asking.sql")
_SAMPLE_SECONDS: Final = 30.0

_log = structlog.get_logger(__name__)


def run(settings: Settings) -> None:
    """Work until SIGTERM or SIGINT, then finish what was begun and hand the lease over.

    Raises:
        SettingsError: the policy, or the address of CONNECTS_HTTP_HOST and CONNECTS_HTTP_PORT, cannot be used.
        OperatorNeeded: going on would risk the ledger; the text says what to do.
    """
    with (
        traced(worker_config(settings), settings.of_tracing if settings.tracing else None) as config,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        policy_refusals(settings),
    ):
        runner.run(_run(settings, config))


@contextmanager
def traced(config: WorkerConfig, variables: Mapping[str, str] | None) -> Iterator[WorkerConfig]:
    """The same configuration, with tracing in it as the variables `OTEL_*` say; the last spans are exported at the end.

    None: tracing is off. Otherwise it was found that it can be on (`require_tracing`).
    """
    if variables is None:
        yield config
        return
    from worker.tracing import provider  # noqa: PLC0415 - the extra is imported only where it is used

    tracing = provider.start(variables, config.topic_prefix, config.group_id)
    try:
        yield replace(config, new_commits=tracing.new_commits, new_flush=tracing.new_flush)
    finally:
        tracing.stop()


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
        earliest_event=settings.earliest_event,
        batch_size=settings.batch_size,
        clock=settings.wall_clock(),
        holder=this_process(),
        simulated_time=bool(settings.clock),
        most_connections=settings.max_database_connections,
    )


async def _run(settings: Settings, config: WorkerConfig) -> None:
    asyncio.get_running_loop().set_exception_handler(_log_failure)
    service = Service(config, _observe)
    metrics = _Metrics(service, config)
    pages = application(
        service,
        observability.REGISTRY,
        asyncapi=lambda: asyncapi(settings),
        refresh=metrics.refresh,
        warnings=service.warnings,
    )
    server = HttpServer(pages)
    try:
        await server.start(settings.http_host, settings.http_port)
    except OSError as error:
        raise SettingsError(why_no_page(settings, error)) from None
    sampling = asyncio.create_task(metrics.sample_for_good(settings.database_url), name="sampling")
    _stop_on_signals(service)
    try:
        await refuse_contradiction(settings, config.policies)
        await service.run()
    finally:
        sampling.cancel()
        await asyncio.gather(sampling, return_exceptions=True)
        await server.stop()


def why_no_page(settings: Settings, error: OSError) -> str:
    """Why there can be no HTTP page, and which setting mends it."""
    why = f"{settings.http_host}:{settings.http_port} cannot be used ({error.strerror or error})"
    if error.errno == errno.EADDRINUSE:
        another = settings.http_port + 1 if settings.http_port < LAST_PORT else settings.http_port - 1
        return (
            f"CONNECTS_HTTP_PORT: {why}. If another worker on this host has it, give this one another: "
            f"CONNECTS_HTTP_PORT={another}"
        )
    if error.errno in {errno.EACCES, errno.EPERM}:
        return f"CONNECTS_HTTP_PORT: {why}. Give one above 1023"
    return f"CONNECTS_HTTP_HOST: {why}. Give an address of this host: 127.0.0.1, or 0.0.0.0 for all of them"


def asyncapi(settings: Settings) -> JsonObject:
    """What this worker receives and sends, under its deployment's prefix."""
    return asyncapi_document(title="connects-worker", version=release(), prefix=settings.topic_prefix)


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
        rejected_with_others=committed.rejected_with_others,
        late=committed.late,
        loading_seconds=committed.load_seconds,
        deciding_seconds=committed.decide_seconds,
        encoding_seconds=committed.encode_seconds,
        committing_seconds=committed.commit_seconds,
    )


def _log_failure(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log a failure that nobody waited for; of a connection that was given up while it was made, without alarm."""
    error = context.get("exception")
    if isinstance(error, OSError) and "future" in context and not isinstance(context["future"], asyncio.Task):
        _log.debug("connection.given_up", error=reason_of(error))
        return
    loop.default_exception_handler(context)


class _Metrics:
    """Reads from the service what is only known when it is asked for."""

    def __init__(self, service: Service, config: WorkerConfig) -> None:
        self._service, self._config = service, config
        self._seen_epoch: int | None = None

    def refresh(self) -> None:
        """Bring the gauges up to date."""
        observability.observe_problems(problem.kind for problem in self._service.all_problems())
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
        hidden: dict[str, int] = dict.fromkeys(lag, 0)
        for source, what in term.intake.hidden().items():
            hidden[source.topic] = hidden.get(source.topic, 0) + what.records
        observability.observe_input(
            lag_by_topic=lag,
            hidden_by_topic=hidden,
            unavailable=len(term.intake.unavailable()),
            on_hold=len(term.intake.on_hold()),
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
        """Periodically query figures that are too expensive to maintain."""
        watch = OwedWatch(self._config.grace)
        while True:
            if self._service.role != "active":
                watch = OwedWatch(self._config.grace)
            else:
                try:
                    async with connected(database_url) as connection:
                        overdrawn, charges, oldest = await connection.fetchrow(_SQL["sampled"]) or (0, 0, 0.0)
                        owed = await watch.sample(connection)
                    observability.observe_sample(
                        overdrawn=overdrawn,
                        charges=charges,
                        oldest_charge=oldest,
                        refunds=owed.refunds,
                        oldest_refund=owed.oldest_seconds,
                    )
                except WorkerError as error:
                    _log.debug("not sampled", error=str(error))
            await asyncio.sleep(_SAMPLE_SECONDS)
