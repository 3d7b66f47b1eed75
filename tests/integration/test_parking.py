"""A bug in a rule stops one wallet, or one job; all others go on, and what waited is decided in order afterwards."""

from pathlib import Path
from typing import Any

import pytest

from tests.kit.invariants import body_of, check_everything
from tests.kit.produce import by_key
from tests.kit.world import PARTITIONS, Events, World


class Bug:
    """While its file exists, every rule fails for `f-bug` and `j-bug`."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.make()

    def make(self) -> None:
        self.file.touch()

    def mend(self) -> None:
        self.file.unlink()


@pytest.fixture
def bug(tmp_path: Path) -> Bug:
    return Bug(tmp_path / "bug")


def outcomes(rows: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(row["outcome"], row["reason"]) for row in rows]


def a_wallets_life(send: Events, freelancer_id: str) -> None:
    send("freelancer-registered", freelancer_id=freelancer_id)
    about = {"freelancer_id": freelancer_id, "job_id": f"j-{freelancer_id}", "proposal_id": f"p-{freelancer_id}"}
    send("proposal-submitted", **about, connects=12, boost_connects=8, origin="proposal")
    send("boost-outbid", **about)
    send("connects-purchased", freelancer_id=freelancer_id, purchase_id=f"b-{freelancer_id}", connects=5)


async def test_a_wallet_whose_rule_fails_waits_and_all_others_go_on(world: World, bug: Bug) -> None:
    send = Events()
    for freelancer_id in ("f-1", "f-bug", "f-2"):
        a_wallets_life(send, freelancer_id)
    send("job-closed", job_id="j-f-1", client_id="c-1", closure="closed-by-client")
    await world.produce(send.messages, by_key(PARTITIONS))
    await world.worker(bug_while=str(bug.file))
    await world.settled()

    assert await world.balance("f-1") == 45
    assert await world.balance("f-2") == 33
    assert not await world.balance("f-bug")
    waiting = await world.decisions("kind = 'first' AND freelancer_id = 'f-bug'")
    assert outcomes(waiting) == [("parked", "failure-in-rule"), *[("parked", "waits-behind")] * 3]
    assert "ZeroDivisionError" in await world.value("SELECT error FROM parked WHERE scope = 'wallet' AND key = 'f-bug'")
    await check_everything(world, model=False)

    again = await world.command("parked-release", {"scope": "wallet", "key": "f-bug"})
    assert (again["outcome"], again["reason"], again["left"]) == ("declined", "fails-again", 4)
    assert "ZeroDivisionError" in again["error"]

    bug.mend()
    released = await world.command("parked-release", {"scope": "wallet", "key": "f-bug"})
    assert (released["outcome"], released["released"], released["left"]) == ("applied", 4, 0)
    follow_ups = await world.decisions("kind = 'follow-up'")
    assert [row["follows"] for row in follow_ups] == [row["seq"] for row in waiting]
    assert outcomes(follow_ups) == [
        ("applied", "registered"),
        ("applied", "proposal-submitted"),
        ("applied", "boost-outbid"),
        ("applied", "purchased"),
    ]
    assert await world.balance("f-bug") == 33
    await world.settled()
    assert world.reader.versions["f-bug"] == [1, 2, 3, 4]
    assert await world.value("SELECT count(*) FROM parked") == 0
    assert await world.value("SELECT count(*) FROM parked_triggers") == 0
    await check_everything(world)


async def test_parked_event_ids_count_and_what_is_parked_survives_a_crash(world: World, bug: Bug) -> None:
    send = Events()
    send("freelancer-registered", freelancer_id="f-bug")
    await world.produce(send.messages, by_key(PARTITIONS))
    first = await world.worker(bug_while=str(bug.file))
    await world.settled()
    await first.kill()
    await world.end_lease_of(first)
    bug.mend()

    await world.worker(bug_while=str(bug.file))
    await world.produce(send.messages, by_key(PARTITIONS))
    send("connects-purchased", freelancer_id="f-bug", purchase_id="b-1", connects=5)
    await world.produce(send.messages[-1:], by_key(PARTITIONS))
    await world.settled()
    assert outcomes(await world.decisions("kind = 'first'")) == [
        ("parked", "failure-in-rule"),
        ("duplicate", "already-decided"),
        ("parked", "waits-behind"),
    ], "the wallet stays parked until somebody releases it"

    await world.command("parked-release", {"scope": "wallet", "key": "f-bug"})
    assert await world.balance("f-bug") == 45
    await world.settled()
    await check_everything(world)


async def test_a_job_whose_rule_fails_waits_and_its_freelancers_go_on(world: World, bug: Bug) -> None:
    send = Events()
    about = {"freelancer_id": "f-1", "job_id": "j-bug", "proposal_id": "p-1"}
    send("freelancer-registered", freelancer_id="f-1")
    send("proposal-submitted", **about, connects=12, origin="proposal")
    send("job-closed", job_id="j-bug", client_id="c-1", closure="closed-by-client")
    send("hire-made", job_id="j-bug", freelancer_id="f-2", contract_id="k-1")
    send("connects-purchased", freelancer_id="f-1", purchase_id="b-1", connects=5)
    await world.produce(send.messages, by_key(PARTITIONS))
    await world.worker(bug_while=str(bug.file))
    await world.settled()
    assert await world.balance("f-1") == 33
    jobs = await world.decisions("job_id = 'j-bug' AND outcome = 'parked'")
    assert [(row["topic"], row["reason"]) for row in jobs] == [
        ("job-closed", "failure-in-rule"),
        ("hire-made", "waits-behind"),
    ]

    bug.mend()
    released = await world.command("parked-release", {"scope": "job", "key": "j-bug"})
    assert (released["outcome"], released["released"]) == ("applied", 2)
    await world.settled()
    await world.reader.has_read(4)
    assert await world.balance("f-1") == 45, "closed before anybody was hired: the refund was due, if late"
    assert body_of(world.reader.records[-1])["reason"] == "closed-without-hire"
    await check_everything(world, model=False)


async def test_a_refund_that_fails_parks_that_wallet_and_the_rest_of_the_closure_goes_on(
    world: World, bug: Bug
) -> None:
    bug.mend()
    send = Events()
    for freelancer_id in ("f-1", "f-bug", "f-2"):
        about = {"freelancer_id": freelancer_id, "job_id": "j-1", "proposal_id": f"p-{freelancer_id}"}
        send("freelancer-registered", freelancer_id=freelancer_id)
        send("proposal-submitted", **about, connects=12, origin="proposal")
    await world.produce(send.messages, by_key(PARTITIONS))
    await world.worker(bug_while=str(bug.file))
    await world.settled()
    assert await world.balance("f-bug") == 28

    bug.make()
    await world.produce([send("job-closed", job_id="j-1", client_id="c-1", closure="closed-by-client")])
    await world.settled()
    settlements = {row["freelancer_id"]: row["outcome"] for row in await world.decisions("kind = 'settlement'")}
    assert settlements == {"f-1": "applied", "f-bug": "parked", "f-2": "applied"}
    assert await world.balance("f-1") == await world.balance("f-2") == 40

    bug.mend()
    await world.command("parked-release", {"scope": "wallet", "key": "f-bug"})
    assert await world.balance("f-bug") == 40
    await world.settled()
    await check_everything(world, model=False)


async def test_releasing_what_is_not_parked_says_so(world: World) -> None:
    await world.worker()
    answer = await world.command("parked-release", {"scope": "wallet", "key": "f-1"})
    assert (answer["outcome"], answer["reason"]) == ("declined", "not-parked")
    answer = await world.command("parked-release", {"scope": "wallet"})
    assert (answer["outcome"], answer["reason"]) == ("declined", "wrong-arguments")
    answer = await world.command("no-such-thing", {})
    assert (answer["outcome"], answer["reason"]) == ("declined", "unknown-command")
    (decision,) = await world.decisions("reason = 'not-parked'")
    assert decision["kind"] == "command"
    assert (decision["facts"]["actor"], decision["facts"]["why"]) == ("a-tester", "a test")
    await check_everything(world)
