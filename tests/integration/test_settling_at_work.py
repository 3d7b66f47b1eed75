"""A release did not settle some jobs, and hires came after refunds: both are settled again by one plan at work.

The worker and the command are killed meanwhile, and live traffic goes on.
"""

import json
from typing import Any

from schemas.outputs import OwnCause, WalletUpdated
from tests.kit.applying import MEMBERS, apply_through_deaths, balances
from tests.kit.asking import Asking
from tests.kit.invariants import check_everything
from tests.kit.produce import Sent
from tests.kit.world import Events, World

WHY = '--why "release 1.4 did not settle them, and hires came late" --actor ana'
UNSETTLED, HIRED = MEMBERS[:6], MEMBERS[6:10]
"""Who applied for j-0, which was not settled, and who for j-1, on which somebody had been hired."""


def the_jobs(happens: Events) -> list[Sent]:
    """On j-0 the first proposal is withdrawn; then both jobs are closed. j-2 is closed as it should be."""
    cost = {"origin": "proposal", "connects": 6, "boost_connects": 4}
    spent = [
        happens("proposal-submitted", freelancer_id=name, proposal_id=f"p-{name}", job_id=job, **cost)
        for job, names in (("j-0", UNSETTLED), ("j-1", HIRED), ("j-2", MEMBERS[10:13]))
        for name in names
    ]
    withdrawn = happens("proposal-withdrawn", freelancer_id="f-0", proposal_id="p-f-0", job_id="j-0")
    closed = [
        happens("job-closed", job_id=job, client_id="c-1", closure="closed-by-client") for job in ("j-0", "j-1", "j-2")
    ]
    return [*spent, withdrawn, *closed]


async def what_happened(world: World, connects: Asking) -> Events:
    """A release with the fault settles the jobs; then comes a hire for j-1, which is older than its closing."""
    happens = Events()
    await world.produce([happens("freelancer-registered", freelancer_id=name) for name in MEMBERS])
    before_the_closing = happens.now
    faulty = await world.worker(passes_over_jobs="withdrawn")
    await world.produce(the_jobs(happens))
    await world.settled()
    hire = {"job_id": "j-1", "freelancer_id": "f-19", "contract_id": "k-1"}
    await world.produce([happens("hire-made", **hire, occurred_at=before_the_closing.isoformat())])
    await world.settled()
    faulty.terminate()
    assert await faulty.ended() == 0
    owed = await connects("owed --json")
    assert (owed.code, owed.json["refunds"]) == (1, len(UNSETTLED) - 1), owed
    assert {one["job_id"] for one in owed.json["owed"]} == {"j-0"}
    assert (await connects("verify")).code == 1
    return happens


async def planned(connects: Asking) -> dict[str, Any]:
    answer = await connects("replay plan --settle owed --settle late-hires --out jobs.plan --json")
    assert answer.code == 0, answer
    plan: dict[str, Any] = answer.json
    assert (plan["triggers"]["settle"], plan["triggers"]["add"]) == (5 + 4, 0)
    assert (plan["given"], plan["taken"], plan["nothing_to_do"]) == (50, 40, 1)
    shown = await connects("replay show jobs.plan --freelancer f-1")
    assert "10 Connects returned on" in shown.text
    return plan


async def test_jobs_are_settled_again_beside_live_traffic_while_worker_and_command_are_killed(world: World) -> None:
    connects = world.asking(CONNECTS_SETTLEMENT_GRACE=str(int(world.grace_seconds)))
    happens = await what_happened(world, connects)
    await the_jobs_are_named_by_events_too(world, connects)
    plan = await planned(connects)
    refused = await connects(f"replay apply jobs.plan {WHY}")
    assert (refused.code, "4 of the plan's triggers take Connects away" in refused.err) == (2, True), refused

    dying = await world.worker(kill_after="6:before-commit")
    await world.leads(dying)
    await apply_through_deaths(world, connects, happens, dying, f"jobs.plan {WHY}")

    status = await connects(f"replay status {plan['hash'][:12]} --json")
    (one,) = status.json["plans"]
    assert (one["booked"], one["left"]) == (9, 0)
    assert await world.value("SELECT count(*) FROM decisions WHERE kind = 'correction'") == 9
    assert (await connects("owed")).code == 0
    verified = await connects("verify")
    assert (verified.code, verified.out) == (0, "All is as it was written.\n"), verified
    await check_everything(world, model=False)
    await the_messages_name_what_was_corrected(world)
    await the_commands_name_the_corrections(world, connects)
    await settled_once_is_settled(world, connects)
    against = await connects("verify --against topics")
    assert against.code == 0, against


async def the_jobs_are_named_by_events_too(world: World, connects: Asking) -> None:
    closing = await world.value("SELECT event_id FROM closures WHERE job_id = 'j-0'")
    registered = await world.value("SELECT event_id FROM decisions WHERE topic = 'freelancer-registered' LIMIT 1")
    lines = f"# of two kinds\njob-closed/{closing}\nfreelancer-registered/{registered}\njob-closed/nothing\njob/j-2\n"
    (world.folder / "events.txt").write_text(lines, encoding="utf-8")
    assert (await connects("log find --job j-0 --selection found.sel")).code == 0
    assert (await connects("verify --selection wrong.sel")).code == 1
    for selection, left in (("events.txt", 2), ("found.sel", 0), ("wrong.sel", 0)):
        plan = (await connects(f"replay plan --settle {selection} --out {selection}.plan --json")).json
        assert (plan["triggers"]["settle"], plan["given"], plan["taken"]) == (5, 50, 0), (selection, plan)
        assert sum(one["events"] for one in plan["left_for_a_person"]) == left, (selection, plan)


async def the_messages_name_what_was_corrected(world: World) -> None:
    updates = [WalletUpdated.model_validate_json(record.value) for record in world.reader.records]
    corrections = [update for update in updates if update.rule == "correct.settle"]
    assert len({(update.freelancer_id, update.version) for update in corrections}) == len(corrections) == 9
    closings = await world.rows("SELECT job_id, event_id FROM closures")
    event_of = {row["job_id"]: row["event_id"] for row in closings}
    for update in corrections:
        assert isinstance(update.cause, OwnCause)
        assert update.cause.event_id.startswith("command:")
        assert update.corrects == (event_of[update.subject.job_id or ""],)
        assert update.delta == (10 if update.subject.job_id == "j-0" else -10)
    assert all(update.corrects is None for update in updates if update.rule != "correct.settle")


async def the_commands_name_the_corrections(world: World, connects: Asking) -> None:
    ordered = "ana ordered this correction (release 1.4 did not settle them, and hires came late)."
    history = await connects("history f-1 --json")
    change = next(one for one in history.json["changes"] if one["rule"] == "correct.settle")
    assert change["explanation"].endswith(f"had not come back. {ordered}"), change
    for known in ("--as-of 2999-01-01T00:00:00Z", "--known-at 2999-01-01T00:00:00Z"):
        answer = await connects(f"history f-1 {known} --json")
        assert any(ordered in one["explanation"] for one in answer.json["changes"]), answer
    closing = await world.value("SELECT event_id FROM closures WHERE job_id = 'j-1'")
    for command in (f"explain {closing}", f"explain {closing} --topic job-closed", "explain --job j-1"):
        explained = await connects(f"{command} --json")
        corrections = [one for one in explained.json["decisions"] if one["kind"] == "correction"]
        assert len(corrections) == len(HIRED), explained
        assert all("somebody had been hired for job j-1" in one["explanation"] for one in corrections)
    proposal = await connects("explain --proposal p-f-6 --again --json")
    assert [one["kind"] for one in proposal.json["decisions"]] == ["first", "settlement", "correction"]
    assert {one["verdict"] for one in proposal.json["again"]} == {"same"}, proposal
    found = await connects("log find --kind correction --json")
    assert len(found.out.splitlines()) == 9
    exported = await connects("bundle export --freelancer f-6 --out f-6.bundle")
    assert exported.code == 0, exported
    assert (await connects("bundle check f-6.bundle")).code == 0
    page = await connects("history f-6")
    assert "as a correction" in page.text


async def settled_once_is_settled(world: World, connects: Asking) -> None:
    before = await balances(world)
    (world.folder / "jobs.txt").write_text("job/j-0\n\nj-1\nj-2\n", encoding="utf-8")
    for selection in ("owed", "late-hires", "jobs.txt"):
        again = await connects(f"replay plan --settle {selection} --out {selection}.again --json")
        assert (again.code, again.json["triggers"]["settle"]) == (0, 0), again
    assert again.json["nothing_to_do"] == 6 + 4 + 3
    page = await connects("replay plan --settle jobs.txt --out page.again")
    assert "Nothing is to be done. Of 13 spends: 13 settled as they should be." in page.text
    assert await balances(world) == before


async def test_selections_that_cannot_be_used(world: World) -> None:
    connects = world.asking()
    worker = await world.worker()
    await world.leads(worker)
    files = {"unknown": "j-0\nj-8\n", "wrong": "j-1\nproposal/p-1\n"}
    for name, text in files.items():
        (world.folder / name).write_text(text, encoding="utf-8")
    for selection, words in (
        ("unknown", "has jobs on which nothing was spent: j-0, j-8. Take them out of the file"),
        ("wrong", "line 2 is no job id: 'proposal/p-1'. Give one job id, or one topic/event_id, a line"),
        (
            "nowhere",
            "cannot be read: No such file or directory. Give owed, late-hires, or a file of job ids, of topic",
        ),
    ):
        refused = await connects(f"replay plan --settle {selection} --out p.plan")
        assert (refused.code, words in refused.err) == (2, True), refused
    empty = await connects("replay plan --settle owed --out p.plan --json")
    assert (empty.code, json.loads(empty.out)["triggers"]["settle"]) == (0, 0), empty
