"""`connects doctor`: everything that a worker needs, each thing broken on purpose and named with what to do."""

import re
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
from aiokafka.admin import NewTopic

from tests.kit.administering import administering, create_topic
from tests.kit.asking import Answer, Asking
from tests.kit.brokers import OddKafka
from tests.kit.clusters import a_pooler
from tests.kit.http import free_port
from tests.kit.listening import closed_port, silent_port
from tests.kit.produce import Sent
from tests.kit.waiting import until
from tests.kit.world import Events, World
from worker.kafka.topics import create_topics


def looks(answer: Answer, verdict: str) -> dict[str, list[str]]:
    """What has this verdict: its sentences by area and name."""
    found: dict[str, list[str]] = {}
    for look in answer.json["checks"]:
        assert set(look) == {"area", "name", "verdict", "what", "next"}, look
        if look["verdict"] == verdict:
            found.setdefault(f"{look['area']} {look['name']}", []).append(f"{look['what']}. {look['next']}")
    assert sum(map(len, found.values())) == answer.json.get(verdict, sum(map(len, found.values())))
    return found


@pytest.fixture
async def empty_url(database_url: str) -> AsyncIterator[str]:
    """A database without a schema."""
    owner = await asyncpg.connect(database_url)
    name = f"{urlsplit(database_url).path[1:]}_empty"
    await owner.execute(f"CREATE DATABASE {name}")
    yield urlsplit(database_url)._replace(path=f"/{name}").geturl()
    await owner.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await owner.close()


@pytest.fixture
async def role_url(database_url: str) -> AsyncIterator[tuple[str, str]]:
    """The address of a role that owns nothing, and its name."""
    owner, parts = await asyncpg.connect(database_url), urlsplit(database_url)
    name = f"{parts.path[1:]}_role"
    await owner.execute(f"CREATE ROLE {name} LOGIN")
    yield parts._replace(netloc=f"{name}@{parts.hostname}:{parts.port}").geturl(), name
    await owner.execute(f"DROP OWNED BY {name}")
    await owner.execute(f"DROP ROLE {name}")
    await owner.close()


async def test_all_is_well_before_a_worker_runs_and_beside_two(world: World) -> None:
    connects = world.asking()
    await world.produce([Events()("freelancer-registered", freelancer_id="f-1")])
    assert "1 record waits" in looks(await connects("doctor --json"), "unknown")["ledger leader"][0]
    worker = await world.worker()
    await world.leads(worker)
    await world.settled()
    assert (await connects("doctor --json")).code == 0
    standby = await world.worker()

    async def both_are_named() -> bool:
        found = await connects("doctor --json")
        return found.code == 0 and not looks(found, "unknown")

    await world.comes_true(both_are_named)
    fine = looks(await connects("doctor --json"), "ok")
    assert worker.holder in fine["ledger leader"][0]
    assert standby.holder in fine["ledger standby"][0]
    assert re.search(r"Kafka \d\.\d or later", fine["kafka version"][0])
    page = await connects("doctor")
    assert page.code == 0
    assert page.text.endswith("All is well.")
    assert not page.err


async def test_a_look_changes_nothing(world: World) -> None:
    async def everything() -> list[object]:
        tables = await world.rows("SELECT relname FROM pg_stat_user_tables ORDER BY relname")
        return [(name, await world.value(f"SELECT count(*) FROM {name}")) for (name,) in tables] + [  # noqa: S608
            await world.value("SELECT epoch FROM leader")
        ]

    before = await everything()
    await world.asking()("doctor")
    assert await everything() == before


async def test_before_the_first_migration_it_says_what_to_run(world: World, empty_url: str, prefix: str) -> None:
    connects = world.asking(empty_url, CONNECTS_TOPIC_PREFIX=f"{prefix}none.")
    found = await connects("doctor --json")
    assert found.code == 1
    wrong = looks(found, "wrong")
    assert wrong["postgresql schema"] == ["there is no ledger yet. Run `connects migrate`"]
    assert "connects topics create" in wrong["kafka missing-outputs"][0]
    assert "--inputs" in looks(found, "unknown")["kafka inputs"][0]
    assert not [name for name in wrong if name.startswith("ledger")]
    await connects("migrate")
    await connects("topics create --inputs")

    async def all_is_there() -> bool:  # a broker may not have heard yet of topics that were made a moment ago
        return (await connects("doctor")).code == 0

    await world.comes_true(all_is_there)


async def test_a_role_without_rights_and_one_that_can_change_history_are_named(
    world: World, role_url: tuple[str, str]
) -> None:
    url, role = role_url
    connects = world.asking(url)
    refused = looks(await connects("doctor --json"), "wrong")
    assert any("permission" in line or "lacks" in line for lines in refused.values() for line in lines), refused
    await connects("migrate", CONNECTS_MIGRATE_URL=world.database_url)
    fine = looks(await connects("doctor --json"), "ok")
    assert fine["postgresql history"] == ["this role cannot change history. "]
    assert role in fine["postgresql rights"][0]
    await world.execute(f"GRANT UPDATE, DELETE ON changes TO {role}")
    await world.execute(f"REVOKE INSERT ON decisions FROM {role}")
    wrong = looks(await connects("doctor --json"), "wrong")
    assert "UPDATE on changes, which is history, and 1 right more" in wrong["postgresql history"][0]
    assert "lacks INSERT on decisions" in wrong["postgresql rights"][0]
    assert "CONNECTS_MIGRATE_URL" in wrong["postgresql rights"][0]
    await world.execute("ALTER TABLE decisions DISABLE TRIGGER decisions_append_only")
    wrong = looks(await connects("doctor --json"), "wrong")
    assert "missing or off on decisions" in wrong["postgresql history"][0]


async def test_limits_without_room_for_a_standby_and_without_room_at_all(
    world: World, role_url: tuple[str, str]
) -> None:
    url, role = role_url
    connects = world.asking(url)
    await connects("migrate", CONNECTS_MIGRATE_URL=world.database_url)
    for most, words in ((11, "a leader and a standby may have 12"), (5, "a worker needs at least 6")):
        await world.execute(f"ALTER ROLE {role} CONNECTION LIMIT {most}")
        (line,) = looks(await connects("doctor --json"), "wrong")["postgresql connections"]
        assert words in line
        assert f"allows {most} connections" in line
    await world.execute(f"ALTER ROLE {role} CONNECTION LIMIT 13")
    assert "12 at most" in looks(await connects("doctor --json"), "ok")["postgresql connections"][0]


async def test_a_pooler_by_transaction_is_one_line(world: World) -> None:
    with a_pooler(world.database_url, "transaction") as url:
        found = await world.asking(url)("doctor --json")
    wrong = looks(found, "wrong")
    assert "pools by transaction" in wrong["postgresql reached"][0]
    assert not [name for name in wrong if name.startswith("postgresql") and name != "postgresql reached"]


async def test_a_ledger_of_an_older_release_and_a_newer_one(world: World) -> None:
    connects = world.asking()
    await world.execute("UPDATE alembic_version SET version_num = '0008'")
    (line,) = looks(await connects("doctor --json"), "wrong")["postgresql schema"]
    assert line.startswith("the schema is of revision 0008, and this release needs ")
    await world.execute("UPDATE alembic_version SET version_num = '9000'")
    assert "newer than" in looks(await connects("doctor --json"), "ok")["postgresql schema"][0]


@pytest.mark.in_turn
@pytest.mark.parametrize("silent", [False, True])
async def test_a_server_that_is_away_is_one_line_in_time(world: World, *, silent: bool) -> None:
    begun = time.monotonic()
    with (silent_port if silent else closed_port)() as address:
        found = await world.asking(f"postgresql://u:s3cret@{address}/x")("doctor --json")
        no_kafka = await world.asking(KAFKA_BOOTSTRAP_SERVERS=address)("doctor --json")
    assert time.monotonic() - begun < 120
    assert [name for name in looks(found, "wrong") if not name.startswith("kafka")] == ["postgresql reached"]
    assert "s3cret" not in found.out
    wrong = looks(no_kafka, "wrong")
    assert list(wrong) == ["kafka reached"]
    assert address in wrong["kafka reached"][0]


async def test_wrong_topics_short_retention_and_another_member_are_named_once(
    world: World, kafka: dict[str, Any], prefix: str
) -> None:
    mine = f"{prefix}odd."
    async with administering(kafka) as admin:
        for name, settings in (
            ("wallet-updated", {"cleanup.policy": "compact"}),
            ("job-closed", {"retention.ms": "3600000"}),
            ("hire-made", {"cleanup.policy": "compact"}),
        ):
            await create_topic(admin, NewTopic(mine + name, 1, 1, topic_configs=settings))
    await create_topics(kafka, mine, 1, None, inputs=True)
    found = await world.asking(CONNECTS_TOPIC_PREFIX=mine)("doctor --json")
    wrong = looks(found, "wrong")
    assert "topics create --fix" in wrong["kafka own topics"][0]
    assert sorted(line.split()[0] for line in wrong["kafka retention"]) == [f"{mine}hire-made", f"{mine}job-closed"]
    assert found.out.count("must have cleanup.policy=delete") == 1, "two looks do not say the same"
    assert "kafka topic-settings" not in wrong


@pytest.mark.in_turn
async def test_rights_on_kafka_are_told_as_far_as_they_can_be(odd: OddKafka, ledger_url: str, tmp_path: Path) -> None:
    await create_topics(odd.kafka, "rights.", partitions=1, replication=None, inputs=True)
    given = {**odd.settings_of_limited(ledger_url, "rights."), "CONNECTS_HTTP_PORT": "0"}
    found = await Asking(tmp_path, **given)("doctor --json")
    assert found.code == 1
    assert "by SASL_PLAINTEXT as limited" in looks(found, "ok")["kafka reached"][0]
    assert looks(found, "unknown").keys() >= {"kafka rights", "kafka group"}
    wrong = looks(found, "wrong")
    assert "no right to the transactional id" in wrong["kafka transactions"][0]
    assert any("READ and DESCRIBE" in line for line in wrong["kafka unavailable-partition"])
    assert odd.limited["sasl_plain_password"] not in found.out


async def test_settings_policy_and_port_are_looked_at_without_a_server(world: World, tmp_path: Path) -> None:
    policy = tmp_path / "mine.toml"
    policy.write_text("[[version]]\nname = 1\n", encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        found = await world.asking(
            CONNECTS_POLICY=str(policy), CONNECTS_HTTP_PORT=port, CONNECTS_TOPIK_PREFIX="x", CONNECTS_TRACING="1"
        )("doctor --json")
    wrong = looks(found, "wrong")
    assert wrong.keys() >= {"settings names", "policy file", "host port"}
    assert "CONNECTS_TOPIK_PREFIX" in wrong["settings names"][0]
    assert "CONNECTS_POLICY" in wrong["policy file"][0]
    assert f"CONNECTS_HTTP_PORT={int(port) + 1}" in wrong["host port"][0]
    assert (await world.asking(CONNECTS_BATCH_SIZE="many")("doctor --json")).json["checks"][0]["name"] == "values"
    assert (await world.asking()("doctor --everything")).code == 2


async def test_a_port_that_a_worker_of_this_host_has_is_well(world: World) -> None:
    port = free_port()
    worker = await world.connects_run(port)
    await until(lambda: worker.said('"leading"'))
    connects = world.asking(CONNECTS_HTTP_PORT=str(port))
    assert "a worker of this host has" in looks(await connects("doctor --json"), "ok")["host port"][0]


async def test_a_policy_that_contradicts_the_ledger_is_named(world: World) -> None:
    await world.produce([Events()("freelancer-registered", freelancer_id="f-1")])
    await world.worker()
    await world.settled()
    changed = world.folder / "changed.toml"
    changed.write_text(
        re.sub(r"(?m)^(name|version) = \"(.*)\"", r'\1 = "\2-other"', world.policy_file.read_text(encoding="utf-8")),
        encoding="utf-8",
    )
    wrong = looks(await world.asking(CONNECTS_POLICY=str(changed))("doctor --json"), "wrong")
    assert any("is in the ledger and not in the file" in line for line in wrong["policy ledger"]), wrong


async def test_problems_of_status_are_shown_with_what_to_do(world: World) -> None:
    await world.produce([Sent("job-closed", b"{}", partition=0)])
    await world.asking()('positions hold job-closed --why "garbage"')
    found = await world.asking()("doctor --json")
    assert any("connects positions resume" in line for line in looks(found, "wrong")["ledger problem"])
