"""`connects verify --since-last`, as cron runs it: what was written since the last run, and a file that moves on."""

import json
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg
import pytest

from tests.kit.asking import Asking
from tests.kit.deciding import deciding
from tests.kit.policies import policies
from tests.kit.story import day
from tests.property.test_deciding_again import more_for_a_certification
from tests.property.test_writer_found_before import Timeline

RUN = "verify --since-last --state head.json --share 1"


class Watched(NamedTuple):
    """A ledger that grows, and the command that watches it."""

    url: str
    connects: Asking
    timeline: Timeline

    async def grow(self, at: float, who: str = "f-1") -> None:
        named = {"freelancer_id": who, "certification_id": f"c-{at}", "kind": "skill-certification"}
        async with deciding(self.url, policies()) as decides:
            await decides.decide([self.timeline.event("certification-completed", day(at), **named)])
            await decides.commit()

    async def altered(self, statement: str) -> None:
        """Run a statement behind the triggers' back."""
        connection = await asyncpg.connect(self.url)
        await connection.execute(f"SET session_replication_role = replica; {statement}")
        await connection.close()

    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.connects.folder / "head.json").read_text())
        return found


@pytest.fixture
async def watched(database_url: str, tmp_path: Path) -> Watched:
    timeline = Timeline()
    async with deciding(database_url, policies()) as decides:
        decides.add_policies()
        await decides.decide([timeline.registered(day(0)), timeline.registered(day(0), "f-2")])
        await decides.commit()
        await decides.decide([timeline.proposed(day(1), 45)])
        await decides.commit()
    connects = Asking(tmp_path, DATABASE_URL=database_url, KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1")
    return Watched(database_url, connects, timeline)


async def test_each_run_checks_what_was_written_since_the_one_before(watched: Watched) -> None:
    first = await watched.connects(RUN)
    checked = (
        "Checked: the hashes of 3 decisions since the beginning (up to 3), 2 wallets by the movements, and a share of"
        " 1: 2 wallets with 3 decisions decided again."
    )
    assert (first.code, first.out.splitlines()) == (0, ["All is as it was written.", checked])
    assert (watched.state()["seq"], watched.state()["batch_no"]) == (3, 2)
    assert "Nothing was decided since" in (await watched.connects(RUN)).out
    await watched.grow(2)
    answer = await watched.connects(f"{RUN} --json")
    covered = answer.json["covered"]
    assert (covered["after"], covered["through"], covered["wallets"], covered["wallets_again"]) == (3, 4, 1, 1)
    assert covered["decisions_again"] == 3
    assert watched.state()["seq"] == 4
    head = await watched.connects("verify --head")
    assert watched.state()["head"] == head.out.strip()


ALTERED = {
    (
        "UPDATE decisions SET reason = 'x' WHERE seq = 4",
        "UPDATE decisions SET reason = 'certified' WHERE seq = 4",
    ): "tampered: decisions, decision 4",
    (
        "UPDATE lots SET remaining = remaining - 1 WHERE lot_id = 'f-1:3'",
        "UPDATE lots SET remaining = remaining + 1 WHERE lot_id = 'f-1:3'",
    ): "inconsistent: lots: f-1, f-1:3: remaining is 14, the movements make 15",
    (
        "UPDATE spends SET base_debt = 1, owing = true",
        "UPDATE spends SET base_debt = 0, owing = false",
    ): "inconsistent: spends: p-1: base_debt is 1, the movements make 0",
    (
        "UPDATE batches SET chain_head = set_byte(chain_head, 0, get_byte(chain_head, 0) # 1) WHERE batch_no = 2",
        "UPDATE batches SET chain_head = set_byte(chain_head, 0, get_byte(chain_head, 0) # 1) WHERE batch_no = 2",
    ): "tampered: batches, batch 2: the batch has another head than when it was verified",
}
"""What somebody alters, how that is put back, and what is found."""


async def test_what_is_found_is_found_again_until_it_is_repaired(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    await watched.connects(RUN)
    await watched.grow(2)
    for (statement, back), found in ALTERED.items():
        before = watched.state()
        await watched.altered(statement)
        for _ in range(2):
            answer = await watched.connects(RUN)
            assert answer.code == 1, statement
            assert found in answer.out
            assert watched.state() == before
        await watched.altered(back)
    with monkeypatch.context() as patch:
        more_for_a_certification(patch)
        answer = await watched.connects(f"{RUN} --selection found.jsonl")
        assert (answer.code, "code-changed: decisions, decision 4" in answer.out) == (1, True)
        assert len((watched.connects.folder / "found.jsonl").read_text().splitlines()) == 2
        none = await watched.connects("verify --since-last --state head.json --share 0")
        assert (none.code, "0 wallets with 0 decisions decided again" in none.out) == (0, True)


async def test_an_end_that_was_cut_off_is_noticed(watched: Watched) -> None:
    await watched.connects(RUN)
    await watched.altered("DELETE FROM changes WHERE decision_seq = 3; DELETE FROM decisions WHERE seq = 3")
    await watched.altered("DELETE FROM batches WHERE batch_no = 2")
    answer = await watched.connects(RUN)
    assert answer.code == 1
    assert answer.out.startswith("truncated: batches, batch 2: the ledger ends before the head that was verified on")


async def test_a_wrong_file_or_option_is_one_line(watched: Watched) -> None:
    (watched.connects.folder / "other.json").write_text("{}")
    other = {"ledger_id": str(UUID(int=0)), "batch_no": 1, "seq": 1, "head": f"1:{'0' * 64}"}
    (watched.connects.folder / "of_another.json").write_text(
        json.dumps({**other, "verified_at": "2026-01-01T00:00:00Z"})
    )
    headless = {**other, "head": "none", "verified_at": "2026-01-01T00:00:00Z"}
    (watched.connects.folder / "headless.json").write_text(json.dumps(headless))
    for words, said in {
        "--since-last": "--since-last needs --state FILE",
        "--share 0.5": "go with --since-last",
        "--since-last --state head.json --from 1": "goes with neither",
        "--since-last --state other.json": "other.json is not a file that `connects verify --since-last` wrote",
        "--since-last --state of_another.json": f"is of the ledger {UUID(int=0)}, and this one is",
        "--since-last --state headless.json": "headless.json is not a file that `connects verify --since-last` wrote",
        "--since-last --state nowhere/head.json": "--state: there is no folder nowhere",
    }.items():
        answer = await watched.connects(f"verify {words}")
        assert answer.code == 2, (words, answer)
        assert said in answer.err
    assert not (watched.connects.folder / "head.json").exists()


async def test_a_role_that_only_reads_is_enough(watched: Watched) -> None:
    await watched.altered(
        "CREATE ROLE auditor LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO auditor; "
        "ALTER ROLE auditor SET default_transaction_read_only = on"
    )
    url = watched.url.replace("postgres@", "auditor@")
    assert (await watched.connects(RUN, DATABASE_URL=url)).code == 0
    assert (await watched.connects("verify", DATABASE_URL=url)).code == 0
    await watched.altered("DROP OWNED BY auditor; DROP ROLE auditor")
