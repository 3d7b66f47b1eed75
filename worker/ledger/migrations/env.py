"""What alembic runs: the revisions, on the connection that `worker.ledger.migrate` opened, in one transaction."""

from alembic import context
from sqlalchemy import text

from worker.ledger.migrate import TURN

_UNDER_WORKERS = """
DO $$ BEGIN
    IF to_regclass('batches') IS NOT NULL THEN
        LOCK TABLE batches IN SHARE ROW EXCLUSIVE MODE;
    END IF;
END $$
"""
"""No worker commits a batch between two revisions: one that corrects what was decided would miss it."""

context.configure(connection=context.config.attributes["connection"], transactional_ddl=True)
with context.begin_transaction():
    context.execute(text("SELECT pg_advisory_xact_lock(:turn)").bindparams(turn=TURN))
    context.execute(text(_UNDER_WORKERS))
    context.run_migrations()
