"""The hash chain that was kept before the Merkle log: what was stored with it has to stay verifiable."""

from datetime import UTC, datetime

from worker.ledger.chain import DECISION_COLUMNS, Row, next_head
from worker.ledger.tables import ChangeRow, DecisionRow

AT = datetime(2026, 1, 5, 12, 0, 0, 1, UTC)


def test_no_two_ledgers_share_their_heads_by_chance_of_how_rows_are_cut() -> None:
    """Rows and columns are kept apart: `ab` + `c` is not `a` + `bc`."""
    empty: list[Row] = []
    ends = [
        next_head(bytes(32), [("ab", "c")], empty),
        next_head(bytes(32), [("a", "bc")], empty),
        next_head(bytes(32), [("ab",), ("c",)], empty),
        next_head(bytes(32), [("ab",)], [("c",)]),
        next_head(bytes(32), empty, [("ab",), ("c",)]),
        next_head(next_head(bytes(32), [("ab",)], empty), [("c",)], empty),
    ]
    assert len(set(ends)) == len(ends)


def test_the_columns_of_the_first_release_are_these() -> None:
    assert [len(DECISION_COLUMNS), len(ChangeRow._fields)] == [22, 15]
    assert DecisionRow._fields[:22] == DECISION_COLUMNS
    assert DECISION_COLUMNS[-1] == "payload"


def test_a_head_is_what_it_was_in_the_first_release() -> None:
    """Computed once by its code."""
    decision: Row = (1, 1, "first", None, "topic", 0, 2, 7, "e-1", AT, "f-1", None, None, "applied", "registered")
    rest: Row = ("grant.registration", "2026-01-01", "{}", 1.5, AT, AT, b"{}")
    change: Row = ("f-1", 1, 1, 0, AT, AT, "r", "registered", "2026-01-01", 40, 0, 40, "words", "f-1", "[]")
    head = next_head(bytes(32), [decision + rest], [change])
    assert head.hex() == "c71f42fedc80b2fbe3cdbc068cb22f0fcf2789bd3fe15d4b990dfc20bdb437e2"
