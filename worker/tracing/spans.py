"""The spans of decisions: begun when something is decided, and ended when that is committed.

What is thrown away to be decided again never ends, so that nobody sees it.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from opentelemetry.trace import Link, Span, SpanContext, SpanKind, Tracer
from opentelemetry.util.types import AttributeValue

from worker.domain.decisions import Decision, Kind
from worker.kafka.records import InputRecord
from worker.ledger.batch import Batch
from worker.tracing.remembered import Remembered
from worker.tracing.slices import in_slices
from worker.tracing.trace_context import below, sent_context

_MOST_REMEMBERED: Final = 20_000
"""About 10 MB. Of closings that is more than come within the grace of any settlement."""
_FOLLOWED_LATER: Final = frozenset({"recorded", "parked"})
"""Outcomes of events that something may still follow from, when the clock or another event says so."""
_BY_ITSELF: Final[Mapping[Kind, str]] = {
    "settlement": "settle",
    "clock": "clock",
    "command": "command",
    "added": "add",
    "correction": "correct",
}
"""Names of the spans of what no record brought just now. What waited behind a parked wallet or job is `release`."""

Attributes = dict[str, AttributeValue]


@dataclass(slots=True)
class Deciding:
    """One trigger that is being decided: its span, since when (in nanoseconds), and what was decided about it.

    `decided` has the span of each decision with its end.
    """

    span: Span
    since_ns: int
    decided: list[tuple[Span, int]] = field(default_factory=list)


class DecisionSpans:
    """Of one worker. `prefix` and `group_id` are its deployment's, as the spans name topics and consumers."""

    def __init__(self, tracer: Tracer, prefix: str, group_id: str) -> None:
        self._tracer, self._prefix, self._group_id = tracer, prefix, group_id
        self._remembered = Remembered(_MOST_REMEMBERED)
        self._of_record: Deciding | None = None

    def begin(self, record: InputRecord) -> None:
        """A record is about to be decided; its producer's span is the parent."""
        now, topic = time.time_ns(), self._prefix + record.source.topic
        parent = below(sent_context(record.headers))
        span = self._tracer.start_span(f"process {topic}", parent, SpanKind.CONSUMER, start_time=now)
        if span.is_recording():
            span.set_attributes(self._about_record(record, topic))
        self._of_record = Deciding(span, now)

    def end(self) -> None:
        """Nothing of a record is being decided any more."""
        self._of_record = None

    def decided(self, decision: Decision) -> tuple[Deciding, SpanContext]:
        """A decision was taken: what it belongs to, and the span that goes out with its messages."""
        of_record = self._of_record
        deciding = of_record or self._by_itself(decision)
        context = deciding.span.get_span_context()
        if deciding.span.is_recording():  # else nobody sees what is below it
            context = self._decide(decision, deciding, within_record=of_record is not None)
        if of_record is not None and decision.outcome in _FOLLOWED_LATER:
            self._remembered.add(decision.cause, context)
        return deciding, context

    def _decide(self, decision: Decision, deciding: Deciding, *, within_record: bool) -> SpanContext:
        links = self._links(decision) if within_record and decision.kind != "first" else ()
        context = below(deciding.span.get_span_context())
        span = self._tracer.start_span("decide", context, links=links, start_time=deciding.since_ns)
        span.set_attributes(dict(_about_decision(decision)))
        deciding.since_ns = time.time_ns()
        deciding.decided.append((span, deciding.since_ns))
        return span.get_span_context()

    async def committed(self, triggers: Sequence[Deciding], batch: Batch, since_ns: int) -> None:
        """What these triggers came to is in the ledger; its commit began at `since_ns`."""
        now = time.time_ns()
        about: Attributes = {
            "connects.batch.number": batch.batch_no,
            "connects.batch.decisions": len(batch.decisions),
        }
        async for deciding in in_slices(triggers):
            for span, ended in deciding.decided:
                span.end(ended)
            if deciding.span.is_recording():
                context = below(deciding.span.get_span_context())
                self._tracer.start_span("commit", context, attributes=about, start_time=since_ns).end(now)
            deciding.span.end(now)

    def _by_itself(self, decision: Decision) -> Deciding:
        """What no record brought just now is the beginning of a trace, with a link to what it follows from."""
        name, now = _BY_ITSELF.get(decision.kind, "release"), time.time_ns()
        return Deciding(self._tracer.start_span(name, below(None), links=self._links(decision), start_time=now), now)

    def _links(self, decision: Decision) -> Sequence[Link]:
        context = self._remembered.find(decision.cause)
        return () if context is None else (Link(context),)

    def _about_record(self, record: InputRecord, topic: str) -> Attributes:
        """What OpenTelemetry's conventions for messaging name, and the event's id."""
        about: Attributes = {
            "messaging.system": "kafka",
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.destination.name": topic,
            "messaging.destination.partition.id": str(record.source.partition),
            "messaging.kafka.offset": record.offset,
            "messaging.consumer.group.name": self._group_id,
        }
        return about if record.event is None else {**about, "connects.event_id": record.event.event_id}


def _about_decision(decision: Decision) -> Iterator[tuple[str, AttributeValue]]:
    yield "connects.decision.seq", decision.seq
    named = {
        "decision.kind": decision.kind,
        "decision.outcome": decision.outcome,
        "decision.reason": decision.reason,
        "decision.rule": decision.rule,
        "cause.topic": decision.cause.topic,
        "cause.event_id": decision.cause.event_id,
        "freelancer_id": decision.subject.freelancer_id,
        "job_id": decision.subject.job_id,
        "proposal_id": decision.subject.proposal_id,
    }
    for name, value in named.items():
        if value is not None:
            yield f"connects.{name}", value
