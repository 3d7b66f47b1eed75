"""A collector of OpenTelemetry in the test: OTLP over HTTP, as protobuf, kept in memory."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from tests.kit.waiting import PATIENCE_SECONDS, until_async

INTERNAL, PRODUCER, CONSUMER = 1, 4, 5
"""Kinds of spans, by the numbers that OTLP has for them."""


@dataclass(frozen=True)
class Seen:
    """One span as it was exported; ids in hexadecimal, `parent` empty if it has none."""

    name: str
    trace: str
    id: str
    parent: str
    kind: int
    began: int
    ended: int
    attributes: dict[str, Any]
    links: list[tuple[str, str]]
    resource: dict[str, Any]

    @property
    def traceparent(self) -> str:
        """As a header names it, when it is sampled."""
        return f"00-{self.trace}-{self.id}-01"


@dataclass
class Collector:
    """What came so far; requests to other paths than OTLP's are refused."""

    port: int = 0
    spans: list[Seen] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    @property
    def settings(self) -> dict[str, str]:
        """Of a worker that exports to it."""
        return exporting_to(self.port)

    def named(self, name: str) -> list[Seen]:
        return [span for span in self.spans if span.name == name]

    async def has(self, condition: Callable[[], bool], limit_seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until what came fulfils a condition; if it does not, say what came."""

        async def came() -> bool:
            return condition()

        try:
            await until_async(came, limit_seconds)
        except TimeoutError:
            raise AssertionError(f"came: {[(span.name, span.attributes) for span in self.spans]}") from None


def exporting_to(port: int) -> dict[str, str]:
    return {
        "CONNECTS_TRACING": "1",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
        "OTEL_BSP_SCHEDULE_DELAY": "100",
    }


@contextmanager
def collector() -> Iterator[Collector]:
    """A collector that answers on a port of its own until the block ends."""
    kept = Collector()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(kept))
    server.handle_error = lambda *_: None  # type: ignore[method-assign] # a worker that is killed hangs up
    kept.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield kept
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(kept: Collector) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            status = 200 if self.path == "/v1/traces" else 404
            if status == 200:
                kept.headers.append({name.lower(): value for name, value in self.headers.items()})
                kept.spans += _spans_in(ExportTraceServiceRequest.FromString(body))
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(status)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler


def _spans_in(request: ExportTraceServiceRequest) -> Iterator[Seen]:
    for of_resource in request.resource_spans:
        resource = _values(of_resource.resource.attributes)
        for of_scope in of_resource.scope_spans:
            for span in of_scope.spans:
                yield Seen(
                    *(span.name, span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex(), span.kind),
                    *(span.start_time_unix_nano, span.end_time_unix_nano, _values(span.attributes)),
                    [(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
                    resource,
                )


def _values(attributes: Any) -> dict[str, Any]:  # noqa: ANN401
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}
