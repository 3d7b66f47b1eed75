"""Garbage flows on a topic: it is put on hold while all else goes on, and resumed where it stopped."""

import asyncio
import json
import uuid
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from urllib.parse import urlsplit

import pytest

from tests.kit.asking import Asking
from tests.kit.http import ask, free_port
from tests.kit.invariants import check_by_verify, check_everything
from tests.kit.produce import Sent
from tests.kit.world import PARTITIONS, Events, World

GARBAGE = "certification-completed"
WHY = "the importer sends garbage"


class Flow:
    """Events, each of the moment at which it is made."""

    def __init__(self) -> None:
        self._events = Events()
        self.garbage: list[str] = []

    def send(self, topic: str, **fields: object) -> Sent:
        self._events.now = datetime.now(UTC) - timedelta(seconds=1)
        return self._events(topic, **fields)

    def some_garbage(self) -> list[Sent]:
        """One more record in each partition of the topic."""
        messages = []
        for partition in range(PARTITIONS):
            who = f"g-{len(self.garbage)}"
            self.garbage.append(who)
            sent = self.send(GARBAGE, freelancer_id=who, certification_id=f"c-{who}", kind="skill-certification")
            messages.append(Sent(GARBAGE, sent.value, None, (), partition))
        return messages

    def registered(self, who: str) -> Sent:
        return self.send("freelancer-registered", freelancer_id=who)


async def is_decided(world: World, *messages: Sent) -> None:
    """Wait until these events are decided."""
    await world.produce(messages)
    ids = [json.loads(message.value)["event_id"] for message in messages]

    async def decided() -> bool:
        return await world.value("SELECT count(*) FROM decisions WHERE event_id = ANY($1::text[])", ids) == len(ids)

    await world.comes_true(decided)


async def business_time_with(world: World, who: str) -> datetime:
    """Business time of the batch in which the freelancer registered."""
    found: datetime = await world.value(
        "SELECT b.business_time FROM decisions d JOIN batches b USING (batch_no)"
        " WHERE d.topic = 'freelancer-registered' AND d.freelancer_id = $1",
        who,
    )
    return found


async def garbage_decided(world: World) -> int:
    count: int = await world.value("SELECT count(*) FROM decisions WHERE topic = $1", GARBAGE)
    return count


def spends(flow: Flow) -> Sent:
    """A proposal on a job, by f-1."""
    about = {"freelancer_id": "f-1", "job_id": "j-1", "proposal_id": "p-1"}
    return flow.send("proposal-submitted", **about, connects=9, origin="proposal")


def closes(flow: Flow) -> Sent:
    """Without a hire: the Connects come back when business time is past it."""
    return flow.send("job-closed", job_id="j-1", client_id="c-1", closure="closed-by-client")


async def check_shown(world: World, port: int) -> None:
    """Wherever an operator looks there is who has the topic on hold, why, and what it means."""
    connects = world.asking()
    words = (
        f"{GARBAGE}, all partitions: on hold since ",
        f"by ana ({WHY}), so nothing of it is decided. Business time waits for it: nothing is settled",
        f"`connects positions resume {GARBAGE} --why TEXT`",
    )
    status, body = await ask(port, "/health/ready")
    (problem,) = json.loads(body)["problems"]
    shown, listed = await connects("status"), await connects("positions list")
    for text in (problem, shown.text, listed.text):
        assert [word for word in words if word not in text] == []
    assert (status, shown.code, listed.code) == (HTTPStatus.OK, 1, 0)
    assert f"on hold {GARBAGE}, all partitions, 6 records waiting, business time waits" in shown.text
    assert f"{GARBAGE} 0 1 0" in listed.text
    assert listed.text.count(" yes ") == PARTITIONS
    _, metrics = await ask(port, "/metrics")
    assert f"connects_partitions_on_hold {PARTITIONS}.0" in metrics
    assert 'connects_problems{kind="hold"} 1.0' in metrics

    async def holds_time() -> bool:
        holder = (await connects("status --json")).json["held_back_by"]
        return holder is not None and holder["topic"] == GARBAGE

    await world.comes_true(holds_time)  # it is longer ago than the grace that something of it was decided
    found = (await connects("status --json")).json
    (hold,) = found["holds"]
    assert hold.pop("since")
    assert hold == {
        "topic": GARBAGE,
        "partition": None,
        "by": "ana",
        "why": WHY,
        "business_time_waits": True,
        "records": 2 * PARTITIONS,
    }
    assert (found["lag_records"], found["lag_seconds"]) == (2 * PARTITIONS, 0)
    assert [problem["what"].startswith(words[0]) for problem in found["problems"]] == [True]


async def test_a_topic_on_hold_waits_with_business_time_through_a_takeover_and_all_else_goes_on(world: World) -> None:
    flow, connects = Flow(), world.asking()
    first = await world.connects_run(port := free_port())
    await is_decided(world, flow.registered("f-1"), *flow.some_garbage())
    await is_decided(world, spends(flow))
    await world.settled()

    held = await connects(f"positions hold {GARBAGE} --why '{WHY}' --actor ana")
    waits = "Business time waits for it: nothing is settled, granted or expired until it is resumed."
    words = f"On hold: {GARBAGE}, all partitions. Nothing of it is decided. {waits}"
    assert (held.code, held.text) == (0, words)
    assert await garbage_decided(world) == PARTITIONS
    await world.produce(flow.some_garbage())
    await is_decided(world, flow.registered("f-2"), closes(flow))
    await world.produce(flow.some_garbage())
    await is_decided(world, flow.registered("f-3"))
    assert await business_time_with(world, "f-3") == await business_time_with(world, "f-2")
    assert await world.value("SELECT count(*) FROM due") == 1, "the refund waits with business time"
    await check_shown(world, port)
    assert first.said("intake.partition-on-hold")

    second = await world.worker()
    await world.stands_by(second)
    await first.kill()
    await world.leads(second)
    await is_decided(world, flow.registered("f-4"))
    await world.produce(flow.some_garbage())
    await is_decided(world, flow.registered("f-5"))
    assert await garbage_decided(world) == PARTITIONS
    assert await business_time_with(world, "f-5") == await business_time_with(world, "f-2")
    assert await world.value("SELECT count(*) FROM due") == 1

    resumed = await connects(f"positions resume {GARBAGE} --why 'the importer is repaired'")
    words = f"Resumed: {GARBAGE}, all partitions. Reading goes on where it stopped."
    assert (resumed.code, resumed.text) == (0, words)
    await world.settled()
    assert await garbage_decided(world) == len(flow.garbage) == 4 * PARTITIONS
    assert await world.balance("f-1") == 40, "the refund was made"
    assert await world.value("SELECT count(*) FROM decisions WHERE late_by_seconds IS NOT NULL") == 0
    await check_everything(world)
    assert (await check_by_verify(world))["skipped"] == 0
    assert second.said("intake.partition-resumed")
    asked = [(row["reason"], row["facts"]["why"]) for row in await world.decisions("kind = 'command'")]
    assert asked == [("on-hold", WHY), ("resumed", "the importer is repaired")]


@pytest.mark.in_turn
async def test_beside_a_partition_on_hold_time_goes_on_if_that_is_wanted(world: World) -> None:
    """It is on hold from before the first start on; what comes there meanwhile is late when it is resumed."""
    flow, connects = Flow(), world.asking()
    held = await connects(f"positions hold {GARBAGE}/1 --let-time-go-on --why '{WHY}'")
    assert held.code == 0
    assert held.text.endswith("No worker is active: the hold is in force from the start of the next one.")
    worker = await world.worker()
    first, waiting, last = flow.some_garbage()
    await world.produce([waiting])
    await is_decided(world, flow.registered("f-1"), first, last)
    await is_decided(world, spends(flow))
    await is_decided(world, closes(flow))
    await world.settled(but=[(GARBAGE, 1)])
    assert await world.balance("f-1") == 40, "business time goes on: the refund was made"
    assert await world.balance("g-1") is None

    changed = await connects(f"positions hold {GARBAGE}/1 --why 'no, wait'")
    assert (changed.code, "Business time waits for it" in changed.text) == (0, True)
    assert await world.value("SELECT lets_time_go_on FROM holds") is False
    await worker.kill()
    await world.end_lease_of(worker)
    resumed = await connects(f"positions resume {GARBAGE} --why 'sent on purpose'")
    assert resumed.text.endswith("No worker is active: the next one reads it.")
    await world.worker()
    await world.settled()
    (late,) = await world.decisions("freelancer_id = 'g-1'")
    assert late["late_by_seconds"] > 0
    assert await world.value("SELECT count(*) FROM holds") == 0
    await check_everything(world)
    await check_by_verify(world)


@pytest.mark.parametrize("point", ["before-commit", "after-commit"])
async def test_a_hold_is_in_force_wherever_the_worker_is_killed(world: World, point: str) -> None:
    """Before it is in the ledger it is asked for still; after that the next leader finds it there."""
    flow, connects = Flow(), world.asking()
    first = await world.worker(kill_after=f"{1 + PARTITIONS}:{point}")
    await world.leads(first)
    second = await world.worker()
    await world.stands_by(second)
    await is_decided(world, flow.registered("f-1"), *flow.some_garbage())
    holding = asyncio.create_task(connects(f"positions hold {GARBAGE} --why '{WHY}'"))
    await first.died_at(point)
    await world.end_lease_of(first)
    assert (await holding).code == 0
    await world.produce(flow.some_garbage())
    await is_decided(world, flow.registered("f-2"))
    assert await garbage_decided(world) == PARTITIONS
    assert await world.value("SELECT count(*) FROM decisions WHERE reason = 'on-hold'") == 1
    assert (await connects(f"positions resume {GARBAGE} --why 'repaired'")).code == 0
    await world.settled()
    assert await garbage_decided(world) == 2 * PARTITIONS
    await check_everything(world)


async def test_records_on_hold_may_be_left_out_before_it_is_resumed(world: World) -> None:
    """`positions set` has reading begin again: what is on hold stays so."""
    flow, connects = Flow(), world.asking()
    await world.worker()
    await is_decided(world, flow.registered("f-1"), *flow.some_garbage())
    assert (await connects(f"positions hold {GARBAGE} --why '{WHY}'")).code == 0
    await world.produce([message for _ in range(3) for message in flow.some_garbage()])
    for partition in range(PARTITIONS):
        done = await connects(f"positions set --topic {GARBAGE} --partition {partition} --offset 3 --why 'all of it'")
        assert done.code == 0
    await is_decided(world, flow.registered("f-2"))
    assert await garbage_decided(world) == PARTITIONS
    assert (await connects(f"positions resume {GARBAGE} --why 'the rest is good'")).code == 0
    await world.settled()
    offsets = [row["offset"] for row in await world.decisions("topic = $1", GARBAGE)]
    assert sorted(offsets) == [0] * PARTITIONS + [3] * PARTITIONS
    assert (await check_by_verify(world))["skipped"] == 2 * PARTITIONS


REFUSED = {
    "hold no-such-topic --why x": (2, "TOPIC is one of "),
    f"hold {GARBAGE}/x --why x": (2, "PARTITION is a number from 0 to 2147483647, not 'x'"),
    f"hold {GARBAGE}/-1 --why x": (2, "PARTITION is a number"),
    f"hold {GARBAGE}/2147483648 --why x": (2, "PARTITION is a number"),
    f"hold {GARBAGE}": (2, "Missing option '--why'"),
    f"hold {GARBAGE} --why ' '": (2, "--why needs words"),
    f"hold {GARBAGE}/7 --why x": (2, f"there is no {GARBAGE}, partition 7: Kafka has no such partition"),
    "resume no-such-topic --why x": (2, "TOPIC is one of "),
    f"resume {GARBAGE} --why ''": (2, "--why needs words"),
}


async def test_what_cannot_be_put_on_hold_or_resumed_is_refused_in_a_line(world: World) -> None:
    connects = world.asking()
    for command, (code, words) in REFUSED.items():
        refused = await connects(f"positions {command}")
        assert (refused.code, refused.out) == (code, ""), command
        assert words in " ".join(refused.err.replace("│", " ").split()), refused.err
    assert await world.value("SELECT count(*) FROM commands") == 0

    await world.worker()
    other = await connects(f"positions resume {GARBAGE}/0 --why x")
    assert (other.code, other.text) == (
        1,
        f"Nothing to resume: {GARBAGE}, partition 0 is not on hold. `connects positions list` shows what is.",
    )
    assert (await connects(f"positions hold {GARBAGE} --why '{WHY}' --actor ana")).code == 0
    for place in (GARBAGE, f"{GARBAGE}/2"):
        again = await connects(f"positions hold {place} --why x")
        assert again.code == 1
        assert "is on hold already, since " in again.text
        assert f"by ana ({WHY})." in again.text
    await check_by_verify(world)
    await world.execute("UPDATE holds SET lets_time_go_on = true")
    altered = await connects("verify --json")
    assert [finding["table"] for finding in altered.json["findings"]] == ["holds"], altered.out
    part = await connects(f"positions resume {GARBAGE}/2 --why x")
    assert part.code == 1
    assert f"Resume all of it: `connects positions resume {GARBAGE} --why TEXT`." in part.text


async def test_without_a_right_or_a_ledger_of_this_release_nothing_is_put_on_hold(world: World) -> None:
    role = f"reads_{uuid.uuid4().hex[:8]}"
    reads = urlsplit(world.database_url)
    await world.execute(
        f"CREATE ROLE {role} LOGIN PASSWORD 'secret'; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}"
    )
    try:
        reader = world.asking(reads._replace(netloc=f"{role}:secret@{reads.hostname}:{reads.port}").geturl())
        await refused_in_a_line(reader, 2, "permission denied for table commands")
    finally:
        await world.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")
    assert await world.value("SELECT count(*) FROM commands") == 0
    await world.execute("DROP TABLE holds; UPDATE alembic_version SET version_num = '0007'")
    await refused_in_a_line(world.asking(), 1, "connects migrate")
    await world.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    await refused_in_a_line(world.asking(), 1, "connects migrate")


async def refused_in_a_line(connects: Asking, code: int, words: str) -> None:
    for command in (f"hold {GARBAGE}", f"resume {GARBAGE}"):
        refused = await connects(f"positions {command} --why x")
        assert (refused.code, refused.out, words in refused.err) == (code, "", True), refused.err
        assert len(refused.err.splitlines()) == 1
