"""A ledger on PostgreSQL decided again: as one part, as several, and one freelancer or job by itself."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.kit.asking import Asking
from tests.kit.deciding import as_read, deciding
from tests.kit.deciding_again import Found, decide_again
from tests.kit.histories import History
from tests.kit.policies import policies
from tests.kit.stacks import copy_template, new_ledger
from tests.kit.story import day
from tests.property.played import in_order
from tests.property.test_deciding_again import decided, more_each_month, refunds_that_last_longer
from tests.property.test_writer_against_reference import Running, decide
from tests.property.test_writer_found_before import Timeline
from tests.property.variety import POLICIES
from worker.domain.model import FreelancerId
from worker.domain.rules import refunds
from worker.embedded.stack import LocalStack
from worker.ledger.connections import COMMAND_SESSION, Connection, connect
from worker.proof import reader
from worker.proof.again import Again
from worker.proof.checks import Ground, Progress, Range, run_checks
from worker.proof.explained_again import AllAbout
from worker.proof.explained_again import decide_again as decide_named
from worker.proof.memory_reader import MemoryReader
from worker.proof.movements_check import movements_check
from worker.proof.parts import Part
from worker.proof.passes import decide_ledger_again
from worker.proof.reader import PostgresReader
from worker.proof.run import decide_part
from worker.proof.state_rows import PostgresRows
from worker.queries.explain import explain_freelancer
from worker.queries.explained import DecidedAgain
from worker.release import release
from worker.replies.recorded import DecisionRecord

POLICY = "claw-back"
MIX = {"propose": 40.0, "close": 15.0, "hire": 20.0}
HISTORY = History(3, freelancers=25, jobs=30, events=900, late=0.3, late_by=timedelta(days=3), poison=0.03, mix=MIX)
HOW = Running(cuts=((300, True),), batch_size=40, days_more=400)


@pytest.fixture(scope="module")
def ledger_url(shared_stack: LocalStack) -> str:
    """A ledger with two months of a marketplace, and with what followed for a year."""
    url = new_ledger(shared_stack, "decided_again")
    asyncio.run(_filled(url))
    return url


async def _filled(url: str) -> None:
    rows = in_order(list(HISTORY), POLICIES[POLICY])
    end = max(row["business_time"] for row in rows if row["business_time"])
    async with deciding(url, policies(POLICIES[POLICY]), batch_size=HOW.batch_size) as decides:
        decides.add_policies()
        await decides.writer.advance({})
        await decide(decides, as_read(rows), HOW, end)


async def again_on_postgresql(url: str, parts: int = 1, chunk: int = 300) -> Found:
    connection = await connect(url, COMMAND_SESSION)
    try:
        return await decide_again(PostgresReader(connection, chunk), parts, PostgresRows(connection))
    finally:
        await connection.close()


async def one_part(url: str, part: Part) -> Again:
    connection = await connect(url, COMMAND_SESSION)
    try:
        reader, again = PostgresReader(connection), Again()
        found = [one async for one in decide_part(reader, part, await reader.end(), again)]
        assert not found, found
        return again
    finally:
        await connection.close()


WRITTEN_BY_AN_EARLIER_RELEASE = """UPDATE batches SET release = NULL, grace_seconds = NULL, skew_seconds = NULL,
    policy_versions = NULL, time_before = NULL, salt = NULL, closures_worked = NULL, released_void = NULL
    WHERE batch_no <= $1"""


WRITTEN_BY_OTHERS = "UPDATE batches SET release = CASE WHEN batch_no <= $1 THEN '0.1.8' ELSE $2 END"


async def rows_of(url: str, statement: str, *arguments: object) -> list[Any]:
    connection = await asyncpg.connect(url)
    try:
        return list(await connection.fetch(statement, *arguments))
    finally:
        await connection.close()


@pytest.mark.parametrize(("parts", "chunk"), [(1, 2_000), (1, 7), (3, 50)])
async def test_nothing_is_found_and_every_decision_is_looked_at_once(ledger_url: str, parts: int, chunk: int) -> None:
    found = await again_on_postgresql(ledger_url, parts, chunk)
    ((decisions,),) = await rows_of(ledger_url, "SELECT count(*) FROM decisions")
    assert not found.findings, str(found)
    assert found.tally.decisions + found.tally.inputs == decisions
    assert (found.tally.older, found.tally.skipped, found.tally.words) == (0, 0, 0)
    assert (found.tally.row_count, found.tally.not_compared) == (0, 0), str(found)
    tables = ("lots", "spends", "memberships", "charges", "closures", "hires", "held", "awaiting", "due")
    counted = [(await rows_of(ledger_url, f"SELECT count(*) FROM {table}"))[0][0] for table in tables]  # noqa: S608
    assert found.tally.compared == sum(counted)


@pytest.mark.parametrize("change", [more_each_month, refunds_that_last_longer])
async def test_the_same_is_found_as_in_memory(ledger_url: str, change: Any, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ANN401
    in_memory = MemoryReader(await decided(list(HISTORY), POLICY, HOW))
    change(monkeypatch)
    expected = await decide_again(in_memory)
    assert expected.findings
    for parts in (1, 4):
        found = await again_on_postgresql(ledger_url, parts)
        assert found.tally.counts == expected.tally.counts
        assert {one.seq: one.differences for one in found.findings} == {
            one.seq: one.differences for one in expected.findings
        }


async def test_one_freelancer_is_decided_again_by_index(ledger_url: str) -> None:
    names = await rows_of(ledger_url, "SELECT DISTINCT freelancer_id FROM decisions WHERE freelancer_id IS NOT NULL")
    total = 0
    for (name,) in names:
        again = await one_part(ledger_url, Part(freelancer=name))
        total += again.tally.decisions + again.tally.inputs
    query = """SELECT count(*) FROM decisions WHERE freelancer_id IS NOT NULL AND topic IS DISTINCT FROM 'hire-made'"""
    assert total == (await rows_of(ledger_url, query))[0][0]


async def test_one_jobs_closures_and_hires_are_decided_again_by_index(ledger_url: str) -> None:
    query = """
        SELECT job_id, count(*) FILTER (WHERE topic = 'hire-made' OR topic = 'job-closed' AND freelancer_id IS NULL)
        FROM decisions WHERE job_id IS NOT NULL GROUP BY job_id"""
    for job_id, decisions in await rows_of(ledger_url, query):
        again = await one_part(ledger_url, Part(job=job_id))
        assert again.tally.decisions + again.tally.inputs == decisions


async def test_batches_older_than_the_stored_settings_are_counted_apart(shared_stack: LocalStack) -> None:
    """Their lateness and due instants are not compared; everything else is."""
    url = await copy_template(shared_stack, "decided_again_older")
    await _filled(url)
    ((decisions, last),) = await rows_of(url, "SELECT count(*), max(batch_no) FROM decisions")
    await rows_of(url, WRITTEN_BY_AN_EARLIER_RELEASE, last // 2)
    for parts in (1, 3):
        found = await again_on_postgresql(url, parts)
        assert not found.findings, str(found)
        assert 0 < found.tally.older < decisions
        assert found.tally.row_count == 0, str(found)


# connects explain --again


@pytest.fixture
def connects(ledger_url: str, tmp_path: Path) -> Asking:
    return Asking(tmp_path, DATABASE_URL=ledger_url, KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1")


async def test_explain_again_says_that_this_release_decides_the_same(connects: Asking) -> None:
    answer = await connects("explain --freelancer f-3 --again --json")
    assert answer.code == 0
    decided = {one["seq"]: one for one in answer.json["again"]}
    assert decided.keys() == {decision["seq"] for decision in answer.json["decisions"]}
    assert {one["verdict"] for one in decided.values()} <= {"same", "input"}
    same = next(one for one in decided.values() if one["verdict"] == "same")
    assert (same["decided_by"], same["release"], same["differences"]) == (release(), release(), [])
    page = await connects("explain --freelancer f-3 --again --last 2")
    assert f"Release {release()} decides the same, as release {release()} did." in page.text


async def test_explain_again_shows_what_this_release_decides_otherwise(
    connects: Asking, ledger_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = "SELECT event_id, proposal_id FROM decisions WHERE reason = 'closed-without-hire' ORDER BY seq DESC LIMIT 1"
    ((event_id, proposal_id),) = await rows_of(ledger_url, query)
    refunds_that_last_longer(monkeypatch)
    for asked in (f"explain --proposal {proposal_id}", f"explain {event_id} --topic job-closed"):
        answer = await connects(f"{asked} --again --json")
        assert answer.code == 1
        differs = [one for one in answer.json["again"] if one["verdict"] == "differs"]
        assert all("No release lies between" in one["explanation"] for one in differs)
        assert "facts.graced" in {difference["field"] for one in differs for difference in one["differences"]}
        assert f"Release {release()} decides otherwise" in (await connects(f"{asked} --again")).text
    assert "again" not in (await connects(f"explain --proposal {proposal_id} --json")).json


async def test_explain_again_names_since_which_release_it_differs(
    shared_stack: LocalStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Release 0.1.8 wrote the ledger, and then 0.1.9 or none."""
    url = await copy_template(shared_stack, "decided_again_releases")
    await _filled(url)
    query = "SELECT proposal_id, batch_no, seq FROM decisions WHERE reason = 'closed-without-hire' ORDER BY seq LIMIT 1"
    ((proposal_id, batch_no, seq),) = await rows_of(url, query)
    ((after,),) = await rows_of(url, "SELECT last_seq FROM batches WHERE batch_no = $1", batch_no)
    refunds_that_last_longer(monkeypatch)
    connects = Asking(tmp_path, DATABASE_URL=url, KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1")
    for release_of_later, since, words in (
        ("0.1.9", "0.1.9", f"It differs since release 0.1.9 or a later one, which decided from {after + 1} on."),
        ("0.1.8", None, f"It differs since release {release()}, or one before it that decided nothing here."),
    ):
        await rows_of(url, WRITTEN_BY_OTHERS, batch_no, release_of_later)
        answer = await connects(f"explain --proposal {proposal_id} --again --json")
        (one,) = [one for one in answer.json["again"] if one["seq"] == seq]
        assert (answer.code, one["verdict"], one["decided_by"], one["since"]) == (1, "differs", "0.1.8", since)
        assert one["explanation"].endswith(words)


async def test_explain_again_decides_a_hire_with_the_wallets_that_lost_a_refund(
    connects: Asking, ledger_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = """SELECT d.event_id FROM decisions d JOIN changes c ON c.decision_seq = d.seq
        WHERE c.rule = 'refund.clawed-back' ORDER BY d.seq LIMIT 1"""
    ((event_id,),) = await rows_of(ledger_url, query)
    (one,) = (await connects(f"explain {event_id} --topic hire-made --again --json")).json["again"]
    assert one["verdict"] == "same"
    monkeypatch.setattr(refunds, "_lines_to_take", lambda _: [])
    (one,) = (await connects(f"explain {event_id} --topic hire-made --again --json")).json["again"]
    assert one["verdict"] == "differs"


async def told_of_all(connection: Connection) -> dict[str, Sequence[DecisionRecord]]:
    """The decisions about each freelancer."""
    names = await connection.fetch("SELECT DISTINCT freelancer_id FROM decisions WHERE freelancer_id IS NOT NULL")
    found = {}
    for (name,) in names:
        found[name] = (await explain_freelancer(connection, name, policies(POLICIES[POLICY]), day(0))).found.decisions
    return found


async def answers_again(
    connection: Connection,
    monkeypatch: pytest.MonkeyPatch,
    told: dict[str, Sequence[DecisionRecord]],
    *,
    least: int,
    is_known: bool = False,
) -> dict[str, list[DecidedAgain]]:
    """The last decisions of each freelancer decided again, where leaving out is worth it from that many earlier ones.

    Those up to the end, and up to each hire that took refunds back of several. `is_known`: what decides them again is
    given all that were read.
    """
    monkeypatch.setattr(reader, "_WORTH_LEAVING_OUT", least)
    found = {}
    for name, decisions in told.items():
        about = AllAbout(name, decisions) if is_known else None
        hires = [place for place, one in enumerate(decisions, 1) if len(one.changes) > 1 and one.topic == "hire-made"]
        for place in (len(decisions), *hires):
            found[f"{name} to {place}"] = await decide_named(connection, decisions[max(0, place - 8) : place], about)
    return found


@pytest.fixture
async def connection(ledger_url: str) -> AsyncIterator[Connection]:
    connection = await connect(ledger_url, COMMAND_SESSION)
    yield connection
    await connection.close()


@pytest.mark.parametrize("change", [None, refunds_that_last_longer, more_each_month])
async def test_the_last_decisions_are_decided_again_without_the_earlier_ones(
    connection: Connection,
    monkeypatch: pytest.MonkeyPatch,
    change: Any,  # noqa: ANN401
) -> None:
    if change is not None:
        change(monkeypatch)
    told = await told_of_all(connection)
    expected = await answers_again(connection, monkeypatch, told, least=10**9)
    assert len(expected) > len(told), "no hire took refunds back of several"
    verdicts = {one.verdict for answers in expected.values() for one in answers}
    assert ({"same"} if change is None else {"same", "differs"}) <= verdicts
    for is_known in (True, False):
        assert await answers_again(connection, monkeypatch, told, least=1, is_known=is_known) == expected


ALTERED = {
    "movements": "UPDATE changes SET movements = replace(movements::text, '-', '-1')::json WHERE version = 4",
    "balance": "UPDATE changes SET balance_after = balance_after + 1 WHERE version = 5",
    "version": "UPDATE changes SET version = version + 1000 WHERE version = 6",
    "larger lot": "UPDATE lots SET original = original + 1 WHERE lot_id LIKE '%:2'",
    "smaller lot": "UPDATE lots SET original = 1, remaining = 0 WHERE lot_id LIKE '%:2'",
    "later lot": "UPDATE lots SET expires_at = expires_at + interval '1 year' WHERE lot_id LIKE '%:1'",
    "movements that are none": "UPDATE changes SET movements = '{\"x\": 1}' WHERE version = 3",
    "a key that is none": "UPDATE changes SET natural_key = natural_key || '//again:x' WHERE version = 2",
    "lost lot": "DELETE FROM lots WHERE lot_id LIKE '%:1'",
    "outcome": "UPDATE decisions SET outcome = 'declined' WHERE topic = 'proposal-submitted' AND outcome = 'applied'",
}


@pytest.mark.parametrize("altered", ALTERED)
async def test_of_a_ledger_that_was_altered_the_last_decisions_are_answered_the_same(
    connection: Connection, monkeypatch: pytest.MonkeyPatch, altered: str
) -> None:
    told = await told_of_all(connection)
    altering = connection.transaction()
    await altering.start()
    await connection.execute(f"SET LOCAL session_replication_role = replica; {ALTERED[altered]}")
    expected = await answers_again(connection, monkeypatch, told, least=10**9)
    found = await answers_again(connection, monkeypatch, told, least=1)
    await altering.rollback()
    assert found == expected


async def test_verify_up_to_the_middle_of_a_trigger_finds_nothing(connects: Asking, ledger_url: str) -> None:
    """The parts of a cycle start, and what had waited for an event, are compared together."""
    query = """SELECT a.seq FROM decisions a JOIN decisions b ON b.seq = a.seq + 1 AND b.batch_no = a.batch_no
        WHERE (a.kind = 'clock' AND b.kind = 'clock' AND a.freelancer_id = b.freelancer_id
               AND a.business_time = b.business_time AND a.event_id LIKE '%:20%' AND b.event_id LIKE '%:20%')
           OR (b.kind = 'follow-up' AND a.topic = 'proposal-submitted') ORDER BY a.kind, a.seq"""
    middles = [row[0] for row in await rows_of(ledger_url, query)]
    assert len(middles) > 2
    for seq in (middles[0], middles[len(middles) // 2], middles[-1]):
        assert (await connects(f"verify --to {seq}")).out == "All is as it was written.\n", seq


# The whole ledger, in passes and processes.


async def test_passes_and_processes_find_the_same(ledger_url: str) -> None:
    ((decisions,),) = await rows_of(ledger_url, "SELECT count(*) FROM decisions")
    looked_at: list[int] = []
    for jobs, per_pass in ((1, 10_000), (1, 500), (2, 700)):
        tally = await decide_ledger_again(ledger_url, jobs=jobs, per_pass=per_pass, advance=looked_at.append)
        assert tally.decisions + tally.inputs == decisions == sum(looked_at)
        assert not tally.counts
        looked_at.clear()


async def test_lots_debts_and_balances_are_what_the_movements_make(ledger_url: str) -> None:
    ground, advanced = (
        Ground(ledger_url, Range(), Progress()),
        await rows_of(ledger_url, "SELECT count(*) FROM wallets"),
    )
    assert [finding async for finding in run_checks([movements_check()], ground)] == []
    assert ground.progress.done == advanced[0][0] > 0


async def test_a_closure_without_spends_that_the_last_batch_settled_is_settled(database_url: str) -> None:
    """That batch has no decision: it comes after all of them."""
    timeline = Timeline()
    async with deciding(database_url, policies()) as decides:
        decides.add_policies()
        await decides.decide([timeline.closed(day(0))])
        await decides.commit()
        for settled in (False, True):
            tally = await decide_ledger_again(database_url, rows=True)
            assert (tally.row_count, tally.rows, tally.counts.total()) == (0, [], 0)
            assert await rows_of(database_url, "SELECT settled FROM closures") == [(settled,)]
            await decides.until(day(1))


async def test_of_a_spend_that_came_after_its_closure_was_settled_that_is_found(database_url: str) -> None:
    """The batch that says so has no decision about that freelancer or job."""
    timeline = Timeline()
    async with deciding(database_url, policies()) as decides:
        decides.add_policies()
        await decides.decide([timeline.registered(day(-1)), timeline.closed(day(0))])
        await decides.commit()
        await decides.until(day(1))
        await decides.decide([timeline.proposed(day(0) - timedelta(hours=1), 5, read=day(2))])
        await decides.until(day(3))
    ((settled,),) = await rows_of(database_url, "SELECT count(*) FROM decisions WHERE kind = 'settlement'")
    again = await one_part(database_url, Part(freelancer=FreelancerId("f-1")))
    assert (settled, again.tally.decisions) == (1, 3)
