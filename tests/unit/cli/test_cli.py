import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from tests.support.shells import a_new_shell
from worker.cli import app

REPOSITORY = Path(__file__).parents[3]
NOBODY_LISTENS = {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", "DATABASE_URL": "postgresql://u:s3cret@127.0.0.1:1/x"}
COMMANDS = [
    *("run", "demo", "migrate", "settings", "history", "explain", "status"),
    *("topics create", "parked list", "parked release", "positions list", "positions set", "relay show"),
    *("dead-letters list", "dead-letters show", "schemas export", "schemas check", "policy show", "policy check"),
    *("local up", "local down", "local status"),
]


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    with a_new_shell(monkeypatch, tmp_path):
        yield


def connects(command: str, **environment: str) -> tuple[int, str, str]:
    """Its exit code, what it printed, and what it said on the side."""
    result = CliRunner().invoke(app, shlex.split(command), env=environment)
    return result.exit_code, result.stdout, result.stderr


def test_these_are_all_the_commands() -> None:
    found = []
    for name, command in get_command(app).commands.items():
        below = getattr(command, "commands", None)
        found += [name] if below is None else [f"{name} {inner}" for inner in below]
    assert sorted(found) == sorted(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command: str) -> None:
    code, out, _ = connects(f"{command} --help")
    assert code == 0
    assert "Example: " in out
    assert command in out


def test_help_is_fast_because_it_loads_nothing_that_it_does_not_need() -> None:
    look = (
        "import sys, worker.cli; print([name for name in ('aiokafka', 'pydantic', 'asyncpg') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", look], cwd=REPOSITORY, check=True, capture_output=True, text=True)  # noqa: S603
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "command",
    [
        "sing",
        "history",
        "history f-1 --last 0",
        "explain",
        "explain e-1 --job j-1",
        "explain --job j-1 --topic job-closed",
        "explain e-1 --topic jobs-closed",
        "explain --about weather",
        "parked release planet f-1",
        "positions set --topic job-closed --partition 0",
        "positions set --topic job-closed --partition 0 --offset 4 --recreated",
        "positions set --topic job-closed --partition 0 --offset 4 --force",
        "positions set --topic job-closed --partition -1 --offset 4",
        "positions set --topic jobs-closed --partition 0 --offset 4",
        "dead-letters show one",
        "dead-letters show 9223372036854775808",
        "dead-letters list --last many",
        "positions set --topic job-closed --partition 2147483648 --offset 4",
        "positions set --topic job-closed --partition 0 --offset 9223372036854775808",
        "topics create --partitions 0",
        "topics create --replication 1e9",
        "policy show --at yesterday",
        "demo --rate nan",
        "demo --seconds 0",
        "local up --dir ''",
        "local up --dir /dev/null/x",
        "--loud settings",
        "settings --json=5",
    ],
)
def test_wrong_use_is_exit_2_and_one_line(command: str) -> None:
    code, out, err = connects(command, **NOBODY_LISTENS)
    assert (code, out) == (2, "")
    assert err.startswith("connects")
    assert err.count("\n") == 1
    assert "Traceback" not in err


@pytest.mark.parametrize("group", ["", "topics", "parked", "positions", "dead-letters", "policy", "schemas", "local"])
def test_a_group_of_commands_named_alone_lists_them(group: str) -> None:
    code, out, err = connects(group)
    assert code == 2
    assert "Commands:" in out + err


@pytest.mark.parametrize(
    "command",
    [
        [b"history", b"\xff"],
        [b"explain", b"\xff"],
        [b"explain", b"--proposal", b"p-\xff"],
        [b"explain", b"--proposal=p-\xff"],
        [b"parked", b"release", b"wallet", b"\xff"],
        [b"--debug", b"history", b"\xff"],
    ],
)
def test_an_argument_that_is_no_text_is_wrong_use(command: list[bytes]) -> None:
    program = [sys.executable.encode(), b"-X", b"utf8", b"-m", b"worker", *command]
    environment = {**os.environ, **NOBODY_LISTENS, "PYTHONPATH": str(REPOSITORY)}
    found = subprocess.run(program, env=environment, check=False, capture_output=True, text=True)  # noqa: S603
    assert (found.returncode, found.stdout) == (2, "")
    assert "\\xff' is not UTF-8 text." in found.stderr
    assert found.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "environment",
    [
        {"DATABASE_URL": NOBODY_LISTENS["DATABASE_URL"]},
        {**NOBODY_LISTENS, "CONNECTS_BATCH_SIZE": "many"},
        {**NOBODY_LISTENS, "CONNECTS_CLOCK": "2026-03-01T00:00:00Z@3600"},
    ],
)
@pytest.mark.parametrize("command", ["run", "status", "migrate", "settings", "history f-1"])
def test_a_setting_that_cannot_be_used_is_exit_2_and_one_line(command: str, environment: dict[str, str]) -> None:
    code, out, err = connects(command, **environment)
    assert (code, out) == (2, "")
    assert err.startswith("connects: ")
    assert err.count("\n") == 1
    assert "s3cret" not in err


@pytest.mark.parametrize(
    "command", ["run", "migrate", "status", "history f-1", "explain e-1", "parked list", "parked release job j-1"]
)
def test_a_database_that_cannot_be_reached_is_one_line_that_says_where(command: str) -> None:
    code, out, err = connects(command, **NOBODY_LISTENS)
    assert (code, out) == (1, "")
    assert "connects: PostgreSQL at postgresql://u:********@127.0.0.1:1/x cannot be reached" in err
    assert err.count("\n") == 1


def test_a_broker_that_cannot_be_reached_is_one_line_that_says_where() -> None:
    code, _, err = connects("topics create", **NOBODY_LISTENS)
    assert code == 1
    assert err.startswith("connects: Kafka at 127.0.0.1:1 cannot be used")
    assert err.count("\n") == 1


def test_debug_shows_the_traceback_besides() -> None:
    code, _, err = connects("--debug history f-1", **NOBODY_LISTENS)
    assert code == 1
    assert "Traceback" in err
    assert "connects: PostgreSQL at" in err


def test_settings_are_printed_with_secrets_masked() -> None:
    code, out, _ = connects("settings --json", **NOBODY_LISTENS)
    assert code == 0
    assert json.loads(out)["settings"]["DATABASE_URL"] == "postgresql://u:********@127.0.0.1:1/x"


def test_a_mistyped_setting_is_pointed_out() -> None:
    code, out, err = connects("settings", CONNECTS_BATCHSIZE="5")
    assert code == 1
    assert "CONNECTS_BATCH_SIZE=5000" in out
    assert "CONNECTS_BATCHSIZE is no setting" in err


def test_the_standing_answers_need_no_ledger() -> None:
    code, out, _ = connects("explain --about sharing", **NOBODY_LISTENS)
    assert code == 0
    assert out.startswith("Connects cannot be shared")
    answer = json.loads(connects("explain --about cash --json")[1])
    assert (answer["about"], answer["decisions"]) == ("cash", [])


def test_the_policy_in_force_is_shown() -> None:
    code, out, _ = connects("policy show --json --at 2026-03-14")
    assert code == 0
    assert json.loads(out)["grants"]["registration"] == 40
    assert "grants.registration" in connects("policy show")[1]


def test_a_policy_that_cannot_be_used_is_one_line_with_the_place(tmp_path: Path) -> None:
    text = (REPOSITORY / "policies" / "connects.toml").read_text()
    (tmp_path / "mine.toml").write_text(text.replace("registration = 40", "registration = -1"))
    code, _, err = connects("policy check mine.toml")
    assert code == 1
    assert "mine.toml, line " in err
    assert "registration" in err
    assert err.count("\n") == 1


def test_a_policy_is_checked_without_a_ledger_and_says_so(tmp_path: Path) -> None:
    no_stack = {"CONNECTS_CACHE_DIR": str(tmp_path / "cache")}
    code, out, err = connects("policy check", **no_stack)
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "2026-01-01 is fine, in force from 2026-01-01T00:00:00+00:00",
        "Checked the file only, not against a ledger: the embedded stack is not running, and DATABASE_URL is not set",
    ]
    found = json.loads(connects("policy check --json", **no_stack)[1])
    assert (found["ledger"], found["problems"], found["versions"][0]["ledger"]) == (None, [], None)
    code, out, _ = connects("policy check", **NOBODY_LISTENS)
    assert code == 0
    assert "Checked the file only, not against a ledger: PostgreSQL at postgresql://u:********@127.0.0.1:1/x" in out


@pytest.mark.parametrize("command", ["run", "policy show", "policy check"])
def test_a_policy_that_is_not_utf_8_is_named_with_the_line(command: str, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_bytes(b"# a policy\n# gr\xfc\xdfe\n")
    code, out, err = connects(command, CONNECTS_POLICY="mine.toml")
    assert (code, out) == (2 if command == "run" else 1, "")
    assert err.endswith("mine.toml, line 2: not UTF-8 text. Save the file as UTF-8.\n")


def test_a_folder_is_no_policy(tmp_path: Path) -> None:
    code, _, err = connects("run", CONNECTS_POLICY=str(tmp_path))
    assert (code, err) == (2, f"connects: CONNECTS_POLICY: {tmp_path} is a folder. Name the file in it\n")
    code, _, err = connects(f"policy check {tmp_path}")
    assert (code, err) == (1, f"connects: {tmp_path} is a folder. Name the policy file in it.\n")
    assert "no-such.toml cannot be read (No such file" in connects("policy check no-such.toml")[2]


def test_run_starts_no_embedded_stack_for_a_policy_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("[version]\n")
    cache = tmp_path / "cache"
    code, _, err = connects("run", CONNECTS_POLICY="mine.toml", CONNECTS_CACHE_DIR=str(cache))
    assert code == 2
    assert err.startswith("connects: CONNECTS_POLICY: mine.toml: no [[version]] in it")
    assert err.count("\n") == 1
    assert not cache.exists()


def test_schemas_are_written_and_checked(tmp_path: Path) -> None:
    folder = tmp_path / "contract"
    code, out, _ = connects(f"schemas export {folder}")
    assert code == 0
    assert str(folder / "job-closed.schema.json") in out
    assert connects(f"schemas check {folder}")[0] == 0
    (folder / "job-closed.schema.json").write_text("{}")
    code, out, _ = connects(f"schemas check {folder}")
    assert code == 1
    assert "job-closed" in out
    code, out, _ = connects(f"schemas check {folder} --json")
    assert (code, json.loads(out)["differences"]) == (1, ["job-closed.schema.json: stale, the model has changed"])
    assert (
        str(folder / "job-closed.schema.json") in json.loads(connects(f"schemas export {folder} --json")[1])["written"]
    )
    assert json.loads(connects(f"schemas check {folder} --json")[1]) == {"dir": str(folder), "differences": []}
