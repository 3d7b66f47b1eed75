"""helm renders what is recorded, and refuses what would not work or would not be safe."""

import shutil
from pathlib import Path
from typing import Any, Final

import pytest

from tests.helm.chart import (
    CHART,
    NEWEST,
    OLDEST,
    SETS,
    Refused,
    ask,
    helm,
    recorded,
    rendered,
    values_of,
    without_files,
)

pytestmark = pytest.mark.skipif(
    helm() is None, reason="helm is neither in PATH nor named by TEST_HELM; `.ci/helm` builds it with Go"
)
PASSWORD: Final = "password-of-nobody"  # noqa: S105 - made up
ADDRESS: Final = f"postgresql://connects:{PASSWORD}@db/connects"
HEADER: Final = f"console.enabled=true,console.databaseUrl={ADDRESS},console.trustHeader=X-User"


@pytest.mark.parametrize("name", SETS)
def test_it_renders_what_is_recorded(name: str) -> None:
    """After an intended change: `python -m tests.helm.record`, and read what git says."""
    assert without_files(rendered(values_of(name))) == recorded(name)


def test_the_oldest_kubernetes_gets_the_same_as_the_newest() -> None:
    assert rendered(values_of("everything"), version=OLDEST) == rendered(values_of("everything"), version=NEWEST)


@pytest.mark.parametrize("name", SETS)
def test_it_has_nothing_that_helm_warns_of(name: str) -> None:
    assert "0 chart(s) failed" in ask("lint", "--strict", str(CHART), "--values", str(values_of(name)))


@pytest.mark.parametrize("name", SETS)
def test_its_notes_say_how_to_see_whether_all_is_well(name: str, tmp_path: Path) -> None:
    """Only an installation shows notes, so a copy of the chart has them in a manifest."""
    chart = tmp_path / CHART.name
    shutil.copytree(CHART, chart)
    text = (chart / "templates" / "NOTES.txt").read_text(encoding="utf-8")
    wrapped = f'{{{{ define "notes" }}}}{text}{{{{ end }}}}\nkind: Notes\nnotes: {{{{ include "notes" . | quote }}}}\n'
    (chart / "templates" / "notes.yaml").write_text(wrapped, encoding="utf-8")

    [notes] = [one["notes"] for one in rendered(values_of(name), chart=chart) if one["kind"] == "Notes"]

    assert "-- connects status" in notes
    assert ("-- connects topics create" in notes) == (name in {"least", "proxy"})
    assert ("port-forward service/" in notes) == (name != "least")


def test_a_changed_policy_or_password_exchanges_the_pods() -> None:
    def templates(*options: str) -> dict[str, Any]:
        found = rendered(values_of("made_secrets"), *options)
        return {one["metadata"]["name"]: one["spec"]["template"] for one in found if one["kind"] == "Deployment"}

    before = templates()
    assert before == templates()
    for changed in ("policy.content=other", f"databaseUrl={ADDRESS}", "kafka.password=other"):
        after = templates("--set", changed)
        assert all(after[name] != before[name] for name in ("ledger", "ledger-console")), changed
    after = templates("--set", "console.token=another-token-0123456789")
    assert after["ledger"] == before["ledger"]
    assert after["ledger-console"] != before["ledger-console"]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ("kafka.bootstrapServers=", "kafka.bootstrapServers is not set"),
        ("kafka.bootstrapServers=kafka", "at '/kafka/bootstrapServers'"),
        ("kafka.securityProtocol=TLS", "at '/kafka/securityProtocol'"),
        ("kafka.securityProtocol=SASL_SSL", "kafka.saslMechanism is not set"),
        ("kafka.securityProtocol=SASL_SSL,kafka.saslMechanism=PLAIN", "kafka.username is not set"),
        (
            f"kafka.securityProtocol=SASL_SSL,kafka.saslMechanism=PLAIN,kafka.username=c,existingSecret=,databaseUrl={ADDRESS}",
            "kafka.password is not set",
        ),
        (
            "kafka.securityProtocol=SASL_SSL,kafka.saslMechanism=PLAIN,kafka.username=c,kafka.password=p",
            "kafka.password and existingSecret are both set",
        ),
        ("kafka.username=connects", "kafka.securityProtocol is PLAINTEXT"),
        ("kafka.caFile=ca.pem", "kafka.securityProtocol is PLAINTEXT"),
        ("kafka.caFile=ca.pem,kafka.securityProtocol=SSL", "certificates.existingSecret is not"),
        ("existingSecret=", "existingSecret is not set"),
        (f"databaseUrl={ADDRESS}", "databaseUrl and existingSecret are both set"),
        (
            f"existingSecret=,databaseUrl=mysql://connects:{PASSWORD}@db/x",
            "databaseUrl should begin with postgresql://",
        ),
        ("migrate.existingSecret=", "migrate.existingSecret is not set"),
        (f"migrate.ownerUrl={ADDRESS}", "migrate.ownerUrl and migrate.existingSecret are both set"),
        (f"migrate.existingSecret=,migrate.ownerUrl={PASSWORD}", "migrate.ownerUrl should begin with postgresql://"),
        ("policy.content=x,policy.existingConfigMap=y", "policy.content and policy.existingConfigMap are both set"),
        ("console.enabled=true", "nothing would ask its readers who they are"),
        (f"console.enabled=true,console.databaseUrl={ADDRESS}", "nothing would ask its readers who they are"),
        (f"console.enabled=true,console.token={PASSWORD}!", "console.token should be 16 to 200 characters"),
        (f"console.enabled=true,console.token={PASSWORD}", "console.databaseUrl is not set"),
        (f"console.enabled=true,console.token={PASSWORD},console.existingSecret=c", "console.existingSecret is set"),
        (HEADER, "every pod of the cluster could send this header"),
        (f"{HEADER},networkPolicy.enabled=true", "every pod of the cluster could send this header"),
        ("console.trustHeader=X User", "at '/console/trustHeader'"),
        ("worker.replica=3", "additional properties 'replica' not allowed"),
        ("worker.replicas=-1", "at '/worker/replicas': minimum"),
        ("worker.antiAffinity=always", "at '/worker/antiAffinity': value must be one of 'soft', 'hard'"),
        ("worker.terminationGracePeriodSeconds=5", "at '/worker/terminationGracePeriodSeconds': minimum"),
        ("settings.CONNECTS_BATCHSIZE=5", "additional properties 'CONNECTS_BATCHSIZE' not allowed"),
        ("settings.CONNECTS_CLOCK=now", "additional properties 'CONNECTS_CLOCK' not allowed"),
        ("settings.CONNECTS_BATCH_SIZE=0", "at '/settings/CONNECTS_BATCH_SIZE': minimum"),
        ("tracing.enabled=true", "tracing.enabled is true, and no collector is named"),
        ("tracing.endpoint=collector:4318", "at '/tracing/endpoint'"),
        ("tracing.variables.CONNECTS_CLOCK=now", "invalid propertyName 'CONNECTS_CLOCK'"),
        ("topics.partitions=0", "at '/topics/partitions': minimum"),
        ("image.digest=latest", "at '/image/digest'"),
    ],
)
def test_wrong_values_are_refused_with_the_value_and_without_a_password(values: str, words: str) -> None:
    with pytest.raises(Refused) as refused:
        rendered(values_of("least"), "--set", values)
    assert words in str(refused.value)
    assert PASSWORD not in str(refused.value)


@pytest.mark.parametrize("guard", ["guardedByOthers=true", "token=example-token-0123456789"])
def test_a_console_behind_a_proxy_needs_a_guard_and_a_token_is_not_one(guard: str) -> None:
    if guard.startswith("token"):
        with pytest.raises(Refused, match="every pod of the cluster"):
            rendered(values_of("least"), "--set", f"{HEADER},console.{guard}")
    else:
        assert rendered(values_of("least"), "--set", f"{HEADER},console.{guard}")


def test_an_older_kubernetes_is_refused() -> None:
    with pytest.raises(Refused, match="incompatible with Kubernetes"):
        rendered(values_of("least"), version="1.26")


def test_a_packed_chart_has_the_alerts_and_the_dashboard(tmp_path: Path) -> None:
    ask("package", str(CHART), "--destination", str(tmp_path))
    [packed] = tmp_path.iterdir()
    options = ("--kube-version", NEWEST, "--values", str(values_of("everything")))
    assert ask("template", "connects", str(packed), *options) == ask("template", "connects", str(CHART), *options)
