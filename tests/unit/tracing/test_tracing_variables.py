"""The variables `OTEL_*`: each that cannot be used is refused by name, before anything is started."""

from pathlib import Path

import pytest

from worker.errors import SettingsError
from worker.tracing.variables import check, endpoint, queue_spans


def test_none_and_usual_ones_are_right(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").touch()
    check({})
    check(
        {
            "OTEL_EXPORTER_OTLP_ENDPOINT": "https://collector.example:4318/otlp",
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://[::1]:4318/v1/traces",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_EXPORTER_OTLP_TIMEOUT": "2.5",
            "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
            "OTEL_EXPORTER_OTLP_CERTIFICATE": str(tmp_path / "ca.pem"),
            "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
            "OTEL_TRACES_SAMPLER_ARG": "0.01",
            "OTEL_BSP_MAX_QUEUE_SIZE": "2048",
            "OTEL_TRACES_EXPORTER": "otlp",
            "OTEL_SERVICE_NAME": "ledger",
            "OTEL_METRICS_EXPORTER": "prometheus",
        }
    )


@pytest.mark.parametrize(
    ("name", "value", "right"),
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318", "the URL of a collector, such as http://collector:4318"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://:4318", "the URL of a collector"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://c:port", "the URL of a collector"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "http/protobuf, the one protocol that the worker speaks"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "0", "a number of seconds above 0"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "nan", "a number of seconds above 0"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd", "none, gzip or deflate"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/no/such/file", "a file that this user can read"),
        ("OTEL_TRACES_EXPORTER", "console", "otlp, the one exporter that the worker has"),
        ("OTEL_TRACES_SAMPLER", "sometimes", "one of always_on, always_off, traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "1.1", "a share from 0 to 1, such as 0.01"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "-1", "a whole number above 0"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "many", "a whole number above 0"),
        ("OTEL_BSP_SCHEDULE_DELAY", "0", "a whole number above 0"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_by_name(name: str, value: str, right: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        check({name: value})
    assert str(refusal.value).startswith(f"{name}: should be {right}")
    assert value not in str(refusal.value).removeprefix(f"{name}: should be {right}") or len(value) < 3


def test_more_spans_in_an_export_than_in_the_queue_are_refused() -> None:
    with pytest.raises(SettingsError, match="OTEL_BSP_MAX_EXPORT_BATCH_SIZE: 512 spans are more"):
        check({"OTEL_BSP_MAX_QUEUE_SIZE": "100"})


def test_the_queue_and_the_endpoint_have_defaults_and_no_password_is_shown() -> None:
    assert (queue_spans({}), queue_spans({"OTEL_BSP_MAX_QUEUE_SIZE": "7"})) == (16_384, 7)
    assert endpoint({}) == "http://localhost:4318"
    named = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a:4318", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://u:pw@b/v1"}
    assert endpoint(named) == "http://u:********@b/v1"
