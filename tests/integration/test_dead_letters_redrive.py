"""Dead letters are put before the worker again once their cause is repaired: each once, and it can be seen."""

import json
import signal
import uuid
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from tests.kit.asking import Asking
from tests.kit.http import free_port
from tests.kit.invariants import check_everything
from tests.kit.produce import Sent
from tests.kit.waiting import until_async
from tests.kit.world import Events, World

WHO = [f"f-{number}" for number in range(4)]
WHY = '--why "the earliest time was set wrongly"'


async def rejected_purchases(world: World, number: int = len(WHO)) -> list[int]:
    """Valid purchases that a wrong setting rejected, and a closing that is no event; the letters of the purchases."""
    happens = Events()
    an_hour_ago = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    records = [
        happens("connects-purchased", freelancer_id=f"f-{one}", purchase_id=f"b-{one}", connects=40)
        for one in range(number)
    ]
    await world.produce([*records, Sent("job-closed", b'{"job_id": 1}', partition=0), Sent("job-closed", None)])
    worker = await world.connects_run(free_port(), CONNECTS_EARLIEST_EVENT=an_hour_ago)
    await world.has_decided(number + 2)
    worker.terminate()
    assert await worker.ended() == 0
    rows = await world.rows("SELECT decision_seq FROM dead_letters WHERE topic = 'connects-purchased' ORDER BY 1")
    assert len(rows) == number
    return [row["decision_seq"] for row in rows]


async def a_leader(world: World) -> None:
    await world.leads(await world.worker())


async def value_of(world: World, letter: int) -> bytes:
    value: bytes = await world.value("SELECT value FROM dead_letters WHERE decision_seq = $1", letter)
    return value


async def is_everything_well(world: World, connects: Asking) -> None:
    await world.settled()
    verified = await connects("verify --against topics")
    assert verified.code == 0, verified
    await check_everything(world, model=False)


async def test_letters_are_redriven_once_and_it_can_be_seen(world: World) -> None:
    letters = await rejected_purchases(world)
    await a_leader(world)
    connects = world.asking()
    one = await connects(f'dead-letters redrive {letters[0]} --why "one first" --actor ann --yes')
    assert one.code == 0, one
    assert "1 dead letter redriven" in one.text
    shown = await connects(f"dead-letters show {letters[0]}")
    assert "by ann (one first): decision" in shown.text

    rest = await connects(f"dead-letters redrive --topic connects-purchased {WHY} --yes --json")
    assert rest.code == 0, rest
    assert (rest.json["letters"], rest.json["redriven_before"], rest.json["applied"]["booked"]) == (4, 1, 3)
    assert rest.json["before"][0]["redriven"]["by"] == "ann"
    await is_everything_well(world, connects)
    assert [await world.balance(who) for who in WHO] == [40] * len(WHO)

    listed = (await connects("dead-letters list --json")).json["dead_letters"]
    redriven = {one["seq"]: one["redriven"] for one in listed if one["redriven"] is not None}
    assert sorted(redriven) == letters
    assert redriven[letters[1]]["why"] == "the earliest time was set wrongly"
    event_id = json.loads(await value_of(world, letters[0]))["event_id"]
    explained = await connects(f"explain {event_id} --details")
    assert f"dead letter {letters[0]}" in explained.text, "the decision says where it came from"

    again = await connects(f"dead-letters redrive --topic connects-purchased {WHY} --yes")
    assert again.code == 0, again
    assert "4 dead letters were redriven before" in again.text
    assert "Nothing is to be booked." in again.text
    assert await world.value("SELECT count(*) FROM decisions WHERE kind = 'added'") == len(WHO)


async def test_what_is_still_bad_is_named_and_stays(world: World) -> None:
    letters = await rejected_purchases(world)
    await a_leader(world)
    connects = world.asking()
    done = await connects(f"dead-letters redrive --from 2020-01-01T00:00:00Z {WHY} --yes")
    assert done.code == 1, done
    assert "Still bad, and left as they are: 2 dead letters" in done.text
    assert "had no value" in done.text
    assert "job-closed: " in done.text
    assert "4 dead letters redriven" in done.text
    left = [
        one["seq"] for one in (await connects("dead-letters list --json")).json["dead_letters"] if not one["redriven"]
    ]
    assert len(left) == 2
    assert not set(left) & set(letters)
    await is_everything_well(world, connects)


async def test_an_event_that_came_again_meanwhile_is_not_booked_twice(world: World) -> None:
    letters = await rejected_purchases(world, 2)
    same, other = [await value_of(world, letter) for letter in letters]
    await a_leader(world)
    conflicting = json.dumps({**json.loads(other), "connects": 7}).encode()
    await world.produce([Sent("connects-purchased", same), Sent("connects-purchased", conflicting)])
    await world.settled()
    connects = world.asking()
    first = await connects(f"dead-letters redrive {letters[0]} {WHY} --yes")
    assert (first.code, "inert by event id" in first.text) == (0, True), first
    second = await connects(f"dead-letters redrive {letters[1]} {WHY} --yes")
    assert (second.code, "used with other content" in second.text) == (1, True), second
    wallets = [json.loads(value)["freelancer_id"] for value in (same, other)]
    assert [await world.balance(one) for one in wallets] == [40, 7]


async def test_a_plan_of_letters_is_applied_as_any_plan(world: World) -> None:
    await rejected_purchases(world)
    connects = world.asking()
    planned = await connects("dead-letters redrive --topic connects-purchased --out letters.plan")
    assert (planned.code, "4 add" in planned.text) == (0, True), planned
    assert (await connects("dead-letters redrive --topic connects-purchased --out letters.plan")).code == 2
    await a_leader(world)
    assert (await connects(f"replay apply letters.plan {WHY}")).code == 0
    again = await connects(f"dead-letters redrive --topic connects-purchased {WHY} --yes --json")
    assert (again.code, again.json["redriven_before"], again.json["plan"]) == (0, 4, None)
    await is_everything_well(world, connects)


async def test_what_cannot_be_done_is_one_line(world: World) -> None:
    letters = await rejected_purchases(world, 2)
    connects = world.asking()
    for options, code, words in (
        (f"{letters[0]} {WHY} --yes", 1, "no worker is active"),
        (WHY, 2, "which letters?"),
        (f"{letters[0]} --topic job-closed {WHY}", 2, "not by both"),
        (f'{letters[0]} --why " "', 2, "--why needs words"),
        (f"--topic nowhere {WHY}", 2, "--topic is one of"),
        (f"0 {WHY}", 2, "greater than or equal to 1"),
        (f"{letters[0]} --out x --yes", 2, "nothing is booked"),
        ("987654321 --out x", 2, "there is no dead letter 987654321"),
        ("--cause no-such --out x", 1, "no dead letter matches; there are"),
        ("--topic connects-purchased --out /nowhere/x", 2, "/nowhere"),
    ):
        answer = await connects(f"dead-letters redrive {options}")
        assert answer.code == code, (options, answer)
        assert words in " ".join(answer.err.split()), (options, answer.err)
    await a_leader(world)
    nobody = await connects(f"dead-letters redrive {letters[0]} {WHY}")
    assert (nobody.code, "add --yes" in nobody.err) == (2, True), nobody
    assert await world.value("SELECT count(*) FROM commands") == 0


async def test_a_role_that_may_only_read_plans_and_does_not_book(world: World) -> None:
    letters = await rejected_purchases(world, 2)
    await a_leader(world)
    role = f"reader_{uuid.uuid4().hex[:12]}"
    await world.execute(f"CREATE ROLE {role} LOGIN")
    await world.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
    try:
        at = urlsplit(world.database_url)
        host = at.netloc.rpartition("@")[2]
        reads = world.asking(at._replace(netloc=f"{role}@{host}").geturl())
        refused = await reads(f"dead-letters redrive {letters[0]} {WHY} --yes")
        assert refused.code in {1, 2}, refused
        assert "commands" in refused.err
    finally:
        await world.execute(f"DROP OWNED BY {role}")
        await world.execute(f"DROP ROLE {role}")


async def test_a_redrive_that_is_killed_is_run_again_and_books_each_once(world: World) -> None:
    letters = await rejected_purchases(world, 12)
    await a_leader(world)
    connects = world.asking()
    killed = await connects.start(f"dead-letters redrive --topic connects-purchased {WHY} --yes --rate 1")

    async def some_are_booked() -> bool:
        return await world.value("SELECT count(*) FROM replayed") >= 2

    await until_async(some_are_booked)
    killed.kill()
    await killed.wait()
    before = await world.value("SELECT count(*) FROM replayed WHERE outcome = 'booked'")
    assert 0 < before < len(letters)
    done = await connects(f"dead-letters redrive --topic connects-purchased {WHY} --yes")
    assert done.code == 0, done
    await is_everything_well(world, connects)
    assert [await world.balance(f"f-{number}") for number in range(12)] == [40] * 12
    assert await world.value("SELECT count(*) FROM decisions WHERE kind = 'added'") == len(letters)


async def test_ctrl_c_ends_it_and_closes_its_plan(world: World) -> None:
    letters = await rejected_purchases(world, 12)
    await a_leader(world)
    connects = world.asking()
    stopped = await connects.start(f"dead-letters redrive --topic connects-purchased {WHY} --yes --rate 1 --json")

    async def one_is_booked() -> bool:
        return await world.value("SELECT count(*) FROM replayed") >= 1

    await until_async(one_is_booked)
    stopped.send_signal(signal.SIGINT)
    out, err = await stopped.communicate()
    assert stopped.returncode == 1, (out, err)
    assert json.loads(out)["applied"]["stopped"] == "interrupted"
    assert await world.value("SELECT state FROM replays") == "closed"
    done = await connects(f"dead-letters redrive --topic connects-purchased {WHY} --yes")
    assert done.code == 0, done
    await is_everything_well(world, connects)
    assert await world.value("SELECT count(*) FROM decisions WHERE kind = 'added'") == len(letters)


async def test_the_worker_is_killed_and_the_next_one_goes_on(world: World) -> None:
    letters = await rejected_purchases(world, 12)
    first = await world.worker()
    connects = world.asking()
    await world.leads(first)
    redriving = await connects.start(f"dead-letters redrive --topic connects-purchased {WHY} --yes --rate 4")

    async def some_are_booked() -> bool:
        return await world.value("SELECT count(*) FROM replayed") >= 2

    await until_async(some_are_booked)
    await world.worker()
    await first.kill()
    await world.end_lease_of(first)
    out, err = await redriving.communicate()
    assert redriving.returncode == 0, (out, err)
    await is_everything_well(world, connects)
    assert await world.value("SELECT count(*) FROM decisions WHERE kind = 'added'") == len(letters)
