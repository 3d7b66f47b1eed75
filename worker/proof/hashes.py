"""Recomputing the hashes of batches from their rows, and naming the row that is not what it was. No I/O.

The chain's batches are checked by the chain's rule, the others by the Merkle log's. After a batch that does not agree
the check goes on from what is stored with it, and from what was recomputed, so that one altered row is one finding.
"""

from collections.abc import Iterable, Iterator
from struct import unpack
from typing import Final

from worker.ledger.chain import DECISION_COLUMNS, next_head
from worker.ledger.leaves import MARKS_OF_BATCH, MARKS_OF_DECISION, Leaves, leaves_of, log_after, marked_decisions
from worker.ledger.merkle import HASH_BYTES, Log, stored_log
from worker.ledger.tables import BatchRow, PolicyRow
from worker.proof.checks import Finding
from worker.proof.hashed_rows import HashedBatch
from worker.proof.heads import Head

HASHES: Final = "hashes"
_COLUMNS: Final = len(DECISION_COLUMNS)
_ZERO: Final = bytes(HASH_BYTES)
_BYTES_OF_MARK: Final = 4


def head_of(row: BatchRow | None) -> Head:
    """The head of a ledger whose last batch this is; None: it has none."""
    return Head(0, _ZERO) if row is None else Head(row.log_size or 0, row.chain_head)


class HashCheck:
    """Checks one batch after the other, in order, from the batch `before` on; `outside` is a head kept outside.

    The hashes stored with the batch before are taken as they are: they are checked by a check that begins earlier.
    `before_log` are the policy versions that were stored before the log.
    """

    def __init__(
        self, before: BatchRow | None, before_log: Iterable[PolicyRow] = (), outside: Head | None = None
    ) -> None:
        self._number = 0 if before is None else before.batch_no
        self._before_log = list(before_log)
        self._heads, self._logs = [_ZERO], list[Log]()
        """What the chain's head or the log may be, after the batch that was checked last."""
        if before is not None and before.log_size is None:
            self._heads = [before.chain_head]
        elif before is not None:
            self._logs = [log for log in [_stored(before)] if log is not None]
        self._outside = outside

    def check(self, batch: HashedBatch) -> Iterator[Finding]:
        """Check the next batch; what is not as it was, by table and place."""
        row, follows = batch.row, batch.row.batch_no == self._number + 1
        if not follows:
            first, last = self._number + 1, row.batch_no - 1
            words = f"batch {first} is missing" if first == last else f"the batches {first} to {last} are missing"
            yield Finding(HASHES, "tampered", words, "batches", None, first)
        there = {decision.seq for decision in batch.decisions}
        for seq in sorted({change.decision_seq for change in batch.changes} - there):
            yield _tampered("changes", seq, row, "changes are there of a decision that is not")
        batch = batch._replace(changes=[change for change in batch.changes if change.decision_seq in there])
        is_chained = not self._logs and (row.log_size, row.salt, row.leaf_marks) == (None, None, None)
        yield from (self._check_chain if is_chained else self._check_log)(batch, follows=follows)
        self._number = row.batch_no

    def finish(self) -> Iterator[Finding]:
        """Compare the head kept outside with where the ledger ends, if it ends before that."""
        head, self._outside = self._outside, None
        size = self._logs[0].size if self._logs else 0
        if head is None:
            return
        if head.size > size:
            words = f"the log has {size} leaves, the head that was kept outside {head.size}: its end is missing"
            yield Finding(HASHES, "truncated", words, "batches", None, self._number + 1)
        elif not self._logs and head.root not in self._heads:
            yield _other_root(head)

    # The chain.

    def _check_chain(self, batch: HashedBatch, *, follows: bool) -> Iterator[Finding]:
        row = batch.row
        there = {decision.seq for decision in batch.decisions}
        missing = [seq for seq in range(batch.after + 1, batch.through + 1) if seq not in there] if follows else []
        for seq in missing:
            yield _tampered("decisions", seq, row, "the decision is missing")
        decisions = [decision[:_COLUMNS] for decision in batch.decisions]
        heads = [next_head(head, decisions, batch.changes) for head in self._heads]
        if row.chain_head in heads or not follows:
            heads = []
        elif not missing:
            words = "its decisions, its changes or its chain_head are not those that were hashed"
            yield Finding(HASHES, "tampered", words, "batches, decisions or changes", None, row.batch_no)
        self._heads = [row.chain_head, *heads]

    # The log.

    def _check_log(self, batch: HashedBatch, *, follows: bool) -> Iterator[Finding]:
        row, begins = batch.row, not self._logs
        if begins:
            yield from self._begin_log()
        stored = _stored(row)
        if row.salt is None:
            yield _tampered("batches", None, row, "its salt is missing")
            self._logs = self._logs if stored is None else [stored]
            return
        leaves = leaves_of(row, batch.decisions, batch.changes, batch.policies, batch.answers)
        yield from self._compare_outside(leaves)
        logs = [log.extended(leaves.hashes) for log in self._logs]
        agrees = any(_is_stored(log, row) for log in logs)
        if agrees and row.leaf_marks == leaves.marks:
            logs = []
        elif agrees:
            yield _tampered("batches", None, row, "its leaf_marks are not those of its rows")
        elif row.leaf_marks != leaves.marks:
            yield from _name_rows(batch, leaves)
        elif begins and self._before_log:
            words = "they are not those of the log's first leaf, or the last head before the log is not"
            yield _tampered("policies", None, row, f"policy versions were stored before the log: {words}")
        elif follows:
            yield _tampered("batches", None, row, _differing_columns(row, logs[0]))
        self._logs = [*([] if stored is None else [stored]), *logs]

    def _begin_log(self) -> Iterator[Finding]:
        """Begin the log with its first leaf."""
        self._logs = [log_after(head, self._before_log) for head in self._heads]
        if self._outside is not None and self._outside.size == 0:
            if self._outside.root not in self._heads:
                yield _other_root(self._outside)
            self._outside = None

    def _compare_outside(self, leaves: Leaves) -> Iterator[Finding]:
        """Compare the head kept outside, if the log reaches its size with these leaves, also in the middle of them."""
        head, before = self._outside, self._logs[0].size if self._logs else 0
        if head is None or not before <= head.size <= before + len(leaves.hashes):
            return
        self._outside = None
        if head.root not in {log.extended(leaves.hashes[: head.size - before]).root for log in self._logs}:
            yield _other_root(head)


def _name_rows(batch: HashedBatch, leaves: Leaves) -> Iterator[Finding]:
    """Compare the marks of the rows with those stored: which decision, which changes, which part of the batch."""
    row, of_batch, of_decision = batch.row, len(MARKS_OF_BATCH), len(MARKS_OF_DECISION)
    if marked_decisions(row.leaf_marks) is None:
        yield _tampered("batches", None, row, "its leaf_marks are not those of a batch")
        return
    stored, found = _marks(row.leaf_marks or b""), _marks(leaves.marks)
    places = {decision.seq: place for place, decision in enumerate(batch.decisions)}
    for number, seq in enumerate(range(batch.after + 1, batch.through + 1)):
        if (place := places.get(seq)) is None:
            yield _tampered("decisions", seq, row, "the decision is missing")
            continue
        for part, table in enumerate(MARKS_OF_DECISION):
            if stored[of_decision * number + part] != found[of_decision * place + part]:
                yield _tampered(table, seq, row, _ALTERED[table])
    for table, before, now in zip(MARKS_OF_BATCH, stored[-of_batch:], found[-of_batch:], strict=True):
        if before != now:
            yield _tampered(table, None, row, _ALTERED[table])


def _differing_columns(row: BatchRow, log: Log) -> str:
    """Which of the columns that follow from the leaves are not what they should be."""
    stored = _stored(row)
    if row.log_size == log.size and stored is not None and stored.root == row.chain_head:
        return "its salt is another one, or chain_head and log_peaks are not those of its rows"
    columns = {"chain_head": log.root, "log_size": log.size, "log_peaks": b"".join(log.peaks)}
    differing = ", ".join(name for name, value in columns.items() if getattr(row, name) != value)
    return f"not what its rows hash to: {differing}"


def _tampered(table: str, seq: int | None, row: BatchRow, words: str) -> Finding:
    return Finding(HASHES, "tampered", words, table, seq, row.batch_no)


_ALTERED: Final = {
    "decisions": "the decision is not the one that was hashed",
    "changes": "its changes are not those that were hashed: one is altered, missing or added",
    "batches": "a column of the batch is not what was hashed",
    "policies": "the policy versions that it stored are not those that were hashed",
    "commands": "a command that it answered, or the reply, is not what was hashed",
}


def _other_root(head: Head) -> Finding:
    words = f"the log of {head.size} leaves has another root than the head that was kept outside: it was rewritten"
    return Finding(HASHES, "tampered", words, "batches")


def _stored(row: BatchRow) -> Log | None:
    """The log that is stored with a batch; None, if size and peaks contradict each other."""
    try:
        return stored_log(row.log_size or 0, row.log_peaks or b"")
    except ValueError:
        return None


def _is_stored(log: Log, row: BatchRow) -> bool:
    return (row.chain_head, row.log_size, row.log_peaks) == (log.root, log.size, b"".join(log.peaks))


def _marks(data: bytes) -> tuple[int, ...]:
    count = len(data) // _BYTES_OF_MARK
    return unpack(f">{count}I", data[: count * _BYTES_OF_MARK])
