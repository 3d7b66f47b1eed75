"""How a decision as it is taken today is compared with the recorded one."""

from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec
import pytest

from worker.domain.decisions import Decision, Subject
from worker.domain.model import Cause, FreelancerId
from worker.domain.policy import PolicyBook
from worker.ledger.rows import decided_columns
from worker.ledger.tables import DecisionRow
from worker.proof.comparing import differences
from worker.proof.recorded import BatchHeader, Recorded

NOON: Final = datetime(2026, 1, 5, 12, tzinfo=UTC)
TODAY: Final = Decision(
    *(7, "first", Cause("earnings-balance-updated", "e-1"), NOON, Subject(FreelancerId("f-1"))),
    *("recorded", "earnings-noted", "membership.earnings", None, {"available_cents": 500, "currency": "USD"}, NOON),
)
OLDER, OF_THIS_RELEASE = None, timedelta(0)


def found(grace: timedelta | None, facts: dict[str, object]) -> list[tuple[str, object, object]]:
    """What differs if these facts were recorded by a batch that stored this grace: none, if by an earlier release."""
    columns = dict(zip(DecisionRow._fields[2:], decided_columns(TODAY), strict=False))
    row = DecisionRow(**{name: columns.get(name) for name in DecisionRow._fields})
    recorded = row._replace(facts=msgspec.json.encode(facts).decode())
    header = BatchHeader(1, 100, "0.2.0", grace, PolicyBook(()), NOON)
    return [(one.field, one.recorded, one.decided) for one in differences(TODAY, Recorded(recorded, header))]


@pytest.mark.parametrize("grace", [OLDER, OF_THIS_RELEASE])
def test_the_same_facts_differ_in_nothing(grace: timedelta | None) -> None:
    assert found(grace, {"available_cents": 500, "currency": "USD"}) == []


def test_a_fact_that_an_earlier_release_did_not_record_is_not_compared() -> None:
    assert found(OLDER, {"available_cents": 500}) == []
    assert found(OF_THIS_RELEASE, {"available_cents": 500}) == [("facts.currency", None, "USD")]


@pytest.mark.parametrize("grace", [OLDER, OF_THIS_RELEASE])
def test_a_fact_that_was_recorded_otherwise_or_is_not_told_today_differs(grace: timedelta | None) -> None:
    otherwise = {"available_cents": 400, "currency": "USD", "later_at": "2026-01-06T00:00:00Z"}
    assert found(grace, otherwise) == [
        ("facts.available_cents", 400, 500),
        ("facts.later_at", "2026-01-06T00:00:00Z", None),
    ]
