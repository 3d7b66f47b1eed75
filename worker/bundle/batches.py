"""The batches of a bundle: their settings for deciding again, and the places that they give to their decisions."""

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from worker.bundle.format import BATCHES
from worker.bundle.result import Checked, Found
from worker.domain.policy_use import StoredVersion
from worker.ledger.tables import BatchRow, DecisionRow, PolicyRow
from worker.proof.recorded import BatchColumns, BatchHeader, header_of


class _Kept(NamedTuple):
    columns: BatchColumns
    place: int | None


class Batches:
    """Keeps the settings of batches. Of what is older than the log there is no proof, and it comes before all else."""

    def __init__(self, size: int, checked: Checked) -> None:
        self._size, self._checked = size, checked
        self._kept: dict[int, _Kept] = {}
        self._policies: dict[str, StoredVersion] = {}
        self._older: int | None = None
        """Of the last decision and the last batch before the log, the sum of their numbers; None: not known."""
        self.older_decisions = 0
        self.last_seq: int | None = None
        """The last decision of the last batch."""

    def keep_policies(self, policies: Iterable[PolicyRow]) -> None:
        """Keep policy versions that are proved to have been stored."""
        for row in policies:
            self._policies[row.version] = StoredVersion(row.version, row.effective_from, row.document)

    def keep(self, row: BatchRow, index: int | None, policies: Iterable[PolicyRow], line: int) -> None:
        """Keep a batch, with the place of its leaf in the log."""
        if row.batch_no in self._kept:
            self._checked.add(Found(f"batch {row.batch_no} is there twice", BATCHES, line))
        columns = BatchColumns(*(getattr(row, name) for name in BatchColumns._fields))
        self._kept[row.batch_no] = _Kept(columns, index)
        self.keep_policies(policies)
        if index is None:
            return
        # A batch appends a leaf for each decision and one for itself, after the first leaf.
        older = row.last_seq + row.batch_no - index
        if self._older not in {None, older}:
            self._checked.add(Found(f"batch {row.batch_no} is not at its place in the log", BATCHES, line))
        self._older = older

    def finish(self) -> None:
        """Check that batches without a proof are older than the log, and that every policy version is there."""
        last = next((kept for kept in self._kept.values() if kept.place == self._size - 1), None)
        if last is None:
            self._checked.add(Found("the last batch, whose leaf is the last of the log, is missing", BATCHES))
        else:
            self.last_seq = last.columns.last_seq
        for number, (columns, place) in sorted(self._kept.items()):
            if place is None and not self._is_older(columns.last_seq, number):
                self._checked.add(Found(f"batch {number} has no proof, and is not older than the log", BATCHES))
            missing = [name for name in columns.policy_versions or () if name not in self._policies]
            for name in missing:
                self._checked.add(Found(f"policy version {name!r}, which batch {number} knew, is missing", BATCHES))

    def check_place(self, row: DecisionRow, index: int | None, where: Found) -> None:
        """Check that a decision is where its batch has it, or is older than the log."""
        kept = self._kept.get(row.batch_no)
        if kept is None:
            self._add(where, f"the settings of its batch {row.batch_no} are missing")
        elif index is None:
            if kept.place is not None or not self._is_older(row.seq, row.batch_no):
                self._add(where, "it has no proof, and is not older than the log")
            self.older_decisions += 1
        elif kept.place is None or index != kept.place - 1 - (kept.columns.last_seq - row.seq):
            self._add(where, f"its place in the log, {index}, is not the one that its batch {row.batch_no} gives it")

    def headers(self) -> list[BatchHeader]:
        """The settings of all batches, in order.

        Raises:
            OperatorNeeded: a later release stored one of the policy versions.
        """
        stored = list(self._policies.values())
        return [header_of(kept.columns, stored) for _, kept in sorted(self._kept.items())]

    def _is_older(self, seq: int, number: int) -> bool:
        return self._older is not None and seq + number <= self._older

    def _add(self, where: Found, detail: str) -> None:
        self._checked.add(msgspec.structs.replace(where, detail=detail))
