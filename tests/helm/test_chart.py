"""The chart's own files against the project: its version, the settings that it allows, what it shows. Needs no helm."""

import json
import tomllib
from collections.abc import Iterator
from typing import Any, Final

import pytest
import yaml

from tests.helm.chart import ALERTS, CHART, DASHBOARD, SETS, values_of
from tests.kit.worker_process import ROOT
from worker.settings import Settings

SCHEMA: Final[dict[str, Any]] = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
VALUES: Final[dict[str, Any]] = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
ALLOWED: Final[dict[str, dict[str, Any]]] = SCHEMA["properties"]["settings"]["properties"]
SET_BY_THE_CHART: Final = {
    "KAFKA_BOOTSTRAP_SERVERS",
    "KAFKA_SECURITY_PROTOCOL",
    "KAFKA_SASL_MECHANISM",
    "KAFKA_SASL_USERNAME",
    "KAFKA_SASL_PASSWORD",
    "KAFKA_SSL_CAFILE",
    "DATABASE_URL",
    "CONNECTS_MIGRATE_URL",
    "CONNECTS_POLICY",
    "CONNECTS_TRACING",
    "CONNECTS_HTTP_HOST",
    "CONNECTS_HTTP_PORT",
    "CONNECTS_CONSOLE_TOKEN",
    "CONNECTS_CONSOLE_TRUST_HEADER",
}
LEFT_OUT: Final = {
    "CONNECTS_CLOCK": "simulated time is not for a ledger that lasts",
    "CONNECTS_ALLOW_SIMULATED_TIME": "the same",
    "CONNECTS_CACHE_DIR": "the embedded stack is not in the image",
}


def test_its_version_and_its_images_are_the_projects() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert (chart["version"], chart["appVersion"]) == (version, version)


def test_the_image_names_no_registry() -> None:
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
    assert compose["x-worker"]["image"] == f"${{WORKER_IMAGE:-{VALUES['image']['repository']}}}"


@pytest.mark.parametrize("source", [ALERTS, DASHBOARD], ids=lambda source: source.name)
def test_alerts_and_dashboard_are_those_of_deploy(source: Any) -> None:  # noqa: ANN401 - a path
    assert (CHART / "files" / source.name).read_bytes() == source.read_bytes()


def test_every_setting_is_allowed_or_set_by_the_chart_or_left_out_for_a_reason() -> None:
    known = {str(field.alias) for field in Settings.model_fields.values()}
    assert ALLOWED.keys() | SET_BY_THE_CHART | LEFT_OUT.keys() == known
    assert not ALLOWED.keys() & (SET_BY_THE_CHART | LEFT_OUT.keys())


@pytest.mark.parametrize("name", ALLOWED)
def test_a_setting_has_the_bounds_that_the_worker_has(name: str) -> None:
    ours = Settings.model_json_schema()["properties"][name]
    bounds = ("minimum", "maximum", "enum", "minLength", *(("pattern",) if name != "CONNECTS_EARLIEST_EVENT" else ()))
    assert {bound: ALLOWED[name].get(bound) for bound in bounds} == {bound: ours.get(bound) for bound in bounds}
    assert ALLOWED[name].get("type", "string") == ours["type"]


def test_every_value_that_the_schema_allows_has_a_default_and_the_reverse() -> None:
    assert {*paths_of_schema(SCHEMA)} == {*paths_of_values(VALUES)} | {("global",)}


def paths_of_schema(schema: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The names of all values: each of an object without further names, as `settings` and labels have, is one."""
    if "properties" not in schema or path == ("settings",):
        yield path
        return
    assert schema["additionalProperties"] is False, f"{path}: a mistyped name would count for nothing"
    for name, value in schema["properties"].items():
        yield from paths_of_schema(value, (*path, name))


def paths_of_values(values: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:  # noqa: ANN401 - YAML
    if not isinstance(values, dict) or not values or path[-1:] in {("resources",), ("labels",)}:
        yield path
        return
    for name, value in values.items():
        yield from paths_of_values(value, (*path, name))


@pytest.mark.parametrize("name", SETS)
def test_a_set_of_values_names_values_that_exist(name: str) -> None:
    known = {*paths_of_values(VALUES)}
    for path in paths_of_values(yaml.safe_load(values_of(name).read_text(encoding="utf-8"))):
        assert any(path[: len(one)] == one for one in known), path


def test_every_value_is_explained() -> None:
    """A comment is above each value that is a leaf, or above its group."""
    text = (CHART / "values.yaml").read_text(encoding="utf-8")
    for group, value in VALUES.items():
        if group in {"nameOverride", "fullnameOverride"}:
            continue
        before, _, after = text.partition(f"\n{group}:")
        inner = after.partition("\n\n")[0] if isinstance(value, dict) else ""
        assert before.rstrip("\n").rpartition("\n")[2].startswith("#") or "#" in inner, group
