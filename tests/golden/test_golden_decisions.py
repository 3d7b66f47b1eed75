"""A change of any decision about the corpus is a difference that somebody must look at."""

import pytest

from tests.golden.deciding import DECISIONS, POLICIES, Line, decide_corpus, differences, read_lines
from tests.reference.ledger import check_ledger
from tests.support.policies import as_document
from worker.domain.explanations import _WORDS

OPERATORS_ONLY = {
    *("failure-in-rule", "refused-by-postgresql", "waits-behind", "unreadable-record"),
    *("position-set", "wrong-arguments", "unknown-command", "not-parked", "released", "fails-again"),
    "worker-stopping",
}
"""Reasons that no event of the corpus can have: a bug in a rule, a header that is no text, an operator's command."""

HOW_TO = "Was that meant? Then `python -m tests.golden.record`, and commit the difference with its reason."


def told(found: list[str], most: int = 20) -> str:
    more = [f"... and {len(found) - most} more"] if len(found) > most else []
    return "\n".join([f"{len(found)} decisions differ from the recorded ones.", *found[:most], *more, HOW_TO])


@pytest.mark.parametrize(("batch_size", "restart_every"), [(1_000, 10**9), (3, 7)])
async def test_every_decision_about_the_corpus_is_the_recorded_one(
    database_url: str, batch_size: int, restart_every: int
) -> None:
    decided = await decide_corpus(database_url, batch_size=batch_size, restart_every=restart_every)
    found = differences(read_lines(DECISIONS), decided)
    assert not found, told(found)
    await the_reference_model_agrees(database_url)


async def the_reference_model_agrees(database_url: str) -> None:
    report = await check_ledger(database_url, as_document(POLICIES), movements_in_order=False)
    assert report.ok, str(report)


def test_the_corpus_has_every_reason_and_every_outcome() -> None:
    recorded = read_lines(DECISIONS)
    assert {line["reason"] for line in recorded} == set(_WORDS) - OPERATORS_ONLY
    outcomes = {"applied", "declined", "withheld", "recorded", "rejected", "duplicate"}
    assert {line["outcome"] for line in recorded} == outcomes
    versions = {"2026-01-01", "2028-01-01", "2029-06-01", "2031-11-01", "2032-04-01"}
    assert {line.get("policy_version") for line in recorded} == versions | {None}


def test_what_differs_is_told_by_story_event_and_field() -> None:
    recorded = read_lines(DECISIONS)
    place = next(place for place, line in enumerate(recorded) if line["reason"] == "job-expired")
    changed: Line = {**recorded[place], "reason": "closed-without-hire", "outcome": "applied"}
    (words,) = differences(recorded, [*recorded[:place], changed, *recorded[place + 1 :]])
    assert words == (
        "S3: the job expired: settlement of job-closed 10, g-096, proposal p-ravi-1\n"
        "    outcome: declined\n"
        "      now: applied\n"
        "    reason: job-expired\n"
        "      now: closed-without-hire"
    )
    (gone,) = differences(recorded, [*recorded[:place], *recorded[place + 1 :]])
    assert gone.endswith("\n    is gone: declined/job-expired")
    (new,) = differences([*recorded[:place], *recorded[place + 1 :]], recorded)
    assert new.endswith("\n    is new: declined/job-expired")
    exchanged = [*recorded[: place - 1], recorded[place], recorded[place - 1], *recorded[place + 1 :]]
    (order,) = differences(recorded, exchanged)
    assert order.startswith("the same decisions in another order, from here on: settlement of job-closed 10, g-096")
