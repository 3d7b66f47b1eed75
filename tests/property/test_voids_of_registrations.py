"""Registrations that never were are voided, with the memberships that they began: the model's balances, months later.

But for what law 4 leaves out, for registrations that are left for a person, and for freelancers whose right one was
refused because of them. `verify` finds nothing, in any case, and the plan is undone without a loss.
"""

import asyncio
import json
import random
from collections.abc import Sequence
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kit import undoing, voiding
from tests.kit.deciding import as_read
from tests.kit.histories import History, Record, listed
from tests.kit.lives import small_lives
from tests.kit.policies import policies
from tests.kit.replaying import leading, nothing_is_found
from tests.property.compared import balances_are_the_models, truly
from tests.property.played import in_order
from tests.property.variety import FOR_GOOD, POLICIES, SEEDS, any_histories, looking
from worker.ledger.memory_store import MemoryStore
from worker.ledger.tables import MembershipRow

LIMIT_SECONDS = 60
LATER = timedelta(days=70)
"""In which two cycles start, for whom a membership goes on."""
NOBODYS = ("g-1", "g-2")
"""Freelancers of whom nothing else is known."""


@looking(examples=160)
@given(
    records=st.one_of(any_histories(), small_lives(in_order=True)),
    policy=st.sampled_from(sorted(POLICIES)),
    seed=st.integers(0, 2**32),
    undone=st.booleans(),
)
def test_registrations_that_never_were(records: list[Record], policy: str, seed: int, *, undone: bool) -> None:
    asyncio.run(void_and_compare(records, POLICIES[policy], random.Random(seed), undone=undone))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("undone", [False, True])
def test_a_marketplaces_registrations_that_never_were(seed: int, *, undone: bool) -> None:
    records = list(History(seed, events=300, jobs=20, late=0.03))
    booked = asyncio.run(void_and_compare(records, POLICIES["as it is"], random.Random(seed), undone=undone))
    assert seed != FOR_GOOD or booked > 1, f"TEST_SEED={seed}"


def with_garbage(records: Sequence[Record], chance: random.Random) -> tuple[list[Record], list[str]]:
    """The records with registrations among them; and their event ids. None is dated later than what it comes after.

    Else right registrations would wait behind them, and come late.
    """
    both, ids = list(records), list[str]()
    named = {registers: sorted(_freelancers_in(records, registers=registers)) for registers in (True, False)}
    strangers = [name for name in named[False] if name not in named[True]]
    for number, name in enumerate([*strangers[:8], *named[True][:4], *NOBODYS]):
        place = chance.randrange(len(both)) + 1
        before = chance.randrange(place) if chance.random() < 0.3 else place - 1
        at = min(both[before][3], both[place - 1][3])
        event = {"event_id": f"garbage-{number}", "occurred_at": at.isoformat(), "freelancer_id": name}
        ids.append(event["event_id"])
        both.insert(place, ("freelancer-registered", name, json.dumps(event).encode(), at))
    return both, ids


def _freelancers_in(records: Sequence[Record], *, registers: bool) -> set[str]:
    """Whom the records name: by registrations, or by other events."""
    found = set()
    for topic, _, value, _ in records:
        try:
            fields = json.loads(value or b"")
        except ValueError:
            continue
        name = fields.get("freelancer_id") if isinstance(fields, dict) else None
        if (
            (topic == "freelancer-registered") == registers
            and isinstance(name, str)
            and name.isascii()
            and 0 < len(name) < 50
        ):
            found.add(name)
    return {name for name in found if "," not in name}


async def void_and_compare(records: list[Record], text: str, chance: random.Random, *, undone: bool) -> int:
    if not records:
        return 0
    both, ids = with_garbage(records, chance)
    rows = in_order(both, text)
    cut = chance.randrange(len(rows) + 1)
    store, book, shown = MemoryStore(), policies(text), f"cut at {cut} of {len(both)} records\n{listed(both)}"
    async with asyncio.timeout(LIMIT_SECONDS), leading(store, book, batch_size=50) as decides:
        await decides.decide(as_read(rows[:cut]))
        await decides.commit()
        known = {row.event_id for row in store.tables.decisions if row.kind == "first"}
        garbage = [event_id for event_id in ids if event_id in known]
        was = undoing.balances(store), undoing.what_counts(store), _memberships(store)
        planned = await voiding.void(decides, book, *garbage)
        assert not (await voiding.void(decides, book, *garbage, name="cd" * 32)).triggers, shown
        if undone and planned.triggers:
            short = [one.expected.shortfall for one in (await undoing.undo(decides, book)).triggers]
            balances = undoing.balances(store)
            for name, missing in (pair for one in short for pair in one.items()):
                balances[name] -= missing
            assert (balances, undoing.what_counts(store), _memberships(store)) == was, shown
        await decides.decide(as_read(rows[cut:]))
        await decides.commit()
        if decides.writer.business_time is None:
            return 0
        until = decides.writer.business_time + LATER
        await decides.until(until)
        await nothing_is_found(store, 1, 3, shown=shown)
    if not undone:
        expected = truly(records, text, until)
        balances_are_the_models(store, expected, planned.triggers, shown, _unequal(store, set(ids)))
    return len(planned.triggers)


def _memberships(store: MemoryStore) -> list[MembershipRow]:
    return sorted(store.tables.memberships, key=lambda row: row.freelancer_id)


def _unequal(store: MemoryStore, ids: set[str]) -> set[str]:
    """Whose garbage counts, came after their right registration, or before it was voided."""
    rows = [row for row in store.tables.decisions if row.topic == "freelancer-registered"]
    counts = {row.freelancer_id or "" for row in rows if row.event_id in ids and row.seq not in store.tables.voided}
    refused = {row.freelancer_id or "" for row in rows if row.reason == "already-granted"}
    return counts | refused
