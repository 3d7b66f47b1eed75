"""Outbids that were read after their boost had come back: the statement is in the .sql file of the same name."""

from alembic import op

from worker.ledger.revisions import run_statements

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Note them with their spends."""
    run_statements(op.get_bind(), "0004_late_outbids.sql")


def downgrade() -> None:
    """There is no way back: a ledger is never thrown away by a program."""
    raise NotImplementedError("the ledger's tables are not dropped by a program")
