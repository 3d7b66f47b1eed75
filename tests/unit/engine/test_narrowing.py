"""Whatever PostgreSQL refuses is found one by one, in few steps, whatever its place."""

import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.engine.narrowing import Narrowing
from worker.errors import BatchRefused, OperatorNeeded
from worker.ledger.batch import Batch, Conditions

REFUSAL = BatchRefused("PostgreSQL refused batch 7", "the server's words")


def a_batch(first: int, last: int) -> Batch:
    conditions = Conditions(1, "0.0.0", 30.0, 300.0, [])
    batch = Batch(7, last, b"", None, datetime(2026, 1, 1, tzinfo=UTC), conditions, None, bytes(16))
    batch.decisions = [(seq,) for seq in range(first, last + 1)]
    return batch


def decide_all(count: int, bad: set[int], batch_size: int) -> tuple[dict[object, str], int]:
    """Decide triggers 1 to `count`, of which PostgreSQL refuses the bad ones; what fails, and how many were refused."""
    failing: dict[object, str] = {}
    narrowing = Narrowing(batch_size, failing)
    done = refusals = 0
    while done < count:
        last = min(count, done + narrowing.most)
        batch, triggers = a_batch(done + 1, last), list(range(done + 1, last + 1))
        if any(trigger in bad and trigger not in failing for trigger in triggers):
            narrowing.refused(batch, triggers, REFUSAL)
            refusals += 1
        else:
            narrowing.committed(batch)
            done = last
    return failing, refusals


@given(st.integers(1, 6_000), st.data())
def test_each_is_found_and_nothing_else(batch_size: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 2 * batch_size + 10))
    bad = data.draw(st.sets(st.integers(1, count), max_size=20))
    failing, refusals = decide_all(count, bad, batch_size)
    assert set(failing) == bad
    assert all(words == "PostgreSQL refused it: the server's words" for words in failing.values())
    assert refusals <= len(bad) * (2 + math.log2(max(2, batch_size)))


@pytest.mark.parametrize("place", [1, 2, 2_500, 4_999, 5_000])
def test_the_one_of_a_full_batch_is_found_in_a_few_steps(place: int) -> None:
    _, refusals = decide_all(5_000, {place}, 5_000)
    assert refusals <= 14


def test_where_all_are_refused_each_costs_few_steps() -> None:
    _, refusals = decide_all(1_000, set(range(1, 1_001)), 5_000)
    assert refusals <= 2_100


def test_batches_grow_again_afterwards() -> None:
    narrowing = Narrowing(5_000, {})
    narrowing.refused(a_batch(1, 4), [1, 2, 3, 4], REFUSAL)
    assert narrowing.most == 2
    last = 4
    for _ in range(12):
        narrowing.committed(a_batch(last + 1, last + narrowing.most))
        last += narrowing.most
    assert narrowing.most == 5_000


@pytest.mark.parametrize(
    "triggers", [[], ["known"]], ids=["that decides nothing", "whose one trigger is parked already"]
)
def test_a_batch_is_an_operators_matter(triggers: list[object]) -> None:
    narrowing = Narrowing(5_000, {"known": "fails"})
    with pytest.raises(OperatorNeeded, match="PostgreSQL refused batch 7"):
        narrowing.refused(a_batch(1, 1), triggers, REFUSAL)
