"""Events that were sent again under new ids are voided: the balances are the reference model's, which never got them.

But for what law 4 leaves out: a weekly cap, a refusal for lack of balance, or the end of a lot lay between. `verify`
finds nothing, in any case.
"""

import asyncio
import json
import random
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kit import voiding
from tests.kit.deciding import deciding
from tests.kit.histories import History, Record, listed
from tests.kit.policies import policies
from tests.kit.replaying import nothing_is_found
from tests.property.compared import balances_are_the_models, decided_through, truly
from tests.property.played import in_order
from tests.property.variety import POLICIES, SEEDS, any_histories, looking
from worker.ledger.memory_store import MemoryStore

LIMIT_SECONDS = 60
NEW = {
    "connects-purchased": "purchase_id",
    "connects-adjusted": "adjustment_id",
    "proposal-submitted": "proposal_id",
    "certification-completed": "certification_id",
    "interview-won": "job_id",
    "proposal-withdrawn": "proposal_id",
    "boost-outbid": "proposal_id",
}
"""What is renamed when an event of this topic is sent again."""


@looking(examples=120)
@given(
    records=any_histories(),
    policy=st.sampled_from(sorted(POLICIES)),
    seed=st.integers(0, 2**32),
    days_more=st.sampled_from((0, 0, 1, 345)),
)
def test_what_was_sent_again_is_as_if_it_never_was(
    records: list[Record], policy: str, seed: int, days_more: int
) -> None:
    asyncio.run(void_and_compare(records, POLICIES[policy], random.Random(seed), days_more))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_marketplaces_days_that_were_sent_again(seed: int) -> None:
    history = History(seed, events=600, jobs=40, late=0.03)
    compared = asyncio.run(void_and_compare(list(history), POLICIES["as it is"], random.Random(seed), 2))
    assert compared > 10, f"TEST_SEED={seed}"


def sent_again(records: Sequence[Record], chance: random.Random) -> tuple[list[Record], list[str]]:
    """The records with some of them a second time, later, under new ids; and their event ids."""
    both, ids = list(records), list[str]()
    for topic, key, value, at in records:
        if topic not in NEW or value is None or chance.random() < 0.6:
            continue
        try:
            fields: dict[str, Any] = json.loads(value)
            fields[NEW[topic]] = f"again-{fields[NEW[topic]]}"
            fields["event_id"] = f"again-{fields['event_id']}-{len(ids)}"
        except (ValueError, KeyError, TypeError):
            continue
        ids.append(fields["event_id"])
        place = chance.randrange(both.index((topic, key, value, at)), len(both)) + 1
        both.insert(place, (topic, key, json.dumps(fields).encode(), at))
    return both, ids


async def void_and_compare(records: list[Record], text: str, chance: random.Random, days_more: int) -> int:
    both, ids = sent_again(records, chance)
    store, book, shown = MemoryStore(), policies(text), f"{len(both)} records\n{listed(both)}"
    async with asyncio.timeout(LIMIT_SECONDS), deciding(store, book, batch_size=50) as decides:
        decides.add_policies()
        until = await decided_through(decides, in_order(both, text), days_more)
        if until is None:
            return 0
        known = {row.event_id for row in store.tables.decisions if row.kind == "first"}
        resent = [event_id for event_id in ids if event_id in known]
        planned = await voiding.void(decides, book, *resent)
        again = await voiding.void(decides, book, *resent, name="cd" * 32)
        assert not again.triggers, shown
        # What comes later finds the ledger as it should be: the same proposals once more, and the clock.
        await decides.until(until + timedelta(days=2))
        await nothing_is_found(store, 1, 3, shown=shown)
    expected = truly(records, text, until + timedelta(days=2))
    compared = balances_are_the_models(store, expected, planned.triggers, shown)
    return compared if planned.triggers else 0
