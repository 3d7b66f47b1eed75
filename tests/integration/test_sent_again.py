"""A day that was sent again, under new ids, is voided beside live traffic, while the worker and the command die."""

import json
from datetime import timedelta
from typing import Any

from schemas.outputs import WalletUpdated
from tests.kit.applying import apply_through_deaths, balances_of
from tests.kit.asking import Asking
from tests.kit.invariants import check_everything
from tests.kit.produce import Sent
from tests.kit.world import Events, World

MEMBERS = [f"f-{number}" for number in range(12)]
JOBS = [f"j-{number}" for number in range(3)]
WHY = '--why "the migration sent the day twice" --actor ana'
NEW = {"purchase_id": "b2", "proposal_id": "p2", "adjustment_id": "a2"}


def the_day(happens: Events) -> list[Sent]:
    bought = [
        happens("connects-purchased", freelancer_id=name, purchase_id=f"b-{name}", connects=10) for name in MEMBERS
    ]
    spent = {"origin": "proposal", "connects": 6, "boost_connects": 4}
    proposals = [
        happens("proposal-submitted", freelancer_id=name, proposal_id=f"p-{name}", job_id=_job_of(name), **spent)
        for name in MEMBERS
    ]
    said = {"actor": "ana", "note": "goodwill"}
    adjusted = [
        happens("connects-adjusted", freelancer_id=name, adjustment_id=f"a-{name}", connects=sign * 7, **said)
        for name, sign in zip(MEMBERS[:4], (1, -1, 1, -1), strict=True)
    ]
    return [*bought, *proposals, *adjusted]


def sent_again(day: list[Sent]) -> list[Sent]:
    """The same events with new event ids, and new purchase, proposal and adjustment ids."""
    again = []
    for sent in day:
        fields: dict[str, Any] = json.loads(sent.value or b"")
        for name, prefix in NEW.items():
            if name in fields:
                fields[name] = f"{prefix}-{fields[name]}"
        fields["event_id"] = f"again-{fields['event_id']}"
        again.append(Sent(sent.topic, json.dumps(fields).encode(), sent.key))
    return again


def _job_of(name: str) -> str:
    return JOBS[int(name.removeprefix("f-")) % len(JOBS)]


async def test_a_day_that_was_sent_again_is_voided_while_worker_and_command_are_killed(world: World) -> None:
    happens = Events()
    day = the_day(happens)
    await world.produce([happens("freelancer-registered", freelancer_id=name) for name in MEMBERS])
    await world.produce(day)
    first = await world.worker()
    await world.settled()
    right = await balances_of(world, MEMBERS)
    await world.produce(sent_again(day))
    await world.produce([happens("job-closed", job_id=JOBS[0], client_id="c-1", closure="closed-by-client")])
    await world.settled()
    connects = world.asking()
    resent = [json.loads(sent.value or b"") | {"topic": sent.topic} for sent in sent_again(day)]
    names = [f"{event['topic']}/{event['event_id']}" for event in resent]
    (world.folder / "resent.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
    planned = await connects("replay plan --void resent.txt --out void.plan --json")
    assert planned.code == 0, planned
    assert planned.json["triggers"]["void"] == len(resent)
    assert planned.json["left_for_a_person"] == []
    first.terminate()
    assert await first.ended() == 0

    dying = await world.worker(kill_after="9:before-commit")
    await world.leads(dying)
    await apply_through_deaths(world, connects, happens, dying, f"void.plan {WHY}")
    assert await world.value("SELECT count(*) FROM voided") == len(resent)
    verified = await connects("verify")
    assert (verified.code, verified.out) == (0, "All is as it was written.\n"), verified
    await check_everything(world, model=False)
    await balances_are_as_without_the_second_day(world, right)
    await the_messages_name_what_they_correct(world, resent)
    await the_commands_name_the_corrections(connects, resent)
    await a_second_plan_has_nothing_to_do(connects)
    await an_id_that_was_sent_again_names_the_first_event_only_when_told(world, connects, day[0])
    await a_row_that_was_altered_is_found(world, connects)


async def an_id_that_was_sent_again_names_the_first_event_only_when_told(
    world: World, connects: Asking, sent: Sent
) -> None:
    await world.produce([sent])
    await world.settled()
    named = f"{sent.topic}/{json.loads(sent.value or b'')['event_id']}"
    (world.folder / "resent-id.txt").write_text(f"{named}\n", encoding="utf-8")
    refused = await connects("replay plan --void resent-id.txt --out id.plan")
    assert (refused.code, refused.err.count("\n")) == (2, 1), refused
    assert f"line 1: {named} was sent again" in refused.err
    assert (await connects("replay plan --void resent-id.txt --out id.plan --first")).code == 0


async def balances_are_as_without_the_second_day(world: World, right: dict[str, int]) -> None:
    """But for what came since: 30 for a badge of some, and what the closed job returned."""
    back = {name: 10 for name in MEMBERS if _job_of(name) == JOBS[0]}
    badges = {f"f-{number}": 30 for number in range(3)}
    expected = {name: right[name] + back.get(name, 0) + badges.get(name, 0) for name in MEMBERS}
    assert await balances_of(world, MEMBERS) == expected


async def the_messages_name_what_they_correct(world: World, resent: list[dict[str, Any]]) -> None:
    updates = [WalletUpdated.model_validate_json(record.value) for record in world.reader.records]
    voids = [update for update in updates if update.rule == "correct.void"]
    ids = {event["event_id"] for event in resent}
    assert voids
    for update in voids:
        assert update.corrects is not None
        assert set(update.corrects) <= ids
        assert "as a correction: " in update.explanation
    versions = [(update.freelancer_id, update.version) for update in updates]
    assert len(versions) == len(set(versions))


async def the_commands_name_the_corrections(connects: Asking, resent: list[dict[str, Any]]) -> None:
    for topic in ("connects-purchased", "proposal-submitted", "connects-adjusted"):
        event_id = next(event["event_id"] for event in resent if event["topic"] == topic)
        explained = await connects(f"explain {event_id} --json")
        assert explained.code == 0, explained
        assert "correct.void" in [one["rule"] for one in explained.json["decisions"]], explained
    proposal = await connects("explain --proposal p2-p-f-1 --json")
    assert [one["reason"] for one in proposal.json["decisions"]] == ["proposal-submitted", "voided"], proposal
    exported = await connects("bundle export --freelancer f-1 --out f-1.bundle")
    assert exported.code == 0, exported
    checked = await connects("bundle check f-1.bundle")
    assert checked.code == 0, checked
    for verify in ("verify --freelancer f-1", "verify --jobs 2"):
        verified = await connects(verify)
        assert verified.code == 0, verified


async def a_second_plan_has_nothing_to_do(connects: Asking) -> None:
    found = "--void found --void-topic connects-purchased --from 2000-01-01T00:00:00Z --to 2000-01-02T00:00:00Z"
    for selection in ("--void resent.txt", found):
        planned = await connects(f"replay plan {selection} --out {len(selection)}.plan --json")
        assert planned.code == 0, planned
        assert planned.json["triggers"]["void"] == 0


async def a_row_that_was_altered_is_found(world: World, connects: Asking) -> None:
    seq = await world.value(
        "DELETE FROM voided WHERE decision_seq = (SELECT max(decision_seq) FROM voided) RETURNING decision_seq"
    )
    verified = await connects("verify")
    assert verified.code == 1, verified
    assert f"decision {seq}: a correction is on it, and the row is missing" in verified.text, verified


async def test_a_voided_proposal_that_owed_comes_again_and_is_settled_again(world: World) -> None:
    """By the closure that settled it before; and `verify` finds neither its debt nor the settlement wrong."""
    happens = Events()
    start = happens.now
    sent = {"freelancer_id": "f-1", "proposal_id": "p-1", "job_id": "j-1", "origin": "proposal", "connects": 60}
    await world.produce([happens("freelancer-registered", freelancer_id="f-1")])
    await world.produce([happens("proposal-submitted", event_id="s-1", **sent)])
    happens.now += timedelta(hours=1)
    await world.produce([happens("job-closed", job_id="j-1", client_id="c-1", closure="expired")])
    await world.worker()
    await world.settled()
    connects = world.asking()
    assert await world.value("SELECT base_debt FROM spends") > 0
    (world.folder / "wrong.txt").write_text("proposal-submitted/s-1\n", encoding="utf-8")
    assert (await connects("replay plan --void wrong.txt --out wrong.plan")).code == 0
    assert (await connects.as_process(f"replay apply wrong.plan {WHY} --take-too")).code == 0
    await world.settled()
    again = happens("proposal-submitted", event_id="s-2", **sent)
    early = json.loads(again.value or b"") | {"occurred_at": (start + timedelta(minutes=1)).isoformat()}
    await world.produce([Sent(again.topic, json.dumps(early).encode(), again.key)])
    await world.settled()

    async def settled_twice() -> bool:
        return await world.value("SELECT count(*) FROM decisions WHERE kind = 'settlement'") == 2

    await world.comes_true(settled_twice)
    verified = await connects("verify")
    assert (verified.code, verified.out) == (0, "All is as it was written.\n"), verified
