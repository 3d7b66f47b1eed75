"""What deciding the recorded history again needs: the statements are in the .sql file of the same name."""

from alembic import op

from worker.ledger.revisions import run_statements

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the columns."""
    run_statements(op.get_bind(), "0005_decided_again.sql")


def downgrade() -> None:
    """There is no way back: a ledger is never thrown away by a program."""
    raise NotImplementedError("the ledger's columns are not dropped by a program")
