"""Whether tracing can be switched on. Nothing of OpenTelemetry is imported here, nor anywhere while it is off."""

from importlib.util import find_spec

from worker.errors import SettingsError
from worker.settings import Settings
from worker.tracing.variables import check

_NEEDED = ("opentelemetry", "opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")


def require_tracing(settings: Settings) -> None:
    """Refuse to go on if tracing is switched on and cannot be.

    Raises:
        SettingsError: the extra `tracing` is not installed, or a variable `OTEL_*` cannot be used.
    """
    if not settings.tracing:
        return
    if not all(_is_there(name) for name in _NEEDED):
        raise SettingsError(
            "CONNECTS_TRACING: is on, and OpenTelemetry is not installed here. Install the extra `tracing`: "
            "pip install 'connects-worker[tracing]', or leave CONNECTS_TRACING out"
        )
    check(settings.of_tracing)


def _is_there(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False
