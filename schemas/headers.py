"""The headers that the worker writes, by name, with what stands in each. Inputs need no headers."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

DEAD_LETTER_TOPIC: Final = "connects-dead-letters"

# CloudEvents 1.0, binary mode, on every output.
CLOUD_EVENTS_HEADERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "ce_specversion": "The version of CloudEvents: `1.0`.",
        "ce_id": "The message's event_id.",
        "ce_type": "What kind of message it is.",
        "ce_source": "Which worker's ledger it comes from.",
        "ce_time": "The message's occurred_at, RFC 3339 in UTC.",
        "content-type": "`application/json`.",
    }
)

# On some outputs: W3C Trace Context while tracing is on, and what marks a repeat that somebody ordered.
OPTIONAL_HEADERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "traceparent": "While tracing is on: the span of the decision that made the message (W3C Trace Context).",
        "tracestate": "While tracing is on: as the input record that was decided had it, if it had one.",
        "x-republished": "On wallet-updated alone: an operator had the message published once more, as it was; by which"
        " command (`command:<id>`).",
    }
)

DEAD_LETTER_HEADERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "x-original-topic": "Where the record was read: its topic.",
        "x-original-partition": "Where the record was read: its partition.",
        "x-original-offset": "Where the record was read: its offset. Topic, partition and offset tell repeats apart.",
        "x-original-timestamp": "The record's Kafka timestamp.",
        "x-error-code": "`invalid-event`, `occurred-in-the-future`, `occurred-too-long-ago`, `event-id-conflict`,"
        " `unreadable-record` or `batch-too-large` (a compressed batch that was not expanded: the letter has neither"
        " key nor value).",
        "x-error-detail": "What is wrong, in words, with the field named; of a batch, its offsets and the limit.",
        "x-attempts": "How often it was tried.",
    }
)
TRUNCATION_HEADERS: Final[Mapping[str, str]] = MappingProxyType(
    {"x-truncated": "Present where the value was too large to send whole; all of it is in the ledger."},
)
