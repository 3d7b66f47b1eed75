"""Records against decisions, and messages against changes: what differs, and what cannot be compared."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from worker.kafka.input.raw_batches import OddRecords
from worker.kafka.records import Position, TopicPartition, UnexpandedBatch
from worker.proof.against_topics import AgainstTopics
from worker.proof.input_topics import Decided, Skip, compare
from worker.proof.output_topic import lots_of, message_differences

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
POSITION = Position(TopicPartition("badge-earned", 2), 1, 10, 9, None, None, NOON)


def partition(*skips: Skip, is_compacted: bool = False) -> Any:  # noqa: ANN401
    return SimpleNamespace(position=POSITION, skips=list(skips), is_compacted=is_compacted)


def record(offset: int, value: bytes | None = b"as sent") -> Any:  # noqa: ANN401
    return SimpleNamespace(offset=offset, value=value)


def decided(offset: int, content: bytes | None = b"as sent", **more: Any) -> Decided:  # noqa: ANN401
    one = Decided(offset, 100 + offset, "badge-earned", has_content=True, content=content, last_offset=None)
    return one._replace(**more)


def compared(
    records: list[Any],
    decisions: list[Decided],
    where: Any = None,  # noqa: ANN401
    odd: OddRecords | None = None,
) -> tuple[list[tuple[str, int | None]], AgainstTopics]:
    counts = AgainstTopics()
    by_offset = {one.offset: one for one in decisions}
    found = compare(where or partition(), records, odd or OddRecords(), by_offset, counts)
    return [(finding.cause, finding.seq) for finding in found], counts


def test_a_record_with_a_decision_on_the_same_content_is_counted_as_compared() -> None:
    found, counts = compared([record(3), record(4, None)], [decided(3), decided(4, None)])
    assert (found, counts.records) == ([], 2)
    assert counts.in_words() == "Compared: 2 records of input topics, 0 messages of wallet-updated."


def test_other_content_and_a_record_without_a_decision_and_a_decision_without_a_record_are_found() -> None:
    found, counts = compared([record(3, b"another"), record(4, None), record(5)], [decided(3), decided(4), decided(6)])
    assert found == [("inconsistent", 103), ("inconsistent", 104), ("undecided", None), ("not-in-topic", 106)]
    assert counts.records == 0


def test_what_an_operator_had_skipped_is_counted_apart() -> None:
    found, counts = compared([record(3), record(4), record(5)], [decided(3)], partition(Skip(4, 5)))
    assert (found, counts.records, counts.skipped) == ([("undecided", None)], 1, 1)


def test_a_batch_that_was_not_expanded_has_no_content_to_compare() -> None:
    odd = OddRecords(unexpanded={3: UnexpandedBatch(3, 8, 6, 1_000, "it is too large", b"")})
    rejected = decided(3, None, reason="batch-too-large", has_content=False, last_offset=8)
    found, counts = compared([record(3, None)], [rejected], odd=odd)
    assert (found, counts.without_content) == ([], 1)


def test_what_compaction_may_have_removed_is_no_finding() -> None:
    found, counts = compared([], [decided(3)], partition(is_compacted=True))
    assert (found, counts.compacted) == ([], 1)


def test_what_is_not_compared_is_named_in_words() -> None:
    counts = AgainstTopics(2, 1, skipped=1, below_retention=7, not_compared=["job-closed, partition 1: it is away"])
    assert counts.in_words() == (
        "Compared: 2 records of input topics, 1 message of wallet-updated. Not compared: 1 skipped by"
        " `connects positions set`; 7 below retention; job-closed, partition 1: it is away."
    )


def test_what_was_replaced_is_named_in_words() -> None:
    assert AgainstTopics(2, 1, replaced=1).in_words() == (
        "Compared: 2 records of input topics, 1 message of wallet-updated. 1 event got other content by plans; their"
        " records were compared with what they said first."
    )


# Messages.

CHANGE: dict[str, Any] = {
    "delta": 7,
    "debt_delta": -3,
    "balance_after": 4,
    "rule": "grant.purchase",
    "reason": "purchased",
    "policy_version": "2026-01-01",
    "explanation": "10 Connects purchased.",
    "occurred_at": NOON,
    "recorded_at": NOON,
    "topic": "connects-purchased",
    "incarnation": 0,
    "partition": 1,
    "offset": 5,
    "event_id": "e-1",
    "added": None,
    "trigger": None,
    "movements": '[["f-1:2",null,null,10],["f-1:2","p-1","base",-3],[null,"p-1","base",3]]',
}
MESSAGE: dict[str, Any] = {
    **{name: CHANGE[name] for name in ("delta", "debt_delta", "balance_after", "rule", "reason", "policy_version")},
    "freelancer_id": "f-1",
    "version": 2,
    "explanation": "10 Connects purchased.",
    "balance_before": -3,
    "occurred_at": "2026-01-05T12:00:00Z",
    "recorded_at": "2026-01-05T12:00:00Z",
    "overdrawn": False,
    "cause": {name: CHANGE[name] for name in ("topic", "incarnation", "partition", "offset", "event_id")},
    "lots": [{"lot_id": "f-1:2", "delta": 7, "expires_at": "2027-01-05T12:00:00Z"}],
}


def test_a_message_that_shows_its_change_has_no_differences() -> None:
    assert message_differences(b"f-1", MESSAGE, CHANGE) == []
    assert lots_of(CHANGE["movements"]) == {"f-1:2": 7}


def test_a_change_of_an_added_event_names_the_decision_on_it() -> None:
    added = {"topic": "job-closed", "event_id": "e-1", "added": 7}
    change = {**CHANGE, "incarnation": None, "partition": None, "offset": None, **added}
    assert message_differences(b"f-1", {**MESSAGE, "cause": added}, change) == []
    assert message_differences(b"f-1", {**MESSAGE, "cause": {**added, "added": 8}}, change) == ["cause"]
    assert message_differences(b"f-1", MESSAGE, change) == ["cause"]


def test_a_correction_names_the_events_that_it_corrects() -> None:
    ours = {"topic": None, "event_id": "command:7"}
    change = {**CHANGE, **dict.fromkeys(("incarnation", "partition", "offset", "added")), **ours}
    change["trigger"] = b'{"type":"settle","number":1,"corrects":["c-1"]}'
    message = {**MESSAGE, "cause": ours}
    assert message_differences(b"f-1", {**message, "corrects": ["c-1"]}, change) == []
    assert message_differences(b"f-1", {**message, "corrects": ["c-2"]}, change) == ["corrects"]
    assert message_differences(b"f-1", message, change) == ["corrects"]
    assert message_differences(b"f-1", {**MESSAGE, "corrects": ["c-1"]}, CHANGE) == ["corrects"]


def test_a_change_of_the_schedule_has_a_cause_of_its_own() -> None:
    own = {"topic": None, "event_id": "expiry:f-1:2"}
    of_the_schedule = {**CHANGE, **own, "incarnation": None, "partition": None, "offset": None}
    assert message_differences(b"f-1", {**MESSAGE, "cause": own}, of_the_schedule) == []


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({"delta": 8}, ["delta"]),
        ({"overdrawn": True}, ["overdrawn"]),
        ({"occurred_at": "2026-01-05T12:00:00.000001Z"}, ["occurred_at"]),
        ({"cause": {"topic": None, "event_id": "expiry:f-1:2"}}, ["cause"]),
        ({"lots": []}, ["lots"]),
        ({"freelancer_id": "f-2"}, ["key"]),
        ({"explanation": "Other words.", "rule": "adjust"}, ["rule", "explanation"]),
    ],
)
def test_each_field_that_differs_is_named(other: dict[str, Any], named: list[str]) -> None:
    assert sorted(message_differences(b"f-1", {**MESSAGE, **other}, CHANGE)) == sorted(named)
