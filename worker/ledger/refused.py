"""What is said when PostgreSQL refuses a batch for what it holds: a value, or a row that a constraint forbids."""

from typing import Final

import asyncpg

from worker.errors import BatchRefused
from worker.ledger.batch import Batch

REFUSED: Final = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, OverflowError, UnicodeEncodeError)
"""Classes 22 and 23 of the server's errors, and what the driver raises for a value that it cannot even send."""

_MOST_CHARACTERS: Final = 500


def refused(batch: Batch, error: Exception) -> BatchRefused:
    """Which batch, which table and constraint, what PostgreSQL says of the row, and what to do: in one line."""
    why = _why(error)
    told = (
        f"PostgreSQL refused {batch.in_words}: {why} "
        "Nothing of it was written, and the worker stopped, so that nothing is granted twice. See what the ledger has "
        "of it (`connects explain --freelancer F`, `connects history F`) and start `connects run` again, which reads "
        "everything again. If it stops here again, change nothing in the ledger, and give this line and the worker's "
        "log to its developers (docs/operations.md, When something is wrong)."
    )
    return BatchRefused(told, why)


def _why(error: Exception) -> str:
    """The server's words. They go into the ledger, so they have nothing that a ledger may be unable to store."""
    table, constraint, column, detail, context = (
        getattr(error, name, None) for name in ("table_name", "constraint_name", "column_name", "detail", "context")
    )
    where = [f"table {table}"] * bool(table)
    where += [f"constraint {constraint}"] if constraint else [f"column {column}"] * bool(column)
    said = detail or str(error)
    if context and not where:
        said = f"{said} ({context})"
    words = f"{', '.join(where)}: {said}" if where else said
    plain = words.encode("ascii", "backslashreplace").decode("ascii")
    return "".join(character if character.isprintable() else " " for character in plain)[:_MOST_CHARACTERS]
