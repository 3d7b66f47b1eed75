"""Exporting: the same ledger gives the same bytes, nothing is left of what fails, and little is read for a proof."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.kit.bundles import MemorySource, checked, exported, lines_of
from tests.unit.bundle.conftest import Exported, written
from worker.bundle import writing
from worker.bundle.export import Begun, Line, export
from worker.bundle.format import Bundle, Subject
from worker.bundle.writing import write_bundle
from worker.errors import OperatorNeeded, UsageError
from worker.ledger.memory_store import MemoryStore
from worker.proof.checks import Progress
from worker.proof.heads import Head


@pytest.mark.parametrize("in_memory", [4 * 1024 * 1024, 1])
def test_the_same_ledger_gives_the_same_bytes(
    bundles: Exported, tmp_path: Path, in_memory: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if what comes after the decisions is in files meanwhile, of which nothing is left."""
    monkeypatch.setattr(writing, "_IN_MEMORY", in_memory)
    asyncio.run(exported(bundles.store, tmp_path / "again.bundle", bundles.heads[0], freelancer="f-1"))
    assert (tmp_path / "again.bundle").read_bytes() == bundles.freelancer.read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["again.bundle"]


def test_every_head_of_the_ledger_can_be_the_older_one(bundles: Exported, tmp_path: Path) -> None:
    for number, head in enumerate([*bundles.heads, Head(0, bytes(32))]):
        path = tmp_path / f"{number}.bundle"
        asyncio.run(exported(bundles.store, path, head, freelancer="f-2"))
        assert checked(path, str(head)).findings == []


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (Head(3, bytes(32)), "the log of 3 leaves has another root than the older head"),
        (Head(0, b"x" * 32), "the log of 0 leaves has another root than the older head"),
        (Head(10**9, bytes(32)), "the log has 26 leaves and the older head 1000000000"),
    ],
)
def test_the_head_of_another_ledger_is_refused(bundles: Exported, tmp_path: Path, head: Head, words: str) -> None:
    with pytest.raises(OperatorNeeded, match=words):
        asyncio.run(exported(bundles.store, tmp_path / "a.bundle", head, freelancer="f-1"))
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("subject", [{"freelancer": "f-0"}, {"job": "j-0"}, {"event": "e-0"}])
def test_what_nobody_decided_about_is_named(bundles: Exported, tmp_path: Path, subject: dict[str, str]) -> None:
    ((what, name),) = subject.items()
    with pytest.raises(OperatorNeeded, match=rf"no decision is about {what} {name}\. `connects log find` shows"):
        asyncio.run(exported(bundles.store, tmp_path / "a.bundle", **subject))
    assert [*tmp_path.iterdir()] == []


def test_an_empty_ledger_has_nothing_to_export(tmp_path: Path) -> None:
    with pytest.raises(OperatorNeeded, match="nothing was decided yet"):
        asyncio.run(exported(MemoryStore(), tmp_path / "a.bundle", freelancer="f-1"))


def test_a_file_that_exists_stays_as_it_is(bundles: Exported, tmp_path: Path) -> None:
    path = tmp_path / "a.bundle"
    path.write_text("mine")
    with pytest.raises(UsageError, match="exists already"):
        asyncio.run(exported(bundles.store, path, freelancer="f-1"))
    assert path.read_text() == "mine"


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), asyncio.CancelledError(), KeyboardInterrupt()]
)
def test_nothing_is_left_of_an_export_that_is_stopped(bundles: Exported, tmp_path: Path, error: BaseException) -> None:
    async def stopped() -> AsyncIterator[Begun | Line | Bundle]:
        async for line in export(MemorySource(bundles.store), Subject(freelancer="f-1"), None, Progress()):
            yield line
            if isinstance(line, Line):
                raise error

    with pytest.raises(type(error)):
        asyncio.run(write_bundle(tmp_path / "a.bundle", stopped()))
    assert [*tmp_path.iterdir()] == []


def test_a_proof_reads_a_few_batches(bundles: Exported, tmp_path: Path) -> None:
    """Each of the freelancer's batches once, and beyond them one for each level of the log at most."""
    source = MemorySource(bundles.store)
    lines = export(source, Subject(event="e-freelancer-registered-0"), None, Progress())
    bundle = asyncio.run(write_bundle(tmp_path / "a.bundle", lines))
    levels = bundles.heads[-1].size.bit_length()
    assert len(source.loaded) <= bundle.batches + (bundle.decisions + bundle.others + bundle.batches) * levels


def test_the_bundle_of_a_closing_has_its_settlements_and_is_not_decided_again(
    bundles: Exported, tmp_path: Path
) -> None:
    path = tmp_path / "a.bundle"
    bundle = asyncio.run(exported(bundles.store, path, event="e-job-closed-0"))
    assert bundle.subject == Subject(event="e-job-closed-0")
    kinds = [line["decision"]["kind"] for line in lines_of(path)["decisions.jsonl"]]
    assert kinds == ["first", "settlement"]
    found = checked(path, bundle.head)
    assert (found.findings, found.proved, found.decided_again) == ([], 2, 0)


def test_a_ledger_whose_rows_were_altered_gives_no_bundle(tmp_path: Path) -> None:
    store = asyncio.run(written())
    row = store.tables.decisions[3]
    store.tables.decisions.put([row._replace(reason="altered")])
    with pytest.raises(OperatorNeeded, match=r"the ledger's hashes do not agree, .*: `connects verify` names what"):
        asyncio.run(exported(store, tmp_path / "a.bundle", freelancer="f-1"))
    assert [*tmp_path.iterdir()] == []
