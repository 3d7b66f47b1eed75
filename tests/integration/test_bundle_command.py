"""`connects bundle export` and `connects bundle check`, as people type them, on a real ledger."""

import asyncio
import json
import os
import uuid
from pathlib import Path

import asyncpg
import pytest
from typer.testing import CliRunner

from tests.kit.bundles import Lines, lines_of, tampered
from tests.kit.decided import as_reader
from tests.kit.interrupting import interrupted
from tests.kit.stacks import new_ledger
from tests.unit.bundle.conftest import written_to
from worker.cli import app
from worker.embedded.stack import LocalStack
from worker.ledger.migrate import migrate

NOBODY_LISTENS = {"DATABASE_URL": "postgresql://u@127.0.0.1:1/x", "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}


@pytest.fixture(scope="module")
def owner(shared_stack: LocalStack) -> str:
    """The ledger of the unit tests, on PostgreSQL."""
    return new_ledger(shared_stack, "bundle")


@pytest.fixture(scope="module")
def url(owner: str) -> str:
    """The same, as a role that may only read."""

    async def write() -> str:
        await written_to(owner)
        return await as_reader(owner)

    return asyncio.run(write())


def connects(url: str, *words: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, words, env={**NOBODY_LISTENS, "DATABASE_URL": url})
    return result.exit_code, result.stdout, result.stderr


def check(*words: str) -> tuple[int, str, str]:
    return connects(NOBODY_LISTENS["DATABASE_URL"], "bundle", "check", *words)


@pytest.fixture
def exported(url: str, tmp_path: Path) -> Path:
    path = tmp_path / "f-1.bundle"
    code, out, err = connects(url, "bundle", "export", "--freelancer", "f-1", "--out", str(path))
    head = connects(url, "verify", "--head")[1].strip()
    assert (code, err) == (0, "")
    assert out == f"{path}: 13 decisions about freelancer f-1, up to decision 19, at head {head}\n"
    return path


def test_what_is_exported_is_checked_without_the_ledger(url: str, exported: Path, tmp_path: Path) -> None:
    head = connects(url, "verify", "--head")[1].strip()
    code, out, err = check(str(exported), "--head", head)
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "That no decision up to 19 is missing after the last one here is the producer's word.",
        f"13 of 13 decisions about freelancer f-1 are in the log at head {head}, and 11 were decided again the same.",
    ]
    found = json.loads(check(str(exported), "--json")[1])
    assert (found["count"], found["findings"], found["proved"], found["head"]) == (0, [], 13, head)
    for subject in (("--job", "j-1"), ("--event", "e-job-closed-0"), ("--event", "e-connects-purchased-3")):
        path = tmp_path / f"{subject[1]}.bundle"
        code, out, _ = connects(url, "bundle", "export", *subject, "--out", str(path), "--json")
        assert (code, json.loads(out)["head"]) == (0, head)
        assert check(str(path), "--head", head)[0] == 0


def test_the_bundle_is_that_of_the_same_ledger_in_memory_but_for_what_chance_gave_it(exported: Path) -> None:
    """Both sources export the same: salts, and with them every hash, and ids of batches are random."""
    entries = lines_of(exported)
    seqs = [line["decision"]["seq"] for line in entries["decisions.jsonl"]]
    assert seqs == [2, 3, 5, 6, 7, 8, 9, 11, 13, 14, 15, 17, 18]
    assert [line["decision"]["seq"] for line in entries["others.jsonl"]] == [4, 12]


def test_an_older_head_is_proved_if_the_export_was_asked_to(url: str, exported: Path, tmp_path: Path) -> None:
    connection_head = asyncio.run(older_head(url))
    path = tmp_path / "since.bundle"
    words = ("bundle", "export", "--job", "j-1", "--out", str(path), "--since-head")
    assert connects(url, *words, connection_head)[0] == 0
    assert check(str(path), "--head", connection_head)[0] == 0
    code, out, _ = check(str(exported), "--head", connection_head)
    assert (code, out.splitlines()[-1]) == (1, "1 finding.")
    assert f"was exported with --since-head {connection_head}" in out
    other = f"{connection_head.partition(':')[0]}:{'a' * 64}"
    code, out, err = connects(url, *words[:-2], str(tmp_path / "x.bundle"), "--since-head", other)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "has another root than the older head" in err


async def older_head(url: str) -> str:
    connection = await asyncpg.connect(url)
    row = await connection.fetchrow("SELECT log_size, chain_head FROM batches ORDER BY batch_no OFFSET 1 LIMIT 1")
    await connection.close()
    return f"{row['log_size']}:{row['chain_head'].hex()}"


def test_what_was_altered_is_named(exported: Path) -> None:
    def alter(lines: Lines) -> None:
        lines["decisions.jsonl"][0]["changes"][0]["delta"] += 1

    code, out, err = check(str(tampered(exported, alter)))
    assert (code, err) == (1, "")
    assert out.startswith(
        "decisions.jsonl, line 1, decision 2: the decision is not the one that the log has at its place 3"
    )
    found = json.loads(check(str(tampered(exported, alter)), "--json")[1])
    assert found["findings"][0] | {"detail": ""} == {"detail": "", "entry": "decisions.jsonl", "line": 1, "seq": 2}


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("export", "--freelancer", "f-0", "--out", "{new}"), 1, "no decision is about freelancer f-0. "),
        (("export", "--job", "j-0", "--out", "{new}"), 1, "no decision is about job j-0. "),
        (("export", "--event", "e-0", "--out", "{new}"), 1, "no decision is about event e-0. "),
        (("export", "--out", "{new}"), 2, "name one of --freelancer, --event and --job"),
        (("export", "--job", "j-1", "--event", "e-1", "--out", "{new}"), 2, "name one of --freelancer, --event and"),
        (("export", "--job", "j-1", "--out", "{new}", "--since-head", "abc"), 2, "--since-head: a head is SIZE:HEX"),
        (("export", "--job", "j-1", "--out", "{old}"), 2, "exists already. Name another file, or remove that one"),
        (("export", "--job", "j-1", "--out", "{old}/x"), 2, "cannot be used (Not a directory). Name another place"),
        (("export", "--job", "j-1", "--out", "{dir}"), 2, "directory"),
        (("check", "{new}"), 2, "cannot be used (No such file or directory). Name another place"),
        (("check", "{dir}"), 2, "cannot be used (Is a directory). Name another place"),
        (("check", "{old}"), 2, "is not a bundle. `connects bundle export` writes one"),
        (("check", "{old}", "--head", "12"), 2, "--head: a head is SIZE:HEX"),
        (("check", "{old}", "--head", f"{'9' * 5_000}:{'a' * 64}"), 2, "--head: a head is SIZE:HEX"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    url: str, tmp_path: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    (tmp_path / "old").write_text("a file\n")
    places = {"new": tmp_path / "new", "old": tmp_path / "old", "dir": tmp_path}
    found, out, err = connects(url, "bundle", *(word.format(**places) for word in words))
    assert (found, out, err.count("\n")) == (code, "", 1), err
    assert said in err
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


def test_a_ledger_that_is_empty_or_was_never_made_is_one_line(shared_stack: LocalStack, tmp_path: Path) -> None:
    url = shared_stack.create_database(f"bundle_{uuid.uuid4().hex[:12]}")
    for words in ("bundle export --job j-1 --out", "bundle export --freelancer f-1 --out"):
        code, out, err = connects(url, *words.split(), str(tmp_path / "a.bundle"))
        assert (code, out, err.count("\n")) == (1, "", 1), err
        assert "connects migrate" in err
    asyncio.run(migrate(url))
    code, out, err = connects(url, *["bundle", "export", "--job", "j-1", "--out"], str(tmp_path / "a.bundle"))
    assert (code, out, err) == (1, "", "connects: nothing was decided yet: there is nothing to export\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_one_line_and_leaves_nothing(url: str, tmp_path: Path) -> None:
    unfinished = tmp_path / "a.bundle.unfinished"
    unfinished.symlink_to("/dev/full")
    code, out, err = connects(url, "bundle", "export", "--job", "j-1", "--out", str(tmp_path / "a.bundle"))
    assert (code, out, err.count("\n")) == (1, "", 1), err
    assert [*tmp_path.iterdir()] == []


async def test_ctrl_c_ends_it_cleanly_and_leaves_no_half_file(owner: str, url: str, tmp_path: Path) -> None:
    words = f"bundle export --job j-1 --out {tmp_path / 'a.bundle'}"
    ended = await interrupted(owner, "policies", words, {**NOBODY_LISTENS, "DATABASE_URL": url})
    assert ended == (130, "", "")
    assert os.listdir(tmp_path) == []  # noqa: PTH208
