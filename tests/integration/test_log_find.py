"""`connects log find` on a ledger of a random history: exactly what a plain filter over all its rows finds."""

import asyncio
import csv
import json
import shlex
import signal
from collections.abc import Callable
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.kit.asking import Asking
from tests.kit.decided import asking, decide_history, rows_of
from tests.kit.histories import START, History
from tests.kit.stacks import new_ledger
from tests.kit.waiting import in_time, until_async
from worker.embedded.stack import LocalStack
from worker.ledger.sql import load
from worker.queries import log_find
from worker.queries.log_query import LogQuery

Row = dict[str, Any]
EVENTS = 1_500


@pytest.fixture(scope="module")
def url(shared_stack: LocalStack) -> str:
    url = new_ledger(shared_stack, "log_find")
    records = list(History(11, events=EVENTS, jobs=90, late=0.05, poison=0.02))
    asyncio.run(decide_history(url, records, until=START + timedelta(days=400)))
    return url


@pytest.fixture
async def rows(url: str) -> list[Row]:
    """All decisions, each with its changes."""
    decisions = await rows_of(url, "SELECT * FROM decisions ORDER BY seq")
    changes: dict[int, list[Row]] = {}
    for change in await rows_of(url, "SELECT * FROM changes"):
        changes.setdefault(change["decision_seq"], []).append(change)
    return [{**row, "changes": changes.get(row["seq"], [])} for row in decisions]


@pytest.fixture
def connects(url: str, tmp_path: Path) -> Asking:
    return asking(url, tmp_path)


def text(at: datetime) -> str:
    return at.isoformat()


def moved(row: Row, least: float, most: float) -> bool:
    deltas = [change["delta"] for change in row["changes"]] or [0]
    return any(least <= delta <= most for delta in deltas)


def names_rule(row: Row, rule: str) -> bool:
    return rule in {row["rule"], *(change["rule"] for change in row["changes"])}


QUERIES: dict[str, Callable[[Row], bool]] = {
    "": lambda _: True,
    "--rule grant.interview": lambda row: names_rule(row, "grant.interview"),
    "--rule expire.lot --rule spend.proposal": lambda row: (
        names_rule(row, "expire.lot") or names_rule(row, "spend.proposal")
    ),
    "--reason already-granted": lambda row: row["reason"] == "already-granted",
    "--outcome declined --outcome rejected": lambda row: row["outcome"] in {"declined", "rejected"},
    "--kind settlement --amount >0": lambda row: row["kind"] == "settlement" and moved(row, 1, 10**9),
    "--amount -12..-3": lambda row: moved(row, -12, -3),
    "--amount 40": lambda row: moved(row, 40, 40),
    "--amount <=0 --topic hire-made": lambda row: row["topic"] == "hire-made" and moved(row, -(10**9), 0),
    "--amount 0 --outcome applied": lambda row: row["outcome"] == "applied" and not row["changes"],
    "--topic job-closed --partition 0 --offsets 3..9": lambda row: (
        row["topic"] == "job-closed" and row["partition"] == 0 and 3 <= row["offset"] <= 9
    ),
    "--topic job-closed --offsets 5": lambda row: row["topic"] == "job-closed" and row["offset"] == 5,
    "--topic job-closed --offsets 5000..6000": lambda _: False,
    "--topic freelancer-registered --topic badge-earned": lambda row: (
        row["topic"] in {"freelancer-registered", "badge-earned"}
    ),
    "--freelancer f-7": lambda row: (
        row["freelancer_id"] == "f-7" or any(change["freelancer_id"] == "f-7" for change in row["changes"])
    ),
    "--job j-3": lambda row: row["job_id"] == "j-3",
    "--job j-3 --outcome declined": lambda row: row["job_id"] == "j-3" and row["outcome"] == "declined",
    "--freelancer f-404": lambda _: False,
    "--rule grant.rating": lambda _: False,
}


async def found(connects: Asking, options: str) -> list[int]:
    answer = await connects(f"log find --format jsonl {options}".strip())
    seqs = [json.loads(line)["seq"] for line in answer.out.splitlines()]
    assert answer.code == (0 if seqs else 1), answer.err
    return seqs


@pytest.mark.parametrize("rows_held", [2_000, 7])
async def test_it_finds_what_a_plain_filter_finds_in_ledger_order(
    connects: Asking, rows: list[Row], rows_held: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_find, "_ROWS", rows_held)
    monkeypatch.setattr(log_find, "_FIRST_STEP", rows_held * 10)
    empty = [options for options, matches in QUERIES.items() if not any(map(matches, rows))]
    assert empty == ["--topic job-closed --offsets 5000..6000", "--freelancer f-404", "--rule grant.rating"]
    for options, matches in QUERIES.items():
        assert await found(connects, options) == [row["seq"] for row in rows if matches(row)], options


async def test_a_proposal_is_found_with_its_settlements(connects: Asking, rows: list[Row]) -> None:
    proposal = next(row["proposal_id"] for row in rows if row["kind"] == "settlement" and row["outcome"] == "applied")
    about = [row["seq"] for row in rows if row["proposal_id"] == proposal]
    assert len(about) >= 2
    assert await found(connects, f"--proposal {proposal}") == about
    one = rows[about[0] - 1]
    both = [row["seq"] for row in rows if all(row[name] == one[name] for name in ("freelancer_id", "job_id"))]
    assert await found(connects, f"--freelancer {one['freelancer_id']} --job {one['job_id']}") == both


async def test_decisions_are_found_by_the_release_that_decided(url: str, connects: Asking) -> None:
    """One without a name, one in two places, and this one; also together with another filter."""
    batches = await rows_of(url, "SELECT batch_no, release FROM batches ORDER BY batch_no")
    named: dict[int, str | None] = {row["batch_no"]: "0.0.9" if row["batch_no"] % 3 else None for row in batches}
    named[batches[-1]["batch_no"]] = "0.0.10"
    connection = await asyncpg.connect(url)
    await connection.execute("SET session_replication_role = replica")
    try:
        for number, release in named.items():
            await connection.execute("UPDATE batches SET release = $2 WHERE batch_no = $1", number, release)
        decisions = await rows_of(url, "SELECT seq, batch_no, outcome FROM decisions ORDER BY seq")
        for options, releases in (
            (["--release", "0.0.9"], {"0.0.9"}),
            (["--release", "before 0.2.0"], {None}),
            (["--release", "0.0.10"], {"0.0.10"}),
            (["--release", "0.0.10", "--release", "before 0.2.0"], {"0.0.10", None}),
            (["--release", "0.0.9", "--outcome", "applied"], {"0.0.9"}),
            (["--release", "9.9.9"], set()),
        ):
            expected = [
                row["seq"]
                for row in decisions
                if named[row["batch_no"]] in releases and ("applied" not in options or row["outcome"] == "applied")
            ]
            assert await found(connects, shlex.join(options)) == expected, options
            assert bool(expected) == bool(releases)
    finally:
        for row in batches:
            await connection.execute("UPDATE batches SET release = $2 WHERE batch_no = $1", *row.values())
        await connection.close()


async def test_times_are_from_and_before_in_any_zone(connects: Asking, rows: list[Row]) -> None:
    instants = sorted({row["recorded_at"] for row in rows})
    assert [row["recorded_at"] for row in rows] != sorted(row["recorded_at"] for row in rows), "no clock was set back"
    for start, end in ((instants[1], instants[4]), (instants[4], instants[5]), (instants[0], instants[-1])):
        options = f"--recorded-from {text(start)} --recorded-to {text(end)}"
        assert await found(connects, options) == [r["seq"] for r in rows if start <= r["recorded_at"] < end]
    assert await found(connects, f"--recorded-to {text(instants[0])}") == []
    occurred = sorted(row["occurred_at"] for row in rows if row["occurred_at"])
    start, end = occurred[200], occurred[600]
    expected = [r["seq"] for r in rows if r["occurred_at"] and start <= r["occurred_at"] < end]
    elsewhere = start.astimezone(tz=datetime.strptime("+0530", "%z").tzinfo)
    assert await found(connects, f"--occurred-from {text(elsewhere)} --occurred-to {text(end)}") == expected


async def test_each_format_holds_the_same_decisions(connects: Asking, rows: list[Row]) -> None:
    options = "log find --outcome rejected"
    rejected = [row for row in rows if row["outcome"] == "rejected"]
    lines = [json.loads(line) for line in (await connects(f"{options} --json")).out.splitlines()]
    told = list(csv.DictReader((await connects(f"{options} --format csv")).out.splitlines()))
    assert [line["seq"] for line in lines] == [int(row["seq"]) for row in told] == [row["seq"] for row in rejected]
    assert told[0].keys() == lines[0].keys() - {"facts"}
    for row, line, cells in zip(rejected, lines, told, strict=True):
        assert line["facts"] == json.loads(row["facts"])
        assert (
            (cells["topic"], cells["offset"]) == (row["topic"], str(row["offset"])) == (line["topic"], cells["offset"])
        )
        assert datetime.fromisoformat(cells["recorded_at"]) == row["recorded_at"]
        assert cells["reason"] == line["reason"] == row["reason"]
        assert cells["event_id"] == (row["event_id"] or "")
    table = (await connects(options)).out.splitlines()
    assert table[0].split()[0] == "seq"
    assert [int(line.split()[0]) for line in table[1:]] == [row["seq"] for row in rejected][:100]


async def test_an_amount_is_the_sum_of_the_changes(connects: Asking, rows: list[Row]) -> None:
    lines = [json.loads(line) for line in (await connects("log find --json")).out.splitlines()]
    assert [line["amount"] for line in lines] == [sum(c["delta"] for c in row["changes"]) for row in rows]


async def test_a_table_stops_at_a_hundred_and_says_that_there_is_more(connects: Asking) -> None:
    answer = await connects("log find")
    assert len(answer.out.splitlines()) == 101
    assert "more decisions match: --limit 200" in answer.err
    answer = await connects("log find --format jsonl --limit 3")
    assert [json.loads(line)["seq"] for line in answer.out.splitlines()] == [1, 2, 3]
    rejected = await connects("log find --outcome rejected --limit 100000")
    assert rejected.err == ""


async def test_a_selection_names_its_ledger_and_query_and_each_decision(
    url: str, connects: Asking, rows: list[Row]
) -> None:
    answer = await connects("log find --rule grant.badge --outcome applied --selection badges.jsonl")
    assert (answer.code, answer.err) == (0, "")
    header, *lines = map(json.loads, (connects.folder / "badges.jsonl").read_text().splitlines())
    expected = [row for row in rows if row["rule"] == "grant.badge" and row["outcome"] == "applied"]
    assert answer.out == f"badges.jsonl: {len(expected)} decisions\n"
    (leader,) = await rows_of(url, "SELECT ledger_id::text FROM leader")
    assert header["ledger_id"] == leader["ledger_id"]
    assert header["query"] == {"rules": ["grant.badge"], "outcomes": ["applied"]}
    assert abs(datetime.fromisoformat(header["made_at"]) - datetime.now(UTC)) < timedelta(minutes=1)
    assert header["through_seq"] == rows[-1]["seq"]
    assert [(line["seq"], line["topic"], line["event_id"]) for line in lines] == [
        (row["seq"], "badge-earned", row["event_id"]) for row in expected
    ]
    assert [path.name for path in connects.folder.iterdir()] == ["badges.jsonl"]


async def test_a_selection_replaces_no_file_and_is_never_empty(connects: Asking) -> None:
    (connects.folder / "mine").write_text("kept")
    answer = await connects("log find --selection mine")
    assert (answer.code, answer.err.count("\n")) == (2, 1)
    assert "mine exists already" in answer.err
    assert (connects.folder / "mine").read_text() == "kept"
    answer = await connects("log find --freelancer f-404 --selection none")
    assert (answer.code, answer.err) == (1, "no decision matches\n")
    answer = await connects("log find --selection nowhere/file")
    assert answer.code == 2
    assert answer.err.count("\n") == 1
    assert [path.name for path in connects.folder.iterdir()] == ["mine"]


async def test_ctrl_c_ends_it_at_once_and_leaves_no_file(url: str, connects: Asking) -> None:
    connection, watching = await asyncpg.connect(url), await asyncpg.connect(url)
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"

    async def waits() -> bool:
        return bool(await watching.fetchval(waiting))

    transaction = connection.transaction()
    await transaction.start()
    await connection.execute("LOCK TABLE decisions IN ACCESS EXCLUSIVE MODE")
    try:
        process = await connects.start("log find --selection half")
        await until_async(waits)
        assert (connects.folder / "half.unfinished").exists()
        process.send_signal(signal.SIGINT)
        out, err = await in_time(process.communicate())
    finally:
        await transaction.rollback()
        await connection.close()
        await watching.close()
    assert (process.returncode, out) == (130, b"")
    assert b"Traceback" not in err
    assert list(connects.folder.iterdir()) == []


async def test_a_long_search_says_how_far_it_is(
    connects: Asking, rows: list[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.pace.PROGRESS_SECONDS", 0.0)
    answer = await connects("log find --format jsonl --rule grant.rating")
    *progress, last = answer.err.splitlines()
    assert progress[-1] == f"read up to decision {len(rows):,} of {len(rows):,}; 0 match so far"
    assert last == "no decision matches"


async def test_no_statement_holds_a_snapshot_while_its_reader_pauses(url: str) -> None:
    snapshots = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND backend_xmin IS NOT NULL"
    watching = await asyncpg.connect(url)
    async with aclosing(log_find.find(url, LogQuery(), 10)) as pages:
        opening, page = await anext(pages), await anext(pages)
        assert (opening.found, [decision.seq for decision in page.found]) == ([], list(range(1, 11)))
        assert await watching.fetchval(f"{snapshots} AND pid <> pg_backend_pid()") == 0
    await watching.close()


async def test_a_reader_that_ends_early_is_not_taken_for_postgresql(connects: Asking) -> None:
    process = await connects.start("log find --format jsonl")
    await process.stdout.readline()
    process.stdout._transport.close()  # type: ignore[attr-defined]  # noqa: SLF001 - as `head` does
    err = (await in_time(process.stderr.read())).decode()
    assert (await process.wait(), err) == (1, "")


async def test_an_empty_ledger_has_nothing_to_find(database_url: str, tmp_path: Path) -> None:
    for options in ("", "--recorded-from 2026-01-01T00:00:00Z", "--topic job-closed --offsets 1..2", "--job j-1"):
        answer = await asking(database_url, tmp_path)(f"log find {options}".strip())
        assert (answer.code, answer.out, answer.err) == (1, "", "no decision matches\n")


async def test_the_span_of_a_time_is_read_by_its_index(url: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute("SET enable_seqscan = off")
    statement = load("log.sql")["recorded_between"].replace("$1", "now()").replace("$2", "now()")
    plan = await connection.fetch(f"EXPLAIN {statement}")
    assert any("batches_by_recorded_at" in row[0] for row in plan), plan
    await connection.close()
