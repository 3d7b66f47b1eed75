"""`connects doctor` where nothing runs: it starts nothing, says what is missing, and ends."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.kit.shells import a_new_shell
from worker.cli import app

NOBODY_LISTENS = {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", "DATABASE_URL": "postgresql://u:s3cret@127.0.0.1:1/x"}


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    with a_new_shell(monkeypatch, tmp_path):
        yield


def doctor(**environment: str) -> tuple[int, dict[str, tuple[str, str]]]:
    """Its exit code, and the verdict and words of each look, by area and name."""
    done = CliRunner().invoke(app, ["doctor", "--json"], env={**environment, "CONNECTS_HTTP_PORT": "0"})
    assert "s3cret" not in done.output
    checks = json.loads(done.stdout)["checks"]
    return done.exit_code, {f"{one['area']} {one['name']}": (one["verdict"], one["what"]) for one in checks}


def test_an_embedded_stack_that_does_not_run_is_not_started(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    code, found = doctor(CONNECTS_CACHE_DIR=str(folder))
    assert code == 1
    (name,) = found
    assert name.startswith("settings ")
    assert "does not run" in found[name][1]
    assert not list(folder.rglob("stack.json"))


def test_servers_that_are_away_are_a_line_each_and_all_else_is_looked_at() -> None:
    begun = time.monotonic()
    code, found = doctor(**NOBODY_LISTENS)
    assert time.monotonic() - begun < 30
    assert code == 1
    assert [name for name, (verdict, _) in found.items() if verdict == "wrong"] == [
        "postgresql reached",
        "kafka reached",
    ]
    assert found["policy file"][0] == "ok"
    assert found["policy ledger"][0] == "unknown"
    assert found["host port"][0] == "ok"


@pytest.mark.parametrize(
    ("given", "name", "words"),
    [
        ({"CONNECTS_BATCH_SIZE": "many"}, "settings values", "CONNECTS_BATCH_SIZE"),
        ({"DATABASE_URL": ""}, "settings values", "DATABASE_URL"),
        ({"CONNECTS_TOPIK_PREFIX": "x"}, "settings names", "CONNECTS_TOPIC_PREFIX"),
        ({"CONNECTS_TRACING": "1", "OTEL_BSP_SCHEDULE_DELAY": "soon"}, "settings tracing", "OTEL_BSP_SCHEDULE_DELAY"),
        ({"CONNECTS_HTTP_HOST": "192.0.2.1"}, "host port", "CONNECTS_HTTP_HOST"),
    ],
)
def test_a_setting_that_is_wrong_is_named(given: dict[str, str], name: str, words: str) -> None:
    code, found = doctor(**{**NOBODY_LISTENS, **given})
    assert (code, found[name][0]) == (1, "wrong")
    assert words in found[name][1]
