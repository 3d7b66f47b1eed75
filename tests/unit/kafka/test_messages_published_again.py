"""A message that is published once more is told from its first publication by the command that ordered it."""

from dataclasses import dataclass

from worker.kafka.output.messages import Message, RepublishedMessage, TracedMessage, pack, unpack, unpack_whole
from worker.kafka.output.published_messages import event_id_of, republished_by

FIELDS = ("wallet-updated", b"f-1", b"{}", "id-1", "2026-03-01T10:00:00Z")
FIRST, AGAIN = Message(*FIELDS), RepublishedMessage(*FIELDS, republished="command:7")


@dataclass
class Record:
    headers: tuple[tuple[str, bytes | None], ...]


def test_the_command_is_packed_behind_what_every_message_has() -> None:
    traced = TracedMessage(*FIELDS, "00-trace", "state")
    packed = pack([FIRST, traced, AGAIN])
    assert unpack(packed) == [FIRST, FIRST, FIRST]
    assert [(one.traceparent, one.republished) for one in unpack_whole(packed)] == [
        *(("", ""), ("00-trace", "")),
        ("", "command:7"),
    ]


def test_each_publication_of_a_message_has_an_id_of_its_own() -> None:
    first = Record((("ce_id", b"id-1"),))
    again = Record((("ce_id", b"id-1"), ("x-republished", b"command:7")))
    assert (event_id_of(first), republished_by(first)) == ("id-1", "")
    assert (event_id_of(again), republished_by(again)) == ("id-1 command:7", "command:7")
