"""What an operator is told when PostgreSQL refuses a batch: a constraint stands for each thing that must not be."""

import asyncpg

from worker.errors import OperatorNeeded
from worker.ledger.store import Batch


def refused(batch: Batch, error: asyncpg.IntegrityConstraintViolationError) -> OperatorNeeded:
    """Which batch, which table and constraint, what PostgreSQL says of the row, and what to do: in one line."""
    what = f"constraint {error.constraint_name}" if error.constraint_name else f"column {error.column_name}"
    why = error.detail or str(error)
    told = (
        f"PostgreSQL refused batch {batch.batch_no} ({_decisions(batch)}): table {error.table_name}, {what}: {why} "
        "Nothing of it was written, and the worker stopped, so that nothing is granted twice. See what the ledger has "
        "of it (`connects explain --freelancer F`, `connects history F`) and start `connects run` again, which reads "
        "everything anew. If it stops here again, change nothing in the ledger, and give this line and the worker's "
        "log to its developers (docs/operations.md, When something is wrong)."
    )
    return OperatorNeeded("".join(character if character.isprintable() else " " for character in told))


def _decisions(batch: Batch) -> str:
    """Which places in ledger order the batch would have taken."""
    seqs = sorted({row[0] for row in batch.decisions if isinstance(row[0], int)})
    if not seqs:
        return "no decisions"
    return f"decision {seqs[0]}" if len(seqs) == 1 else f"decisions {seqs[0]} to {seqs[-1]}"
