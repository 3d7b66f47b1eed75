"""What `connects history --upcoming` says of lots."""

from datetime import UTC, datetime

import pytest

from worker.queries.history import expiries
from worker.replies.recorded import LotHeld

CAME, EXPIRES = datetime(2026, 3, 1, tzinfo=UTC), datetime(2027, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("remaining", "words"),
    [
        (1, "1 Connect of 1 March 2026 (purchase) expires on 1 March 2027, unless it is spent before."),
        (5, "5 Connects of 1 March 2026 (purchase) expire on 1 March 2027, unless they are spent before."),
    ],
)
def test_an_expiry_is_shown_in_its_own_number(remaining: int, words: str) -> None:
    (expected,) = expiries([LotHeld("l-1", "purchase", CAME, EXPIRES, remaining)])
    assert (expected.on, expected.kind, expected.connects) == (EXPIRES.date(), "expiry", remaining)
    assert expected.explanation == words
