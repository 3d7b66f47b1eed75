"""Comparing rows with what they should be: what is missing, added or altered is named, with what it should be."""

from datetime import UTC, datetime, timedelta

import pytest

from worker.domain.model import JobId, LotId
from worker.ledger.tables import HireRow, LotRow, SpendRow
from worker.proof.current_state import differing
from worker.proof.findings import MOST_ROWS, RowFinding, Tally
from worker.proof.state_check import Decided, StoredPosition, wrong_position

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
LOT = LotRow(LotId("f-1:1"), "f-1", "registration", NOON, NOON + timedelta(days=365), 40, 12, True, None)  # type: ignore[arg-type]
SPEND = SpendRow(
    *("p-1", "f-1", "j-1", 3, NOON, "proposal", 5, 0, 0, 0, False, False, False, None),  # type: ignore[arg-type]
    '[["base","f-1:1",2,"a","b"],["base","f-1:2",3,"a","b"]]',
    None,
    False,
)


def found(table: str, expected: list[object], rows: list[object], left_out: frozenset[str] = frozenset()) -> list[str]:
    return [f"{row.table} {row.key}: {row.detail}" for row in differing(table, expected, rows, left_out)]


def test_rows_that_are_as_they_should_be_are_not_named() -> None:
    assert found("lots", [LOT], [LOT]) == []
    assert found("lots", [], []) == []


def test_each_column_that_differs_is_named_with_what_it_should_be() -> None:
    altered = LOT._replace(remaining=13, linked_to=LotId("f-1:9"))
    assert found("lots", [LOT], [altered]) == [
        "lots f-1:1: remaining is 13, should be 12; linked_to is f-1:9, should be nothing"
    ]


def test_a_missing_row_and_one_that_should_not_be_there_are_named() -> None:
    one, other = HireRow(JobId("j-1"), NOON), HireRow(JobId("j-2"), NOON)
    assert found("hires", [one], [other]) == [
        "hires j-1: the row is missing; it should be job_id j-1, first_hired_at 2026-01-05T12:00:00+00:00",
        "hires j-2: the row should not be there: job_id j-2, first_hired_at 2026-01-05T12:00:00+00:00",
    ]


def test_the_order_and_the_spaces_of_draws_have_no_meaning() -> None:
    written_otherwise = '[["base", "f-1:2", 3, "a", "b"], ["base", "f-1:1", 2, "a", "b"]]'
    assert found("spends", [SPEND], [SPEND._replace(draws=written_otherwise)]) == []


@pytest.mark.parametrize("draws", ["[]", "{}", "no JSON", '[["base","f-1:1",5,"a","b"]]'])
def test_other_draws_are_named_whatever_they_are(draws: str) -> None:
    (named,) = found("spends", [SPEND], [SPEND._replace(draws=draws)])
    assert named.startswith(f"spends p-1: draws is {draws}, should be [[")


def test_columns_that_nothing_recorded_are_left_out() -> None:
    assert found("lots", [LOT], [LOT._replace(remaining=0)], frozenset({"remaining"})) == []


def test_of_very_many_rows_the_first_are_kept_and_all_are_counted() -> None:
    tally, other = Tally(), Tally()
    for number in range(MOST_ROWS + 3):
        tally.add_row(RowFinding("lots", f"f-1:{number}", "the row is missing"))
    other.add_row(RowFinding("lots", "f-2:1", "the row is missing"))
    tally.add_up(other)
    assert (tally.row_count, len(tally.rows)) == (MOST_ROWS + 4, MOST_ROWS)


# Positions.

AS_DECIDED = StoredPosition(0, 8, 7, NOON)


def decided(set_to: StoredPosition | None = None, **last_offsets: int) -> Decided:
    return Decided({int(name[1:]): last for name, last in last_offsets.items()}, NOON, set_to)


@pytest.mark.parametrize(
    ("stored", "of", "wrong"),
    [
        (AS_DECIDED, decided(_0=7), []),
        (AS_DECIDED._replace(next_offset=12), decided(_0=7), []),
        (AS_DECIDED._replace(next_offset=7), decided(_0=7), ["next_offset is 7, should be 8 or more"]),
        (AS_DECIDED._replace(last_offset=6), decided(_0=7), ["last_offset is 6, should be 7"]),
        (AS_DECIDED._replace(last_offset=None), decided(_0=7), ["last_offset is nothing, should be 7"]),
        (AS_DECIDED._replace(incarnation=1), decided(_0=7), ["incarnation is 1, should be 0"]),
        (
            AS_DECIDED._replace(running_max=None),
            decided(_0=7),
            [f"running_max is nothing, should be {NOON.isoformat()}"],
        ),
        (None, decided(_0=7), ["the position is missing"]),
        (StoredPosition(0, 3, None, None), Decided(), []),
    ],
)
def test_a_position_is_where_the_decisions_end(stored: StoredPosition | None, of: Decided, wrong: list[str]) -> None:
    assert wrong_position(stored, of) == wrong


def test_a_position_that_an_operator_set_may_be_before_what_is_decided_and_not_before_where_it_was_set() -> None:
    set_back = StoredPosition(0, 3, None, None)
    for next_offset, last in ((3, None), (5, 4), (8, 7)):
        assert wrong_position(StoredPosition(0, next_offset, last, NOON), decided(set_back, _0=7)) == []
    assert wrong_position(StoredPosition(0, 2, 1, NOON), decided(set_back, _0=7)) == [
        "next_offset is 2, should be 3 or more"
    ]


def test_of_a_recreated_topic_the_offsets_begin_again() -> None:
    recreated = StoredPosition(1, 0, None, None)
    assert wrong_position(StoredPosition(1, 0, None, NOON), decided(recreated, _0=7)) == []
    assert wrong_position(StoredPosition(1, 3, 2, NOON), decided(recreated, _0=7, _1=2)) == []
    assert wrong_position(AS_DECIDED, decided(recreated, _0=7)) == ["incarnation is 0, should be 1"]
