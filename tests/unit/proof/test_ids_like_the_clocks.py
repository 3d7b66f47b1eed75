"""Events whose ids look like those of the clock: an event may have any id."""

import pytest

from tests.kit.policies import policies
from tests.kit.replaying import Came, bought, event, leading, nothing_is_found
from worker.ledger.memory_store import MemoryStore


@pytest.mark.parametrize("clock", ["cycle", "renewal", "expiry"])
async def test_an_event_with_an_id_of_the_clock_is_decided_again_as_an_event(clock: str) -> None:
    named = {"freelancer_id": "f-1", "purchase_id": "b-1", "connects": 5}
    store = MemoryStore()
    async with leading(store, policies(), batch_size=4) as decides:
        await Came(decides)(event("connects-purchased", f"{clock}:f-1:2026-04-01", **named), bought("f-1", "b-2"))
        await nothing_is_found(store, 1, 3)
