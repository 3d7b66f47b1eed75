"""`connects replay show` and what `replay plan` refuses before it asks a ledger."""

import csv
import io
import json
import shlex
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.kit.shells import a_new_shell
from worker.cli import app
from worker.cli.replay._pages import nothing_to_do
from worker.errors import UsageError
from worker.queries.log_query import LogQuery
from worker.queries.replays import require_enough_of_a_hash
from worker.repair.making import Made, Wanted
from worker.repair.plan import FORMAT, Added, Expected, Header
from worker.repair.plan_file import write_plan
from worker.repair.summary import Balance, Booked, Decided, Left, Step, Summary, Wallet

NO_TOPICS = ("", "a/x", "a/-1", "a/9999999999", "a\u00e4")
A_DAY = "2025-03-14T00:00:00Z"
SPANS = ("--from", "--to", "--recorded-from", "--recorded-to")
NOON = datetime(2026, 11, 5, 12, tzinfo=UTC)
HEADER = Header(FORMAT, "ledger-1", "0.2.0", ["2026-07 4be1"], 17, NOON, NOON)
SUMMARY = Summary(
    {"add": 2, "void": 0},
    wallets=1,
    wallet_updated=1,
    given=50,
    taken=0,
    decided=[Decided("applied", "purchased", "grant.purchase", 1), Decided("declined", "already-granted", "x", 1)],
    booked=[Booked("grant.purchase", "purchased", 1, 50)],
    gain_most=[Balance("f-1", 1_000, 1_050)],
    inert=50_000,
    conflicts=22,
    conflicting=["hour, line 7: event e-7 of badge-earned was decided (decision 3) with other content"],
    bad_lines=3,
    will_follow=[Booked("refund.closure", "closed-without-hire", 1, 12)],
    charges_requested=1,
    left_for_a_person=[
        Left("wallet f-9", 2, "the wallet is parked", "Release it first: connects parked release wallet f-9")
    ],
)
WALLETS = [
    Wallet(
        "f-1",
        1_000,
        1_050,
        1_062,
        [
            Step(1, NOON, "applied", "purchased", 50, 1_050, "50 Connects bought, for \x1b[31mred."),
            Step(2, NOON, "declined", "already-granted", 0, 1_050, "Not granted: it was granted already."),
            Step(None, NOON, "applied", "closed-without-hire", 12, 1_062, "12 Connects returned."),
        ],
    ),
    Wallet("f-2", 5, 5, 5, []),
]


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    with a_new_shell(monkeypatch, tmp_path):
        yield tmp_path


@pytest.fixture
def plan(folder: Path) -> Path:
    expected = Expected("declined", "already-granted", {})
    adds = [Added(number, "badge-earned", f"e-{number}", "{}", "hour", number, expected) for number in (1, 2)]
    with (folder / "hour.plan").open("wb") as file:
        write_plan(file, HEADER, adds, WALLETS, SUMMARY)
    return folder / "hour.plan"


def connects(command: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, shlex.split(command))
    return result.exit_code, result.stdout, " ".join(result.stderr.split())


def name_of(plan: Path) -> str:
    return str(json.loads(plan.read_bytes().splitlines()[-1])["hash"])


def test_a_plan_is_shown_in_numbers(plan: Path) -> None:
    code, out, _ = connects(f"replay show {plan}")
    shown = " ".join(out.split())
    assert code == 0
    for words in (
        f"plan {name_of(plan)}",
        "Made on 2026-11-05 12:00:00 UTC by release 0.2.0, on ledger ledger-1 as it was after decision 17",
        "Triggers: 2 add. They change 1 wallet in 1 wallet-updated message: 50 Connects given, 0 taken.",
        "grant.purchase purchased 1 50 0",
        "Without an effect on a balance now: 1 declined (already-granted).",
        "f-1 1,000 1,050 +50",
        "Will follow, by the clock reason changes given taken refund.closure closed-without-hire 1 12 0",
        "1 charge will be requested from billing.",
        "Left out: 50,000 inert by event id (decided before, with the same content).",
        "Left out: 22 events whose id was used with other content: hour, line 7: event e-7",
        "and 21 more",
        "Left out: 3 lines that are no event.",
        "Left for a person: 2 triggers of wallet f-9, the wallet is parked. Release it first: ",
    ):
        assert words in shown


def test_a_wallet_is_shown_decision_by_decision(plan: Path) -> None:
    code, out, _ = connects(f"replay show {plan} --freelancer f-1")
    assert code == 0
    assert out.splitlines() == [
        "f-1: 1,000 Connects before the plan, 1,050 after it.",
        "  1. 2026-11-05 12:00:00  +50 = 1,050  50 Connects bought, for \\x1b[31mred.",
        "  2. 2026-11-05 12:00:00  +0 = 1,050  Not granted: it was granted already.",
        "Will follow, by the clock, to 1,062 Connects:",
        "  2026-11-05 12:00:00  +12 = 1,062  12 Connects returned.",
    ]


def test_a_plan_as_json_has_its_hash_and_the_numbers(plan: Path) -> None:
    code, out, _ = connects(f"replay show {plan} --json")
    found = json.loads(out)
    assert code == 0
    assert found["hash"] == name_of(plan)
    assert (found["wallets"], found["given"], found["taken"], found["shortfall"]) == (1, 50, 0, 0)
    assert (found["inert"], found["replaced"], found["triggers"]["add"]) == (50_000, 0, 2)
    assert found["left_for_a_person"][0]["what"] == "wallet f-9"
    assert found["header"]["through_seq"] == 17


def test_a_wallet_as_json(plan: Path) -> None:
    code, out, _ = connects(f"replay show {plan} --freelancer f-1 --json")
    found = json.loads(out)
    assert (code, found["before"], found["after"], found["later"], len(found["steps"])) == (0, 1_000, 1_050, 1_062, 3)


@pytest.mark.parametrize("options", ["", "--json", "--csv"])
def test_a_freelancer_whom_the_plan_does_not_name(plan: Path, options: str) -> None:
    said = "the plan does not name freelancer f-3"
    assert connects(f"replay show {plan} --freelancer f-3 {options}") == (1, "", said)


@pytest.mark.parametrize("options", ["--csv", "--csv --freelancer f-1"])
def test_changes_as_csv(plan: Path, options: str) -> None:
    code, out, _ = connects(f"replay show {plan} {options}")
    assert code == 0
    assert list(csv.reader(io.StringIO(out))) == [
        ["freelancer", "before", "after", "sentence"],
        ["f-1", "1000", "1050", "50 Connects bought, for \\x1b[31mred."],
        ["f-1", "1050", "1062", "12 Connects returned."],
    ]


def test_what_is_no_plan_is_one_line_and_exit_2(plan: Path, folder: Path) -> None:
    plan.write_bytes(plan.read_bytes().replace(b'"given":50', b'"given":51'))
    assert connects(f"replay show {plan}")[0] == 2
    assert "was changed: its content has the hash" in connects(f"replay show {plan}")[2]
    code, _, said = connects(f"replay show {folder}/nothing.plan")
    assert (code, said.count("connects:")) == (2, 1)
    assert "nothing.plan cannot be used (No such file or directory). Name another place" in said


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (
            "replay plan --out p",
            "nothing to plan: give --add FILE, --settle SELECTION, --void SELECTION, ",
        ),
        (
            "replay plan --replace kafka:job-closed --out p",
            "--replace reads files and standard input (-), and no ",
        ),
        ("replay plan --shift 24h --shifted f --out p", "--shift is a sign, a number and a unit, as in +24h or -90m"),
        ("replay plan --shift +0h --shifted f --out p", "--shift is a sign, a number and a unit, as in +24h or -90m"),
        ("replay plan --shift +24h --out p", "--shift and --shifted go together: by how much, and which events"),
        ("replay plan --add f --shifted f --out p", "--shift and --shifted go together: by how much, and which events"),
        ("replay plan --shift -1h --shifted found --out p", "--shifted found: say when, with --from, --to, "),
        (
            f"replay plan --shift -1h --shifted found --void found --from {A_DAY} --out p",
            "found is for one of --void and --shifted: name the other's decisions in a file",
        ),
        ("replay plan --out p", "give --add FILE, --settle SELECTION, --void SELECTION, --decide SELECTION, --replace"),
        ("replay plan --decide found --out p", "--decide found: say when, with --from, --to, --recorded-from or "),
        ("replay plan --decide found --rule adjust --out p", "--decide found: say when, with --from, --to, "),
        ("replay plan --decide found --rule adjusts --freelancer f-1 --out p", "--rule is one of "),
        (f"replay plan --decide found --void found --from {A_DAY} --out p", "found is for one of --void and --decide"),
        ("replay plan --decide f --rule adjust --out p", "--rule and --freelancer go with --decide found"),
        ("replay plan --void f --freelancer f-1 --out p", "--rule and --freelancer go with --decide found"),
        ("replay plan --settle owed --policy f --out p", "--policy goes with --decide SELECTION"),
        ("replay plan --add f", "Missing option '--out'"),
        ("replay plan --add f --out p --topic job-opened", "--topic is one of "),
        *((f"replay plan --add kafka:{topic} --out p", "is no topic. Write kafka:TOPIC") for topic in NO_TOPICS),
        *((f"replay plan --add kafka:t/0@{span} --out p", "is no span. Write kafka:TOPIC") for span in ("", "7", "..")),
        ("replay plan --add kafka:t@3..9 --out p", "offsets are of one partition: write kafka:t/0@3..9"),
        ("replay plan --add kafka:t/1@9..3 --out p", "nothing is from offset 9 to 3: the first has to be smaller"),
        (f"replay plan --add kafka:t/1@9..{A_DAY} --out p", "are not both offsets, or both instants"),
        ("replay plan --add kafka:t@2026-03-14..now --out p", "has no time zone. Give one, as in"),
        ("replay plan --add kafka:t@..yesterday --out p", "is not an instant. Give a date, a time and a zone"),
        (f"replay plan --add kafka:t@{A_DAY}..{A_DAY} --out p", "nothing is between FROM of --add and TO: the first"),
        ("replay show p --csv --json", "choose one of --csv and --json"),
        ("replay plan --settle owed --out p --topic job-closed", "--topic is about lines: it goes with --add FILE"),
        ("replay plan --void f --out p --skip-bad", "--skip-bad is about lines: it goes with --add FILE"),
        (f"replay plan --void found --from {A_DAY} --first --out p", "--first is about the event ids of a file: it"),
        ("replay plan --void f --void-topic job-closed --out p", "--void-topic goes with --void found"),
        ("replay plan --void found --out p", "--void found: say when, with --from, --to, --recorded-from or "),
        ("replay plan --void found --void-topic job-closed --out p", "--void found: say when, with --from, --to, "),
        *((f"replay plan --void f --out p {one} {A_DAY}", "go with --void found or --decide found") for one in SPANS),
        *(
            (
                f"replay plan --void found --out p {first} {A_DAY} {last} {end}",
                f"nothing is between {first} and {last}: the first has to be earlier",
            )
            for first, last in (SPANS[:2], SPANS[2:])
            for end in (A_DAY, "2025-03-13T00:00:00Z")
        ),
    ],
)
def test_wrong_use_is_exit_2(command: str, words: str) -> None:
    code, _, said = connects(command)
    assert code == 2
    assert words in said


def test_the_help_of_plan_says_what_its_words_mean() -> None:
    code, out, _ = connects("replay plan --help")
    shown = " ".join(out.replace("│", " ").split())
    assert code == 0
    assert "`-` reads standard input" in shown
    assert "`owed` are the jobs of which `connects owed` lists a refund that no schedule will make" in shown


def test_a_hash_is_named_by_six_characters_or_more() -> None:
    require_enough_of_a_hash("2f0c7c")
    with pytest.raises(UsageError, match="'2f0c7', and it is too short for a hash: name at least 6 characters"):
        require_enough_of_a_hash("2f0c7")


LEFT = [Left("wallet f-9", 3, "", "")]
INERT = "inert by event id (decided before, with the same content)"


@pytest.mark.parametrize(
    ("lines", "summary", "words"),
    [
        (50_000, {"inert": 50_000}, f"Of 50,000 lines: 50,000 {INERT}."),
        (
            7,
            {"inert": 1, "conflicts": 1, "bad_lines": 2, "left_for_a_person": LEFT},
            (
                f"Of 7 lines: 1 {INERT}, 1 in conflict by event id (decided before, with other content), 2 no event. "
                "3 triggers are left for a person."
            ),
        ),
        (3, {"left_for_a_person": LEFT}, "3 triggers are left for a person."),
        (0, {"left_for_a_person": [Left("hires", 1, "", "")]}, "1 trigger is left for a person."),
        (
            0,
            {"nothing_to_do": 13, "left_for_a_person": LEFT},
            "Of 13 spends: 13 settled as they should be. 3 triggers are left for a person.",
        ),
        (
            0,
            {"nothing_to_void": 1},
            "Of 1 decision: 1 with nothing to void (refused, repeated or voided before).",
        ),
        (0, {"nothing_to_amend": 7}, "Of 7 decisions: 7 with the amount that the rules give."),
    ],
)
def test_a_plan_without_triggers_says_why(lines: int, summary: dict[str, object], words: str) -> None:
    made = Made("", lines, Summary({"add": 0}, **summary))  # type: ignore[arg-type]
    assert nothing_to_do(made, wanted({"add": ["hour"]})) == f"Nothing is to be done. {words}"


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"add": ["hour"]}, "the archives have no lines"),
        ({"settle": ["owed"]}, "no job is selected"),
        ({"void": ["resent"]}, "no decision is selected"),
        ({"found": LogQuery(occurred_from=NOON)}, "no decision is selected"),
        ({"decide": ["wrong"]}, "no decision is selected"),
        ({"decide_found": LogQuery(occurred_from=NOON)}, "no decision is selected"),
        ({"add": ["hour"], "settle": ["owed"]}, "the archives have no lines and no job is selected"),
        ({"settle": ["owed"], "void": ["resent"]}, "no job is selected and no decision is selected"),
        ({"replace": ["right"]}, "the files of --replace have no lines"),
        ({"shift": timedelta(hours=1), "shifted": ["f"]}, "no decision is selected"),
    ],
)
def test_a_plan_of_nothing_says_what_is_empty(asked: dict[str, Any], words: str) -> None:
    assert nothing_to_do(Made("", 0, Summary({"add": 0})), wanted(asked)) == f"Nothing is to be done: {words}."


def test_a_plan_of_what_was_replaced_before_says_so() -> None:
    made = Made("", 0, Summary({"replace": 0}, replaced=3))
    words = "Nothing is to be done. Of 3 events: 3 replaced before."
    assert nothing_to_do(made, wanted({"shift": timedelta(hours=1), "shifted": ["f"]})) == words


def wanted(asked: dict[str, Any]) -> Wanted:
    nothing: dict[str, Any] = {"add": [], "settle": [], "void": [], "found": None}
    return Wanted(**nothing | asked, topic=None, out=Path("p"), skips_bad=False)
