"""The standard variables `OTEL_*`, checked before anything is started: the library would go on with another value."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from worker.database_url import without_password
from worker.errors import SettingsError

QUEUE: Final = "OTEL_BSP_MAX_QUEUE_SIZE"
QUEUE_SPANS: Final = 16_384
"""Spans that wait to be exported at most, by default: those of a batch end together, so it is more than usual."""
_EXPORTED: Final = "OTEL_BSP_MAX_EXPORT_BATCH_SIZE"
_EXPORTED_SPANS: Final = 512
_SAMPLERS: Final = (
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
)
_OTLP: Final = ("OTEL_EXPORTER_OTLP_", "OTEL_EXPORTER_OTLP_TRACES_")


def queue_spans(variables: Mapping[str, str]) -> int:
    """How many spans may wait to be exported."""
    return int(variables.get(QUEUE) or QUEUE_SPANS)


def endpoint(variables: Mapping[str, str]) -> str:
    """Where the spans go, without a password."""
    named = (variables.get(f"{prefix}ENDPOINT") for prefix in reversed(_OTLP))
    return without_password(next(filter(None, named), "http://localhost:4318"))


def check(variables: Mapping[str, str]) -> None:
    """Check what is set of them.

    Raises:
        SettingsError: naming the first variable that cannot be used.
    """
    for name, is_right, right in _checks():
        value = variables.get(name)
        if value and not is_right(value.strip()):
            raise SettingsError(f"{name}: should be {right}")
    exported = int(variables.get(_EXPORTED) or _EXPORTED_SPANS)
    if exported > queue_spans(variables):
        raise SettingsError(f"{_EXPORTED}: {exported} spans are more than {QUEUE} has room for. Make it smaller")


_Check = tuple[str, Callable[[str], bool], str]
"""A variable, whether its value can be used, and what would be right."""


def _checks() -> list[_Check]:
    of_exporter: list[tuple[str, Callable[[str], bool], str]] = [
        ("PROTOCOL", lambda value: value == "http/protobuf", "http/protobuf, the one protocol that the worker speaks"),
        ("ENDPOINT", _is_url, "the URL of a collector, such as http://collector:4318"),
        ("TIMEOUT", _is_positive, "a number of seconds above 0"),
        ("COMPRESSION", lambda value: value.lower() in {"none", "gzip", "deflate"}, "none, gzip or deflate"),
        *((name, _is_file, "a file that this user can read") for name in ("CERTIFICATE", "CLIENT_CERTIFICATE")),
        ("CLIENT_KEY", _is_file, "a file that this user can read"),
    ]
    whole = "a whole number above 0"
    return [
        *((prefix + name, is_right, right) for name, is_right, right in of_exporter for prefix in _OTLP),
        ("OTEL_TRACES_EXPORTER", lambda value: value == "otlp", "otlp, the one exporter that the worker has"),
        ("OTEL_TRACES_SAMPLER", lambda value: value.lower() in _SAMPLERS, f"one of {', '.join(_SAMPLERS)}"),
        ("OTEL_TRACES_SAMPLER_ARG", _is_share, "a share from 0 to 1, such as 0.01"),
        (QUEUE, _is_count, whole),
        (_EXPORTED, _is_count, whole),
        ("OTEL_BSP_SCHEDULE_DELAY", _is_count, whole),
    ]


def _is_url(value: str) -> bool:
    try:
        parts = urlsplit(value)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False


def _is_file(value: str) -> bool:
    try:
        return Path(value).is_file()
    except (OSError, ValueError):
        return False


def _is_count(value: str) -> bool:
    return value.isascii() and value.isdigit() and int(value) > 0


def _is_positive(value: str) -> bool:
    return (number := _number(value)) is not None and 0 < number < float("inf")


def _is_share(value: str) -> bool:
    return (number := _number(value)) is not None and 0 <= number <= 1


def _number(value: str) -> float | None:
    try:
        return float(value)
    except ValueError:
        return None
