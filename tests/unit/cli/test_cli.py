import ast
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

from tests.kit.policies import policy_text
from tests.kit.shells import a_new_shell
from worker.cli import app
from worker.release import release

REPOSITORY = Path(__file__).parents[3]
NOBODY_LISTENS = {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", "DATABASE_URL": "postgresql://u:s3cret@127.0.0.1:1/x"}
COMMANDS = [
    *("run", "demo", "migrate", "settings", "history", "explain", "answer", "status", "owed", "balances", "verify"),
    *("console", "doctor"),
    *("topics create", "parked list", "parked release", "positions list", "positions set", "relay show", "relay adopt"),
    *("positions hold", "positions resume"),
    *(
        "outputs republish",
        "dead-letters list",
        "dead-letters show",
        "dead-letters export",
        "dead-letters redrive",
        "schemas export",
        "schemas check",
        "schemas catalogue",
        "policy show",
        "policy check",
        "policy what-if",
    ),
    *("local up", "local down", "local status", "log find", "log releases", "log export"),
    *("bundle export", "bundle check"),
    *("replay plan", "replay show", "replay apply", "replay status", "replay log", "replay stop", "replay undo"),
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


def test_the_release_is_shown_without_a_setting() -> None:
    assert connects("--version", DATABASE_URL="no url") == (0, f"connects-worker {release()}\n", "")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command: str) -> None:
    code, out, _ = connects(f"{command} --help")
    assert code == 0
    assert "Example: " in out
    assert command in out


def test_help_is_fast_because_it_loads_nothing_that_it_does_not_need() -> None:
    look = (
        "import sys; from worker.cli import app; app(['--help'], standalone_mode=False); print(*sys.modules, sep='\\n')"
    )
    found = subprocess.run([sys.executable, "-c", look], cwd=REPOSITORY, check=True, capture_output=True, text=True)  # noqa: S603
    loaded = set(found.stdout.split())
    assert {"worker.cli._commands", "typer"} <= loaded
    assert not loaded & {"aiokafka", "asyncio", "asyncpg", "msgspec", "pydantic", "rich", "worker.settings"}
    assert not {f"worker.cli.{command}" for command in ("run", "status", "topics", "local")} & loaded


def test_each_file_of_the_room_is_a_command_of_its_name() -> None:
    room = REPOSITORY / "worker" / "cli"
    files = {path.relative_to(room).with_suffix("").parts for path in room.rglob("*.py") if path.name[0] != "_"}
    assert files == {tuple(command.replace("-", "_").split()) for command in COMMANDS}


def test_no_command_imports_anything_while_it_runs() -> None:
    for path in (REPOSITORY / "worker" / "cli").rglob("*.py"):
        inside = [
            node.lineno
            for function in ast.walk(ast.parse(path.read_text()))
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
            for node in ast.walk(function)
            if isinstance(node, ast.Import | ast.ImportFrom)
        ]
        assert len(inside) == (path.name == "_local.py"), f"{path}: {inside}"


def test_a_mistyped_command_is_answered_with_the_one_that_was_meant() -> None:
    assert connects("statu") == (
        2,
        "",
        "connects: No such command 'statu'. Did you mean 'status'? See `connects --help`.\n",
    )
    assert "Did you mean 'create'?" in connects("topics creat")[2]


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
        "answer weather",
        "history f-1 --month 2026-13",
        "history f-1 --month 2026-11 --upcoming",
        "parked release planet f-1",
        "positions set --topic job-closed --partition 0",
        "positions set --topic job-closed --partition 0 --offset 4 --recreated",
        "positions set --topic job-closed --partition 0 --offset 4 --force",
        "positions set --topic job-closed --partition -1 --offset 4",
        "positions set --topic jobs-closed --partition 0 --offset 4",
        "dead-letters show one",
        "dead-letters show 9223372036854775808",
        "dead-letters list --last many",
        "outputs republish --why because",
        "outputs republish --freelancer f-1 --topic wallet-updated --why because",
        "outputs republish --topic membership-charge-requested --from 1 --why because",
        "outputs republish --topic wallet-updated --why because",
        "outputs republish --freelancer f-1 --from 0 --why because",
        "outputs republish --freelancer f-1 --from 1 --since 2026-01-01 --why because",
        "outputs republish --freelancer f-1 --since yesterday --why because",
        "outputs republish --freelancer f-1 --why ''",
        "dead-letters redrive --why because",
        "dead-letters redrive one --why because",
        "dead-letters redrive 1 --topic job-closed --why because",
        "dead-letters redrive --topic jobs-closed --why because",
        "dead-letters redrive 1 --why ' '",
        "dead-letters redrive 1 --out x --yes",
        "dead-letters redrive 1 --why because --rate 0",
        "positions set --topic job-closed --partition 2147483648 --offset 4",
        "positions set --topic job-closed --partition 0 --offset 9223372036854775808",
        "topics create --partitions 0",
        "topics create --replication 1e9",
        "policy show --at yesterday",
        "demo --rate nan",
        "demo --seconds 0",
        "local up --dir ''",
        "local up --dir /dev/null/x",
        "verify --against-head 12",
        "verify --against-head 12:5f0c",
        f"verify --against-head x:{'0' * 64}",
        "verify --from 0",
        "verify --from 7 --to 6",
        "--loud settings",
        "settings --json=5",
        "log find --occurred-from 2026-03-14",
        "log find --occurred-from 2026-03-14T09:00:00",
        "log find --recorded-to yesterday",
        "log find --recorded-to 0001-01-01T00:00:00+14:00",
        "log find --recorded-from 2026-03-14T09:00:00Z --recorded-to 2026-03-14T10:00:00+01:00",
        "log find --amount much",
        "log find --amount 5..3",
        "log find --amount '>9223372036854775807'",
        "log find --amount 99999999999999999999",
        "log find --topic job-closed --offsets -1..3",
        "log find --topic job-closed --offsets 3..",
        "log find --topic job-closed --offsets 9999999999999999999",
        "log find --offsets 1..3",
        "log find --topic job-closed --topic hire-made --offsets 1..3",
        "log find --topic jobs-closed",
        "log find --outcome refused",
        "log find --kind late",
        "log find --partition 2147483648",
        "log find --format xml",
        "log find --format csv --json",
        "log find --json --selection found",
        "log find --selection .",
        "log find --limit 0",
        "history f-1 --as-of 2026-03-14",
        "history f-1 --known-at now",
        "history f-1 --as-of 2026-03-14T09:00:00Z --known-at 2026-03-14T09:00:00Z",
        "history f-1 --as-of 2026-03-14T09:00:00Z --upcoming",
        "balances --known-at 2026-03-31T23:59:59",
        "balances --by freelancer",
        "balances --format jsonl",
        "balances --format csv --json",
        "owed --older-than 1",
        "owed --older-than soon",
        "owed --older-than -1h",
        "owed --job j-1 --freelancer f-1",
        "owed --limit 0",
        "bundle export --out x",
        "bundle export --job j-1",
        "bundle export --job j-1 --freelancer f-1 --out x",
        "bundle export --job j-1 --out x --since-head 12:ab",
        "bundle check",
        "bundle check no-such-file",
        "bundle check . --head 12:ab",
        "bundle check .",
    ],
)
def test_wrong_use_is_exit_2_and_one_line(command: str) -> None:
    code, out, err = connects(command, **NOBODY_LISTENS)
    assert (code, out) == (2, "")
    assert err.startswith("connects")
    assert err.count("\n") == 1
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "group",
    ["", "topics", "outputs", "parked", "positions", "dead-letters", "policy", "schemas", "local", "log", "bundle"],
)
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


def test_debug_shows_the_traceback_as_well() -> None:
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


def test_a_kubernetes_service_is_one_line_and_nothing_else() -> None:
    names = {"CONNECTS_PORT": "tcp://10.0.0.1:80", "CONNECTS_SERVICE_HOST": "10.0.0.1"}
    code, out, err = connects("settings", CONNECTS_HTTP_PORT="tcp://10.0.0.1:8000", **names)
    assert code == 0
    assert "CONNECTS_HTTP_PORT=8000" in out
    assert err.count("\n") == 1
    assert "enableServiceLinks: false" in err


def test_the_standing_answers_need_no_ledger() -> None:
    code, out, _ = connects("explain --about sharing", **NOBODY_LISTENS)
    assert code == 0
    assert out.startswith("Connects cannot be given, lent or moved to anybody else")
    assert connects("answer sharing", **NOBODY_LISTENS) == (code, out, "")
    answer = json.loads(connects("explain --about cash --json")[1])
    assert (answer["about"], answer["decisions"]) == ("cash", [])
    assert [*answer] == ["reply", "about", "explanation", "decisions"]
    assert answer["reply"]["reply"] == answer["explanation"]


def test_words_find_a_topic_and_every_topic_is_listed() -> None:
    code, out, _ = connects("answer why 73")
    assert (code, out.startswith("An upgrade brings all 70 paid Connects")) == (0, True)
    listed = json.loads(connects("answer --json")[1])["topics"]
    assert all(one["topic"] in connects("answer")[1] for one in listed)
    assert len(listed) > 40


@pytest.mark.parametrize("command", ["answer", "explain --about"])
def test_what_no_topic_is_about_is_one_line_with_what_may_be_meant(command: str) -> None:
    code, out, err = connects(f"{command} 'how long do they last'")
    assert (code, out) == (2, "")
    assert err == (
        f"connects {command}: no topic is about 'how long do they last'. It may be expiry, silence, refund-time. "
        "`connects answer` lists all topics\n"
    )


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
    first = tmp_path / "first.toml"  # the policy file of the repository gets more versions
    first.write_text(policy_text(), encoding="utf-8")
    code, out, err = connects(f"policy check {first}", **no_stack)
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
    assert (code, err) == (2, f"connects: {tmp_path} is a folder. Name the policy file in it.\n")
    code, _, err = connects("policy check no-such.toml")
    assert (code, "no-such.toml cannot be read (No such file" in err) == (2, True)


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


def test_the_event_catalogue_is_printed_as_it_is_committed() -> None:
    committed = (REPOSITORY / "docs" / "event-catalogue.md").read_text(encoding="utf-8")
    assert connects("schemas catalogue", **NOBODY_LISTENS) == (0, committed, "")


def test_the_event_catalogue_is_written_with_the_schemas(tmp_path: Path) -> None:
    folder, catalogue = tmp_path / "contract", tmp_path / "catalogue.md"
    code, out, _ = connects(f"schemas export {folder} --catalogue {catalogue}")
    assert (code, out.splitlines()[-1]) == (0, str(catalogue))
    committed = Path(__file__).parents[3] / "docs" / "event-catalogue.md"
    assert catalogue.read_text(encoding="utf-8") == committed.read_text(encoding="utf-8")
