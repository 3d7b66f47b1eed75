"""What operators put on hold: the statement is in the .sql file of the same name."""

from alembic import op

from worker.ledger.revisions import run_statements

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Make the table."""
    run_statements(op.get_bind(), "0008_holds.sql")


def downgrade() -> None:
    """There is no way back: a ledger is never thrown away by a program."""
    raise NotImplementedError("the ledger's tables are not dropped by a program")
