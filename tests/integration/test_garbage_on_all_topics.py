"""A test producer writes to all topics, about real freelancers and jobs, while real events come: it is voided.

Whole size: TEST_GARBAGE_EVENTS (5000).
"""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from schemas.catalogue import INPUT_TOPICS
from schemas.outputs import WalletUpdated
from tests.kit.applying import apply_through_deaths
from tests.kit.asking import Asking
from tests.kit.invariants import check_everything
from tests.kit.produce import Sent
from tests.kit.sizes import size
from tests.kit.world import POLICY, Events, World
from tests.model.driver import Driver

EVENTS = size("GARBAGE_EVENTS", 5_000, least=500)
MEMBERS = [f"f-{number}" for number in range(4 * max(5, EVENTS // 100))]
JOBS = [f"j-{number}" for number in range(4)]
APPLIED_SECONDS = 90 + EVENTS / 5
WHY = '--why "a test producer wrote to production" --actor ana'
LEFT = {"membership events"}
SPENT = {"origin": "proposal", "connects": 6, "boost_connects": 4}
pytestmark = [pytest.mark.soak, pytest.mark.timeout(1800)]


def the_market(happens: Events) -> list[Sent]:
    """All but one register, all buy 10 and submit a proposal; one job is closed without a hire, one with a hire."""
    registered = [happens("freelancer-registered", freelancer_id=name) for name in MEMBERS[1:]]
    bought = [happens("connects-purchased", freelancer_id=one, purchase_id=f"b-{one}", connects=10) for one in MEMBERS]
    proposals = [
        happens("proposal-submitted", freelancer_id=name, proposal_id=f"p-{name}", job_id=_job_of(name), **SPENT)
        for name in MEMBERS
    ]
    hire = happens("hire-made", job_id=JOBS[3], freelancer_id=MEMBERS[3], contract_id="k-3")
    closed = [happens("job-closed", job_id=job, client_id="c-1", closure="closed-by-client") for job in JOBS[2:]]
    return [*registered, *bought, *proposals, hire, *closed]


def the_garbage(sends: Events, count: int) -> list[Sent]:
    """That many events of a test producer, on all topics; the membership topics get few of them."""
    garbage = [_about_jobs_and_members(sends, topic) for topic in INPUT_TOPICS if topic in _FEW]
    while len(garbage) < count:
        garbage += _of_one_round(sends, len(garbage))
    return garbage[:count]


_FEW: dict[str, dict[str, Any]] = {
    "job-closed": {"job_id": JOBS[0], "client_id": "c-t", "closure": "closed-by-client"},
    "hire-made": {"job_id": JOBS[1], "freelancer_id": MEMBERS[5], "contract_id": "test-k"},
    "boost-outbid": {"freelancer_id": MEMBERS[11], "proposal_id": f"p-{MEMBERS[11]}", "job_id": JOBS[3]},
    "proposal-withdrawn": {"freelancer_id": MEMBERS[13], "proposal_id": f"p-{MEMBERS[13]}", "job_id": JOBS[1]},
    "freelancer-registered": {"freelancer_id": MEMBERS[0]},
    "membership-plan-chosen": {"freelancer_id": MEMBERS[7], "plan": "plus"},
    "promo-code-entered": {"freelancer_id": MEMBERS[7], "promo_code": "NONE-SUCH"},
    "membership-charge-settled": {
        "freelancer_id": MEMBERS[8],
        "charge_id": "test-charge",
        "outcome": "paid",
        "source": "payment-method",
    },
    "earnings-balance-updated": {"freelancer_id": MEMBERS[8], "available_cents": 100},
    "account-suspended": {"freelancer_id": MEMBERS[9], "scope": "billing-method"},
    "account-reinstated": {"freelancer_id": MEMBERS[9], "scope": "billing-method"},
}
"""What the test producer sends once."""


def _about_jobs_and_members(sends: Events, topic: str) -> Sent:
    return sends(topic, event_id=f"test-{topic}", **_FEW[topic])


def _of_one_round(sends: Events, number: int) -> list[Sent]:
    """Events about one freelancer: what is bought, adjusted, earned, and spent on a real job."""
    name, job = MEMBERS[number % len(MEMBERS)], JOBS[number % len(JOBS)]
    proposal = {"freelancer_id": name, "proposal_id": f"test-{number}", "job_id": job}
    client = {"client_id": "c-t", "origin": "proposal", "client_hires": 1, "client_spent_cents": 100}
    said = {"actor": "test", "note": "test"}
    of: list[tuple[str, dict[str, Any]]] = [
        ("connects-purchased", {"freelancer_id": name, "purchase_id": f"test-{number}", "connects": 10}),
        ("proposal-submitted", {**proposal, **SPENT}),
        ("connects-adjusted", {"freelancer_id": name, "adjustment_id": f"test-{number}", "connects": 7, **said}),
        ("connects-adjusted", {"freelancer_id": name, "adjustment_id": f"test-{number}-", "connects": -3, **said}),
        ("badge-earned", {"freelancer_id": name, "badge": "top-rated"}),
        (
            "certification-completed",
            {"freelancer_id": name, "certification_id": f"test-{number}", "kind": "skill-certification"},
        ),
        ("interview-won", {"freelancer_id": name, "job_id": f"test-{number}", **client}),
    ]
    if number % 3 == 0:
        of += [("boost-outbid", proposal), ("proposal-withdrawn", proposal)]
    return [sends(topic, event_id=f"test-{number}-{place}", **fields) for place, (topic, fields) in enumerate(of)]


def _job_of(name: str) -> str:
    return JOBS[int(name.removeprefix("f-")) % len(JOBS)]


async def test_what_a_test_producer_wrote_is_voided_while_worker_and_command_are_killed(world: World) -> None:
    happens = Events()
    await world.produce(the_market(happens))
    first = await world.worker()
    await world.settled()
    sends = Events(happens.now)
    garbage = the_garbage(sends, EVENTS)
    await world.produce(garbage)
    happens.now = sends.now
    await world.produce([happens("job-closed", job_id=JOBS[1], client_id="c-1", closure="closed-by-client")])
    await world.settled()
    connects = world.asking()
    plan = await planned(world, connects, garbage)
    first.terminate()
    assert await first.ended() == 0

    dying = await world.worker(kill_after="9:before-commit")
    await world.leads(dying)
    await apply_through_deaths(world, connects, happens, dying, f"garbage.plan {WHY}", limit_seconds=APPLIED_SECONDS)
    await all_is_as_it_was_written(world, connects)
    await what_stands_is_what_truly_happened(world, happens, plan)
    await the_commands_name_the_corrections(connects)
    await a_reader_saw_each_version_once(world, {_id_of(sent) for sent in garbage})
    again = await connects("replay plan --void garbage.txt --out again.plan --json")
    assert (again.code, again.json["triggers"]["void"], again.json["triggers"]["settle"]) == (0, 0, 0)


async def planned(world: World, connects: Asking, garbage: list[Sent]) -> dict[str, Any]:
    names = "".join(f"{sent.topic}/{_id_of(sent)}\n" for sent in garbage)
    (world.folder / "garbage.txt").write_text(names, encoding="utf-8")
    answer = await connects("replay plan --void garbage.txt --out garbage.plan --json")
    assert answer.code == 0, answer
    plan: dict[str, Any] = answer.json
    assert {one["what"] for one in plan["left_for_a_person"]} == LEFT
    on_two_jobs = len(MEMBERS) // 2
    assert plan["triggers"]["settle"] == on_two_jobs + 1, "of the jobs that it closed or hired for, and a boost"
    return plan


def _id_of(sent: Sent) -> str:
    event_id: str = json.loads(sent.value or b"")["event_id"]
    return event_id


async def all_is_as_it_was_written(world: World, connects: Asking) -> None:
    for verify in ("verify", f"verify --freelancer {MEMBERS[0]}", "verify --jobs 2"):
        verified = await connects(verify)
        assert verified.code == 0, verified
    await check_everything(world, model=False)


async def the_commands_name_the_corrections(connects: Asking) -> None:
    closing, hire = f"The closing of job {JOBS[0]}", f"The hire for job {JOBS[1]}"
    for event_id, what in (("test-job-closed", closing), ("test-hire-made", hire)):
        explained = await connects(f"explain {event_id}")
        assert explained.code == 0, explained
        assert explained.out.startswith(what), explained
        assert "was taken out on" in explained.out, explained
    for job in JOBS[:2]:
        assert (await connects(f"explain --job {job}")).code == 0
    for command in (f"bundle export --freelancer {MEMBERS[0]} --out one.bundle", "bundle check one.bundle"):
        answer = await connects(command)
        assert answer.code == 0, answer
    owed = await connects("owed")
    assert owed.code == 0, owed


async def what_stands_is_what_truly_happened(world: World, happens: Events, plan: dict[str, Any]) -> None:
    """Laws 3 and 4: grants, spends with what came back of them, and balances less shortfalls."""
    driver = Driver(POLICY, world.grace_seconds, datetime.now(UTC))
    records = [(sent.topic, sent.key, sent.value, happens.now) for sent in happens.messages]
    driver.run(records, lambda _topic, _key: 0, datetime.now(UTC))
    state = driver.model.state
    rows = await world.rows("SELECT freelancer_id, balance FROM wallets")
    missing = await world.rows(
        "SELECT freelancer_id, sum((facts ->> 'shortfall')::int) AS missing FROM decisions"
        " WHERE rule = 'correct.void' AND facts ->> 'shortfall' IS NOT NULL GROUP BY 1"
    )
    short = {row["freelancer_id"]: row["missing"] for row in missing}
    assert sum(short.values()) == plan["shortfall"]
    balances = {row["freelancer_id"]: row["balance"] - short.get(row["freelancer_id"], 0) for row in rows}
    assert balances == {name: state.balance(name) for name in state.wallets}
    stands = await world.rows("SELECT proposal_id, base, base_returned, boost, boost_returned FROM spends")
    assert {tuple(row) for row in stands} == {
        (name, *(value for line in spend.lines.values() for value in (line.connects, line.returned)))
        for name, spend in state.spends.items()
    }
    assert (
        await world.value("SELECT count(*) FROM grants WHERE rule IN ('grant.interview', 'grant.certification')") == 0
    )
    assert await world.value("SELECT count(*) FROM closures WHERE closure NOT LIKE '%//%'") == len(JOBS[1:])
    assert await world.value("SELECT count(first_hired_at) FROM hires") == 1


async def a_reader_saw_each_version_once(world: World, ids: set[str]) -> None:
    updates = [WalletUpdated.model_validate_json(record.value) for record in world.reader.records]
    versions = [(update.freelancer_id, update.version) for update in updates]
    assert len(versions) == len(set(versions)) == await world.value("SELECT count(*) FROM changes")
    voids = [update for update in updates if update.rule == "correct.void"]
    assert voids
    assert all(set(update.corrects or ()) <= ids for update in voids)
