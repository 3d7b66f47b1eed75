"""Bundles of a ledger in memory, and how to tamper with one."""

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from worker.bundle import page
from worker.bundle.archive import Writing
from worker.bundle.check import check
from worker.bundle.export import export
from worker.bundle.format import ENTRIES, Bundle, Subject, read_bundle, read_decision
from worker.bundle.result import Checked
from worker.bundle.source import Place
from worker.bundle.writing import write_bundle
from worker.ledger.memory_store import MemoryStore
from worker.ledger.tables import BatchRow, DecisionRow, PolicyRow
from worker.proof.checks import Progress
from worker.proof.hashed_rows import HashedBatch
from worker.proof.heads import Head
from worker.proof.memory_reader import MemoryReader
from worker.proof.recorded import JOB_TOPICS, is_of_job

_CHECKSUM: Final = 64

Lines = dict[str, list[Any]]
"""The entries of a bundle: JSON values, of the page its lines."""


class MemorySource:
    """A `Source` of a store in memory."""

    def __init__(self, store: MemoryStore) -> None:
        self._store, self._tables = store, store.tables
        self.reader = MemoryReader(store)
        self._batches = {row.batch_no: row for row in self._tables.batches}
        self.loaded: list[int] = []
        """The batches that were read, in that order."""

    async def last_batch(self) -> BatchRow | None:
        return self._batches[max(self._batches)] if self._batches else None

    async def batch(self, number: int) -> tuple[BatchRow | None, HashedBatch] | None:
        if number not in self._batches:
            return None
        self.loaded.append(number)
        row, before = self._batches[number], self._batches.get(number - 1)
        after = 0 if before is None else before.last_seq
        decisions = [self._tables.decisions[seq] for seq in range(after + 1, row.last_seq + 1)]
        changes = [change for change in self._tables.changes if after < change.decision_seq <= row.last_seq]
        changes.sort(key=lambda change: (change.decision_seq, change.ordinal))
        stored = sorted(policy for policy in self._tables.policies if policy.batch_no == number)
        replies = {f"command:{answer.command_id}": answer for answer in self._store.answers.values()}
        commands = (one for one in decisions if one.kind == "command")
        answers = [replies[str(one.event_id)] for one in commands if str(one.event_id) in replies]
        return before, HashedBatch(row, after, row.last_seq, decisions, changes, stored, answers)

    async def batch_of_leaf(self, index: int) -> int | None:
        return next((number for number, row in sorted(self._batches.items()) if (row.log_size or 0) > index), None)

    async def policies(self) -> list[PolicyRow]:
        return list(self._tables.policies)

    async def subject_of(self, event_id: str) -> tuple[Subject, list[int]]:
        found = [row for row in self._tables.decisions if row.event_id == event_id]
        names = {row.freelancer_id for row in found if row.freelancer_id is not None}
        of_jobs = any(row.topic in JOB_TOPICS for row in found)
        whose = names.pop() if len(names) == 1 and not of_jobs else None
        return Subject(freelancer=whose, event=event_id), [row.seq for row in found]

    async def places(self, subject: Subject, through: int) -> list[Place]:
        rows = [row for row in self._tables.decisions if row.seq <= through]
        if subject.freelancer is None:
            return _places(row for row in rows if row.job_id == subject.job)
        whose = [row for row in rows if row.freelancer_id == subject.freelancer]
        jobs = {row.job_id for row in whose if row.topic == "proposal-submitted"}
        changed = {one.decision_seq for one in self._tables.changes if one.freelancer_id == subject.freelancer}
        of_jobs = [row for row in rows if (is_of_job(row) and row.job_id in jobs) or row.seq in changed]
        return _places([*whose, *of_jobs])

    async def places_of(self, seqs: Iterable[int]) -> list[Place]:
        return _places(self._tables.decisions[seq] for seq in seqs)

    async def batches_that_worked_off(self, closures: Sequence[int]) -> list[int]:
        return [
            number
            for number, row in self._batches.items()
            if any(worked[0] in closures for worked in row.closures_worked or ())
        ]


def _places(rows: Iterable[DecisionRow]) -> list[Place]:
    return sorted({Place(row.seq, row.batch_no) for row in rows})


async def exported(store: MemoryStore, path: Path, since: Head | None = None, **subject: str) -> Bundle:
    """Write a bundle of a ledger in memory."""
    return await write_bundle(path, export(MemorySource(store), Subject(**subject), since, Progress()))


def checked(path: Path, head: str | None = None) -> Checked:
    """What the check of a bundle finds."""
    return check(path, head, Progress())


def lines_of(path: Path) -> Lines:
    """A bundle's entries, read by nothing of the worker's."""
    from zipfile import ZipFile  # noqa: PLC0415

    with ZipFile(path) as archive:
        texts = {name: archive.read(name).decode().splitlines() for name in archive.namelist()}
    return {name: lines if name == "page.txt" else [*map(json.loads, lines)] for name, lines in texts.items()}


def write_lines(path: Path, lines: Lines) -> None:
    """Write a bundle with these entries and the checksum that belongs to them."""
    with path.open("w+b") as file, Writing(file) as archive:
        for name in ENTRIES:
            with archive.entry(name) as entry:
                for line in lines[name]:
                    entry.write((line if name == "page.txt" else json.dumps(line)).encode() + b"\n")
        archive.finish()


def tampered(path: Path, alter: Callable[[Lines], object], *, consistent: bool = False) -> Path:
    """A copy of a bundle with altered entries, and with the checksum that belongs to them.

    If it is to be consistent, also with the page and the numbers of lines that belong to them.
    """
    lines = lines_of(path)
    alter(lines)
    if consistent:
        make_consistent(lines)
    altered = path.with_name("altered.bundle")
    write_lines(altered, lines)
    return altered


def make_consistent(lines: Lines) -> None:
    """Write the page and the numbers of lines that belong to what is in the other entries."""
    said = lines["bundle.json"][0]
    for name in ("decisions", "others", "batches"):
        said[name] = len(lines[f"{name}.jsonl"])
    bundle = read_bundle(json.dumps(said).encode())
    text = [*page.opening(bundle.subject, bundle.head, bundle.through_seq, bundle.exported_by)]
    for line in lines["decisions.jsonl"]:
        value, row, changes, *_ = read_decision(json.dumps(line).encode())
        text += page.decision(bundle.subject, row, changes, is_proved=value.index is not None)
    lines["page.txt"] = [*text, *page.closing(bundle.decisions, bundle.others, bundle.batches)]
