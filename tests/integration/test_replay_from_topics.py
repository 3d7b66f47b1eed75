"""`connects replay plan --add kafka:TOPIC`: lost events are taken from a topic, or nothing is planned."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_rights import DESCRIBE, READ, TOPIC, grant, settings
from tests.kit.applying import MEMBERS
from tests.kit.asking import Answer, Asking
from tests.kit.bombs import bomb
from tests.kit.brokers import odd_kafka
from tests.kit.input_topics import InputTopics, input_topics
from tests.kit.produce import produce_raw
from tests.kit.stacks import new_ledger
from tests.kit.waiting import PATIENCE_SECONDS, in_time, until_async
from tests.kit.world import Events, World
from worker.repair.plan import Added
from worker.repair.plan_file import read_plan

ARCHIVE = "archive"
MARCH_MS = 1_773_478_800_000  # 2026-03-14T09:00:00Z
HOUR_MS = 3_600_000


@pytest.fixture
async def topics(kafka: dict[str, Any], prefix: str) -> AsyncIterator[InputTopics]:
    async with input_topics(kafka, prefix) as topics:
        yield topics


@pytest.fixture
def connects(kafka: dict[str, Any], prefix: str, database_url: str, tmp_path: Path) -> Asking:
    """The command on an empty ledger that no worker leads."""
    named = {"KAFKA_BOOTSTRAP_SERVERS": kafka["bootstrap_servers"], "CONNECTS_TOPIC_PREFIX": prefix}
    return Asking(tmp_path, DATABASE_URL=database_url, **named)


def badge(number: int, **more: str) -> bytes:
    fields = {"event_id": f"e-{number}", "occurred_at": "2026-03-14T09:00:00Z", "freelancer_id": f"f-{number}"}
    return json.dumps({**fields, "badge": "top-rated", **more}).encode()


def planned(folder: Path, name: str = "p") -> list[tuple[str, str, int]]:
    """The events of a plan, each with where it was found."""
    triggers = [one for one in read_plan(folder / name).triggers() if isinstance(one, Added)]
    return [(one.event_id, one.source, one.line) for one in triggers]


def refused(answer: Answer, code: int) -> str:
    """The one line of a command that refuses."""
    assert (answer.code, answer.out, answer.err.count("\n")) == (code, "", 1), answer
    return answer.err.removeprefix("connects: ")


async def test_a_lost_hour_comes_from_an_archive_topic_and_is_applied(world: World, topics: InputTopics) -> None:
    happens = Events()
    await world.produce([happens("freelancer-registered", freelancer_id=name) for name in MEMBERS[:3]])
    await world.worker()
    await world.settled()
    came = happens("connects-purchased", freelancer_id=MEMBERS[0], purchase_id="b-came", connects=10)
    await world.produce([came])
    await world.settled()
    lost = [
        happens("connects-purchased", freelancer_id=name, purchase_id=f"b-{name}", connects=10) for name in MEMBERS[:3]
    ]
    await topics.create(ARCHIVE, 2)
    for number, sent in enumerate([came, *lost[:2]]):
        await topics.send(ARCHIVE, sent.value, partition=number % 2, headers=[("topic", b"connects-purchased")])
    value = {"topic": "connects-purchased", "value": json.loads(lost[2].value or b"")}
    async with topics.transaction(commit=True) as kept:
        await kept.send(ARCHIVE, json.dumps(value).encode(), partition=1)
    async with topics.transaction(commit=False) as given_up:
        await given_up.send(ARCHIVE, badge(99), headers=[("topic", b"badge-earned")])
    connects = world.asking()
    answer = await connects(f"replay plan --add kafka:{topics.prefix}archive --out p --json")
    assert answer.code == 0, answer
    told = answer.json
    assert (told["triggers"]["add"], told["inert"], told["bad_lines"], told["given"]) == (3, 1, 0, 30), answer
    source = f"kafka:{topics.prefix}archive, partition"
    assert {place for _, place, line in planned(world.folder) if line == 0} == {
        *(f"{source} 1, offset 0", f"{source} 0, offset 1", f"{source} 1, offset 1")
    }
    applied = await connects("replay apply p --why lost --actor ana")
    assert applied.code == 0, applied
    explained = await connects(f"explain {json.loads(lost[0].value or b'')['event_id']} --details")
    assert f"from {source} 1, offset 0." in explained.text
    assert (await connects("verify")).code == 0


async def test_a_part_is_read_by_partition_by_offsets_and_by_time(topics: InputTopics, connects: Asking) -> None:
    await topics.create(ARCHIVE, 2)
    for number in range(6):
        stamped = MARCH_MS + (5 - number) * HOUR_MS  # the latest first: what is of a time may be anywhere
        await topics.send(ARCHIVE, badge(number), partition=number % 2, timestamp_ms=stamped)
    name = f"kafka:{topics.prefix}archive"

    async def found(source: str) -> set[str]:
        answer = await connects(f"replay plan --add {source} --topic badge-earned --out p")
        assert answer.code == 0, answer
        events = {event for event, _, _ in planned(connects.folder)}
        (connects.folder / "p").unlink()
        return events

    assert await found(name) == {f"e-{number}" for number in range(6)}
    assert await found(f"{name}/1") == {"e-1", "e-3", "e-5"}
    assert await found(f"{name}/1@1..1") == {"e-3"}
    assert await found(f"{name}/1@1..") == {"e-3", "e-5"}
    assert await found(f"{name}/1@..1") == {"e-1", "e-3"}
    assert await found(f"{name}@2026-03-14T11:00:00Z..2026-03-14T13:00:00Z") == {"e-2", "e-3"}
    assert await found(f"{name}/1@..2026-03-14T12:00:00+01:00") == {"e-5"}
    assert await found(f"{name}/0@2026-03-14T13:00:00Z..") == {"e-0"}


async def test_an_input_topic_names_itself_and_its_values_are_taken_to_the_byte(
    topics: InputTopics, connects: Asking
) -> None:
    await topics.create("badge-earned")
    await topics.send("badge-earned", badge(1, topic="job-closed"))
    answer = await connects(f"replay plan --add kafka:{topics.prefix}badge-earned --topic job-closed --out p")
    assert answer.code == 0, answer
    (trigger,) = read_plan(connects.folder / "p").triggers()
    assert isinstance(trigger, Added)
    assert (trigger.topic, trigger.event.encode()) == ("badge-earned", badge(1, topic="job-closed"))


async def test_bad_records_are_named_and_nothing_is_planned_unless_they_are_left_out(
    topics: InputTopics, connects: Asking
) -> None:
    await topics.create(ARCHIVE, 2)
    header = ("topic", b"badge-earned")
    bad: list[tuple[bytes | None, list[tuple[str, bytes | None]]]] = [
        (badge(1), []),
        (None, [header]),
        (badge(2), [("topic", b"job-opened")]),
        (badge(3), [header, ("topic", b"job-closed")]),
        (b"{", [header]),
        (b'["no event"]', []),
    ]
    for value, headers in bad:
        await topics.send(ARCHIVE, value, key=b"k", partition=1, headers=headers)
    await topics.send(ARCHIVE, badge(4), headers=[header])
    await topics.send_with_bad_header_keys(ARCHIVE, {badge(5): True}, compressed=True)
    command = f"replay plan --add kafka:{topics.prefix}archive --out p"
    answer = await connects(command)
    said = [line.removeprefix(f"kafka:{topics.prefix}archive, partition ") for line in answer.err.splitlines()]
    assert answer.code == 1
    assert said[:5] == [
        "0, offset 1: a header key is not UTF-8",
        "1, offset 0: it names no topic; give --topic if all are of one",
        "1, offset 1: it has no value",
        "1, offset 2: there is no input topic 'job-opened'",
        "1, offset 3: its headers `topic` name several topics",
    ]
    assert said[5].startswith("1, offset 4: badge-earned: ")
    assert said[6].startswith("1, offset 5: not a JSON object")
    assert said[7].startswith("connects: nothing was planned: 7 lines of 8 are no events of a topic.")
    assert not (connects.folder / "p").exists()
    skipped = await connects(f"{command} --skip-bad")
    assert skipped.code == 0, skipped
    assert [event for event, _, _ in planned(connects.folder)] == ["e-4"]


async def test_a_batch_that_expands_to_too_much_is_one_bad_record(topics: InputTopics, connects: Asking) -> None:
    await topics.create(ARCHIVE)
    await topics.send(ARCHIVE, badge(1))
    batch, count = bomb(256, "zstd")
    await produce_raw(topics.kafka, f"{topics.prefix}archive", batch)
    await topics.send(ARCHIVE, badge(2))
    answer = await connects(f"replay plan --add kafka:{topics.prefix}archive --topic badge-earned --skip-bad --out p")
    assert answer.code == 0, answer
    assert f"archive, partition 0, offset 1: a batch of {count} records that is not expanded: " in answer.err
    assert [event for event, _, _ in planned(connects.folder)] == ["e-1", "e-2"]


async def test_what_is_behind_an_open_transaction_is_not_read_and_that_is_said(
    topics: InputTopics, connects: Asking
) -> None:
    await topics.create(ARCHIVE)
    await topics.send(ARCHIVE, badge(1))
    name = f"kafka:{topics.prefix}archive"
    async with topics.transaction(commit=True) as open_one:
        await open_one.send(ARCHIVE, badge(2))
        answer = await connects(f"replay plan --add {name} --topic badge-earned --out p")
        assert answer.code == 0, answer
        assert answer.err == (
            f"{name}, partition 0: 1 record at most, from offset 1 on, behind an open transaction of another producer "
            "are not read. Make the plan again when it has ended\n"
        )
        quiet = await connects(f"replay plan --add {name}/0@..0 --topic badge-earned --out q")
        assert (quiet.code, quiet.err) == (0, ""), quiet
    assert planned(connects.folder) == planned(connects.folder, "q") == [("e-1", f"{name}, partition 0, offset 0", 0)]


async def test_what_cannot_be_read_is_one_line_that_says_what_to_do(topics: InputTopics, connects: Asking) -> None:
    name = f"{topics.prefix}archive"

    async def says(source: str, code: int = 2, **more: str) -> str:
        said = refused(await connects(f"replay plan --add kafka:{source} --topic badge-earned --out p", **more), code)
        assert not list(connects.folder.iterdir())
        return said

    assert (await says(name)).startswith(f"there is no topic {name} in the cluster of KAFKA_BOOTSTRAP_SERVERS. Name ")
    await topics.create(ARCHIVE, 2)
    assert await says(name) == (
        f"the topic {name} has no records, or none that are asked for. Name the topic that has the events\n"
    )
    assert (await says(f"{name}/2")) == f"the topic {name} has the partitions 0 to 1. Name one of them\n"
    async with topics.transaction(commit=False) as given_up:
        await given_up.send(ARCHIVE, badge(1))
    assert "has no records, or none that are asked for" in await says(name)
    for number in range(3):
        await topics.send(ARCHIVE, badge(number), partition=1, timestamp_ms=MARCH_MS)
    await topics.delete_records(ARCHIVE, 2, partition=1)
    assert (await says(f"{name}/1@0..2")) == (
        f"kafka:{name}, partition 1 begins at offset 2: what was before is gone. Ask for 2 or later\n"
    )
    for span in ("/1@3..", "@2026-03-14T09:00:01Z..", "@..2026-03-14T09:00:00Z"):
        assert "Name " in await says(f"{name}{span}")
    assert "KAFKA_BOOTSTRAP_SERVERS" in await says(name, 1, KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1")


@pytest.mark.in_turn
async def test_a_topic_that_this_user_may_not_read_is_named_with_the_right(
    tmp_path_factory: pytest.TempPathFactory, prefix: str
) -> None:
    with odd_kafka(tmp_path_factory.mktemp("odd")) as odd:
        ledger = await asyncio.to_thread(new_ledger, odd.stack, "rights_to_an_archive")
        async with input_topics(odd.kafka, prefix) as topics:
            await topics.create(ARCHIVE)
            await topics.send(ARCHIVE, badge(1))
        connects = Asking(tmp_path_factory.mktemp("asking"), **settings(odd, ledger, prefix))
        command = f"replay plan --add kafka:{prefix}archive --topic badge-earned --out p"
        may_not = "cannot be read: this user has no right to it (READ and DESCRIBE on the topic)"
        assert f"the topic {prefix}archive {may_not}. " in refused(await connects(command), 1)
        await grant(odd, TOPIC, f"{prefix}archive", DESCRIBE)

        async def sees_it() -> bool:
            return "offset 0" in refused(await connects(command), 1)

        await until_async(sees_it)
        assert f"archive, partition 0, offset 0 {may_not}. " in refused(await connects(command), 1)
        await grant(odd, TOPIC, f"{prefix}archive", READ)

        async def is_planned() -> bool:
            return (await connects(command)).code == 0

        await until_async(is_planned)


async def test_progress_is_shown_and_ctrl_c_ends_it_without_a_file(topics: InputTopics, connects: Asking) -> None:
    await topics.create(ARCHIVE)
    for start in range(0, 300_000, 10_000):
        await topics.send_all(ARCHIVE, [badge(number) for number in range(start, start + 10_000)])
    process = await connects.start(f"replay plan --add kafka:{topics.prefix}archive --topic badge-earned --out p")
    async with asyncio.timeout(PATIENCE_SECONDS):
        line = (await process.stderr.readline()).decode()
    assert line.startswith(f"read {topics.prefix}archive: ")
    assert " of 300000 records, " in line
    process.send_signal(signal.SIGINT)
    out, _ = await in_time(process.communicate())
    assert (process.returncode, out) == (130, b"")
    assert not list(connects.folder.iterdir())
