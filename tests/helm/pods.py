"""The pods of the recorded manifests."""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import pytest

from tests.helm.chart import SETS, Manifest, recorded

EXISTING: Final = {
    "connects": {"DATABASE_URL", "KAFKA_SASL_PASSWORD"},
    "connects-owner": {"CONNECTS_MIGRATE_URL"},
    "connects-console": {"DATABASE_URL", "CONNECTS_CONSOLE_TOKEN"},
}
"""The Secrets that the sets of values name, with their keys."""


class Pod(NamedTuple):
    """A pod as one of the manifests describes it."""

    values: str
    component: str
    manifest: Manifest
    labels: dict[str, str]
    spec: dict[str, Any]

    @property
    def container(self) -> dict[str, Any]:
        [container] = self.spec["containers"]
        return dict(container)

    @property
    def env(self) -> dict[str, dict[str, Any]]:
        names = [variable["name"] for variable in self.container["env"]]
        assert len(names) == len(set(names)), "a setting is there twice"
        return {variable["name"]: variable for variable in self.container["env"]}

    @property
    def is_prepared_before(self) -> bool:
        return "pre-install" in self.manifest["metadata"].get("annotations", {}).get("helm.sh/hook", "")

    def __str__(self) -> str:
        return f"{self.values}: {self.component}"


def _pods_of(values: str) -> Iterator[Pod]:
    for manifest in recorded(values):
        for template in (manifest, manifest.get("spec", {}).get("template", {})):
            if "containers" in template.get("spec", {}):
                labels = template["metadata"]["labels"]
                yield Pod(values, labels["app.kubernetes.io/component"], manifest, labels, template["spec"])


PODS: Final = [pod for values in SETS for pod in _pods_of(values)]
_OF_HTTP: Final = [pod for pod in PODS if pod.component in {"worker", "console"}]
every_pod = pytest.mark.parametrize("pod", PODS, ids=str)
every_server = pytest.mark.parametrize("pod", _OF_HTTP, ids=str)
every_set = pytest.mark.parametrize("values", SETS)


def secrets(values: str) -> list[Manifest]:
    """The Secrets that the chart makes."""
    return [manifest for manifest in recorded(values) if manifest["kind"] == "Secret"]


def pod_of(values: str, component: str) -> Pod:
    """The one pod of a component."""
    [pod] = [pod for pod in PODS if (pod.values, pod.component) == (values, component)]
    return pod
