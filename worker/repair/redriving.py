"""Putting dead letters before the worker again: a plan that adds what the records held (docs/decisions/0040)."""

from contextlib import aclosing
from pathlib import Path
from typing import Final

import asyncpg
import msgspec

from worker.errors import UsageError
from worker.kafka.input.reading import RecordReader
from worker.ledger.connections import Connection
from worker.proof.checks import Progress
from worker.queries.asking import connected
from worker.queries.dead_letters import Redriven, redriven
from worker.queries.letters_export import LettersQuery, letter_rows
from worker.repair.archives import BadLine, Line, line_of
from worker.repair.candidates import Candidates
from worker.repair.making import Asked, plan_on, written
from worker.repair.plan import Header
from worker.repair.planning import Planned
from worker.repair.snapshot import PostgresSnapshot
from worker.repair.summary import Summary
from worker.settings import Settings

_MOST_NAMED: Final = 20


class BeforeNow(msgspec.Struct, frozen=True):
    """A letter that was redriven before, and so is left out."""

    letter: int
    redriven: Redriven


class Redrive(msgspec.Struct):
    """What letters would bring: how many were chosen, and what of them is planned.

    `plan` is the plan's hash; None: nothing is to be done. Of those that were `redriven_before`, and of the `still_bad`
    ones, the first are named.
    """

    letters: int = 0
    redriven_before: int = 0
    before: list[BeforeNow] = []
    still_bad: int = 0
    bad: list[str] = []
    plan: str | None = None
    summary: Summary | None = None

    @property
    def left(self) -> int:
        """How many letters stay as they are, for a person: still no events, in conflict, or behind what is parked."""
        if self.summary is None:
            return self.still_bad
        return self.still_bad + self.summary.conflicts + sum(one.events for one in self.summary.left_for_a_person)


async def plan_redrive(settings: Settings, query: LettersQuery, out: Path, progress: Progress) -> Redrive:
    """Plan what these letters bring now, and write it to a new file, if it is anything.

    Each is read by the code that reads a live record, with the settings and the release of now. One that was redriven
    before is left out; so is one whose event was decided meanwhile, and one that is still no event.

    Raises:
        UsageError: there is no letter of one of these seqs, the file exists, or there are too many.
        OSError: the plan cannot be written.
        OperatorNeeded, Transient: the ledger cannot be read.
    """
    reader = RecordReader(settings.wall_clock(), settings.max_clock_skew, settings.earliest_event)
    async with connected(settings.database_url) as connection:
        found = Candidates(PostgresSnapshot(connection), reader, progress)
        redrive = await _choose(connection, query, found, progress)
    redrive.still_bad, redrive.bad = found.bad_lines, [str(bad) for bad in found.bad]
    if not found.lines:
        return redrive
    header, planned = await _planned(settings, found, progress)
    redrive.summary = planned.summary
    if planned.triggers:
        redrive.plan = written(out, header, planned, found.lines).hash
    return redrive


async def _planned(settings: Settings, found: Candidates, progress: Progress) -> tuple[Header, Planned]:
    async with connected(settings.database_url) as connection:
        return await plan_on(connection, settings, Asked(found), progress)


async def _choose(connection: Connection, query: LettersQuery, found: Candidates, progress: Progress) -> Redrive:
    """Take the letters that were not redriven before as lines of an archive."""
    redrive, missing = Redrive(), set(query.seqs)
    progress.begin("read", 0, "dead letters")
    async with aclosing(letter_rows(connection, query)) as pages:
        async for rows in pages:
            seqs = [row["decision_seq"] for row in rows]
            before = await redriven(connection, seqs)
            missing.difference_update(seqs)
            redrive.letters += len(rows)
            redrive.redriven_before += len(before)
            room = _MOST_NAMED - len(redrive.before)
            redrive.before += [BeforeNow(*one) for one in sorted(before.items(), key=lambda item: item[0])[:room]]
            await found.add([_line(row) for row in rows if row["decision_seq"] not in before])
    if missing:
        none = "there is no dead letter " if len(missing) == 1 else "there are no dead letters "
        named = ", ".join(str(seq) for seq in sorted(missing)[:_MOST_NAMED])
        more = f" and {len(missing) - _MOST_NAMED:,} more" if len(missing) > _MOST_NAMED else ""
        raise UsageError(f"{none}{named}{more}. `connects dead-letters list` shows which there are")
    return redrive


def _line(row: asyncpg.Record) -> Line | BadLine:
    """What a letter held, as an event to be planned; the statement `redriven` finds it by its source."""
    source = f"dead letter {row['decision_seq']}"
    if row["value"] is None:
        return BadLine(source, 0, f"{row['topic']}: the record had no value, or it is not kept")
    return line_of(source, 0, row["topic"], row["value"])
