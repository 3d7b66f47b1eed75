"""Flushes whose messages have the headers of their trace, and whose sending is a span."""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from aiokafka.producer.message_accumulator import BatchBuilder
from opentelemetry.trace import SpanKind, Tracer

from worker.kafka.output.flush import Flush, Route
from worker.kafka.output.messages import TracedMessage, unpack_traced
from worker.kafka.output.outbox import OutboxRow
from worker.kafka.output.place import Place
from worker.tracing.slices import harmless, in_slices
from worker.tracing.trace_context import TRACEPARENT, TRACESTATE, below, context_of


class _Sending(NamedTuple):
    place: Place
    message: TracedMessage
    since_ns: int


class TracedFlush(Flush):
    """One flush, as those without tracing are. The context is the outbox row's: another worker may have decided it."""

    def __init__(
        self, routes: Mapping[str, Route], source: str, new_batch: Callable[[], BatchBuilder], *, tracer: Tracer
    ) -> None:
        super().__init__(routes, source, new_batch)
        self._tracer = tracer
        self._since_ns = 0
        self._messages: Iterator[TracedMessage] = iter(())
        self._sending: list[_Sending] = []

    def add(self, row: OutboxRow) -> None:
        """Put a row's messages behind those already here."""
        self._since_ns = time.time_ns()
        self._messages = iter(unpack_traced(row.messages))
        super().add(row)

    async def sent(self) -> None:
        """All of it is published: the span of each message that has a trace ends."""
        with harmless():
            await self._end_spans(time.time_ns())

    async def _end_spans(self, now: int) -> None:
        async for (topic, partition), message, since_ns in in_slices(self._sending):
            context = below(context_of(message.traceparent, message.tracestate))
            span = self._tracer.start_span(f"send {topic}", context, SpanKind.PRODUCER, start_time=since_ns)
            if span.is_recording():
                span.set_attributes(
                    {
                        "messaging.system": "kafka",
                        "messaging.operation.name": "send",
                        "messaging.operation.type": "send",
                        "messaging.destination.name": topic,
                        "messaging.destination.partition.id": str(partition),
                        "messaging.message.id": message.ce_id,
                    }
                )
            span.end(now)

    def _append(self, place: Place, key: bytes, value: bytes, headers: list[tuple[str, bytes]]) -> None:
        message = next(self._messages)
        if message.traceparent:
            headers.append((TRACEPARENT, message.traceparent.encode()))
            self._sending.append(_Sending(place, message, self._since_ns))
        if message.tracestate:
            headers.append((TRACESTATE, message.tracestate.encode()))
        super()._append(place, key, value, headers)
