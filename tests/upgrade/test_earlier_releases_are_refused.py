"""A worker of an earlier release that meets a ledger after this release's `connects migrate` may not write it."""

import asyncpg
import pytest

from tests.kit.world import World
from worker.ledger.refused import REFUSED

pytestmark = pytest.mark.in_turn

LATER = "This ledger was migrated for a later release of the worker: run that release."
BATCHES_OF = {
    "0.1.0": "INSERT INTO batches (outbox_seq, batch_uid, recorded_at, batch_no, epoch, last_seq, chain_head,"
    " business_time) SELECT NULL, NULL, now(), batch_no + 1, epoch, last_seq, chain_head, business_time"
    " FROM batches ORDER BY batch_no DESC LIMIT 1"
}
"""How each release writes the batch that it begins to lead with, before it reads anything."""


async def test_its_first_batch_is_refused_in_the_words_that_it_ends_with(world: World, release_name: str) -> None:
    """It shows table, constraint and detail in the one line that it ends with, as for every constraint."""
    connection = await asyncpg.connect(world.database_url)
    batches = await connection.fetchval("SELECT count(*) FROM batches")
    with pytest.raises(REFUSED) as refusal:
        await connection.execute(BATCHES_OF[release_name])
    assert isinstance(refusal.value, asyncpg.IntegrityConstraintViolationError)
    said = [getattr(refusal.value, name) for name in ("table_name", "constraint_name", "detail")]
    assert said == ["batches", "batches_with_a_log", LATER]
    assert await connection.fetchval("SELECT count(*) FROM batches") == batches
    await connection.close()
