"""W3C Trace Context in headers of Kafka: what a producer sent, and what goes out with a message.

A header that is not as the standard says is left out of account, as the standard asks: it decides nothing.
"""

from collections.abc import Sequence
from typing import Final

from opentelemetry.context import Context
from opentelemetry.propagators.textmap import Getter
from opentelemetry.trace import NonRecordingSpan, SpanContext, get_current_span, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

TRACEPARENT: Final = "traceparent"
TRACESTATE: Final = "tracestate"
_MOST_BYTES: Final = {TRACEPARENT: 512, TRACESTATE: 512}
"""What the standard has every participant pass on of a tracestate, and more than any traceparent has."""
_MOST_HEADERS: Final = 1_000
"""Headers of a record that are looked at; one that has more is nobody's who traces."""

Headers = Sequence[tuple[str, bytes | None]]

_propagator: Final = TraceContextTextMapPropagator()


class _Getter(Getter[dict[str, str]]):
    def get(self, carrier: dict[str, str], key: str) -> list[str] | None:
        return [carrier[key]] if key in carrier else None

    def keys(self, carrier: dict[str, str]) -> list[str]:
        return list(carrier)


_getter: Final = _Getter()


def sent_context(headers: Headers) -> SpanContext | None:
    """The context of the span that a record's producer sent it in.

    None: it has no valid `traceparent`, or more than one. Of several `tracestate`, or one that is too long or no
    text, none counts.
    """
    if not headers:
        return None
    traceparent = _only(headers, TRACEPARENT)
    return None if traceparent is None else context_of(traceparent, _only(headers, TRACESTATE) or "")


def context_of(traceparent: str, tracestate: str) -> SpanContext | None:
    """The context that these two name; None: it is not valid."""
    carrier = {TRACEPARENT: traceparent, TRACESTATE: tracestate} if tracestate else {TRACEPARENT: traceparent}
    try:
        extracted = _propagator.extract(carrier, Context(), _getter)
    except Exception:  # noqa: BLE001 - anybody may send these bytes: whatever the library makes of them decides nothing
        return None
    context = get_current_span(extracted).get_span_context()
    return context if context.is_valid else None


def written(context: SpanContext) -> tuple[str, str]:
    """`traceparent` and `tracestate` of a span, the second empty if it has none; both, if the span is not valid."""
    if not context.is_valid:
        return "", ""
    carrier: dict[str, str] = {}
    _propagator.inject(carrier, set_span_in_context(NonRecordingSpan(context), Context()))
    return carrier.get(TRACEPARENT, ""), carrier.get(TRACESTATE, "")


def below(context: SpanContext | None) -> Context:
    """What a span is begun in to have that parent; None: it has no parent, whatever else is going on."""
    return Context() if context is None else set_span_in_context(NonRecordingSpan(context), Context())


def _only(headers: Headers, name: str) -> str | None:
    values = [value for key, value in headers[:_MOST_HEADERS] if key == name]
    if len(values) != 1 or values[0] is None or len(values[0]) > _MOST_BYTES[name]:
        return None
    try:
        return values[0].decode("ascii")
    except UnicodeDecodeError:
        return None
