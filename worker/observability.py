"""What the worker tells operators while it runs: one line of JSON for each log event, and metrics.

All metrics are declared here. The engine counts for each batch, not for each event.
"""

import logging
import sys
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Final, TextIO

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from structlog.typing import EventDict, Processor, WrappedLogger

from worker.database_url import taken_apart
from worker.secrecy import remember, without_secrets
from worker.settings import Settings

_NOISY: Final = ("aiokafka", "alembic", "faststream", "sqlalchemy")

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each counter, which nobody asks for
REGISTRY: Final = CollectorRegistry()

records = Counter("connects_records", "Input records decided.", registry=REGISTRY)
decisions = Counter("connects_decisions", "Decisions.", ["outcome", "reason"], registry=REGISTRY)
late_events = Counter("connects_late_events", "Events read after business time had passed them.", registry=REGISTRY)
dead_letters = Counter("connects_dead_letters", "Records that can never be decided.", registry=REGISTRY)
event_id_conflicts = Counter(
    "connects_event_id_conflicts",
    "Known event ids with another payload. Alarm: a producer is broken.",
    registry=REGISTRY,
)
hires_after_settlement = Counter(
    "connects_hires_after_settlement", "Hires that came after their job's refunds.", registry=REGISTRY
)
failures_in_rules = Counter(
    "connects_failures_in_rules",
    "Wallets and jobs parked: a rule failed, or PostgreSQL refused the decision. Alarm.",
    registry=REGISTRY,
)
takeovers = Counter("connects_takeovers", "How often this worker began to lead.", registry=REGISTRY)

spans_exported = Counter("connects_spans_exported", "Spans that a collector has taken.", registry=REGISTRY)
spans_dropped = Counter(
    "connects_spans_dropped",
    "Spans that no collector has taken: the queue was full, or none could be reached.",
    registry=REGISTRY,
)

_SIZES: Final = (1, 10, 50, 100, 500, 1_000, 2_000, 5_000, 10_000, 20_000)
_SECONDS: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
batch_decisions = Histogram("connects_batch_decisions", "Decisions of a batch.", buckets=_SIZES, registry=REGISTRY)
decide_seconds = Histogram("connects_decide_seconds", "Deciding a batch.", buckets=_SECONDS, registry=REGISTRY)
stage_seconds = Counter("connects_stage_seconds", "Time of batches, by stage.", ["stage"], registry=REGISTRY)
commit_seconds = Histogram("connects_commit_seconds", "Committing a batch.", buckets=_SECONDS, registry=REGISTRY)

active = Gauge("connects_active", "1 while this worker leads, 0 while it stands by.", registry=REGISTRY)
epoch = Gauge("connects_epoch", "The number of this worker's leadership.", registry=REGISTRY)
lag_records = Gauge("connects_lag_records", "Records not yet decided.", ["topic"], registry=REGISTRY)
lag_seconds = Gauge(
    "connects_lag_seconds", "For how long the oldest record not yet decided has been there.", registry=REGISTRY
)
business_time = Gauge("connects_business_time_seconds", "Business time, in seconds since 1970.", registry=REGISTRY)
clock_due = Gauge(
    "connects_clock_due", "Settlements, expiries and cycle starts due and not yet done.", registry=REGISTRY
)
clock_stopped = Gauge("connects_clock_stopped", "1 while clock work is stopped. Alarm.", registry=REGISTRY)
outbox_rows = Gauge("connects_outbox_rows", "Batches committed and not yet published.", registry=REGISTRY)
outbox_age_seconds = Gauge("connects_outbox_age_seconds", "Age of the oldest of them.", registry=REGISTRY)
parked = Gauge("connects_parked", "Wallets and jobs that wait for an operator. Alarm.", registry=REGISTRY)
stopped_partitions = Gauge("connects_stopped_partitions", "Partitions that are not read on. Alarm.", registry=REGISTRY)
hidden_records = Gauge(
    "connects_hidden_records",
    "Records behind open transactions of others, at most. Alarm.",
    ["topic"],
    registry=REGISTRY,
)
unavailable_partitions = Gauge(
    "connects_unavailable_partitions",
    "Partitions that cannot be read now, as without a leader. Alarm.",
    registry=REGISTRY,
)
partitions_on_hold = Gauge(
    "connects_partitions_on_hold",
    "Partitions that an operator has put on hold.",
    registry=REGISTRY,
)
problems = Gauge(
    "connects_problems",
    "What is wrong, by kind; readiness and `connects status` say what it is.",
    ["kind"],
    registry=REGISTRY,
)
missing_topics = Gauge("connects_missing_topics", "Input topics that do not exist.", registry=REGISTRY)
overdrawn_wallets = Gauge("connects_overdrawn_wallets", "Wallets below zero.", registry=REGISTRY)
charges_unanswered = Gauge(
    "connects_charges_unanswered", "Charges that the billing system owes an answer to.", registry=REGISTRY
)
oldest_charge_seconds = Gauge(
    "connects_oldest_charge_unanswered_seconds", "How long ago the oldest of them was asked.", registry=REGISTRY
)
refunds_owed = Gauge(
    "connects_refunds_owed", "Refunds that closures owe and nobody made, of the closures looked at.", registry=REGISTRY
)
oldest_refund_seconds = Gauge(
    "connects_oldest_refund_owed_seconds", "How long the oldest of them has been due.", registry=REGISTRY
)


def observe_batch(
    *,
    outcomes: Mapping[tuple[str, str], int],
    records_decided: int,
    rejected_with_others: int = 0,
    late: int,
    loading_seconds: float,
    deciding_seconds: float,
    encoding_seconds: float,
    committing_seconds: float,
) -> None:
    """Count a committed batch; `outcomes` are its decisions by (outcome, reason).

    `rejected_with_others` are rejected records without a decision of their own.
    """
    for (outcome, reason), count in outcomes.items():
        decisions.labels(outcome, reason).inc(count)
        if outcome == "rejected":
            dead_letters.inc(count)
    dead_letters.inc(rejected_with_others)
    event_id_conflicts.inc(outcomes.get(("rejected", "event-id-conflict"), 0))
    hires_after_settlement.inc(outcomes.get(("recorded", "hire-after-settlement"), 0))
    failures_in_rules.inc(outcomes.get(("parked", "failure-in-rule"), 0))
    failures_in_rules.inc(outcomes.get(("parked", "refused-by-postgresql"), 0))
    records.inc(records_decided)
    late_events.inc(late)
    batch_decisions.observe(sum(outcomes.values()))
    decide_seconds.observe(deciding_seconds)
    commit_seconds.observe(committing_seconds)
    stage_seconds.labels("load").inc(loading_seconds)
    stage_seconds.labels("decide").inc(deciding_seconds)
    stage_seconds.labels("encode").inc(encoding_seconds)
    stage_seconds.labels("commit").inc(committing_seconds)


def observe_input(
    *,
    lag_by_topic: Mapping[str, int],
    oldest_seconds: float,
    stopped: int,
    missing: int,
    at: datetime | None,
    hidden_by_topic: Mapping[str, int] | None = None,
    unavailable: int = 0,
    on_hold: int = 0,
) -> None:
    """Show how far the input is read: records and seconds behind, what is not read, and business time (`at`)."""
    for topic, lag in lag_by_topic.items():
        lag_records.labels(topic).set(lag)
    for topic, hidden in (hidden_by_topic or {}).items():
        hidden_records.labels(topic).set(hidden)
    unavailable_partitions.set(unavailable)
    partitions_on_hold.set(on_hold)
    lag_seconds.set(oldest_seconds)
    stopped_partitions.set(stopped)
    missing_topics.set(missing)
    if at is not None:
        business_time.set(at.timestamp())


def observe_work(*, due: int, clock_is_stopped: bool, parked_keys: int, outbox: int, outbox_seconds: float) -> None:
    """Show what is waiting: clock work, parked wallets and jobs, batches to publish."""
    clock_due.set(due)
    clock_stopped.set(clock_is_stopped)
    parked.set(parked_keys)
    outbox_rows.set(outbox)
    outbox_age_seconds.set(outbox_seconds)


def observe_problems(kinds: Iterable[str]) -> None:
    """Show what is wrong: how many problems of each kind."""
    problems.clear()
    for kind in kinds:
        problems.labels(kind).inc()


def observe_sample(
    *, overdrawn: int, charges: int, oldest_charge: float, refunds: int = 0, oldest_refund: float = 0.0
) -> None:
    """Show what is queried now and then: wallets below zero; charges not answered and refunds owed, and since when.

    `oldest_charge` and `oldest_refund` are in seconds.
    """
    overdrawn_wallets.set(overdrawn)
    charges_unanswered.set(charges)
    oldest_charge_seconds.set(oldest_charge)
    refunds_owed.set(refunds)
    oldest_refund_seconds.set(oldest_refund)


def observe_role(*, leads: bool, present_epoch: int | None) -> None:
    """Show whether this worker leads, and under which number. What only a leader knows is cleared for a standby."""
    active.set(leads)
    if present_epoch is not None:
        epoch.set(present_epoch)
    if not leads:
        lag_records.clear()
        hidden_records.clear()
        for gauge in (lag_seconds, clock_due, clock_stopped, outbox_rows, outbox_age_seconds, parked):
            gauge.set(0)
        unavailable_partitions.set(0)
        partitions_on_hold.set(0)
        for gauge in (stopped_partitions, missing_topics, overdrawn_wallets, charges_unanswered, oldest_charge_seconds):
            gauge.set(0)
        for gauge in (refunds_owed, oldest_refund_seconds):
            gauge.set(0)


def configure_logging(settings: Settings, stream: TextIO | None = None) -> None:
    """Log to `stream` (standard error): lines of JSON, or, on a terminal, lines for people. Secrets are blotted out."""
    out: TextIO | None = stream or sys.stderr
    level = logging.getLevelName(settings.log_level.upper())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    if out is not None and out.isatty():
        pretty = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        last: list[Processor] = [pretty]
    else:
        last = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str)]
    remember(_secrets_of(settings))
    last.append(_masked)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    # Standard error may be closed, as some supervisors do.
    handler = logging.NullHandler() if out is None else logging.StreamHandler(out)
    handler.addFilter(_is_worth_a_line)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    logging.basicConfig(handlers=[handler], level=level, force=True)
    for name in _NOISY:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))


def _is_worth_a_line(record: logging.LogRecord) -> bool:
    """Leave out what aiokafka says of connecting: our own lines say it in words, and why."""
    return not (record.name.startswith("aiokafka") and record.module in {"client", "conn"})


def _secrets_of(settings: Settings) -> Iterator[str]:
    yield settings.kafka_sasl_password.get_secret_value()
    yield settings.console_token.get_secret_value()
    for url in filter(None, (settings.database_url, settings.migrate_url)):
        yield from taken_apart(url).secrets


def _masked(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    """Mask secrets in the finished line, wherever they came from; the last processor."""
    return without_secrets(str(event))
