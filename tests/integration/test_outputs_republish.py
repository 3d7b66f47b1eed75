"""A consumer lost messages of wallet-updated, and gets them once more: as they were, in order, each once."""

import json
import signal
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from aiokafka.structs import ConsumerRecord

from tests.integration.test_rehearsal import copy_of
from tests.kit.administering import administering, delete_topics
from tests.kit.asking import Asking
from tests.kit.produce import Sent
from tests.kit.reading import everything
from tests.kit.recreating import make_anew
from tests.kit.restoring import ADOPT, stop, use
from tests.kit.waiting import until_async
from tests.kit.world import Events, World

WHY = '--why "the consumer lost a day"'
EVERYTHING = f"outputs republish --topic wallet-updated --from 1 {WHY} --yes"
WHO = [f"f-{number}" for number in range(5)]
CERTIFIED = {"freelancer_id": "f-0", "certification_id": "c-9", "kind": "skill-certification"}


async def a_marketplace(world: World, wallets: int = len(WHO)) -> None:
    """Changes of many kinds: grants, a spend with a boost, an outbid, a refund, an adjustment."""
    happens = Events()
    for number in range(wallets):
        who, job, proposal = f"f-{number}", f"j-{number}", f"p-{number}"
        happens("freelancer-registered", freelancer_id=who)
        happens("badge-earned", freelancer_id=who, badge="rising-talent")
        spend = {"freelancer_id": who, "job_id": job, "proposal_id": proposal}
        happens("proposal-submitted", **spend, connects=12, boost_connects=8, origin="proposal")
        happens("boost-outbid", **spend)
        happens("job-closed", job_id=job, client_id="c-1", closure="closed-by-client")
        happens("connects-adjusted", freelancer_id=who, adjustment_id=f"a-{number}", connects=-3, actor="ann", note="x")
    await world.produce(happens.messages)
    await world.leads(await world.worker())
    await world.settled()


def what(record: ConsumerRecord) -> tuple[bytes | None, bytes | None, list[tuple[str, bytes]]]:
    """A message without the header that says that it was published once more."""
    return record.key, record.value, [header for header in record.headers if header[0] != "x-republished"]


def ordered_by(record: ConsumerRecord) -> str:
    return dict(record.headers).get("x-republished", b"").decode()


async def published(world: World) -> tuple[list[ConsumerRecord], list[ConsumerRecord]]:
    """All messages of wallet-updated, those published first and those published once more."""
    found = (await everything(world.kafka, f"{world.prefix}wallet-updated")).records
    return [one for one in found if not ordered_by(one)], [one for one in found if ordered_by(one)]


async def published_again(world: World, count: int) -> list[ConsumerRecord]:
    """That many messages that were published once more."""

    async def are_there() -> bool:
        return len((await published(world))[1]) >= count

    await world.comes_true(are_there)
    return (await published(world))[1]


def versions(records: Sequence[ConsumerRecord], who: str) -> list[int]:
    return [json.loads(one.value or b"")["version"] for one in records if one.key == who.encode()]


async def is_verified(connects: Asking) -> str:
    async def relay_is_idle() -> bool:
        return (await connects("status --json")).json["outbox_pending"] == 0

    await until_async(relay_is_idle)
    answer = await connects("verify --against topics")
    assert answer.code == 0, answer
    return answer.text


async def test_everything_is_published_once_more_to_the_byte(world: World) -> None:
    await a_marketplace(world)
    connects = world.asking()
    first, none = await published(world)
    assert none == []
    done = await connects(f"{EVERYTHING} --json")
    assert done.code == 0, done
    assert (done.json["messages"], done.json["freelancers"], done.json["left"]) == (len(first), len(WHO), 0)
    again = await published_again(world, len(first))
    assert sorted(map(what, again)) == sorted(map(what, first)), "keys, values and headers are as they were"
    for who in WHO:
        assert versions(again, who) == versions(first, who), "in order, up to the newest"
    assert "published once more" in await is_verified(connects)
    explained = await connects(f"explain {ordered_by(again[0])}")
    assert "the consumer lost a day" in explained.text


async def test_part_of_it_is_published_and_ends_with_the_newest(world: World) -> None:
    await a_marketplace(world)
    connects = world.asking()
    one = await connects(f"outputs republish --freelancer f-1 --from 3 {WHY} --yes")
    assert one.code == 0, one
    first, _ = await published(world)
    newest = max(versions(first, "f-1"))
    again = await published_again(world, newest - 2)
    assert versions(again, "f-1") == list(range(3, newest + 1))
    assert len(again) == newest - 2
    since = await world.value("SELECT max(recorded_at) FROM changes WHERE freelancer_id = 'f-2' AND version = 2")
    assert (await connects(f"outputs republish --freelancer f-2 --since {since.isoformat()} {WHY} --yes")).code == 0
    booked = "SELECT min(version) FROM changes WHERE freelancer_id = 'f-2' AND recorded_at >= $1"
    batch = await world.value(booked, since)
    more = await published_again(world, newest - 2 + max(versions(first, "f-2")) - batch + 1)
    assert versions(more, "f-2") == list(range(batch, max(versions(first, "f-2")) + 1))
    await is_verified(connects)


async def test_a_topic_that_was_deleted_is_whole_again(world: World) -> None:
    await a_marketplace(world)
    connects = world.asking()
    first, _ = await published(world)
    await make_anew(world, "wallet-updated")
    certified = {"event_id": "e-later", "occurred_at": datetime.now(UTC).isoformat(), **CERTIFIED}
    await world.produce([Sent("certification-completed", json.dumps(certified).encode())])

    async def is_decided() -> bool:
        return await world.value("SELECT count(*) FROM changes") == len(first) + 1

    await world.comes_true(is_decided)

    async def is_published() -> bool:
        return len((await published(world))[0]) == 1

    await world.comes_true(is_published)
    assert (await connects("verify --against topics")).code == 1, "what is lost is missing"
    assert (await connects(EVERYTHING)).code == 0
    again = await published_again(world, len(first) + 1)
    assert {what(one)[:2] for one in first} <= {what(one)[:2] for one in again}
    await is_verified(connects)


async def test_a_command_that_is_killed_goes_on_where_it_stopped(world: World) -> None:
    await a_marketplace(world, 12)
    connects = world.asking()
    first, _ = await published(world)
    killed = await connects.start(f"{EVERYTHING} --rate 6")

    async def some_are_ordered() -> bool:
        return await world.value("SELECT count(*) FROM commands WHERE answer ->> 'outcome' = 'applied'") >= 2

    await until_async(some_are_ordered)
    killed.kill()
    await killed.wait()
    rest = await connects(f"{EVERYTHING} --json")
    assert (rest.code, rest.json["went_on"]) == (0, True), rest
    assert "Goes on with what" in rest.err
    again = await published_again(world, len(first))
    assert sorted(map(what, again)) == sorted(map(what, first)), "each once, whatever was cut off"
    assert (await connects(f"{EVERYTHING} --json")).json["messages"] == len(first), "done: the next one is another run"
    await published_again(world, 2 * len(first))
    await is_verified(connects)


async def test_beside_live_events_the_newest_message_of_each_wallet_is_the_last(world: World) -> None:
    await a_marketplace(world, 12)
    connects = world.asking()
    first, _ = await published(world)
    publishing = await connects.start(f"{EVERYTHING} --rate 20")

    async def some_are_ordered(count: int) -> bool:
        return await world.value("SELECT count(*) FROM commands WHERE answer ->> 'outcome' = 'applied'") >= count

    happens = Events(datetime.now(UTC) - timedelta(minutes=2))
    for part in range(1, 4):
        await until_async(lambda part=part: some_are_ordered(part))
        bought = [
            happens("connects-purchased", freelancer_id=f"f-{number}", purchase_id=f"x-{number}-{part}", connects=1)
            for number in range(12)
        ]
        await world.produce([replace(one, value=(one.value or b"").replace(b'"e-', b'"live-')) for one in bought])
    _, err = await publishing.communicate()
    assert publishing.returncode == 0, err

    async def all_are_decided() -> bool:
        return await world.value("SELECT count(*) FROM changes") == len(first) + 3 * 12

    await world.comes_true(all_are_decided)
    await is_verified(connects)
    records = (await everything(world.kafka, f"{world.prefix}wallet-updated")).records
    for number in range(12):
        seen = versions(records, f"f-{number}")
        newest = await world.value("SELECT max(version) FROM changes WHERE freelancer_id = $1", f"f-{number}")
        assert seen[-1] == newest == max(seen)
        own = [one for one in records if one.key == f"f-{number}".encode() and ordered_by(one)]
        again = versions(own, f"f-{number}")
        assert again == list(range(1, len(again) + 1)), "in order, without a gap"
    assert len(records) > 2 * len(first)


async def test_ctrl_c_ends_it_between_two_wallets(world: World) -> None:
    await a_marketplace(world, 12)
    connects = world.asking()
    first, _ = await published(world)
    stopped = await connects.start(f"{EVERYTHING} --rate 6 --json")

    async def one_is_ordered() -> bool:
        return await world.value("SELECT count(*) FROM commands WHERE answer ->> 'outcome' = 'applied'") >= 1

    await until_async(one_is_ordered)
    stopped.send_signal(signal.SIGINT)
    out, err = await stopped.communicate()
    assert stopped.returncode == 1, (out, err)
    done = json.loads(out)
    assert 0 < done["left"] < 12
    again = await published_again(world, done["messages"])
    for who in {one.key for one in again}:
        assert versions(again, who.decode()) == versions(first, who.decode()), "whole wallets"
    rest = await connects(f"{EVERYTHING} --json")
    assert (rest.code, rest.json["went_on"]) == (0, True)
    assert done["messages"] + rest.json["messages"] == len(first)
    await published_again(world, len(first))
    await is_verified(connects)


@pytest.mark.parametrize("point", ["before-kafka-transaction", "inside-kafka-transaction", "after-kafka-commit"])
async def test_a_worker_that_is_killed_publishes_each_once_more(world: World, point: str) -> None:
    await a_marketplace(world)
    connects = world.asking()
    first, _ = await published(world)
    await world.workers[0].kill()
    await world.end_lease_of(world.workers[0])
    dying = await world.worker(kill_at=f"{point}:1")
    await world.leads(dying)
    publishing = await connects.start(EVERYTHING)
    await dying.ended()
    await world.end_lease_of(dying)
    await world.leads(await world.worker())
    await publishing.communicate()
    await is_verified(connects)
    again = await published_again(world, len(first))
    assert sorted(map(what, again)) == sorted(map(what, first))
    assert len(set(map(ordered_by, again))) == 1


@pytest.mark.in_turn
async def test_a_ledger_that_is_restored_to_before_it_is_adopted(world: World) -> None:
    """Then the marker knows a row as published that the ledger does not have, and no message that it has not made."""
    await a_marketplace(world, 2)
    first, _ = await published(world)
    await stop(world)
    async with copy_of(world.database_url) as copy:
        await world.leads(await world.worker())
        assert (await world.asking()(EVERYTHING)).code == 0
        await published_again(world, len(first))
        await stop(world)
        await use(world, copy)
        connects = world.asking()
        adopted = await connects(ADOPT)
        assert adopted.code == 0, adopted
        await world.leads(await world.worker())
        await is_verified(connects)
        assert (await connects(EVERYTHING)).code == 0
        assert len(await published_again(world, 2 * len(first))) == 2 * len(first)
        await is_verified(connects)
        await stop(world)


@pytest.mark.in_turn
async def test_a_lost_marker_is_restored_to_before_what_waits_to_be_published_once_more(world: World) -> None:
    """Its messages are in the topics already, from the first time: only the header tells that the row is not."""
    await a_marketplace(world, 2)
    connects = world.asking()
    first, _ = await published(world)
    await stop(world)
    dying = await world.worker(kill_at="before-kafka-transaction:1")
    await world.leads(dying)
    publishing = await connects.start(EVERYTHING)
    await dying.ended()
    await world.end_lease_of(dying)
    await publishing.communicate()
    async with administering(world.kafka) as admin:
        await delete_topics(admin, f"{world.prefix}connects-relay-marker")
    assert (await connects("topics create")).code == 0
    restored = await connects("topics create --fix")
    assert "1 are not yet" in restored.out, restored
    await world.leads(await world.worker())
    again = await published_again(world, len(first))
    assert sorted(map(what, again)) == sorted(map(what, first))
    await is_verified(connects)


async def test_what_cannot_be_done_is_one_line(world: World) -> None:
    connects = world.asking()
    nobody = await connects(f"outputs republish --freelancer f-1 {WHY} --yes")
    assert (nobody.code, "no worker is active" in nobody.err) == (1, True), nobody
    await a_marketplace(world, 1)
    for options, code, words in (
        ("--freelancer nobody", 2, "nobody was ever booked"),
        ("--freelancer f-0 --from 99", 1, "nothing matches"),
        ("--topic wallet-updated --since 2099-01-01T00:00:00Z", 1, "nothing matches"),
        ("--topic membership-charge-requested --from 1", 2, "--topic is one of"),
        ("--topic wallet-updated", 2, "from where?"),
    ):
        answer = await connects(f"outputs republish {options} {WHY} --yes")
        assert answer.code == code, (options, answer)
        assert words in " ".join(answer.err.split()), (options, answer.err)
    asked = await connects(f"outputs republish --freelancer f-0 {WHY}")
    assert (asked.code, "add --yes" in asked.err) == (2, True), asked
    assert await world.value("SELECT count(*) FROM commands") == 0
    assert (await published(world))[1] == []
