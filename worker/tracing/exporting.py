"""Spans on their way to a collector: a bounded queue, and a collector that is away costs spans and nothing else."""

import logging
import time
from collections.abc import Sequence
from typing import Final

import structlog
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from worker import observability

_SELDOM_SECONDS: Final = 60.0

_log = structlog.get_logger(__name__)


class LastWords(logging.Handler):
    """Keeps what the library says of its last failure, for one line of ours, instead of a line for each attempt."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a message that has the reason in it; the one after the last attempt has none."""
        message = record.getMessage()
        if "max retries or shutdown" not in message:
            self.text = message


class CountingExporter(SpanExporter):
    """Counts what another exporter exports or drops, and logs once when it begins to fail, and once when it recovers.

    `endpoint` names the collector in those lines. `taken` is how many spans it was ever given. Only the exporting
    thread calls it.
    """

    def __init__(self, exporter: SpanExporter, words: LastWords, endpoint: str) -> None:
        self.taken = 0
        self._exporter, self._words, self._endpoint = exporter, words, endpoint
        self._fails = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export them, or drop them when the exporter has given up on them."""
        self.taken += len(spans)
        try:
            result = self._exporter.export(spans)
        except Exception as error:  # noqa: BLE001 - whatever it is, it may cost these spans only
            result, self._words.text = SpanExportResult.FAILURE, repr(error)
        if result is SpanExportResult.SUCCESS:
            observability.spans_exported.inc(len(spans))
            if self._fails:
                _log.info("tracing.exports_again")
        else:
            observability.spans_dropped.inc(len(spans))
            if not self._fails:
                why = self._words.text or "no answer in time"
                _log.warning("tracing.not_exported", endpoint=self._endpoint, error=why)
        self._fails = result is not SpanExportResult.SUCCESS
        return result

    def shutdown(self) -> None:
        """Give up what is being tried again."""
        self._exporter.shutdown()


class BoundedProcessor(BatchSpanProcessor):
    """Exports spans in a thread of its own. What its queue has no room for is dropped, counted, and logged seldom.

    Only the event loop's thread ends spans.
    """

    def __init__(self, exporter: CountingExporter, most: int) -> None:
        super().__init__(exporter, max_queue_size=most)
        self._exporter, self._most = exporter, most
        self._accepted = 0
        self._next_line = 0.0

    def on_end(self, span: ReadableSpan) -> None:
        """Queue a span that is sampled, if there is room."""
        if span.context is None or not span.context.trace_flags.sampled:
            return
        if self._accepted - self._exporter.taken >= self._most:
            self._drop()
            return
        self._accepted += 1
        super().on_end(span)

    def _drop(self) -> None:
        observability.spans_dropped.inc()
        if time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + _SELDOM_SECONDS
            _log.warning("tracing.queue_full", spans=self._most)
