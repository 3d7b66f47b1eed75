"""A topic was deleted, made again and refilled in another order, some records missing: positions, then the archive.

Whole size: TEST_RECREATED_RECORDS (20000).
"""

import gzip
import json
import random
from datetime import UTC, datetime
from typing import Any

import pytest

from schemas.outputs import AddedCause, WalletUpdated
from tests.kit.applying import MEMBERS, apply_through_deaths, live
from tests.kit.asking import Asking
from tests.kit.invariants import check_everything
from tests.kit.produce import Sent
from tests.kit.recreating import make_anew
from tests.kit.sizes import size
from tests.kit.world import PARTITIONS, POLICY, Events, World
from tests.model.driver import Driver

RECORDS = size("RECREATED_RECORDS", 20_000, least=300)
TOPIC = "connects-purchased"
WHY = '--why "the cluster was restored without some records" --actor ana'
SEED = 10
pytestmark = [pytest.mark.soak, pytest.mark.timeout(1800)]


def purchases(happens: Events, count: int, first: int) -> list[Sent]:
    return [
        happens(TOPIC, freelancer_id=MEMBERS[number % len(MEMBERS)], purchase_id=f"b-{number}", connects=3)
        for number in range(first, first + count)
    ]


def refilled(records: list[Sent], missing: set[bytes]) -> list[Sent]:
    """The records that are left, in another order."""
    left = [sent for sent in records if sent.value not in missing]
    random.Random(SEED).shuffle(left)
    return left


async def test_a_topic_that_was_refilled_in_another_order_and_the_records_that_are_missing(world: World) -> None:
    happens = Events()
    await world.produce([happens("freelancer-registered", freelancer_id=name) for name in MEMBERS])
    decided = purchases(happens, RECORDS // 2, 0)
    await world.produce(decided)
    first = await world.worker()
    await world.settled()
    first.terminate()
    assert await first.ended() == 0
    not_decided = purchases(happens, RECORDS // 2, RECORDS // 2)
    await world.produce(not_decided)
    lost = random.Random(SEED).sample(not_decided, RECORDS // 10)
    await make_anew(world, TOPIC)
    missing = {sent.value or b"" for sent in (*lost, *decided[:10])}
    await world.produce(refilled([*decided, *not_decided], missing))

    second = await world.worker()
    connects = world.asking()
    await it_stops_and_names_what_repairs_it(world, connects, happens)
    await world.settled()
    repeats = await world.decisions("topic = $1 AND incarnation = 1 AND outcome = 'duplicate'", TOPIC)
    assert len(repeats) == len(decided) - 10, "what was decided before is inert, in whatever order it comes"
    await the_archive_is_planned(world, connects, [*decided, *not_decided], lost)
    second.terminate()
    assert await second.ended() == 0

    dying = await world.worker(kill_after="4:before-commit")
    await world.leads(dying)
    await apply_through_deaths(world, connects, happens, dying, f"archive.plan {WHY}")
    for verify in ("verify", "verify --against topics"):
        verified = await connects(verify)
        assert verified.code == 0, verified
    await check_everything(world, model=False)
    await what_stands_is_what_truly_happened(world, happens)
    await a_reader_saw_each_version_once(world, lost)
    again = await connects("replay plan --add archive.jsonl.gz --out again.plan --json")
    assert (again.code, again.json["triggers"]["add"], again.json["inert"]) == (0, 0, RECORDS)


async def it_stops_and_names_what_repairs_it(world: World, connects: Asking, happens: Events) -> None:
    """Its partitions stop and say so, the other topics go on; then each is said to be another one."""
    await world.produce(live(happens, ["f-live-0"]))

    async def others_go_on() -> bool:
        return await world.balance("f-live-0") == 70

    await world.comes_true(others_go_on)

    async def all_are_stopped() -> bool:
        status = await connects("status --json")
        return sum("--recreated" in one["what"] for one in status.json["problems"]) == PARTITIONS

    await world.comes_true(all_are_stopped)
    for partition in range(PARTITIONS):
        said = f"positions set --recreated --topic {TOPIC} --partition {partition} --why restored"
        answer = await connects.as_process(said)
        assert answer.code == 0, answer


async def the_archive_is_planned(world: World, connects: Asking, records: list[Sent], lost: list[Sent]) -> None:
    """The archive has all: what was decided is inert by its event id, and what is missing is added."""
    lines = (json.dumps({"topic": sent.topic, "value": json.loads(sent.value or b"")}) for sent in records)
    (world.folder / "archive.jsonl.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    answer = await connects("replay plan --add archive.jsonl.gz --out archive.plan --json")
    assert answer.code == 0, answer
    plan: dict[str, Any] = answer.json
    assert (plan["triggers"]["add"], plan["inert"], plan["conflicts"]) == (len(lost), RECORDS - len(lost), 0)
    assert (plan["given"], plan["taken"], plan["left_for_a_person"]) == (3 * len(lost), 0, [])


async def what_stands_is_what_truly_happened(world: World, happens: Events) -> None:
    """Laws 3 and 4: balances and purchases are those of every event, each once."""
    driver = Driver(POLICY, world.grace_seconds, datetime.now(UTC))
    records = [(sent.topic, sent.key, sent.value, happens.now) for sent in happens.messages]
    driver.run(records, lambda _topic, _key: 0, datetime.now(UTC))
    rows = await world.rows("SELECT freelancer_id, balance FROM wallets")
    state = driver.model.state
    assert {row["freelancer_id"]: row["balance"] for row in rows} == {
        name: state.balance(name) for name in state.wallets
    }
    bought = await world.value("SELECT count(DISTINCT natural_key) FROM grants WHERE rule = 'grant.purchase'")
    assert bought == await world.value("SELECT count(*) FROM grants WHERE rule = 'grant.purchase'") == RECORDS


async def a_reader_saw_each_version_once(world: World, lost: list[Sent]) -> None:
    updates = [WalletUpdated.model_validate_json(record.value) for record in world.reader.records]
    versions = [(update.freelancer_id, update.version) for update in updates]
    assert len(versions) == len(set(versions)) == await world.value("SELECT count(*) FROM changes")
    added = {update.cause.event_id for update in updates if isinstance(update.cause, AddedCause)}
    assert added == {json.loads(sent.value or b"")["event_id"] for sent in lost}
