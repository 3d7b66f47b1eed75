"""Tracing as a whole, while it is on: what the engine and the relay are given, and its end."""

import logging
import os
import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, NamedTuple

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider

from worker.release import release
from worker.tracing.committing import TracedCommits
from worker.tracing.exporting import BoundedProcessor, CountingExporter, LastWords
from worker.tracing.sending import TracedFlush
from worker.tracing.spans import DecisionSpans
from worker.tracing.variables import endpoint, queue_spans

_NAME: Final = "connects-worker"
_STOP_SECONDS: Final = 2.0
"""How long the last spans are waited for: a worker that is told to stop ends in ten seconds."""


class Tracing(NamedTuple):
    """What a worker is put together with to be traced; `stop` exports the last spans, for two seconds at most."""

    new_commits: Callable[..., TracedCommits]
    new_flush: Callable[..., TracedFlush]
    stop: Callable[[], None]


def start(variables: Mapping[str, str], prefix: str, group_id: str) -> Tracing:
    """Begin to export, as the checked variables `OTEL_*` say; the library reads them from the environment."""
    os.environ.update(variables)
    for name in [name for name, value in os.environ.items() if name.startswith("OTEL_") and not value]:
        del os.environ[name]  # the standard takes it for not set, and the library does not
    logger, words = logging.getLogger("opentelemetry"), LastWords()
    logger.propagate = False
    logger.addHandler(words)
    provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)
    exporter = CountingExporter(OTLPSpanExporter(), words, endpoint(variables))
    provider.add_span_processor(BoundedProcessor(exporter, queue_spans(variables)))
    tracer = provider.get_tracer(_NAME, release())
    return Tracing(
        partial(TracedCommits, spans=DecisionSpans(tracer, prefix, group_id)),
        partial(TracedFlush, tracer=tracer),
        partial(_stop, provider),
    )


def _resource() -> Resource:
    """What the variables say of this service, and its name and version where they do not."""
    given = Resource.create()
    named = str(given.attributes.get(SERVICE_NAME, "")).startswith("unknown_service")
    ours = {SERVICE_VERSION: release(), **({SERVICE_NAME: _NAME} if named else {})}
    return given.merge(Resource(ours))


def _stop(provider: TracerProvider) -> None:
    """Export what waits, in a thread that ends with the process: a collector that is away may take longer."""
    stopping = threading.Thread(target=provider.shutdown, name="tracing stops", daemon=True)
    stopping.start()
    stopping.join(_STOP_SECONDS)
