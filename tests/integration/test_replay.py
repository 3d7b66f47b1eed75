"""An hour that was lost is planned and applied to a worker at work, which dies meanwhile, as does the command."""

import json
import signal
from pathlib import Path
from typing import Any

from schemas.outputs import AddedCause, WalletUpdated
from tests.kit.applying import MEMBERS, apply_through_deaths, balances
from tests.kit.asking import Asking
from tests.kit.invariants import check_everything
from tests.kit.produce import Sent
from tests.kit.waiting import in_time
from tests.kit.world import Events, World

JOBS = [f"j-{number}" for number in range(4)]
WHY = '--why "the importer lost an hour" --actor ana'


def the_hour_before(happens: Events) -> list[Sent]:
    before = [happens("freelancer-registered", freelancer_id=name) for name in MEMBERS]
    spent = {"origin": "proposal", "connects": 6, "boost_connects": 4}
    proposals = [
        happens("proposal-submitted", freelancer_id=name, proposal_id=f"p-{name}", job_id=_job_of(name), **spent)
        for name in MEMBERS[:12]
    ]
    waiting = [
        happens("boost-outbid", freelancer_id=name, proposal_id=f"p-{name}", job_id=_job_of(name))
        for name in MEMBERS[12:14]
    ]
    return [*before, *proposals, *waiting]


def the_lost_hour(happens: Events) -> list[Sent]:
    bought = [
        happens("connects-purchased", freelancer_id=name, purchase_id=f"b-{name}", connects=10) for name in MEMBERS
    ]
    spent = {"origin": "proposal", "connects": 6, "boost_connects": 4}
    proposals = [
        happens("proposal-submitted", freelancer_id=name, proposal_id=f"p-{name}", job_id=_job_of(name), **spent)
        for name in MEMBERS[12:]
    ]
    closed = [happens("job-closed", job_id=job, client_id="c-1", closure="closed-by-client") for job in JOBS[:2]]
    return [*bought, *proposals, *closed]


def _job_of(name: str) -> str:
    return JOBS[int(name.removeprefix("f-")) % len(JOBS)]


def write_archive(path: Path, lost: list[Sent]) -> None:
    lines = [json.dumps({"topic": sent.topic, "value": json.loads(sent.value or b"")}) for sent in lost]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


async def planned(world: World, connects: Asking, lost: list[Sent]) -> dict[str, Any]:
    write_archive(world.folder / "hour.jsonl", lost)
    answer = await connects("replay plan --add hour.jsonl --out hour.plan --json")
    assert answer.code == 0, answer
    plan: dict[str, Any] = answer.json
    assert plan["triggers"]["add"] == len(lost)
    return plan


async def test_a_lost_hour_is_added_beside_live_traffic_while_worker_and_command_are_killed(world: World) -> None:
    happens = Events()
    await world.produce(the_hour_before(happens))
    first = await world.worker()
    await world.settled()
    lost = the_lost_hour(happens)
    connects = world.asking()
    plan = await planned(world, connects, lost)
    first.terminate()
    assert await first.ended() == 0

    refused = await connects(f"replay apply hour.plan {WHY} --take-too")
    assert (refused.code, "no worker is active" in refused.err) == (1, True), refused

    dying = await world.worker(kill_after="18:before-commit")
    await world.leads(dying)
    refused = await connects(f"replay apply hour.plan {WHY}")
    assert (refused.code, "add --take-too, or --give-only" in refused.err) == (2, True), refused
    await apply_through_deaths(world, connects, happens, dying, f"hour.plan {WHY}")

    status = await connects(f"replay status {plan['hash'][:12]} --json")
    (one,) = status.json["plans"]
    assert (one["state"], one["actor"], one["booked"], one["left"]) == ("done", "ana", len(lost), 0)
    log = await connects("replay log --json")
    (logged,) = log.json["plans"]
    assert (logged["plan"], logged["state"], logged["actor"]) == (plan["hash"], "done", "ana")
    assert (logged["why"], logged["kinds"]) == ("the importer lost an hour", {"add": len(lost)})
    assert (logged["booked"], logged["deviated"], logged["left_out"], logged["left"]) == (len(lost), 0, 0, 0)
    assert logged["begun_at"] < logged["booked_at"]
    page = await connects("replay log")
    assert (page.code, plan["hash"][:12] in page.text, "done" in page.text) == (0, True, True), page
    assert await world.value("SELECT count(*) FROM decisions WHERE kind = 'added'") == len(lost)
    verified = await connects("verify")
    assert (verified.code, verified.out) == (0, "All is as it was written.\n"), verified
    await check_everything(world, model=False)
    await the_messages_name_what_was_added(world)
    await the_commands_say_who_added_what(world, connects, lost)
    await nothing_changes_when_they_come_after_all(world, connects, lost)
    await a_closed_plan_is_refused(connects, plan["hash"])


async def the_messages_name_what_was_added(world: World) -> None:
    updates = [WalletUpdated.model_validate_json(record.value) for record in world.reader.records]
    added = [update for update in updates if isinstance(update.cause, AddedCause)]
    decisions = {row["seq"]: row for row in await world.decisions("kind = 'added'")}
    assert {update.cause.event_id for update in added} <= {row["event_id"] for row in decisions.values()}
    refunds = [update for update in added if update.rule == "refund.job-closed-without-hire"]
    assert len(refunds) == 10
    for update in added:
        assert isinstance(update.cause, AddedCause)
        assert decisions[update.cause.added]["topic"] == update.cause.topic


async def the_commands_say_who_added_what(world: World, connects: Asking, lost: list[Sent]) -> None:
    bought = next(sent for sent in lost if sent.topic == "connects-purchased")
    fields = json.loads(bought.value or b"")
    explained = await connects(f"explain {fields['event_id']} --json")
    (decision,) = explained.json["decisions"]
    assert (decision["kind"], decision["topic"], decision["partition"], decision["offset"]) == (
        *("added", "connects-purchased"),
        *(None, None),
    )
    added = "ana added it on "
    assert added in decision["explanation"]
    assert decision["explanation"].endswith("(the importer lost an hour), from hour.jsonl, line 1.")
    for details in ("", " --details"):
        answer = await connects(f"explain {fields['event_id']}{details}")
        assert answer.code == 0
        assert "added" in answer.text
    history = await connects(f"history {fields['freelancer_id']} --json")
    change = next(one for one in history.json["changes"] if one["rule"] == "grant.purchase")
    seq = await world.value("SELECT seq FROM decisions WHERE event_id = $1", fields["event_id"])
    assert change["cause"] == {"topic": "connects-purchased", "event_id": fields["event_id"], "added": seq}
    assert added in change["explanation"]
    for known in ("--as-of 2999-01-01T00:00:00Z", "--known-at 2999-01-01T00:00:00Z"):
        answer = await connects(f"history {fields['freelancer_id']} {known} --json")
        assert any(one["cause"].get("added") == seq for one in answer.json["changes"]), answer
    found = await connects("log find --kind added --json")
    assert len(found.out.splitlines()) == len(lost)
    job = await connects(f"explain --job {JOBS[0]} --json")
    settled = [one for one in job.json["decisions"] if one["kind"] == "settlement"]
    assert len(settled) == 5
    assert all(added in one["explanation"] for one in settled)
    assert (await connects("owed")).code == 0
    await a_bundle_is_whole(connects, "f-0.bundle")


async def nothing_changes_when_they_come_after_all(world: World, connects: Asking, lost: list[Sent]) -> None:
    before = await balances(world)
    await world.produce(lost)
    await world.settled()
    assert await balances(world) == before
    repeats = await world.decisions("outcome = 'duplicate'")
    assert len(repeats) == len(lost)
    await a_bundle_is_whole(connects, "f-0-with-repeats.bundle")
    for against in ("", " --against topics"):
        verified = await connects(f"verify{against}")
        assert verified.code == 0, verified


async def a_bundle_is_whole(connects: Asking, name: str) -> None:
    exported = await connects(f"bundle export --freelancer f-0 --out {name}")
    assert exported.code == 0, exported
    checked = await connects(f"bundle check {name}")
    assert checked.code == 0, checked


async def a_closed_plan_is_refused(connects: Asking, plan: str) -> None:
    stopped = await connects(f"replay stop {plan[:8]} --close {WHY}")
    assert (stopped.code, stopped.out.startswith("Closed: plan ")) == (0, True), stopped
    again = await connects(f"replay apply hour.plan {WHY} --take-too")
    assert (again.code, "it was closed for good" in again.err) == (1, True), again
    shown = await connects("replay status")
    assert ": closed, begun " in shown.text
    (logged,) = (await connects("replay log --json")).json["plans"]
    assert (logged["plan"], logged["state"], logged["left"]) == (plan, "closed", 0)


async def test_what_the_ledger_made_otherwise_meanwhile_deviates_and_stops_the_plan(world: World) -> None:
    happens = Events()
    await world.produce(the_hour_before(happens))
    worker = await world.worker()
    await world.settled()
    lost = the_lost_hour(happens)
    connects = world.asking()
    await planned(world, connects, lost)
    again = json.loads(lost[0].value or b"") | {"event_id": "e-other"}
    await world.produce([Sent("connects-purchased", json.dumps(again).encode(), None)])
    await world.settled()
    applied = await connects.as_process(f"replay apply hour.plan {WHY} --take-too")
    assert applied.code == 1
    assert "1 asked for: 0 booked, 1 deviated" in applied.text
    assert "too many deviate" in applied.text
    await ctrl_c_ends_it_between_two_chunks(connects)
    applied = await connects.as_process(f"replay apply hour.plan {WHY} --take-too --most-deviations 100 --rate 1000")
    assert applied.code == 1
    assert "1 had not." in applied.text
    shown = await connects("replay status hour.plan")
    assert "deviated: other-outcome" in shown.text
    assert "hour.jsonl, line 1" in shown.text
    status = await connects("replay status hour.plan --json")
    (one,) = status.json["plans"]
    assert (one["booked"], one["deviated"], one["left_out"], one["left"]) == (len(lost) - 1, 1, 0, 0)
    assert [row["reason"] for row in one["not_booked"]] == ["other-outcome"]
    assert worker.runs
    assert (await connects("verify")).code == 0


async def ctrl_c_ends_it_between_two_chunks(connects: Asking) -> None:
    process = await connects.start(f"replay apply hour.plan {WHY} --take-too --most-deviations 100 --rate 1")
    assert b"1 asked for: 1 booked" in await in_time(process.stderr.readline())
    process.send_signal(signal.SIGINT)
    out, err = await in_time(process.communicate())
    assert (process.returncode, b"stopping after this chunk" in err) == (1, True), err
    assert b"To go on: connects replay apply hour.plan" in b" ".join(out.split()), out
