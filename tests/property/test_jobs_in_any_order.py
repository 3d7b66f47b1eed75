"""Under `late_hire = "claw-back"` it does not matter for the wallets when each event of a job becomes known.

Compared with the outcome of the same events in order of time. Withdrawals are left out: one that becomes known
after a refund changes nothing, so there the order counts by rule.
"""

import json
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

from hypothesis import example, given, note
from hypothesis import strategies as st

from schemas.reading import read_event
from tests.kit.histories import CLOSURES, START
from tests.kit.policies import as_document, policies, policy_text
from tests.kit.story import GRACE, Story
from tests.model.event_time import fold
from tests.model.ledger import check
from tests.property.played import as_ledger
from tests.property.variety import looking
from worker.domain.model import Cause

TEXT = policy_text(late_hire="claw-back")
LATE_MINUTES = (0, 0, 0, 2, 60, 24 * 60)
Known = tuple[str, int, int, dict[str, Any]]
"""A topic, when it happened and how late it became known, in minutes, and the event's fields."""

PROPOSAL = {"freelancer_id": "f-1", "job_id": "j-1", "proposal_id": "p-1"}
BOOSTED = {**PROPOSAL, "connects": 10, "boost_connects": 3, "origin": "proposal"}
HIRED = {"job_id": "j-1", "freelancer_id": "f-3", "contract_id": "c-1"}


def closed(closure: str = "closed-by-client") -> dict[str, Any]:
    return {"job_id": "j-1", "client_id": "c-1", "closure": closure}


OUTBID_BETWEEN: list[Known] = [
    ("proposal-submitted", 1, 0, BOOSTED),
    ("hire-made", 2, 9, HIRED),
    ("job-closed", 3, 0, closed()),
    ("boost-outbid", 2, 5, PROPOSAL),
]
"""Refunded 13, the outbid declined, and then the refund is taken back: 3 were lost."""

CLOSED_BEFORE_THE_HIRE: list[Known] = [
    ("proposal-submitted", 1, 0, BOOSTED),
    ("job-closed", 2, 5, closed("removed-by-marketplace")),
    ("hire-made", 3, 9, HIRED),
    ("job-closed", 4, 0, closed()),
]
"""Refunded by the second closing; the first one, known later, was declined, and then the refund is taken back."""

ONLY_A_BOOST: list[Known] = [
    (topic, at, late, fields | {"connects": 0} if "connects" in fields else fields)
    for topic, at, late, fields in OUTBID_BETWEEN
]
"""There is nothing to take back at all."""


@st.composite
def a_jobs_life(draw: st.DrawFn, *, withdrawals: bool = False) -> list[Known]:
    """Proposals of two freelancers for a job, outbids, hires, and how it ended, perhaps more than once."""
    happened: list[tuple[str, dict[str, Any]]] = []
    for number in range(1, draw(st.integers(1, 3)) + 1):
        about = {"freelancer_id": draw(st.sampled_from(("f-1", "f-2"))), "job_id": "j-1", "proposal_id": f"p-{number}"}
        cost = {"connects": draw(st.sampled_from((10, 7, 0))), "boost_connects": draw(st.sampled_from((3, 0)))}
        happened.append(("proposal-submitted", about | cost | {"origin": "proposal"}))
        happened += [("boost-outbid", about)] * draw(st.integers(0, 2))
        happened += [("proposal-withdrawn", about)] * draw(st.integers(0, int(withdrawals)))
    happened += [("hire-made", HIRED)] * draw(st.integers(0, 2))
    happened += [("job-closed", closed(draw(st.sampled_from(CLOSURES)))) for _ in range(draw(st.integers(1, 3)))]
    instants = draw(st.permutations(range(1, len(happened) + 1)))
    return [
        (topic, at, draw(st.sampled_from(LATE_MINUTES)), fields)
        for at, (topic, fields) in zip(instants, happened, strict=True)
    ]


@looking(examples=300)
@given(a_jobs_life())
@example(OUTBID_BETWEEN)
@example(CLOSED_BEFORE_THE_HIRE)
@example(ONLY_A_BOOST)
def test_a_job_leaves_the_same_whenever_its_events_become_known(life: list[Known]) -> None:
    story, bodies = lived(life)
    expected = fold(bodies, as_document(TEXT), GRACE.total_seconds())
    returned = {
        name: {line.name for line in spend.lines if line.connects and line.returned}
        for name, spend in story.state.spends.items()
    }
    assert returned == {name: expected.returned[name] for name in returned}
    balances = {name: wallet.balance for name, wallet in story.state.wallets.items() if wallet.version}
    assert balances == {name: expected.balances[name] for name in balances}


@looking(examples=300)
@given(a_jobs_life(withdrawals=True))
@example(OUTBID_BETWEEN)
@example(CLOSED_BEFORE_THE_HIRE)
@example(ONLY_A_BOOST)
def test_each_decision_about_a_job_is_the_models(life: list[Known]) -> None:
    story, _ = lived(life)
    report = check(as_ledger(story), as_document(TEXT), grace_seconds=GRACE.total_seconds())
    assert report.ok, str(report)


def lived(life: list[Known]) -> tuple[Story, list[tuple[str, dict[str, Any]]]]:
    """Decide the events in the order in which they become known, until all is settled; returns the events as well."""
    events = [(topic, at, late, _event(number, at, fields)) for number, (topic, at, late, fields) in enumerate(life)]
    note("\n".join(f"known {late:4} minutes late: {topic} {body}" for topic, _, late, body in events))
    story, offsets = Story(policies(TEXT), start=START), Counter[str]()
    for topic, at, late, body in sorted(events, key=lambda one: one[1] + one[2]):
        story.until(_instant(at + late))
        payload = json.dumps(body).encode()
        cause = Cause(topic, body["event_id"], 0, 0, offsets[topic])
        story.read(topic, read_event(topic, payload), cause, payload)
        offsets[topic] += 1
    story.settled()
    return story, [(topic, body) for topic, _, _, body in events]


def _event(number: int, at: int, fields: dict[str, Any]) -> dict[str, Any]:
    return {"event_id": f"e-{number}", "occurred_at": _instant(at).isoformat(), **fields}


def _instant(minute: int) -> datetime:
    return START + timedelta(minutes=minute)
