"""`connects demo` as a new user runs it, and that it fails when something that must hold does not."""

import asyncio
import io
import itertools
import json
import os
import random
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from aiokafka import AIOKafkaProducer
from rich.console import Console

from schemas.catalogue import INPUT_TOPICS
from schemas.examples import EXAMPLES
from tests.kit.asking import Asking
from tests.kit.documented import blocks_of
from tests.kit.reading import everything
from tests.kit.visiting import Visitor
from tests.kit.waiting import until
from tests.kit.world import PARTITIONS, ROOT, copy_of
from worker.demo import marketplace as a_marketplace
from worker.demo.cases import Case, CycleDay, asked_at
from worker.demo.checks import Finding, Published, check
from worker.demo.console import console_open, to_try
from worker.demo.marketplace import Carelessness, Marketplace, Message, at_rate, spread
from worker.demo.marketplace_members import PROMO_CODES, Members
from worker.demo.payments import PaymentService
from worker.demo.policy import PAST_CODE, VALID_CODES, write_policy
from worker.demo.seed_cases import SEED_CASES
from worker.demo.stage import Stage
from worker.demo.time import DemoTime
from worker.demo.view import Moment, board, closing, plain_line
from worker.demo.watch import Cause, Figures, Update
from worker.domain.model import ChargeKey
from worker.domain.policy_file import read_policy
from worker.embedded import state as states
from worker.embedded.stack import LocalStack
from worker.errors import LocalStackError
from worker.wall_clock import wall_clock

NOW = datetime(2026, 6, 1, tzinfo=UTC)
CONNECTS = (sys.executable, "-c", "from worker.cli import main; main()")
LIMIT_SECONDS = 180
HOUR = timedelta(hours=1)


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
    """A demo of eight seconds, in which eight days pass; its stack stays up."""
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
    for name in ("I1", "I2", "I3", "I4", "I5", "I9", "plans", "charges", "paid", "cycles", "lag", "stop"):
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


async def test_the_console_is_named_with_three_questions_that_it_answers(
    shown: subprocess.CompletedProcess[str], stack: LocalStack, folder: Path
) -> None:
    paths = re.findall(r"^  http://127\.0\.0\.1:\d+(/search\?q=\S+)$", shown.stdout, re.MULTILINE)
    assert len(paths) == len(to_try()) == 3
    policy = folder / states.DEMO_POLICY
    book = read_policy(policy.read_text(encoding="utf-8"), str(policy))
    async with console_open(stack.addresses.database_url, book, wall_clock(""), 2) as address:
        visitor = Visitor(int(address.rstrip("/").rpartition(":")[2]))
        for path in paths:
            found = await visitor.get(path)
            assert found.status == 303
            assert (await visitor.get(found.headers["location"])).status == 200


async def test_the_readme_shows_what_the_demo_answers(stack: LocalStack, folder: Path) -> None:
    (shown,) = blocks_of("README.md")[0].commands
    connects = Asking(
        folder,
        DATABASE_URL=stack.addresses.database_url,
        KAFKA_BOOTSTRAP_SERVERS=stack.addresses.kafka_bootstrap,
    )
    answer = await connects(shown.line.removeprefix("connects "))
    assert shown.is_answered_by(answer.out), answer.out


ABOUT_MEMBERSHIPS = {
    "bela": "Not yet: your 80 Connects for the cycle of",
    "bruno": "You missed one month: the 10 of",
    "carla": "Plus ended with the cycle before, because you chose Basic on",
    "dario": "3 of the 10 free ones",
    "elif": "Yes: your 80 Connects came in for the cycle",
}


def test_complaints_about_memberships_are_answered(shown: subprocess.CompletedProcess[str]) -> None:
    said = in_a_line(shown.stdout)
    answers = {case.name: told_about(case, said)[0] for case in SEED_CASES}
    assert not [name for name, words in ABOUT_MEMBERSHIPS.items() if words not in answers[name]], answers


async def test_eight_days_bring_monthly_grants_paid_upgrades_and_renewals(stack: LocalStack) -> None:
    connection = await asyncpg.connect(stack.addresses.database_url)
    try:
        monthly = await connection.fetchval(
            "SELECT count(*) FROM changes WHERE rule = 'grant.monthly' AND occurred_at > clock_timestamp() + '1 day'"
        )
        settled = Counter(
            row["reason"]
            for row in await connection.fetch(
                "SELECT reason FROM decisions WHERE topic = 'membership-charge-settled' AND outcome = 'applied'"
                " AND occurred_at > clock_timestamp()"
            )
        )
    finally:
        await connection.close()
    assert monthly > 10
    assert settled["upgraded"] > 0, settled
    assert settled["renewed"] > 0, settled


WHAT_COMES = re.compile(r" (?:From \d|The next \d|You can choose).*")
"""The end of a reply: days have passed since the demo printed it, so something else may come next now."""


@pytest.mark.parametrize("name", ["pavel", "lucia", "maya", "bruno", "dario"])
async def test_explain_says_the_same(
    name: str, shown: subprocess.CompletedProcess[str], stack: LocalStack, tmp_path: Path
) -> None:
    case = next(case for case in SEED_CASES if case.name == name)
    answer, command = told_about(case, in_a_line(shown.stdout))
    addresses = stack.addresses
    connects = Asking(tmp_path, KAFKA_BOOTSTRAP_SERVERS=addresses.kafka_bootstrap, DATABASE_URL=addresses.database_url)
    explained = await connects(f"explain {command}")
    assert explained.code == 0, explained.err
    said = WHAT_COMES.sub("", answer.strip())
    assert len(said.split()) > 15, answer
    assert said in in_a_line(explained.out), explained.out


BREAKING = {
    "I1": "INSERT INTO changes SELECT freelancer_id, version + 99, decision_seq, ordinal + 1, occurred_at, recorded_at,"
    " rule, reason, policy_version, delta, debt_delta, balance_after + delta, explanation, NULL, movements"
    " FROM changes WHERE freelancer_id = 'f-ravi'",
    "I2": "DELETE FROM decisions WHERE seq = (SELECT max(seq) FROM decisions WHERE kind = 'first')",
    "I3": "UPDATE lots SET original = original + 1, remaining = remaining + 1 WHERE open",
    "I4": "UPDATE changes SET balance_after = -1 WHERE freelancer_id = 'f-omar'",
    "I5": "UPDATE spends SET base = base - 1 WHERE proposal_id = 'p-lucia'",
    "I9": "UPDATE changes SET version = version + 99 WHERE freelancer_id = 'f-ravi'",
    "plans": "UPDATE memberships SET version = version + 1 WHERE freelancer_id = 'f-carla'",
    "charges": "DELETE FROM charges WHERE freelancer_id = 'f-bela'",
    "paid": "UPDATE charges SET status = 'failed' WHERE freelancer_id = 'f-dario' AND status = 'paid'",
    "cycles": "INSERT INTO changes SELECT freelancer_id, version + 99, decision_seq, ordinal + 1, occurred_at,"
    " recorded_at, rule, reason, policy_version, delta, debt_delta, balance_after + delta, explanation, NULL, movements"
    " FROM changes WHERE freelancer_id = 'f-carla' AND rule = 'grant.monthly'",
    "lag": "UPDATE positions SET next_offset = next_offset - 1 WHERE topic = 'hire-made' AND next_offset > 0",
}


async def findings_of(url: str, breaking: str) -> dict[str, Finding]:
    """The findings in a ledger that was whole until `breaking` was done to it."""
    connection = await asyncpg.connect(url)
    try:
        published = Published()
        for row in await connection.fetch("SELECT * FROM changes ORDER BY version"):
            printed = (row["version"], row["delta"], row["balance_after"])
            published.wallets.setdefault(row["freelancer_id"], []).append(printed)
        for row in await connection.fetch("SELECT * FROM memberships"):
            published.memberships[row["freelancer_id"]] = list(range(1, row["version"] + 1))
        charges = await connection.fetch("SELECT * FROM charges")
        keys = [ChargeKey(row["freelancer_id"], row["charge_id"]) for row in charges]
        published.charges += keys
        taken = {key: row["amount_cents"] for key, row in zip(keys, charges, strict=True) if row["status"] == "paid"}
        ends = {
            (row["topic"], row["partition"]): row["next_offset"]
            for row in await connection.fetch("SELECT * FROM positions WHERE next_offset > 0")
        }
        for table in ("decisions", "changes"):
            await connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        await connection.execute(breaking)
        return {finding.name: finding for finding in await check(connection, published, taken, ends)}
    finally:
        await connection.close()


@pytest.mark.parametrize("broken", [None, *BREAKING])
async def test_a_broken_ledger_is_found_and_named(broken: str | None, stack: LocalStack) -> None:
    async with copy_of(stack, "connects") as url:
        findings = await findings_of(url, BREAKING[broken] if broken else "SELECT 1")
    against = {name for name, finding in findings.items() if not finding.holds}
    assert against == set() if broken is None else broken in against, findings


async def test_money_that_was_not_taken_is_missed(stack: LocalStack) -> None:
    connection = await asyncpg.connect(stack.addresses.database_url)
    try:
        findings = {finding.name: finding for finding in await check(connection, Published(), {}, {})}
    finally:
        await connection.close()
    assert any("nothing was taken for it" in words for words in findings["paid"].against), findings["paid"]


async def test_a_charge_that_is_asked_for_again_is_paid_once(stack: LocalStack) -> None:
    """A payment service that begins again reads all charges of the demo, each of them twice."""
    kafka = {"bootstrap_servers": stack.addresses.kafka_bootstrap}
    answers: list[dict[str, Any]] = []

    async def note(message: Message) -> None:
        answers.append({"topic": message.topic, **json.loads(message.value or b"")})

    charges = (await everything(kafka, "membership-charge-requested", PARTITIONS)).records
    async with AIOKafkaProducer(**kafka) as producer:
        for record in charges:
            await producer.send(record.topic, key=record.key, value=record.value, partition=record.partition)
    members = Members(random.Random(1), lambda: "f-1")
    time = DemoTime()
    time.hurry()
    service = PaymentService(kafka, time, members, note, seed=1)
    await service.start()

    def settled() -> Counter[tuple[ChargeKey, str]]:
        printed = [answer for answer in answers if answer["topic"] == "membership-charge-settled"]
        return Counter((ChargeKey(one["freelancer_id"], one["charge_id"]), one["outcome"]) for one in printed)

    try:
        await until(lambda: len({charge for charge, _ in settled()}) > 0.7 * len(charges))
        await until(lambda: max(settled().values()) > 1)
    finally:
        await service.stop()
    paid = {charge for charge, outcome in settled() if outcome == "paid"}
    failed = {charge for charge, outcome in settled() if outcome == "failed"}
    assert paid == set(service.taken), "it took money without a reply, or reported money that it did not take"
    assert failed, "no charge failed"
    assert not paid & failed, "it took back its word"


@pytest.mark.in_turn
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


def claimed(folder: Path) -> Stage:
    with Stage(folder).taken():
        return Stage(folder)


@pytest.mark.parametrize("left", [[], ["this-is-the-demo", "demo.lock", "demo-policy.toml"]])
async def test_a_folder_with_another_stack_is_left_alone(left: list[str], tmp_path: Path) -> None:
    """Also where a demo of an earlier version played once: its mark outlives its stack."""
    state = states.save(tmp_path, states.new(tmp_path))
    for name in left:
        (tmp_path / name).touch()
    with pytest.raises(LocalStackError, match="not the demo's"):
        claimed(tmp_path)
    with pytest.raises(LocalStackError, match="not the demo's"):
        await Stage(tmp_path).clear()
    assert states.load(tmp_path) == state


async def test_a_stack_that_somebody_makes_where_the_demos_was_deleted_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    stage = claimed(folder)
    states.save(folder, states.new(folder, for_demo=True))
    write_policy(folder, NOW)
    assert claimed(folder).folder == stage.folder, "the demo may take its own folder again"
    stage.stack.down(delete=True)
    assert not folder.exists(), "nothing of the demo outlives its stack"
    folder.mkdir()
    theirs = states.save(folder, states.new(folder))
    with pytest.raises(LocalStackError, match="not the demo's"):
        claimed(folder)
    assert states.load(folder) == theirs


async def test_a_stack_that_somebody_makes_while_the_demo_begins_is_not_emptied(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    with stage.taken():
        states.save(tmp_path, states.new(tmp_path))
        with pytest.raises(LocalStackError, match="not the demo's"):
            await stage.clear()


def test_a_folder_with_files_of_somebody_is_refused(tmp_path: Path) -> None:
    for name in (".git", "Makefile", "README.md", "worker"):
        (tmp_path / name).mkdir()
    with pytest.raises(LocalStackError, match=r"holds \.git, Makefile, README\.md, \.\.\., which no demo made.*--dir"):
        claimed(tmp_path)
    assert len(list(tmp_path.iterdir())) == 4


@pytest.mark.parametrize(
    "left", ["lock", "demo.lock", "demo-policy.toml", "demo-worker.pid", "stack.json.new", "this-is-the-demo", "logs/"]
)
def test_a_demo_that_was_killed_before_it_had_a_stack_locks_nobody_out(left: str, tmp_path: Path) -> None:
    if left.endswith("/"):
        (tmp_path / left).mkdir()
    else:
        (tmp_path / left).touch()
    stage = claimed(tmp_path)
    stage.stack._claim()  # noqa: SLF001 - what `up` does before it starts servers
    assert stage.stack._state_for_up().for_demo  # noqa: SLF001
    assert claimed(tmp_path).stack.is_for_demo


def test_logs_of_somebody_are_not_the_demos(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "mine.log").touch()
    with pytest.raises(LocalStackError, match="holds logs, which no demo made"):
        claimed(tmp_path)


def test_two_demos_do_not_share_a_folder(tmp_path: Path) -> None:
    with Stage(tmp_path).taken(), pytest.raises(LocalStackError, match="another demo"), Stage(tmp_path).taken():
        pass


@pytest.mark.parametrize("clock", ["yesterday", "2026-03-01@x", "2026-03-01T00:00:00Z@0", "2026-03-01T00:00:00Z@1e9"])
async def test_a_time_that_cannot_be_shown_is_refused_in_a_line(clock: str, tmp_path: Path) -> None:
    refused = await Asking(tmp_path, CONNECTS_CLOCK=clock).as_process(f"demo --dir {tmp_path / 'none'}")
    assert refused.code == 2
    assert refused.err.startswith("connects: CONNECTS_CLOCK: ")
    assert refused.err.count("\n") == 1
    assert not (tmp_path / "none").exists()


def test_worker_and_marketplace_agree_on_the_time_once_it_runs_fast() -> None:
    time = DemoTime.asked(None, "2026-03-01T00:00:00Z@3600")
    assert time.now() - datetime(2026, 3, 1, tzinfo=UTC) < timedelta(minutes=1)
    time.hurry()
    before, of_worker, after = time.now(), wall_clock(time.spec).now(), time.now()
    assert before <= of_worker <= after
    assert 0.9 < time.wait_seconds(time.now() + timedelta(hours=1)) <= 1


def test_the_demos_policy_has_the_codes_that_members_enter(tmp_path: Path) -> None:
    path = write_policy(tmp_path, NOW)
    codes = read_policy(path.read_text(encoding="utf-8"), str(path)).in_force(NOW).promo_codes
    assert {*VALID_CODES, PAST_CODE} == set(codes)
    assert codes.keys() < set(PROMO_CODES), "one that is unknown is entered too"
    assert [code for code, terms in codes.items() if not terms.valid_from <= NOW < terms.valid_until] == [PAST_CODE]


def test_on_any_day_of_the_year_yesterdays_cycle_began_yesterday() -> None:
    for day in range(366):
        asked = asked_at(NOW + timedelta(days=day))
        assert timedelta(0) <= NOW + timedelta(days=day) - asked <= timedelta(days=3)
        for case in SEED_CASES:
            for message in case.messages(asked):
                assert message.value is not None
                event = INPUT_TOPICS[message.topic].model_validate_json(message.value)
                assert event.occurred_at <= asked, case
        assert CycleDay(0).start(asked) == asked.date() - timedelta(days=1)


@pytest.mark.parametrize(("width", "height"), [(70, 20), (80, 24), (100, 30), (140, 45)])
@pytest.mark.parametrize("speed", [1.0, 86_400.0])
def test_the_board_fits_the_terminal(width: int, height: int, speed: float) -> None:
    outcomes = ("applied", "declined", "recorded", "withheld", "duplicate", "rejected", "parked")
    figures = Figures(Counter({(outcome, "a-reason-of-some-length"): 123_456 for outcome in outcomes}))
    figures.next_cycle = figures.business_time = NOW
    update = Update("f-1234567890", 1, -10, 1_000, "spend.proposal", "10 Connects spent. " * 20, Cause(None))
    moment = Moment(figures, 9_999_999, 100, 4_000, None, NOW, speed, 9_999_999, {}, 1, (0.123, 1.234))
    console = Console(width=width, height=height, file=io.StringIO(), force_terminal=True, record=True)
    console.print(board(moment, [update] * 40, width=width, height=height))
    lines = console.export_text().rstrip("\n").split("\n")
    assert len(lines) <= height - 2, "two lines are above it"
    assert max(map(len, lines)) < width - 2
    assert lines[0].startswith("01 June 2026   " if speed > 1 else "open for 66:40   "), lines[0]
    assert lines[0].rstrip().endswith("  Ctrl-C ends it"), lines[0]
    assert lines[1].startswith("events 9,999,999"), "the title was wrapped"
    assert lines[4].count("on Plus") + lines[5].count("on Plus") == 1, "a row of figures was wrapped"


def test_the_end_of_a_very_small_marketplace_is_shown_in_the_singular() -> None:
    moved = ("upgraded", "renewed", "downgraded", "charge-failed")
    figures = Figures(Counter({("applied", reason): 1 for reason in moved}), wallets=1, dead_letters=1, failed=1)
    moment = Moment(figures, 1, 1, 1, None, NOW, 1.0, 1, {"grant.monthly": 1}, 1, None)
    console = Console(width=120, file=io.StringIO(), record=True)
    console.print(closing(moment, []))
    printed = console.export_text()
    assert "1 upgrade, 1 renewal, 1 downgrade; 1 monthly grant" in printed
    assert "$0.01 taken since it opened; 1 charge failed, 0 lapsed, 0 not answered yet" in printed
    assert "1 change published" in printed
    assert "1, it was spoiled on purpose" in printed
    assert "1 event, 0 decided, 1 wallet change (1 monthly)" in plain_line(moment)


def test_a_charge_that_lapsed_and_was_paid_later_is_not_shown_as_failed() -> None:
    decisions = Counter({("applied", "charge-failed"): 5, ("applied", "paid-after-lapse"): 2})
    figures = Figures(decisions, paid=9, failed=2, lapsed=1)
    moment = Moment(figures, 1, 1, 1, None, NOW, 1.0, 1, {}, 0, None)
    console = Console(width=120, file=io.StringIO(), record=True)
    console.print(closing(moment, []))
    console.print(board(moment, [], width=120, height=40))
    printed = console.export_text()
    assert "2 charges failed, 3 lapsed (2 paid later), 0 not answered yet" in printed
    assert re.search(r"charges paid 9 +failed 2 +lapsed 3 ", printed), printed
    assert re.search(r"unanswered 0 +paid late 2 ", printed), printed


def messages(seed: int, careless: Carelessness | None = None) -> list[Message]:
    marketplace = Marketplace(seed, careless=careless)
    veterans = marketplace.veterans(spread(20, NOW - timedelta(days=400), NOW - timedelta(days=380), seed))
    of_old = marketplace.members_of_old(spread(10, NOW - timedelta(days=370), NOW - timedelta(days=360), seed), HOUR)
    before = sorted([*veterans, *of_old], key=lambda message: message.send_at)
    past = marketplace.messages(spread(1_000, NOW - timedelta(days=30), NOW, seed))
    marketplace.memberships.open = True
    live = marketplace.messages(itertools.islice(at_rate(50, NOW, seed), 1_000))
    return [*before, *past, *live, *marketplace.held_back()]


def test_a_marketplace_is_the_same_for_the_same_seed() -> None:
    assert messages(3) == messages(3)
    assert messages(3) != messages(4)


def test_a_marketplace_sends_in_order_and_a_little_carelessly() -> None:
    sent = messages(5)
    assert [message.send_at for message in sent] == sorted(message.send_at for message in sent)
    assert max(Counter((message.topic, message.value) for message in sent if message.value).values()) > 1


def test_careful_producers_send_nothing_that_breaks_the_contract() -> None:
    sent = messages(6, Carelessness(duplicates=0, late=0, spoiled=0))
    for message in sent:
        assert message.value is not None
        INPUT_TOPICS[message.topic].model_validate_json(message.value)
    assert {message.topic for message in sent} == set(INPUT_TOPICS), "a topic that nobody writes to"


def test_on_a_topic_that_no_life_uses_its_example_is_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(a_marketplace, "_OTHERS", ("badge-earned",))
    sent = messages(7, Carelessness(duplicates=0, late=0, spoiled=0))
    example = EXAMPLES["badge-earned"]["badge"]
    printed = [json.loads(message.value or b"") for message in sent if message.topic == "badge-earned"]
    assert sum(body["badge"] == example for body in printed) > 5
    assert {body["freelancer_id"] for body in printed} <= {f"f-{number}" for number in range(1, 251)}
