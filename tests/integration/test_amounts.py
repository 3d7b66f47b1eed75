"""A release gave boosts back twice, and a policy paid 8 instead of 70: both are corrected by plans at work.

The worker and the command are killed meanwhile, and live traffic goes on.
"""

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

from schemas.outputs import OwnCause, WalletUpdated
from tests.kit.applying import MEMBERS, apply_through_deaths, balances
from tests.kit.asking import Asking
from tests.kit.invariants import check_everything
from tests.kit.policies import policy_text
from tests.kit.produce import Sent
from tests.kit.world import Events, World

OUTBID, NOT_OUTBID = MEMBERS[:6], MEMBERS[6:9]
PAID, FOR_YEARS = MEMBERS[:4], MEMBERS[4:7]
NOON = datetime(2025, 9, 20, 12, tzinfo=UTC)
"""Of a day on which no cycle starts; 40 days before it one began, of which one has started since."""
GREEN = "All is as it was written.\n"


def the_boosts(happens: Events) -> list[Sent]:
    """All propose with a boost for j-1; most are outbid, and the job is closed."""
    cost = {"job_id": "j-1", "origin": "proposal", "connects": 6, "boost_connects": 4}
    names = (*OUTBID, *NOT_OUTBID)
    spent = [happens("proposal-submitted", freelancer_id=name, proposal_id=f"p-{name}", **cost) for name in names]
    named = ({"freelancer_id": name, "proposal_id": f"p-{name}", "job_id": "j-1"} for name in OUTBID)
    outbid = [happens("boost-outbid", **fields) for fields in named]
    return [*spent, *outbid, happens("job-closed", job_id="j-1", client_id="c-1", closure="closed-by-client")]


async def test_boosts_that_came_back_twice_are_taken_while_worker_and_command_are_killed(world: World) -> None:
    happens, connects = Events(), world.asking()
    wrong = await world.worker(returns_boosts="twice")
    await world.produce([happens("freelancer-registered", freelancer_id=name) for name in MEMBERS])
    await world.produce(the_boosts(happens))
    await world.settled()
    spends_all = {"adjustment_id": "a-1", "connects": -42, "actor": "ana", "note": "all but two"}
    await world.produce([happens("connects-adjusted", freelancer_id="f-5", **spends_all)])
    await world.settled()
    wrong.terminate()
    assert await wrong.ended() == 0
    found = await connects("verify --selection wrong.jsonl")
    assert (found.code, "6 decisions" in found.text, ", 1 more" in found.text) == (1, True, True), found
    planned = await connects("replay plan --decide wrong.jsonl --out boosts.plan --json")
    assert planned.code == 0, planned
    assert (planned.json["triggers"]["decide"], planned.json["left_for_a_person"]) == (6, []), planned
    assert (planned.json["given"], planned.json["taken"], planned.json["shortfall"]) == (0, 5 * 4 + 2, 2)
    await is_shown(connects, "boosts.plan", "f-1", "4 Connects taken back on")
    before = await balances(world)

    dying = await world.worker(kill_after="4:before-commit")
    await world.leads(dying)
    await apply_through_deaths(world, connects, happens, dying, 'boosts.plan --why "boosts came back twice"')
    badges = dict.fromkeys(MEMBERS[:3], 30)
    taken = dict.fromkeys(OUTBID, 4) | {"f-5": 2}
    after = await balances(world)
    for name in MEMBERS:
        assert after[name][0] == before[name][0] - taken.get(name, 0) + badges.get(name, 0), name
    await all_is_proved(world, connects)
    await the_messages_name_what_was_corrected(world, 6)
    explained = await connects("explain --proposal p-f-1")
    assert "4 Connects were taken back on" in explained.text, explained
    one_again = (await connects("explain --proposal p-f-1 --again --json")).json["again"]
    assert Counter(one["verdict"] for one in one_again) == {"same": 3, "amended": 1}, one_again
    assert await again(connects, "--decide wrong.jsonl") == (0, {"triggers": 0, "nothing_to_amend": 6, "left": 0})
    await a_row_that_was_altered_is_found(world, connects)


async def a_policy_paid_too_little(world: World, happens: Events) -> list[Sent]:
    """Of an upgrade 8 instead of 70, of Basic 1 instead of 10; returns the payments of the upgrades."""
    world.policy_file = world.folder / "wrong.toml"
    world.policy_file.write_text(policy_text(plus_paid=8, basic=1), encoding="utf-8")
    (world.folder / "right.toml").write_text(policy_text(), encoding="utf-8")
    long_ago = (happens.now - timedelta(days=40)).isoformat()
    worker = await world.worker()
    registered = [happens("freelancer-registered", freelancer_id=name, occurred_at=long_ago) for name in FOR_YEARS]
    registered += [happens("freelancer-registered", freelancer_id=name) for name in MEMBERS if name not in FOR_YEARS]
    await world.produce(registered)
    chosen = [happens("membership-plan-chosen", freelancer_id=name, plan="plus") for name in PAID]
    await world.produce(chosen)
    await world.settled()
    charges = await world.rows("SELECT freelancer_id, charge_id, source FROM charges ORDER BY freelancer_id")
    paid = [happens("membership-charge-settled", **dict(row), outcome="paid") for row in charges]
    await world.produce(paid)
    await world.settled()
    worker.terminate()
    assert await worker.ended() == 0
    assert (await balances(world))["f-0"][0] == 48
    return paid


async def the_commands_name_the_correction(connects: Asking, paid: Sent) -> None:
    event_id = json.loads(paid.value or b"")["event_id"]
    explained = await connects(f"explain {event_id} --topic membership-charge-settled")
    assert "Yes: 62 Connects were added for you on" in explained.text, explained
    exported = await connects("bundle export --freelancer f-3 --out f-3.bundle")
    assert exported.code == 0, exported
    checked = await connects("bundle check f-3.bundle")
    assert checked.code == 0, checked


async def test_what_a_wrong_policy_did_not_pay_is_given_while_worker_and_command_are_killed(world: World) -> None:
    world.it_is(NOON)
    happens, connects = Events(NOON - timedelta(days=2)), world.asking()
    paid = await a_policy_paid_too_little(world, happens)
    since = (happens.now - timedelta(days=60)).isoformat()
    selected = f"--decide found --from {since} --rule grant.upgrade --rule grant.monthly"
    asked = f"{selected} --policy right.toml"
    refused = await connects(f"replay plan {selected} --out same.plan --json")
    assert (refused.code, sum(refused.json["triggers"].values())) == (0, 0), refused
    await is_what_if(connects, since)
    planned = await connects(f"replay plan {asked} --out paid.plan --json")
    assert planned.code == 0, planned
    assert (planned.json["triggers"]["decide"], planned.json["left_for_a_person"]) == (4 + 3, []), planned
    assert (planned.json["given"], planned.json["taken"]) == (4 * 62 + 3 * 9, 0)
    await is_shown(connects, "paid.plan", "f-1", "62 Connects added on")

    dying = await world.worker(kill_after="4:before-commit")
    await world.leads(dying)
    await apply_through_deaths(world, connects, happens, dying, 'paid.plan --why "8 was paid instead of 70"')
    after = await balances(world)
    assert {after[name][0] for name in PAID[3:]} == {40 + 70}
    assert {after[name][0] for name in FOR_YEARS} == {40 + 10}
    await all_is_proved(world, connects)
    await the_messages_name_what_was_corrected(world, 7)
    await the_commands_name_the_correction(connects, paid[3])
    linked = await world.rows("SELECT source, linked_to FROM lots WHERE linked_to IS NOT NULL")
    assert sorted(row["source"] for row in linked) == ["monthly"] * 3 + ["upgrade"] * 4
    assert await again(connects, asked) == (0, {"triggers": 0, "nothing_to_amend": 7, "left": 0})
    without = await connects(f"replay plan {selected} --out without.plan --json")
    (left,) = without.json["left_for_a_person"]
    assert (left["events"], left["next"]) == (7, "Give the corrected policy with --policy")


async def is_what_if(connects: Asking, since: str) -> None:
    """The same in numbers, without a plan; and nothing where nothing is within the span, or the policy is the same."""
    found = (await connects(f"policy what-if right.toml --from {since} --json")).json
    assert (found["differ"], found["given"], found["taken"]) == (7, 4 * 62 + 3 * 9, 0), found
    assert (found["wallets_gaining"], found["wallets_losing"], found["not_compared"]) == (7, 0, 0), found
    assert {one["rule"]: one["given"] for one in found["booked"]} == {"grant.upgrade": 4 * 62, "grant.monthly": 3 * 9}
    nothing = await connects(f"policy what-if right.toml --to {since}")
    assert (nothing.code, "0 would have another amount" in nothing.text) == (0, True), nothing
    same = (await connects("policy what-if wrong.toml --json")).json
    assert (same["differ"], same["decisions"] > 0) == (0, True), same


async def is_shown(connects: Asking, plan: str, name: str, words: str) -> None:
    shown = await connects(f"replay show {plan} --freelancer {name}")
    assert words in shown.text, shown


async def again(connects: Asking, selection: str) -> tuple[int, dict[str, Any]]:
    """A second plan of the same selection."""
    planned = await connects(f"replay plan {selection} --out again.plan --json")
    (connects.folder / "again.plan").unlink()
    plan = planned.json
    counted = {"triggers": sum(plan["triggers"].values()), "nothing_to_amend": plan["nothing_to_amend"]}
    return planned.code, counted | {"left": len(plan["left_for_a_person"])}


async def all_is_proved(world: World, connects: Asking) -> None:
    verified = await connects("verify")
    assert (verified.code, verified.out) == (0, GREEN), verified
    await check_everything(world, model=False)
    against = await connects("verify --against topics")
    assert against.code == 0, against


async def the_messages_name_what_was_corrected(world: World, corrections: int) -> None:
    updates = [WalletUpdated.model_validate_json(record.value) for record in world.reader.records]
    corrected = [update for update in updates if update.rule == "correct.decide"]
    assert len({(update.freelancer_id, update.version) for update in corrected}) == len(corrected) == corrections
    for update in corrected:
        assert isinstance(update.cause, OwnCause)
        assert update.corrects
        assert "as a correction: " in update.explanation


async def a_row_that_was_altered_is_found(world: World, connects: Asking) -> None:
    first = "(SELECT min(by_seq) FROM amended)"
    altered = f"UPDATE amended SET connects = connects + 1 WHERE by_seq = {first} RETURNING decision_seq"  # noqa: S608
    seq = await world.value(altered)
    found, words = await connects("verify"), f"decision {seq}: the row is not what a correction made of it"
    assert (found.code, words in found.text) == (1, True), found
    await world.value("UPDATE amended SET connects = connects - 1 WHERE decision_seq = $1 RETURNING 1", seq)
    await world.value("UPDATE amended SET not_taken = not_taken + 1 WHERE decision_seq = $1 RETURNING 1", seq)
    found = await connects("verify")
    assert (found.code, words in found.text) == (1, True), found
    await world.value("DELETE FROM amended WHERE decision_seq = $1 RETURNING 1", seq)
    missing = await connects("verify")
    assert f"decision {seq}: a correction is on it, and the row is missing" in missing.text, missing
