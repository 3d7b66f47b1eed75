"""`connects replay apply` of a plan that has no triggers: it says so, and asks nobody for anything."""

import json
import shlex
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from worker.cli import app
from worker.repair.plan import FORMAT, Added, Expected, Header
from worker.repair.plan_file import write_plan
from worker.repair.summary import Summary

NOON = datetime(2026, 11, 5, 12, tzinfo=UTC)
HEADER = Header(FORMAT, "ledger-1", "0.2.0", ["2026-07 4be1"], 17, NOON, NOON)
NOWHERE = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing?connect_timeout=1"}


def applied(path: Path, options: str, *triggers: Added) -> tuple[int, str]:
    with path.open("wb") as file:
        write_plan(file, HEADER, triggers, [], Summary({"add": len(triggers)}))
    result = CliRunner().invoke(app, shlex.split(f"replay apply {path} --why nothing {options}"), env=NOWHERE)
    return result.exit_code, result.output


@pytest.mark.parametrize("options", ["", "--take-too", "--give-only", "--on postgresql://nobody@127.0.0.1:1/copy"])
def test_it_says_that_there_is_nothing_to_apply(tmp_path: Path, options: str) -> None:
    path = tmp_path / "empty.plan"
    code, output = applied(path, options)
    words = "has no triggers. Nothing was changed, and the plan was not begun."
    assert (code, " ".join(output.split())) == (0, f"Nothing to apply: {path} {words}")


def test_for_a_program_nothing_was_asked_for(tmp_path: Path) -> None:
    code, output = applied(tmp_path / "empty.plan", "--json")
    found = json.loads(output)
    assert code == 0
    assert (found["triggers"], found["asked"], found["booked"], found["left"]) == (0, 0, 0, 0)


def test_a_plan_with_a_trigger_needs_the_ledger(tmp_path: Path) -> None:
    expected = Expected("applied", "registered", {"f-1": 50})
    code, output = applied(
        tmp_path / "some.plan", "", Added(1, "freelancer-registered", "e-1", '{"event_id":"e-1"}', "x", 1, expected)
    )
    assert code != 0
    assert "Nothing to apply" not in output
