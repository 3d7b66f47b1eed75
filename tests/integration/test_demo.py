"""`connects demo` as a new user runs it, and that it fails when something that must hold does not."""

import asyncio
import itertools
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest

from schemas.catalogue import INPUT_TOPICS
from tests.support.world import ROOT, copy_of
from worker.local.demo_checks import Finding, check
from worker.local.demo_stage import Stage
from worker.local.errors import LocalStackError
from worker.local.marketplace import Carelessness, Marketplace, Message, at_rate, spread
from worker.local.seed_cases import SEED_CASES, Case
from worker.local.stack import LocalStack

NOW = datetime(2026, 6, 1, tzinfo=UTC)
CONNECTS = (sys.executable, "-c", "from worker.cli import main; main()")
LIMIT_SECONDS = 180


def environment(**settings: str) -> dict[str, str]:
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("KAFKA_", "CONNECTS_", "DATABASE"))
    }
    kept |= {name: os.environ[name] for name in ("CONNECTS_CACHE_DIR",) if name in os.environ}
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **settings}


def in_a_line(text: str) -> str:
    return re.sub(r"\s+", " ", text)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("demo")
    yield folder
    LocalStack(folder).down(delete=True)


@pytest.fixture(scope="module")
def shown(folder: Path) -> subprocess.CompletedProcess[str]:
    """A demo of eight seconds; its stack stays up."""
    return subprocess.run(  # noqa: S603 - our own program
        [*CONNECTS, "demo", "--seconds", "8", "--stay", "--dir", str(folder)],
        env=environment(),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )


@pytest.fixture
def stack(shown: subprocess.CompletedProcess[str], folder: Path) -> LocalStack:
    assert shown.returncode == 0, shown.stdout + shown.stderr
    return LocalStack(folder)


def test_it_ends_well_and_says_what_held(shown: subprocess.CompletedProcess[str]) -> None:
    assert shown.returncode == 0, shown.stdout + shown.stderr
    for name in ("I1", "I2", "I3", "I4", "I5", "I9", "lag", "stop"):
        assert re.search(rf"^{name} +holds ", shown.stdout, re.MULTILINE), shown.stdout
    assert "Traceback" not in shown.stdout + shown.stderr
    assert re.search(r"\d rejected", shown.stdout), "no spoiled event came"


def told_about(case: Case, shown: str) -> tuple[str, str]:
    """The answer that the demo printed to a case, and the command below it, without `connects explain`."""
    answer, _, command = shown.partition(case.question)[2].partition("→ ")[2].partition(" connects explain ")
    return answer, command.partition(" (wallet ")[0].strip()


def test_each_question_is_answered_with_the_command_that_answers_it(shown: subprocess.CompletedProcess[str]) -> None:
    said = in_a_line(shown.stdout)
    for case in SEED_CASES:
        answer, command = told_about(case, said)
        assert answer.endswith("."), case
        assert command == " ".join(case.asked_of_explain)


@pytest.mark.parametrize("name", ["pavel", "lucia", "maya"])
def test_explain_says_the_same(name: str, shown: subprocess.CompletedProcess[str], stack: LocalStack) -> None:
    case = next(case for case in SEED_CASES if case.name == name)
    answer, command = told_about(case, in_a_line(shown.stdout))
    addresses = stack.addresses
    explained = subprocess.run(  # noqa: S603 - our own program
        [*CONNECTS, "explain", *command.split()],
        env=environment(KAFKA_BOOTSTRAP_SERVERS=addresses.kafka_bootstrap, DATABASE_URL=addresses.database_url),
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )
    assert explained.returncode == 0, explained.stderr
    assert answer in in_a_line(explained.stdout), explained.stdout


BREAKING = {
    "I1": "INSERT INTO changes SELECT freelancer_id, version + 1, decision_seq, ordinal + 1, occurred_at, recorded_at,"
    " rule, reason, policy_version, delta, debt_delta, balance_after + delta, explanation FROM changes"
    " WHERE freelancer_id = 'f-ravi'",
    "I2": "DELETE FROM decisions WHERE seq = (SELECT max(seq) FROM decisions WHERE kind = 'first')",
    "I3": "UPDATE wallets SET balance = balance + 1 WHERE freelancer_id = 'f-omar'",
    "I4": "UPDATE wallets SET balance = -1 WHERE freelancer_id = 'f-omar'",
    "I5": "UPDATE spends SET base = base - 1 WHERE proposal_id = 'p-lucia'",
    "I9": "UPDATE changes SET version = version + 1 WHERE freelancer_id = 'f-ravi'",
    "lag": "UPDATE positions SET next_offset = next_offset - 1 WHERE topic = 'hire-made' AND next_offset > 0",
}


async def findings_of(url: str, breaking: str) -> dict[str, Finding]:
    """What is found in a ledger that was whole until `breaking` was done to it."""
    connection = await asyncpg.connect(url)
    try:
        published: dict[str, list[tuple[int, int, int]]] = {}
        for row in await connection.fetch("SELECT * FROM changes ORDER BY version"):
            told = (row["version"], row["delta"], row["balance_after"])
            published.setdefault(row["freelancer_id"], []).append(told)
        ends = {
            (row["topic"], row["partition"]): row["next_offset"]
            for row in await connection.fetch("SELECT * FROM positions WHERE next_offset > 0")
        }
        for table in ("decisions", "changes", "movements"):
            await connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        await connection.execute(breaking)
        return {finding.name: finding for finding in await check(connection, published, ends)}
    finally:
        await connection.close()


@pytest.mark.parametrize("broken", [None, *BREAKING])
async def test_a_broken_ledger_is_found_and_named(broken: str | None, stack: LocalStack) -> None:
    async with copy_of(stack, "connects") as url:
        findings = await findings_of(url, BREAKING[broken] if broken else "SELECT 1")
    against = {name for name, finding in findings.items() if not finding.holds}
    assert against == set() if broken is None else broken in against, findings


async def test_it_fails_when_the_ledger_is_tampered_with(stack: LocalStack, folder: Path) -> None:
    """A second demo in the same folder, whose ledger somebody edits; afterwards the stack is stopped, as was asked."""
    process = await asyncio.create_subprocess_exec(
        *(*CONNECTS, "demo", "--seconds", "3", "--down", "--dir", str(folder)),
        env=environment(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    said = []
    try:
        async with asyncio.timeout(LIMIT_SECONDS):
            while line := (await process.stdout.readline()).decode():
                said.append(line)
                if line.startswith("A marketplace"):
                    connection = await asyncpg.connect(stack.addresses.database_url)
                    await connection.execute(BREAKING["I3"])
                    await connection.close()
            assert await process.wait() == 1, "".join(said)
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
    assert "Does not hold: I3" in "".join(said)
    assert "f-omar" in "".join(said[-30:])
    assert LocalStack(folder).status().kafka == "stopped"


def test_a_folder_with_another_stack_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "stack.json").write_text("{}")
    with pytest.raises(LocalStackError, match="not the demo's"), Stage(tmp_path).taken():
        pass
    assert (tmp_path / "stack.json").read_text() == "{}"


def test_two_demos_do_not_share_a_folder(tmp_path: Path) -> None:
    with Stage(tmp_path).taken(), pytest.raises(LocalStackError, match="another demo"), Stage(tmp_path).taken():
        pass


def messages(seed: int, careless: Carelessness | None = None) -> list[Message]:
    marketplace = Marketplace(seed, careless=careless)
    past = marketplace.messages(spread(1_000, NOW - timedelta(days=30), NOW, seed))
    live = marketplace.messages(itertools.islice(at_rate(50, NOW, seed), 1_000))
    return [*past, *live, *marketplace.held_back()]


def test_a_marketplace_is_the_same_for_the_same_seed() -> None:
    assert messages(3) == messages(3)
    assert messages(3) != messages(4)


def test_a_marketplace_sends_in_order_and_a_little_carelessly() -> None:
    sent = messages(5)
    assert [message.send_at for message in sent] == sorted(message.send_at for message in sent)
    assert max(Counter((message.topic, message.value) for message in sent if message.value).values()) > 1


def test_careful_producers_send_nothing_that_breaks_the_contract() -> None:
    for message in messages(6, Carelessness(duplicates=0, late=0, spoiled=0)):
        assert message.value is not None
        INPUT_TOPICS[message.topic].model_validate_json(message.value)
