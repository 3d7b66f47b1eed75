"""The recorded manifests as the worker reads them: settings, command lines, probes, the end. Needs no helm."""

import asyncio
import re
import tomllib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp, Message
from typer.main import get_command

from tests.helm.pods import EXISTING, PODS, Pod, every_pod, every_server, secrets
from tests.kit.policies import policies
from tests.kit.shells import a_new_shell
from tests.kit.worker_process import ROOT
from worker.cli._app import app
from worker.console import application as console
from worker.console.access import access_for
from worker.console.desk import Desk
from worker.console.ledger import ReadOnlyLedger
from worker.engine import term
from worker.http.application import application
from worker.ledger.leadership import LEASE_SECONDS
from worker.settings import Settings
from worker.tracing.switch import require_tracing
from worker.wall_clock import wall_clock

VERSION: Final = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
MOUNTED: Final = ("/etc/connects/certificates/kafka.pem", "/etc/connects/policy/connects.toml")


@pytest.fixture(autouse=True)
def shell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    with a_new_shell(monkeypatch, tmp_path):
        yield


@every_pod
def test_the_image_is_the_projects_in_its_version(pod: Pod) -> None:
    image = pod.container["image"]
    if pod.values == "proxy":
        assert re.fullmatch(r"connects-worker@sha256:[0-9a-f]{64}", image)
    else:
        assert image.removeprefix("images/") == f"connects-worker:{VERSION}"


@every_pod
def test_every_command_line_is_one_of_the_commands(pod: Pod) -> None:
    """It is read as the program reads it, with the kinds of all options, and not run."""
    assert "command" not in pod.container, "the image begins with `connects`"
    command, rest = get_command(app), [*pod.container["args"]]
    context = command.make_context("connects", rest, resilient_parsing=False)
    while hasattr(command, "resolve_command"):
        name, command, rest = command.resolve_command(context, [*context._protected_args, *context.args])  # noqa: SLF001
        assert command is not None
        context = command.make_context(name, rest, parent=context)
    assert context.args == []


@every_pod
def test_every_variable_is_a_setting(pod: Pod) -> None:
    known = {str(field.alias) for field in Settings.model_fields.values()}
    others = pod.env.keys() - known
    assert all(name.startswith("OTEL_") for name in others)
    assert bool(others) == ("CONNECTS_TRACING" in pod.env) == (pod.values == "everything" and pod.component == "worker")


@every_pod
def test_the_worker_takes_the_settings_as_a_whole(pod: Pod, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for mounted in MOUNTED:
        (file := Path(f"{tmp_path}{mounted}")).parent.mkdir(parents=True)
        file.touch()
    for name, variable in pod.env.items():
        value = variable["value"] if "value" in variable else secret(pod, variable)
        assert isinstance(value, str)
        monkeypatch.setenv(name, f"{tmp_path}{value}" if value.startswith("/") else value)

    settings = Settings.read()

    require_tracing(settings)
    assert settings.mistyped == []
    assert settings.hints == []
    if pod.component == "console":
        assert not access_for(pod.container["args"][2], settings).is_open
    if pod.component == "migrate":
        assert settings.owner_url != settings.database_url


def secret(pod: Pod, variable: dict[str, Any]) -> str:
    """The value of a Secret's key: the one that the chart made, or an example in its place."""
    asked = variable["valueFrom"]["secretKeyRef"]
    made = {found["metadata"]["name"]: found["stringData"] for found in secrets(pod.values)}
    if asked["name"] in made:
        return str(made[asked["name"]][asked["key"]])
    assert asked["key"] in EXISTING[asked["name"]], "the README and the notes name other keys"
    return f"postgresql://{asked['name']}@h/d" if asked["key"].endswith("URL") else "example-of-16-characters"


@every_pod
def test_no_pod_has_a_password_that_it_does_not_need(pod: Pod) -> None:
    assert ("CONNECTS_MIGRATE_URL" in pod.env) == (pod.component == "migrate")
    assert "CONNECTS_CONSOLE_TOKEN" not in pod.env or pod.component == "console"
    for name in ("DATABASE_URL", "CONNECTS_MIGRATE_URL", "CONNECTS_CONSOLE_TOKEN", "KAFKA_SASL_PASSWORD"):
        assert "value" not in pod.env.get(name, {}), "a password belongs in a Secret"
    if pod.component == "console":
        database = pod.env["DATABASE_URL"]["valueFrom"]["secretKeyRef"]["name"]
        workers = {
            found.env["DATABASE_URL"]["valueFrom"]["secretKeyRef"]["name"]
            for found in PODS
            if found.component == "worker"
        }
        assert database not in workers, "the console has a role of its own"


@every_server
async def test_every_probe_asks_for_a_page_that_the_program_serves(pod: Pod) -> None:
    ports = {port["name"]: port["containerPort"] for port in pod.container["ports"]}
    served = worker_pages() if pod.component == "worker" else console_pages()
    assert await status_of(served, "/health/other") == 404
    for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
        probe = pod.container[kind]["httpGet"]
        assert probe["port"] in ports
        assert await status_of(served, probe["path"]) in {200, 503}
    assert pod.container["readinessProbe"]["httpGet"]["path"] == "/health/ready"
    assert pod.container["livenessProbe"]["httpGet"]["path"] == "/health/live", "a fault elsewhere must not restart it"


class _Standby:
    role = "standby"

    def problems(self) -> list[str]:
        return []


def worker_pages() -> ASGIApp:
    return application(_Standby(), CollectorRegistry(), asyncapi=dict)


def console_pages() -> ASGIApp:
    nowhere = ReadOnlyLedger("postgresql://nobody@127.0.0.1:1/nothing")
    settings = Settings.model_construct(console_trust_header="X-User")
    return console.application(Desk(nowhere, policies(), access_for("0.0.0.0", settings), wall_clock(""), timedelta(1)))  # noqa: S104


async def status_of(served: ASGIApp, path: str) -> int:
    """The status of a page, asked for as the node's probe does: without a password."""
    found: list[int] = []
    scope = {"type": "http", "http_version": "1.1", "method": "GET", "scheme": "http", "path": path}
    scope |= {"raw_path": path.encode(), "query_string": b"", "root_path": "", "headers": [(b"host", b"10.0.0.7:8000")]}

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            found.append(message["status"])

    async with asyncio.timeout(30):
        await served({**scope}, receive, send)
    return found[0]


@every_server
def test_the_program_listens_where_its_port_is(pod: Pod) -> None:
    [port] = pod.container["ports"]
    if pod.component == "worker":
        listens = pod.env["CONNECTS_HTTP_HOST"]["value"], pod.env["CONNECTS_HTTP_PORT"]["value"]
    else:
        listens = pod.container["args"][2], pod.container["args"][4]
    assert listens[0] in {"0.0.0.0", "::"}  # noqa: S104 - in a pod, which nobody reaches but by a Service
    assert int(listens[1]) == port["containerPort"]


@every_server
def test_a_worker_has_time_to_hand_the_ledger_over(pod: Pod) -> None:
    if pod.component == "worker":
        finishing = term._STOP_SECONDS + LEASE_SECONDS  # noqa: SLF001 - the worker's own limit
        assert pod.spec["terminationGracePeriodSeconds"] > finishing
