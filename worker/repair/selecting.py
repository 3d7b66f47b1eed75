"""Which jobs a plan settles again: those that are owed refunds, those with late hires, or those that a file names."""

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final, NamedTuple

from schemas.catalogue import INPUT_TOPICS
from worker.errors import UsageError
from worker.ledger.connections import Connection
from worker.ledger.sql import load
from worker.ledger.tables import DecisionRow
from worker.places import shortened
from worker.queries.asking import ledger_id_of
from worker.queries.owed import refunds_not_made
from worker.repair.decision_selection import DecisionSelection
from worker.repair.snapshot import PostgresSnapshot
from worker.repair.voiding import Refused

OWED, LATE_HIRES = "owed", "late-hires"
NO_JOB: Final = Refused(
    "decisions that are about no job", "only jobs are settled again", "Correct them by --void, --replace or --decide"
)
_SQL: Final = load("plan.sql")
_MOST_NAMED: Final = 5
_JOBS: Final = 1_000


class JobToSettle(NamedTuple):
    """A job that is settled again; `source` is the selection that has it, `line` its line there, 0 if it has no lines.

    With `late_hires` also what only a late hire or withdrawal makes undue is taken back.
    """

    job_id: str
    late_hires: bool
    source: str
    line: int


class Jobs(NamedTuple):
    """The jobs of selections, each once, in their order; and what in them is of no job."""

    found: list[JobToSettle]
    left: Mapping[Refused, int]


class _Event(NamedTuple):
    line: int
    topic: str
    event_id: str


async def jobs_to_settle(connection: Connection, selections: Sequence[str], grace: timedelta) -> Jobs:
    """The jobs of these selections.

    A job that is in several is settled as in the first of them, but with late hires if one of them says so.

    Raises:
        UsageError: a file cannot be read, a line of it names nothing, or the ledger does not know a job.
        Transient: the ledger is away.
    """
    found: dict[str, JobToSettle] = {}
    left = Counter[Refused]()
    for selection in selections:
        async for job in _selected(connection, selection, grace, left):
            known = found.setdefault(job.job_id, job)
            if job.late_hires and not known.late_hires:
                found[job.job_id] = known._replace(late_hires=True)
    return Jobs(list(found.values()), left)


async def _selected(
    connection: Connection, selection: str, grace: timedelta, left: Counter[Refused]
) -> AsyncIterator[JobToSettle]:
    if selection == OWED:
        async for refund in refunds_not_made(connection, grace):
            yield JobToSettle(refund.job_id, False, OWED, 0)
    elif selection == LATE_HIRES:
        for row in await connection.fetch(_SQL["jobs_with_late_hires"]):
            yield JobToSettle(row["job_id"], True, LATE_HIRES, 0)
    else:
        for job in await _of_file(connection, selection, left):
            yield job


async def _of_file(connection: Connection, selection: str, left: Counter[Refused]) -> list[JobToSettle]:
    """The jobs that a file names: by their ids, by events, or as what `connects log find` and `verify` write."""
    path, named = Path(selection), dict[int, str]()
    # An event that was sent again is of the same job, so its id may name the first one.
    decisions = DecisionSelection(
        PostgresSnapshot(connection),
        await ledger_id_of(connection),
        first=True,
        option="--settle",
        refuses=_is_of_no_job,
    )
    lines = _lines_of(path)
    if lines and next(iter(lines.values())).startswith("{"):
        await decisions.add_file(path)
    else:
        ids = [_job_or_event(line, number, path) for number, line in lines.items()]
        named = {line: job_id for line, job_id in ids if isinstance(job_id, str)}
        await _require_known(connection, selection, list(named.values()))
        await decisions.add_events(shortened(path), [event for _, event in ids if isinstance(event, _Event)])
    named |= {one.line: one.row.job_id for one in decisions.in_order() if one.row.job_id is not None}
    left.update(decisions.left)
    return [JobToSettle(job_id, False, selection, line) for line, job_id in sorted(named.items())]


def _is_of_no_job(row: DecisionRow) -> Refused | None:
    return NO_JOB if row.job_id is None else None


def _lines_of(path: Path) -> dict[int, str]:
    """The lines of a file by their numbers, without empty ones and comments.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text in UTF-8"
        raise UsageError(
            f"--settle: {shortened(path)} cannot be read: {why}. Give {OWED}, {LATE_HIRES}, or a file of job ids, of "
            "topic/event_id, or of `connects log find --selection` or `connects verify --selection`"
        ) from None
    stripped = ((number, line.strip()) for number, line in enumerate(lines, 1))
    return {number: line for number, line in stripped if line and not line.startswith("#")}


def _job_or_event(line: str, number: int, path: Path) -> tuple[int, str | _Event]:
    """What a line names: a job, by its id or as `job/<id>`; or an event, as `topic/event_id`.

    Raises:
        UsageError: neither of them.
    """
    topic, slash, event_id = line.partition("/")
    if slash and topic in INPUT_TOPICS:
        return number, _Event(number, topic, event_id)
    job_id = line.removeprefix("job/")
    if not job_id or "/" in job_id or "," in job_id or len(job_id.split()) > 1:
        where = f"--settle: {shortened(path)}, line {number}"
        raise UsageError(f"{where} is no job id: {line[:80]!r}. Give one job id, or one topic/event_id, a line")
    return number, job_id


async def _require_known(connection: Connection, source: str, jobs: Sequence[str]) -> None:
    unknown: list[str] = []
    for first in range(0, len(jobs), _JOBS):
        rows = await connection.fetch(_SQL["jobs_not_known"], jobs[first : first + _JOBS])
        unknown += [row["job_id"] for row in rows]
    if unknown:
        more = f" and {len(unknown) - _MOST_NAMED} more" if len(unknown) > _MOST_NAMED else ""
        named = ", ".join(unknown[:_MOST_NAMED])
        raise UsageError(
            f"--settle: {shortened(Path(source))} has jobs on which nothing was spent: {named}{more}. "
            "Take them out of the file"
        )
