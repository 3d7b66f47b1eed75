"""What alembic runs: the revisions, on the connection that `worker.ledger.migrate` opened, in one transaction."""

from alembic import context
from sqlalchemy import text

from worker.ledger.migrate import TURN

context.configure(connection=context.config.attributes["connection"], transactional_ddl=True)
with context.begin_transaction():
    context.execute(text("SELECT pg_advisory_xact_lock(:turn)").bindparams(turn=TURN))
    context.run_migrations()
