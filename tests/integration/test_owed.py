"""`connects owed`: what closures owe and nobody returned. A sound ledger owes nothing, whatever waits in it."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.kit.asking import Asking
from tests.kit.decided import asking, decide_history, rows_of
from tests.kit.deciding import GRACE, Deciding, deciding
from tests.kit.histories import History
from tests.kit.policies import policies
from tests.kit.produce import by_key
from tests.kit.telling import event, read_rows
from tests.kit.world import PARTITIONS, Events, World
from worker.queries import owed_watch
from worker.queries.owed_watch import OwedWatch

Row = dict[str, Any]
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
LOSE = (
    "UPDATE spends SET base_returned = false, boost_returned = false, refunded_closing_at = NULL"
    " WHERE proposal_id = $1 RETURNING *"
)


class Small:
    """A ledger that is told one event after another, each at its hour after noon."""

    def __init__(self, decides: Deciding) -> None:
        self.decides = decides
        self._count = 0

    async def send(self, topic: str, hours: float, *, read_at: float | None = None, **fields: Any) -> None:  # noqa: ANN401
        """An event of that hour, read at another one if it is late."""
        self._count += 1
        at, read = NOON + hours * HOUR, NOON + (hours if read_at is None else read_at) * HOUR
        await self.decides.decide(read_rows([event(topic, at, read_at=read, **fields)], first=self._count))
        await self.decides.commit()

    async def apply(self, proposal: str, hours: float, **more: Any) -> None:  # noqa: ANN401
        about = {"freelancer_id": "f-1", "job_id": "j-1", "connects": 6, "origin": "proposal"}
        await self.send("proposal-submitted", hours, proposal_id=proposal, **{**about, **more})

    async def close(self, hours: float, job: str = "j-1") -> None:
        await self.send("job-closed", hours, job_id=job, client_id="c-1", closure="closed-by-client")

    async def until(self, hours: float) -> None:
        await self.decides.until(NOON + hours * HOUR)


@pytest.fixture
def connects(database_url: str, tmp_path: Path) -> Asking:
    return asking(database_url, tmp_path)


async def test_a_sound_ledger_owes_nothing_and_counts_what_was_made(database_url: str, connects: Asking) -> None:
    await decide_history(database_url, list(History(3, events=900, jobs=60, late=0.05)))
    answer = await connects("owed --json")
    assert answer.code == 0
    (made,) = await rows_of(
        database_url,
        "SELECT count(DISTINCT d.proposal_id) AS refunds FROM decisions d"
        " WHERE d.rule = 'refund.job-closed-without-hire' AND d.kind = 'settlement' AND d.outcome = 'applied'",
    )
    (jobs,) = await rows_of(database_url, "SELECT count(DISTINCT job_id) FROM closures")
    told = answer.json
    assert (told["refunds"], told["connects"], told["oldest_seconds"], told["owed"]) == (0, 0, None, [])
    assert (told["made"], told["jobs"]) == (made["refunds"], jobs["count"])
    assert told["made"] > 10
    page = await connects("owed")
    assert page.out.startswith(f"Nothing is owed. {made['refunds']} refunds of ")


async def test_a_refund_that_is_not_there_is_owed_with_its_age(database_url: str, connects: Asking) -> None:
    async with deciding(database_url, policies()) as decides:
        small = Small(decides)
        await small.send("freelancer-registered", 0, freelancer_id="f-1")
        await small.apply("p-1", 1, boost_connects=3)
        await small.apply("p-2", 1.5)
        await small.apply("p-3", 1.5, job_id="j-2")
        await small.close(2)
        await small.close(3, "j-2")
        await small.until(2 + 48)
    assert (await connects("owed")).code == 0
    assert await rows_of(database_url, LOSE, "p-1")
    answer = await connects("owed --json")
    assert answer.code == 1
    due_at = NOON + 2 * HOUR + GRACE
    [refund] = answer.json["owed"]
    assert refund == {
        "freelancer_id": "f-1",
        "job_id": "j-1",
        "proposal_id": "p-1",
        "connects": 9,
        "closure": "closed-by-client",
        "closed_at": "2026-03-01T14:00:00Z",
        "closure_seq": 5,
        "closure_event_id": "e-5",
        "due_at": due_at.isoformat().replace("+00:00", "Z"),
        "age_seconds": 48 * 3600 - GRACE.total_seconds(),
        "on_schedule": False,
        "explanation": (
            "9 Connects are owed for proposal p-1: job j-1 was closed by the client on 1 March 2026, and nobody was "
            "hired. Nothing on the worker's schedule will return it."
        ),
    }
    assert (answer.json["refunds"], answer.json["connects"], answer.json["made"]) == (1, 9, 2)
    page = await connects("owed --older-than 47h")
    assert page.code == 1
    assert "1 d 23 h 9 f-1 j-1 p-1 2026-03-01 14:00:30 no 1 refund of 9 Connects owed. 2 refunds of 12" in page.text
    codes = {
        "owed --older-than 2d": 0,
        "owed --job j-1": 1,
        "owed --job j-2": 0,
        "owed --freelancer f-1": 1,
    }
    assert {command: (await connects(command)).code for command in codes} == codes
    assert (await connects("owed --job j-2 --json")).json["made"] == 1

    assert await rows_of(database_url, LOSE, "p-3")
    both = (await connects("owed --json --limit 1")).json
    assert ([one["proposal_id"] for one in both["owed"]], both["refunds"], both["connects"]) == (["p-1"], 2, 15)
    assert "... and 1 more" in (await connects("owed --limit 1")).out


async def test_what_waits_for_its_grace_is_not_owed_yet(database_url: str, connects: Asking) -> None:
    async with deciding(database_url, policies()) as decides:
        small = Small(decides)
        await small.apply("p-1", 1)
        await small.close(2)
        assert (await rows_of(database_url, "SELECT settled FROM closures")) == [{"settled": False}]
        assert (await connects("owed")).code == 0
        await small.until(3)
        await small.apply("p-late", 1.5, read_at=4)  # it was submitted before the closing, and waits for its own grace
        assert await rows_of(database_url, "SELECT FROM due WHERE kind = 'late-settlement'")
        assert (await connects("owed")).code == 0
        await small.until(5)
        assert (await connects("owed --json")).json["made"] == 2


async def test_what_the_worker_has_not_come_to_is_on_its_schedule(database_url: str, connects: Asking) -> None:
    async with deciding(database_url, policies()) as decides:
        small = Small(decides)
        await small.apply("p-1", 1)
        await small.close(2)
        await rows_of(database_url, "UPDATE batches SET business_time = $1", NOON + 4 * HOUR)
        [refund] = (await connects("owed --json")).json["owed"]
        assert (refund["on_schedule"], refund["proposal_id"]) == (True, "p-1")
        assert refund["explanation"].endswith("The worker has not come to it yet.")
        status = (await connects("status --json")).json
        assert (status["owed"]["refunds"], status["owed"]["lost"]) == (1, 0)
        assert not any("owed" in problem["what"] for problem in status["problems"])


async def test_a_late_proposal_that_fell_off_the_schedule_is_owed(database_url: str, connects: Asking) -> None:
    async with deciding(database_url, policies()) as decides:
        small = Small(decides)
        await small.apply("p-1", 1)
        await small.close(2)
        await small.until(3)
        await small.apply("p-late", 1.5, read_at=4)
        await rows_of(database_url, "DELETE FROM due WHERE kind = 'late-settlement'")
        await decides.restart()
        await small.send("freelancer-registered", 6, freelancer_id="f-2")
    [refund] = (await connects("owed --json")).json["owed"]
    due_at = NOON + 4 * HOUR + GRACE
    assert (refund["proposal_id"], refund["due_at"]) == ("p-late", due_at.isoformat().replace("+00:00", "Z"))
    assert refund["on_schedule"] is False


async def test_status_has_a_line_and_a_problem(database_url: str, connects: Asking) -> None:
    async with deciding(database_url, policies()) as decides:
        small = Small(decides)
        await small.apply("p-1", 1)
        await small.close(2)
        await small.until(5)
    assert (await connects("status --json")).json["owed"] == {
        "refunds": 0,
        "connects": 0,
        "oldest_seconds": None,
        "lost": 0,
        "jobs": 1,
    }
    assert "refunds owed none by the closures read last (1 job)" in (await connects("status")).text
    await rows_of(database_url, LOSE, "p-1")
    owed = (await connects("status --json")).json["owed"]
    age = 3 * 3600 - GRACE.total_seconds()
    assert owed == {"refunds": 1, "connects": 6, "oldest_seconds": age, "lost": 1, "jobs": 1}
    page = await connects("status")
    assert page.code == 1
    assert "refunds owed 1 of 6 Connects, the oldest for 2 h 59 min" in page.text
    problem = "! 1 refund is owed, and nothing on the schedule will make it. See `connects owed`."
    assert problem in page.text


async def test_metrics_find_what_is_lost_lately_and_what_was_lost_long_ago(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owed_watch, "_CLOSURES", 2)
    monkeypatch.setattr(owed_watch, "_BEFORE_THE_END", 3)
    connection = await asyncpg.connect(database_url)
    watch = OwedWatch(GRACE)
    assert await watch.sample(connection) == (0, 0.0)
    async with deciding(database_url, policies()) as decides:
        small = Small(decides)
        for number in range(10):
            await small.apply(f"p-{number}", number, job_id=f"j-{number}")
            await small.close(number + 0.5, f"j-{number}")
        await small.until(11)
        watch = OwedWatch(GRACE)
        assert await watch.sample(connection) == (0, 0.0)
        await rows_of(database_url, LOSE, "p-9")  # among the last three: it is followed
        assert (await watch.sample(connection)).refunds == 1
        await rows_of(database_url, LOSE, "p-5")  # only the walk finds it, two closures a time
        counts = [(await watch.sample(connection)).refunds for _ in range(3)]
        assert counts[-1] == 2
        age = (11 - 5.5) * 3600 - GRACE.total_seconds()
        assert await watch.sample(connection) == (2, age)  # it is known from then on
        await rows_of(database_url, "UPDATE spends SET base_returned = true WHERE proposal_id IN ('p-5', 'p-9')")
        assert await watch.sample(connection) == (0, 0.0)
        await small.apply("p-new", 12, job_id="j-new")
        await small.close(12.5, "j-new")
        assert await watch.sample(connection) == (0, 0.0)  # not due yet: it is looked at again
        await small.until(13)
        await rows_of(database_url, LOSE, "p-new")
        assert (await watch.sample(connection)).refunds == 1
    await connection.close()


async def test_a_large_job_is_read_in_parts(
    database_url: str, connects: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.queries.owed._SPENDS", 3)
    async with deciding(database_url, policies()) as decides:
        small = Small(decides)
        for number in range(10):
            await small.apply(f"p-{number}", 1, freelancer_id=f"f-{number}")
        await small.close(2)
        await small.until(3)
    for number in (0, 2, 3, 9):
        await rows_of(database_url, LOSE, f"p-{number}")
    owed = (await connects("owed --json")).json["owed"]
    assert [one["proposal_id"] for one in owed] == ["p-0", "p-2", "p-3", "p-9"]


async def test_what_waits_behind_a_parked_wallet_is_not_owed(world: World, tmp_path: Path) -> None:
    bug = tmp_path / "bug"
    send = Events()
    for freelancer in ("f-bug", "f-1"):
        send("freelancer-registered", freelancer_id=freelancer)
        about = {"freelancer_id": freelancer, "job_id": "j-1", "proposal_id": f"p-{freelancer}"}
        send("proposal-submitted", **about, connects=12, origin="proposal")
    connects = world.asking(CONNECTS_SETTLEMENT_GRACE="1")
    await world.produce(send.messages, by_key(PARTITIONS))
    await world.worker(bug_while=str(bug))
    await world.settled()
    bug.touch()
    closing = send("job-closed", job_id="j-1", client_id="c-1", closure="closed-by-client")
    await world.produce([closing], by_key(PARTITIONS))
    await world.settled()
    assert await world.balance("f-1") == 40
    assert await world.value("SELECT count(*) FROM parked WHERE key = 'f-bug'") == 1
    assert (await connects("owed")).code == 0
    bug.unlink()
    released = await world.command("parked-release", {"scope": "wallet", "key": "f-bug"})
    assert released["outcome"] == "applied"
    answer = await connects("owed --json")
    assert (answer.code, answer.json["made"]) == (0, 2)


async def test_an_empty_ledger_owes_nothing(connects: Asking) -> None:
    answer = await connects("owed")
    assert (answer.code, answer.out) == (0, "Nothing is owed. 0 refunds of 0 Connects made, on 0 jobs.\n")


async def test_an_id_that_no_event_has_named_is_refused_in_one_line(database_url: str, connects: Asking) -> None:
    async with deciding(database_url, policies()) as decides:
        small = Small(decides)
        await small.apply("p-1", 1)
        await small.send("proposal-withdrawn", 2, proposal_id="p-2", freelancer_id="f-1", job_id="j-2")
    for words in ("--job j-1", "--job j-2", "--freelancer f-1"):
        assert (await connects(f"owed {words}")).code == 0, words
    for role, name in (("job", "f-1"), ("freelancer", "j-1"), ("job", "j-none")):
        answer = await connects(f"owed --{role} {name}")
        assert (answer.code, answer.out, answer.err) == (
            2,
            "",
            f"connects: no event has named the {role} '{name}' yet\n",
        )


async def test_a_worker_that_goes_on_meanwhile_makes_nothing_owed(database_url: str, connects: Asking) -> None:
    async with deciding(database_url, policies()) as decides:
        small = Small(decides)

        async def ask_again_and_again() -> set[int]:
            codes = set()
            while not done.is_set():
                codes.add((await connects("owed")).code)
            return codes

        done = asyncio.Event()
        asked = asyncio.create_task(ask_again_and_again())
        for number in range(40):
            await small.apply(f"p-{number}", number, job_id=f"j-{number % 7}")
            await small.close(number + 0.5, f"j-{number % 7}")
        await small.until(45)
        done.set()
        assert await asked == {0}
