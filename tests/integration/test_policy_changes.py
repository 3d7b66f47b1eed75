"""A ledger has used a policy file, and the file comes back changed in one place: what `run` and `policy check` say."""

import signal
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from tests.kit.asking import Asking
from tests.kit.policies import later_version, policy_text
from tests.kit.waiting import in_time, until_async
from tests.kit.world import Events, World

TEXT = policy_text()
NAME = "2026-01-01"
PAST, FUTURE = (f"{datetime.now(UTC) + timedelta(days=days):%Y-%m-%d}" for days in (-2, 2))


@dataclass(frozen=True)
class Change:
    """A file's new text, words of the line with which `run` refuses it, and words of `policy check`."""

    text: str
    run: tuple[str, ...]
    check: tuple[str, ...]


def replaced(old: str, new: str) -> str:
    assert old in TEXT, old
    return TEXT.replace(old, new, 1)


SAME = {
    "the same": TEXT,
    "a comment": f"# read again\n{TEXT}",
    "blanks, another end of line, a number in hexadecimal": replaced(
        "registration = 40", "registration   = 0x28"
    ).replace("\n", "\r\n"),
    "the same instant with another offset": replaced("2026-01-01T00:00:00Z", "2026-01-01T02:00:00+02:00"),
    "a later version beside it": TEXT + later_version(FUTURE, registration=41),
}
REFUSED = {
    "another amount": Change(
        replaced("registration = 40", "registration = 41"),
        (f"version {NAME}: grants.registration is 41 in the file and 40 in the ledger",),
        (f"version {NAME}: grants.registration is 41 in the file and 40 in the ledger",),
    ),
    "two more changes": Change(
        replaced("basic = 10 ", "basic = 11 ").replace('overdraft = "allow"', 'overdraft = "decline"'),
        ("grants.monthly.basic is 11 in the file and 10 in the ledger", "1 more like this"),
        ("grants.monthly.basic", 'spends.overdraft is "decline" in the file and "allow" in the ledger'),
    ),
    "a promotion code more": Change(
        replaced("# WELCOME", "WELCOME"),
        (NAME, "memberships.promo_codes.WELCOME"),
        (NAME, "memberships.promo_codes.WELCOME is { percent_off = 50", "nothing in the ledger"),
    ),
    "a version in the past of the ledger": Change(
        TEXT + later_version(PAST),
        (PAST, "effective_from", "in the ledger's past"),
        (f"{PAST} in force from", "new to the ledger", "effective_from"),
    ),
    "the used version gone": Change(
        replaced(f'version = "{NAME}"', 'version = "other"'),
        (f"version {NAME} is in the ledger and not in the file",),
        (f"version {NAME} is in the ledger and not in the file",),
    ),
    "a key that no release knows": Change(
        replaced("interview_cap = 50", "registation = 0\ninterview_cap = 50"),
        ("line 29: registation: unknown key (did you mean registration?)",),
        ("line 29: registation: unknown key (did you mean registration?)",),
    ),
    "a known key taken out": Change(
        replaced("certification = 20", "# certification = 20"), ("line 22: certification",), ("line 22: certification",)
    ),
}


@pytest.fixture
async def connects(world: World) -> Asking:
    (world.folder / "policy.toml").write_text(TEXT)
    asking = Asking(
        world.folder,
        DATABASE_URL=world.database_url,
        KAFKA_BOOTSTRAP_SERVERS=world.kafka["bootstrap_servers"],
        KAFKA_GROUP_ID=f"{world.prefix}worker",
        CONNECTS_TOPIC_PREFIX=world.prefix,
        CONNECTS_SETTLEMENT_GRACE="1",
        CONNECTS_HTTP_PORT="0",
        CONNECTS_POLICY="policy.toml",
    )
    await works(world, asking, "f-1")
    return asking


async def works(world: World, connects: Asking, freelancer_id: str) -> None:
    """`connects run` takes the ledger, decides an event, and ends in order."""
    send = Events(datetime.now(UTC) - timedelta(hours=1))
    event = send("freelancer-registered", event_id=freelancer_id, freelancer_id=freelancer_id)
    await world.produce([event])
    process = await connects.start("run")

    async def decided() -> bool:
        assert process.returncode is None, (await process.communicate())[1].decode()[-2_000:]
        return await world.balance(freelancer_id) is not None

    await until_async(decided)
    process.send_signal(signal.SIGTERM)
    _, error = await in_time(process.communicate())
    assert process.returncode == 0, error.decode()[-2_000:]


async def test_what_means_the_same_is_taken_and_the_version_is_named_as_used(world: World, connects: Asking) -> None:
    file = world.folder / "policy.toml"
    for number, (name, text) in enumerate(SAME.items(), start=2):
        file.write_bytes(text.encode())
        answer = await connects("policy check")
        assert (answer.code, answer.err) == (0, ""), name
        assert f"{NAME} is fine, in force from" in answer.out, name
        assert "the ledger has used it" in answer.out, name
        await works(world, connects, f"f-{number}")
    versions = [row["version"] for row in await world.rows("SELECT version FROM policies ORDER BY version")]
    assert versions == [NAME, FUTURE]
    (used, to_come) = (await connects("policy check --json")).json["versions"]
    assert (used["ledger"], to_come["ledger"]) == ("used", "to-come")


async def test_what_means_something_else_is_refused_by_name_before_the_ledger_is_taken(
    world: World, connects: Asking
) -> None:
    file = world.folder / "policy.toml"
    epoch = await world.value("SELECT epoch FROM leader")
    for name, change in REFUSED.items():
        file.write_text(change.text)
        answer = await connects("run")
        last = answer.err.strip().splitlines()[-1]
        assert answer.code == 2, (name, answer)
        assert last.startswith("connects: CONNECTS_POLICY: policy.toml"), (name, answer)
        assert all(words in last for words in change.run), (name, last)
        answer = await connects("policy check")
        assert answer.code == 1, (name, answer)
        assert all(words in answer.out + answer.err for words in change.check), (name, answer)
    assert await world.value("SELECT epoch FROM leader") == epoch
    file.write_text(REFUSED["another amount"].text)
    found = (await connects("policy check --json")).json
    assert found["differences"] == [{"version": NAME, "key": "grants.registration", "ledger": "40", "file": "41"}]
    assert (found["not_compared"], found["ledger"] is not None) == (None, True)


async def test_a_command_that_needs_the_ledger_refuses_a_changed_policy_too(world: World, connects: Asking) -> None:
    (world.folder / "policy.toml").write_text(REFUSED["another amount"].text)
    answer = await connects("parked release wallet f-1 --why test")
    assert answer.code == 2
    assert "grants.registration is 41 in the file and 40 in the ledger" in answer.err


async def test_a_ledger_that_has_used_nothing_takes_any_file_and_one_that_is_away_is_reported(
    world: World, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("elsewhere")
    connects = Asking(folder, DATABASE_URL=world.database_url, KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1")
    answer = await connects("policy check")
    assert answer.code == 0
    assert answer.out == f"{NAME} is fine, in force from 2026-01-01T00:00:00+00:00; it is new to the ledger\n"
    answer = await connects("policy check", DATABASE_URL="postgresql://u:s3cret@127.0.0.1:1/x")
    assert answer.code == 0
    assert f"{NAME} is fine" in answer.out
    assert "Checked the file only, not against a ledger: PostgreSQL at postgresql://u:********@" in answer.out
