"""The chart, its sets of values, and what helm makes of them."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import yaml

from tests.kit.waiting import PATIENCE_SECONDS
from tests.kit.worker_process import ROOT

CHART: Final = ROOT / "deploy" / "helm" / "connects-worker"
SETS: Final = ("least", "made_secrets", "everything", "proxy")
OLDEST: Final = "1.27"
NEWEST: Final = "1.37"
"""Kubernetes' versions between which the chart is tested."""
ALERTS: Final = ROOT / "deploy" / "prometheus" / "connects-alerts.yaml"
DASHBOARD: Final = ROOT / "deploy" / "grafana" / "connects-worker.json"
_HERE: Final = Path(__file__).parent

Manifest = dict[str, Any]


class Refused(Exception):
    """The words with which helm refuses."""


def helm() -> str | None:
    """The program that TEST_HELM names, or the one in PATH."""
    return os.environ.get("TEST_HELM") or shutil.which("helm")


def values_of(name: str) -> Path:
    """The file of a set of values."""
    return _HERE / "values" / f"{name}.yaml"


def recorded_file(name: str) -> Path:
    """The file of what is rendered from a set of values."""
    return _HERE / "rendered" / f"{name}.yaml"


def documents(text: str) -> list[Any]:
    """What YAML holds, read by libyaml: PyYAML's own parser takes a second for the chart's CRDs."""
    return list(yaml.load_all(text, Loader=yaml.CSafeLoader))


def recorded(name: str) -> list[Manifest]:
    """The manifests that were rendered from a set of values when they were recorded."""
    return documents(recorded_file(name).read_text(encoding="utf-8"))


def rendered(values: Path, *options: str, chart: Path = CHART, version: str = NEWEST) -> list[Manifest]:
    """The manifests that helm renders now for the release `connects`.

    Raises:
        Refused: helm refuses the values.
    """
    output = ask("template", "connects", str(chart), "--values", str(values), "--kube-version", version, *options)
    return [manifest for manifest in documents(output) if manifest]


def ask(*arguments: str) -> str:
    """What helm prints.

    Raises:
        Refused: it ends with another exit code than 0.
    """
    program = helm()
    assert program is not None
    done = subprocess.run(  # noqa: S603 - the program that a developer named
        [program, *arguments], capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )
    if done.returncode:
        raise Refused(done.stdout + done.stderr)
    return done.stdout


def without_files(manifests: list[Manifest]) -> list[Manifest]:
    """The manifests with the names of the files in deploy/ in the place of their contents."""
    return [_without_file(manifest) for manifest in manifests]


def _without_file(manifest: Manifest) -> Manifest:
    if manifest["kind"] == "PrometheusRule" and manifest["spec"] == documents(ALERTS.read_text(encoding="utf-8"))[0]:
        return {**manifest, "spec": {"file": str(ALERTS.relative_to(ROOT))}}
    if manifest.get("data") == {DASHBOARD.name: DASHBOARD.read_text(encoding="utf-8")}:
        return {**manifest, "data": {DASHBOARD.name: str(DASHBOARD.relative_to(ROOT))}}
    return manifest
