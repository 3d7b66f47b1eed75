"""A change of any decision about the corpus is a difference that somebody must look at."""

import pytest

from tests.golden.deciding import CORPUS, DECISIONS, POLICIES, Line, decide_corpus, differences, read_lines
from tests.kit.deciding import Place, ledger_at
from tests.kit.policies import as_document
from tests.kit.republishing import same_when_made_again
from tests.model.ledger import check
from worker.domain.rule_catalogue import CARDS, RULES
from worker.ledger.memory_store import MemoryStore
from worker.ledger.postgres import PostgresStore
from worker.words.operators import OPERATOR_WORDS

OPERATORS_ONLY = {
    *("failure-in-rule", "refused-by-postgresql", "waits-behind", "unreadable-record", "batch-too-large"),
    *("position-set", "wrong-arguments", "command-failed", "unknown-command", "not-parked", "released", "fails-again"),
    *("plan-begun", "plan-is-open", "plan-applied", "plan-interrupted", "plan-stopped", "plan-closed", "plan-refused"),
    *("outputs-adopted", "adoption-interrupted", "outputs-republished", "outputs-not-made-again"),
    *("on-hold", "resumed", "already-on-hold", "not-on-hold", "topic-on-hold", "worker-stopping"),
}
"""Reasons that no event of the corpus can have: a bug in a rule, records that are not read, an operator's command."""

MANY = 200
"""Changes that the corpus has, at the least."""
HOW_TO = "Was that meant? Then `python -m tests.golden.record`, and commit the difference with its reason."


def shown(found: list[str], most: int = 20) -> str:
    more = [f"... and {len(found) - most} more"] if len(found) > most else []
    return "\n".join([f"{len(found)} decisions differ from the recorded ones.", *found[:most], *more, HOW_TO])


@pytest.mark.parametrize(("batch_size", "restart_every"), [(1_000, 10**9), (3, 7)])
async def test_every_decision_about_the_corpus_is_the_recorded_one(batch_size: int, restart_every: int) -> None:
    store = MemoryStore()
    await the_corpus_is_decided_as_recorded(store, batch_size, restart_every)
    assert await same_when_made_again(store) > MANY


async def test_every_decision_is_the_recorded_one_on_postgresql_too(database_url: str) -> None:
    await the_corpus_is_decided_as_recorded(database_url, 100, 150)
    store = PostgresStore(database_url, "golden")
    try:
        assert await same_when_made_again(store) > MANY
    finally:
        await store.close()


async def the_corpus_is_decided_as_recorded(place: Place, batch_size: int, restart_every: int) -> None:
    decided = await decide_corpus(place, batch_size=batch_size, restart_every=restart_every)
    found = differences(read_lines(DECISIONS), decided)
    assert not found, shown(found)
    report = check(await ledger_at(place), as_document(POLICIES), movements_in_order=False)
    assert report.ok, str(report)


def test_the_corpus_has_every_reason_and_every_outcome() -> None:
    recorded = read_lines(DECISIONS)
    topics = {entry["topic"] for entry in read_lines(CORPUS) if "topic" in entry}
    assert len(topics) >= 17
    of_events = [card for card in CARDS if not card.id.startswith("correct.")]  # corrections are ordered by plans
    reasons = {reason for card in of_events if card.on in topics or card.on not in RULES for reason in card.all_reasons}
    assert {line["reason"] for line in recorded} == reasons | set(OPERATOR_WORDS) - OPERATORS_ONLY
    outcomes = {"applied", "declined", "withheld", "recorded", "rejected", "duplicate"}
    assert {line["outcome"] for line in recorded} == outcomes
    versions = {"2026-01-01", "2028-01-01", "2029-06-01", "2031-11-01", "2032-04-01"}
    assert {line.get("policy_version") for line in recorded} == versions | {None}


def test_what_differs_is_shown_by_story_event_and_field() -> None:
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
