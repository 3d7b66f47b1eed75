"""Voids of registrations, in the first cycle of the membership that each began: both are as if they had never been."""

import pytest

from tests.kit import replaying, undoing, voiding
from tests.kit.correcting import day, last_change, sent_as
from tests.kit.deciding import Deciding
from tests.kit.policies import policies
from tests.kit.replaying import (
    Came,
    Event,
    balance,
    bought,
    closed,
    event,
    leading,
    nothing_is_found,
    proposed,
    registered,
)
from worker.domain.model import FreelancerId
from worker.ledger.memory_store import MemoryStore
from worker.ledger.tables import MembershipRow
from worker.repair.undoing import BEGUN_SINCE, KEY_IN_USE
from worker.repair.voiding import REGISTRATIONS as REFUSED

BOOK = policies()
SECOND, THIRD = "cd" * 32, "de" * 32


def chose(plan: str, at: str, event_id: str = "p-1") -> Event:
    return event("membership-plan-chosen", event_id, at, freelancer_id="f-1", plan=plan)


def suspended(at: str) -> Event:
    return event("account-suspended", "x-1", at, freelancer_id="f-1", scope="account")


def member(store: MemoryStore) -> MembershipRow:
    return store.tables.memberships[FreelancerId("f-1")]


async def left_for_a_person(store: MemoryStore, *event_ids: str) -> str:
    planned = await voiding.plan(store, BOOK, voiding.seqs_of(store, *event_ids))
    assert not planned.triggers
    (left,) = planned.summary.left_for_a_person
    return left.why


async def test_its_connects_and_its_membership_are_as_if_they_had_never_been(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    await came(registered("f-1"), bought("f-1", "b-1", 10))
    planned = await voiding.void(decides, BOOK, "r-f-1")
    assert (planned.summary.taken, planned.summary.left_for_a_person) == (40, [])
    assert (balance(store, "f-1"), member(store).cycle_start, member(store).next_renewal) == (10, None, None)
    assert last_change(store).explanation == (
        "40 Connects taken back on 2 March 2026, as a correction: the grant for registering of 1 March 2026 should not "
        "have been booked. The membership that began with it counts as never begun."
    )
    await decides.until(day("2026-05-10"))
    assert balance(store, "f-1") == 10, "no cycle of it starts"
    assert not (await voiding.void(decides, BOOK, "r-f-1", name=SECOND)).triggers
    await nothing_is_found(store, 1, 3)


async def test_what_proposals_drew_is_charged_again(decides: Deciding, came: Came, store: MemoryStore) -> None:
    await came(registered("f-1"), proposed("f-1", "p-1", connects=6), bought("f-1", "b-1", 4))
    await voiding.void(decides, BOOK, "r-f-1")
    assert balance(store, "f-1") == -2
    await came(closed("j-1"))
    await decides.until(day("2026-03-10"))
    assert balance(store, "f-1") == 4
    await nothing_is_found(store, 1, 3)


@pytest.mark.parametrize("restarted", [False, True])
async def test_the_right_registration_begins_the_membership(
    decides: Deciding, came: Came, store: MemoryStore, *, restarted: bool
) -> None:
    await came(registered("f-1"))
    await voiding.void(decides, BOOK, "r-f-1")
    if restarted:
        await decides.restart()
    await came(sent_as(registered("f-1"), "r-right"))
    assert (balance(store, "f-1"), member(store).version) == (40, 2)
    await decides.until(day("2026-04-03"))
    assert balance(store, "f-1") == 50
    assert [row.natural_key for row in store.tables.changes if row.rule == "grant.registration"] == ["f-1", "f-1//1"]
    refused = await undoing.plan(store, BOOK)
    assert (refused.triggers, refused.summary.left_for_a_person[0].what) == ([], KEY_IN_USE.what)
    await nothing_is_found(store, 1, 3)


async def test_after_its_first_cycle_it_is_refused(decides: Deciding, came: Came, store: MemoryStore) -> None:
    await came(registered("f-1"))
    await decides.until(day("2026-04-03"))
    assert (await left_for_a_person(store, "r-f-1")).startswith("membership-is-not-voided: ")


@pytest.mark.parametrize("plan", ["plus", "basic"])
async def test_after_a_choice_it_is_refused(came: Came, store: MemoryStore, plan: str) -> None:
    """Basic was declined, for it had begun so; without the registration the choice would have begun it."""
    await came(registered("f-1"), chose(plan, "2026-03-02T10:00:00Z"))
    assert await left_for_a_person(store, "r-f-1") == REFUSED.why


async def test_a_membership_that_a_choice_began_is_left_alone(came: Came, store: MemoryStore) -> None:
    await came(chose("basic", "2026-02-28T10:00:00Z"), registered("f-1"))
    assert await left_for_a_person(store, "r-f-1") == REFUSED.why


async def test_while_an_event_of_it_waits_it_is_refused(came: Came, store: MemoryStore) -> None:
    await came(registered("f-1"), suspended("2026-04-01T00:00:10Z"))
    assert list(store.tables.held)
    assert await left_for_a_person(store, "r-f-1") == REFUSED.why


async def test_a_suspension_stays(decides: Deciding, came: Came, store: MemoryStore) -> None:
    await came(registered("f-1"), suspended("2026-03-02T10:00:00Z"))
    await voiding.void(decides, BOOK, "r-f-1")
    assert (member(store).cycle_start, "account" in member(store).suspensions) == (None, True)
    await nothing_is_found(store, 1, 3)


async def test_one_that_brought_nothing_is_refused() -> None:
    book = policies(registration=0)
    async with leading(MemoryStore(), book) as decides:
        store = decides.store
        assert isinstance(store, MemoryStore)
        await Came(decides)(registered("f-1"), sent_as(registered("f-1"), "r-again"))
        planned = await voiding.plan(store, book, voiding.seqs_of(store, "r-f-1", "r-again"))
        assert ([one.why for one in planned.summary.left_for_a_person]) == [REFUSED.why]
        assert planned.summary.nothing_to_void == 1


async def test_a_choice_between_plan_and_apply_is_not_lost(decides: Deciding, came: Came, store: MemoryStore) -> None:
    await came(registered("f-1"))
    planned = await voiding.plan(store, BOOK, voiding.seqs_of(store, "r-f-1"))
    await came(chose("plus", "2026-03-02T10:00:00Z"))
    answer = await replaying.apply(decides, BOOK, planned.triggers)
    assert (answer.told["booked"], answer.told["deviated"], balance(store, "f-1")) == (0, 1, 40)
    await nothing_is_found(store, 1, 3)


# Undone.


async def test_an_undo_brings_back_the_grant_and_the_membership(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    await came(registered("f-1"), proposed("f-1", "p-1", connects=6))
    before = undoing.what_counts(store), list(store.tables.memberships)
    for name, undo in ((replaying.PLAN, undoing.UNDO), (SECOND, THIRD)):
        await voiding.void(decides, BOOK, "r-f-1", name=name)
        assert balance(store, "f-1") == -6
        await undoing.undo(decides, BOOK, name, undo)
        assert balance(store, "f-1") == 34
        assert (undoing.what_counts(store), list(store.tables.memberships)) == before
    assert last_change(store).explanation.endswith("counts again. The membership goes on as it had begun.")
    await decides.until(day("2026-04-03"))
    assert balance(store, "f-1") == 44
    await nothing_is_found(store, 1, 3)


async def test_cycles_that_were_missed_meanwhile_are_granted(decides: Deciding, came: Came, store: MemoryStore) -> None:
    await came(registered("f-1"))
    await voiding.void(decides, BOOK, "r-f-1")
    await decides.until(day("2026-05-03"))
    await undoing.undo(decides, BOOK)
    await decides.until(day("2026-05-04"))
    assert balance(store, "f-1") == 60
    await nothing_is_found(store, 1, 3)


async def test_a_membership_that_a_choice_began_since_is_not_moved(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    await came(registered("f-1"))
    await voiding.void(decides, BOOK, "r-f-1")
    await came(chose("basic", "2026-03-05T10:00:00Z"))
    refused = await undoing.plan(store, BOOK)
    assert (refused.triggers, refused.summary.left_for_a_person[0].what) == ([], BEGUN_SINCE.what)
    await nothing_is_found(store, 1, 3)


async def test_an_added_registration_is_undone(decides: Deciding, came: Came, store: MemoryStore) -> None:
    await came(bought("f-1", "b-1", 10))
    await replaying.apply(decides, BOOK, await replaying.planned(store, BOOK, [registered("f-1")]))
    assert balance(store, "f-1") == 50
    await undoing.undo(decides, BOOK)
    await decides.until(day("2026-04-10"))
    assert (balance(store, "f-1"), member(store).cycle_start) == (10, None)
    await nothing_is_found(store, 1, 3)
