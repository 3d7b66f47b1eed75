"""Business time that is behind the events, since another partition holds it back: the rules decide as the model does.

Live, events are taken as they come, however far the clock is held; what is due waits for it.
"""

import random
from collections.abc import Sequence
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.base import InputEvent
from schemas.reading import read_event
from tests.kit.histories import START, History, Record, listed
from tests.kit.policies import as_document, policies
from tests.kit.story import Story
from tests.model.ledger import check
from tests.property.played import as_ledger, in_order
from tests.property.variety import POLICIES, SEEDS, any_histories, looking
from worker.domain.decide import decide_event
from worker.domain.decisions import Decision
from worker.domain.model import Cause
from worker.domain.triggers import Received

LOOKS = (1.0, 0.3, 0.1, 0.02, 0.0)
"""How likely it is that business time catches up before an event: always, or hardly ever until the end."""
LONG_BEFORE = START - timedelta(days=800)


class HeldBack(Story):
    """Events are read at business time as it is, and do not move it."""

    def read(self, topic: str, event: InputEvent, cause: Cause, value: bytes = b"{}") -> Decision:
        trigger = Received(event, topic, cause, self.now, self._next_seq)
        self._keep(decide_event(self.state, trigger, self.policies, value))
        return self.decisions[trigger.seq - 1]


@looking(examples=200)
@given(any_histories(), st.sampled_from(sorted(POLICIES)), st.integers(0, 2**32), st.sampled_from((0, 40, 800)))
def test_rules_decide_what_business_time_is_behind_as_the_model_does(
    records: list[Record], policy: str, seed: int, days_more: int
) -> None:
    agree(records, policy, random.Random(seed), days_more)


@pytest.mark.parametrize("seed", SEEDS)
def test_rules_decide_a_marketplaces_year_behind_business_time_as_the_model_does(seed: int) -> None:
    history = list(History(seed, events=600, jobs=40, late=0.05, span=timedelta(days=400)))
    agree(history, "all the other way", random.Random(seed), 400, f"TEST_SEED={seed}")


def agree(records: Sequence[Record], policy: str, chance: random.Random, days_more: int, replay: str = "") -> None:
    text = POLICIES[policy]
    rows = [row for row in in_order(records, text) if row["outcome"] not in {"duplicate", "rejected"}]
    story = HeldBack(policies(text), start=LONG_BEFORE)
    looks = chance.choice(LOOKS)
    for row in rows:
        if chance.random() < looks:
            story.until(row["business_time"])
        cause = Cause(row["topic"], row["event_id"], row["incarnation"], row["partition"], row["offset"])
        story.read(row["topic"], read_event(row["topic"], row["payload"]), cause, row["payload"])
    story.until(max((row["business_time"] for row in rows), default=story.now))
    story.settled()
    story.passes(days=days_more)
    report = check(as_ledger(story), as_document(text), movements_in_order=False)
    assert report.ok, f"{replay}\n{report}\npolicy {policy!r}, {len(records)} records:\n{listed(records)}"
