"""Spans that cannot be exported: counted, said once, and nobody waits for them."""

import threading
from collections.abc import Iterator, Sequence

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from structlog.testing import capture_logs

from tests.kit.waiting import until
from worker import observability
from worker.tracing.exporting import BoundedProcessor, CountingExporter, LastWords


class Collector(SpanExporter):
    """Takes spans, or fails, or does neither until it is let go on."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.fails: str | None = None
        self.goes_on = threading.Event()
        self.goes_on.set()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.goes_on.wait()
        if self.fails == "raises":
            raise OSError("no route to host")
        if self.fails:
            return SpanExportResult.FAILURE
        self.names += [span.name for span in spans]
        return SpanExportResult.SUCCESS


@pytest.fixture
def collector() -> Iterator[Collector]:
    taking = Collector()
    yield taking
    taking.goes_on.set()


def counted() -> tuple[float, float]:
    names = ("connects_spans_exported_total", "connects_spans_dropped_total")
    exported, dropped = (observability.REGISTRY.get_sample_value(name) or 0.0 for name in names)
    return exported, dropped


def counting(collector: Collector) -> CountingExporter:
    return CountingExporter(collector, LastWords(), "http://c:4318")


@pytest.mark.parametrize("fails", ["answers that it failed", "raises"])
def test_a_collector_that_is_away_is_said_once_and_once_that_it_is_back(collector: Collector, fails: str) -> None:
    exporter, (exported, dropped) = counting(collector), counted()
    spans = [ReadableSpan("a"), ReadableSpan("b")]
    collector.fails = fails
    with capture_logs() as lines:
        for _ in range(3):
            exporter.export(spans)
        collector.fails = None
        exporter.export(spans)
        exporter.export(spans)
    assert [line["event"] for line in lines] == ["tracing.not_exported", "tracing.exports_again"]
    assert lines[0]["endpoint"] == "http://c:4318"
    assert lines[0]["error"] == ("OSError('no route to host')" if fails == "raises" else "no answer in time")
    assert counted() == (exported + 4, dropped + 6)


async def test_what_the_queue_has_no_room_for_is_dropped_without_waiting(collector: Collector) -> None:
    _, dropped = counted()
    collector.goes_on.clear()
    exporter = counting(collector)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BoundedProcessor(exporter, 600))
    tracer = provider.get_tracer("test")
    with capture_logs() as lines:
        for number in range(512):
            tracer.start_span(str(number)).end()
        await until(lambda: exporter.taken == 512)  # by a collector that does not answer
        for number in range(1_000):
            tracer.start_span(str(number)).end()
    assert counted()[1] == dropped + 400
    assert [line["event"] for line in lines] == ["tracing.queue_full"]
    collector.goes_on.set()
    provider.shutdown()
    assert len(collector.names) == 512 + 600


def test_a_span_that_is_not_sampled_takes_no_room(collector: Collector) -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    processor = BoundedProcessor(counting(collector), 512)
    provider.add_span_processor(processor)
    processor.on_end(ReadableSpan("without a context"))
    provider.shutdown()
    assert collector.names == []
