"""Events that came with wrong amounts and wrong times get their right content beside live traffic.

The worker and the command die meanwhile.
"""

import json
from datetime import datetime, timedelta
from typing import Any

from schemas.outputs import WalletUpdated
from tests.kit.applying import apply_through_deaths, balances_of
from tests.kit.asking import Asking
from tests.kit.invariants import check_everything
from tests.kit.produce import Sent
from tests.kit.world import Events, World

MEMBERS = [f"f-{number}" for number in range(12)]
JOB, CLOSED_JOB = "j-1", "j-2"
WHY = '--why "the importer read cents as Connects" --actor ana'
SPENT = {"origin": "proposal", "boost_connects": 4}
RIGHT = {"connects-purchased": 40, "connects-adjusted": 7, "proposal-submitted": 6}
WRONG = {"connects-purchased": 4, "connects-adjusted": 70, "proposal-submitted": 16}


def the_day(happens: Events) -> list[Sent]:
    """What came, each with a wrong amount."""
    bought = [
        happens("connects-purchased", freelancer_id=name, purchase_id=f"b-{name}", connects=4) for name in MEMBERS
    ]
    said = {"actor": "ana", "note": "goodwill"}
    adjusted = [
        happens("connects-adjusted", freelancer_id=name, adjustment_id=f"a-{name}", connects=70, **said)
        for name in MEMBERS[:4]
    ]
    proposals = [
        happens("proposal-submitted", freelancer_id=name, proposal_id=f"p-{name}", job_id=JOB, connects=16, **SPENT)
        for name in MEMBERS
    ]
    return [*bought, *adjusted, *proposals]


def made_right(day: list[Sent]) -> list[dict[str, Any]]:
    """The same events as they should have been, as lines of a file."""
    every = [json.loads(sent.value or b"") | {"topic": sent.topic} for sent in day]
    return [event | {"connects": RIGHT[event["topic"]]} for event in every]


async def test_a_day_of_wrong_amounts_is_replaced_while_worker_and_command_are_killed(world: World) -> None:
    happens = Events()
    day = the_day(happens)
    await world.produce([happens("freelancer-registered", freelancer_id=name) for name in MEMBERS])
    await world.produce(day)
    first = await world.worker()
    await world.settled()
    connects = world.asking()
    right = made_right(day)
    lines = [json.dumps(event) for event in right]
    (world.folder / "right.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    planned = await connects("replay plan --replace right.jsonl --out right.plan --json")
    assert planned.code == 0, planned
    assert planned.json["triggers"]["replace"] == len(right)
    assert (planned.json["left_for_a_person"], planned.json["replaced"]) == ([], 0)
    shown = await connects("replay show right.plan")
    assert shown.code == 0, shown
    assert f"Triggers: {len(right)} replace." in shown.text
    first.terminate()
    assert await first.ended() == 0

    dying = await world.worker(kill_after="9:before-commit")
    await world.leads(dying)
    await apply_through_deaths(world, connects, happens, dying, f"right.plan {WHY}")
    await everything_holds(world, connects)
    compared = await connects("verify --against topics --json")
    assert compared.json["against"]["replaced"] == len(right), compared
    await balances_are_as_of_the_right_day(world)
    await the_messages_name_what_they_correct(world, right)
    await the_commands_name_the_corrections(connects, right)
    await the_ids_answer_with_both_contents(world, connects, day, right)
    await a_second_plan_has_nothing_to_do(connects, len(right))
    await a_clock_that_was_a_day_behind_is_set_right(world, connects, happens)


async def everything_holds(world: World, connects: Asking) -> None:
    for verify in ("verify", "verify --against topics", "verify --jobs 2", "verify --freelancer f-1"):
        verified = await connects(verify)
        assert verified.code == 0, verified
    await check_everything(world, model=False)


async def balances_are_as_of_the_right_day(world: World) -> None:
    """40 for registering, 40 bought, 10 spent, 7 of support for some, and 30 for a badge that came meanwhile."""
    support = dict.fromkeys(MEMBERS[:4], RIGHT["connects-adjusted"])
    badges = {f"f-{number}": 30 for number in range(3)}
    expected = {name: 70 + support.get(name, 0) + badges.get(name, 0) for name in MEMBERS}
    assert await balances_of(world, MEMBERS) == expected
    spends = await world.rows("SELECT base, boost, base_debt, boost_debt FROM spends")
    assert {tuple(row) for row in spends} == {(6, 4, 0, 0)}


async def the_messages_name_what_they_correct(world: World, right: list[dict[str, Any]]) -> None:
    updates = [WalletUpdated.model_validate_json(record.value) for record in world.reader.records]
    replaces = [update for update in updates if update.rule == "correct.replace"]
    assert sorted(one for update in replaces for one in update.corrects or ()) == sorted(
        one["event_id"] for one in right
    )
    assert all("as a correction: " in update.explanation for update in replaces)
    deltas = {update.delta for update in replaces}
    assert deltas == {RIGHT[topic] - WRONG[topic] for topic in ("connects-purchased", "connects-adjusted")} | {10}


async def the_commands_name_the_corrections(connects: Asking, right: list[dict[str, Any]]) -> None:
    for topic in RIGHT:
        event_id = next(event["event_id"] for event in right if event["topic"] == topic)
        explained = await connects(f"explain {event_id} --json")
        assert explained.code == 0, explained
        assert "correct.replace" in [one["rule"] for one in explained.json["decisions"]], explained
    proposal = await connects("explain --proposal p-f-1 --json")
    assert [one["reason"] for one in proposal.json["decisions"]] == ["proposal-submitted", "replaced"], proposal
    history = await connects("history f-1")
    assert "proposal p-f-1 of" in history.text, history
    exported = await connects("bundle export --freelancer f-1 --out f-1.bundle")
    assert exported.code == 0, exported
    checked = await connects("bundle check f-1.bundle")
    assert checked.code == 0, checked


async def the_ids_answer_with_both_contents(
    world: World, connects: Asking, day: list[Sent], right: list[dict[str, Any]]
) -> None:
    """The right event sent again is a duplicate, and so is the wrong one; a third content is a conflict."""
    of_topic = [{name: value for name, value in event.items() if name != "topic"} for event in right]
    again = [Sent(sent.topic, json.dumps(event).encode(), sent.key) for sent, event in zip(day, of_topic, strict=True)]
    third = Sent(day[0].topic, json.dumps(of_topic[0] | {"connects": 41}).encode(), day[0].key)
    before = await balances_of(world, MEMBERS)
    await world.produce([*again, *day, third])
    await world.settled()
    counts = await world.rows(
        "SELECT outcome, count(*) FROM decisions WHERE outcome IN ('duplicate', 'rejected') GROUP BY outcome ORDER BY 1"
    )
    assert [tuple(row) for row in counts] == [("duplicate", 2 * len(day)), ("rejected", 1)]
    assert await balances_of(world, MEMBERS) == before
    await everything_holds(world, connects)


async def a_second_plan_has_nothing_to_do(connects: Asking, events: int) -> None:
    for option in ("--replace", "--add"):
        planned = await connects(f"replay plan {option} right.jsonl --out second{option}.plan --json")
        assert planned.code == 0, planned
        assert sum(planned.json["triggers"].values()) == 0
        assert (planned.json["replaced"], planned.json["inert"], planned.json["conflicts"]) == (events, 0, 0)


async def a_clock_that_was_a_day_behind_is_set_right(world: World, connects: Asking, happens: Events) -> None:
    """Proposals of a producer whose clock is a day ahead come after their job was closed: nothing came back."""
    happens.now += timedelta(minutes=10)
    right_at = happens.now
    happens.now += timedelta(hours=1)
    closing = happens("job-closed", job_id=CLOSED_JOB, client_id="c-1", closure="closed-by-client")
    happens.now = right_at + timedelta(days=1)
    late = [
        happens(
            "proposal-submitted", freelancer_id=name, proposal_id=f"q-{name}", job_id=CLOSED_JOB, connects=6, **SPENT
        )
        for name in MEMBERS[:3]
    ]
    before = await balances_of(world, MEMBERS)
    await world.produce([closing, *late])
    await world.settled()
    assert await balances_of(world, MEMBERS[:3]) == {name: before[name] - 10 for name in MEMBERS[:3]}
    span = f"--from {_text(right_at + timedelta(hours=23))} --to {_text(right_at + timedelta(hours=25))}"
    shift = f"replay plan --shift -24h --shifted found --shift-topic proposal-submitted {span}"
    planned = await connects(f"{shift} --out clock.plan --json")
    assert planned.code == 0, planned
    assert (planned.json["triggers"]["replace"], planned.json["triggers"]["settle"]) == (3, 3), planned
    applied = await connects.as_process(f"replay apply clock.plan {WHY} --take-too")
    assert applied.code == 0, applied
    await world.settled()
    assert await balances_of(world, MEMBERS) == before
    again = await connects(f"{shift} --out clock-again.plan --json")
    assert (sum(again.json["triggers"].values()), again.json["replaced"]) == (0, 3), again
    await everything_holds(world, connects)


def _text(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")
