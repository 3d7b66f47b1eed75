"""Indexes in the order of the clock's work: the statements are in the .sql file of the same name."""

from alembic import op

from worker.ledger.revisions import run_statements

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the indexes."""
    run_statements(op.get_bind(), "0003_clock_in_order.sql")


def downgrade() -> None:
    """There is no way back: a release before this one works with these indexes as well."""
    raise NotImplementedError("a schema is not taken back")
