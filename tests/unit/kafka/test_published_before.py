"""What is compared of a message that is made again after the database was restored from a backup."""

import json
from typing import Any

import pytest

from schemas.catalogue import OUTPUT_TOPICS
from schemas.examples import EXAMPLES
from worker.kafka.output.published_before import COMPARED, NAMED_BY, Named, differing, read_message

NOT_COMPARED = {"recorded_at", "explanation"}


def example(topic: str, **fields: Any) -> bytes:  # noqa: ANN401
    return json.dumps({**EXAMPLES[topic], **fields}).encode()


def compared(topic: str, **fields: Any) -> list[str]:  # noqa: ANN401
    """What differs once these fields are changed."""
    (named, content), (same, other) = read_message(topic, example(topic)), read_message(topic, example(topic, **fields))
    assert named == same
    return differing(topic, content, other)


@pytest.mark.parametrize("topic", OUTPUT_TOPICS)
def test_every_field_of_the_contract_names_a_message_or_is_compared_or_is_left_out_on_purpose(topic: str) -> None:
    fields = set(OUTPUT_TOPICS[topic].model_fields)
    left_out = NOT_COMPARED if topic == "wallet-updated" else set()
    assert {*COMPARED[topic], NAMED_BY[topic], "freelancer_id", *left_out} == fields


@pytest.mark.parametrize("topic", OUTPUT_TOPICS)
def test_each_compared_field_is_named_when_it_differs(topic: str) -> None:
    for name in COMPARED[topic]:
        other: Any = [{"lot_id": "another", "delta": 1}] if name == "lots" else {"another": 1}
        assert compared(topic, **{name: other}) == [name]
    assert compared(topic, unknown="of a later release") == []


def test_when_it_was_booked_and_how_it_is_worded_is_not_compared() -> None:
    assert compared("wallet-updated", recorded_at="2030-01-01T00:00:00Z", explanation="Another sentence.") == []


def test_lots_are_compared_in_any_order() -> None:
    lots = [{"lot_id": name, "delta": 1, "expires_at": "2026-07-01T00:00:00Z"} for name in ("f-1:1", "f-1:2")]
    one, other = (read_message("wallet-updated", example("wallet-updated", lots=these)) for these in (lots, lots[::-1]))
    assert one == other
    fewer = read_message("wallet-updated", example("wallet-updated", lots=lots[:1]))
    assert differing("wallet-updated", one[1], fewer[1]) == ["lots"]


def test_a_command_that_was_repeated_and_an_event_that_was_added_again_are_the_same_cause() -> None:
    def cause(**told: object) -> bytes:
        return read_message("wallet-updated", example("wallet-updated", cause=told))[1]

    assert cause(topic=None, event_id="command:a") == cause(topic=None, event_id="command:b")
    assert cause(topic="hire-made", event_id="e-1", added=4) == cause(topic="hire-made", event_id="e-1", added=5)
    assert cause(topic="hire-made", event_id="e-1", added=4) != cause(topic="hire-made", event_id="e-1")
    assert cause(topic=None, event_id="expiry:f-1:1") != cause(topic=None, event_id="expiry:f-1:2")


def test_a_message_is_named_as_people_name_it() -> None:
    named, _ = read_message("wallet-updated", example("wallet-updated", freelancer_id="f-1", version=3))
    assert (named, str(named)) == (Named("wallet-updated", "f-1", "3"), "version 3 of f-1 (wallet-updated)")
    assert str(Named("membership-charge-requested", "f-1", "c-1")) == "charge c-1 of f-1 (membership-charge-requested)"


@pytest.mark.parametrize("value", [b"", b"[]", b"{}", b'{"freelancer_id": "f-1", "version": 1, "lots": 3}', b"\xff"])
def test_what_is_no_message_is_refused(value: bytes) -> None:
    with pytest.raises(ValueError, match="Error"):
        read_message("wallet-updated", value)
