"""`history --as-of`, `history --known-at` and `balances`: another time, compared with what was read then."""

import asyncio
import csv
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.kit.asking import Asking
from tests.kit.decided import POLICY, asking, decide_history, rows_of
from tests.kit.deciding import WALL_CLOCK, Deciding, deciding
from tests.kit.histories import START, History
from tests.kit.policies import policies
from tests.kit.stacks import new_ledger
from tests.kit.telling import event, read_rows
from worker.embedded.stack import LocalStack
from worker.queries import balances as sums
from worker.queries.as_of import history_known_at, known_through
from worker.queries.balances import Balances, balances, outstanding, totals_that_disagree
from worker.queries.history import history

Row = dict[str, Any]
FREELANCERS = [f"f-{number}" for number in range(1, 16)]
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
FIELDS = ("balance", "version", "overdrawn", "lots", "changes")
MEMBERSHIP = ("plan", "cycle_start", "next_renewal_on", "scheduled_plan", "suspended", "version")


@dataclass
class Reading:
    """What was read from the ledger at one instant of the wall clock."""

    at: datetime
    wallets: dict[str, Any]
    balances: Balances
    sum_of_balances: int


@dataclass
class Readings:
    url: str
    taken: list[Reading] = field(default_factory=list)

    async def take(self, decides: Deciding, at: datetime | None) -> None:
        assert decides is not None
        assert at is not None
        connection = await asyncpg.connect(self.url)
        wallets = {name: await history(connection, name, policies=policies(POLICY)) for name in FREELANCERS}
        total = await connection.fetchval("SELECT coalesce(sum(balance), 0) FROM wallets")
        self.taken.append(Reading(at, wallets, await read_balances(connection, None), int(total)))
        await connection.close()


async def read_balances(connection: asyncpg.Connection, at: datetime | None) -> Balances:
    async for summing in outstanding(connection, at):
        done = summing
    return await balances(connection, at, done, None)


@pytest.fixture(scope="module")
def readings(shared_stack: LocalStack) -> Readings:
    """A month with memberships and what is late, and more than a year after it, in which lots expire."""
    taken = Readings(new_ledger(shared_stack, "as_of"))
    records = list(
        History(23, freelancers=40, events=1_200, jobs=80, late=0.08, mix={"choose_plus": 12.0, "suspend": 3.0})
    )
    until = START + timedelta(days=420)
    asyncio.run(decide_history(taken.url, records, set_back=False, until=until, after_part=taken.take))
    return taken


@pytest.fixture
def connects(readings: Readings, tmp_path: Path) -> Asking:
    return asking(readings.url, tmp_path)


async def test_what_is_known_at_a_time_is_what_was_read_then(readings: Readings) -> None:
    connection = await asyncpg.connect(readings.url)
    compared = members = held = 0
    for reading in readings.taken:
        for name, then in reading.wallets.items():
            known = await history_known_at(connection, name, reading.at)
            assert (known is None) == (then is None), (name, reading.at)
            if known is None:
                continue
            for one in FIELDS:
                assert getattr(known, one) == getattr(then, one), (name, reading.at, one)
            assert known.membership_stored
            assert _shown(known.membership) == _shown(then.membership), (name, reading.at)
            compared, members = compared + 1, members + (known.membership is not None)
            held += len(known.lots)
            assert known.final == (reading.at < WALL_CLOCK)
    await connection.close()
    assert compared > 100
    assert members > 50
    assert held > 200


def _shown(membership: Any) -> tuple[Any, ...] | None:  # noqa: ANN401
    return None if membership is None else tuple(getattr(membership, name) for name in MEMBERSHIP)


async def test_between_two_batches_the_earlier_one_is_known(readings: Readings) -> None:
    connection = await asyncpg.connect(readings.url)
    first, second = readings.taken[3], readings.taken[4]
    middle = first.at + (second.at - first.at) / 2
    assert await known_through(connection, middle) == await known_through(connection, first.at)
    assert await known_through(connection, second.at) > await known_through(connection, first.at) > 0
    assert await known_through(connection, readings.taken[0].at - timedelta(days=3)) == 0
    long_ago = datetime(1, 1, 1, tzinfo=UTC)
    assert await known_through(connection, long_ago) == 0
    much_later = WALL_CLOCK + timedelta(days=100)
    assert await known_through(connection, much_later) == await known_through(connection, WALL_CLOCK)
    await connection.close()


@pytest.mark.parametrize("step", [20_000, 7])
async def test_balances_of_a_time_are_what_they_were_then(
    readings: Readings, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sums, "_FIRST_STEP", step)
    monkeypatch.setattr(sums, "_MOST_STEP", step * 10)
    connection = await asyncpg.connect(readings.url)
    for reading in readings.taken:
        then = await read_balances(connection, reading.at)
        assert then.rows == reading.balances.rows, reading.at
        assert then.total == reading.balances.total == reading.sum_of_balances
        assert await sums.sum_of_balances(connection, then.through_seq) == reading.sum_of_balances
        assert then.total == sum(row.connects for row in then.rows)
    await connection.close()
    all_rows = [row for reading in readings.taken for row in reading.balances.rows]
    assert {"debt", "purchase", "monthly", "refund"} & {row.source for row in all_rows} >= {"debt", "purchase"}
    assert all((row.connects < 0) == (row.source == "debt") for row in all_rows)
    assert len({row.ends_in for row in all_rows}) > 3


async def test_the_commands_print_the_same_in_each_format(readings: Readings, connects: Asking) -> None:
    reading = readings.taken[5]
    at = reading.at.isoformat()
    told = (await connects(f"balances --known-at {at} --json")).json
    assert told["total"] == reading.sum_of_balances
    assert told["final"] is True
    table = list(csv.DictReader((await connects(f"balances --known-at {at} --format csv")).out.splitlines()))
    assert [(row["source"], row["ends_in"] or None, int(row["connects"])) for row in table] == [
        (row["source"], row["ends_in"], row["connects"]) for row in told["rows"]
    ]
    page = await connects(f"balances --known-at {at}")
    assert f"{told['total']} Connects outstanding as known at" in page.text
    by_source = (await connects(f"balances --known-at {at} --by source --json")).json["rows"]
    by_month = (await connects(f"balances --known-at {at} --by expiry-month --json")).json["rows"]
    assert {row["ends_in"] for row in by_source} == {None}
    assert {row["source"] for row in by_month} <= {None, "debt"}
    assert sum(row["connects"] for row in by_source) == sum(row["connects"] for row in by_month) == told["total"]
    for source in {row["source"] for row in told["rows"]}:
        expected = sum(row["connects"] for row in told["rows"] if row["source"] == source)
        assert [row["connects"] for row in by_source if row["source"] == source] == [expected]
    now = (await connects("balances --json")).json
    assert (now["known_at"], now["total"]) == (None, readings.taken[-1].sum_of_balances)


async def test_history_known_at_is_printed_for_people_and_programs(readings: Readings, connects: Asking) -> None:
    reading = readings.taken[6]
    name = next(name for name, then in reading.wallets.items() if then and then.membership and len(then.changes) > 3)
    then = reading.wallets[name]
    told = (await connects(f"history {name} --known-at {reading.at.isoformat()} --json")).json
    assert (told["balance"], told["version"]) == (then.balance, then.version)
    assert [lot["remaining"] for lot in told["lots"]] == [lot.remaining for lot in then.lots]
    assert len(told["changes"]) == len(then.changes)
    assert told["membership"]["plan"] == then.membership.plan
    page = await connects(f"history {name} --known-at {reading.at.isoformat()} --last 2")
    assert f"the ledger said: {name} has {then.balance} Connects." in page.text
    assert f"The plan was {then.membership.plan.capitalize()}." in page.text
    assert f"The last 2 of {then.version} changes." in page.text
    early = readings.taken[0].at - timedelta(days=1)
    unknown = await connects(f"history {name} --known-at {early.isoformat()}")
    assert (unknown.code, unknown.err) == (1, "")
    assert unknown.text.startswith(f"We had nothing on record about the freelancer {name} at ")


async def test_as_of_adds_up_what_had_taken_effect(readings: Readings, connects: Asking) -> None:
    for name in FREELANCERS[:4]:
        changes = await rows_of(
            readings.url, "SELECT * FROM changes WHERE freelancer_id = $1 ORDER BY occurred_at, version", name
        )
        for at in (changes[0]["occurred_at"], changes[len(changes) // 2]["occurred_at"], START - timedelta(days=1)):
            told = (await connects(f"history {name} --as-of {at.isoformat()} --json")).json
            expected = [change for change in changes if change["occurred_at"] <= at]
            assert [change["version"] for change in told["changes"]] == [change["version"] for change in expected]
            assert told["balance"] == sum(change["delta"] for change in expected)
            running = [sum(change["delta"] for change in expected[: place + 1]) for place in range(len(expected))]
            assert [change["balance_by_then"] for change in told["changes"]] == running
            short = (await connects(f"history {name} --as-of {at.isoformat()} --json --last 1")).json
            assert (short["balance"], short["of_all"]) == (told["balance"], len(expected))
            assert short["changes"] == told["changes"][-1:]


async def test_a_late_event_changes_the_past_by_effect_and_not_as_it_was_known(
    database_url: str, tmp_path: Path
) -> None:
    connects = asking(database_url, tmp_path)

    def bought(number: int, hours: float, read_at: float) -> list[Any]:
        at, read = (NOON + timedelta(hours=hour) for hour in (hours, read_at))
        fields = {"freelancer_id": "f-1", "purchase_id": f"b-{number}", "connects": number}
        return read_rows([event("connects-purchased", at, read_at=read, **fields)], first=number)

    async with deciding(database_url, policies()) as decides:
        decides.wall_clock = first = WALL_CLOCK - timedelta(hours=9)
        await decides.decide(bought(10, 1, 1))
        await decides.commit()
        at = (NOON + timedelta(hours=2)).isoformat()
        early = (await connects(f"history f-1 --as-of {at} --json")).json
        assert (early["balance"], early["may_still_change"]) == (10, True)
        assert early["explanation"] == ("It may still change: the input is read up to 13:00:00 UTC on 1 March 2026.")
        decides.wall_clock = WALL_CLOCK
        await decides.decide(bought(5, 1.5, 3))
        await decides.commit()
    late = (await connects(f"history f-1 --as-of {at} --json")).json
    assert late["balance"] == 15
    assert late["explanation"] == (
        "All input up to then is read. It may still change: an event that arrives late counts from its own time."
    )
    before_all = (await connects("history f-1 --as-of 1999-12-31T23:59:59Z --json")).json
    assert (before_all["balance"], before_all["may_still_change"]) == (0, False)
    assert before_all["explanation"].startswith(
        "It will not change: an event dated before 00:00:00 UTC on 1 January 2000"
    )
    page = await connects(f"history f-1 --as-of {at}")
    assert page.out.startswith("By what had taken effect at 14:00:00 UTC on 1 March 2026, f-1 has 15 Connects.\n")
    known = (await connects(f"history f-1 --known-at {first.isoformat()} --json")).json
    assert (known["balance"], known["version"], known["final"]) == (10, 1, True)
    last = await connects(f"history f-1 --known-at {WALL_CLOCK.isoformat()}")
    assert "Nothing was recorded later, so what is recorded next may still count." in last.text
    assert (await connects(f"history f-404 --as-of {at}")).code == 1


async def test_all_sums_of_a_sound_ledger_agree_and_a_wrong_one_is_found(readings: Readings) -> None:
    connection = await asyncpg.connect(readings.url)
    assert [words async for words in totals_that_disagree(connection)] == []
    wrong = {
        "All lots less all debts make": "UPDATE lots SET remaining = remaining {} 1 WHERE (freelancer_id, lot_id) ="
        " (SELECT freelancer_id, lot_id FROM lots WHERE open AND remaining BETWEEN 2 AND original - 2"
        " ORDER BY 1, 2 LIMIT 1)",
        "The movements of all changes up to decision": "UPDATE changes SET balance_after = balance_after {} 1"
        " WHERE (freelancer_id, version) = (SELECT freelancer_id, max(version) FROM changes WHERE freelancer_id = 'f-3'"
        " GROUP BY 1)",
    }
    await connection.execute("SET session_replication_role = replica")
    for words, statement in wrong.items():
        await connection.execute(statement.format("+"))
        (found,) = [words async for words in totals_that_disagree(connection)]
        assert found.startswith(words)
        await connection.execute(statement.format("-"))
    assert [words async for words in totals_that_disagree(connection)] == []
    await connection.close()


async def test_an_empty_ledger_has_nothing_outstanding(database_url: str, tmp_path: Path) -> None:
    connects = asking(database_url, tmp_path)
    for options in ("", " --known-at 2026-03-14T09:00:00Z"):
        told = (await connects(f"balances --json{options}")).json
        assert (told["total"], told["rows"], told["through_seq"]) == (0, [], 0)
    connection = await asyncpg.connect(database_url)
    assert [words async for words in totals_that_disagree(connection)] == []
    await connection.close()


async def test_a_release_that_did_not_store_memberships_is_named(database_url: str, tmp_path: Path) -> None:
    records = list(History(23, freelancers=10, events=60, jobs=10))
    await decide_history(database_url, records)
    await rows_of(database_url, "ALTER TABLE decisions DISABLE TRIGGER ALL")
    await rows_of(database_url, "UPDATE decisions SET membership_updated = NULL")
    (member,) = await rows_of(database_url, "SELECT freelancer_id FROM memberships WHERE version > 0 LIMIT 1")
    answer = await asking(database_url, tmp_path)(f"history {member['freelancer_id']} --known-at 2999-12-31T00:00:00Z")
    assert "The release of that time did not store how the membership was." in answer.text
