"""`connects status`: how the ledger and its workers are, whether or not one runs."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec
from aiokafka.errors import KafkaError

from worker.domain.phrases import agreeing, counted
from worker.errors import OperatorNeeded, Transient, UsageError
from worker.ledger.connections import Connection
from worker.ledger.rows import as_uuid
from worker.ledger.sql import load
from worker.operations.asking import connected, reached_kafka, snapshot
from worker.operations.explain import in_words
from worker.operations.history import named
from worker.operations.lag import Holder, Lag, StoppedPartition, measure_lag
from worker.operations.memberships import UnansweredCharge, unanswered_charges
from worker.operations.positions import stored_positions
from worker.operations.progress import standstill, wrong_encoding
from worker.settings import Settings
from worker.stream.marker import MARKER_TOPIC, read_marker
from worker.stream.topics import DEAD_LETTER_TOPIC

_SQL: Final = load("asking.sql")
_LAG_ALARM_SECONDS: Final = 300
_LISTED: Final = 20
_UNSENT_ALARM_SECONDS: Final = 60
"""A dead letter goes out at once; one that waits for longer has nowhere to go."""


class Listed(msgspec.Struct, frozen=True):
    """A decision that is worth an operator's knowing; no problem of the ledger's."""

    seq: int
    recorded_at: datetime
    reason: str
    subject: dict[str, str]
    explanation: str


class Status(msgspec.Struct, frozen=True):
    """Figures for operators; `problems`, in words, need a person. What only Kafka knows is None while Kafka is away.

    `role` is `active` while a worker holds the ledger, else `none`. `outbox_pending` counts batches committed and not
    published, `dead_letters` all there ever were, `parked` wallets and jobs, `parked_waiting` what waits behind them.
    `missing_topics` are inputs.
    """

    role: str
    holder: str
    epoch: int
    lag_records: int | None
    lag_seconds: float | None
    lag_by_topic: dict[str, int] | None
    business_time: datetime | None
    held_back_by: Holder | None
    settlements_pending: int
    clock_due: int
    outbox_pending: int
    outbox_age_seconds: float
    parked: int
    parked_waiting: int
    dead_letters: int
    dead_letters_unsent: int
    overdrawn_wallets: int
    commands_open: int
    charges_unanswered: int
    missing_topics: list[str] | None
    missing_output_topics: list[str] | None
    stopped_partitions: list[StoppedPartition] | None
    problems: list[str]
    for_operators: list[Listed]
    """The last that are worth knowing, newest first. They stay for good, so none of them is a problem."""
    charges_waiting: list[UnansweredCharge]
    """Those of the unanswered charges that have waited longest, oldest first."""


class _Ledger(msgspec.Struct, frozen=True):
    """The ledger's own figures, of one instant."""

    ledger_id: UUID
    epoch: int
    holder: str
    held: bool
    business_time: datetime | None
    waiting: dict[str, int]
    listed: list[Listed]
    charges: list[UnansweredCharge]


async def status(settings: Settings) -> Status:
    """Ask the ledger, then Kafka; that Kafka is away is one of the problems.

    Raises:
        OperatorNeeded, Transient: the database cannot be used.
    """
    async with snapshot(settings.database_url) as connection:
        ledger = await _ledger(connection, settings)
        positions = await stored_positions(connection)
    lag, published, kafka_problem = None, None, None
    try:
        async with reached_kafka(settings) as reached:
            lag = await measure_lag(reached, positions)
            published = await _published(reached, ledger.ledger_id)
    except (Transient, UsageError) as error:
        kafka_problem = str(error)
    async with connected(settings.database_url) as connection:
        unpublished = await connection.fetchrow(_SQL["unpublished"], published)
        found = [wrong_encoding(connection)]
        if lag is not None and ledger.held:
            found.append(await standstill(connection, lag.records, ledger.holder))
    waiting = ledger.waiting
    return Status(
        role="active" if ledger.held else "none",
        holder=ledger.holder,
        epoch=ledger.epoch,
        lag_records=None if lag is None else lag.records,
        lag_seconds=None if lag is None else lag.seconds,
        lag_by_topic=None if lag is None else lag.by_topic,
        business_time=ledger.business_time,
        held_back_by=None if lag is None else lag.held_back_by,
        settlements_pending=waiting["settlements_pending"],
        clock_due=waiting["expiries_due"] + waiting["cycles_due"] + waiting["other_due"],
        outbox_pending=0 if unpublished is None else unpublished["batches"],
        outbox_age_seconds=0.0 if unpublished is None else round(unpublished["seconds"], 3),
        parked=waiting["parked"],
        parked_waiting=waiting["parked_triggers"],
        dead_letters=waiting["dead_letters"],
        dead_letters_unsent=waiting["dead_letters_unsent"],
        overdrawn_wallets=waiting["overdrawn_wallets"],
        commands_open=waiting["commands_open"],
        charges_unanswered=waiting["charges_unanswered"],
        missing_topics=None if lag is None else lag.missing_topics,
        missing_output_topics=None if lag is None else lag.missing_outputs,
        stopped_partitions=None if lag is None else lag.stopped,
        problems=[
            *(problem for problem in found if problem is not None),
            *_problems(ledger, lag, kafka_problem, 0 if unpublished is None else unpublished["batches"]),
        ],
        for_operators=ledger.listed,
        charges_waiting=ledger.charges,
    )


async def _ledger(connection: Connection, settings: Settings) -> _Ledger:
    leader = await connection.fetchrow(_SQL["leader"])
    if leader is None:
        raise OperatorNeeded("the table leader is empty: this database is no ledger. Restore it, or migrate a new one.")
    batch = await connection.fetchrow(_SQL["last_batch"])
    business_time = None if batch is None else batch["business_time"]
    expired_by = business_time and business_time - settings.grace
    waiting = await connection.fetchrow(_SQL["waiting_work"], business_time, expired_by, _UNSENT_ALARM_SECONDS)
    return _Ledger(
        as_uuid(leader["ledger_id"]),
        leader["epoch"],
        leader["holder"],
        leader["held"],
        business_time,
        dict(waiting or {}),
        [
            Listed(
                row["seq"],
                row["recorded_at"],
                row["reason"],
                named(row, "job_id", "proposal_id", "freelancer_id"),
                in_words(row, msgspec.json.decode(row["facts"], type=dict[str, object])),
            )
            for row in await connection.fetch(_SQL["for_operators"], _LISTED)
        ],
        await unanswered_charges(connection, _LISTED),
    )


async def _published(settings: Settings, ledger_id: UUID) -> int | None:
    """The last row that the relay's marker knows as published; None without a marker."""
    try:
        marker = await read_marker(settings.kafka_kwargs(), settings.topic_prefix + MARKER_TOPIC, ledger_id)
    except (Transient, KafkaError):
        return None  # the output topics do not exist yet
    return None if marker is None else marker.seq


def _problems(ledger: _Ledger, lag: Lag | None, kafka_problem: str | None, unpublished: int) -> Iterator[str]:
    if kafka_problem is not None:
        yield kafka_problem
    if parked := ledger.waiting["parked"]:
        behind = ledger.waiting["parked_triggers"]
        yield (
            f"{counted(parked, 'wallet or job is', 'wallets or jobs are')} stopped by a failure, and "
            f"{counted(behind, 'message waits', 'messages wait')} behind {agreeing(parked, 'it', 'them')}. "
            "See `connects parked list`."
        )
    if overdue := ledger.waiting["dead_letters_overdue"]:
        yield (
            f"{counted(overdue, 'dead letter has', 'dead letters have')} waited to be sent for more than "
            f"{_UNSENT_ALARM_SECONDS} s. Does a worker run, and does {DEAD_LETTER_TOPIC} take messages of 4 MiB?"
        )
    if lag is None:
        return
    if missing := lag.missing_outputs:
        yield (
            f"the output {agreeing(len(missing), 'topic')} {', '.join(missing)} "
            f"{agreeing(len(missing), 'does', 'do')} not exist, and "
            f"{counted(unpublished, 'batch waits', 'batches wait')} to be published. "
            f"Make {agreeing(len(missing), 'it', 'them')} with `connects topics create`."
        )
    for partition in lag.stopped:
        yield f"{partition.topic}, partition {partition.partition} is not read: {partition.reason}"
    if lag.records and not ledger.held:
        waiting = counted(lag.records, "record waits", "records wait")
        yield f"no worker runs, and {waiting}. Start one with `connects run`."
    elif lag.seconds > _LAG_ALARM_SECONDS:
        oldest = agreeing(lag.records, "1 record", f"the oldest of {lag.records} records")
        yield f"{oldest} has waited for {lag.seconds:.0f} s."
