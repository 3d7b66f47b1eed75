"""Voids and undos of proposals that two freelancers name: what waits again is decided again, in one part or several."""

from itertools import permutations

import pytest

from tests.kit import replaying, undoing, voiding
from tests.kit.correcting import boosted, day, outbid, sent_as, spend
from tests.kit.deciding import Deciding
from tests.kit.policies import policies
from tests.kit.replaying import Came, Event, closed, event, nothing_is_found, registered
from tests.kit.undoing import balances, what_counts
from worker.ledger.memory_store import MemoryStore

BOOK = policies()
PLANS = [number * 32 for number in ("c1", "c2", "c3", "c4", "c5")]


def withdrawn(name: str, event_id: str) -> Event:
    named = {"freelancer_id": name, "proposal_id": "p-1", "job_id": "j-1"}
    return event("proposal-withdrawn", event_id, "2026-03-03T13:00:00Z", **named)


OF_F_2 = pytest.mark.parametrize(
    "other", [withdrawn("f-2", "e-other"), sent_as(outbid("f-2", "p-1"), "e-other")], ids=["withdrawal", "outbid"]
)
OF_F_1 = pytest.mark.parametrize(
    "mine", [withdrawn("f-1", "e-mine"), sent_as(outbid("f-1", "p-1"), "e-mine")], ids=["withdrawal", "outbid"]
)


async def nothing_is_found_in_parts(store: MemoryStore) -> None:
    """The two freelancers are in one part, or in two."""
    await nothing_is_found(store, 1, 2, 3, 5)


@OF_F_2
@pytest.mark.parametrize("comes_first", [False, True])
async def test_what_met_a_voided_proposal_counts_for_its_own_freelancers(
    decides: Deciding, came: Came, store: MemoryStore, other: Event, *, comes_first: bool
) -> None:
    submitted = boosted("f-1", "p-1", 6, 4)
    await came(registered("f-1"), registered("f-2"), *([other, submitted] if comes_first else [submitted, other]))
    await voiding.void(decides, BOOK, "s-p-1")
    assert len(list(store.tables.awaiting)) == 1
    await came(sent_as(boosted("f-2", "p-1", 5, 3), "s-2"))
    row = spend(store, "p-1")
    assert row.freelancer_id == "f-2"
    assert (row.withdrawn_at is not None, row.boost_outbid) == (other[0] != "boost-outbid", other[0] == "boost-outbid")
    await nothing_is_found_in_parts(store)


@OF_F_2
@OF_F_1
@pytest.mark.parametrize("order", range(6))
async def test_a_proposal_goes_from_one_to_the_other_and_back(
    decides: Deciding, came: Came, store: MemoryStore, mine: Event, other: Event, order: int
) -> None:
    events = list(permutations([boosted("f-1", "p-1", 6, 4), mine, other]))[order]
    await came(registered("f-1"), registered("f-2"), *events)
    before = balances(store), what_counts(store)
    await voiding.void(decides, BOOK, "s-p-1", name=PLANS[0])
    await undoing.undo(decides, BOOK, PLANS[0], PLANS[1])
    assert (balances(store), what_counts(store)) == before
    await nothing_is_found_in_parts(store)
    await voiding.void(decides, BOOK, "s-p-1", name=PLANS[2])
    await came(sent_as(boosted("f-2", "p-1", 5, 3), "s-2"))
    await nothing_is_found_in_parts(store)
    await came(withdrawn("f-1", "w-later"), sent_as(outbid("f-1", "p-1"), "o-later"))
    await voiding.void(decides, BOOK, "s-2", name=PLANS[3])
    await came(sent_as(boosted("f-1", "p-1", 6, 4), "s-3"), closed("j-1"))
    await decides.until(day("2026-03-10"))
    await nothing_is_found_in_parts(store)
    row = spend(store, "p-1")
    assert (row.freelancer_id, row.boost_outbid, row.withdrawn_at is not None) == ("f-1", True, True)


async def test_a_proposal_of_another_that_was_added_and_undone(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    await came(registered("f-1"), registered("f-2"))
    adds = await replaying.planned(store, BOOK, [boosted("f-1", "p-1", 6, 4)])
    await replaying.apply(decides, BOOK, adds)
    await came(withdrawn("f-1", "w-1"), sent_as(outbid("f-1", "p-1"), "o-1"))
    await undoing.undo(decides, BOOK)
    await came(sent_as(boosted("f-2", "p-1", 6, 4), "s-2"))
    await voiding.void(decides, BOOK, "s-2", name=PLANS[0])
    await undoing.undo(decides, BOOK, PLANS[0], PLANS[1])
    assert spend(store, "p-1").freelancer_id == "f-2"
    await nothing_is_found_in_parts(store)
    await voiding.void(decides, BOOK, "s-2", name=PLANS[2])
    await came(sent_as(boosted("f-1", "p-1", 6, 4), "s-3"))
    assert (spend(store, "p-1").freelancer_id, spend(store, "p-1").boost_outbid) == ("f-1", True)
    await nothing_is_found_in_parts(store)
