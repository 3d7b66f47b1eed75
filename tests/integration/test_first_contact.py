"""The first contact: every setting that is wrong is one line that names it and says what would be right.

One table over the real command. Exit 2 is for what the user set wrongly, 1 for what may pass by itself. No line holds a
class, a library, SQL or a part of a password; with --debug a traceback may be above it, without the password.
"""

import asyncio
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import quote, urlsplit

import asyncpg
import pytest
from typer.testing import CliRunner

from tests.kit.listening import (
    closed_port,
    closing_port,
    http_server,
    postgres_that_refuses,
    silent_port,
    speaking_port,
)
from tests.kit.secrets_in import PARTS, runs_of
from tests.kit.shells import a_new_shell, undone
from tests.kit.stacks import template_of
from tests.kit.waiting import PATIENCE_SECONDS
from tests.kit.worker_process import ROOT
from tests.kit.wrong_settings import CASES, PASSWORD, Case, D, Places, S
from worker.cli import app
from worker.embedded.stack import LocalStack

NEVER = (
    *("failed unexpectedly", "Traceback", "sqlalche", "asyncpg", "aiokafka", "dotenv", "[SQL", "()", "Errno"),
    *("AddressFamily", "Exception", "Error:", "Error("),
)


@pytest.fixture(scope="module")
def places(shared_stack: LocalStack) -> Iterator[Places]:
    template = asyncio.run(template_of(shared_stack))
    name = f"first_{secrets.token_hex(4)}"
    server = shared_stack.addresses.database_url
    made = {kind: f"{name}_{kind}" for kind in ("db", "empty", "read_only", "schemaless", "foreign")}
    asyncio.run(
        _execute(
            server,
            f"CREATE ROLE {name}_nobody LOGIN",
            *(f"CREATE DATABASE {made[kind]}" for kind in made if kind != "db"),
            f"CREATE DATABASE {made['db']} TEMPLATE {template}",
            f"ALTER DATABASE {made['read_only']} SET default_transaction_read_only = on",
            f"ALTER DATABASE {made['schemaless']} SET search_path = elsewhere",
        )
    )
    foreign = urlsplit(server)._replace(path=f"/{made['foreign']}").geturl()
    asyncio.run(
        _execute(
            foreign,
            "CREATE TABLE alembic_version (version_num text)",
            "INSERT INTO alembic_version VALUES ('a1b2c3d4e5f6')",
        )
    )
    with ExitStack() as listening:
        yield Places(
            pg=urlsplit(server).netloc.rpartition("@")[2],
            kafka=shared_stack.addresses.kafka_bootstrap,
            **made,
            nobody=f"{name}_nobody",
            closed=listening.enter_context(closed_port()),
            silent=listening.enter_context(silent_port()),
            http=listening.enter_context(http_server()),
            ssh=listening.enter_context(speaking_port(b"SSH-2.0-OpenSSH_9.9\r\n")),
            gone=listening.enter_context(closing_port()),
            denied=listening.enter_context(
                postgres_that_refuses("28P01", 'password authentication failed for user "u"')
            ),
        )
    asyncio.run(
        _execute(
            server,
            *(f"DROP DATABASE {database} WITH (FORCE)" for database in made.values()),
            f"DROP ROLE {name}_nobody",
        )
    )


@pytest.fixture(autouse=True)
def clean_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    with a_new_shell(monkeypatch, tmp_path):
        yield


def settings_of(case: Case, places: Places, folder: Path) -> dict[str, str]:
    """The environment of a case, and its files in the folder."""
    good = {
        D: f"postgresql://postgres@{places.pg}/{places.db}",
        S: places.kafka,
        "CONNECTS_TOPIC_PREFIX": f"{places.db}-",
    }
    if case.env_file is not None:
        (folder / ".env").write_bytes(case.env_file)
    for name, content in case.files.items():
        (folder / name).write_bytes(content)
    return {**good, **{name: value.format(**vars(places)) for name, value in case.settings.items()}}


def leaked(text: str, case: Case) -> list[str]:
    """Return the parts of the case's passwords that the text holds."""
    odd = {run for value in case.settings.values() for part in PARTS if part in value for run in runs_of(PASSWORD)}
    return sorted(run for run in odd | runs_of(PASSWORD) | set(PARTS) if run in text)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_is_set_wrongly_is_one_line(case: Case, places: Places, tmp_path: Path) -> None:
    environment = settings_of(case, places, tmp_path)
    words = [word.format(**vars(places)) for word in case.words]
    for command in case.commands:
        began = time.monotonic()
        done = CliRunner().invoke(app, command.split(), env=environment)
        assert time.monotonic() - began < PATIENCE_SECONDS
        line = done.stderr
        if command == "status --json" and done.stdout:  # the ledger is shown all the same
            assert done.exit_code == 1, command
            (problem,) = json.loads(done.stdout)["problems"]
            line = problem["what"]
        else:
            assert done.exit_code == case.code, (command, done.stdout, done.stderr)
            assert line.count("\n") == 1, line
        for word in words:
            assert word in line, command
        assert not [word for word in NEVER if word in line], line
        assert not leaked(done.stdout + done.stderr, case)


HARMLESS = (
    "connect_timeout=10&keepalives=1&keepalives_idle=30&keepalives_interval=10&keepalives_count=3&tcp_user_timeout=9",
    "sslmode=prefer&channel_binding=prefer&gssencmode=disable&gssdelegation=0&sslsni=1&sslcompression=0",
    "application_name=mine&fallback_application_name=mine&client_encoding=UTF8&load_balance_hosts=random",
    "target_session_attrs=read-write&options=-csearch_path%3Dpublic&replication=false&max_protocol_version=latest",
    "sslmode=disable&channel_binding=&statement_timeout=10s",
)


@pytest.mark.parametrize("query", HARMLESS)
def test_what_hosters_write_into_a_url_works_without_a_word(query: str, places: Places) -> None:
    url = f"postgresql://postgres@{places.pg}/{places.db}?{query}"
    environment = _environment({D: url, S: places.kafka, "CONNECTS_TOPIC_PREFIX": f"h-{secrets.token_hex(4)}-"})
    for command, code in (("migrate", 0), ("history f-1", 1), ("parked list", 0)):
        done = CliRunner().invoke(app, command.split(), env=environment)
        assert done.exit_code == code, (command, done.stderr)
        assert not [word for word in (*NEVER, "postgresql://", "DATABASE_URL") if word in done.stderr], command


DEBUGGED = [
    case
    for case in CASES
    if case.name.startswith(("a raw", "a wrong password", "no such", "a closed", "a line of", "SASL"))
]


@pytest.mark.parametrize("case", DEBUGGED, ids=lambda case: case.name)
def test_tracebacks_and_logs_for_debugging_hold_no_part_of_a_password(
    case: Case, places: Places, tmp_path: Path
) -> None:
    environment = settings_of(case, places, tmp_path)
    with undone():
        done = CliRunner().invoke(app, ["--debug", *case.commands[0].split()], env=environment)
    assert done.stdout or done.stderr.splitlines()[-1].startswith("connects: ")
    assert not leaked(done.stdout + done.stderr, case)


@pytest.mark.parametrize("odd", ["#", "/", "@", "?", "[", "]", "%", "%2", "%FF", "#@/", "&", "+", " ", '"', ":", "é"])
def test_a_password_that_is_percent_encoded_reaches_the_server_as_it_was(odd: str) -> None:
    received: list[str] = []
    password = odd.join(PARTS)
    with postgres_that_refuses("28P01", "no", received) as address:
        environment = {D: f"postgresql://u:{quote(password, safe='')}@{address}/d", S: "127.0.0.1:9"}
        for command in ("migrate", "status"):
            assert CliRunner().invoke(app, [command], env=environment).exit_code == 2
    assert set(received) == {password}


def test_one_good_server_among_wrong_ones_is_enough(places: Places) -> None:
    """Also where a silent one is tried first."""
    servers = f"kafka.example.invalid:9092,{places.silent},{places.closed},{places.http},{places.kafka}"
    environment = {
        D: f"postgresql://postgres@{places.pg}/{places.db}",
        S: servers,
        "CONNECTS_TOPIC_PREFIX": f"good-{secrets.token_hex(4)}-",
    }
    done = CliRunner().invoke(app, ["topics", "create", "--partitions", "1"], env=environment)
    assert (done.exit_code, done.stderr) == (0, "")
    began = time.monotonic()
    assert CliRunner().invoke(app, ["relay", "show"], env=environment).exit_code == 0
    assert time.monotonic() - began < PATIENCE_SECONDS


def test_a_schema_that_was_refused_is_made_once_the_cause_is_gone(places: Places) -> None:
    empty = f"postgresql://postgres@{places.pg}/{places.empty}"
    refused = CliRunner().invoke(
        app, ["migrate"], env={D: f"postgresql://{places.nobody}@{places.pg}/{places.empty}", S: places.kafka}
    )
    assert refused.exit_code == 2
    assert asyncio.run(_value(empty, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")) == 0
    asyncio.run(_execute(empty, f"GRANT CREATE ON SCHEMA public TO {places.nobody}"))
    again = CliRunner().invoke(
        app, ["migrate"], env={D: f"postgresql://{places.nobody}@{places.pg}/{places.empty}", S: places.kafka}
    )
    assert (again.exit_code, again.stderr) == (0, "")
    asyncio.run(_execute(empty, f"DROP OWNED BY {places.nobody}"))


RUN = [
    "a raw # in the password of DATABASE_URL",
    "a wrong password",
    "no such database",
    "HTTP where PostgreSQL should be",
    "a database's port 70000",
    "an unknown parameter",
    "a broker's port 70000",
    "a broker's port 0",
    "a broker without a port",
    "a URL for brokers",
    "a .env in UTF-16",
    "a policy that is no TOML",
]


@pytest.mark.in_turn
@pytest.mark.parametrize("name", RUN)
def test_a_worker_ends_before_it_takes_the_ledger_or_serves_a_page(name: str, places: Places, tmp_path: Path) -> None:
    (case,) = [case for case in CASES if case.name == name]
    done = subprocess.run(
        [sys.executable, "-m", "worker", "run"],
        cwd=tmp_path,
        env=_environment(settings_of(case, places, tmp_path)),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert done.stderr.count("\n") == 1
    assert not [word for word in NEVER if word in done.stderr]
    for word in case.words:
        assert word.format(**vars(places)) in done.stderr
    assert not leaked(done.stderr, case)


GOES_ON = [
    "a closed broker port",
    "HTTP where Kafka should be",
    "a broker that does not resolve",
    "TLS against plaintext",
    "SASL against plaintext",
    "a silent broker",
]


@pytest.mark.in_turn
@pytest.mark.parametrize("name", GOES_ON)
def test_a_worker_that_does_not_reach_kafka_says_why_and_leaves_the_ledger_to_others(
    name: str, places: Places, tmp_path: Path
) -> None:
    (case,) = [case for case in CASES if case.name == name]
    words = [word.format(**vars(places)) for word in case.words]
    log = tmp_path / "log"
    with log.open("w") as output:
        worker = subprocess.Popen(
            [sys.executable, "-m", "worker", "run"],
            cwd=tmp_path,
            env=_environment({**settings_of(case, places, tmp_path), "CONNECTS_HTTP_PORT": "0"}),
            stdout=output,
            stderr=output,
        )
        try:
            _wait(
                lambda: any(all(word in line for word in words) for line in log.read_text().splitlines()), worker, log
            )
            port = next(json.loads(line)["port"] for line in log.read_text().splitlines() if "http.listening" in line)
            status, problems = _readiness(port)
            assert status == 503
            assert all(any(word in problem for problem in problems) for word in words)
            assert worker.poll() is None
            holder = asyncio.run(_value(f"postgresql://postgres@{places.pg}/{places.db}", "SELECT holder FROM leader"))
            assert str(worker.pid) not in str(holder), "it never led"
            worker.terminate()
            assert worker.wait(15) == 0
        finally:
            worker.kill()
            worker.wait()
    said = log.read_text()
    assert not [word for word in NEVER if word in said], said
    assert not leaked(said, case)


def _wait(condition: Callable[[], bool], worker: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert worker.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)


def _readiness(port: int) -> tuple[int, list[str]]:
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("GET", "/health/ready")
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())["problems"]


def _environment(settings: dict[str, str]) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **settings}


async def _execute(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def _value(url: str, query: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()
