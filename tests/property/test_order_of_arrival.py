"""Topics bring what happened around a cycle start in any order between them: the same is granted and charged."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kit.histories import START, MembershipYears, Record, listed
from tests.kit.story import GRACE
from tests.model.answers import Row
from tests.model.ledger import Ledger, grants_of
from tests.property.played import in_order, played
from tests.property.variety import POLICIES, SEEDS, looking, membership_histories

SECONDS = (0, 0.5, 1, 15, 29, 29.999999)
"""By which events arrive after their time: less than a grace."""
MORE = timedelta(days=70)

delays = st.lists(st.sampled_from(SECONDS), min_size=1, max_size=40)


@looking(examples=100)
@given(membership_histories(in_order=True), delays, st.sampled_from(sorted(POLICIES)))
def test_memberships_end_the_same_whatever_arrives_first_around_a_cycle_start(
    records: list[Record], seconds: list[float], policy: str
) -> None:
    agree(records, seconds, policy)


@pytest.mark.parametrize("seed", SEEDS)
def test_years_of_memberships_end_the_same_whatever_arrives_first_around_a_cycle_start(seed: int) -> None:
    history = list(MembershipYears(seed, freelancers=25, years=2, duplicates=0))
    agree(history, SECONDS, "as it is", f"TEST_SEED={seed}")


def agree(records: list[Record], seconds: Sequence[float], policy: str, replay: str = "") -> None:
    text = POLICIES[policy]
    rows = [row for row in in_order(records, text) if row["outcome"] not in {"duplicate", "rejected"}]
    shown = f"{replay}\npolicy {policy!r}, late by {seconds} s:\n{listed(records)}"
    end = max((row["occurred_at"] for row in rows), default=START) + MORE
    in_time = played(rows, text, until=end)
    as_it_comes = delivered(rows, seconds, cycle_starts(in_time))
    same(outcome(played(as_it_comes, text, until=end)), outcome(in_time), shown)


def cycle_starts(ledger: Ledger) -> dict[str, list[datetime]]:
    """When cycles started, by freelancer."""
    starts: dict[str, set[datetime]] = defaultdict(set)
    for row in ledger.decisions:
        if row["kind"] == "clock" and row["event_id"].startswith(("cycle:", "renewal:")):
            starts[row["freelancer_id"]].add(row["occurred_at"])
    return {who: sorted(days) for who, days in starts.items()}


def delivered(rows: list[Row], seconds: Sequence[float], starts: dict[str, list[datetime]]) -> list[Row]:
    """The rows as they come when each is late by less than a grace, each topic in its order, and each cycle in its.

    So what is dated before a cycle start may come after what is dated after it. What is dated in one cycle comes in
    order of time, for there it does matter by rule what was known when: a choice is answered immediately.
    """
    arrivals: list[tuple[datetime, int, Row]] = []
    latest: dict[Any, datetime] = {}
    for place, row in enumerate(rows):
        at, topic, who = row["occurred_at"], row["topic"], row["freelancer_id"]
        cycle = (who, bisect_right(starts.get(who, []), at))
        arrival = at + timedelta(seconds=seconds[place % len(seconds)])
        arrival = max(arrival, latest.get(topic, arrival), latest.get(cycle, arrival))
        assert arrival - at < GRACE
        latest[topic] = latest[cycle] = arrival
        arrivals.append((arrival, place, row))
    return [{**row, "business_time": arrival} for arrival, _, row in sorted(arrivals, key=lambda one: one[:2])]


def outcome(ledger: Ledger) -> dict[str, Any]:
    """All grants, what was asked and what became of it, and how every membership ended."""
    names = ("amount_cents", "source", "promo_code", "attempt", "cycle_start", "requested_at", "status")
    grants = {"/".join(key): delta for key, delta in grants_of(ledger.decisions).items()}
    charges = {
        f"{row['freelancer_id']}/{row['charge_id']}": tuple(row[name] for name in names) for row in ledger.charges or ()
    }
    return grants | charges | {row["freelancer_id"]: row for row in ledger.memberships or ()}


def same(found: dict[str, Any], expected: dict[str, Any], shown: str) -> None:
    names = [name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name)]
    words = [f"{name}: {found.get(name)} should be {expected.get(name)}" for name in sorted(names)[:10]]
    assert not names, "\n".join([*words, shown])
