"""While tracing is off nothing of it is there: no import, no class of its own, no question for each record."""

import json
import os
import subprocess
import sys
from dataclasses import fields

from tests.kit.worker_process import ROOT
from worker.engine.commit import Commits
from worker.engine.term import WorkerConfig
from worker.kafka.output.flush import Flush
from worker.running import traced

LIBRARY = ("opentelemetry.sdk", "opentelemetry.trace", "opentelemetry.context", "opentelemetry.exporter", "google")
LOADED = """
import json, sys
import worker.cli.run
from worker.settings import Settings
from worker.tracing.switch import require_tracing
require_tracing(Settings.read())
print(json.dumps(sorted(sys.modules)))
"""


def loaded(**settings: str) -> list[str]:
    environment = {"PATH": os.environ["PATH"], **settings}
    done = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", LOADED], capture_output=True, check=True, cwd=ROOT, env=environment, text=True
    )
    modules: list[str] = json.loads(done.stdout)
    return modules


def test_neither_the_library_nor_the_room_is_imported_for_a_worker_that_is_not_traced() -> None:
    modules = loaded()
    assert "worker.engine.service" in modules
    assert [name for name in modules if name.startswith(LIBRARY)] == []
    of_room = {name for name in modules if name.startswith("worker.tracing.")}
    assert of_room == {"worker.tracing.switch", "worker.tracing.variables"}


def test_the_engine_and_the_relay_are_given_their_own_classes() -> None:
    defaults = {field.name: field.default for field in fields(WorkerConfig)}
    assert (defaults["new_commits"], defaults["new_flush"]) == (Commits, Flush)


def test_a_configuration_that_is_not_traced_stays_the_same_one() -> None:
    config = object()
    with traced(config, None) as given:  # type: ignore[arg-type]
        assert given is config
