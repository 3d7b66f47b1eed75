"""An index of batches by when they were recorded: the statement is in the .sql file of the same name."""

from alembic import op

from worker.ledger.revisions import run_statements

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Create it."""
    run_statements(op.get_bind(), "0006_batches_by_time.sql")


def downgrade() -> None:
    """There is no way back: a ledger is never thrown away by a program."""
    raise NotImplementedError("the ledger's tables are not dropped by a program")
