"""`connects verify` and `connects log releases`, as an operator types them, on a real ledger."""

import asyncio
import json
from pathlib import Path

import asyncpg
import pytest
from typer.testing import CliRunner

from tests.kit.deciding import deciding
from tests.kit.interrupting import interrupted
from tests.kit.policies import policies
from tests.kit.stacks import new_ledger
from tests.kit.story import day
from tests.property.test_writer_found_before import Timeline
from worker.cli import app
from worker.embedded.stack import LocalStack
from worker.ledger.place import NEWEST
from worker.release import release


@pytest.fixture(scope="module")
def url(shared_stack: LocalStack) -> str:
    """A ledger of four batches and five decisions."""
    url = new_ledger(shared_stack, "verify")
    asyncio.run(write(url))
    return url


async def write(url: str) -> None:
    timeline = Timeline()
    async with deciding(url, policies()) as decides:
        decides.add_policies()
        for number in range(3):
            await decides.decide([timeline.registered(day(number), f"f-{number}")])
            await decides.commit()
        await decides.decide([timeline.bought(day(3), 5, "f-1"), timeline.bought(day(3), 5, "f-2")])
        await decides.commit()


def environment(url: str) -> dict[str, str]:
    return {"DATABASE_URL": url, "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}


def connects(url: str, *words: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, words, env=environment(url))
    return result.exit_code, result.stdout, result.stderr


def altered(url: str, statement: str) -> None:
    """Run a statement behind the triggers' back."""

    async def run() -> None:
        connection = await asyncpg.connect(url)
        await connection.execute(f"SET session_replication_role = replica; {statement}")
        await connection.close()

    asyncio.run(run())


def test_a_whole_ledger_is_exit_0_and_its_head_is_accepted(url: str) -> None:
    code, head, err = connects(url, "verify", "--head")
    assert (code, err) == (0, "")
    size, _, root = head.strip().partition(":")
    assert (size, len(root)) == ("10", 64)
    assert connects(url, "verify") == (0, "All is as it was written.\n", "")
    assert connects(url, "verify", "--against-head", head.strip())[0] == 0
    code, out, _ = connects(url, "verify", "--head", "--json")
    assert json.loads(out) == {"head": head.strip(), "size": 10, "root": root}


def test_another_head_is_exit_1_and_says_what_is_wrong(url: str) -> None:
    head = connects(url, "verify", "--head")[1].strip()
    size, _, root = head.partition(":")
    code, out, _ = connects(url, "verify", "--against-head", f"{int(size) + 3}:{root}")
    assert (code, out.splitlines()[-1]) == (1, "1 finding.")
    assert out.startswith("truncated: batches, batch 5: the log has 10 leaves, the head that was kept outside 13")
    code, out, _ = connects(url, "verify", "--against-head", f"4:{root}")
    assert code == 1
    assert out.startswith("tampered: batches: the log of 4 leaves has another root")


def test_an_altered_row_is_exit_1_and_named(url: str) -> None:
    altered(url, "UPDATE changes SET delta = delta + 1 WHERE decision_seq = 4")
    try:
        code, out, _ = connects(url, "verify")
        named, *others, counted = out.splitlines()
        assert (code, counted) == (1, f"{1 + len(others)} findings.")
        assert {line.partition(":")[0] for line in others} == {"code-changed", "inconsistent", "not-executable"}
        assert named.startswith("tampered: changes, decision 4, batch 4: its changes are not those that were hashed")
        code, out, _ = connects(url, "verify", "--json")
        found = json.loads(out)
        assert (code, found["checks"]) == (
            1,
            ["hashes", "totals", "owed", "movements", "current-state", "decided-again"],
        )
        finding = found["findings"][0]
        assert (finding["table"], finding["seq"], finding["batch_no"], finding["cause"]) == (
            "changes",
            4,
            4,
            "tampered",
        )
        assert connects(url, "verify", "--to", "3")[0] == 0
        assert connects(url, "verify", "--from", "4", "--to", "4")[0] == 1
        code, out, _ = connects(url, "verify", "--freelancer", "f-1")
        assert code == 1
        assert "decision 4" in out
        assert connects(url, "verify", "--freelancer", "f-2")[0] == 0
    finally:
        altered(url, "UPDATE changes SET delta = delta - 1 WHERE decision_seq = 4")


def test_what_is_not_checked_is_refused_in_one_line(url: str) -> None:
    head = connects(url, "verify", "--head")[1].strip()
    for words, code, said in (
        (("--freelancer", "f-none"), 2, "no event has named the freelancer 'f-none' yet"),
        (("--from", "99"), 2, "--from 99: the ledger ends with decision 5, so nothing is to be checked"),
        (("--from", "2", "--against-head", head), 2, "--against-head compares the whole ledger with a head"),
        (("--to", "2", "--against-head", head), 2, "--against-head compares the whole ledger with a head"),
        (("--from", "5", "--to", "4"), 2, "--to 4 is before --from 5"),
        (("--from", "2", "--jobs", "2"), 2, "which --from leaves out"),
        (("--freelancer", "f-1", "--jobs", "2"), 2, "--freelancer goes with neither"),
        (("--head", "--freelancer", "f-1"), 2, "--head prints the head, and checks nothing"),
        (("--head", "--against", "topics"), 2, "--head prints the head, and checks nothing"),
        (("--against", "topics", "--jobs", "2"), 2, "--against topics checks nothing else"),
        (("--against", "topics", "--share", "1"), 2, "--against topics checks nothing else"),
    ):
        answer = connects(url, "verify", *words)
        assert answer[:2] == (code, ""), (words, answer)
        assert said in " ".join(answer[2].split()), (words, answer)


def test_a_ledger_with_the_schema_of_a_later_release_is_refused_in_one_line(url: str, tmp_path: Path) -> None:
    altered(url, "UPDATE alembic_version SET version_num = '9999'")
    try:
        for words in (
            ("verify",),
            ("verify", "--freelancer", "f-1"),
            ("verify", "--since-last", "--state", str(tmp_path / "head.json")),
            ("bundle", "export", "--freelancer", "f-1", "--out", str(tmp_path / "f-1.bundle")),
        ):
            code, out, err = connects(url, *words)
            assert (code, out, err.count("\n")) == (2, "", 1), words
            assert err.startswith(
                "connects: the ledger has the schema of a later release (revision 9999; this one knows "
            )
        assert not [*tmp_path.iterdir()]
    finally:
        altered(url, f"UPDATE alembic_version SET version_num = '{NEWEST}'")  # noqa: S608


def test_a_ledger_of_a_newer_release_is_named(url: str) -> None:
    """Its policies have keys that this release does not know."""
    altered(url, """UPDATE policies SET document = (document::jsonb || '{"new_section": {"x": 1}}')::json""")
    try:
        code, out, _ = connects(url, "verify")
        assert code == 1
        assert "not-executable: decided-again: the rest of this check cannot be done: a stored policy version" in out
        assert "a later release stored it, or it was altered" in out
    finally:
        altered(url, "UPDATE policies SET document = (document::jsonb - 'new_section')::json")


def test_an_empty_ledger_has_the_head_of_nothing(shared_stack: LocalStack) -> None:
    url = new_ledger(shared_stack, "verify")
    assert connects(url, "verify", "--head")[1] == f"0:{'0' * 64}\n"
    assert connects(url, "verify") == (0, "All is as it was written.\n", "")
    code, out, _ = connects(url, "verify", "--against-head", f"7:{'a' * 64}")
    assert (code, out.partition(":")[0]) == (1, "truncated")
    assert connects(url, "log", "releases") == (0, "Nothing was decided yet.\n", "")


def test_releases_are_listed_with_what_they_decided(url: str) -> None:
    altered(
        url,
        "UPDATE batches SET release = '0.0.9' WHERE batch_no = 2; UPDATE batches SET release = NULL WHERE batch_no = 1",
    )
    try:
        code, out, _ = connects(url, "log", "releases", "--json")
        assert code == 0
        told = [tuple(row.values())[:5] for row in json.loads(out)["releases"]]
        assert told == [(None, 1, 1, 1, 1), ("0.0.9", 2, 2, 2, 2), (release(), 3, 4, 3, 5)]
        lines = connects(url, "log", "releases")[1].splitlines()
        assert [line.split("  ")[0] for line in lines[1:]] == ["before 0.2.0", "0.0.9", release()]
    finally:
        altered(url, f"UPDATE batches SET release = '{release()}'")  # noqa: S608


async def test_ctrl_c_ends_it_cleanly(url: str) -> None:
    assert await interrupted(url, "decisions", "verify", environment(url)) == (130, "", "")
