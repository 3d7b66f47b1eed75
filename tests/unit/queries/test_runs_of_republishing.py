"""What is left of a run that publishes messages once more, by its last command and the answer to that."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from worker.engine.republishing import Republishing
from worker.queries.republish import Ordered, Wallet, left_of

RUN = UUID(int=7)
WALLETS = [Wallet(f"f-{number}", 1, 100) for number in range(5)]


def ordered(
    wallets: list[tuple[str, int]], answer: dict[str, str | int | bool | None] | None, *, is_last: bool = False
) -> Ordered:
    carried = Republishing(str(RUN), 1, "everything", wallets, is_last)
    return Ordered(RUN, carried, "ana", datetime(2026, 3, 1, tzinfo=UTC), answer)


def left(last: Ordered | None) -> list[tuple[str, int]]:
    return [(one.freelancer_id, one.version) for one in left_of(WALLETS, last)]


APPLIED: dict[str, str | int | bool | None] = {"outcome": "applied", "reason": "outputs-republished", "is_whole": True}
CUT = {**APPLIED, "is_whole": False}


def test_a_run_that_has_not_begun_has_everything_left() -> None:
    assert left(None) == [(f"f-{number}", 1) for number in range(5)]


def test_it_goes_on_after_the_last_wallet() -> None:
    last = ordered([("f-0", 1), ("f-1", 1)], APPLIED)
    assert left(last) == [("f-2", 1), ("f-3", 1), ("f-4", 1)]
    assert not last.is_done


def test_it_goes_on_within_a_wallet_that_is_too_large_for_one_part() -> None:
    last = ordered([("f-1", 1), ("f-2", 1)], {**CUT, "last_freelancer": "f-1", "last_version": 40})
    assert left(last) == [("f-1", 41), ("f-2", 1), ("f-3", 1), ("f-4", 1)]


@pytest.mark.parametrize("answer", [None, {"outcome": "declined", "reason": "command-failed"}])
def test_what_was_not_done_is_left(answer: dict[str, str | int | bool | None] | None) -> None:
    last = ordered([("f-3", 1), ("f-4", 1)], answer, is_last=True)
    assert left(last) == [("f-3", 1), ("f-4", 1)]
    assert not last.is_done


def test_it_is_done_with_the_last_command() -> None:
    last = ordered([("f-3", 1), ("f-4", 1)], APPLIED, is_last=True)
    assert (left(last), last.is_done) == ([], True)
    cut = ordered([("f-4", 1)], {**CUT, "last_freelancer": "f-4", "last_version": 2}, is_last=True)
    assert (left(cut), cut.is_done) == ([("f-4", 3)], False)
