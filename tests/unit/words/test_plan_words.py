"""What is said of plans and of what they added."""

from datetime import UTC, datetime

from worker.repair.plan import Expected
from worker.words.plans import added_later, brought_in_words


def test_what_a_trigger_brings_names_the_first_wallets() -> None:
    assert brought_in_words(Expected("declined", "already-granted", {})) == "declined (already-granted)"
    assert brought_in_words(Expected("applied", "registered", {"f-1": 40})) == "applied (registered), f-1 +40"
    many = {f"f-{number}": -number for number in range(1, 8)}
    assert brought_in_words(Expected("recorded", "hire-after-settlement", many)) == (
        "recorded (hire-after-settlement), f-1 -1, f-2 -2, f-3 -3, f-4 -4, f-5 -5 and 2 more wallets"
    )
    assert brought_in_words(Expected("applied", "x", dict(list(many.items())[:6]))).endswith(" and 1 more wallet")


def test_of_an_added_event_is_said_when_by_whom_why_and_where_it_was_found() -> None:
    assert added_later(datetime(2026, 12, 4, 23, tzinfo=UTC), "ana", "lost", "hour.jsonl.gz", 7) == (
        "The event did not come when it happened: ana added it on 4 December 2026 (lost), from hour.jsonl.gz, line 7."
    )
