"""Events are given their right content, then voided, and that is undone: each as if the one before had never been.

Balances less shortfalls, and what counts, are those of before what is undone; a second void takes what the first one
took. `verify` finds nothing after each step.
"""

import asyncio
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kit import replacing, undoing, voiding
from tests.kit.deciding import GRACE, as_read, deciding
from tests.kit.histories import History, Record, listed
from tests.kit.policies import policies
from tests.kit.replaying import nothing_is_found
from tests.property.came_wrong import made_wrong
from tests.property.played import in_order
from tests.property.variety import POLICIES, SEEDS, any_histories, looking
from worker.ledger.memory_store import MemoryStore
from worker.repair.planning import Planned

LIMIT_SECONDS = 60
SECOND, THIRD, FOURTH = "cd" * 32, "de" * 32, "ef" * 32


@looking(examples=60)
@given(records=any_histories(), policy=st.sampled_from(sorted(POLICIES)), seed=st.integers(0, 2**32))
def test_corrections_in_turn(records: list[Record], policy: str, seed: int) -> None:
    asyncio.run(correct_in_turn(records, POLICIES[policy], random.Random(seed)))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_marketplaces_corrections_in_turn(seed: int) -> None:
    history = list(History(seed, events=400, jobs=30, late=0.03))
    voided = asyncio.run(correct_in_turn(history, POLICIES["as it is"], random.Random(seed)))
    assert voided > 10, f"TEST_SEED={seed}"


async def correct_in_turn(records: list[Record], text: str, chance: random.Random) -> int:
    wrong, right = made_wrong(records, chance)
    store, book, shown = MemoryStore(), policies(text), f"{listed(wrong)}\n{right}"
    async with asyncio.timeout(LIMIT_SECONDS), deciding(store, book, batch_size=50) as decides:
        decides.add_policies()
        await decides.decide(as_read(in_order(wrong, text)))
        await decides.commit()
        if decides.writer.business_time is None:
            return 0
        await decides.until(decides.writer.business_time + 2 * GRACE)
        await replacing.replace(decides, book, *right)
        chosen = sorted(voiding.some_of(store, chance, 0.5))
        before = undoing.balances(store), undoing.what_counts(store)
        first = await voiding.void_decisions(decides, book, chosen, SECOND)
        voided = less_shortfall(store, first)
        await nothing_is_found(store, 1, 3, shown=shown)
        undone = await undoing.undo(decides, book, SECOND, THIRD)
        if len(undone.triggers) == len(first.triggers):
            differ = differences(before[1], undoing.what_counts(store))
            assert not differ, f"{differ}\n{shown}"
            assert less_shortfall(store, undone) == before[0], shown
            await nothing_is_found(store, 1, 3, shown=shown)
            second = await voiding.void_decisions(decides, book, chosen, FOURTH)
            assert {trigger.corrects[0] for trigger in second.triggers} == {one.corrects[0] for one in first.triggers}
            again = less_shortfall(store, second)
            assert again == voided or undone.summary.shortfall, f"{again}\n{voided}\n{shown}"
        await nothing_is_found(store, 1, 3, shown=shown)
        return len(undone.triggers)


def less_shortfall(store: MemoryStore, *plans: Planned) -> dict[str, int]:
    """Balances, as if all had been there that should have been taken."""
    found = undoing.balances(store)
    for planned in plans:
        for trigger in planned.triggers:
            for name, missing in trigger.expected.shortfall.items():
                found[name] -= missing
    return found


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[Any]:
    """What counts otherwise than before; of a line that costs nothing it does not matter whether it came back."""
    spends = [{name: _line_by_line(row) for name, row in one["spends"].items()} for one in (before, after)]
    others = [name for name in before if name != "spends" and before[name] != after[name]]
    names = sorted({*spends[0], *spends[1]})
    return [*others, *((name, *both) for name in names if (both := [one.get(name) for one in spends])[0] != both[1])]


def _line_by_line(row: dict[str, Any]) -> dict[str, Any]:
    lines = {f"{name}_returned": bool(row[name] and row[f"{name}_returned"]) for name in ("base", "boost")}
    return row | lines | {"boost_outbid": bool(row["boost"] and row["boost_outbid"])}
