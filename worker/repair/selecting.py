"""Which jobs a plan settles again: those that are owed refunds, those with late hires, or the jobs of a file."""

from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final, NamedTuple

from worker.errors import UsageError
from worker.ledger.connections import Connection
from worker.ledger.sql import load
from worker.places import shortened
from worker.queries.owed import refunds_not_made

OWED, LATE_HIRES = "owed", "late-hires"
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


async def jobs_to_settle(connection: Connection, selections: Sequence[str], grace: timedelta) -> list[JobToSettle]:
    """The jobs of these selections, each once, in their order.

    A job that is in several is settled as in the first of them, but with late hires if one of them says so.

    Raises:
        UsageError: a file cannot be read, a line of it is no job, or the ledger does not know a job.
        Transient: the ledger is away.
    """
    found: dict[str, JobToSettle] = {}
    for selection in selections:
        async for job in _selected(connection, selection, grace):
            known = found.setdefault(job.job_id, job)
            if job.late_hires and not known.late_hires:
                found[job.job_id] = known._replace(late_hires=True)
    return list(found.values())


async def _selected(connection: Connection, selection: str, grace: timedelta) -> AsyncIterator[JobToSettle]:
    if selection == OWED:
        async for refund in refunds_not_made(connection, grace):
            yield JobToSettle(refund.job_id, False, OWED, 0)
    elif selection == LATE_HIRES:
        for row in await connection.fetch(_SQL["jobs_with_late_hires"]):
            yield JobToSettle(row["job_id"], True, LATE_HIRES, 0)
    else:
        named = list(jobs_in(Path(selection)))
        await _require_known(connection, selection, [job_id for job_id, _ in named])
        for job_id, line in named:
            yield JobToSettle(job_id, False, selection, line)


def jobs_in(path: Path) -> Iterator[tuple[str, int]]:
    """The job ids of a file, one a line, also as `job/<id>`, each with its line; empty lines are passed over.

    Raises:
        UsageError: it cannot be read, or a line is no job id.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text in UTF-8"
        raise UsageError(
            f"--settle: {shortened(path)} cannot be read: {why}. Give {OWED}, {LATE_HIRES}, or a file of job ids"
        ) from None
    for number, line in enumerate(lines, 1):
        job_id = line.strip().removeprefix("job/")
        if not job_id:
            continue
        if "/" in job_id or "," in job_id or len(job_id.split()) > 1:
            where = f"--settle: {shortened(path)}, line {number}"
            raise UsageError(f"{where} is no job id: {line.strip()[:80]!r}. Give one job id a line")
        yield job_id, number


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
