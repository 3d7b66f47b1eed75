"""Memberships, their charges, and what waits for them: the statements are in the .sql file of the same name."""

from alembic import op

from worker.ledger.revisions import run_statements

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the tables."""
    run_statements(op.get_bind(), "0002_memberships.sql")


def downgrade() -> None:
    """There is no way back: a ledger is never thrown away by a program."""
    raise NotImplementedError("the ledger's tables are not dropped by a program")
