"""Events that were added by a plan: the statements are in the .sql file of the same name."""

from alembic import op

from worker.ledger.revisions import run_statements

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Make room for them, and the tables of plans."""
    run_statements(op.get_bind(), "0009_added_events.sql")


def downgrade() -> None:
    """There is no way back: a ledger is never thrown away by a program."""
    raise NotImplementedError("the ledger's tables are not dropped by a program")
