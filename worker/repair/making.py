"""Making a plan: from archives to a new file, with the ledger read as it is and never written."""

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import msgspec

from worker.domain.policy import PolicyBook
from worker.domain.policy_use import StoredVersion
from worker.kafka.input.reading import RecordReader
from worker.ledger.connections import Connection
from worker.ledger.tables import PolicyRow
from worker.new_file import new_file, require_new
from worker.proof.checks import Progress
from worker.proof.policies import book_of
from worker.proof.reader import PostgresReader
from worker.queries.asking import connected, ledger_id_of, reached_kafka
from worker.queries.log_find import seqs_found
from worker.queries.log_query import LogQuery
from worker.queries.policies import policies, policy_file
from worker.release import release
from worker.repair.archives import BadLine, Line, read_archive
from worker.repair.brought import versions_in
from worker.repair.candidates import Candidates
from worker.repair.deciding import amended_before, judged
from worker.repair.decision_selection import FOUND, DecisionSelection
from worker.repair.judging import refusal_of_named, refusal_to_judge
from worker.repair.overlay import Overlay
from worker.repair.plan import FORMAT, Header
from worker.repair.plan_file import write_plan
from worker.repair.planning import Ground, Planned, plan_all
from worker.repair.planning_decides import ToDecide, to_decide
from worker.repair.planning_undos import Booked
from worker.repair.replacements import Replacements
from worker.repair.replacing import is_no_event
from worker.repair.selecting import Jobs, jobs_to_settle
from worker.repair.snapshot import Conditions, PostgresSnapshot
from worker.repair.summary import Summary
from worker.repair.topic_archives import ArchiveTopic, read_topic
from worker.settings import Settings


class Wanted(NamedTuple):
    """What a plan is asked for: archives in order, the topic of lines that name none, and the new file.

    `settle` has selections of jobs that are settled again (see `selecting.py`), `void` files of what is voided (see
    `decision_selection.py`), and `found` is a query for that.
    """

    add: Sequence[str | ArchiveTopic]
    settle: Sequence[str]
    void: Sequence[str]
    found: LogQuery | None
    topic: str | None
    out: Path
    skips_bad: bool
    first: bool = False
    """Whether an event id that was sent again may be voided, and so its first event."""
    replace: Sequence[str] = ()
    """Archives of events with their right content."""
    shift: timedelta | None = None
    """By how much the events that the files of `shifted` name, and `shifted_found` finds, are dated otherwise."""
    shifted: Sequence[str] = ()
    shifted_found: LogQuery | None = None
    decide: Sequence[str] = ()
    """Files of decisions whose amounts are amended; `decide_found` is a query for that."""
    decide_found: LogQuery | None = None
    policy: Path | None = None
    """A corrected policy file to decide these by; None: by the policy versions of then."""


class Asked(NamedTuple):
    """What a plan is asked for, as it was found in archives and the ledger."""

    found: Candidates
    jobs: Jobs = Jobs([], {})
    voids: DecisionSelection | None = None
    decides: ToDecide | None = None
    replacements: Replacements | None = None


class Made(NamedTuple):
    """A plan that was written: its name, how many lines the archives have, and its numbers."""

    hash: str
    lines: int
    summary: Summary


async def make_plan(settings: Settings, wanted: Wanted, progress: Progress, show: Callable[[object], None]) -> Made:
    """Plan what was lost, and what is settled again.

    `show` is called with the first bad lines, and with what of an archive cannot be read now.

    First what the ledger knows already is left out, in short statements; only then, for what is left, is a snapshot
    opened. So an archive of a million events that were nearly all decided holds no snapshot for minutes.

    Raises:
        UsageError: the file exists, an archive or a selection cannot be read, or there are too many triggers.
        BadLines: there are bad lines, and they are not to be skipped.
        BrokenArchive: an archive that is compressed is not whole.
        OSError: the plan cannot be written.
        OperatorNeeded, Transient: the ledger cannot be read.
    """
    require_new(wanted.out, "--out")
    reader = RecordReader(settings.wall_clock(), settings.max_clock_skew, settings.earliest_event)
    async with connected(settings.database_url) as connection:
        found = Candidates(PostgresSnapshot(connection), reader, progress)
        await _add(found, settings, wanted, progress, show)
        replacements = await _replacements(connection, reader, wanted, progress)
        conditions = await PostgresSnapshot(connection).conditions()
        grace = settings.grace if conditions is None else conditions.grace
        jobs = await jobs_to_settle(connection, wanted.settle, grace)
        selection = await _selection(connection, wanted)
        decides = await _decides(connection, wanted, progress)
    for bad in (*found.bad, *replacements.bad):
        show(bad)
    if not wanted.skips_bad:
        found.require_no_bad_lines()
        replacements.require_no_bad_lines()
    async with connected(settings.database_url) as connection:
        asked = Asked(found, jobs, selection, decides, replacements)
        header, planned = await plan_on(connection, settings, asked, progress)
    return written(wanted.out, header, planned, found.lines + replacements.lines)


async def make_undo(settings: Settings, plan: str, out: Path, progress: Progress) -> Made:
    """Plan to undo what the plan of this hash booked; raises as `make_plan` does."""
    require_new(out, "--out")
    reader = RecordReader(settings.wall_clock(), settings.max_clock_skew, settings.earliest_event)
    async with connected(settings.database_url) as connection:
        found = Candidates(PostgresSnapshot(connection), reader, progress)
        header, planned = await plan_on(connection, settings, Asked(found), progress, undoes=plan)
    return written(out, header, planned, 0)


async def _add(
    found: Candidates, settings: Settings, wanted: Wanted, progress: Progress, show: Callable[[object], None]
) -> None:
    """Take the events of every archive, in the order in which these are named."""
    for source in wanted.add:
        if isinstance(source, ArchiveTopic):
            async for records in _records(settings, source, wanted.topic, progress, show):
                await found.add(records)
        else:
            progress.begin("read", 0, "lines")
            await found.add(read_archive(source, wanted.topic))


async def _records(
    settings: Settings, archive: ArchiveTopic, topic: str | None, progress: Progress, show: Callable[[object], None]
) -> AsyncIterator[list[Line | BadLine]]:
    async with reached_kafka(settings) as reached:
        named = reached.topic_prefix, topic
        async for records in read_topic(reached.kafka_kwargs(), archive, named, progress, show):
            yield records


def written(out: Path, header: Header, planned: Planned, lines: int) -> Made:
    """Write a plan to a new file, of so many lines that were read.

    Raises:
        UsageError: there is such a file already, or a line would be too long.
        OSError: it cannot be written.
    """
    with new_file(out, "--out") as new:
        name = write_plan(new.file, header, planned.triggers, planned.wallets, planned.summary)
    return Made(name, lines, planned.summary)


async def _selection(connection: Connection, wanted: Wanted) -> DecisionSelection:
    """What is to be voided: the decisions that files name, and those that a query finds."""
    selection = DecisionSelection(PostgresSnapshot(connection), await ledger_id_of(connection), first=wanted.first)
    await _select(connection, selection, wanted.void, wanted.found)
    return selection


async def _replacements(
    connection: Connection, reader: RecordReader, wanted: Wanted, progress: Progress
) -> Replacements:
    """The events that are to have other content: those of archives, and those whose time is wrong by a constant."""
    snapshot = PostgresSnapshot(connection)
    replacements = Replacements(snapshot, reader, progress)
    for source in wanted.replace:
        await replacements.add(read_archive(source, wanted.topic))
    if wanted.shift is not None:
        selection = DecisionSelection(
            snapshot, await ledger_id_of(connection), first=True, refuses=is_no_event, option="--shifted"
        )
        query = wanted.shifted_found
        events = None if query is None else msgspec.structs.replace(query, kinds=("first", "added"))
        await _select(connection, selection, wanted.shifted, events)
        replacements.left.update(selection.left)
        await replacements.add_shifted(selection.in_order(), wanted.shift)
    return replacements


async def _select(
    connection: Connection, selection: DecisionSelection, files: Sequence[str], found: LogQuery | None
) -> None:
    for path in files:
        await selection.add_file(Path(path))
    if found is not None:
        async for seqs in seqs_found(connection, found):
            await selection.add_seqs(FOUND, seqs)


async def _decides(connection: Connection, wanted: Wanted, progress: Progress) -> ToDecide:
    """What is to be decided again, with the verdicts: the past does not change, so they need no snapshot."""
    rows, ledger_id = PostgresSnapshot(connection), await ledger_id_of(connection)
    by = {"refuses": refusal_to_judge, "refuses_named": refusal_of_named}
    selection = DecisionSelection(rows, ledger_id, first=wanted.first, option="--decide", **by)
    await _select(connection, selection, wanted.decide, wanted.decide_found)
    book = None if wanted.policy is None else policy_file(wanted.policy)
    amended = await amended_before(connection)
    chosen = [one.row for one in selection.in_order()]
    judging = await judged(PostgresReader(connection), chosen, amended, book, progress)
    return to_decide(selection, judging, amended)


async def plan_on(
    connection: Connection,
    settings: Settings,
    asked: Asked,
    progress: Progress,
    undoes: str | None = None,
) -> tuple[Header, Planned]:
    """Decide what is asked for over one snapshot of the ledger, which the connection is in from now on.

    Raises:
        UsageError: there are more triggers than a plan may have.
        OperatorNeeded, Transient: the ledger cannot be read.
    """
    rows = PostgresSnapshot(connection)
    await rows.begin()
    overlay = Overlay(rows)
    await overlay.open()
    stored = await rows.policies()
    given = await rows.conditions() or Conditions(settings.grace, settings.max_clock_skew)
    book, now = book_of_ledger(stored, settings), settings.wall_clock().now()
    header = Header(
        FORMAT,
        str(await ledger_id_of(connection)),
        release(),
        versions_in(book),
        overlay.through_seq,
        (await overlay.tail()).business_time,
        now,
    )
    reader = RecordReader(settings.wall_clock(), given.max_clock_skew, settings.earliest_event)
    ground = Ground(book, given.grace, given.max_clock_skew, reader, progress, now)
    booked = None if undoes is None else Booked(undoes, await rows.booked(undoes))
    jobs, left = asked.jobs
    return header, await plan_all(
        overlay, asked.found, ground, jobs, asked.voids, asked.decides, asked.replacements, booked, left
    )


def book_of_ledger(stored: Sequence[PolicyRow], settings: Settings) -> PolicyBook:
    """The versions that the ledger has; a ledger that no worker ever led has none yet: then those of the settings.

    Raises:
        OperatorNeeded: a later release stored one of them.
        SettingsError: the policy file cannot be used.
    """
    if not stored:
        return policies(settings)
    return book_of([StoredVersion(row.version, row.effective_from, row.document) for row in stored])
