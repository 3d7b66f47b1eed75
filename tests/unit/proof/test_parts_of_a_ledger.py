"""Into how many parts a ledger is divided, and what a part takes in of jobs of other parts."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from tests.kit.policies import policies
from worker.domain.model import JobId
from worker.domain.policy import PolicyBook
from worker.domain.state import State
from worker.ledger.tables import DecisionRow
from worker.proof.passes import parts_of
from worker.proof.recorded import BatchHeader, Recorded
from worker.proof.triggers import Triggers

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
HEADER = BatchHeader(1, 100, "0.2.0", timedelta(0), PolicyBook([]), NOON)
CLOSED = '{"closure":"expired","closed_at":"2026-01-05T12:00:00Z","due_at":"2026-01-05T13:00:00Z"}'


@pytest.mark.parametrize(
    ("decisions", "jobs", "per_pass", "parts"),
    [
        (0, 1, None, 1),
        (200_000, 1, None, 1),
        (2_000_000, 1, None, 9),
        (900, 2, None, 1),
        (30_000, 2, None, 2),
        (2_000_000, 2, None, 26),
        (1_000, 1, 300, 4),
        (100_000, 4, 10_000, 12),
    ],
)
def test_each_process_has_as_many_passes(decisions: int, jobs: int, per_pass: int | None, parts: int) -> None:
    assert [part.number for part in parts_of(decisions, jobs, per_pass)] == list(range(parts))
    assert all(part.of == parts for part in parts_of(decisions, jobs, per_pass))


def closing(facts: str, *, id_is_known: bool = True) -> Recorded:
    names = (None, JobId("j-1"), None, "recorded", "settlement-pending", "refund.job-closed-without-hire", "v1")
    place = ("first", None, "job-closed", 0, 0, 0, "e-1", NOON)
    row = DecisionRow(7, 1, *place, *names, facts, None, NOON, NOON, None, None, None, None)
    return Recorded(row, HEADER, is_mine=False, is_my_job=False, id_is_known=id_is_known)


def test_a_closure_of_a_job_of_another_part_is_taken_in_as_it_was_recorded() -> None:
    state = State(timedelta(0))
    assert Triggers(state, set()).take_in([closing(CLOSED)])
    (closure,) = state.jobs[JobId("j-1")].closures
    assert (closure.kind, closure.closed_at, closure.due_at) == ("expired", NOON, NOON + timedelta(hours=1))
    assert state.changed.closures == {7: closure}


@pytest.mark.parametrize(("reason", "is_taken_in"), [("hire-noted", True), ("hire-after-settlement", False)])
def test_a_hire_after_refunds_is_decided_where_the_refunds_were(reason: str, *, is_taken_in: bool) -> None:
    """Today's rules may take them back: no other part has the wallets that would change."""
    hire = closing("{}")
    hire.row = hire.row._replace(topic="hire-made", reason=reason)
    hire.batch = msgspec.structs.replace(HEADER, policies=policies())
    assert Triggers(State(timedelta(0)), set()).take_in([hire]) == is_taken_in


@pytest.mark.parametrize(
    "wrong", [closing("{}"), closing('{"closure":1,"due_at":2}'), closing(CLOSED, id_is_known=False)]
)
def test_one_that_cannot_be_taken_in_is_decided(wrong: Recorded) -> None:
    state = State(timedelta(0))
    assert not Triggers(state, set()).take_in([wrong])
    assert not state.job(JobId("j-1")).closures
