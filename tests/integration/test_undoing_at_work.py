"""Plans of voids, settles and adds, and of amounts, are undone beside live traffic, while worker and command die."""

import json
from datetime import timedelta
from typing import Any

import pytest

from schemas.outputs import WalletUpdated
from tests.integration.test_amounts import (
    NOON,
    a_policy_paid_too_little,
    a_row_that_was_altered_is_found,
    again,
    all_is_proved,
)
from tests.integration.test_replay import write_archive
from tests.integration.test_sent_again import sent_again
from tests.kit.applying import apply_through_deaths, balances, balances_of
from tests.kit.asking import Asking
from tests.kit.invariants import check_everything
from tests.kit.produce import Sent
from tests.kit.world import Events, World

MEMBERS = [f"f-{number}" for number in range(4)]
WHY = '--why "the wrong day" --actor ana'
STATE = (
    "SELECT proposal_id, job_id, decision_seq, base, boost, base_returned, boost_returned FROM spends ORDER BY 1",
    "SELECT rule, natural_key, decision_seq FROM grants ORDER BY decision_seq",
    "SELECT proposal_id, boost_outbid, withdrawn_at, refunded_closing_at FROM spends ORDER BY 1",
    "SELECT proposal_id, decision_seq FROM awaiting ORDER BY decision_seq",
)


def the_day(happens: Events) -> list[Sent]:
    spent = {"origin": "proposal", "connects": 6, "boost_connects": 4}
    return [
        *(happens("connects-purchased", freelancer_id=name, purchase_id=f"b-{name}", connects=10) for name in MEMBERS),
        *(
            happens("proposal-submitted", freelancer_id=name, proposal_id=f"p-{name}", job_id="j-1", **spent)
            for name in MEMBERS
        ),
        happens("connects-adjusted", freelancer_id="f-0", adjustment_id="a-0", connects=7, actor="ana", note="n"),
    ]


async def state(world: World) -> list[list[dict[str, Any]]]:
    return [[dict(row) for row in await world.rows(statement)] for statement in STATE]


async def test_a_plan_is_undone_while_worker_and_command_are_killed(world: World) -> None:
    happens = Events()
    day = the_day(happens)
    await world.produce([happens("freelancer-registered", freelancer_id=name) for name in MEMBERS])
    await world.produce(day)
    happens.now += timedelta(hours=1)
    resent = sent_again(day)
    await world.produce([*resent, happens("job-closed", job_id="j-1", client_id="c-1", closure="closed-by-client")])
    first = await world.worker()
    await world.settled()
    late = json.loads(happens("hire-made", job_id="j-1", freelancer_id="f-9", contract_id="k-1").value or b"")
    late["occurred_at"] = (happens.now - timedelta(minutes=30)).isoformat()
    await world.produce([Sent("hire-made", json.dumps(late).encode(), b"j-1")])
    await world.settled()
    before = await balances_of(world, MEMBERS), await state(world)
    connects = world.asking()
    plan = await a_plan_is_applied(world, connects, happens, resent)
    assert (await state(world))[1] != before[1][1]
    first.terminate()
    assert await first.ended() == 0

    undone = await connects(f"replay undo {plan['hash'][:12]} --out undo.plan --json")
    assert undone.code == 0, undone
    booked = sum(plan["triggers"].values())
    assert undone.json["triggers"]["undo"] == booked
    assert [one["events"] for one in undone.json["left_for_a_person"]] == [plan["triggers"]["add"]]
    shown = await connects("replay show undo.plan --freelancer f-0")
    assert "as a correction is undone: " in shown.text, shown
    dying = await world.worker(kill_after="6:before-commit")
    await world.leads(dying)
    await apply_through_deaths(world, connects, happens, dying, f"undo.plan {WHY}")

    badges = dict.fromkeys(MEMBERS[:3], 30)
    assert await balances_of(world, MEMBERS) == {
        name: balance + badges.get(name, 0) for name, balance in before[0].items()
    }
    after = await state(world)
    after[1] = [row for row in after[1] if row in before[1][1]]
    assert after == before[1]
    verified = await connects("verify")
    assert (verified.code, verified.out) == (0, "All is as it was written.\n"), verified
    await check_everything(world, model=False)
    await the_messages_name_what_they_correct(world)
    await the_commands_show_the_undo(connects, resent)
    await a_second_undo_has_nothing_to_do(connects, plan["hash"], booked)
    await a_void_that_was_altered_is_found(world, connects)


async def a_plan_is_applied(world: World, connects: Asking, happens: Events, resent: list[Sent]) -> dict[str, Any]:
    """One with triggers of all three kinds."""
    lost = [happens("connects-purchased", freelancer_id="f-0", purchase_id="b-lost", connects=5)]
    write_archive(world.folder / "lost.jsonl", lost)
    names = [f"{sent.topic}/{json.loads(sent.value or b'')['event_id']}" for sent in resent]
    (world.folder / "resent.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
    planned = await connects("replay plan --void resent.txt --add lost.jsonl --settle late-hires --out day.plan --json")
    assert planned.code == 0, planned
    plan: dict[str, Any] = planned.json
    kinds = {kind: number for kind, number in plan["triggers"].items() if number}
    assert kinds == {"add": 1, "void": len(resent), "settle": 4}, planned
    applied = await connects.as_process(f"replay apply day.plan {WHY} --take-too")
    assert applied.code == 0, applied
    (logged,) = (await connects("replay log --json")).json["plans"]
    assert (logged["state"], logged["undone"], logged["kinds"]) == ("done", 0, kinds)
    return plan


async def the_messages_name_what_they_correct(world: World) -> None:
    updates = [WalletUpdated.model_validate_json(record.value) for record in world.reader.records]
    undone = [update for update in updates if update.rule == "correct.undo"]
    assert undone
    for update in undone:
        assert update.corrects
        assert "as a correction is undone: " in update.explanation
    versions = [(update.freelancer_id, update.version) for update in updates]
    assert len(versions) == len(set(versions))


async def the_commands_show_the_undo(connects: Asking, resent: list[Sent]) -> None:
    for sent in (resent[0], resent[5]):
        event_id = json.loads(sent.value or b"")["event_id"]
        explained = await connects(f"explain {event_id} --json")
        rules = [one["rule"] for one in explained.json["decisions"]]
        assert rules[-2:] == ["correct.void", "correct.undo"] or rules[-1:] == ["correct.undo"], explained
        assert explained.json["reply"]["headline"], explained
    history = await connects("history f-0 --json")
    assert "correct.undo" in {one["rule"] for one in history.json["changes"]}
    assert (await connects("explain --proposal p-f-0 --json")).code == 0
    exported = await connects("bundle export --freelancer f-0 --out f-0.bundle")
    assert exported.code == 0, exported
    assert (await connects("bundle check f-0.bundle")).code == 0
    for verify in ("verify --freelancer f-1", "verify --jobs 2"):
        verified = await connects(verify)
        assert verified.code == 0, verified


async def a_second_undo_has_nothing_to_do(connects: Asking, plan: str, booked: int) -> None:
    again = await connects(f"replay undo {plan} --out again.plan")
    assert again.code == 0, again
    assert f"{booked} triggers changed nothing, or had been undone before" in again.text, again
    (_, logged) = (await connects("replay log --json")).json["plans"]
    assert (logged["plan"], logged["state"], logged["undone"]) == (plan, "undone", booked)
    undo = await connects("replay undo undo.plan --out not.plan --json")
    assert [one["what"] for one in undo.json["left_for_a_person"]] == ["undos"], undo


async def a_void_that_was_altered_is_found(world: World, connects: Asking) -> None:
    """A void that was undone has no row any more; and that of an event that was added and undone is there."""
    await world.value("UPDATE voided SET decision_seq = decision_seq + 1 RETURNING 1")
    verified = await connects("verify")
    assert verified.code == 1, verified
    assert "a correction is on it, and the row is missing" in verified.text, verified


@pytest.mark.in_turn
async def test_corrected_amounts_are_undone_while_worker_and_command_are_killed(world: World) -> None:
    world.it_is(NOON)
    happens, connects = Events(NOON - timedelta(days=2)), world.asking()
    paid = await a_policy_paid_too_little(world, happens)
    before = await balances(world)
    since = (happens.now - timedelta(days=60)).isoformat()
    asked = f"--decide found --from {since} --rule grant.upgrade --rule grant.monthly --policy right.toml"
    planned = await connects(f"replay plan {asked} --out paid.plan --json")
    assert planned.json["triggers"]["decide"] == 7, planned
    first = await world.worker()
    await world.leads(first)
    applied = await connects.as_process('replay apply paid.plan --why "8 was paid instead of 70"')
    assert applied.code == 0, applied
    assert sum(balance for balance, *_ in (await balances(world)).values()) == planned.json["given"] + sum(
        balance for balance, *_ in before.values()
    )
    first.terminate()
    assert await first.ended() == 0

    undone = await connects("replay undo paid.plan --out undo.plan --json")
    assert (undone.json["triggers"]["undo"], undone.json["left_for_a_person"]) == (7, []), undone
    assert (undone.json["taken"], undone.json["shortfall"]) == (planned.json["given"], 0), undone
    dying = await world.worker(kill_after="4:before-commit")
    await world.leads(dying)
    await apply_through_deaths(world, connects, happens, dying, "undo.plan --why wrong")
    badges = dict.fromkeys(MEMBERS[:3], 30)
    after = await balances(world)
    assert {name: after[name][0] for name in before} == {name: before[name][0] + badges.get(name, 0) for name in before}
    await all_is_proved(world, connects)
    assert (await connects("replay log --json")).json["plans"][-1]["state"] == "undone"
    event_id = json.loads(paid[3].value or b"")["event_id"]
    explained = await connects(f"explain {event_id} --topic membership-charge-settled")
    assert "We had corrected what the upgrade" in explained.text, explained
    assert await again(connects, asked) == (0, {"triggers": 7, "nothing_to_amend": 0, "left": 0})
    await a_row_that_was_altered_is_found(world, connects)


async def test_replaced_events_say_again_what_they_said(world: World) -> None:
    happens, connects = Events(), world.asking()
    worker = await world.worker()
    await world.produce([happens("freelancer-registered", freelancer_id=name) for name in MEMBERS])
    wrong = [
        happens("connects-purchased", freelancer_id=name, purchase_id=f"b-{name}", connects=10) for name in MEMBERS
    ]
    await world.produce(wrong)
    await world.settled()
    before = await balances_of(world, MEMBERS)
    right = [
        Sent(sent.topic, json.dumps({**json.loads(sent.value or b""), "connects": due}).encode(), sent.key)
        for sent, due in zip(wrong, (25, 25, 4, 10), strict=True)
    ]
    write_archive(world.folder / "right.jsonl", right)
    planned = await connects("replay plan --replace right.jsonl --out right.plan --json")
    assert (planned.json["triggers"]["replace"], planned.json["inert"]) == (3, 1), planned
    applied = await connects.as_process(f"replay apply right.plan {WHY} --take-too")
    assert applied.code == 0, applied
    undone = await connects("replay undo right.plan --out undo.plan --json")
    assert (undone.json["given"], undone.json["taken"], undone.json["left_for_a_person"]) == (6, 30, []), undone
    applied = await connects.as_process(f"replay apply undo.plan {WHY} --take-too")
    assert applied.code == 0, applied
    assert await balances_of(world, MEMBERS) == before
    await world.produce([*wrong, *right])  # each is a repeat
    await world.settled()
    await all_is_proved(world, connects)
    event_id = json.loads(wrong[0].value or b"")["event_id"]
    explained = await connects(f"explain {event_id} --topic connects-purchased")
    assert "We had corrected your purchase b-f-0" in explained.text, explained
    exported = await connects("bundle export --freelancer f-0 --out f-0.bundle")
    assert exported.code == 0, exported
    assert (await connects("bundle check f-0.bundle")).code == 0
    again = await connects("replay plan --replace right.jsonl --out again.plan --json")
    assert (again.json["triggers"]["replace"], again.json["replaced"]) == (3, 0), again
    worker.terminate()
    assert await worker.ended() == 0
