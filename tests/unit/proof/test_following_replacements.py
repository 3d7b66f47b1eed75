"""Replacements that another release decides otherwise: the record is followed, and the next decisions rest on it."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from tests.kit import replacing
from tests.kit.deciding import Deciding
from tests.kit.deciding_again import decide_again
from tests.kit.policies import policies
from tests.kit.replacing import other
from tests.kit.replaying import Came, Event, bought, closed, event, leading, nothing_is_found, proposed
from worker.domain.rules import replaces
from worker.ledger.memory_store import MemoryStore
from worker.proof.memory_reader import MemoryReader
from worker.proof.memory_rows import MemoryRows

BOOK = policies()
LATER, MUCH_LATER = datetime(2026, 3, 10, tzinfo=UTC), datetime(2027, 2, 25, tzinfo=UTC)
PROPOSAL = other(proposed("f-1", "p-1", connects=6), boost_connects=4)
OUTBID = event("boost-outbid", "o-1", "2026-03-03T12:00:00Z", freelancer_id="f-1", job_id="j-1", proposal_id="p-1")


@pytest.fixture
async def decides() -> AsyncIterator[Deciding]:
    async with leading(MemoryStore(), BOOK, batch_size=4) as decides:
        yield decides


@pytest.mark.parametrize(
    ("before", "right", "until"),
    [
        ([bought("f-1", "b-1", 40), PROPOSAL], other(PROPOSAL, connects=16), LATER),
        ([bought("f-1", "b-1", 40), PROPOSAL], other(PROPOSAL, connects=1, boost_connects=5), LATER),
        ([bought("f-1", "b-1", 40), PROPOSAL], other(PROPOSAL, connects=4, boost_connects=6), LATER),
        ([bought("f-1", "b-1", 40), PROPOSAL], other(PROPOSAL, connects=1), MUCH_LATER),
        ([bought("f-1", "b-1", 4), PROPOSAL], other(PROPOSAL, occurred_at="2026-03-03T12:00:00Z", connects=5), LATER),
        ([bought("f-1", "b-1", 4), other(PROPOSAL, boost_connects=0), OUTBID], PROPOSAL, LATER),
        ([bought("f-1", "b-1", 40), PROPOSAL, closed("j-1")], other(PROPOSAL, connects=16), LATER),
        ([bought("f-1", "b-1", 40), PROPOSAL], bought("f-1", "b-1", 3), LATER),
        ([bought("f-1", "b-1", 40), PROPOSAL], bought("f-1", "b-1", 50), LATER),
    ],
)
async def test_what_was_recorded_is_followed(
    decides: Deciding, before: list[Event], right: Event, until: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, came = decides.store, Came(decides)
    assert isinstance(store, MemoryStore)
    await came(*before)
    await decides.until(until)
    planned = await replacing.replace(decides, BOOK, right)
    assert planned.triggers
    await came(closed("j-1"), bought("f-1", "b-2", 5))
    await decides.until(MUCH_LATER)
    await nothing_is_found(store, 1, 3)
    facts = replaces._facts  # noqa: SLF001 - a rule of another release is made of the one that there is
    monkeypatch.setattr(replaces, "_facts", lambda *what: facts(*what) | {"said_otherwise": True})
    found = await decide_again(MemoryReader(store, 50), 1, MemoryRows(store.tables))
    assert [one.cause for one in found.findings] == ["code-changed"]
    assert (found.tally.row_count, found.tally.skipped) == (0, 0), str(found)
