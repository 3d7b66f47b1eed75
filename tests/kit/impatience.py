"""Shorter waits for PostgreSQL, for tests that let it fall silent: TEST_PATIENCE_SECONDS for a statement, not 22 s.

Import it before anything of `worker.ledger` that takes its limits from there.
"""

import os

from worker.ledger import deadlines

if patience := os.environ.get("TEST_PATIENCE_SECONDS"):
    deadlines.STATEMENT_SECONDS = float(patience)  # type: ignore[misc]
    deadlines.TRANSACTION_SECONDS = 1.5 * float(patience)  # type: ignore[misc]
