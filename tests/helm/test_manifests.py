"""The recorded manifests as Kubernetes reads them: schemas, rights, references, selectors. Needs no helm."""

import re
from pathlib import Path
from typing import Final

import kubernetes_validate
import pytest

from tests.helm.chart import NEWEST, OLDEST, recorded
from tests.helm.pods import EXISTING, PODS, Pod, every_pod, every_set, pod_of, secrets
from tests.kit.worker_process import ROOT

OF_PROMETHEUS: Final = "monitoring.coreos.com/v1"


def test_the_sets_have_a_pod_of_every_kind() -> None:
    assert {pod.component for pod in PODS} == {"worker", "migrate", "topics", "console", "status"}
    assert {pod.component for pod in PODS if pod.values == "least"} == {"worker", "migrate", "status"}


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@every_set
def test_kubernetes_takes_every_manifest(values: str, version: str) -> None:
    for manifest in recorded(values):
        if manifest["apiVersion"] != OF_PROMETHEUS:  # its schemas come with the Prometheus operator
            assert kubernetes_validate.validate(manifest, version, strict=True) == version


def test_the_schemas_refuse_what_kubernetes_does_not_know() -> None:
    [manifest] = [manifest for manifest in recorded("least") if manifest["kind"] == "Deployment"]
    manifest["spec"]["template"]["spec"]["containers"][0]["readOnlyRootFilesystem"] = True
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(manifest, NEWEST, strict=True)


@every_set
def test_no_two_manifests_have_one_name(values: str) -> None:
    names = [(manifest["kind"], manifest["metadata"]["name"]) for manifest in recorded(values)]
    assert len(names) == len(set(names))


@every_pod
def test_no_container_has_rights(pod: Pod) -> None:
    user = re.search(r"(?m)^USER (\d+):(\d+)$", (ROOT / "Dockerfile").read_text(encoding="utf-8"))
    assert user is not None
    assert pod.spec["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": int(user[1]),
        "runAsGroup": int(user[2]),
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert pod.container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod.spec["automountServiceAccountToken"] is False
    assert pod.spec["enableServiceLinks"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & pod.spec.keys()


@every_pod
def test_a_pod_can_write_in_tmp_alone_and_not_without_a_limit(pod: Pod) -> None:
    volumes = {volume["name"]: volume for volume in pod.spec["volumes"]}
    mounts = pod.container["volumeMounts"]
    assert {mount["name"] for mount in mounts} == volumes.keys()
    writable = [mount["mountPath"] for mount in mounts if not mount.get("readOnly")]
    assert writable == ["/tmp"]  # noqa: S108 - the container's
    assert volumes["temporary-files"]["emptyDir"].keys() == {"sizeLimit"}


@every_pod
def test_a_pod_has_bounded_memory_and_no_limit_of_cpu(pod: Pod) -> None:
    assert pod.container["resources"]["requests"].keys() == {"cpu", "memory"}
    assert pod.container["resources"]["limits"].keys() == {"memory"}


@every_pod
def test_mounted_objects_exist(pod: Pod) -> None:
    made = {manifest["metadata"]["name"] for manifest in recorded(pod.values) if manifest["kind"] == "ConfigMap"}
    for volume in pod.spec["volumes"]:
        if "configMap" in volume:
            assert volume["configMap"]["name"] in made | {"connects-policy"}
        if "secret" in volume:
            assert volume["secret"]["secretName"] == "authorities"
    mounted = {mount["mountPath"] for mount in pod.container["volumeMounts"]}
    for variable in pod.env.values():
        if variable.get("value", "").startswith("/"):
            assert str(Path(variable["value"]).parent) in mounted


@every_pod
def test_a_jobs_needs_are_there_before_the_release_is(pod: Pod) -> None:
    if not pod.is_prepared_before:
        assert pod.component in {"worker", "console", "status"}
        return
    annotations = pod.manifest["metadata"]["annotations"]
    hooks = [found for found in secrets(pod.values) if "helm.sh/hook" in found["metadata"].get("annotations", {})]
    earlier = {found["metadata"]["name"]: found["metadata"]["annotations"] for found in hooks}
    named = {name["valueFrom"]["secretKeyRef"]["name"] for name in pod.env.values() if "valueFrom" in name}
    for name in named - EXISTING.keys():
        assert earlier[name]["helm.sh/hook"] == annotations["helm.sh/hook"] == "pre-install,pre-upgrade"
        assert int(earlier[name]["helm.sh/hook-weight"]) < int(annotations["helm.sh/hook-weight"])
        assert "hook-succeeded" in earlier[name]["helm.sh/hook-delete-policy"], "the owner's password would stay"
    assert pod.spec["serviceAccountName"] == "default"
    assert pod.spec["restartPolicy"] == "Never"


@every_set
def test_the_schema_is_upgraded_before_topics_are_created(values: str) -> None:
    weights = {pod.component: pod.manifest["metadata"].get("annotations", {}) for pod in PODS if pod.values == values}
    order = {
        name: int(found["helm.sh/hook-weight"]) for name, found in weights.items() if "helm.sh/hook-weight" in found
    }
    assert sorted(order, key=lambda name: order[name]) == [name for name in ("migrate", "topics") if name in order]


@every_set
def test_selectors_find_the_pods_that_they_mean(values: str) -> None:
    pods = [pod for pod in PODS if pod.values == values]
    for manifest in recorded(values):
        spec, component = manifest.get("spec", {}), manifest["metadata"]["labels"]["app.kubernetes.io/component"]
        if manifest["kind"] == "Service":
            selector = spec["selector"]
        elif manifest["kind"] in {"Deployment", "PodDisruptionBudget"}:
            selector = spec["selector"]["matchLabels"]
        elif manifest["kind"] == "NetworkPolicy":
            selector = spec["podSelector"]["matchLabels"]
        else:
            continue
        assert [pod.component for pod in pods if selector.items() <= pod.labels.items()] == [component]


@every_set
def test_workers_stay_apart_and_one_is_always_left(values: str) -> None:
    worker = pod_of(values, "worker")
    replicas = worker.manifest["spec"]["replicas"]
    budgets = [found["spec"] for found in recorded(values) if found["kind"] == "PodDisruptionBudget"]
    assert [budget["maxUnavailable"] for budget in budgets] == [1] * (replicas > 1)
    assert worker.manifest["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}
    [(how, terms)] = worker.spec["affinity"]["podAntiAffinity"].items()
    assert how.startswith("required" if values == "everything" else "preferred")
    spread = worker.spec["topologySpreadConstraints"]
    for term_of in (*(found.get("podAffinityTerm", found) for found in terms), *spread):
        assert term_of["labelSelector"]["matchLabels"].items() <= worker.labels.items()


@every_set
def test_nobody_but_named_peers_reaches_a_guarded_pod(values: str) -> None:
    policies_of = {
        found["spec"]["podSelector"]["matchLabels"]["app.kubernetes.io/component"]: found["spec"]
        for found in recorded(values)
        if found["kind"] == "NetworkPolicy"
    }
    for component, policy in policies_of.items():
        pod = pod_of(values, component)
        assert "Ingress" in policy["policyTypes"]
        for rule in policy["ingress"]:
            assert rule["from"], "no peers would mean everybody"
            assert [port["port"] for port in rule["ports"]] == [
                port["containerPort"] for port in pod.container["ports"]
            ]
        assert ("Egress" in policy["policyTypes"]) == ("egress" in policy)
        assert "egress" not in policy or policy["egress"][0]["ports"][0] == {"protocol": "UDP", "port": 53}
    guarded = {"everything": {"worker", "console"}, "proxy": {"worker", "console"}}
    assert policies_of.keys() == guarded.get(values, set())
    if values == "proxy":
        assert policies_of["worker"]["ingress"] == [], "nobody is named for the metrics"


@every_set
def test_prometheus_finds_every_worker(values: str) -> None:
    monitors = [found["spec"] for found in recorded(values) if found["kind"] == "ServiceMonitor"]
    services = [found for found in recorded(values) if found["kind"] == "Service"]
    assert len(monitors) == (values == "everything")
    for monitor in monitors:
        wanted = monitor["selector"]["matchLabels"].items()
        [service] = [found for found in services if wanted <= found["metadata"]["labels"].items()]
        assert service["spec"]["publishNotReadyAddresses"] is True, "a worker that is not ready has metrics too"
        [endpoint] = monitor["endpoints"]
        assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
        assert endpoint["path"] == "/metrics"


@every_set
def test_every_service_leads_to_a_port_of_its_pods(values: str) -> None:
    for manifest in recorded(values):
        if manifest["kind"] == "Service":
            component = manifest["spec"]["selector"]["app.kubernetes.io/component"]
            pod = pod_of(values, component)
            [port] = manifest["spec"]["ports"]
            assert port["targetPort"] in {named["name"] for named in pod.container["ports"]}
