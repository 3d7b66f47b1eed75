"""Deciding again after corrections of amounts: what a correction has made good is no finding, and all else is."""

from datetime import timedelta
from typing import Any

import pytest

from tests.kit import amending
from tests.kit.correcting import certified
from tests.kit.deciding import Deciding
from tests.kit.deciding_again import decide_again
from tests.kit.policies import policies
from tests.kit.replaying import Came, balance, nothing_is_found
from worker.domain.booking import Booking
from worker.domain.model import Lot
from worker.ledger.memory_store import MemoryStore
from worker.proof.memory_reader import MemoryReader
from worker.proof.memory_rows import MemoryRows

BOOK = policies()


async def test_a_row_that_was_changed_by_hand_is_found_also_of_an_amended_decision(
    decides: Deciding, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_it_is, store = Booking.credit, decides.store
    assert isinstance(store, MemoryStore)

    def twice(self: Booking, connects: int, source: str, *more: Any) -> Lot:  # noqa: ANN401
        return as_it_is(self, connects * 2 if source == "certification" else connects, source, *more)

    with monkeypatch.context() as fault:
        fault.setattr(Booking, "credit", twice)
        await Came(decides)(certified("f-1"))
    await amending.amend(decides, BOOK)
    assert balance(store, "f-1") == 20
    await nothing_is_found(store, 1, 3)
    (lot,) = store.tables.lots
    for changed in (
        lot._replace(expires_at=lot.expires_at + timedelta(days=1)),
        lot._replace(source="purchase"),
        lot._replace(original=41),
    ):
        store.tables.lots.put([changed])
        found = await decide_again(MemoryReader(store), 1, MemoryRows(store.tables))
        assert len(found.findings) == 1, changed
        store.tables.lots.put([lot])
    await nothing_is_found(store, 1, 3)
