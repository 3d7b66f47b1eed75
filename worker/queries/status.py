"""`connects status`: how the ledger and its workers are, whether or not one runs."""

import asyncio
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID

import msgspec
from aiokafka.errors import KafkaError

from worker.errors import OperatorNeeded, Transient, UsageError
from worker.kafka.holds import Hold, by_place, hold_in_words, hold_of, in_order
from worker.kafka.output.marker import MARKER_TOPIC, Marker, read_marker
from worker.kafka.topics import DEAD_LETTER_TOPIC
from worker.kafka.troubles import Unavailable, hidden_in_words, unavailable_in_words
from worker.ledger.connections import Connection
from worker.ledger.rows import as_uuid
from worker.ledger.sql import load
from worker.problems import NEXT, Found, Report, read_report
from worker.queries.asking import connected, reached_kafka, snapshot
from worker.queries.explain import in_words
from worker.queries.history import named
from worker.queries.lag import HiddenRecords, Holder, Lag, StoppedPartition, UnavailablePartition, measure_lag
from worker.queries.memberships import UnansweredCharge, unanswered_charges
from worker.queries.owed import owed_lately
from worker.queries.positions import HoldRecord, hold_record, stored_holds, stored_positions
from worker.queries.progress import standstill, wrong_encoding
from worker.settings import Settings
from worker.words.phrases import agreeing, counted

_SQL: Final = load("asking.sql")
_LAG_ALARM_SECONDS: Final = 300
_LASTING: Final = timedelta(seconds=5)
"""What hinders a worker for a moment, as while it takes the ledger over, needs nobody. What lasts is reported again."""
_LISTED: Final = 20
_MARKER_SECONDS: Final = 10.0
_UNSENT_ALARM_SECONDS: Final = 60
"""A dead letter goes out at once; one that waits for longer has nowhere to go."""


class NotedDecision(msgspec.Struct, frozen=True):
    """A decision that is worth an operator's knowing; no problem of the ledger's."""

    seq: int
    recorded_at: datetime
    reason: str
    subject: dict[str, str]
    explanation: str


class OwedInShort(msgspec.Struct, frozen=True):
    """Refunds that are owed by the closures read last, on that many `jobs`; `lost` are on no schedule."""

    refunds: int
    connects: int
    oldest_seconds: float | None
    lost: int
    jobs: int


class StatusProblem(msgspec.Struct, frozen=True):
    """Something that needs a person: what, since when it is known, and what to do."""

    what: str
    since: datetime
    next: str


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
    problems: list[StatusProblem]
    for_operators: list[NotedDecision]
    """The last that are worth knowing, newest first. They stay for good, so none of them is a problem."""
    charges_waiting: list[UnansweredCharge]
    """Those of the unanswered charges that have waited longest, oldest first."""
    hidden: list[HiddenRecords] | None = None
    """What open transactions of other producers hide; `lag_records` does not count it."""
    unavailable_partitions: list[UnavailablePartition] | None = None
    """Partitions that cannot be read now; `lag_records` does not know of their records."""
    owed: OwedInShort | None = None
    """`connects owed` has the whole ledger's."""
    holds: list[HoldRecord] = []
    """What operators have put on hold. `lag_records` counts what waits there, `lag_seconds` does not."""


class _Ledger(msgspec.Struct, frozen=True):
    """The ledger's own figures, of one instant."""

    ledger_id: UUID
    epoch: int
    holder: str
    held: bool
    business_time: datetime | None
    waiting: dict[str, int]
    listed: list[NotedDecision]
    charges: list[UnansweredCharge]
    quiet_seconds: float | None = None
    holds: list[Hold] = []


class Reported(NamedTuple):
    """What a worker said of itself, and how many seconds ago."""

    holder: str
    seconds: float
    report: Report


async def status(settings: Settings) -> Status:
    """Ask the ledger, then Kafka; that Kafka is away is one of the problems.

    Raises:
        OperatorNeeded, Transient: the database cannot be used.
    """
    begun = time.monotonic()
    async with snapshot(settings.database_url) as connection:
        ledger = await _ledger(connection, settings)
        positions = await stored_positions(connection)
    lag, published, kafka_problem = None, None, None
    try:
        async with reached_kafka(settings) as reached:
            marker = await _marker(reached, ledger.ledger_id)
            published = None if marker is None else marker.seq
            in_use = None if marker is None else marker.partitions
            lag = await measure_lag(reached, positions, by_place(ledger.holds), in_use)
    except (Transient, UsageError) as error:
        kafka_problem = str(error)
    async with connected(settings.database_url) as connection:
        unpublished = await connection.fetchrow(_SQL["unpublished"], published)
        owed = await _owed(connection, settings)
        wrong = {"encoding": wrong_encoding(connection), "owed": _owed_problem(owed)}
        found = [Found(kind, "", what) for kind, what in wrong.items() if what is not None]
        if lag is not None and ledger.held:
            stuck = await standstill(connection, lag.not_on_hold, ledger.holder)
            found += [Found("no-progress", "", what) for what in [stuck] if what is not None]
        reports = await reports_of_workers(connection)
    if lag is not None and lag.not_on_hold:
        lag = msgspec.structs.replace(lag, seconds=_waited(ledger, reports, begun))
    if lag is not None:
        lag = msgspec.structs.replace(lag, hidden=[_as_watched(row, reports) for row in lag.hidden])
    derived = _problems(ledger, lag, kafka_problem, 0 if unpublished is None else unpublished["batches"])
    problems = _with_times([*found, *derived], reports, {hold.target: hold.since for hold in ledger.holds})
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
        hidden=None if lag is None else lag.hidden,
        unavailable_partitions=None if lag is None else lag.unavailable,
        problems=problems,
        owed=owed,
        holds=[hold_record(hold, _records_of(hold, lag)) for hold in ledger.holds],
        for_operators=ledger.listed,
        charges_waiting=ledger.charges,
    )


async def _ledger(connection: Connection, settings: Settings) -> _Ledger:
    leader = await connection.fetchrow(_SQL["leader"])
    if leader is None:
        raise OperatorNeeded("the table leader is empty: this database is no ledger. Restore it, or migrate a new one.")
    batch = await connection.fetchrow(_SQL["last_batch"])
    business_time = None if batch is None else batch["business_time"]
    quiet_seconds = None if batch is None else batch["quiet_seconds"]
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
            NotedDecision(
                row["seq"],
                row["recorded_at"],
                row["reason"],
                named(row, "job_id", "proposal_id", "freelancer_id"),
                in_words(row, msgspec.json.decode(row["facts"], type=dict[str, object])),
            )
            for row in await connection.fetch(_SQL["for_operators"], _LISTED)
        ],
        await unanswered_charges(connection, _LISTED),
        quiet_seconds,
        in_order(await stored_holds(connection)),
    )


def _records_of(hold: Hold, lag: Lag | None) -> int | None:
    """How many records wait for a hold to end; None: Kafka cannot be asked."""
    if lag is None:
        return None
    return sum(records for source, records in lag.on_hold.items() if hold_of({hold.place: hold}, source))


async def _owed(connection: Connection, settings: Settings) -> OwedInShort:
    owed = await owed_lately(connection, settings.grace)
    lost = sum(not one.on_schedule for one in owed.owed)
    return OwedInShort(owed.refunds, owed.connects, owed.oldest_seconds, lost, owed.jobs)


def _owed_problem(owed: OwedInShort) -> str | None:
    if not owed.lost:
        return None
    return (
        f"{counted(owed.lost, 'refund is', 'refunds are')} owed, and nothing on the schedule will make "
        f"{agreeing(owed.lost, 'it', 'them')}. See `connects owed`."
    )


async def reports_of_workers(connection: Connection) -> list[Reported]:
    """What the workers that run say of themselves."""
    rows = await connection.fetch(_SQL["reports"])
    return [Reported(row["holder"], row["seconds"], read_report(row["report"])) for row in rows]


def _waited(ledger: _Ledger, reports: list[Reported], begun: float) -> float:
    """For how many seconds records that wait have been there: as the leader saw it, or since the last batch.

    Without either, since this command looked first, which was at the monotonic time `begun`.
    """
    for holder, seconds, report in reports:
        if holder == ledger.holder and report.lag_seconds:
            return round(report.lag_seconds + seconds, 3)
    waited = time.monotonic() - begun if ledger.quiet_seconds is None else ledger.quiet_seconds
    return round(max(waited, 0.001), 3)


def _as_watched(row: HiddenRecords, reports: list[Reported]) -> HiddenRecords:
    """The same, since when a worker has seen it."""
    about = f"{row.topic}/{row.partition}"
    watched = [
        one.since
        for reported in reports
        for one in reported.report.problems
        if (one.kind, one.about) == ("hidden-records", about)
    ]
    return msgspec.structs.replace(row, since=min([row.since, *watched]))


def _with_times(found: list[Found], reports: list[Reported], holds: Mapping[str, datetime]) -> list[StatusProblem]:
    """What this command found, and what hinders a worker, each with the time since when it is known.

    `holds` has since when each of them lasts.
    """
    now = datetime.now(UTC)
    since = {(one.kind, one.about): one.since for reported in reports for one in reported.report.problems}
    since |= {("hold", about): instant for about, instant in holds.items()}
    seen = {one.kind for one in found}
    problems = [StatusProblem(one.what, since.get((one.kind, one.about), now), NEXT[one.kind]) for one in found]
    for holder, seconds, report in reports:
        reported_at = now - timedelta(seconds=seconds)  # whoever was killed since then is hindered by nothing
        problems += [
            StatusProblem(f"worker {holder} ({report.role}): {one.what}.", one.since, one.next)
            for one in report.problems
            if one.hinders and one.kind not in seen and reported_at - one.since > _LASTING
        ]
    return problems


async def _marker(settings: Settings, ledger_id: UUID) -> Marker | None:
    """The relay's marker, which knows what is published; None without one, or if it cannot be read now."""
    try:
        async with asyncio.timeout(_MARKER_SECONDS):
            return await read_marker(settings.kafka_kwargs(), settings.topic_prefix + MARKER_TOPIC, ledger_id)
    except (Transient, KafkaError, TimeoutError):
        return None  # the output topics do not exist yet, or its partition has no leader


def _problems(ledger: _Ledger, lag: Lag | None, kafka_problem: str | None, unpublished: int) -> Iterator[Found]:
    if kafka_problem is not None:
        yield Found("kafka", "", kafka_problem)
    if parked := ledger.waiting["parked"]:
        behind = ledger.waiting["parked_triggers"]
        yield Found(
            "parked",
            "",
            (
                f"{counted(parked, 'wallet or job is', 'wallets or jobs are')} stopped by a failure, and "
                f"{counted(behind, 'message waits', 'messages wait')} behind {agreeing(parked, 'it', 'them')}. "
                "See `connects parked list`."
            ),
        )
    if overdue := ledger.waiting["dead_letters_overdue"]:
        yield Found(
            "dead-letters",
            "",
            (
                f"{counted(overdue, 'dead letter has', 'dead letters have')} waited to be sent for more than "
                f"{_UNSENT_ALARM_SECONDS} s. Does a worker run, and does {DEAD_LETTER_TOPIC} take messages of 4 MiB?"
            ),
        )
    for hold in ledger.holds:
        yield Found("hold", hold.target, f"{hold_in_words(hold)}.")
    if lag is None:
        return
    yield from topic_problems(lag, unpublished)
    if lag.not_on_hold and not ledger.held:
        waiting = counted(lag.not_on_hold, "record waits", "records wait")
        yield Found("no-worker", "", f"no worker runs, and {waiting}. Start one with `connects run`.")
    elif lag.seconds > _LAG_ALARM_SECONDS:
        oldest = agreeing(lag.not_on_hold, "1 record", f"the oldest of {lag.not_on_hold} records")
        yield Found("lag", "", f"{oldest} has waited for {lag.seconds:.0f} s.")


def topic_problems(lag: Lag, unpublished: int) -> Iterator[Found]:
    """What is wrong with topics and partitions, the worker's own first."""
    if missing := lag.missing_outputs:
        yield Found(
            "missing-outputs",
            "",
            (
                f"the output {agreeing(len(missing), 'topic')} {', '.join(missing)} "
                f"{agreeing(len(missing), 'does', 'do')} not exist, and "
                f"{counted(unpublished, 'batch waits', 'batches wait')} to be published. "
                f"Make {agreeing(len(missing), 'it', 'them')} with `connects topics create`."
            ),
        )
    for wrong in lag.wrong_topics:
        yield Found("topic-settings", wrong, f"{wrong}.")
    for unwritable in lag.unwritable:
        where = f"{unwritable.topic}, partition {unwritable.partition}"
        yield Found(
            "unwritable",
            where,
            (
                f"{where} {unwritable.reason}: nothing is published until it can be written to, and "
                f"{counted(unpublished, 'batch waits', 'batches wait')} to be published. It goes on by itself then."
            ),
        )
    for partition in lag.stopped:
        words = f"{partition.topic}, partition {partition.partition} is not read: {partition.reason}"
        yield Found("stopped-partition", f"{partition.topic}/{partition.partition}", words)
    for away in lag.unavailable:
        words = unavailable_in_words(away.topic, away.partition, Unavailable(away.reason)) + "."
        yield Found("unavailable-partition", f"{away.topic}/{away.partition}", words)
    if lag.shared_group is not None:
        yield Found("shared-group", "", f"{lag.shared_group}.")
    for hidden in lag.hidden:
        words = hidden_in_words(hidden.topic, hidden.partition, hidden.as_trouble) + "."
        yield Found("hidden-records", f"{hidden.topic}/{hidden.partition}", words)
